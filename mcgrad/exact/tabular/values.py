"""Values, state distributions, the objective, and its gradient in two ways.

Over a finite horizon the discount counts from time 0, and with V_T = gamma^T terminal_reward, going backwards,

    Q_t(s, a) = gamma^t E[r | s, a] + sum_{s_next} P(s_next | s, a) V_{t+1}(s_next),     V_t(s) = sum_a pi(a | s) Q_t(s, a).

Without a horizon everything is stationary: Q = E[r] + gamma P V, what is due at time t weighs gamma^t, and each sum
over time is a linear solve. The recursions here do both: there are `stages(system)` of them, T or the one that
repeats, and an array over stages and what follows has T + 1 entries, or the same one twice.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..theory import Array
from .system import System


def stages(system: System) -> int:
    """T, or 1 without a horizon: the one stage that repeats until the episode ends."""
    return 1 if system.horizon is None else system.horizon


def weights(system: System) -> Array:
    """gamma^t for each stage and the end, (T + 1,); without a horizon the discount is in `decay` instead."""
    if system.horizon is None:
        return np.ones(2)
    return np.asarray(system.discount ** np.arange(system.horizon + 1), dtype=np.float64)


def decay(system: System) -> float:
    """How much less the same reward is worth one stage later, where `weights` do not say it already."""
    return system.discount if system.horizon is None else 1.0


def backward(system: System, source: ArrayLike, last: float | Array, factor: float) -> Array:
    """Return x_t = source_t + factor P_pi x_{t+1} from x_T = last, or its fixed point: (stages + 1, S, ...)."""
    source = np.asarray(source)
    if system.horizon is None:
        check_ends(system)
        x = np.linalg.solve(np.eye(system.states) - factor * system.closed, source[0])
        return np.stack([x, x])
    x = np.empty((system.horizon + 1, *source.shape[1:]))
    x[-1] = last
    for t in reversed(range(system.horizon)):
        x[t] = source[t] + factor * system.closed @ x[t + 1]
    return x


def forward(system: System, first: Array, source: Array, factor: float) -> Array:
    """Return x_0 = first, x_{t+1} = factor (P_pi^T x_t + source_t), or the sum over all t: (stages, S, ...)."""
    if system.horizon is None:
        check_ends(system)
        total = first + factor * source[0]
        return np.linalg.solve(np.eye(system.states) - factor * system.closed.T, total)[None]
    x = np.empty((system.horizon, *first.shape))
    x[0] = first
    for t in range(system.horizon - 1):
        x[t + 1] = factor * (system.closed.T @ x[t] + source[t])
    return x


def check_ends(system: System) -> None:
    """Raise ValueError unless every episode surely ends: the powers of P_pi among the other states vanish."""
    if "ends surely" not in system.memo:
        alive = ~system.ends
        radius = np.abs(np.linalg.eigvals(system.closed[np.ix_(alive, alive)])).max(initial=0.0)
        if radius > 1 - 1e-12:
            raise ValueError(
                "horizon: expected a number, since from some state an episode need not reach one of the `ends` under "
                f"this policy (spectral radius {radius:.15g}). Problems without end have a theory in `average`."
            )
        system.memo["ends surely"] = True


def critic(system: System) -> tuple[Array, Array]:
    """V (stages + 1, S) and Q (stages, S, A), computed once; see the module."""
    if "critic" not in system.memo:
        w, flow = weights(system), system.flow
        alive = np.where(system.ends, 0.0, system.terminal_reward)
        mean = np.sum(system.policy * system.mean_reward, axis=1)
        V = backward(system, w[:-1, None] * mean, w[-1] * alive, decay(system))
        Q = np.stack([w[t] * system.mean_reward + decay(system) * flow @ V[t + 1] for t in range(stages(system))])
        system.memo["critic"] = V, Q
    return system.memo["critic"]


def value(system: System) -> Array:
    """Value function V_t(s) = E[G_t | s_t = s]: (T + 1, S); without a horizon (S,), that of time t is gamma^t times it."""
    V, _ = critic(system)
    return V[0] if system.horizon is None else V


def action_value(system: System) -> Array:
    """Q_t(s, a) = E[G_t | s_t = s, a_t = a]: (T, S, A); without a horizon (S, A)."""
    _, Q = critic(system)
    return Q[0] if system.horizon is None else Q


def advantage(system: System) -> Array:
    """A_t(s, a) = Q_t(s, a) - V_t(s): (T, S, A); without a horizon (S, A)."""
    V, Q = critic(system)
    A = Q - V[:-1, :, None]
    return A[0] if system.horizon is None else A


def state_distribution(system: System) -> Array:
    """mu_t(s) = P(s_t = s, not over before t): (T, S); without a horizon sum_t mu_t(s), the expected visits: (S,)."""
    x = forward(system, system.start, np.zeros((stages(system), system.states)), 1.0)
    return x[0] if system.horizon is None else x


def discounted_visits(system: System) -> Array:
    """mu_t, or without a horizon sum_t gamma^t mu_t: what weighs the stages here, (stages, S)."""
    return forward(system, system.start, np.zeros((stages(system), system.states)), decay(system))


def objective(system: System) -> float:
    """J = E R = sum_s start(s) V_0(s): float."""
    return float(system.start @ critic(system)[0][0])


def mean_return_to_go(system: System) -> Array:
    """E G_t, G_t what is still to be paid from t on, 0 for episodes that are over: (T,)."""
    if system.horizon is None:
        raise ValueError("horizon: expected a number, got None: the mean return to go has no end")
    return np.sum(state_distribution(system) * critic(system)[0][:-1], axis=1)


def gradient(system: System) -> Array:
    """dJ/dtheta by the policy gradient theorem, sum_t sum_s mu_t(s) sum_a pi(a | s) z(s, a) Q_t(s, a): (P,).

    Sutton, McAllester, Singh & Mansour (2000). Without a horizon, time t weighs gamma^t.
    """
    _, Q = critic(system)
    visits = np.einsum("ts,tsa->sa", discounted_visits(system), Q)
    return np.einsum("sa,sa,sap->p", visits, system.policy, system.score)


def gradient_to_go(system: System) -> Array:
    """dV_t(s)/dtheta by the recursion in the proof of the theorem: (stages + 1, S, P).

    V_t = sum_a pi Q_t and its product rule: dV_t(s) = sum_a [Q_t dpi(a | s) + pi(a | s) P(s_next | s, a) dV_{t+1}(s_next)].
    """
    _, Q = critic(system)
    own = np.einsum("tsa,sa,sap->tsp", Q, system.policy, system.score)
    return backward(system, own, 0.0, decay(system))


def gradient_news(system: System) -> Array:
    """dQ_t(s, a) - E_a[dQ_t | s] with dQ_t(s, a) = E[dV_{t+1}(s_{t+1}) | s, a]: (stages, S, A, P)."""
    dQ = decay(system) * np.stack([np.tensordot(system.flow, dV, 1) for dV in gradient_to_go(system)[1:]])
    return dQ - np.einsum("sa,tsap->tsp", system.policy, dQ)[:, :, None]


def fisher(system: System) -> Array:
    """Fisher information E[Z Z^T] = sum_t sum_s mu_t(s) sum_a pi(a | s) z z^T: (P, P)."""
    visits = state_distribution(system).reshape(-1, system.states).sum(axis=0)
    z = system.score.reshape(-1, system.parameters)
    return (z * (visits[:, None] * system.policy).reshape(-1, 1)).T @ z
