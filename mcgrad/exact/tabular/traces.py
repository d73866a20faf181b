"""What a trajectory carries along: traces of its scores, the return it may still expect; and their second moments.

A carry c obeys c' = decay (c + w x) for an x of the stage, where w = 1, or gamma^t without a horizon, is itself a
carry. Second moments on the way, N_cd[t](s) = E[c_t d_t 1{s_t = s}], follow from

    N_cd' = decay_c decay_d P_pi^T [N_cd + x_c N_wd + x_d N_cw + x_c x_d N_ww],

the x_c x_d averaged over actions and rewards along with P_pi: finitely many linear recursions, one after the other,
or without a horizon linear solves for their sum over t.
"""

from typing import Any, NamedTuple

import numpy as np

from ..theory import Array
from .system import System
from .values import critic, decay, forward, stages, weights

KEPT = 4_000_000  # numbers in an array that is kept with its system


class Carry(NamedTuple):
    """`adds` is x: "", "score" z_t, or "error" delta_t = r_t + V_{t+1} - V_t; `start` c_0(s) is (S, 1 or P).

    `turn` k: what is said of parameter p is of parameter p + k, in a circle.
    """

    decay: float
    adds: str
    start: Array
    turn: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells carries apart."""
        return self.decay, self.adds, self.turn, self.start.shape, self.start.tobytes()


def one() -> Carry:
    """Return the number 1."""
    return Carry(1.0, "", np.ones((1, 1)))


def weight(system: System) -> Carry:
    """Return w: gamma^t without a horizon, else 1."""
    return Carry(decay(system), "", np.ones((1, 1)))


def trace(system: System, lam: float, turn: int = 0) -> Carry:
    """Return the past of the trace as it enters E_t: lam E_{t-1} = sum_{k<t} lam^{t-k} z_k, times w."""
    return Carry(decay(system) * lam, "score", np.zeros((1, 1)), turn)


def error_carry(system: System, b: float | Array) -> Carry:
    """Return E[R | F_t] - b = V_0(s_0) - b + sum_{k<t} w delta_k; b (1 or P,)."""
    return Carry(1.0, "error", critic(system)[0][0][:, None] - b)


def second_moment(system: System, c: Carry, d: Carry) -> Array:
    """N_cd for each stage, or its sum over time without a horizon: (K, S, 1 or P)."""
    if c.key > d.key:
        c, d = d, c
    key = ("second moment", c.key, d.key)
    if key in system.memo:
        return system.memo[key]
    w = weight(system)
    first = system.start[:, None] * c.start * d.start
    source = np.zeros((1, system.states, 1))
    if c.adds:
        source = source + _moved(system, (c,), second_moment(system, w, d))
    if d.adds:
        source = source + _moved(system, (d,), second_moment(system, c, w))
    if c.adds and d.adds:
        source = source + _moved(system, (c, d), second_moment(system, w, w))
    shape = np.broadcast_shapes(first.shape, source.shape[1:])
    source = np.broadcast_to(source, (stages(system), *shape))
    found = forward(system, np.broadcast_to(first, shape), source, c.decay * d.decay)
    if found.size <= KEPT:
        system.memo[key] = found
    return found


def turned(array: Array, k: int) -> Array:
    """Return an array whose last axis is over parameters (or has length 1) with parameter p + k in place of p."""
    return np.roll(array, -k, axis=-1) if k else array


def _moved(system: System, carries: tuple[Carry, ...], moment: Array) -> Array:
    """E[product of the x of the carries times what `moment` is of, 1{next state = s_next}]: (K, S, 1 or P)."""
    S, A = system.policy.shape
    scores = np.ones((S, A, 1))
    for c in carries:
        scores = scores * turned(system.score, c.turn) if c.adds == "score" else scores
    out = []
    for t, now in enumerate(moment):
        kernel = _kernel(system, t, sum(c.adds == "error" for c in carries))
        out.append(kernel.reshape(S * A, S).T @ (scores * now[:, None]).reshape(S * A, -1))
    return np.stack(out)


def _kernel(system: System, t: int, power: int) -> Array:
    """pi(a | s) P(s_next | s, a) E[delta_t^power | s, a, s_next], (S, A, S)."""
    flow = system.policy[..., None] * system.flow
    if power == 0:
        return flow
    V, w = critic(system)[0], weights(system)[t]
    error = w * system.reward + decay(system) * V[t + 1] - V[t][:, None, None]
    return flow * error if power == 1 else flow * (error**2 + w**2 * system.reward_variance)
