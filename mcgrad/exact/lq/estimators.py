"""The estimators of one trajectory's gradient, as sums of martingale increments.

For the filtration F_t of the trajectory up to s_t, each estimator X of a parameter is

    X = E X + (X_0 - E X) + sum_t m_t,     X_0 = E[X | s_0],     m_t = E[X | F_{t+1}] - E[X | F_t],

so that Cov(X, Y) = Cov(X_0, Y_0) + sum_t E[m_t m'_t]: single sums only. Write delta_t for the
temporal-difference error, z_t for the score, n_t = H_{t+1}(s_{t+1}) - E[H_{t+1}(s_{t+1}) | s_t] for the news
about the gradient to go, E_t = sum_{k<t} lam^{t-k} z_k for the eligibility (lam = 1: Z_t, the past score),
J_t = E[R | F_t] - J, and [y] = y - E[y | s_t]. Then m_t is

    score function, (R - b) Z             Z_t delta_t + J_t z_t + [z_t delta_t] + (J - b) z_t + n_t
    reward to go, sum z_t (G_t - b_t)     Z_t delta_t + [z_t delta_t] + (V_t - b_t)(s_t) z_t + n_t
    generalized advantage                 E_t delta_t + [z_t delta_t] + n_t
    exact advantage, sum z_t A_t          [z_t A_t] + n_t      (with Q_t: + V_t(s_t) z_t)
    action control variate                Z_t delta_t + [z_t (delta_t - known part of A_t)] + n_t
    all actions                           n_t
    value gradient, sum d_t'grad_a Q_t    [d_t'grad_a Q_t] + n_t
    reparameterization, dR/dp             d delta_t/dp at fixed noise
    score, Z                              z_t
    delta, scored                         [z_t r_t] + E[r_t | s_t] z_t      (order 1: its tangent at K s)
    delta, followed                       [d_t'grad_a r_t]

and every X_0 is H_0(s_0) (for the score and delta, whose means are zero: 0). A `Term` is a weight times an atom or a product
of two atoms; `variances` does the rest.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .atoms import Atom
from .chain import Carry
from .values import objective, riccati


class Term(NamedTuple):
    """A summand of m_t: weight * atom, with weight 1 (None), a form (array) or a `Carry`; or [atom * factor]."""

    weight: object
    atom: Atom
    factor: Atom | None = None


class Estimator:
    """What all estimators declare: `terms(chain, path)`, the summands of m_t for one trajectory of a chain."""

    start = "gradient"  # E[X | s_0] - E X is that of the gradient to go, H_0(s_0); None: zero
    lifted = False  # needs the sensitivity D_t in the chain


@dataclass(frozen=True, eq=False)
class ScoreFunction(Estimator):
    """(R - b) Z, Z = sum_t z_t [Williams 1992]. `baseline` b: a number or one per parameter, (P,)."""

    baseline: float | np.ndarray = 0.0

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        delta, z = chain.atom("error", path), chain.atom("score", path)
        level = objective(chain.system) - _select(self.baseline, chain, "baseline")
        return [
            Term(Carry("score", 1.0, path), delta),
            Term(Carry("error", 1.0, path), z),
            Term(None, z, delta),
            Term(_constant(level, chain), z),
            Term(None, chain.atom("future", path)),
        ]


@dataclass(frozen=True, eq=False)
class RewardToGo(Estimator):
    """sum_t z_t (G_t - b_t(s_t)) [Baxter & Bartlett 2001, GPOMDP].

    `baseline`: None, or forms of (1, s), (T, 1 or P, 1 + n, 1 + n), b_t(s) = (1, s)'b_t (1, s): made by the
    functions of `baselines`, and their sums.
    """

    baseline: np.ndarray | None = None

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        z, offset = chain.atom("score", path), value_forms(chain.system)
        if self.baseline is not None:
            offset = offset - _select_forms(self.baseline, chain)
        return [
            Term(Carry("score", 1.0, path), chain.atom("error", path)),
            Term(None, z, chain.atom("error", path)),
            Term(chain.form(offset, path), z),
            Term(None, chain.atom("future", path)),
        ]


@dataclass(frozen=True, eq=False)
class GeneralizedAdvantage(Estimator):
    """sum_t z_t sum_{k>=t} lam^{k-t} delta_k, exact value function [Schulman et al. 2016]; `decay` is lam."""

    decay: float = 0.95

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        delta = chain.atom("error", path)
        return [
            Term(Carry("score", float(self.decay), path), delta),
            Term(None, chain.atom("score", path), delta),
            Term(None, chain.atom("future", path)),
        ]


@dataclass(frozen=True, eq=False)
class ExactAdvantage(Estimator):
    """sum_t z_t A_t(s_t, a_t), or with `value` sum_t z_t Q_t(s_t, a_t), exact critic."""

    value: bool = False

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        z = chain.atom("score", path)
        terms = [Term(None, z, chain.atom("advantage", path)), Term(None, chain.atom("future", path))]
        return terms + ([Term(chain.form(value_forms(chain.system), path), z)] if self.value else [])


@dataclass(frozen=True, eq=False)
class ActionControlVariate(Estimator):
    """sum_t z_t (G_t - q_t(s_t, a_t)) + sum_t E_a[z_t q_t | s_t], q the exact Q_t.

    With `first_order`, q is its Taylor expansion about K s, V_t + u'grad_a Q_t(s, K s) [Gu et al. 2017,
    Q-Prop].
    """

    first_order: bool = False

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        delta = chain.atom("error", path)
        known = chain.atom("first_order_advantage" if self.first_order else "advantage", path)
        return [
            Term(Carry("score", 1.0, path), delta),
            Term(None, chain.atom("score", path), delta - known),
            Term(None, chain.atom("future", path)),
        ]


@dataclass(frozen=True)
class AllActions(Estimator):
    """sum_t E_a[z_t Q_t(s_t, a) | s_t], exact critic [Ciosek & Whiteson 2018, expected policy gradients]."""

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        return [Term(None, chain.atom("future", path))]


@dataclass(frozen=True)
class ValueGradient(Estimator):
    """sum_t d_t'grad_a Q_t(s_t, a_t), exact critic [Heess et al. 2015, SVG(0)]. L may be singular."""

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        return [Term(None, chain.atom("critic", path) + chain.atom("future", path))]


@dataclass(frozen=True)
class Reparameterization(Estimator):
    """dR/dp along the path with the noise held fixed. L may be singular."""

    lifted = True

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        return [Term(None, chain.atom("pathwise", path))]


@dataclass(frozen=True)
class Score(Estimator):
    """Z = sum_t z_t, mean zero: not a gradient estimator but the control variate of constant baselines.

    `entry`: one parameter's score, set against every parameter; None: each parameter's own.
    """

    entry: int | None = None
    start = None

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        if self.entry is None:
            return [Term(None, chain.atom("score", path))]
        return [Term(None, chain.score_of(self.entry, path))]


@dataclass(frozen=True)
class Delta(Estimator):
    """sum_t z_t T_t(a_t) - E[z_t T_t | s_t], T_t the Taylor expansion of r_t about K s; with `pathwise` its derivative.

    With `centred`, T_t - E[T_t | s_t]. For order 2, T_t = r_t.
    """

    order: int = 2
    pathwise: bool = False
    centred: bool = False
    start = None

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        which = ("first_order_" if self.order == 1 else "") + "reward"
        if self.pathwise:
            return [Term(None, chain.atom(which + "_gradient", path))]
        z = chain.atom("score", path)
        terms = [Term(None, z, chain.atom(which, path))]
        return terms if self.centred else [*terms, Term(chain.form(reward_forms(chain.system, self.order), path), z)]


def reward_forms(system, order=2):
    """E[r_t | s_t], or for order 1 r_t(s, K s), as forms of (1, s), t < T: (T, 1, 1 + n, 1 + n)."""
    K, R, L, n = system.K, system.R, system.L, system.states
    form = np.zeros((1 + n, 1 + n))
    form[0, 0] = -np.trace(L.T @ R @ L) if order == 2 else 0.0
    form[1:, 1:] = -(system.Q + K.T @ R @ K)
    weight = system.discount ** np.arange(system.horizon)
    return (weight[:, None, None] * form)[:, None]


def value_forms(system):
    """V_t(s) = -(c_t + s'P_t s) as forms of (1, s), t < T: (T, 1, 1 + n, 1 + n)."""
    P, c, _, _ = riccati(system)
    out = np.zeros((system.horizon, 1, 1 + system.states, 1 + system.states))
    out[:, 0, 0, 0], out[:, 0, 1:, 1:] = -c[:-1], -P[:-1]
    return out


def _select(b, chain, name):
    b, P = np.asarray(b, dtype=float), chain.system.parameters
    if b.ndim and b.shape != (P,):
        raise ValueError(f"{name}: expected a number or shape ({P},), one per parameter, got {b.shape}")
    return b[chain.parameters] if b.ndim else b[None]


def _select_forms(forms, chain):
    T, P, n = chain.system.horizon, chain.system.parameters, chain.system.states
    forms = np.asarray(forms, dtype=float)
    if forms.shape not in ((T, 1, n + 1, n + 1), (T, P, n + 1, n + 1)):
        expected = f"({T}, 1 or {P}, {n + 1}, {n + 1})"
        raise ValueError(f"baseline: expected forms of shape {expected}, got {forms.shape}")
    forms = (forms + forms.swapaxes(-1, -2)) / 2
    return forms[:, chain.parameters] if forms.shape[1] == P else forms


def _constant(level, chain):
    out = np.zeros((1, len(level), chain.size, chain.size))
    out[0, :, 0, 0] = level
    return out
