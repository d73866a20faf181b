"""The innovations of one trajectory: what each stage's noise does to the return, the score and the gradients.

Every quantity is an `Innovation` in the stage noise xi_t = (eps_t, white process noise) with coefficients affine in the centred
state x = (s_t - mu_t) or, *with its sensitivity*, x = (s_t - mu_t, D_t - E D_t), D_t = ds_t/dp at fixed noise,

    s_next = Acl s + G xi,     D' = Acl D + B (E_s s + E_u L eps),     G = [B L, W^(1/2)],

where da/dp at fixed noise is d = E_s s + E_u u: E_s = e_i e_j^T for K_ij, E_u = e_i e_i^T for ls_i. A parameter may act with
weights k_t over time, E_s and E_u become k_t E_s and k_t E_u; and D may start anew, at 0, where blocks of time begin.

Axes: (T, p, r, 1 + n) or (T, p, r, 1 + 2n); p is 1 for what does not depend on the parameter.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..theory import Array, Indices
from .gaussian import symmetric, transpose
from .innovations import Innovation
from .system import System
from .values import riccati, state_moments


class Trajectory:
    """Innovations for the listed parameters (indices into the parameter vector), as cached properties.

    Parameters
    ----------
    with_sensitivity : bool
        Whether the sensitivity is part of x.
    along, scored : (T, p), optional
        Weights over time of the parameters' effects on actions along the path, and of the scores.
    starts : (T,) of bool, optional
        Where D starts anew.
    """

    def __init__(
        self,
        system: System,
        parameters: Indices,
        with_sensitivity: bool,
        along: Array | None = None,
        scored: Array | None = None,
        starts: NDArray[np.bool_] | None = None,
    ) -> None:
        self.system, self.parameters, self.with_sensitivity = system, np.asarray(parameters), with_sensitivity
        self.columns = self.parameters  # of the arrays of an estimator, one for each parameter of its own
        self.along, self.scored, self.starts = along, scored, starts
        n, p = system.states, len(self.parameters)
        self.gain, self.i, self.j = system.places(self.parameters)
        self.P, _, self.F, self.U = riccati(system)
        self.mean = state_moments(system)[0][:-1]
        self.size = 1 + n + (n if with_sensitivity else 0)
        self.each = np.arange(p)

    # ---- how x = (s, D) moves ----

    @cached_property
    def state_sensitivity(self) -> Array:
        """E_s, (T or 1, p, m, n)."""
        out = np.zeros((1, len(self.parameters), self.system.actions, self.system.states))
        out[0, self.each, self.i, self.j] = self.gain
        return out if self.along is None else self.along[:, :, None, None] * out

    @cached_property
    def noise_sensitivity(self) -> Array:
        """E_u L padded with zeros for the process noise, (T or 1, p, m, r)."""
        out = np.zeros((1, len(self.parameters), self.system.actions, self.system.noise.shape[1]))
        out[0, self.each, self.i, : self.system.actions] = np.where(self.gain[:, None], 0.0, self.system.L[self.i])
        return out if self.along is None else self.along[:, :, None, None] * out

    @cached_property
    def transition(self) -> Array:
        """Transition of x, x' = transition x + spread xi, (T or 1, p or 1, N, N) without the constant."""
        system, n = self.system, self.system.states
        if not self.with_sensitivity:
            return system.closed[None, None]
        pushed = system.B @ self.state_sensitivity
        out = np.zeros((*pushed.shape[:2], 2 * n, 2 * n))
        out[..., :n, :n] = out[..., n:, n:] = system.closed
        out[..., n:, :n] = pushed
        return self._anew(out)

    @cached_property
    def spread(self) -> Array:
        """The noise's effect on x', (T or 1, p or 1, N, r)."""
        if not self.with_sensitivity:
            return self.system.noise[None, None]
        own = self.system.B @ self.noise_sensitivity
        return self._anew(np.concatenate([np.broadcast_to(self.system.noise, own.shape), own], axis=-2))

    def _anew(self, moves: Array) -> Array:
        """Return a map to x' with nothing left of D where it starts anew."""
        if self.starts is None:
            return moves
        moves = np.array(np.broadcast_to(moves, (self.system.horizon, *moves.shape[1:])))
        moves[np.append(self.starts[1:], False), :, self.system.states :] = 0.0
        return moves

    @cached_property
    def mean_sensitivity(self) -> Array:
        """E D_t, (T, p, n): D' = Acl D + B E_s s in the mean."""
        n, T = self.system.states, self.system.horizon
        out = np.zeros((T, len(self.parameters), n))
        moves = np.broadcast_to(self.transition, (T, *self.transition.shape[1:]))[:, :, n:]
        for t in range(T - 1):
            out[t + 1] = moves[t, :, :, :n] @ self.mean[t] + (moves[t, :, :, n:] @ out[t][..., None])[..., 0]
        return out

    # ---- forms as innovations ----

    def innovation(
        self, on_state: Array, quadratic: Array, on_sensitivity: Array | None = None, level: float | Array = 0.0
    ) -> Innovation:
        """Return an Innovation from its coefficients of 1, s_t and D_t, (T, p, r, ...), moved to centred coordinates."""
        n = self.system.states
        shape = np.broadcast_shapes(on_state.shape, () if on_sensitivity is None else on_sensitivity.shape)
        linear = np.zeros(shape[:-1] + (self.size,))
        linear[..., 1 : n + 1] = on_state
        linear[..., 0] = (on_state @ self.mean[:, None, :, None])[..., 0] + level
        if on_sensitivity is not None:
            linear[..., n + 1 :] = on_sensitivity
            linear[..., 0] += (on_sensitivity @ self.mean_sensitivity[..., None])[..., 0]
        return Innovation(linear, symmetric(quadratic))

    def of_action(self, form: Array) -> Innovation:
        """Return f(s_t, a_t) - E[f | s_t], f a form of (1, s, u): (T, 1 or p, 1 + n + m, 1 + n + m)."""
        (n, r), m, L = self.system.noise.shape, self.system.actions, self.system.L
        shape = form.shape[:2]
        linear, quadratic, level = np.zeros((*shape, r, n)), np.zeros((*shape, r, r)), np.zeros((*shape, r))
        linear[..., :m, :] = 2 * L.T @ form[..., 1 + n :, 1 : 1 + n]
        level[..., :m] = 2 * form[..., 1 + n :, 0] @ L
        quadratic[..., :m, :m] = L.T @ form[..., 1 + n :, 1 + n :] @ L
        return self.innovation(linear, quadratic, level=level)

    def of_next(self, form: Array) -> Innovation:
        """Return y(s_{t+1}) - E[y | s_t], y a form of (1, s): (T, 1 or p, 1 + n, 1 + n)."""
        G, Y = self.system.noise, form[..., 1:, 1:]
        return self.innovation(2 * G.T @ Y @ self.system.closed, G.T @ Y @ G, level=2 * form[..., 1:, 0] @ G)

    def surprise(self, form: Array) -> Innovation:
        """Return y(s_{t+1}) - E[y | s_t, a_t]: the part of `of_next` that the action alone does not decide."""
        return without_action(self.of_next(form), self.system.actions)

    def along_path(self, form: Array) -> Innovation:
        """Return (da_t/dp)^T df/da less its mean given s_t, f a form of (1, s, u), at the action itself."""
        (n, r), m, L = self.system.noise.shape, self.system.actions, self.system.L
        T, p = self.system.horizon, len(self.parameters)
        form = np.broadcast_to(form, (T, p, *form.shape[2:]))[:, self.each, 1 + n + self.i]  # row i of each parameter
        linear, quadratic, level = np.zeros((T, p, r, n)), np.zeros((T, p, r, r)), np.zeros((T, p, r))
        on_noise = 2 * form[..., 1 + n :] @ L
        linear[:, self.each, :m, self.j] = np.where(self.gain[:, None, None], on_noise.swapaxes(0, 1), 0.0)
        scale = np.where(self.gain[:, None], 0.0, L[self.i])
        linear[:, :, :m] += 2 * scale[:, :, None] * form[:, :, None, 1 : 1 + n]
        level[..., :m] = 2 * scale * form[..., :1]
        quadratic[:, :, :m, :m] = scale[:, :, None] * on_noise[:, :, None]
        return self.innovation(linear, quadratic, level=level)

    # ---- innovations ----

    @cached_property
    def error(self) -> Innovation:
        """Temporal-difference error delta_t = r_t + V_{t+1}(s_{t+1}) - V_t(s_t) = A_t + omega_t."""
        G, m, L = self.system.noise, self.system.actions, self.system.L
        linear, quadratic = G.T @ self.P[1:] @ self.system.closed, G.T @ self.P[1:] @ G
        linear[:, :m], quadratic[:, :m, :m] = L.T @ self.F, L.T @ self.U @ L
        return self.innovation(-2 * linear[:, None], -quadratic[:, None])

    @cached_property
    def score(self) -> Innovation:
        """z_t: (Sigma^-1 u)_i s_j for K_ij, u_i (Sigma^-1 u)_i - 1 for ls_i. Needs an invertible L."""
        m, inverse = self.system.actions, self.system.inverse_factor.T
        linear, quadratic = self._per_parameter()
        linear[:, self.each, :m, self.j] = np.where(self.gain[:, None], inverse[self.i], 0.0)[:, None]
        own = self.system.L[self.i][:, :, None] * inverse[self.i][:, None, :]
        quadratic[:, :, :m, :m] = np.where(self.gain[:, None, None], 0.0, own)
        if self.scored is not None:
            linear, quadratic = (self.scored[:, :, None, None] * x for x in (linear, quadratic))
        return self.innovation(linear, quadratic)

    @cached_property
    def pathwise(self) -> Innovation:
        """Derivative d delta_t/dp at fixed noise, the martingale increment of dR/dp, without the news about H_{t+1}.

        dr_t/dp = -2 gamma^t [s^T Q D + a^T R(KD + d)], E[dR/dp | F_t] = (past) + H_t(s_t) - 2 s_t^T P_t D_t; the
        part of the difference that xi_t decides, with s_next = Acl s + G xi, D' = Acl D + B d.
        """
        system, m, G = self.system, self.system.actions, self.system.noise
        weight = (system.discount ** np.arange(system.horizon))[:, None, None, None]
        P, Es, EuL = self.P[1:, None], self.state_sensitivity, self.noise_sensitivity
        on_state = -2 * (G.T @ P @ system.B @ Es + transpose(EuL) @ system.B.T @ P @ system.closed)
        on_state = on_state - 2 * weight * transpose(EuL) @ system.R @ system.K
        on_state[..., :m, :] -= 2 * weight * system.L.T @ system.R @ Es
        quadratic = -2 * G.T @ P @ system.B @ EuL
        quadratic[..., :m, :] -= 2 * weight * system.L.T @ system.R @ EuL
        on_sensitivity = -2 * G.T @ P @ system.closed
        on_sensitivity[..., :m, :] = -2 * system.L.T @ self.F[:, None]
        return self.innovation(on_state, quadratic, on_sensitivity)

    @cached_property
    def own_action(self) -> Innovation:
        """The term -2 s_j U_ii u_i of s_j dG_t/du_i that the branched action's own noise makes, K_ij only."""
        m = self.system.actions
        linear, quadratic = self._per_parameter()
        rows = -2 * self.U[:, self.i, self.i, None] * np.where(self.gain[:, None], self.system.L[self.i], 0.0)
        linear[:, self.each, :m, self.j] = rows.swapaxes(0, 1)
        return self.innovation(linear, quadratic)

    # ---- the initial state, as a stage of its own: s_0 = mean + C xi ----

    def start(self, form: Array) -> Innovation:
        """Return (1, s_0)^T form (1, s_0) minus its mean as an innovation with a constant linear part, (p, r_0, 1)."""
        C, mean = self.system.initial_factor, self.system.mean
        slope = form[..., 1:, 0] + form[..., 1:, 1:] @ mean
        return Innovation(2 * (slope @ C)[..., None], C.T @ form[..., 1:, 1:] @ C)

    def _per_parameter(self) -> tuple[Array, Array]:
        T, (n, r), p = self.system.horizon, self.system.noise.shape, len(self.parameters)
        return np.zeros((T, p, r, n)), np.zeros((T, p, r, r))


def without_action(innovation: Innovation, actions: int) -> Innovation:
    """Return what the first `actions` components of the noise do not decide alone."""
    linear, quadratic = (part.copy() for part in innovation)
    linear[..., :actions, :] = quadratic[..., :actions, :actions] = 0.0
    return Innovation(linear, quadratic)
