"""A policy that is linear in features of the state: a = Theta phi(s) + L e."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from .. import validate
from ..calls import call
from ..compiler.trace import Graph
from ..problem import Policy
from .gaussian_head import gaussian_policy, linear


def linear_features(
    features: Callable[..., Any],
    n: int,
    m: int,
    std: ArrayLike | None = None,
    *,
    cov: ArrayLike | None = None,
    learn_std: bool = False,
) -> Policy:
    """Return the policy a = Theta phi(s) + L e, e ~ N(0, I), with theta = Theta.ravel() and, if learned, m log scales.

    Parameters
    ----------
    features : callable
        phi(s) -> a tuple of k numbers, plain Python on the tuple of n numbers that is a state:
        `lambda s: (math.sin(s[0]), math.cos(s[0]), s[1])`.
    n, m : int
        States and actions; Theta is (m, k).
    std, cov, learn_std
        As for `linear_gaussian`.

    Raises
    ------
    ValueError
        As for `linear_gaussian`; TraceError, which is one, where `features` cannot be traced or returns no tuple.
    """
    validate.function("features", features)
    n, m = validate.size("n", n), validate.size("m", m)
    graph = Graph()
    k = len(call("features", features, (tuple(graph.input(f"s{j}") for j in range(n)),), "any"))
    if k == 0:
        raise ValueError("features: expected at least one feature, got an empty tuple")

    def mean(theta, s):
        return linear(theta, features(s), m)

    names = [f"Theta[{i},{j}]" for i in range(m) for j in range(k)]
    return gaussian_policy(n, m, mean, names, std, cov, learn_std, name=f"Gaussian on {k} features n={n} m={m}")
