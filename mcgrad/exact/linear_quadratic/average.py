"""Linear-quadratic problems without end: the average reward, its gradient, and the differential value.

With Acl = A + B K stable (spectral radius below 1), the state has a stationary distribution N(0, S), and

    S = Acl S Acl^T + B Sigma B^T + W,     J = E r = -tr (Q + K^T R K) S - tr R Sigma,
    P = Acl^T P Acl + Q + K^T R K,           V(s) = E[sum_t (r_t - J) | s_0 = s] = -(s^T P s - tr P S),

two discrete Lyapunov equations. With F = R K + B^T P Acl and U = R + B^T P B, Q(s, K s + u) = V(s) - (2 u^T F s + u^T U u -
tr U Sigma) and the policy gradient theorem reads

    dJ/dK = -2 F S,     dJ/dls_i = -2 (U Sigma)_ii.

The horizon, the discount, Qf and the start of a System play no part.
"""

import numpy as np

from ..theory import Array
from .system import System


def stationary_covariance(system: System) -> Array:
    """S of the stationary state, whose mean is 0: (n, n). ValueError unless A + B K is stable."""
    return lyapunov(system, system.closed, system.noise @ system.noise.T)


def average_reward(system: System) -> float:
    """J, the limit of the mean reward per step: float."""
    stage = system.Q + system.K.T @ system.R @ system.K
    return -float(np.sum(stage * stationary_covariance(system)) + np.sum(system.R * system.policy_cov))


def differential_value(system: System) -> tuple[Array, float]:
    """P (n, n) and c with V(s) = -(s^T P s + c), c = -tr P S, so that its stationary mean is 0."""
    P = lyapunov(system, system.closed.T, system.Q + system.K.T @ system.R @ system.K)
    return P, -float(np.sum(P * stationary_covariance(system)))


def differential_advantage(system: System) -> tuple[Array, Array]:
    """F (m, n) and U (m, m) with Q(s, K s + u) = V(s) - (2 u^T F s + u^T U u - tr U Sigma)."""
    P, _ = differential_value(system)
    return system.R @ system.K + system.B.T @ P @ system.closed, system.R + system.B.T @ P @ system.B


def average_gradient(system: System) -> Array:
    """dJ/dtheta by the policy gradient theorem, theta as in `System`: (P,)."""
    F, U = differential_advantage(system)
    parts = [(-2 * F @ stationary_covariance(system)).ravel()]
    if system.learn_scale:
        parts.append(-2 * np.einsum("ij,ji->i", U, system.policy_cov))
    return np.concatenate(parts)


def lyapunov(system: System, A: Array, Q: Array) -> Array:
    """X = A X A^T + Q for a symmetric Q and the stable A + B K or its transpose."""
    from scipy.linalg import solve_discrete_lyapunov  # SciPy takes a while to import

    radius = np.abs(np.linalg.eigvals(system.closed)).max()
    if radius >= 1:
        raise ValueError(f"K: expected a stable A + B K, got a spectral radius of {radius:.6g}: no stationary state")
    X = solve_discrete_lyapunov(A, Q)
    return (X + X.T) / 2
