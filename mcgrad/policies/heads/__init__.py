"""Distributions of components of an action, one idea each; `mcgrad.policies.joint` makes policies of them."""

from .beta import beta
from .deterministic import deterministic
from .discrete import discrete, switch
from .gaussian import gaussian
from .head import Head
from .mixture import mixture
from .squashed_gaussian import squashed_gaussian
from .truncated_normal import truncated_normal

__all__ = [
    "Head",
    "beta",
    "deterministic",
    "discrete",
    "gaussian",
    "mixture",
    "squashed_gaussian",
    "switch",
    "truncated_normal",
]
