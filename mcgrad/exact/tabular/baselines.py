"""Baselines b_t(s), and those of least variance: constants, one number for each time, one for each time and state.

A baseline is an array (T, S, 1 or P), with the discount counted from time 0. Baselines add. Without a horizon it is
(1, S, 1 or P), and b_t(s) = gamma^t b(s). Subtracting it from an estimator X means X - sum_t b_t(s_t) z_t. Products of
scores at two times have mean zero, and a state is one thing at a time, so that the best are simply

    constant             b*      = Cov(X, Z) / Var Z
    for each time        b_t*    = Cov(X, z_t) / Var z_t
    for each state, too  b_t*(s) = Cov(X, z_t 1{s_t = s}) / Var(z_t 1{s_t = s})

for one parameter; for the sum of the variances over parameters, sums stand above and below the bar. They are exact:
Cov(X, z_t) has the terms E[z_k G_k z_t], k != t, that the textbook's E[z_t^2 G_t] / E[z_t^2] leaves out.

References
----------
Weaver & Tao (2001); Greensmith, Bartlett & Baxter (2004), Variance reduction techniques for gradient estimates in
reinforcement learning.
"""

import numpy as np

from .estimators import Score, WeightedScore
from .values import critic, discounted_visits, mean_return_to_go, stages
from .variances import covariance, covariance_by_step, variance


def constant_baseline(system, b):
    """b_t(s) = b: a number or one per parameter, (P,). Without a horizon, gamma^t b."""
    b, P = np.asarray(b, dtype=float), system.parameters
    if b.shape not in ((), (P,)):
        raise ValueError(f"b: expected a number or shape ({P},), got {b.shape}")
    return time_baseline(system, np.broadcast_to(b, (stages(system), *b.shape)))


def time_baseline(system, b):
    """b_t(s) = b_t: an array (T,), or (T, P) for one per parameter."""
    b, K, S, P = np.asarray(b, dtype=float), stages(system), system.states, system.parameters
    if b.shape not in ((K,), (K, P)):
        raise ValueError(f"b: expected shape ({K},) or ({K}, {P}), got {b.shape}")
    b = b.reshape(K, 1, -1)
    return np.array(np.broadcast_to(b, (K, S, b.shape[-1])))


def state_baseline(system, b):
    """b_t(s): an array (S,), (T, S) or (T, S, P)."""
    b, K, S, P = np.asarray(b, dtype=float), stages(system), system.states, system.parameters
    if b.shape not in ((S,), (K, S), (K, S, P)):
        raise ValueError(f"b: expected shape ({S},), ({K}, {S}) or ({K}, {S}, {P}), got {b.shape}")
    b = b if b.ndim == 3 else b[..., None]
    return np.array(np.broadcast_to(b, (K, S, b.shape[-1])))


def value_baseline(system):
    """b_t(s) = V_t(s), the exact value function."""
    return critic(system)[0][:-1, :, None]


def mean_to_go_baseline(system):
    """b_t(s) = E G_t."""
    return time_baseline(system, mean_return_to_go(system))


def optimal_constant(system, X):
    """b* of (R - b) Z, in addition to what X subtracts already: (P,)."""
    return _ratio(covariance(system, X, Score()), variance(system, Score()))


def trace_optimal_constant(system, X):
    """One b* for the sum of the variances: float."""
    return float(_ratio(covariance(system, X, Score()).sum(), variance(system, Score()).sum()))


def optimal_time_baseline(system, X):
    """b_t*, in addition to X's own baseline: (T, P)."""
    cov, power = _with_scores(system, X)
    return _ratio(cov.sum(axis=1), power.sum(axis=1))


def trace_optimal_time_baseline(system, X):
    """b_t* for the sum of the variances: (T,)."""
    cov, power = _with_scores(system, X)
    return _ratio(cov.sum(axis=(1, 2)), power.sum(axis=(1, 2)))


def optimal_state_baseline(system, X):
    """b_t*(s), in addition to X's own baseline; 0 where the state or the score cannot occur: (T, S, P)."""
    return _ratio(*_with_scores(system, X))


def trace_optimal_state_baseline(system, X):
    """b_t*(s) for the sum of the variances: (T, S)."""
    cov, power = _with_scores(system, X)
    return _ratio(cov.sum(axis=2), power.sum(axis=2))


def naive_time_baseline(system):
    """Return the textbook's b_t = E[z_t^2 G_t] / E[z_t^2], which is not optimal: (T, P)."""
    top, bottom = _squares(system)
    return _ratio(top.sum(axis=1), bottom.sum(axis=1))


def naive_state_baseline(system):
    """Return the textbook's b_t(s) = E[z_t^2 Q_t | s] / E[z_t^2 | s], best for each term alone: (T, S, P)."""
    return _ratio(*_squares(system))


def _with_scores(system, X):
    """Cov(X, z_t 1{s_t = s}) and Var(z_t 1{s_t = s}), (T, S, P) both."""
    score = WeightedScore(constant_baseline(system, 1.0))
    return covariance_by_step(system, X, score)[1], covariance_by_step(system, score, score)[1]


def _squares(system):
    """E[z_t^2 Q_t 1{s_t = s}] and E[z_t^2 1{s_t = s}], (T, S, P) both."""
    _, Q = critic(system)
    visits, squares = discounted_visits(system)[:, :, None], system.policy[..., None] * system.score**2
    return visits * np.einsum("tsa,sap->tsp", Q, squares), visits * squares.sum(axis=1)


def _ratio(top, bottom):
    """Ratio top / bottom, 0 where there is no score and any baseline will do."""
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)
