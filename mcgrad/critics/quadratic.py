"""The critic of a linear-quadratic problem; `wrong` says in which way it may err, see `mcgrad.critics`.

    V_t(s) = -(s^T P_t s + c_t),    Q_t(s, a) = V_t(s) + A_t(s, a),    A_t = -(2 u^T F_t s + u^T U_t u - tr U_t Sigma),

with u = a - K s, and with the discount counted from time 0 (the matrices: `mcgrad.exact.critic`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..per_step import PerStep
from ..problem import Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView
from ..truth import Truth
from .critic import Wrong


def data(wrong: Wrong, problem: Problem, theta: NDArray[np.float64], truth: Truth) -> Data:
    """Return the numbers that the functions below read."""
    exact = truth.critic(problem, theta)
    P, c, cov = exact.value.P, exact.value.c, exact.cov
    F, U = (np.concatenate([x, np.zeros_like(x[:1])]) for x in (exact.F, exact.U))  # no action at the end
    by_action = np.einsum("tij,ji->ti", U, cov)  # (U_t Sigma)_ii
    learned = len(problem.parameters) - F[0].size  # all log scales, or none
    oscillation = {
        "amplitude": wrong.amplitude,
        "frequency": wrong.frequency,
        "variances": np.diag(cov),
        "damping": np.exp(-0.5 * wrong.frequency**2 * np.diag(cov)),
    }
    return {
        "P": PerStep(wrong.scale * (np.triu(P) + np.triu(P, 1))),
        "c": PerStep(wrong.scale * c - wrong.shift),
        "F": PerStep(2 * wrong.scale * F),
        "U": PerStep(wrong.scale * U),
        "level": PerStep(wrong.scale * by_action.sum(axis=1)),
        "scales": PerStep(-2 * wrong.scale * by_action[:, :learned]),
        **(oscillation if wrong.amplitude else {}),
    }


def value(wrong: Wrong, c: Constants, x: StateView) -> Number:
    """Return V_t(s_t)."""
    n = len(x.s)
    V = -(sum(x.s[i] * sum(c.P[i, j] * x.s[j] for j in range(i, n)) for i in range(n)) + c.c)
    if wrong.amplitude:
        V += c.amplitude * sum(np.cos(c.frequency * mu) * d for mu, d in zip(x.eta, c.damping, strict=False))
    return V


def _deviation(c: Constants, x: StateView) -> tuple[Numbers, Numbers, Numbers]:
    """Return u = a - K s, and the vectors 2 F s and U u."""
    m = len(x.a)
    u = tuple(x.a[i] - x.eta[i] for i in range(m))
    return u, tuple(c.F @ np.array(x.s)), tuple(c.U @ np.array(u))


def advantage(wrong: Wrong, c: Constants, x: StateView) -> Number:
    """Return A_t(s_t, a_t)."""
    u, Fs, Uu = _deviation(c, x)
    A = c.level - sum(u[i] * (Fs[i] + Uu[i]) for i in range(len(u)))
    if wrong.amplitude:
        for a, mu, d in zip(x.a, x.eta, c.damping, strict=False):
            A += c.amplitude * (np.cos(c.frequency * a) - np.cos(c.frequency * mu) * d)
    return A


def action_gradient(wrong: Wrong, c: Constants, x: StateView) -> Numbers:
    """Return dQ_t(s_t, a) / da at a = a_t."""
    u, Fs, Uu = _deviation(c, x)
    gradient = [-(Fs[i] + 2.0 * Uu[i]) for i in range(len(u))]
    return _with_slope(wrong, c, gradient, x.a, [1.0] * len(u))


def first_order(wrong: Wrong, c: Constants, x: StateView) -> tuple[Number, Numbers]:
    """Return A_t of the Taylor expansion of Q_t about the mean action, and E_a[score * A_t | s_t]."""
    u, Fs, _ = _deviation(c, x)
    gradient = _with_slope(wrong, c, [-y for y in Fs], x.eta, [1.0] * len(u))
    known = sum(a * b for a, b in zip(u, gradient, strict=True))
    return known, gradient + (0.0,) * (len(x.eta) - len(u))


def expected_score(wrong: Wrong, c: Constants, x: StateView) -> Numbers:
    """Return E_a[score * Q_t(s_t, a) | s_t], a cotangent of eta."""
    _, Fs, _ = _deviation(c, x)
    means = _with_slope(wrong, c, [-y for y in Fs], x.eta, c.damping if wrong.amplitude else ())
    scales = list(c.scales)
    if wrong.amplitude:
        for i in range(len(scales)):
            curvature = c.frequency**2 * c.variances[i] * c.damping[i]
            scales[i] -= c.amplitude * curvature * np.cos(c.frequency * x.eta[i])
    return means + tuple(scales)


def news_data(wrong: Wrong, problem: Problem, theta: NDArray[np.float64], truth: Truth) -> Data:
    """Return the numbers that `gradient_news` reads."""
    news = truth.gradient_news(problem, theta)
    parts = (wrong.scale * x for x in (news.linear, news.quadratic, news.level))
    linear, quadratic, level = (np.concatenate([x, np.zeros_like(x[:1])]) for x in parts)  # no action at the end
    return {"linear": PerStep(linear), "quadratic": PerStep(quadratic), "level": PerStep(level)}


def gradient_news(c: Constants, x: StateView) -> Numbers:
    """Return u^T linear_p s + u^T quadratic_p u - level_p for each parameter p."""
    u, s = np.array([a - mu for a, mu in zip(x.a, x.eta, strict=False)]), np.array(x.s)
    return tuple(u @ (c.linear[p] @ s + c.quadratic[p] @ u) - c.level[p] for p in range(len(c.level)))


def _with_slope(
    wrong: Wrong, c: Constants, gradient: Sequence[Number], a: Numbers, weights: Sequence[Number]
) -> Numbers:
    """Add the slope of the oscillation at an action, each component times a weight."""
    if not wrong.amplitude:
        return tuple(gradient)
    slope = c.amplitude * c.frequency
    return tuple(g - slope * np.sin(c.frequency * a[i]) * weights[i] for i, g in enumerate(gradient))
