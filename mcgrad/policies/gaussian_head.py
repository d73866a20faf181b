"""What all Gaussian policies share: the noise around the mean, a = mean(theta, s) + L e, its score and its density.

    L = diag(exp(l)) L_c,    eta = (mean, l) with learned log scales l, else eta = mean

    log p(a | eta) = -log det L_c - m/2 log(2 pi) - sum_i l_i - |x|^2 / 2,    x = L^-1 (a - mean)
    d log p / d mean = L^-T e,    d log p / d l_i = u_i (L^-T e)_i - 1,    u = L e

A policy adds its mean, mean(theta, s) -> m numbers, and the names of the parameters of the mean.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..compiler.trace import Numbers
from ..problem import Policy


class Gaussian(NamedTuple):
    """A Gaussian policy as the rest of the library reads it: L = diag(exp(l)) root, l learned or 0."""

    root: np.ndarray
    learn_std: bool


def gaussian_policy(
    n: int,
    m: int,
    mean: Callable[..., Any],
    names: Sequence[str],
    std: ArrayLike | None,
    cov: ArrayLike | None,
    learn_std: bool,
    *,
    name: str,
    closed_form: Callable[..., Any] = Gaussian,
) -> Policy:
    """Return the policy a = mean(theta, s) + L e, e ~ N(0, I), with the log scales, if learned, at the end of theta.

    Parameters
    ----------
    n, m : int
        States and actions.
    mean : callable
        mean(theta, s) -> the m numbers around which the action is drawn.
    names : list of str
        The names of the parameters of the mean.
    std, cov, learn_std
        As for `linear_gaussian`.
    name : str
        What to call the policy.
    closed_form : callable
        closed_form(root, learn_std) -> what others know the policy by.

    Raises
    ------
    ValueError
        For both or neither of `std` and `cov`, a negative std, an indefinite cov, or a std of 0 that should be learned.
    """
    diagonal, learn_std = cov is None, validate.flag("learn_std", learn_std)
    std, root = _scale(m, std, cov)
    scales = np.abs(np.diag(root))
    singular = scales.min() <= 1e-14 * max(scales.max(), 1e-300)
    if learn_std and singular and diagonal:
        raise ValueError(f"std: expected standard deviations > 0 to learn their logarithms, got {std.tolist()}")

    if diagonal and learn_std:
        root, start = np.eye(m), np.log(std)
    else:
        start = np.zeros(m if learn_std else 0)
    inverse = np.zeros((m, m)) if singular else np.linalg.inv(root)
    log_peak = -m / 2.0 * math.log(2.0 * math.pi) - (0.0 if singular else np.log(np.abs(np.diag(root))).sum())
    fixed = diagonal and learn_std  # L_c = I
    peak_of_fixed = log_peak if fixed else None  # what functions capture is part of a structure, p is not
    if diagonal:
        params = {"std": np.diag(root), "precision": np.diag(inverse), "log_peak": log_peak}
    else:
        params = {"root": root, "inverse": inverse, "log_peak": log_peak}

    def shape(p, e):
        """Return L_c e."""
        if diagonal:
            return e if fixed else tuple(p.std[i] * e[i] for i in range(m))
        return tuple(sum(p.root[i, j] * e[j] for j in range(i + 1)) for i in range(m))

    def whitened(p, e):
        """Return L_c^-T e."""
        if diagonal:
            return e if fixed else tuple(p.precision[i] * e[i] for i in range(m))
        return tuple(sum(p.inverse[j, i] * e[j] for j in range(i, m)) for i in range(m))

    def standardised(p, u):
        """Return L_c^-1 u."""
        if diagonal:
            return whitened(p, u)
        return tuple(sum(p.inverse[i, j] * u[j] for j in range(i + 1)) for i in range(m))

    def eta(p, theta, s):
        return tuple(mean(theta, s)) + tuple(theta[len(names) :])

    def sample(p, eta, e):
        u = shape(p, e)
        if learn_std:
            u = tuple(np.exp(eta[m + i]) * u[i] for i in range(m))
        return tuple(eta[i] + u[i] for i in range(m))

    def score(p, eta, a, e):
        v = whitened(p, e)
        if not learn_std:
            return v
        u = shape(p, e)
        return tuple(np.exp(-eta[m + i]) * v[i] for i in range(m)) + tuple(u[i] * v[i] - 1.0 for i in range(m))

    def log_prob(p, eta, a):
        u = tuple(a[i] - eta[i] for i in range(m))
        if learn_std:
            u = tuple(np.exp(-eta[m + i]) * u[i] for i in range(m))
        x = standardised(p, u)
        return (peak_of_fixed if fixed else p.log_peak) - sum(eta[m:]) - sum(0.5 * v * v for v in x)

    scale = "log std" if diagonal else "log scale"
    return Policy(
        states=n,
        actions=m,
        noises=m,
        parameters=tuple(names) + (tuple(f"{scale}[{i}]" for i in range(m)) if learn_std else ()),
        eta=eta,
        sample=sample,
        score=score,
        log_prob=None if singular else log_prob,
        params={} if fixed else params,
        no_score=_NO_SCORE if singular else None,
        start=start,
        name=name,
        closed_form=closed_form(root, bool(learn_std)),
    )


def linear(theta: Numbers, x: Numbers, m: int) -> Numbers:
    """Return Theta x for the m rows of Theta, one after the other at the beginning of theta."""
    n = len(x)
    return tuple(sum(theta[i * n + j] * x[j] for j in range(n)) for i in range(m))


def _scale(m: int, std: ArrayLike | None, cov: ArrayLike | None) -> tuple[Any, NDArray[np.float64]]:
    """Return std (m,), None with a cov, and the lower triangular factor of the covariance, (m, m)."""
    if (std is None) == (cov is None):
        raise ValueError(f"std, cov: expected exactly one of them, got std={std!r} and cov={cov!r}")
    if cov is not None:
        return None, validate.factor(validate.covariance("cov", cov, m))
    std = validate.array("std", std)
    std = validate.array("std", np.full(m, float(std)) if std.ndim == 0 else std, (m,))
    if (std < 0).any():
        raise ValueError(f"std: expected standard deviations >= 0, got {std.tolist()}")
    return std, np.diag(std)


_NO_SCORE = (
    "the policy's covariance is singular (a standard deviation of 0), so the action has no density and "
    "d log p(a | s) does not exist; use mcgrad.estimators.reparameterization(), or a positive std"
)
