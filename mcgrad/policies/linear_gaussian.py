"""A linear feedback with Gaussian exploration: a = K s + L e, the policy of every exact result."""

import math
from typing import NamedTuple

import numpy as np

from .. import validate
from ..problem import Policy


class LinearGaussian(NamedTuple):
    """A linear-Gaussian policy as `mcgrad.exact` reads it: L = diag(exp(l)) root, l learned or 0."""

    root: np.ndarray
    learn_std: bool


def linear_gaussian(n, m, std=None, *, cov=None, learn_std=False):
    """Return the policy a = K s + L e, e ~ N(0, I), with theta = K.ravel() and, if learned, m log scales.

    The score is d log p / d(K s) = L^-T e = Sigma^-1 (a - K s), and for the log scale of row i of L,
    l_i: u_i (Sigma^-1 u)_i - 1 with u = L e.

    Parameters
    ----------
    n, m : int
        States and actions.
    std : float or (m,)
        Standard deviation of each action, >= 0. With 0 the policy is deterministic: pathwise gradients are those of
        back-propagation through time, and there is no score function.
    cov : (m, m)
        Full covariance of the action, instead of `std`; L is its lower triangular factor, L L' = cov.
    learn_std : bool
        Append m log scales to theta: the logarithms of `std`; with `cov`, those of factors on the rows of L.
        `policy.theta(K)` gives theta with the scales where `std` or `cov` put them (log std, or 0 for cov).

    Raises
    ------
    ValueError
        For both or neither of `std` and `cov`, a negative std, an indefinite cov, or a std of 0 that should be learned.
    """
    n, m = validate.integer("n", n, 1), validate.integer("m", m, 1)
    if (std is None) == (cov is None):
        raise ValueError(f"std, cov: expected exactly one of them, got std={std!r} and cov={cov!r}")
    if cov is None:
        std = validate.array("std", std)
        std = validate.array("std", np.full(m, float(std)) if std.ndim == 0 else std, (m,))
        if (std < 0).any():
            raise ValueError(f"std: expected standard deviations >= 0, got {std.tolist()}")
        root = np.diag(std)
    else:
        root = validate.factor(validate.covariance("cov", cov, m))
    scales = np.abs(np.diag(root))
    singular = scales.min() <= 1e-14 * max(scales.max(), 1e-300)
    if learn_std and singular and cov is None:
        raise ValueError(f"std: expected standard deviations > 0 to learn their logarithms, got {std.tolist()}")

    if cov is None and learn_std:
        root, start = np.eye(m), np.log(std)
    else:
        start = np.zeros(m if learn_std else 0)
    diagonal = cov is None
    inverse = np.zeros((m, m)) if singular else np.linalg.inv(root)
    if diagonal:
        params = {} if learn_std else {"std": np.diag(root), "precision": np.diag(inverse)}
    else:
        params = {"root": root, "inverse": inverse}

    def shape(p, e):
        """Return Lc e, before any learned scale."""
        if diagonal:
            return e if learn_std else tuple(p.std[i] * e[i] for i in range(m))
        return tuple(sum(p.root[i, j] * e[j] for j in range(i + 1)) for i in range(m))

    def whitened(p, e):
        """Return Lc^-T e."""
        if diagonal:
            return e if learn_std else tuple(p.precision[i] * e[i] for i in range(m))
        return tuple(sum(p.inverse[j, i] * e[j] for j in range(i, m)) for i in range(m))

    def eta(p, theta, s):
        mean = tuple(sum(theta[i * n + j] * s[j] for j in range(n)) for i in range(m))
        return mean + tuple(theta[m * n :])

    def sample(p, eta, e):
        u = shape(p, e)
        if learn_std:
            u = tuple(math.exp(eta[m + i]) * u[i] for i in range(m))
        return tuple(eta[i] + u[i] for i in range(m))

    def score(p, eta, a, e):
        v = whitened(p, e)
        if not learn_std:
            return v
        u = shape(p, e)
        return tuple(math.exp(-eta[m + i]) * v[i] for i in range(m)) + tuple(u[i] * v[i] - 1.0 for i in range(m))

    names = [f"K[{i},{j}]" for i in range(m) for j in range(n)]
    scale = "log std" if diagonal else "log scale"
    names += [f"{scale}[{i}]" for i in range(m)] if learn_std else []
    return Policy(
        states=n,
        actions=m,
        noises=m,
        parameters=tuple(names),
        eta=eta,
        sample=sample,
        score=score,
        params=params,
        no_score=_NO_SCORE if singular else None,
        start=start,
        name=f"linear-Gaussian n={n} m={m}",
        closed_form=LinearGaussian(root, bool(learn_std)),
    )


_NO_SCORE = (
    "the policy's covariance is singular (a standard deviation of 0), so the action has no density and "
    "d log p(a | s) does not exist; use mcgrad.estimators.reparameterization(), or a positive std"
)
