"""Continuing problems: the average reward, its gradient, and the differential values.

With mu the stationary distribution of P_pi and J = sum_s mu(s) r_pi(s) the average reward, the differential values are

    V(s) = E[sum_t (r_t - J) | s_0 = s],     Q(s, a) = E[r | s, a] - J + E[V(s_next) | s, a],     sum_s mu V = 0,

and V = (I - P_pi + 1 mu^T)^-1 (r_pi - J). The gradient is that of the policy gradient theorem, average-reward case,

    dJ = sum_s mu(s) sum_a pi(a | s) z(s, a) Q(s, a).

The horizon, the start, the discount and the terminal reward of a System play no part; it must have no `ends`.

References
----------
Sutton, McAllester, Singh & Mansour (2000); Marbach & Tsitsiklis (2001).
"""

import numpy as np

from ..theory import Array
from .system import System


def stationary_distribution(system: System) -> Array:
    """Return mu with mu^T P_pi = mu^T: (S,). ValueError unless there is one and only one."""
    S = system.states
    if system.ends.any():
        raise ValueError("ends: expected none, since a continuing problem has no end")
    gap = np.eye(S) - system.closed
    if S > 1 and np.linalg.svd(gap, compute_uv=False)[-2] < 1e-13:
        raise ValueError("P, policy: expected one recurrent class under the policy, got several: no one average reward")
    return np.asarray(np.linalg.solve((gap + 1.0).T, np.ones(S)), dtype=np.float64)


def average_reward(system: System) -> float:
    """J, the limit of the mean reward per step: float."""
    return float(stationary_distribution(system) @ np.sum(system.policy * system.mean_reward, axis=1))


def differential_values(system: System) -> tuple[Array, Array]:
    """V (S,) and Q (S, A), with sum_s mu(s) V(s) = 0."""
    mu, mean = stationary_distribution(system), np.sum(system.policy * system.mean_reward, axis=1)
    J = mu @ mean
    V = np.linalg.solve(np.eye(system.states) - system.closed + mu, mean - J)
    return V, system.mean_reward - J + system.P @ V


def gradient(system: System) -> Array:
    """dJ/dtheta by the policy gradient theorem: (P,)."""
    V, Q = differential_values(system)
    return np.einsum("sa,sap->p", _visits(system) * (Q - V[:, None]), system.score)


def _visits(system: System) -> Array:
    """mu(s) pi(a | s), (S, A)."""
    return stationary_distribution(system)[:, None] * system.policy
