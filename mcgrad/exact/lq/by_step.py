"""Score function and pathwise gradient with weights that depend on the time.

    X = sum_t k_t (da_t/dp)' dR/da_t + sum_t l_t z_t (G_t - b_t(s_t))

is the gradient in a parameter that acts at time t with strength k_t (pathwise) and l_t (score): in the theory of both the
sensitivities E_s and E_u become k_t E_s and k_t E_u, the score z_t becomes l_t z_t, and the all-action term h_t of the
gradient to go, in which both agree, (k_t + l_t) h_t. Then, in the notation of `estimators`,

    m_t = d delta_t/dp at fixed noise + Z_t delta_t + [l_t z_t delta_t] + (V_t - b_t)(s_t) l_t z_t + n_t

with Z_t = sum_{i<t} l_i z_i and one n_t for both. The chain has a transition of its own for every time.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .atoms import Atom
from .chain import Chain
from .estimators import Estimator, RewardToGo, Term
from .gaussian import transpose
from .trajectory import Trajectory
from .variances import BLOCK, covariance_on


def weighted_variance(system, pathwise, score, baseline=None, parameters=None):
    """Return the variance of X of the module: (K,).

    Parameters
    ----------
    pathwise, score : (T, K)
        k_t and l_t.
    baseline : forms of (1, s), optional
        b_t, the same for all parameters: (T, 1, 1 + n, 1 + n).
    parameters : (K,), optional
        Indices of parameters, all by default; an index may occur several times.
    """
    parameters = np.arange(system.parameters) if parameters is None else np.asarray(parameters)
    size = 1 + 2 * system.states
    block = max(1, BLOCK // (size**2 * system.horizon))
    out = []
    for k in range(0, len(parameters), block):
        part = slice(k, k + block)
        chain = _Chain(system, parameters[part], pathwise[:, part], score[:, part])
        X = _Weighted(baseline)
        start, steps = covariance_on(chain, X, X)
        out.append(start + steps.sum(axis=0))
    return np.maximum(np.concatenate(out), 0.0)


def step_variances(system, baseline=None):
    """Return the variances of (da_t/dp)' dR/da_t and of z_t (G_t - b_t), for each time and parameter: (T, P) both."""
    T, P = system.horizon, system.parameters
    only, none = np.repeat(np.eye(T), P, axis=1), np.zeros((T, T * P))
    every = np.tile(np.arange(P), T)
    pairs = (only, none), (none, only)
    return tuple(weighted_variance(system, k, w, baseline, every).reshape(T, P) for k, w in pairs)


@dataclass(frozen=True, eq=False)
class _Weighted(Estimator):
    """X of the module, for a `_Chain`."""

    baseline: np.ndarray | None
    lifted = True

    def terms(self, chain, path=0):
        score = RewardToGo(self.baseline).terms(chain, path)[:-1]  # without n_t, which is in the pathwise increment
        return [*score, Term(None, chain.atom("pathwise", path))]


class _Trajectory(Trajectory):
    """The atoms with weights over time; whatever depends on the parameter gains an axis T in front."""

    def __init__(self, system, parameters, pathwise, score):
        super().__init__(system, parameters, lifted=True)
        self.of_path, self.of_score = (w[:, :, None, None] for w in (pathwise, score))

    @cached_property
    def state_sensitivity(self):
        return self.of_path * Trajectory.state_sensitivity.func(self)

    @cached_property
    def noise_sensitivity(self):
        return self.of_path * Trajectory.noise_sensitivity.func(self)

    @cached_property
    def transition(self):
        n, move = self.system.states, self.system.B @ self.state_sensitivity
        out = np.zeros((*move.shape[:2], 2 * n, 2 * n))
        out[..., :n, :n] = out[..., n:, n:] = self.system.closed
        out[..., n:, :n] = move
        return out

    @cached_property
    def spread(self):
        own = self.system.B @ self.noise_sensitivity
        return np.concatenate([np.broadcast_to(self.system.noise, own.shape), own], axis=-2)

    @cached_property
    def mean_sensitivity(self):
        out = np.zeros((self.system.horizon, len(self.parameters), self.system.states))
        move = self.system.B @ self.state_sensitivity
        for t in range(self.system.horizon - 1):
            out[t + 1] = out[t] @ self.system.closed.T + move[t] @ self.mean[t]
        return out

    @cached_property
    def score(self):
        linear, quadratic = Trajectory.score.func(self)
        return Atom(self.of_score * linear, self.of_score * quadratic)

    @cached_property
    def gradient_to_go(self):
        T, n, A = self.system.horizon, self.system.states, self.system.closed
        own, out = np.zeros((T, len(self.each), n, n)), np.zeros((T + 1, len(self.each), n, n))
        own[:, self.each, self.j] = -np.where(self.gain[:, None], self.F[:, self.i], 0.0)
        own = (self.of_path + self.of_score) * (own + transpose(own))
        for t in reversed(range(T)):
            out[t] = own[t] + A.T @ out[t + 1] @ A
        return out


class _Chain(Chain):
    """A chain with another transition at every time."""

    def __init__(self, system, parameters, pathwise, score):
        self._weights = pathwise, score
        super().__init__(system, parameters, lifted=True)

    def _build(self, r, r0, part):
        system, N = self.system, self.size
        path = self.trajectory = _Trajectory(system, self.parameters, *self._weights)
        T, p = path.transition.shape[:2]
        self.A, self.G, self.G0 = np.zeros((T, p, N, N)), np.zeros((T, p, N, r)), np.zeros((1, N, r0))
        self.A[..., 0, 0] = 1.0
        self.A[..., 1:, 1:], self.G[..., 1:, :] = path.transition, path.spread
        self.G0[:, 1 : 1 + system.states] = system.initial_factor
        self.C = np.zeros((T, p, N, N))
        self.C[0] = self.G0 @ transpose(self.G0)
        inflow = self.G @ transpose(self.G)
        for t in range(T - 1):
            move = self.A[t, :, 1:, 1:]
            self.C[t + 1] = inflow[t]
            self.C[t + 1, :, 1:, 1:] += move @ self.C[t, :, 1:, 1:] @ transpose(move)
        self.second = self.C.copy()
        self.second[..., 0, 0] = 1.0

    def _run(self, source, first, decay, inflow):
        out = np.empty(self.C.shape)
        out[0] = first
        for t in range(self.system.horizon - 1):
            own = out[t, :, :1, :1] * inflow[t] if np.ndim(inflow) else 0.0
            out[t + 1] = decay * (self.A[t] @ out[t] @ transpose(self.A[t]) + own + source[t])
        return out
