"""Second derivatives of the objective: the derivative along v of a linear-quadratic problem is one of twice the size.

With d = d/dalpha at theta + alpha v, V the gain part of v and v_i that of the log scale of row i,

    (s, ds)^T moves with diag(A, A), diag(B, B),    (a, da) = [[K, 0], [V, K]] (s, ds) + [[L, 0], [diag(v) L, 0]] eps,
    dr_t = -gamma^t (2 s^T Q ds + 2 a^T R da):   costs [[0, Q], [Q, 0]] and so on.

Its objective is v . dJ/dtheta. A parameter of the problem moves two of the big gain at once (or two log scales), so that the
product of the Hessian with v is a sum of two entries of the gradient, and its pathwise estimate a sum of two estimates.
"""

import numpy as np

from ..theory import Array, Indices
from .covariances import covariance_between
from .increments import OfPath
from .system import System
from .values import gradient


def directional_system(system: System, v: Array) -> tuple[System, Indices]:
    """Return the system of the derivative along v, and the two parameters of it that each parameter moves, (2, P)."""
    n, m, size = system.states, system.actions, system.K.size
    V, scales = v[:size].reshape(m, n), v[size:] if system.learn_scale else np.zeros(m)

    def twice(x: Array) -> Array:
        return np.asarray(np.kron(np.eye(2), x), dtype=np.float64)

    def cross(x: Array) -> Array:
        return np.asarray(np.kron([[0.0, 1.0], [1.0, 0.0]], x), dtype=np.float64)

    def first(x: Array) -> Array:
        return np.asarray(np.kron([[1.0, 0.0], [0.0, 0.0]], x), dtype=np.float64)

    below, left = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])
    big = System(
        A=twice(system.A),
        B=twice(system.B),
        K=twice(system.K) + np.kron(below, V),
        L=np.kron(left, system.L) + np.kron(below, scales[:, None] * system.L),
        Q=cross(system.Q),
        R=cross(system.R),
        Qf=cross(system.Qf),
        W=first(system.W),
        mean=np.append(system.mean, np.zeros(n)),
        cov=first(system.cov),
        horizon=system.horizon,
        discount=system.discount,
        terminal_weight=system.terminal_weight,
        learn_scale=system.learn_scale,
    )
    i, j = np.divmod(np.arange(size), n)
    rows = np.arange(m) if system.learn_scale else np.zeros(0, dtype=int)
    one = np.append(i * 2 * n + j, big.K.size + rows)
    two = np.append((m + i) * 2 * n + n + j, big.K.size + m + rows)
    return big, np.array([one, two])


def hessian_vector_product(system: System, v: Array) -> Array:
    """Return H v, H the Hessian of J: (P,)."""
    big, pairs = directional_system(system, v)
    return gradient(big)[pairs].sum(axis=0)


def hessian_vector_product_variance(system: System, v: Array) -> Array:
    """Return the variance of one trajectory's d/dtheta (v . dR/dtheta) at fixed noise: (P,)."""
    big, (one, two) = directional_system(system, v)
    X = OfPath(big)
    pairs = (one, one), (two, two), (one, two), (two, one)
    return np.sum([covariance_between(big, X, X, p, q) for p, q in pairs], axis=0)
