"""Estimators as sums of martingale differences, each linear in a few carries of the past.

For the filtration F_t of the trajectory up to s_t,

    X = E X + (E[X | s_0] - E X) + sum_t m_t,     m_t = E[X | F_{t+1}] - E[X | F_t] = sum_i c_i e_i,

with carries c_i that are known before stage t (`traces`) and factors e_i(s, a, s_next, r) that have mean zero given s.
For the rule of `leaves`, with U_t(s) = E[sum_{k>=t} lam^{k-t} d_k | s_t = s], the error
eps_t = d_t + lam U_{t+1}(s_{t+1}) - U_t(s_t), and h_t(s) = E[what the scores from t on make of g | s_t = s]:

    carry                                      factor
    1 (gamma^t without a horizon)              z_t (eps_t + U_t + f_t) + E_a[z q] - n [dQ_t] + h_{t+1}(s_{t+1}) - h_t(s_t)
    1                                          c z_t
    past of the trace, lam E_{t-1}             eps_t
    E[R | F_t] + c, the score function only    z_t    (and no z_t U_t in the first line, nor the second)

h is the backward recursion that gives the mean; it is dV_t/dtheta for what is unbiased. The differences of R itself
are its temporal-difference errors. A factor is kept as

    e = mean(s, a) + slope(s, a) omega + next(s_next) - E[next | s, a],

with omega, the surprise, all that the action leaves open of eps_t: the noise of the reward and its mean given s_next.

Functions of (t, s, a) are arrays (K, S, 1 or A, 1 or P), with K stages, see `values`. Without a horizon (1, S, A, 1) says of
time t gamma^t times that.
"""

from typing import Any, NamedTuple

import numpy as np

from ..leaves import Rule
from ..theory import Array, NoClosedForm
from .system import System
from .traces import Carry, error_carry, one, trace, turned, weight
from .values import backward, critic, decay, gradient_news, stages, weights


class Factor(NamedTuple):
    """One e_i of a stage: mean, slope (S, A, 1 or P), surprise (S, A, S) without the noise, next (S, 1 or P)."""

    mean: Array
    slope: Array | None = None
    surprise: Array | None = None
    next: Array | None = None


class Differences:
    """The differences of a `leaves.Rule`: `first` = E[X | s_0], (S, 1 or P), its `carries`, their `factors` at each stage.

    What is said of parameter p is of parameter p + `turn`, in a circle: so covariances between parameters are found.
    """

    def __init__(self, system: System, rule: Rule, turn: int = 0) -> None:
        if np.ndim(rule.followed):
            raise NoClosedForm("tabular problems have no derivatives in the action")
        self.system, self.rule, self.turn = system, rule, turn
        self.z, self.alive = turned(system.score, turn), ~system.ends[:, None]
        self.weight, self.expected, self.score = (
            turned(np.asarray(x, dtype=float), turn) if np.ndim(x) else np.asarray(x, dtype=float)
            for x in (rule.weight, rule.expected, rule.score)
        )
        self.known = np.asarray(rule.known)[..., 0] if np.ndim(rule.known) else 0.0
        self.trace = 1.0 if rule.only_return else rule.trace
        self.ahead = self._ahead()
        self.news = turned(rule.news * gradient_news(system), turn) if rule.news else None
        self.apart = not rule.whole and system.horizon is None and bool(self.score.any())  # c z_t, not c gamma^t z_t
        self.carries = self._carries()
        self.to_go = self._to_go()
        self.h = self._mean_to_go()
        self.first = self.to_go[0, :, None] if rule.only_return else self.h[0]

    def _ahead(self) -> Array | None:
        """v, (K + 1, S): 0 where an episode is over, the terminal reward at T."""
        if self.rule.ahead is None:
            return None
        V = critic(self.system)[0]
        v = np.concatenate([self.rule.ahead[..., 0, 0], V[-1:]])
        v = np.array(np.broadcast_to(v, V.shape))
        if self.system.horizon is None:
            v[-1] = v[0]
        v[:, self.system.ends] = 0.0
        return v

    def _carries(self) -> list[Carry]:
        system, rule = self.system, self.rule
        found = [weight(system)]
        if self.apart:
            found.append(one())
        if self.trace is not None and not rule.only_return:
            found.append(trace(system, self.trace, self.turn))
        if rule.whole:
            found.append(error_carry(system, -self.score))
        return found

    def factors(self, t: int) -> list[Factor]:
        """Return a Factor for each of the `carries`: their products add up to m_t."""
        system, rule, z = self.system, self.rule, self.z
        past, slope, surprise, mean = [], None, None, z * _at(self.weight, t)
        if self.apart:
            past.append(Factor(self.score * z))
        elif not rule.whole:
            mean = mean + self.score * z
        if self.trace is not None:
            error, surprise = self._error(t)
            of_error = Factor(error[..., None], np.ones((1, 1, 1)), surprise)
            if rule.only_return:
                return [of_error]
            past.append(of_error)
            mean, slope = mean + z * error[..., None], z
        if rule.whole:
            past.append(Factor(z))
        else:
            mean = mean + z * self.to_go[t, :, None, None]
        if self.expected.ndim:
            mean = mean + self._expected(t)[:, None]
        if self.news is not None:
            mean = mean - self.news[t]
        following = decay(system) * self.h[t + 1]
        mean = mean + np.tensordot(system.flow, following, 1) - self.h[t][:, None]
        return [Factor(mean, slope, surprise, following), *past]

    def _error(self, t: int) -> tuple[Array, Array]:
        """Return E[eps_t | s, a], (S, A), and the surprise."""
        system, lam = self.system, self.trace
        ahead = 0.0 if self.ahead is None else self.ahead[t + 1]
        given = weights(system)[t] * system.reward + decay(system) * (ahead + lam * self.to_go[t + 1])
        mean = np.sum(system.flow * given, axis=2)
        error = np.where(self.alive, mean - _at(self.known, t) - self.to_go[t][:, None], 0.0)
        return error, given - mean[..., None]

    def _to_go(self) -> Array:
        """U_t, (K + 1, S)."""
        system = self.system
        if self.trace is None:
            return np.zeros((stages(system) + 1, system.states))
        if self.ahead is None:
            return critic(system)[0]
        due = [
            weights(system)[t] * system.mean_reward
            + decay(system) * system.flow @ self.ahead[t + 1]
            - np.where(self.alive, _at(self.known, t), 0.0)
            for t in range(stages(system))
        ]
        return backward(system, np.sum(system.policy * due, axis=2), 0.0, decay(system) * self.trace)

    def _mean_to_go(self) -> Array:
        """h_t, (K + 1, S, P), and 0 for what has none."""
        system = self.system
        if self.rule.only_return:
            return np.zeros((stages(system) + 1, system.states, 1))
        own = np.zeros((stages(system), system.states, system.parameters))
        for t in range(stages(system)):
            due = _at(self.weight, t) + (0.0 if self.trace is None else self._error(t)[0][..., None])
            if np.ndim(due):
                own[t] = np.sum(system.policy[..., None] * due * self.z, axis=1)
            if self.expected.ndim:
                own[t] += self._expected(t)
        return backward(system, own, 0.0, decay(system))

    def _expected(self, t: int) -> Array:
        """E_a[z q_t | s], (S, P)."""
        return np.sum(self.system.policy[..., None] * self.expected[t] * self.z, axis=1)


def _at(array: Any, t: int) -> Any:
    return array[t] if np.ndim(array) else array
