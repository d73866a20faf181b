"""The atoms of one trajectory: what each stage's noise does to the return, the score and the gradients.

Every quantity is an `Atom` in the stage noise xi_t = (eps_t, white process noise) with coefficients affine in
the centred state x = (s_t - mu_t) or, *lifted*, x = (s_t - mu_t, D_t - E D_t) with the sensitivity D_t =
ds_t/dp at fixed noise,

    s' = Acl s + G xi,     D' = Acl D + B (E_s s + E_u L eps),     G = [B L, W^(1/2)],

where da/dp at fixed noise is d = E_s s + E_u u: E_s = e_i e_j' for K_ij, E_u = e_i e_i' for ls_i.

Axes: (T, p, r, 1 + n) or (T, p, r, 1 + 2n); p is 1 for what does not depend on the parameter.
"""

from functools import cached_property

import numpy as np

from .atoms import Atom
from .gaussian import symmetric, transpose
from .values import gradient_to_go, riccati, state_moments


class Trajectory:
    """Atoms for the listed parameters (indices into the parameter vector), as cached properties."""

    def __init__(self, system, parameters, lifted):
        self.system, self.parameters, self.lifted = system, np.asarray(parameters), lifted
        n, p = system.states, len(self.parameters)
        self.gain = self.parameters < system.K.size
        self.i, self.j = np.divmod(np.where(self.gain, self.parameters, 0), n)
        self.i = np.where(self.gain, self.i, self.parameters - system.K.size)
        self.P, _, self.F, self.U = riccati(system)
        self.mean = state_moments(system)[0][:-1]
        self.size = 1 + n + (n if lifted else 0)
        self.each = np.arange(p)

    # ---- how x = (s, D) moves ----

    @cached_property
    def state_sensitivity(self):
        """E_s, (p, m, n)."""
        out = np.zeros((len(self.parameters), self.system.actions, self.system.states))
        out[self.each, self.i, self.j] = self.gain
        return out

    @cached_property
    def noise_sensitivity(self):
        """E_u L padded with zeros for the process noise, (p, m, r)."""
        out = np.zeros((len(self.parameters), self.system.actions, self.system.noise.shape[1]))
        out[self.each, self.i, : self.system.actions] = np.where(self.gain[:, None], 0.0, self.system.L[self.i])
        return out

    @cached_property
    def transition(self):
        """Transition of x, x' = transition x + spread xi, (p, N, N) without the constant."""
        system, n = self.system, self.system.states
        if not self.lifted:
            return system.closed[None]
        out = np.zeros((len(self.parameters), 2 * n, 2 * n))
        out[:, :n, :n] = out[:, n:, n:] = system.closed
        out[:, n:, :n] = system.B @ self.state_sensitivity
        return out

    @cached_property
    def spread(self):
        """The noise's effect on x', (p, N, r)."""
        G, p = self.system.noise, len(self.parameters)
        if not self.lifted:
            return G[None]
        return np.concatenate([np.broadcast_to(G, (p, *G.shape)), self.system.B @ self.noise_sensitivity], axis=1)

    @cached_property
    def mean_sensitivity(self):
        """E D_t, (T, p, n): D' = Acl D + B E_s s in the mean."""
        out = np.zeros((self.system.horizon, len(self.parameters), self.system.states))
        for t in range(self.system.horizon - 1):
            out[t + 1] = out[t] @ self.system.closed.T + (self.system.B @ self.state_sensitivity) @ self.mean[t]
        return out

    # ---- atoms ----

    def atom(self, on_state, quadratic, on_sensitivity=None):
        """Return an Atom from the coefficients of s_t and D_t, (T, p, r, n), moved to centred coordinates."""
        n = self.system.states
        shape = np.broadcast_shapes(on_state.shape, () if on_sensitivity is None else on_sensitivity.shape)
        linear = np.zeros(shape[:-1] + (self.size,))
        linear[..., 1 : n + 1] = on_state
        linear[..., 0] = (on_state @ self.mean[:, None, :, None])[..., 0]
        if on_sensitivity is not None:
            linear[..., n + 1 :] = on_sensitivity
            linear[..., 0] += (on_sensitivity @ self.mean_sensitivity[..., None])[..., 0]
        return Atom(linear, symmetric(quadratic))

    @cached_property
    def zero(self):
        """The pair of zero coefficient arrays (T, 1, r, n) and (T, 1, r, r)."""
        T, (n, r) = self.system.horizon, self.system.noise.shape
        return np.zeros((T, 1, r, n)), np.zeros((T, 1, r, r))

    @cached_property
    def error(self):
        """Temporal-difference error delta_t = r_t + V_{t+1}(s_{t+1}) - V_t(s_t) = A_t + omega_t."""
        G, m, L = self.system.noise, self.system.actions, self.system.L
        linear, quadratic = G.T @ self.P[1:] @ self.system.closed, G.T @ self.P[1:] @ G
        linear[:, :m], quadratic[:, :m, :m] = L.T @ self.F, L.T @ self.U @ L
        return self.atom(-2 * linear[:, None], -quadratic[:, None])

    @cached_property
    def advantage(self):
        """A_t = -(2 u'F_t s + u'U_t u - tr U_t Sigma): the part of delta_t that the action alone decides."""
        m, (linear, quadratic) = self.system.actions, (part.copy() for part in self.error)
        linear[..., m:, :] = quadratic[..., m:, :] = quadratic[..., :, m:] = 0.0
        return Atom(linear, quadratic)

    @cached_property
    def first_order_advantage(self):
        """u'grad_a Q_t(s, K s) = -2 u'F_t s."""
        return Atom(self.advantage.linear, np.zeros_like(self.advantage.quadratic))

    @cached_property
    def score(self):
        """z_t: (Sigma^-1 u)_i s_j for K_ij, u_i (Sigma^-1 u)_i - 1 for ls_i. Needs an invertible L."""
        m, inverse = self.system.actions, self.system.inverse_factor.T
        linear, quadratic = self._per_parameter()
        linear[:, self.each, :m, self.j] = np.where(self.gain[:, None], inverse[self.i], 0.0)[:, None]
        own = self.system.L[self.i][:, :, None] * inverse[self.i][:, None, :]
        quadratic[:, :, :m, :m] = np.where(self.gain[:, None, None], 0.0, own)
        return self.atom(linear, quadratic)

    @cached_property
    def future(self):
        """News about the gradient to go, H_{t+1}(s_{t+1}) - E[H_{t+1}(s_{t+1}) | s_t]."""
        G, H = self.system.noise, self.gradient_to_go[1:]
        return self.atom(2 * G.T @ H @ self.system.closed, G.T @ H @ G)

    @cached_property
    def pathwise(self):
        """Derivative d delta_t/dp at fixed noise, the martingale increment of dR/dp.

        dr_t/dp = -2 gamma^t [s'QD + a'R(KD + d)], E[dR/dp | F_t] = (past) + H_t(s_t) - 2 s_t'P_t D_t; the
        part of the difference that xi_t decides, with s' = Acl s + G xi, D' = Acl D + B d.
        """
        if not self.lifted:
            raise AssertionError("the pathwise atom needs the lifted state (s, D)")
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
        return self.atom(on_state, quadratic, on_sensitivity) + self.future

    @cached_property
    def critic(self):
        """Action gradient d_t'grad_a Q_t(s_t, a_t) minus its mean given s_t: -2 d'(F_t s + U_t u)."""
        return self._along(self.F, self.U)

    @cached_property
    def reward(self):
        """r_t - E[r_t | s_t]: what the action does to the reward of its own step, -(2 u'F s + u'U u - tr U Sigma)."""
        m, L, (F, U) = self.system.actions, self.system.L, self._reward
        linear, quadratic = (part.copy() for part in self.zero)
        linear[:, 0, :m], quadratic[:, 0, :m, :m] = -2 * L.T @ F, -L.T @ U @ L
        return self.atom(linear, quadratic)

    @cached_property
    def first_order_reward(self):
        """u'grad_a r_t(s, K s)."""
        return Atom(self.reward.linear, np.zeros_like(self.reward.quadratic))

    @cached_property
    def reward_gradient(self):
        """Action gradient d_t'grad_a r_t(s_t, a_t) minus its mean given s_t."""
        return self._along(*self._reward)

    @cached_property
    def first_order_reward_gradient(self):
        """d_t'grad_a r_t(s_t, K s_t) minus its mean given s_t."""
        F, U = self._reward
        return self._along(F, np.zeros_like(U))

    @property
    def _reward(self):
        """F = gamma^t R K and U = gamma^t R, which are to r_t what F_t and U_t are to Q_t."""
        weight = (self.system.discount ** np.arange(self.system.horizon))[:, None, None]
        return weight * (self.system.R @ self.system.K), weight * self.system.R

    def _along(self, F, U):
        """Return -2 d'(F_t s + U_t u) minus its mean given s_t."""
        m, L = self.system.actions, self.system.L
        linear, quadratic = self._per_parameter()
        linear[:, self.each, :m, self.j] = np.where(self.gain[:, None, None], -2 * (U @ L)[:, self.i].swapaxes(0, 1), 0)
        scale = np.where(self.gain[:, None], 0.0, L[self.i])
        linear[:, :, :m] -= 2 * scale[:, :, None] * F[:, self.i, None, :]
        quadratic[:, :, :m, :m] -= 2 * scale[:, :, None] * (U @ L)[:, self.i, None, :]
        return self.atom(linear, quadratic)

    @cached_property
    def own_action(self):
        """The term -2 s_j U_ii u_i of s_j dG_t/du_i that the branched action's own noise makes, K_ij only."""
        m = self.system.actions
        linear, quadratic = self._per_parameter()
        rows = -2 * self.U[:, self.i, self.i, None] * np.where(self.gain[:, None], self.system.L[self.i], 0.0)
        linear[:, self.each, :m, self.j] = rows.swapaxes(0, 1)
        return self.atom(linear, quadratic)

    # ---- the initial state, as a stage of its own: s_0 = mean + C xi ----

    def start(self, form):
        """Return s_0'form s_0 minus its mean as an atom with a constant linear part, (p, r_0, 1)."""
        C = self.system.initial_factor
        return Atom(2 * ((form @ self.system.mean) @ C)[..., None], C.T @ form @ C)

    @cached_property
    def start_return(self):
        """V_0(s_0) - J."""
        return self.start(-self.P[:1])

    @cached_property
    def start_gradient(self):
        """H_0(s_0) - dJ/dp."""
        return self.start(self.gradient_to_go[0])

    @cached_property
    def gradient_to_go(self):
        """The quadratic parts H_t, (T+1, p, n, n)."""
        return gradient_to_go(self.system, self.parameters)[0]

    def _per_parameter(self):
        T, (n, r), p = self.system.horizon, self.system.noise.shape, len(self.parameters)
        return np.zeros((T, p, r, n)), np.zeros((T, p, r, r))
