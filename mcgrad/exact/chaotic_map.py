"""Exact moments of gradients on the chaotic map: backward recursions for functions of the state, on a Chebyshev grid.

    u = gain x + a,    x' = sin u,    r = -gamma^t x'^2,    D' = cos u (gain D + d),    d = 1 for the mean of a, e for its std

The noise makes what is expected of the future a smooth function of x, which a polynomial on [-1, 1] holds to all digits; the
trapezoid rule does the same for the expectation over the noise. What is left of a pathwise gradient at t is linear in
D = dx/dtheta, its square quadratic; of a score function, products of the return and of the sum of scores.

The second moment of a pathwise gradient grows as the product of squared derivatives does: by the leading eigenvalue of
h -> E[(gain cos u)^2 h(sin u)] per step.
"""

import itertools
import math
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike

from ..policies.gaussian import Gaussian
from ..problem import Problem
from .leaves import Pathwise, Rule
from .theory import Array, NoClosedForm, Theory

MOST_NODES = 500  # of the grid; sharper functions of the state need more


class _Map:
    """The map under a ~ N(mean, std^2): a grid of states and the start, and operators h -> E[weight(e, u) h(x') | x]."""

    def __init__(self, gain: float, start: float, mean: float, std: float) -> None:
        nodes = 48 + math.ceil(9.0 * gain / std)
        if nodes > MOST_NODES:
            raise NoClosedForm(
                f"std: expected at least {9.0 * gain / (MOST_NODES - 48):.3g} for exact moments, got {std:.3g}"
            )
        step = 2 * math.pi / (std * nodes + 20.0)
        self.e = np.arange(-9.0, 9.0 + step, step)
        self._density = np.exp(-(self.e**2) / 2) * step / math.sqrt(2 * math.pi)
        grid = chebyshev.chebpts1(nodes)
        self.size, self.gain, self.std = nodes + 1, gain, std
        u = gain * np.append(grid, start)[:, None] + mean + std * self.e
        self.cosine, self.next = np.cos(u), np.sin(u)
        # Values on the grid -> Chebyshev coefficients -> values at the next states.
        self._coefficients = chebyshev.chebvander(grid, nodes - 1).T * (2.0 / nodes)
        self._coefficients[0] /= 2
        self._at_next = chebyshev.chebvander(self.next, nodes - 1)

    def operator(self, weight: float | Array) -> Array:
        """Return the matrix of h -> E[weight h(x') | x], `weight` being an array over (x, e)."""
        weight = np.broadcast_to(weight * self._density, self.next.shape)
        matrix = np.zeros((self.size, self.size))
        matrix[:, :-1] = np.einsum("xe,xej->xj", weight, self._at_next) @ self._coefficients
        return matrix


def growth(gain: float, mean: float, std: float) -> float:
    """Return what log Var of a pathwise gradient gains per step: the log of the leading eigenvalue (see the module)."""
    m = _Map(gain, 0.0, mean, std)
    return float(np.log(np.abs(np.linalg.eigvals(m.operator((gain * m.cosine) ** 2)[:-1, :-1])).max()))


class Chaotic(Theory):
    """The theory of a problem; functions of time alone are arrays (T, 1 or P)."""

    def __init__(self, problem: Problem, theta: ArrayLike) -> None:
        policy, theta = problem.policy.closed_form, problem.theta(theta)
        self.problem, self.theta, self.name = problem, theta, problem.environment.name
        if not isinstance(policy, Gaussian):
            raise NoClosedForm(f"no closed form is known for {problem.policy.name}; expected mcgrad.policies.gaussian")
        std = theta[1] if policy.std is None else policy.std[0]
        if std <= 0:
            raise ValueError(f"theta: expected a standard deviation > 0, got {std!r}")
        self.kinds = ("mean",) if policy.std is not None else ("mean", "std")
        self.map, self.weights = (
            _Map(*map(float, (*problem.environment.closed_form, theta[0], std))),
            problem.weights()[:-1],
        )
        self.parameters, self.horizon = len(self.kinds), problem.horizon

    @cached_property
    def objective(self) -> float:
        """J."""
        return float(_mean_to_go(self.map, self.weights)[0])

    @cached_property
    def return_variance(self) -> float:
        """The variance of the return."""
        return float(self.products[0][2, 0] - self.objective**2)

    @cached_property
    def products(self) -> list[Array]:
        """E[R^i Z^j], a matrix for each parameter."""
        return [_products(self.map, self.weights, kind) for kind in self.kinds]

    def gradient(self) -> Array:
        """Return dJ/dtheta, (P,)."""
        return np.array([_pathwise(self.map, self.weights, kind)[0] for kind in self.kinds])

    def mean_return_to_go(self) -> Array:
        """Return E[G_t], (T,)."""
        return _mean_to_go(self.map, self.weights)

    def over_time(self, b: ArrayLike) -> Array:
        """Return b, a number, (T,) or (T, P), as a function."""
        b = np.asarray(b, dtype=float)
        return np.broadcast_to(b.reshape(-1, 1) if b.ndim < 2 else b, (self.horizon, b.shape[1] if b.ndim == 2 else 1))

    def times(self, f: Array, numbers: float | Array) -> Array:
        """Return f times a number, or one for each parameter."""
        return f * numbers

    def mean(self, x: Rule | Pathwise) -> Array:
        """Return E X, (P,)."""
        whole, to_go = self._kind(x)
        return self.gradient() if to_go or (whole is None or whole[0]) else np.zeros(self.parameters)

    def covariance(self, x: Rule | Pathwise, y: Rule | Pathwise) -> Array:
        """Return Cov(X_p, Y_p), (P,)."""
        (one, _), (two, _) = self._kind(x), self._kind(y)
        if one is not None and two is not None:
            (a, c), (b, d) = one, two
            return np.array(
                [
                    a * b * x[2, 2] + (a * d[p] + b * c[p]) * x[1, 2] + c[p] * d[p] * x[0, 2] - a * b * x[1, 1] ** 2
                    for p, x in enumerate(self.products)
                ]
            )
        if x.key != y.key:
            raise NoClosedForm(f"no covariance of these estimators is known on {self.name}")
        if isinstance(x, Pathwise):
            return np.array([_pathwise(self.map, self.weights, kind)[1] for kind in self.kinds])
        b = -np.broadcast_to(x.weight + x.score, (self.horizon, self.parameters))
        return np.array([_to_go(self.map, self.weights, kind, b[:, p]) for p, kind in enumerate(self.kinds)])

    def _kind(self, x: Rule | Pathwise) -> tuple[tuple[float, Array] | None, bool]:
        """Return a and c (P,) of a leaf (a R + c) Z, or None; and whether it is the return to go with a baseline over time."""
        if isinstance(x, Pathwise):
            return None, False
        if x.ahead is not None or np.ndim(x.expected) or np.ndim(x.followed) or x.news or x.only_return:
            raise NoClosedForm(f"no closed form is known for this estimator on {self.name}")
        if not np.ndim(x.weight) and (x.whole or x.trace is None):
            return (float(x.whole), np.broadcast_to(x.score, (self.parameters,))), False
        if x.whole or x.trace != 1.0:
            raise NoClosedForm(f"no closed form is known for this estimator on {self.name}")
        return None, True


def _mean_to_go(m: _Map, weights: Array) -> Array:
    """Return E[G_t | x_0 = start], (T,): the value functions, carried on to time 0 by the noise of the steps before."""
    on, reward = m.operator(1.0), m.operator(-(m.next**2)).sum(axis=1)
    values = np.zeros((m.size, len(weights)))  # column t: E[G_t | x_k], k going down to 0
    for k in reversed(range(len(weights))):
        values = on @ values
        values[:, : k + 1] += weights[k] * reward[:, None]  # the reward of step k is ahead of all t <= k
    return values[-1]


def _direction(m: _Map, kind: str) -> tuple[Array, Array]:
    """Return da/dtheta and d log p / dtheta as functions of the noise."""
    if kind == "mean":
        return np.ones_like(m.e), m.e / m.std
    return m.e, (m.e**2 - 1.0) / m.std


def _pathwise(m: _Map, weights: Array, kind: str) -> tuple[float, float]:
    """Return mean and variance of the pathwise gradient.

    What is left of it, Y_t = sum_{k >= t} rho_k D_{k+1} with rho_k = -2 gamma^k x_{k+1}, has E[Y_t | x, D] = one D + zero and
    E[Y_t^2 | x, D] = two D^2 + mixed D + none. With Y_t = rho D' + Y_{t+1} and D' = cos u (gain D + d),

        E[Y_t^2] = E[A D'^2 + B D' + none'],    A = rho^2 + 2 rho one' + two',    B = 2 rho zero' + mixed'.
    """
    d, _ = _direction(m, kind)
    c, slope, g = m.cosine, -2.0 * m.next, m.gain
    on, ones = m.operator(1.0), np.ones(m.size)
    # Factors of (D, 1) in D', and of (D^2, D, 1) in D'^2, times powers of the slope.
    first = [[m.operator(f * slope**k) for k in (0, 1)] for f in (g * c, c * d)]
    second = [[m.operator(f * slope**k) for k in (0, 1, 2)] for f in ((g * c) ** 2, 2 * g * c * c * d, (c * d) ** 2)]
    one, zero, two, mixed, none = np.zeros((5, m.size))
    for w in weights[::-1]:
        of_one = [w * (K1 @ ones) + K0 @ one for K0, K1 in first]
        of_A = [w * w * (K2 @ ones) + 2 * w * (K1 @ one) + K0 @ two for K0, K1, K2 in second]
        of_B = [2 * w * (K1 @ zero) + K0 @ mixed for K0, K1 in first]
        one, zero = of_one[0], of_one[1] + on @ zero
        two, mixed, none = of_A[0], of_A[1] + of_B[0], of_A[2] + of_B[1] + on @ none
    return zero[-1], none[-1] - zero[-1] ** 2


def _operators(m: _Map, kind: str) -> dict[tuple[int, int], Array]:
    """Return K[i, j]: h -> E[(-x'^2)^i z^j h(x')], z the score of a step."""
    _, z = _direction(m, kind)
    return {(i, j): m.operator((-(m.next**2)) ** i * z**j) for i in range(3) for j in range(3)}


def _products(m: _Map, weights: Array, kind: str) -> Array:
    """Return E[R^i Z^j], i, j = 0, 1, 2, R the return and Z the sum of the scores: (3, 3)."""
    K = _operators(m, kind)
    moments = np.zeros((3, 3, m.size))
    moments[0, 0] = 1.0
    for w in weights[::-1]:
        later, moments = moments, np.zeros_like(moments)
        for i, j, k, n in itertools.product(range(3), repeat=4):
            if k <= i and n <= j:
                binomials = math.comb(i, k) * math.comb(j, n)
                moments[i, j] += binomials * w ** (i - k) * (K[i - k, j - n] @ later[k, n])
    return moments[:, :, -1]


def _to_go(m: _Map, weights: Array, kind: str, b: Array) -> float:
    """Return the variance of X = sum_t z_t (G_t - b_t), from X_t = z_t (r_t + G_{t+1} - b_t) + X_{t+1}."""
    K = _operators(m, kind)
    one = np.ones(m.size)
    G, GG, X, XX, XG = np.zeros((5, m.size))
    for w, b_t in zip(weights[::-1], b[::-1], strict=True):
        # E[z^j G_t], E[z^j G_t^2], E[z^j G_t X_{t+1}] for j = 0, 1, 2
        returns = [w * (K[1, j] @ one) + K[0, j] @ G for j in range(3)]
        squares = [w * w * (K[2, j] @ one) + 2 * w * (K[1, j] @ G) + K[0, j] @ GG for j in range(3)]
        crossed = [w * (K[1, j] @ X) + K[0, j] @ XG for j in range(3)]
        own = squares[2] - 2 * b_t * returns[2] + b_t**2 * (K[0, 2] @ one)
        XX = own + 2 * (crossed[1] - b_t * (K[0, 1] @ X)) + K[0, 0] @ XX
        XG = squares[1] - b_t * returns[1] + crossed[0]
        X = returns[1] - b_t * (K[0, 1] @ one) + K[0, 0] @ X
        G, GG = returns[0], squares[0]
    return XX[-1] - X[-1] ** 2
