"""The estimators of one trajectory's gradient, each a rule of one shape.

    g = sum_t [ E_t d_t + z_t f_t(s_t, a_t) + sum_a pi(a | s_t) z(s_t, a) q_t(s_t, a) + o_t(s_t, a_t) ]

with the score z_t, its trace E_t = lam E_{t-1} + z_t, and d_t = r_t (discounted, and the terminal reward as d_T), or
the temporal-difference error d_t = r_t + v_{t+1}(s_{t+1}) - k_t(s_t, a_t) of a critic. The score function adds the
rewards before each score. What is exact here holds for wrong critics, too: then the mean is not the gradient.

A critic is an array of states and actions (T, S, A), a value function one of states (T + 1, S), both with the
discount counted from time 0; None is the exact one. A baseline is an array of the module `baselines`. Without a
horizon (1, S, A), (2, S) and (1, S, 1): what they say of time t is gamma^t times that.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .values import critic, gradient_news, stages


class Rule(NamedTuple):
    """The data of the formula above; shapes with K stages, see `values`."""

    trace: float | None = None  # lam; None: no d_t
    ahead: np.ndarray | None = None  # v, (K + 1, S); None: d_t = r_t, and lam = 1
    known: np.ndarray | float = 0.0  # k, (K, S, A or 1)
    weight: np.ndarray | float = 0.0  # f, (K, S, A or 1, 1 or P)
    expected: np.ndarray | None = None  # q, (K, S, A)
    own: np.ndarray | None = None  # o, (K, S, A, P), of mean zero over the actions
    constant: np.ndarray | None = None  # b of (R - b) Z, (1 or P,); None: no rewards from before the score
    scores: np.ndarray | None = None  # (S, A, P): these alone are added up, whatever the discount
    whole_return: bool = False  # R alone


@dataclass(frozen=True, eq=False)
class ScoreFunction:
    """R Z - b Z - sum_t b_t(s_t) z_t, Z = sum_t z_t [Williams 1992].

    `constant` b: a number or one per parameter, (P,); `baseline` b_t(s): None or an array of `baselines`.
    """

    constant: float | np.ndarray = 0.0
    baseline: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        b = np.asarray(self.constant, dtype=float)
        if b.shape not in ((), (system.parameters,)):
            raise ValueError(f"constant: expected a number or shape ({system.parameters},), got {b.shape}")
        return Rule(trace=1.0, constant=np.atleast_1d(b), weight=-_baseline(system, self.baseline))


@dataclass(frozen=True, eq=False)
class RewardToGo:
    """sum_t z_t (G_t - b_t(s_t)) [Baxter & Bartlett 2001, GPOMDP]; `baseline`: None or an array of `baselines`."""

    baseline: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        return Rule(trace=1.0, weight=-_baseline(system, self.baseline))


@dataclass(frozen=True, eq=False)
class GeneralizedAdvantage:
    """sum_t z_t sum_{k>=t} lam^{k-t} delta_k [Schulman et al. 2016].

    `decay` is lam; `value` the value function, None: the exact one. At T the terminal reward is known and stands in.
    """

    decay: float = 0.95
    value: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        V = critic(system)[0]
        if self.value is not None:
            end, V = V[-1], _checked("value", self.value, system, 1, ())
            if system.horizon is not None:
                V[-1] = end
        return Rule(trace=float(self.decay), ahead=V, known=V[:-1, :, None])


@dataclass(frozen=True, eq=False)
class Critic:
    """sum_t z_t q_t(s_t, a_t) for a critic q; None: the exact Q_t."""

    critic: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        return Rule(weight=_critic(system, self.critic)[..., None])


@dataclass(frozen=True, eq=False)
class Advantage:
    """sum_t z_t (q_t(s_t, a_t) - sum_a pi(a | s_t) q_t(s_t, a)) for a critic q; None: the exact one, z_t A_t."""

    critic: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        q = _critic(system, self.critic)
        return Rule(weight=(q - np.sum(system.policy * q, axis=2, keepdims=True))[..., None])


@dataclass(frozen=True, eq=False)
class AllActions:
    """sum_t sum_a pi(a | s_t) z(s_t, a) q_t(s_t, a) for a critic q, None: the exact Q_t [Sutton et al. 2000]."""

    critic: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        return Rule(expected=_critic(system, self.critic))


@dataclass(frozen=True, eq=False)
class ActionControlVariate:
    """sum_t z_t (G_t - q_t(s_t, a_t)) + sum_t E_a[z_t q_t | s_t] for a critic q; None: the exact Q_t."""

    critic: np.ndarray | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        q = _critic(system, self.critic)
        return Rule(trace=1.0, weight=-q[..., None], expected=q)


@dataclass(frozen=True, eq=False)
class TrajectoryControlVariate:
    """sum_t z_t (G_t - Q_t - sum_{k>t} A_k) + sum_t E_a[z_t Q_t | s_t], exact critic [Cheng, Yan & Boots 2019]."""

    def rule(self, system):
        """Return the estimator as a Rule: what is left of the return is r_k + V_{k+1} - Q_k, summed over k >= t."""
        V, Q = critic(system)
        return Rule(trace=1.0, ahead=V, known=Q, expected=Q)


@dataclass(frozen=True, eq=False)
class DoublyRobust:
    """The trajectory control variate less sum_t dQ_t(s_t, a_t) - E_a[dQ_t | s_t], exact critic [Huang & Jiang 2020]."""

    def rule(self, system):
        """Return the estimator as a Rule; its variance is the bound `bounds.tree_bound`."""
        return TrajectoryControlVariate().rule(system)._replace(own=-gradient_news(system))


@dataclass(frozen=True, eq=False)
class Score:
    """Z = sum_t z_t, mean zero: the control variate of constant baselines.

    `entry`: one parameter's score, set against every parameter; None: each parameter's own.
    """

    entry: int | None = None

    def rule(self, system):
        """Return the estimator as a Rule."""
        z = system.score
        return Rule(scores=z if self.entry is None else z[..., self.entry, None])


@dataclass(frozen=True, eq=False)
class WeightedScore:
    """sum_t b_t(s_t) z_t for a baseline b (an array of `baselines`): what a baseline subtracts."""

    baseline: np.ndarray

    def rule(self, system):
        """Return the estimator as a Rule."""
        return Rule(weight=_baseline(system, self.baseline))


@dataclass(frozen=True, eq=False)
class Return:
    """R itself, the same for every parameter: not a gradient, but what group baselines are made of."""

    def rule(self, system):
        """Return the estimator as a Rule."""
        return Rule(whole_return=True)


def _critic(system, q):
    return critic(system)[1] if q is None else _checked("critic", q, system, 0, system.policy.shape[1:])


def _checked(name, array, system, more, last):
    """Return a user's critic, with what it says of the ends of episodes set to 0."""
    array, shape = np.array(array, dtype=float), (stages(system) + more, system.states, *last)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    array[:, system.ends] = 0.0
    return array


def _baseline(system, b):
    """Return a baseline with an axis for the actions, (K, S, 1, 1 or P)."""
    K, S, P = stages(system), system.states, system.parameters
    b = np.zeros((K, S, 1)) if b is None else np.asarray(b, dtype=float)
    if b.shape not in ((K, S, 1), (K, S, P)):
        raise ValueError(f"baseline: expected shape ({K}, {S}, 1 or {P}), got {b.shape}")
    return b[:, :, None, :]
