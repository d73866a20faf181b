"""Importance-weighted score functions, per decision: actions of a behaviour policy, the gradient of another one.

    X = sum_k w_{0:k} (r_k Z_k - z_k b_k(s_k)),     w_k = pi(a_k | s_k) / pi_b(a_k | s_k),    Z_k = z_0 + .. + z_k

With W_t = w_{0:t-1}, the mean of X given what happened before t is (what is known) + W_t B_t, and

    B_t = Z_{t-1} V_t + dV_t,    A_t = Z_t (r_t + V_{t+1}) - z_t b_t + dV_{t+1},
    Var X = Var dV_0 + sum_t E_b W_t^2 ((w_t A_t)^2 - B_t^2)

For that, E_b[W_t^2 Z_{t-1}^k 1{s_t = s}], k = 0, 1, 2, obey the linear recursions of the policy's own moments with
pi^2 / pi_b in place of pi. Where pi_b forbids what pi does, the variance is infinite (and X is biased).
"""

import numpy as np

from ..theory import Array
from .bounds import surprises
from .system import System
from .values import critic, gradient_to_go, stages


def per_decision_variance(system: System, behaviour: Array, baseline: Array | None = None) -> Array:
    """Return the variance of one trajectory's estimate, (P,).

    `behaviour` (S, A) the probabilities of the policy that acts, `baseline` (T, S, 1 or P) or None.
    """
    pi, alive = system.policy, ~system.ends
    if np.any((behaviour <= 0) & (pi > 0) & alive[:, None]):
        return np.full(system.parameters, np.inf)
    squared = np.divide(pi**2, behaviour, out=np.zeros_like(pi), where=pi > 0) * alive[:, None]
    moved, z = squared[..., None] * system.flow, system.score
    V, Q = critic(system)
    dV = gradient_to_go(system)
    n0, n1 = system.start, np.zeros((system.states, system.parameters))
    n2, first = n1, dV[0] - system.start @ dV[0]
    total = system.start @ first**2
    for t in range(stages(system)):
        v, c, w = surprises(system, dV, t, False)
        dQ = np.tensordot(system.flow, dV[t + 1], 1)
        b = np.zeros((system.states, 1)) if baseline is None else baseline[t]
        ahead, square = Q[t][..., None], (v + Q[t] ** 2)[..., None]  # X = r_t + V_{t+1}: E X, E X^2
        less = ahead - b[:, None]
        one = z * (square - b[:, None] * ahead) + c + ahead * dQ  # E X (z (X - b) + dV')
        two = z**2 * (v[..., None] + less**2) + 2 * z * (c + less * dQ) + w + dQ**2
        after = n2[:, None] * square + 2 * n1[:, None] * one + n0[:, None, None] * two
        before = n2 * V[t][:, None] ** 2 + 2 * n1 * V[t][:, None] * dV[t] + n0[:, None] * dV[t] ** 2
        total = total + np.einsum("sa,sap->p", squared, after) - before.sum(axis=0)
        grown = n2[:, None] + 2 * n1[:, None] * z + n0[:, None, None] * z**2, n1[:, None] + n0[:, None, None] * z
        n2, n1 = (np.tensordot(moved, x, ((0, 1), (0, 1))) for x in grown)
        n0 = np.tensordot(moved, np.broadcast_to(n0[:, None], pi.shape), ((0, 1), (0, 1)))
    return total
