"""Values, the objective and its gradient: Riccati-like recursions, O(T (n+m)^3).

With P_T = terminal_weight Qf and c_T = 0, going backwards,

    F_t = gamma^t R K + B^T P_{t+1} Acl,     U_t = gamma^t R + B^T P_{t+1} B,
    P_t = gamma^t (Q + K^T R K) + Acl^T P_{t+1} Acl,     c_t = c_{t+1} + tr(U_t Sigma) + tr(P_{t+1} W),

the value is V_t(s) = -(s^T P_t s + c_t) (discount counted from time 0) and the advantage of a = K s + u is
A_t(s, u) = -(2 u^T F_t s + u^T U_t u - tr U_t Sigma).
"""

from dataclasses import replace

import numpy as np

from ..theory import Array, Indices
from .gaussian import symmetric, transpose
from .system import System


def value(system: System) -> tuple[Array, Array]:
    """Value function V_t(s) = E[sum_{k>=t} r_k | s_t = s] = -(s^T P_t s + c_t): P (T+1, n, n), c (T+1,)."""
    P, c, _, _ = riccati(system)
    return P, c


def riccati(system: System) -> tuple[Array, Array, Array, Array]:
    """P (T+1, n, n), c (T+1,), F (T, m, n), U (T, m, m) of the module's docstring, computed once.

    Of a `Stack`, here and in what follows to `gradient`, all of them have a leading axis.
    """
    if "riccati" in system.memo:
        return system.memo["riccati"]
    T, n, m = system.horizon, system.states, system.actions
    lead, W = system.closed.shape[:-2], system.W[..., None, :, :]
    P, F, U = np.empty((*lead, T + 1, n, n)), np.empty((*lead, T, m, n)), np.empty((*lead, T, m, m))
    P[..., T, :, :] = system.terminal_weight * system.Qf
    for t in reversed(range(T)):
        P[..., t, :, :], F[..., t, :, :], U[..., t, :, :] = _stage(system, t, P[..., t + 1, :, :])
    c = np.zeros((*lead, T + 1))
    added = np.sum(U * system.policy_cov[..., None, :, :], axis=(-2, -1)) + np.sum(P[..., 1:, :, :] * W, axis=(-2, -1))
    c[..., :-1] = np.cumsum(added[..., ::-1], axis=-1)[..., ::-1]
    system.memo["riccati"] = P, c, F, U
    return system.memo["riccati"]


def _stage(system: System, t: int, later: Array) -> tuple[Array, Array, Array]:
    """Return P_t, F_t and U_t where P_{t+1} is `later`."""
    A, K, weight = system.closed, system.K, system.discount**t
    ahead = transpose(system.B) @ later
    P = symmetric(weight * (system.Q + transpose(K) @ system.R @ K) + transpose(A) @ later @ A)
    return P, weight * system.R @ K + ahead @ A, weight * system.R + ahead @ system.B


def state_moments(system: System) -> tuple[Array, Array]:
    """Mean mu_t (T+1, n) and covariance S_t (T+1, n, n) of the state under the policy."""
    if "state_moments" in system.memo:
        return system.memo["state_moments"]
    T, n, A = system.horizon, system.states, system.closed
    lead = A.shape[:-2]
    mean, cov = np.empty((*lead, T + 1, n)), np.empty((*lead, T + 1, n, n))
    mean[..., 0, :], cov[..., 0, :, :] = system.mean, system.cov
    back = transpose(A)
    for t in range(T):
        mean[..., t + 1, :] = (A @ mean[..., t, :, None])[..., 0]
        cov[..., t + 1, :, :] = A @ cov[..., t, :, :] @ back + system.spread
    system.memo["state_moments"] = mean, cov
    return mean, cov


def mean_return_to_go(system: System) -> Array:
    """E G_t = E V_t(s_t) = -(tr P_t S_t + mu_t^T P_t mu_t + c_t): (T+1,)."""
    P, c, _, _ = riccati(system)
    mean, cov = state_moments(system)
    return -(np.sum(P * cov, axis=(-2, -1)) + np.einsum("...i,...ij,...j->...", mean, P, mean) + c)


def objective(system: System) -> Array:
    """J = E sum_t r_t = -(tr P_0 S_0 + mu_0^T P_0 mu_0 + c_0), a number."""
    return np.asarray(mean_return_to_go(system)[..., 0])


def gradient(system: System) -> Array:
    """Gradient of J: dJ/dK = -2 sum_t F_t E[s_t s_t^T], dJ/dls_i = -2 sum_t (U_t Sigma)_ii: (P,)."""
    _, _, F, U = riccati(system)
    mean, cov = state_moments(system)
    mean, cov = mean[..., :-1, :], cov[..., :-1, :, :]
    second = cov + mean[..., :, None] * mean[..., None, :]
    on_gain = -2 * np.sum(F @ second, axis=-3)
    parts = [on_gain.reshape(*on_gain.shape[:-2], -1)]
    if system.learn_scale:
        parts.append(-2 * np.einsum("...tij,...ji->...i", U, system.policy_cov))
    return np.concatenate(parts, axis=-1)


def value_forms(system: System) -> Array:
    """V_t(s) = -(c_t + s^T P_t s) as forms of (1, s): (T + 1, 1, 1 + n, 1 + n)."""
    if "value forms" not in system.memo:
        P, c, _, _ = riccati(system)
        out = np.zeros((system.horizon + 1, 1, 1 + system.states, 1 + system.states))
        out[:, 0, 0, 0], out[:, 0, 1:, 1:] = -c, -P
        system.memo["value forms"] = out
    return system.memo["value forms"]


def action_value_forms(system: System) -> Array:
    """Q_t(s, K s + u) as forms of (1, s, u): (T, 1, 1 + n + m, 1 + n + m)."""
    if "action value forms" not in system.memo:
        _, _, F, U = riccati(system)
        level = np.einsum("tij,ji->t", U, system.policy_cov)
        system.memo["action value forms"] = of_actions(system, value_forms(system)[:-1], -F, -U, level)
    return system.memo["action value forms"]


def of_actions(system: System, of_state: Array, linear: Array, quadratic: Array, level: float | Array = 0.0) -> Array:
    """(1, s)^T of_state (1, s) + 2 u^T linear s + u^T quadratic u + level as forms of (1, s, u): (T, 1, N, N)."""
    n, N = system.states, 1 + system.states + system.actions
    out = np.zeros((system.horizon, 1, N, N))
    out[..., : 1 + n, : 1 + n] = of_state
    out[:, 0, 1 + n :, 1 : 1 + n], out[:, 0, 1 : 1 + n, 1 + n :] = linear, np.swapaxes(linear, -1, -2)
    out[:, 0, 1 + n :, 1 + n :] = quadratic
    out[:, 0, 0, 0] += level
    return out


def over_actions(system: System, f: Array) -> Array:
    """E[f(s, K s + u) | s] as forms of (1, s), from forms of (1, s, u)."""
    n = system.states
    out = f[..., : 1 + n, : 1 + n].copy()
    out[..., 0, 0] += np.sum(f[..., 1 + n :, 1 + n :] * system.policy_cov, axis=(-2, -1))
    return out


def scores_to_go(system: System, f: Array, parameters: Indices) -> Array:
    """E[sum_{k>=t} E_a[z_k f_k(s_k, a)] | s_t] as forms of (1, s), for forms f (T, 1 or p, ...): (T + 1, p, 1 + n, 1 + n).

    For f = Q_t that is dV_t(s)/dp, the gradient to go [Sutton et al. 2000]. What time t adds is, with the score z_t of K_ij and
    of ls_i, s_j df_t/du_i at the mean action, and 2 (f_uu Sigma)_ii.
    """
    T, n, parameters = system.horizon, system.states, np.asarray(parameters)
    p, each = len(parameters), np.arange(len(parameters))
    gain, i, j = system.places(parameters)
    f = np.broadcast_to(f, (T, p, *f.shape[2:]))
    own, out = np.zeros((T, p, 1 + n, 1 + n)), np.zeros((T + 1, p, 1 + n, 1 + n))
    own[:, each, 1 + j, :] = np.where(gain[:, None], f[:, each, 1 + n + i, : 1 + n], 0.0)
    own = own + own.swapaxes(-1, -2)
    scaled = np.einsum("tpij,ji->tpi", f[..., 1 + n :, 1 + n :], system.policy_cov)
    own[..., 0, 0] += np.where(gain, 0.0, 2 * scaled[:, each, i])
    move = np.eye(1 + n)
    move[1:, 1:] = system.closed
    for t in reversed(range(T)):
        out[t] = own[t] + move.T @ out[t + 1] @ move
    # What the noise adds to the constant, which moves to nothing else: all of it at once.
    added = np.sum(out[1:, :, 1:, 1:] * system.spread, axis=(-2, -1))
    out[:-1, :, 0, 0] += np.cumsum(added[::-1], axis=0)[::-1]
    return out


def gradient_to_go(system: System, parameters: Indices) -> tuple[Array, Array]:
    """dV_t(s)/dp = s^T H_t s + k_t for the listed parameters: H (T+1, p, n, n), k (T+1, p)."""
    found = scores_to_go(system, action_value_forms(system), parameters)
    return found[..., 1:, 1:], found[..., 0, 0]


def gradient_news(system: System) -> tuple[Array, Array, Array]:
    """dH_t of the action: E[H_{t+1}(s_{t+1}) | s, u] - E[H_{t+1} | s] = u^T linear s + u^T quadratic u - level for K s + u.

    linear = 2 B^T H_{t+1} Acl (T, P, m, n), quadratic = B^T H_{t+1} B (T, P, m, m), level = tr quadratic Sigma (T, P).
    """
    H = gradient_to_go(system, np.arange(system.parameters))[0][1:]
    onto = system.B.T @ H
    quadratic = onto @ system.B
    return 2 * onto @ system.closed, quadratic, np.sum(quadratic * system.policy_cov, axis=(2, 3))


# ---- what a gradient sees of the future: a value function from the next block of time on ------------------------------


def bootstrapped(system: System, weight: Array, scale: float) -> System:
    """Return the system in which the action at t sees something else than P_{t+1}: (T + 1,) weights w_t.

        w_{t+1} scale P_{t+1} + (1 - w_{t+1}) P'_{t+1},    P'_t = gamma^t (Q + K^T R K) + Acl^T (what t sees) Acl.

    Its gradient is the mean of pathwise blocks, w = 1 at their ends.
    """
    exact, _, F, U = riccati(system)
    P, F, U = exact.copy(), F.copy(), U.copy()
    for t in reversed(range(system.horizon)):
        own, F[t], U[t] = _stage(system, t, P[t + 1])
        P[t] = weight[t] * scale * exact[t] + (1.0 - weight[t]) * own
    other = replace(system)
    other.memo["riccati"] = P, np.zeros(system.horizon + 1), F, U
    return other
