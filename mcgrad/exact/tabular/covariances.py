"""Exact covariances of estimators, per parameter: the sum over stages of E[m_t m'_t].

`martingale_differences` has m_t = sum_i c_i e_i. Given s, the carries c are known and the factors e have mean zero, so that

    E[m_t m'_t] = sum_s sum_ij E[c_i c'_j 1{s_t = s}] E[e_i e'_j | s],
    E[e e' | s, a] = mean mean' + slope slope' Var[omega] + slope Cov(omega, next') + slope' Cov(omega', next)
                     + Cov(next, next'),

all given (s, a). For X = Y each stage is a variance, and their sum does not cancel.
"""

import numpy as np

from ..leaves import Rule
from ..theory import Array
from .martingale_differences import Differences, Factor
from .system import System
from .traces import second_moment
from .values import stages, weights

RETURN = Rule(only_return=True)


def mean(system: System, X: Rule) -> Array:
    """Mean of a rule: the gradient, or that and the bias of a wrong critic: (P,)."""
    found = system.start @ Differences(system, X).first
    return np.array(np.broadcast_to(found, (system.parameters,)))


def variance(system: System, X: Rule) -> Array:
    """Variance per parameter of one trajectory's estimate: (P,)."""
    return np.maximum(covariance(system, X, X), 0.0)


def return_variance(system: System) -> float:
    """Variance of the return R: float."""
    return float(variance(system, RETURN)[0])


def covariance_matrix(system: System, X: Rule, Y: Rule) -> Array:
    """Return Cov(X_p, Y_q) of two rules on the same trajectory, (P, P)."""
    P = system.parameters
    out, p, x = np.empty((P, P)), np.arange(P), Differences(system, X)
    for k in range(P):
        first, steps = _by_step(system, x, Differences(system, Y, k))
        out[p, (p + k) % P] = first + steps.sum(axis=(0, 1))
    return out


def covariance(system: System, X: Rule, Y: Rule) -> Array:
    """Covariance per parameter of two estimators on the same trajectory: (P,)."""
    first, steps = covariance_by_step(system, X, Y)
    return first + steps.sum(axis=(0, 1))


def covariance_by_step(system: System, X: Rule, Y: Rule) -> tuple[Array, Array]:
    """Return the part of Cov(X, Y) decided by s_0, (P,), and by what happens in each state at each time.

    The latter is (T, S, P), or without a horizon (1, S, P), for all times together.
    """
    x = Differences(system, X)
    return _by_step(system, x, x if Y is X else Differences(system, Y))


def _by_step(system: System, x: Differences, y: Differences) -> tuple[Array, Array]:
    steps = np.zeros((stages(system), system.states, system.parameters))
    pairs = [(i, j) for i in range(len(x.carries)) for j in range(len(y.carries)) if y is not x or i <= j]
    carried = [second_moment(system, x.carries[i], y.carries[j]) for i, j in pairs]
    for t in range(stages(system)):
        left = x.factors(t)
        right = left if y is x else y.factors(t)
        for (i, j), moment in zip(pairs, carried, strict=True):
            twice = 2 if y is x and i < j else 1
            steps[t] += twice * moment[t] * product(system, t, left[i], right[j])
    one, two = (z.first - system.start @ z.first for z in (x, y))
    first = system.start @ (one * two)
    return np.array(np.broadcast_to(first, (system.parameters,))), steps


def product(system: System, t: int, e: Factor, f: Factor) -> Array:
    """E[e f | s] for two factors of stage t, (S, 1 or P)."""
    out = e.mean * f.mean
    if e.slope is not None and f.slope is not None and e.surprise is not None and f.surprise is not None:
        noise = weights(system)[t] ** 2 * system.reward_variance
        out = out + e.slope * f.slope * np.sum(system.flow * (e.surprise * f.surprise + noise), axis=2)[..., None]
    for one, two in ((e, f), (f, e)):
        if one.slope is not None and one.surprise is not None and two.next is not None:
            out = out + one.slope * np.tensordot(system.flow * one.surprise, two.next, 1)
    if e.next is not None and f.next is not None:
        out = out + _covariance_of_next(system, e.next, f.next)
    return np.einsum("sa,sap->sp", system.policy, np.broadcast_to(out, (*system.policy.shape, out.shape[-1])))


def _covariance_of_next(system: System, one: Array, two: Array) -> Array:
    """Cov(one(s_next), two(s_next) | s, a), (S, A, 1 or P): one s_next at a time, and only where it can follow."""
    flow = system.flow
    means = [np.tensordot(flow, x, 1) for x in (one, two)]
    out = np.zeros(np.broadcast_shapes(means[0].shape, means[1].shape))
    for s in range(system.states):
        rows = flow[:, :, s] > 0
        out[rows] += flow[:, :, s][rows][:, None] * (one[s] - means[0][rows]) * (two[s] - means[1][rows])
    return out
