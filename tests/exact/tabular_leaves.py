"""Rules of tabular systems by the names of the formulas, without estimators or problems: what enumerations are set against.

An estimator here is a function of the theory that returns a rule; baselines are arrays (T, S, 1 or P), and add.
"""

import dataclasses

import numpy as np
from leaf_questions import covariance, covariance_matrix, mean, theory_of, variance  # noqa: F401
from tabular_cases import outcomes  # noqa: F401

from mcgrad import estimators as E
from mcgrad.exact import algebra
from mcgrad.exact.leaves import Rule
from mcgrad.exact.tabular import System, average, covariances, softmax, values
from mcgrad.exact.tabular.baselines import naive_over_time as naive_time_baseline
from mcgrad.exact.tabular.bounds import markov_bound, stationary_bound, tree_bound
from mcgrad.exact.tabular.covariances import return_variance
from mcgrad.exact.tabular.values import (
    action_value,
    advantage,
    fisher,
    gradient,
    gradient_news,
    gradient_to_go,
    mean_return_to_go,
    objective,
    state_distribution,
    value,
)

__all__ = [
    "System",
    "action_value",
    "advantage",
    "average",
    "fisher",
    "gradient",
    "gradient_news",
    "gradient_to_go",
    "markov_bound",
    "mean_return_to_go",
    "naive_state_baseline",
    "naive_time_baseline",
    "objective",
    "return_variance",
    "softmax",
    "state_distribution",
    "stationary_bound",
    "tree_bound",
    "value",
]


def gradient_by_recursion(system):
    """dJ/dtheta = sum_s start(s) dV_0(s)/dtheta, the witness of the theorem: (P,)."""
    return system.start @ gradient_to_go(system)[0]


def bandit(means, policy, jacobian=None, variances=0.0):
    """The bandit as a System with one state and horizon 1: means, policy and variances (A,), jacobian (A, P)."""
    means = np.asarray(means, dtype=float)
    return System(
        P=np.ones((1, len(means), 1)),
        reward=means[None],
        start=np.ones(1),
        policy=np.asarray(policy)[None],
        horizon=1,
        jacobian=None if jacobian is None else np.asarray(jacobian)[None],
        reward_variance=np.broadcast_to(np.asarray(variances, dtype=float), means.shape)[None],
    )


def with_expected_rewards(system, given):
    """Return the system in which each reward is replaced by its mean given an "action" or a "transition"."""
    reward = system.mean_reward if given == "action" else system.reward
    return dataclasses.replace(system, reward=reward, reward_variance=0.0)


# ---- estimators --------------------------------------------------------------------------------------------------


def ScoreFunction(b=0.0, baseline=None):  # noqa: N802
    """(R - b) Z - sum_t b_t(s_t) z_t; b a number or (P,)."""
    return lambda theory: Rule(
        trace=1.0, whole=True, score=-np.asarray(b, dtype=float), weight=_weight(theory, baseline)
    )


def RewardToGo(baseline=None):  # noqa: N802
    """sum_t z_t (G_t - b_t(s_t))."""
    return lambda theory: Rule(trace=1.0, weight=_weight(theory, baseline))


def GeneralizedAdvantage(decay=0.95, V=None):  # noqa: N802
    """sum_t z_t sum_{k>=t} lam^{k-t} delta_k, of the exact value function or of a table (T, S)."""

    def of(theory):
        known = theory.value_function() if V is None else theory.over_states(V[:-1])
        return Rule(trace=float(decay), ahead=known, known=known)

    return of


def Critic(q=None):  # noqa: N802
    """sum_t z_t q_t."""
    return lambda theory: Rule(weight=_critic(theory, q))


def Advantage(q=None):  # noqa: N802
    """sum_t z_t (q_t - E_a[q_t | s_t])."""
    return lambda theory: Rule(weight=_critic(theory, q) - theory.over_actions(_critic(theory, q)))


def AllActions(q=None):  # noqa: N802
    """sum_t E_a[z_t q_t | s_t]."""
    return lambda theory: Rule(expected=_critic(theory, q))


def ActionControlVariate(q=None):  # noqa: N802
    """sum_t z_t (G_t - q_t) + E_a[z_t q_t | s_t]."""
    return lambda theory: Rule(trace=1.0, weight=-_critic(theory, q), expected=_critic(theory, q))


def TrajectoryControlVariate():  # noqa: N802
    """sum_t z_t (G_t - Q_t - sum_{k>t} A_k) + E_a[z_t Q_t | s_t]."""
    return lambda theory: algebra.terms(theory, E.trajectory_control_variate())[0].leaf


def DoublyRobust():  # noqa: N802
    """The same less dQ_t - E_a[dQ_t | s_t]."""
    return lambda theory: algebra.terms(theory, E.doubly_robust())[0].leaf


def Score():  # noqa: N802
    """Z."""
    return lambda theory: Rule(score=1.0)


def Return():  # noqa: N802
    """R."""
    return lambda theory: covariances.RETURN


def _weight(theory, baseline):
    return 0.0 if baseline is None else -np.asarray(baseline)[:, :, None]


def _critic(theory, q):
    return theory.action_value() if q is None else np.asarray(q)[..., None]


# ---- questions ---------------------------------------------------------------------------------------------------


def covariance_by_step(system, X, Y):
    """What s_0 decides, (P,), and what happens in each state at each time, (T, S, P)."""
    return covariances.covariance_by_step(system, X(theory_of(system)), Y(theory_of(system)))


# ---- baselines ---------------------------------------------------------------------------------------------------


def constant_baseline(system, b):
    """b, a number or (P,)."""
    return time_baseline(system, np.broadcast_to(b, (values.stages(system), *np.shape(b))))


def time_baseline(system, b):
    """b_t, (T,) or (T, P)."""
    return theory_of(system).over_time(b)[:, :, 0]


def state_baseline(system, b):
    """b_t(s), (S,), (T, S) or (T, S, P)."""
    return theory_of(system).over_states(b)[:, :, 0]


def value_baseline(system):
    """V_t(s)."""
    return theory_of(system).value_function()[:, :, 0]


def mean_to_go_baseline(system):
    """E G_t."""
    return time_baseline(system, mean_return_to_go(system))


def optimal_state_baseline(system, X):
    """b_t*(s) = Cov(X, z_t 1{s_t = s}) / Var(z_t 1{s_t = s}), since a state is one thing at a time: (T, S, P)."""
    score = lambda theory: Rule(weight=theory.over_time(1.0))  # noqa: E731
    return algebra.ratio(*(covariance_by_step(system, x, score)[1] for x in (X, score)))


def naive_state_baseline(system):
    """The textbook's b_t(s) = E[z_t^2 Q_t | s] / E[z_t^2 | s], best for each term alone: (T, S, P)."""
    squares = system.policy[..., None] * system.score**2
    top = np.einsum("tsa,sap->tsp", np.reshape(action_value(system), (-1, *system.policy.shape)), squares)
    return algebra.ratio(top, np.broadcast_to(squares.sum(axis=1), top.shape))


def total_optimal_state_baseline(system, X):
    """b_t(s) for the sum of the variances, (T, S)."""
    score = lambda theory: Rule(weight=theory.over_time(1.0))  # noqa: E731
    return algebra.ratio(*(covariance_by_step(system, x, score)[1].sum(axis=2) for x in (X, score)))


def _with_scores(system, X):
    theory = theory_of(system)
    return theory.by_step(X(theory)), theory.by_step(Rule(score=1.0))


def optimal_constant(system, X):
    """Cov(X, Z) / Var Z, (P,)."""
    return algebra.ratio(covariance(system, X, Score()), variance(system, Score()))


def total_optimal_constant(system, X):
    """One b for the sum of the variances."""
    return float(algebra.ratio(covariance(system, X, Score()).sum(), variance(system, Score()).sum()))


def optimal_time_baseline(system, X):
    """Cov(X, z_t) / Var z_t, (T, P)."""
    return algebra.ratio(*_with_scores(system, X))


def total_optimal_time_baseline(system, X):
    """One b_t for the sum of the variances, (T,)."""
    return algebra.ratio(*(x.sum(axis=1) for x in _with_scores(system, X)))
