"""Tabular problems and bandits under a softmax policy: every leaf has moments in closed form.

Functions of (t, s, a) are arrays (T, S, 1 or A, 1 or P), see `martingale_differences`.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...environments.bandit import Bandit
from ...environments.tabular import Tabular as Table
from ...estimators import Estimator
from ...estimators import kinds as estimators
from ...policies.softmax import TabularSoftmax
from ...problem import Problem
from .. import records
from ..leaves import Rule, of_state
from ..theory import Alone, Array, Leaf, NoClosedForm, Theory, of_system
from . import average, bounds, covariances, values
from .baselines import naive_over_time
from .off_policy import per_decision_variance
from .system import System, softmax


def of_problem(problem: Problem, theta: ArrayLike) -> "Tabular":
    """Return the theory of a problem; `NoClosedForm` if its policy is no softmax over a table, or its discount varies."""
    theta = problem.theta(theta)
    environment, policy = problem.environment.closed_form, problem.policy.closed_form
    if not isinstance(policy, TabularSoftmax):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; it is not a softmax over a table")
    if not isinstance(environment, (Bandit, Table)):
        raise NoClosedForm(f"no closed form is known for {problem.environment.name}; it is not tabular")
    S = 1 if isinstance(environment, Bandit) else len(environment.start)
    if len(policy.features) != S:
        raise NoClosedForm(f"theta: expected a policy for {S} states, got one for {len(policy.features)}")
    if problem.discount_varies:
        raise NoClosedForm("no closed form is known for a discount that differs from step to step")
    arrays = _of_bandit(environment) if isinstance(environment, Bandit) else _of_table(environment)
    system = System(
        **arrays,
        policy=softmax(policy.features @ theta),
        jacobian=policy.features,
        horizon=problem.horizon,
        discount=problem.discount,
    )
    return Tabular(system, problem, theta)


def _of_bandit(bandit: Bandit) -> dict[str, Any]:
    A = len(bandit.values)
    return {
        "P": np.ones((1, A, 1)),
        "reward": bandit.values[None],
        "reward_variance": bandit.std[None] ** 2,
        "start": np.ones(1),
    }


def _of_table(table: Table) -> dict[str, Any]:
    """Return P, and the mean and the variance of the reward given (s, a, s_next), from the table of outcomes."""
    S, A, K = table.probability.shape
    moments = np.zeros((3, S, A, S))
    place = (*np.indices((S, A, K))[:2], table.next_state)
    for k in range(3):
        np.add.at(moments[k], place, table.probability * table.reward**k)
    P = moments[0]
    mean, square = (np.divide(x, P, out=np.zeros_like(P), where=P > 0) for x in moments[1:])
    spread = np.zeros((S, A, S))
    np.add.at(spread, place, table.probability * (table.reward - mean[place]) ** 2)
    return {
        "P": P,
        "reward": mean,
        "reward_variance": np.divide(spread, P, out=np.zeros_like(P), where=P > 0),
        "start": table.start,
        "ends": table.ends,
        "terminal_reward": table.terminal,
    }


class Tabular(Theory):
    """The theory of a `System`, perhaps that of a problem."""

    def __init__(self, system: System, problem: Problem | None = None, theta: Array | None = None) -> None:
        self.system, self.problem, self.theta = system, problem, theta
        self.name = "this tabular problem" if problem is None else problem.environment.name
        self.parameters, self.horizon = system.parameters, values.stages(system)

    # ---- values ----

    @cached_property
    def objective(self) -> float:
        """J."""
        return float(values.objective(self.system))

    @cached_property
    def return_variance(self) -> float:
        """The variance of the return."""
        return covariances.return_variance(self.system)

    gradient, mean_return_to_go = of_system(values.gradient), of_system(values.mean_return_to_go)
    fisher = of_system(values.fisher)
    average_reward, average_gradient = of_system(average.average_reward), of_system(average.gradient)
    stationary, naive_over_time = of_system(average.stationary_distribution), of_system(naive_over_time)

    def value(self) -> records.ValueFunction:
        """Return V_t as a `ValueFunction`."""
        return records.tabulated(self.objective, values.value(self.system))

    def critic(self) -> records.ExactCritic:
        """Return Q_t as an `ExactCritic`."""
        Q, policy = values.action_value(self.system), self.system.policy
        S, A = policy.shape

        def function(t: int, s: Array, a: Array) -> Array:
            return Q[t, records.numbers("s", s, S), records.numbers("a", a, A)]

        return records.ExactCritic(function, 1, self.value(), Q=Q, policy=policy)

    def natural_gradient(self) -> Array:
        """Return the shortest solution of F x = dJ/dtheta, (P,): adding a number to all logits of a state changes nothing."""
        return np.linalg.pinv(self.fisher(), rcond=1e-12, hermitian=True) @ self.gradient()

    def gradient_news(self) -> records.GradientNews:
        """Return dQ_t(s, a) - E_a[dQ_t | s], (T, S, A, P)."""
        news = values.gradient_news(self.system)
        _, S, A, _ = news.shape

        def function(t: int, s: Array, a: Array) -> Array:
            return news[t, records.numbers("s", s, S), records.numbers("a", a, A)]

        return records.GradientNews(function, len(news), 1, 1, N=news)

    def efficiency_bound(self, model: str, matrix: bool) -> Array:
        """Return the bound for one trajectory, (P,) or (P, P)."""
        if model == "markov" and self.system.horizon is None:
            raise NoClosedForm(
                'the markov bound sums ratios over time: without a horizon "tree" and "stationary" are known'
            )
        return getattr(bounds, f"{model}_bound")(self.system, matrix)

    def differential_value(self) -> records.DifferentialValue:
        """Return V, (S,)."""
        V = average.differential_values(self.system)[0]

        def function(s: Array) -> Array:
            return V[records.numbers("s", s, len(V))]

        return records.DifferentialValue(function, 1, V=V)

    # ---- functions ----

    def over_time(self, b: ArrayLike) -> Array:
        """Return b, a number, (T,) or (T, P), as a function."""
        b = np.asarray(b, dtype=float)
        if b.shape not in ((), (self.horizon,), (self.horizon, self.parameters)):
            raise ValueError(f"b: expected a number or shape ({self.horizon},) or ({self.horizon}, P), got {b.shape}")
        b = (b.reshape(-1, 1) if b.ndim < 2 else b)[:, None, None]
        return np.array(np.broadcast_to(b, (self.horizon, self.system.states, 1, b.shape[-1])))

    def over_states(self, b: ArrayLike) -> Array:
        """Return b, (S,), (T, S) or (T, S, P), as a function."""
        b, T, S, P = np.asarray(b, dtype=float), self.horizon, self.system.states, self.parameters
        if b.shape not in ((S,), (T, S), (T, S, P)):
            raise ValueError(f"b: expected shape ({S},), ({T}, {S}) or ({T}, {S}, {P}), got {b.shape}")
        b = (b if b.ndim == 3 else b[..., None])[..., None, :]
        return np.array(np.broadcast_to(b, (T, S, 1, b.shape[-1])))

    def times(self, f: Array, numbers: float | Array) -> Array:
        """Return f times a number, or one for each parameter."""
        return f * numbers

    def value_function(self) -> Array:
        """Return V_t."""
        return values.critic(self.system)[0][:-1, :, None, None]

    def action_value(self) -> Array:
        """Return Q_t."""
        return values.critic(self.system)[1][..., None]

    def over_actions(self, f: Array) -> Array:
        """Return E[f | s]."""
        return np.sum(self.system.policy[..., None] * f, axis=2, keepdims=True)

    def ripples(self, amplitude: float, frequency: float) -> Array:
        """Return what a critic errs by that oscillates in the number of the action."""
        wave = amplitude * np.cos(frequency * np.arange(self.system.policy.shape[1]))
        return np.broadcast_to(wave[:, None], (self.horizon, *self.system.policy.shape, 1))

    def fitted(self, data: dict[str, Any]) -> Array:
        """Return the table that was fitted on pilot trajectories: the variance is that with this very baseline."""
        if not isinstance(self.problem.environment.closed_form, Table):
            raise NoClosedForm("no closed form is known with the baseline FittedValue on a bandit")
        return self.over_states(data["form"].values[:-1])

    # ---- leaves ----

    def alone(self, estimator: Estimator) -> Alone | None:
        """Return importance-weighted estimators."""
        if isinstance(estimator, estimators.ImportanceWeighted) and estimator.clip is None:
            return Alone(self.gradient, lambda: self._weighted_variance(estimator))
        return None

    def _weighted_variance(self, estimator: estimators.ImportanceWeighted) -> Array:
        if estimator.weights != "per decision":
            raise NoClosedForm("no closed form is known for the variance with weights of whole trajectories on a table")
        policy = estimator.behaviour.policy or self.problem.policy
        if not isinstance(policy.closed_form, TabularSoftmax):
            raise NoClosedForm(
                f"no closed form is known for the behaviour {policy.name}; it is not a softmax over a table"
            )
        acting = softmax(policy.closed_form.features @ np.array(estimator.behaviour.theta))
        return per_decision_variance(self.system, acting, of_state(self, estimator.baseline)[:, :, 0])

    def mean(self, x: Leaf) -> Array:
        """Return E X, (P,)."""
        return covariances.mean(self.system, _rule(x))

    def covariance(self, x: Leaf, y: Leaf) -> Array:
        """Return Cov(X_p, Y_p) on one trajectory, (P,)."""
        return covariances.covariance(self.system, _rule(x), _rule(y))

    def by_step(self, x: Leaf) -> Array:
        """Return Cov(X_p, z_tp), (T, P)."""
        score = Rule(weight=self.over_time(1.0))
        return covariances.covariance_by_step(self.system, _rule(x), score)[1].sum(axis=1)

    def joint(self, x: Leaf, y: Leaf) -> Array:
        """Return Cov(X_p, Y_q), (P, P)."""
        return covariances.covariance_matrix(self.system, _rule(x), _rule(y))


def _rule(x: Leaf) -> Rule:
    if not isinstance(x, Rule):
        raise NoClosedForm("tabular problems have no derivatives along paths")
    return x
