"""The exact critic of a problem without a closed form, under a Gaussian policy with independent actions of scales std_i.

    A_t(s, a) = sum_k c_tk(s) prod_i He_{k_i}(u_i),    u_i = (a_i - mu_i) / std_i,    k != 0,

He the polynomials of Hermite, orthogonal under the policy. So the mean of A_t over the actions is exactly zero, and its
products with the score have the means c_t1 / std and 2 c_t2, however well or badly A_t is approximated: control variates stay
unbiased. V_t and the c_tk are polynomials of Chebyshev in the state, constant beyond a box that is a tenth wider than that of
pilot trajectories; what puts Q_t in the place of a return is biased by their error, at most `ERROR` of the range of V_t.
"""

import itertools
import math
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..baselines import chebyshev
from ..per_step import PerStep
from ..policies.scales import scales
from ..problem import Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView
from ..truth import Truth
from .critic import Wrong

ORDERS = {1: 6, 2: 4}  # the highest total order |k|, by the number of actions
NODES = {1: 24, 2: 12}  # of an action
ERROR = 5e-3  # of V and c_k, relative to the largest range of one of them
LEFT = 0.05  # of A: the root mean square of what higher orders would add, relative to that of A
WIDER = 1.1  # the box, relative to that of pilot trajectories
HERE = "orders"  # the name of data that tell this form from others


def data(wrong: Wrong, problem: Problem, theta: NDArray[np.float64], truth: Truth) -> Data:
    """Return the numbers that the functions below read.

    Raises
    ------
    ValueError
        For other policies, more than two actions, critics that oscillate, and a critic that is no such polynomial.
    """
    found, m = scales(problem.policy), problem.policy.actions
    if found is None or m not in ORDERS:
        raise ValueError(
            "critic: without a closed form it is there for Gaussian policies with one or two independent actions and std > 0, "
            f"not for {problem.policy.name}"
        )
    if wrong.amplitude:
        raise ValueError("critic: one that oscillates is there for linear-quadratic and tabular problems")
    exact = truth.critic(problem, theta)
    series = _known_series.get(exact)
    if series is None:  # once for all estimators that ask
        series = _known_series[exact] = _series(exact, problem.environment.states, m)
    c = wrong.scale * series["chebyshev"]
    c[(slice(None), 0, *[0] * problem.environment.states)] += wrong.shift
    c = np.concatenate([c, np.zeros_like(c[:1])])  # no action at the end
    return {HERE: PerStep(c), "low": series["low"], "scale": series["scale"]}


_known_series: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()  # of exact critics


def _series(exact: Any, n: int, m: int) -> dict[str, Any]:
    """Return V and the c_k of an exact critic of n states and m actions, as of `chebyshev.fitted`."""
    x, w = np.polynomial.hermite_e.hermegauss(NODES[m])
    u = np.stack([y.ravel() for y in np.meshgrid(*[x] * m, indexing="ij")], axis=1)
    weights = np.prod(np.meshgrid(*[w / w.sum()] * m, indexing="ij"), axis=0).ravel()
    orders = _orders(m)
    polynomials = np.polynomial.hermite_e.hermeval(u, np.eye(ORDERS[m] + 1))  # (orders, nodes, actions)
    waves = np.stack([np.prod([polynomials[k, :, i] for i, k in enumerate(alpha)], axis=0) for alpha in orders])
    sizes = np.array([math.prod(map(math.factorial, alpha)) for alpha in orders], float)
    left = [0.0, 0.0]

    def functions(t: int, s: NDArray[np.float64]) -> NDArray[np.float64]:
        Q = exact.drawn(t, np.repeat(s, len(u), axis=0), np.tile(u, (len(s), 1))).reshape(len(s), len(u))
        c = waves * weights @ Q.T / sizes[:, None]
        apart, whole = (Q - c.T @ waves) ** 2 @ weights, (Q - c[0][:, None]) ** 2 @ weights
        left[0], left[1] = left[0] + apart.mean(), left[1] + whole.mean()
        return c

    low, high = exact.value.box
    middle, half = (low + high) / 2, WIDER * (high - low) / 2
    box = middle - half, middle + half
    series = chebyshev.fitted("critic: the exact values", functions, exact.value.horizon, n, box, ERROR)
    if left[0] > LEFT**2 * left[1]:
        raise ValueError(
            f"critic: {np.sqrt(left[0] / left[1]):.2g} of the advantage is of a higher order than {ORDERS[m]} in the action; "
            "mg.estimators.reward_to_go() works everywhere"
        )
    return series


def value(wrong: Wrong, c: Constants, x: StateView) -> Number:
    """Return V_t(s_t)."""
    return chebyshev.at(c.orders[0], chebyshev.where_in_box(c, x.s))


def advantage(wrong: Wrong, c: Constants, x: StateView) -> Number:
    """Return A_t(s_t, a_t)."""
    m, std = len(x.a), _std(x)
    u = [(x.a[i] - x.eta[i]) / std[i] for i in range(m)]
    return sum(y * math.prod(_hermite(u[i], k) for i, k in enumerate(alpha)) for alpha, y in _coefficients(c, x))


def action_gradient(wrong: Wrong, c: Constants, x: StateView) -> Numbers:
    """Return dQ_t(s_t, a) / da at a = a_t."""
    std = _std(x)
    return _slopes(c, x, [(x.a[i] - x.eta[i]) / std[i] for i in range(len(x.a))], std)


def first_order(wrong: Wrong, c: Constants, x: StateView) -> tuple[Number, Numbers]:
    """Return A_t of the Taylor expansion of Q_t about the mean action, and E_a[score * A_t | s_t]."""
    m = len(x.a)
    gradient = _slopes(c, x, [0.0] * m, _std(x))
    known = sum((x.a[i] - x.eta[i]) * gradient[i] for i in range(m))
    return known, gradient + (0.0,) * (len(x.eta) - m)


def expected_score(wrong: Wrong, c: Constants, x: StateView) -> Numbers:
    """Return E_a[score * Q_t(s_t, a) | s_t], a cotangent of eta."""
    m, std, found = len(x.a), _std(x), dict(_coefficients(c, x))
    unit = np.eye(m, dtype=int)
    means = tuple(found[tuple(unit[i])] / std[i] for i in range(m))
    of_scale = [2.0 * found[tuple(2 * unit[i])] for i in range(len(x.eta) - m)]
    _, learned = _known(x.problem)
    return means + tuple(y / std[i] if learned == "std" else y for i, y in enumerate(of_scale))


def _orders(m: int) -> list[tuple[int, ...]]:
    """Return the orders k of all terms, that of V first."""
    every = itertools.product(range(ORDERS[m] + 1), repeat=m)
    return sorted((k for k in every if sum(k) <= ORDERS[m]), key=lambda k: (sum(k), k))


def _hermite(u: Number, k: int) -> Number:
    """Return He_k(u) = u He_{k-1}(u) - (k - 1) He_{k-2}(u)."""
    now: Number = 1.0
    before: Number = 0.0
    for j in range(k):
        now, before = u * now - float(j) * before, now
    return now


def _coefficients(c: Constants, x: StateView) -> list[tuple[tuple[int, ...], Number]]:
    """Return k and c_tk(s_t) of all terms but V."""
    at = chebyshev.where_in_box(c, x.s)
    return [(k, chebyshev.at(c.orders[j], at)) for j, k in enumerate(_orders(len(x.a))) if j]


def _slopes(c: Constants, x: StateView, u: Sequence[Number], std: Sequence[Number]) -> Numbers:
    """Return the derivatives of A_t in the actions, by He_k' = k He_{k-1}."""
    m, found = len(u), _coefficients(c, x)

    def of(i: int, alpha: tuple[int, ...]) -> Number:
        return math.prod(float(k) * _hermite(u[j], k - 1) if j == i else _hermite(u[j], k) for j, k in enumerate(alpha))

    return tuple(sum(y * of(i, alpha) for alpha, y in found if alpha[i]) / std[i] for i in range(m))


def _known(problem: Problem) -> tuple[NDArray[np.float64], str]:
    found = scales(problem.policy)
    assert found is not None
    return found


def _std(x: StateView) -> list[Number]:
    """Return the standard deviations of the actions."""
    fixed, learned = _known(x.problem)
    m = len(fixed)
    if learned == "fixed":
        return [float(y) for y in fixed]
    return [fixed[i] * np.exp(x.eta[m + i]) if learned == "log" else x.eta[m + i] for i in range(m)]
