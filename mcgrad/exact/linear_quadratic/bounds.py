"""Efficiency bounds of linear-quadratic problems: what no estimator made of trajectories alone can go below.

The influence functions are martingales whose increments know nothing of the action's own dice,

    tree      Z_t omega_t + n_t                  Z_t = z_0 + .. + z_t, the score of the whole past
    markov    (d_t(s_t) + z_t) omega_t + n_t     d_t(s) = E[Z_{t-1} | s_t = s]

with omega_t = r_t + V_{t+1}(s_{t+1}) - Q_t(s_t, a_t), what the process noise does to the return, and n_t =
H_{t+1}(s_{t+1}) - E[H_{t+1}(s_{t+1}) | s_t, a_t], what it does to the gradient to go H = dV/dp.

d_t is a quadratic of the state (`past`), so that everything is an expectation over the white noise y = (e, v) of s_t and of the
action, u = L v, of products of few quadratics (`quadratics`), and a matrix over parameters is a product of two arrays. Of
the past of the tree bound, which is no function of the state, no second moment is needed either: with A_t(x) =
E[sum_{k>=t} omega_k^2 | s_t, u_t], summed by parts,

    sum_t E[Z_t Z_t^T omega_t^2] = sum_t E[(Z_t Z_t^T - Z_{t-1} Z_{t-1}^T) A_t]
                                 = sum_t E[(d_t + z_t) z_t^T A_t + z_t d_t^T A_t].

**stationary**: h*(s, a, s_next) = sum_t mu_t phi_t / sum_k mu_k with the densities mu_t of s_t is a ratio, in closed form where
all mu_t are one, and the ratio 1 / T. Else it needs one variable: for n = 1

    phi_t = (H_{t+1} - P_{t+1} zeta_t) ((x + w)^2 - x^2 - W),     x = Acl s + B u;

u and w are integrated exactly, s by Gauss-Legendre quadrature between the multiples of half a standard deviation of every s_t.

Cost: time O(T P (1 + n + m)^3), and T P^2 (n + m)^2 for matrices. n = m = 4, T = 50, P = 20: 0.05 s, matrices too.
"""

from typing import NamedTuple

import numpy as np

from ..theory import Array, Indices
from . import gaussian
from .past import Past
from .quadratics import Quadratic, Weight, both_ways, flat, inner
from .system import System
from .values import gradient_to_go, riccati, state_moments

SAME = 1e-11  # of two distributions that are taken for one, relative
NODES, REACH, PANEL = 12, 12.0, 0.5  # of a panel; standard deviations to integrate over, and between panels


class Stage(NamedTuple):
    """What x = Acl s_t + B u_t is: mean (n,) and X (n, N) of y = (e, v); W, and second = E[x x^T] (n, n)."""

    mean: Array
    X: Array
    W: Array
    second: Array

    def weight(self, G: Array, g: float) -> Weight:
        """Return x^T G x + g as a Weight."""
        return Weight(np.sum(G * self.second) + g, 2 * self.X.T @ G @ self.mean, self.X.T @ G @ self.X)

    def with_news(self, P: Array, H: Array) -> Quadratic:
        """Return E[omega n_p | x] less its mean, where omega = -y^T P y and n_p = y^T H_p y, y = x + w, centred."""
        both = P @ self.W @ H
        both = both + gaussian.transpose(both)
        return Quadratic(-4 * (both @ self.mean) @ self.X, -2 * self.X.T @ both @ self.X)

    def news(self, H: Array, matrix: bool) -> Array:
        """E[n_p n_q]."""
        other = 2 * self.W @ H @ (2 * self.second + self.W)
        if not matrix:
            return np.einsum("pij,pji->p", H, other)
        return flat(H) @ flat(gaussian.transpose(other)).T


def _stage(past: Past, t: int) -> Stage:
    system, mean = past.system, past.mean[t]
    X = np.hstack([system.closed @ past.root[t], system.B @ system.L])
    mean = system.closed @ mean
    return Stage(mean, X, system.W, X @ X.T + np.outer(mean, mean))


# ---- tree, Markov ------------------------------------------------------------------------------------------------


def tree_bound(system: System, matrix: bool = False) -> Array:
    """Return the bound without a Markov assumption, (P,) or (P, P)."""
    past, P, H = Past(system), riccati(system)[0], _gradients(system)
    total = _start(system, H, matrix)
    ahead, left = _surprises_to_go(system, P)
    for t in range(system.horizon):
        x, d, z = _stage(past, t), past.before(t), past.now(t)
        weight = x.weight(ahead[t], left[t])
        total = total + inner((d + z).times(weight), z, matrix) + inner(z.times(weight), d, matrix)
        total = total + _with_news(x, d + z, P[t + 1], H[t + 1], matrix)
    return total


def markov_bound(system: System, matrix: bool = False) -> Array:
    """Return the bound for Markov states, (P,) or (P, P)."""
    past, P, H = Past(system), riccati(system)[0], _gradients(system)
    total = _start(system, H, matrix)
    for t in range(system.horizon):
        x, zeta = _stage(past, t), past.before(t) + past.now(t)
        weight = x.weight(*_surprise(system, P[t + 1], P[t + 1]))
        total = total + inner(zeta.times(weight), zeta, matrix) + _with_news(x, zeta, P[t + 1], H[t + 1], matrix)
    return total


def _with_news(x: Stage, zeta: Quadratic, P: Array, H: Array, matrix: bool) -> Array:
    """E[zeta omega n^T + n omega zeta^T + n n^T]."""
    return both_ways(inner(zeta, x.with_news(P, H), matrix), matrix) + x.news(H, matrix)


def _gradients(system: System) -> Array:
    return gradient_to_go(system, np.arange(system.parameters))[0]


def _start(system: System, H: Array, matrix: bool) -> Array:
    """Cov dV_0(s_0)."""
    C = system.initial_factor
    start = Quadratic(2 * (H[0] @ system.mean) @ C, C.T @ H[0] @ C)
    return inner(start, start, matrix)


def _surprise(system: System, P: Array, other: Array) -> tuple[Array, float]:
    """Return G and g of E[omega omega' | x] = x^T G x + g, omega = -(y^T P y - its mean), y = x + w, omega' of another P."""
    W = system.W
    both = P @ W @ other
    return 2 * (both + both.T), 2 * np.sum((P @ W) * (other @ W).T)


def _surprises_to_go(system: System, P: Array) -> tuple[Array, Array]:
    """Return G_t (T, n, n) and g_t (T,) of E[sum_{k>=t} omega_k^2 | s_t, u_t] = x^T G x + g."""
    T, n = system.horizon, system.states
    G, g, A = np.zeros((T + 1, n, n)), np.zeros(T + 1), system.closed
    spread = A @ system.W @ A.T + system.B @ system.policy_cov @ system.B.T
    for t in reversed(range(T)):
        own, level = _surprise(system, P[t + 1], P[t + 1])
        G[t], g[t] = own + A.T @ G[t + 1] @ A, level + g[t + 1] + np.sum(G[t + 1] * spread)
    return G, g


# ---- stationary --------------------------------------------------------------------------------------------------


def stationary_bound(system: System, matrix: bool = False) -> Array:
    """Return the bound for Markov states and dynamics that are known to be the same at all times, (P,) or (P, P).

    Raises
    ------
    ValueError
        For more than one state variable, unless the state has one distribution at all times: there is no closed form.
    """
    if system.states > 1:
        if not in_equilibrium(system):
            raise ValueError(
                f"stationary: expected one state variable, got {system.states}: h* is a ratio of densities"
            )
        return _at_all_times(system, matrix)
    past, H = Past(system), _gradients(system)
    total = _start(system, H, matrix)
    if not system.W.any():
        return total
    scale = past.root[:, 0, 0]
    spread = np.flatnonzero(scale)
    if spread[0] == 1:  # s_0 is one point: a set of states of its own
        total = total + _at_a_point(system, H, matrix)
    return total + _pooled(system, H, past, spread, matrix)


def in_equilibrium(system: System) -> bool:
    """Tell whether s_0, ..., s_{T-1} have one distribution."""
    mean, cov = (x[:-1] for x in state_moments(system))
    same_mean = np.abs(mean - mean[0]).max() <= SAME * np.sqrt(np.abs(cov[0]).max() + np.abs(mean[0]).max() ** 2)
    return bool(same_mean and np.abs(cov - cov[0]).max() <= SAME * np.abs(cov[0]).max())


def _at_all_times(system: System, matrix: bool) -> Array:
    """Each w_t is 1 / T: Cov dV_0 + E (sum_t phi_t)(sum_t phi_t)^T / T, all phi_t functions of one (s, u, w)."""
    past, P, H, T = Past(system).in_one_basis(), riccati(system)[0], _gradients(system), system.horizon
    x, news = _stage(past, 0), H[1:].sum(axis=0)
    zeta = [past.before(t) + past.now(t) for t in range(T)]
    total = x.news(news, matrix)
    for t in range(T):
        total = total + both_ways(inner(zeta[t], x.with_news(P[t + 1], news), matrix), matrix)
        for k in range(T):
            weight = x.weight(*_surprise(system, P[t + 1], P[k + 1]))
            total = total + inner(zeta[t].times(weight), zeta[k], matrix)
    return _start(system, H, matrix) + total / T


def _at_a_point(system: System, H: Array, matrix: bool) -> Array:
    P, H = riccati(system)[0][1, 0, 0], H[1, :, 0, 0]
    return _over_actions(system, system.mean, H[None], np.array([P]), matrix)[0]


def _pooled(system: System, H: Array, past: Past, times: Indices, matrix: bool) -> Array:
    """Integrate E[(sum_t mu_t phi_t)^2 | s] / sum_t mu_t over s."""
    mean, scale = state_moments(system)[0][times, 0], np.abs(past.root[times, 0, 0])
    steps = np.arange(-REACH, REACH + PANEL / 2, PANEL)
    edges = np.unique(np.round((mean[:, None] + scale[:, None] * steps).ravel() / scale.min(), 6)) * scale.min()
    x, weight = np.polynomial.legendre.leggauss(NODES)
    s = (edges[:-1, None] + np.diff(edges)[:, None] * (x + 1) / 2).ravel()
    ds = (np.diff(edges)[:, None] * weight / 2).ravel()
    P, H = riccati(system)[0][1:, 0, 0][times], H[1:, :, 0, 0][times]
    sign = np.sign(past.root[times, 0, 0])
    mu, a, b = np.zeros(len(s)), np.zeros((len(s), system.parameters)), np.zeros(len(s))
    for k, t in enumerate(times):
        e = (s - mean[k]) / scale[k]
        density = np.exp(-(e**2) / 2) / (scale[k] * np.sqrt(2 * np.pi))
        beta = past.beta[t, :, 0, 0]
        d = sign[k] * e[:, None] * past.alpha[t, :, 0] + (e[:, None] ** 2 - 1) * beta / 2
        mu += density
        a += density[:, None] * (H[k] - P[k] * d)
        b += density * P[k]
    found = _over_actions(system, s, a, b, matrix)
    return np.tensordot(ds / mu, found, 1)


def _over_actions(system: System, s: Array, a: Array, b: Array, matrix: bool) -> Array:
    """E[(a - b z)(a - b z)^T (4 x^2 W + 2 W^2)] over the action, for each s: (N, P) or (N, P, P)."""
    m, N, W = system.actions, len(s), system.W[0, 0]
    inverse, L = system.inverse_factor.T, system.L
    forms = np.zeros((N, system.parameters, 1 + m, 1 + m))  # a - b z, of (1, v), u = L v
    for p in range(system.parameters):
        if p < m:
            forms[:, p, 0, 1:] = forms[:, p, 1:, 0] = -(b * s)[:, None] * inverse[p] / 2
        else:
            own = np.outer(L[p - m], inverse[p - m])
            forms[:, p, 1:, 1:] = -b[:, None, None] * (own + own.T) / 2
            forms[:, p, 0, 0] = b
    forms[..., 0, 0] += a
    x = np.concatenate([(system.closed[0, 0] * s)[:, None], np.broadcast_to((system.B @ L)[0], (N, m))], axis=1)
    square = 4 * W * x[:, :, None] * x[:, None, :]
    square[:, 0, 0] += 2 * W**2
    C = np.eye(1 + m)
    C[0, 0] = 0.0
    if matrix:
        return gaussian.mean3(forms[:, :, None], forms[:, None], square[:, None, None], C)
    return gaussian.mean3(forms, forms, square[:, None], C)
