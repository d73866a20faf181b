"""Baselines of least variance for each time and state, and the textbook's: what `algebra` does not say for all theories.

    b_t*(s) = Cov(X, z_t 1{s_t = s}) / Var(z_t 1{s_t = s}),    for each time and state

since a state is one thing at a time. Cov(X, z_t) has the terms E[z_k G_k z_t], k != t, that the textbook's
E[z_t^2 G_t] / E[z_t^2] leaves out.

References
----------
Weaver & Tao (2001); Greensmith, Bartlett & Baxter (2004), Variance reduction techniques for gradient estimates in
reinforcement learning.
"""

import numpy as np

from ..leaves import Rule
from .covariances import covariance_by_step
from .values import critic, discounted_visits, stages


def optimal_over_states(system, X):
    """b_t*(s), in addition to X's own baseline; 0 where the state or the score cannot occur: (T, S, P)."""
    score = Rule(weight=np.ones((stages(system), system.states, 1, 1)))
    cov, power = (covariance_by_step(system, x, score)[1] for x in (X, score))
    return _ratio(cov, power)


def naive_over_time(system):
    """Return the textbook's b_t = E[z_t^2 G_t] / E[z_t^2], which is not optimal: (T, P)."""
    top, bottom = _squares(system)
    return _ratio(top.sum(axis=1), bottom.sum(axis=1))


def naive_over_states(system):
    """Return the textbook's b_t(s) = E[z_t^2 Q_t | s] / E[z_t^2 | s], best for each term alone: (T, S, P)."""
    return _ratio(*_squares(system))


def _squares(system):
    """E[z_t^2 Q_t 1{s_t = s}] and E[z_t^2 1{s_t = s}], (T, S, P) both."""
    _, Q = critic(system)
    visits, squares = discounted_visits(system)[:, :, None], system.policy[..., None] * system.score**2
    return visits * np.einsum("tsa,sap->tsp", Q, squares), visits * squares.sum(axis=1)


def _ratio(top, bottom):
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)
