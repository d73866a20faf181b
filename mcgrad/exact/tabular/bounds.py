"""Efficiency bounds of tabular problems: what no estimator made of trajectories alone can go below.

With z the score, Z_t = z_0 + .. + z_t, mu_t the distribution of s_t, V and dV = dV/dtheta the exact values,

    omega_t = r_t + V_{t+1}(s_{t+1}) - Q_t(s_t, a_t),     n_t = dV_{t+1}(s_{t+1}) - dQ_t(s_t, a_t),
    m_t(s) = E[Z_{t-1} 1{s_t = s}],     M_t(s) = E[Z_{t-1} Z_{t-1}' 1{s_t = s}],     v, c, w = the moments of (omega_t, n_t)
                                                                                  given (s, a): v of omega, c of both, w of n

and the same after the action, mz = pi (m + mu z), MZ = pi (M + m z^T + z m^T + mu z z^T), the bounds are Cov dV_0(s_0) plus

    tree          sum_t sum_{s,a} v MZ + mz c^T + c mz^T + mu pi w
    markov        sum_t sum_{s,a} v mz mz^T / (mu pi) + mz c^T + c mz^T + mu pi w
    stationary    E sum_t h*(x_t) h*(x_t)^T,     h*(s, a, r, s_next) = sum_t [(m_t + mu_t z) omega_t + mu_t n_t] / sum_t mu_t(s)

Without a horizon the sums over time of gamma^t m_t, gamma^2t M_t and so on are linear solves; but those of the Markov bound,
of the ratios m_t m_t^T / mu_t, are not.

Cost: time O(T S^2 A P), P times that for matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..theory import Array
from .system import System
from .values import critic, decay, forward, gradient_to_go, stages, state_distribution, weights


def tree_bound(system: System, matrix: bool = False) -> Array:
    """Return the bound without a Markov assumption, (P,) or (P, P)."""
    mu, m, M = _past(system, decay(system) ** 2, matrix)
    dV, z, outer = gradient_to_go(system), system.score, _outer(matrix)
    total = _start(system, dV, matrix)
    for t in range(stages(system)):
        v, c, w = surprises(system, dV, t, matrix)
        both = outer(m[t][:, None], z)
        second = M[t][:, None] + both + _turned(both, matrix) + _wide(mu[t][:, None], matrix) * outer(z, z)
        total = total + _summed(system, mu[t], v, m[t][:, None] + mu[t][:, None, None] * z, c, w, second, matrix)
    return total


def markov_bound(system: System, matrix: bool = False) -> Array:
    """Return the bound for Markov states, (P,) or (P, P). ValueError without a horizon."""
    if system.horizon is None:
        raise ValueError("horizon: expected a number, since the Markov bound sums ratios over time, got None")
    mu, m, _ = _past(system, 1.0, None)
    dV, outer = gradient_to_go(system), _outer(matrix)
    total = _start(system, dV, matrix)
    for t in range(stages(system)):
        v, c, w = surprises(system, dV, t, matrix)
        now = m[t][:, None] + mu[t][:, None, None] * system.score
        share = np.divide(1.0, mu[t], out=np.zeros_like(mu[t]), where=mu[t] > 0)
        total = total + _summed(system, mu[t], v, now, c, w, _wide(share[:, None], matrix) * outer(now, now), matrix)
    return total


def stationary_bound(system: System, matrix: bool = False) -> Array:
    """Return the bound for Markov states and dynamics that are known to be the same at all times, (P,) or (P, P).

    The law of (r_t, s_{t+1}) given (s, a) is one for all t, r_t before its discount.
    """
    V, Q = critic(system)
    dV, w, gamma = gradient_to_go(system), weights(system)[:-1], decay(system)
    mu, m, _ = _past(system, gamma, None)
    visits = state_distribution(system).reshape(-1, system.states).sum(axis=0)
    total, outer, z, flow = _start(system, dV, matrix), _outer(matrix), system.score, system.flow
    for s in np.flatnonzero((visits > 0) & ~system.ends):
        omega = w[:, None, None] * system.reward[s] + gamma * V[1:, None, :] - Q[:, s, :, None]  # (K, A, S)
        news = np.tensordot(mu[:, s], gamma * dV[1:], 1)  # (S, P)
        h = np.einsum("tp,tax->axp", m[:, s], omega) + np.einsum("t,tax,ap->axp", mu[:, s], omega, z[s])
        h = h + news - (flow[s] @ news)[:, None]
        noise = w @ m[:, s] + (w @ mu[:, s]) * z[s]  # of the reward, (A, P)
        chance = system.policy[s][:, None] * flow[s] / visits[s]
        moments = np.tensordot(chance, outer(h, h), 2)
        total = total + moments + np.tensordot((chance * system.reward_variance[s]).sum(axis=1), outer(noise, noise), 1)
    return total


def _past(system: System, factor: float, matrix: bool | None) -> tuple[Array, Array, Any]:
    """Return mu_t, m_t and M_t (matrix None: no M_t); without a horizon their sums over time, weighed by factor^t."""
    K, S, z = stages(system), system.states, system.score
    mu = forward(system, system.start, np.zeros((K, S)), factor)
    source = np.stack([_carried(system, now[:, None, None] * z) for now in mu])
    m = forward(system, np.zeros_like(source[0]), source, factor)
    if matrix is None:
        return mu, m, None
    outer, parts = _outer(matrix), []
    for t in range(K):
        both = outer(m[t][:, None], z)
        own = _wide(mu[t][:, None], matrix) * outer(z, z)
        parts.append(_carried(system, both + _turned(both, matrix) + own))
    flat = np.stack(parts).reshape(K, S, -1)
    return mu, m, forward(system, np.zeros_like(flat[0]), flat, factor).reshape(np.shape(parts))


def _carried(system: System, x: Array) -> Array:
    """Sum pi P x over (s, a): (S, ...) from (S, A, ...)."""
    return np.tensordot(system.policy[..., None] * system.flow, x, ((0, 1), (0, 1)))


def _start(system: System, dV: Array, matrix: bool) -> Array:
    """Cov dV_0(s_0)."""
    first = dV[0] - system.start @ dV[0]
    return np.tensordot(system.start, _outer(matrix)(first, first), 1)


def surprises(system: System, dV: Array, t: int, matrix: bool) -> tuple[Array, Array, Array]:
    """Return v (S, A), c (S, A, P) and w (S, A, P) or (S, A, P, P) of stage t."""
    V, Q = critic(system)
    gamma, weight, flow = decay(system), weights(system)[t], system.flow
    omega = np.where(system.ends[:, None, None], 0.0, weight * system.reward + gamma * V[t + 1] - Q[t][..., None])
    v = np.sum(flow * (omega**2 + weight**2 * system.reward_variance), axis=2)
    following = gamma * dV[t + 1]
    c = np.tensordot(flow * omega, following, 1)
    mean, outer = np.tensordot(flow, following, 1), _outer(matrix)
    w = np.zeros((*v.shape, *outer(mean, mean).shape[2:]))
    for s in range(system.states):  # one s_next at a time, and only where it can follow
        rows = flow[:, :, s] > 0
        news = following[s] - mean[rows]
        w[rows] += _wide(flow[:, :, s][rows], matrix) * outer(news, news)
    return v, c, w


def _summed(system: System, mu: Array, v: Array, now: Array, c: Array, w: Array, second: Array, matrix: bool) -> Array:
    """sum_{s,a} pi (v second + now c^T + c now^T + mu w)."""
    both = _outer(matrix)(now, c)
    inside = _wide(v, matrix) * second + both + _turned(both, matrix) + _wide(mu[:, None], matrix) * w
    return np.tensordot(system.policy, inside, 2)


# The same formulas for the diagonal of a matrix and for all of it.


def _outer(matrix: bool | None) -> Callable[[Array, Array], Array]:
    return (lambda x, y: x[..., :, None] * y[..., None, :]) if matrix else np.multiply


def _turned(x: Array, matrix: bool) -> Array:
    return x.swapaxes(-1, -2) if matrix else x


def _wide(x: Array, matrix: bool) -> Array:
    return x[..., None, None] if matrix else x[..., None]
