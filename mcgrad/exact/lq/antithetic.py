"""Antithetic pairs: the average of an estimator over the noise xi and its sign-flipped image J xi.

    Var((X(xi) + X(J xi)) / 2) = (Var X + Cov(X(xi), X(J xi))) / 2,

with the second trajectory carried along in the same chain, of 2n (lifted: 4n) states. `flip`: "all" (s_0 - mean,
exploration, process noise) or "exploration" (only the eps_t). A pair costs two trajectories.
"""

import numpy as np

from .variances import chains, covariance_on, variance


def antithetic_covariance(system, X, flip="all", Y=None):
    """Cov(X(xi), Y(J xi)) per parameter, Y = X by default: (P,)."""
    Y = X if Y is None else Y
    if flip not in ("all", "exploration"):
        raise ValueError(f'flip: expected "all" or "exploration", got {flip!r}')
    parts = [covariance_on(chain, X, Y, path=1) for chain in chains(system, X.lifted or Y.lifted, flip)]
    return np.concatenate([start + steps.sum(0) for start, steps in parts])


def antithetic_variance(system, X, flip="all"):
    """Variance per parameter of the average over one antithetic pair: (P,)."""
    return np.maximum((variance(system, X) + antithetic_covariance(system, X, flip)) / 2, 0.0)
