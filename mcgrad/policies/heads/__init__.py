"""Distributions of components of an action, one idea each; `mcgrad.policies.joint` makes policies of them.

| head | draws | score | pathwise derivative |
|---|---|---|---|
| `gaussian` | normal numbers, std fixed, learned or of the state | from the noise | of mean + std e |
| `squashed_gaussian` | tanh of these, on an interval | from the noise, exact when saturated | through tanh |
| `truncated_normal` | normal numbers given that they lie in an interval | closed form | of the quantile |
| `beta` | Beta numbers on an interval, alpha and beta >= 1 | closed form | implicit |
| `mixture` | one number from a mixture of normals | closed form | implicit, weights included |
| `discrete` | one of k whole numbers | onehot - pi | none |
| `switch` | a choice, then numbers from the head chosen | both together | of the numbers, by `computation_graph(path=...)` |
| `deterministic` | nothing: a function of the state (memory, a log std to be seen) | none | of the function |
"""

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
