"""What the state of a linear-quadratic problem says of the scores before it, d_t(s) = E[Z_{t-1} | s_t = s].

d_t is the derivative of the log density of s_t ~ N(mu_t, S_t), a quadratic form, exactly:

    d_t(s) = dmu^T S^- y + y^T S^- dS S^- y / 2 - tr(S^- dS) / 2,     y = s - mu_t.

S_t may be singular, or nearly so, and d_t does not care how long the axes of S_t are. So nothing here inverts S_t. With
y = C_t e, e white of as many components as S_t has rank, and the singular value decomposition

    [Acl C_t, G] = C_{t+1} Q     (rows of Q orthonormal),     e_{t+1} = Q (e_t; xi_t),

d_t(s) = alpha_t^T e + (e^T beta_t e - tr beta_t) / 2 with alpha_{t+1} = Q E[Z_t (e_t; xi_t)] and beta_{t+1} =
Q E[Z_t (e_t; xi_t)(e_t; xi_t)^T] Q^T: rotations alone.
"""

import copy

import numpy as np

from ..theory import Array
from . import gaussian
from .quadratics import Quadratic
from .system import System
from .trajectory import Trajectory
from .values import state_moments

RANK = 1e-12  # of singular values of C_t, each row of which counts in its own units


class Past:
    """What the state at t says of the scores before: C_t (T, n, n), alpha_t (T, P, n) and beta_t (T, P, n, n)."""

    def __init__(self, system: System) -> None:
        T, n, P = system.horizon, system.states, system.parameters
        self.system, self.mean, G = system, state_moments(system)[0], system.noise
        self._score = Trajectory(system, np.arange(P), with_sensitivity=False).score
        self.root, self.alpha, self.beta = np.zeros((T, n, n)), np.zeros((T, P, n)), np.zeros((T, P, n, n))
        self.root[0] = _pressed(system.initial_factor)[0]
        for t in range(T - 1):
            zeta = self.before(t, G.shape[1]) + self.now(t, G.shape[1])
            self.root[t + 1], Q = _pressed(np.hstack([system.closed @ self.root[t], G]))
            self.alpha[t + 1], self.beta[t + 1] = zeta.linear @ Q.T, 2 * Q @ zeta.quadratic @ Q.T

    def before(self, t: int, noises: int | None = None) -> Quadratic:
        """Return d_t as a quadratic of e and of so many components of white noise, by default those of the action."""
        alpha, beta = self.alpha[t], self.beta[t]
        n, N = self.system.states, self.system.states + (self.system.actions if noises is None else noises)
        linear, quadratic = np.zeros((len(alpha), N)), np.zeros((len(alpha), N, N))
        linear[:, :n], quadratic[:, :n, :n] = alpha, beta / 2
        return Quadratic(linear, quadratic)

    def now(self, t: int, noises: int | None = None) -> Quadratic:
        """Return z_t in the same way."""
        n, r = self.system.states, self.system.actions if noises is None else noises
        given, own = self._score.linear[t][:, :r], self._score.quadratic[t][:, :r, :r]  # (P, r, 1 + n), (P, r, r)
        linear, quadratic = np.zeros((len(own), n + r)), np.zeros((len(own), n + r, n + r))
        linear[:, n:], quadratic[:, n:, n:] = given[..., 0], own
        quadratic[:, n:, :n] = given[..., 1:] @ self.root[t] / 2
        quadratic[:, :n, n:] = gaussian.transpose(quadratic[:, n:, :n])
        return Quadratic(linear, quadratic)

    def in_one_basis(self) -> "Past":
        """Return this with the C_t of time 0 at all times, where S_t is the same at all of them."""
        turn = np.linalg.pinv(self.root, rcond=RANK) @ self.root[0]
        other = copy.copy(self)
        other.root = np.broadcast_to(self.root[0], self.root.shape)
        other.alpha = self.alpha @ turn
        other.beta = gaussian.transpose(turn)[:, None] @ self.beta @ turn[:, None]
        return other


def _pressed(factor: Array) -> tuple[Array, Array]:
    """Return C (n, n) and Q (n, k) with C Q = factor (n, k), Q Q^T a projection; columns beyond the rank are 0."""
    n, k = factor.shape
    C, Q = np.zeros((n, n)), np.zeros((n, k))
    size = np.linalg.norm(factor, axis=1)
    size[size == 0.0] = 1.0
    U, values, V = np.linalg.svd(factor / size[:, None], full_matrices=False)
    rank = int(np.sum(values > RANK * values.max(initial=0.0)))
    C[:, :rank], Q[:rank] = size[:, None] * U[:, :rank] * values[:rank], V[:rank]
    return C, Q
