"""A small neural network: a = W2 tanh(W1 s + b1) + b2 + L e."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..problem import Policy
from .gaussian_head import gaussian_policy, linear


def tanh_network(
    n: int, m: int, hidden: int, std: ArrayLike | None = None, *, cov: ArrayLike | None = None, learn_std: bool = False
) -> Policy:
    """Return the policy a = W2 tanh(W1 s + b1) + b2 + L e with one hidden layer of h = `hidden` units.

    theta = (W1.ravel(), b1, W2.ravel(), b2) and, if learned, m log scales: P = h (n + 1) + m (h + 1), plus m. Everything is
    unrolled into one kernel, so that tens of hidden units are fine and hundreds take long to compile.
    `policy.theta(network_weights(n, m, hidden))` is a place to start from.

    Parameters
    ----------
    n, m, hidden : int
        States, actions and hidden units; W1 is (h, n), b1 (h,), W2 (m, h), b2 (m,).
    std, cov, learn_std
        As for `linear_gaussian`.

    Raises
    ------
    ValueError
        As for `linear_gaussian`.
    """
    n, m, h = _sizes(n, m, hidden)
    b1, W2, b2 = np.cumsum((h * n, h, m * h))  # where they begin

    def mean(theta, s):
        units = tuple(np.tanh(x + theta[b1 + i]) for i, x in enumerate(linear(theta, s, h)))
        return tuple(x + theta[b2 + i] for i, x in enumerate(linear(theta[W2:], units, m)))

    names = [f"W1[{i},{j}]" for i in range(h) for j in range(n)] + [f"b1[{i}]" for i in range(h)]
    names += [f"W2[{i},{j}]" for i in range(m) for j in range(h)] + [f"b2[{i}]" for i in range(m)]
    return gaussian_policy(n, m, mean, names, std, cov, learn_std, name=f"tanh network {n}-{h}-{m}")


def network_weights(n: int, m: int, hidden: int, seed: int = 0, scale: float = 1.0) -> NDArray[np.float64]:
    """Return random weights of a `tanh_network`, (h (n + 1) + m (h + 1),): W1 ~ N(0, 1/n), W2 ~ N(0, scale^2/h), b = 0.

    Parameters
    ----------
    n, m, hidden : int
        As for `tanh_network`.
    seed : int
        Of NumPy's default generator.
    scale : float
        Standard deviation of the mean action where all hidden units are saturated; small: start near a = 0.

    Raises
    ------
    ValueError
        For sizes or a scale that are not positive, or a negative seed.
    """
    n, m, h = _sizes(n, m, hidden)
    scale = validate.number("scale", scale, above=0.0)
    rng = np.random.default_rng(validate.integer("seed", seed, 0))
    first, second = rng.normal(0.0, n**-0.5, h * n), rng.normal(0.0, scale * h**-0.5, m * h)
    return np.concatenate([first, np.zeros(h), second, np.zeros(m)])


def _sizes(n: int, m: int, hidden: int) -> tuple[int, int, int]:
    n, m, h = (validate.size(name, x) for name, x in (("n", n), ("m", m), ("hidden", hidden)))
    validate.parameters(h * (n + 1) + m * (h + 1))
    return n, m, h
