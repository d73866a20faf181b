"""Estimators as sums of martingale increments, each linear in a few carries of the past.

For the filtration F_t of the trajectory up to s_t,

    X = E X + (E[X | s_0] - E X) + sum_t m_t,     m_t = E[X | F_{t+1}] - E[X | F_t] = sum_i c_i e_i,

with carries c_i that are known before stage t (`carries`) and factors e_i(s, a, s', r) that have mean zero given s.
For the rule of `estimators`, with U_t(s) = E[sum_{k>=t} lam^{k-t} d_k | s_t = s], the error
eps_t = d_t + lam U_{t+1}(s_{t+1}) - U_t(s_t), and h_t(s) = E[what the scores from t on make of g | s_t = s]:

    carry                                      factor
    1 (gamma^t without a horizon)              z_t (eps_t + U_t + f_t) + E_a[z q] + o_t + h_{t+1}(s_{t+1}) - h_t(s_t)
    past of the trace, lam E_{t-1}             eps_t
    E[R | F_t] - b, the score function only    z_t    (and no z_t U_t in the first line)

h is the backward recursion that gives the mean; it is dV_t/dtheta for what is unbiased. The increments of R itself
are its temporal-difference errors, those of Z are z_t. A factor is kept as

    e = mean(s, a) + slope(s, a) omega + next(s') - E[next | s, a],

with omega, the surprise, all that the action leaves open of eps_t: the noise of the reward and its mean given s'.
"""

from typing import NamedTuple

import numpy as np

from .carries import error_carry, one, trace, weight
from .values import backward, critic, decay, stages, weights


class Factor(NamedTuple):
    """One e_i of a stage: mean, slope (S, A, 1 or P), surprise (S, A, S) without the noise, next (S, 1 or P)."""

    mean: np.ndarray
    slope: np.ndarray | None = None
    surprise: np.ndarray | None = None
    next: np.ndarray | None = None


class Increments:
    """The increments of an estimator: `first` = E[X | s_0], (S, 1 or P), its `carries`, their `factors` at each stage."""

    def __init__(self, system, estimator):
        self.system, self.rule = system, estimator.rule(system)
        self.alive = ~system.ends[:, None]
        if self.rule.whole_return:
            self.rule = self.rule._replace(trace=1.0)
        self.carries = self._carries()
        self.to_go = self._to_go()
        self.h = self._mean_to_go()
        self.first = self.to_go[0, :, None] if self.rule.whole_return else self.h[0]

    def _carries(self):
        system, rule = self.system, self.rule
        if rule.scores is not None:
            return [one()]
        found = [weight(system)]
        if rule.trace is not None and not rule.whole_return:
            found.append(trace(system, rule.trace))
        if rule.constant is not None:
            found.append(error_carry(system, rule.constant))
        return found

    def factors(self, t):
        """Return a Factor for each of the `carries`: their products add up to m_t."""
        system, rule, z = self.system, self.rule, self.system.score
        if rule.scores is not None:
            return [Factor(rule.scores)]
        past, slope, surprise, mean = [], None, None, z * _at(rule.weight, t)
        if rule.trace is not None:
            error, surprise = self._error(t)
            of_error = Factor(error[..., None], np.ones((1, 1, 1)), surprise)
            if rule.whole_return:
                return [of_error]
            past.append(of_error)
            mean, slope = mean + z * error[..., None], z
        if rule.constant is not None:
            past.append(Factor(z))
        else:
            mean = mean + z * self.to_go[t, :, None, None]
        if rule.expected is not None:
            mean = mean + self._expected(t)[:, None]
        if rule.own is not None:
            mean = mean + rule.own[t]
        following = decay(system) * self.h[t + 1]
        mean = mean + np.tensordot(system.flow, following, 1) - self.h[t][:, None]
        return [Factor(mean, slope, surprise, following), *past]

    def _error(self, t):
        """Return E[eps_t | s, a], (S, A), and the surprise."""
        system, lam = self.system, self.rule.trace
        ahead = 0.0 if self.rule.ahead is None else self.rule.ahead[t + 1]
        given = weights(system)[t] * system.reward + decay(system) * (ahead + lam * self.to_go[t + 1])
        mean = np.sum(system.flow * given, axis=2)
        error = np.where(self.alive, mean - _at(self.rule.known, t) - self.to_go[t][:, None], 0.0)
        return error, given - mean[..., None]

    def _to_go(self):
        """U_t, (K + 1, S)."""
        system, rule = self.system, self.rule
        if rule.trace is None:
            return np.zeros((stages(system) + 1, system.states))
        if rule.ahead is None:
            return critic(system)[0]
        due = [
            weights(system)[t] * system.mean_reward
            + decay(system) * system.flow @ rule.ahead[t + 1]
            - np.where(self.alive, _at(rule.known, t), 0.0)
            for t in range(stages(system))
        ]
        return backward(system, np.sum(system.policy * due, axis=2), 0.0, decay(system) * rule.trace)

    def _mean_to_go(self):
        """h_t, (K + 1, S, P), and 0 for what has none."""
        system, rule = self.system, self.rule
        if rule.scores is not None or rule.whole_return:
            return np.zeros((stages(system) + 1, system.states, 1))
        own = np.zeros((stages(system), system.states, system.parameters))
        for t in range(stages(system)):
            due = _at(rule.weight, t) + (0.0 if rule.trace is None else self._error(t)[0][..., None])
            own[t] = np.sum(system.policy[..., None] * due * system.score, axis=1)
            if rule.expected is not None:
                own[t] += self._expected(t)
        return backward(system, own, 0.0, decay(system))

    def _expected(self, t):
        """E_a[z q_t | s], (S, P)."""
        return np.einsum("sa,sap->sp", self.system.policy * self.rule.expected[t], self.system.score)


def _at(array, t):
    return array[t] if np.ndim(array) else array
