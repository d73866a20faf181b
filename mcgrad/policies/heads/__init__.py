"""Distributions of components of an action, one idea each; `mcgrad.policies.joint` makes policies of them."""

from .deterministic import deterministic
from .discrete import discrete, switch
from .gaussian import gaussian
from .head import Head
from .squashed_gaussian import squashed_gaussian

__all__ = ["Head", "deterministic", "discrete", "gaussian", "squashed_gaussian", "switch"]
