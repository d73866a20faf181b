"""Softmax policies: the logits of a discrete action are a table, or linear in features."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import validate
from ..compiler.functions import lookup
from ..problem import Policy
from .categorical import categorical


class TabularSoftmax(NamedTuple):
    """A softmax policy as `mcgrad.exact` reads it: logits[s, k] = features[s, k] . theta, features (S, A, P)."""

    features: np.ndarray


def softmax(states: int, choices: int) -> Policy:
    """Return the policy pi(k | s) = softmax(theta[s, :])_k with a logit for each state and action.

    Parameters
    ----------
    states, choices : int
        S (1 to 10^6) and A (2 to 1000); the state is one whole number from 0 to S - 1. theta is the table of S x A logits,
        ravelled, of at most 10^6; a bandit has S = 1.

    Raises
    ------
    ValueError
        For a number out of its range.

    Examples
    --------
    >>> import mcgrad as mg
    >>> len(mg.policies.softmax(3, 2).parameters)  # a logit for each state and action
    6
    """
    S, A = validate.integer("states", states, 1, 10**6), validate.integer("choices", choices, 2, 1000)
    validate.parameters(S * A)

    def eta(p, theta, s):
        table = np.array(theta, dtype=object).reshape(S, A)
        return tuple(lookup(table[:, k], s[0]) for k in range(A))

    names = [f"logit[{s},{k}]" for s in range(S) for k in range(A)]
    features = np.eye(S * A).reshape(S, A, S * A)
    return categorical(1, A, names, eta, {}, f"softmax S={S} A={A}", TabularSoftmax(features))


def linear_softmax(features: ArrayLike) -> Policy:
    """Return the policy pi(k | s) = softmax(features[s, :, :] theta)_k for states that are whole numbers.

    Parameters
    ----------
    features : (S, A, P) array
        Features of each state and action, S >= 1, A >= 2, P >= 1. States that share their features look the same to the policy.

    Raises
    ------
    ValueError
        For another shape, or numbers that are not finite.
    """
    features = validate.array("features", features, (None, None, None))
    S, A, P = features.shape
    if S < 1 or A < 2 or P < 1:
        raise ValueError(f"features: expected (S, A, P) with S >= 1, A >= 2, P >= 1, got {features.shape}")
    same = (features == features[:1]).all(axis=0)  # what does not depend on the state needs no look-up
    zero = (features == 0.0).all(axis=0)

    def feature(p, s, k, j):
        if zero[k, j]:
            return 0.0
        return p.features[0, k, j] if same[k, j] else lookup(p.features[:, k, j], s[0])

    def eta(p, theta, s):
        return tuple(sum(feature(p, s, k, j) * theta[j] for j in range(P)) for k in range(A))

    names = [f"theta[{j}]" for j in range(P)]
    name = f"linear softmax S={S} A={A} P={P}"
    return categorical(1, A, names, eta, {"features": features}, name, TabularSoftmax(features))


def softmax_of_state(features: Callable[..., Any], states: int, choices: int) -> Policy:
    """Return the policy pi(k | s) = softmax(Theta phi(s))_k for a state of numbers and a function phi of features.

    Parameters
    ----------
    features : callable
        features(s) -> a tuple of numbers, traced like an environment's functions.
    states, choices : int
        n and A (2 to 1000). theta is the (A, len(phi)) matrix Theta, ravelled; only differences between its rows matter.

    Raises
    ------
    ValueError
        For a number out of its range, or features that are no function of a tuple of n numbers.
    """
    n, A = validate.size("states", states), validate.integer("choices", choices, 2, 1000)
    validate.function("features", features)
    try:
        d = len(features(tuple(np.zeros(n))))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"features: expected a function of a tuple of {n} numbers, got one that raises {what}"
        ) from error

    def eta(p, theta, s):
        phi = features(s)
        return tuple(sum(theta[k * d + j] * phi[j] for j in range(d)) for k in range(A))

    names = [f"theta[{k},{j}]" for k in range(A) for j in range(d)]
    return categorical(n, A, names, eta, {}, f"softmax of features n={n} A={A}")
