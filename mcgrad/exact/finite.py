"""The theory of tabular problems and bandits as `mcgrad.exact` asks for it: estimators in terms of `mcgrad.exact.tabular`."""

import numpy as np

from .. import baselines, critics, estimators
from ..environments.bandit import Bandit
from ..environments.tabular import Tabular
from ..policies.softmax import TabularSoftmax
from . import tabular
from .floors import bound
from .several import NoClosedForm, prepared


def system(problem, theta):
    """Return the `tabular.System` of a problem under a softmax policy.

    Raises
    ------
    NoClosedForm
        If the policy is of another kind.
    """
    theta = problem.theta(theta)
    environment, policy = problem.environment.closed_form, problem.policy.closed_form
    if not isinstance(policy, TabularSoftmax):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; it is not a softmax over a table")
    if not isinstance(environment, (Bandit, Tabular)):
        raise NoClosedForm(f"no closed form is known for {problem.environment.name}; it is not tabular")
    S = 1 if isinstance(environment, Bandit) else len(environment.start)
    if len(policy.features) != S:
        raise NoClosedForm(f"theta: expected a policy for {S} states, got one for {len(policy.features)}")
    if problem.discount_varies:
        raise NoClosedForm("no closed form is known for a discount that differs from step to step")
    arrays = _of_bandit(environment) if isinstance(environment, Bandit) else _of_table(environment)
    return tabular.System(
        **arrays,
        policy=tabular.softmax(policy.features @ theta),
        jacobian=policy.features,
        horizon=problem.horizon,
        discount=problem.discount,
    )


def _of_bandit(bandit):
    A = len(bandit.values)
    return {
        "P": np.ones((1, A, 1)),
        "reward": bandit.values[None],
        "reward_variance": bandit.std[None] ** 2,
        "start": np.ones(1),
    }


def _of_table(table):
    """Return P, and the mean and the variance of the reward given (s, a, s'), from the table of outcomes."""
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


# ---- what `mcgrad.exact` asks ------------------------------------------------------------------------------------


def objective(problem, theta):
    """Return J."""
    return float(tabular.objective(system(problem, theta)))


def gradient(problem, theta):
    """Return dJ/dtheta, (P,)."""
    return tabular.gradient(system(problem, theta))


def value(problem, theta):
    """Return V_t(s), (T + 1, S)."""
    return tabular.value(system(problem, theta))


def critic(problem, theta):
    """Return V_t(s) (T + 1, S), Q_t(s, a) (T, S, A) and pi(a | s) (S, A)."""
    s = system(problem, theta)
    return tabular.value(s), tabular.action_value(s), s.policy


def fisher(problem, theta):
    """Return the Fisher matrix of a trajectory, (P, P)."""
    return tabular.fisher(system(problem, theta))


def natural_gradient(problem, theta):
    """Return the shortest solution of F x = dJ/dtheta, (P,): adding a number to all logits of a state changes nothing."""
    s = system(problem, theta)
    return np.linalg.pinv(tabular.fisher(s), rcond=1e-12, hermitian=True) @ tabular.gradient(s)


def mean_return_to_go(problem, theta):
    """Return E[G_t], (T,)."""
    return tabular.mean_return_to_go(system(problem, theta))[: problem.horizon]


def optimal_over_time(problem, theta, estimator):
    """Return b_tp = Cov(g_p, z_tp) / Var z_tp, (T, P)."""
    return tabular.optimal_time_baseline(*_single(problem, theta, estimator))


def trace_optimal_over_time(problem, theta, estimator):
    """Return the b_t of least total variance, (T,)."""
    return tabular.trace_optimal_time_baseline(*_single(problem, theta, estimator))


def trace_optimal_constant(problem, theta, estimator):
    """Return the b of least total variance, a float."""
    return tabular.trace_optimal_constant(*_single(problem, theta, estimator))


def naive_optimal_over_time(problem, theta):
    """Return b_tp = E[z_tp^2 G_t] / E[z_tp^2], (T, P)."""
    return tabular.naive_time_baseline(system(problem, theta))


def mean(problem, theta, estimator):
    """Return the mean of an estimator, (P,): the gradient, or that and the exact bias."""
    match estimator:
        case estimators.Group(kind="leave one out"):
            return gradient(problem, theta)
        case estimators.Group(kind="mean", size=size):
            return tabular.same_batch_mean(system(problem, theta), size)
        case estimators.ImportanceWeighted(clip=None):
            return gradient(problem, theta)
    s = system(problem, theta)
    return sum(c * tabular.mean(s, x) for c, x in _combination(problem, theta, s, estimator))


def variance(problem, theta, estimator):
    """Return the variance of one sample of an estimator, (P,)."""
    s = system(problem, theta)
    match estimator:
        case estimators.Group(kind="leave one out", size=size):
            return tabular.leave_one_out_variance(s, size)
        case estimators.Group(kind="mean", size=size):
            return tabular.same_batch_variance(s, size)
        case estimators.ImportanceWeighted(weights="per decision", baseline=b, clip=None):
            return tabular.per_decision_variance(s, _behaviour(problem, estimator), _baseline(problem, theta, s, b))
    return tabular.combination_variance(s, _combination(problem, theta, s, estimator))


def covariance(problem, theta, first, second):
    """Return the covariance of two estimators on the same trajectory, (P,)."""
    s = system(problem, theta)
    return _covariance(s, *(_combination(problem, theta, s, x) for x in (first, second)))


def efficiency_bound(problem, theta, model="markov", matrix=False):
    """Return the efficiency bound of the gradient for one trajectory, (P,) or (P, P)."""
    return bound(tabular, system(problem, theta), model, matrix)


def gradient_news(problem, theta):
    """Return dQ_t(s, a) - E_a[dQ_t | s], (T, S, A, P)."""
    return tabular.gradient_news(system(problem, theta))


def coefficients(problem, theta, estimator):
    """Return the variance-optimal coefficients of a control variate, (k, P), or (k, P, P) if it is `full`."""
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    return _coefficients(problem, theta, system(problem, theta), estimator)


# ---- estimators --------------------------------------------------------------------------------------------------


def _single(problem, theta, estimator):
    s = system(problem, theta)
    parts = _combination(problem, theta, s, estimator)
    if len(parts) != 1:
        raise NoClosedForm(f"the optimal baseline of a combination such as {type(estimator).__name__} is not known")
    return s, parts[0][1]


def _combination(problem, theta, s, estimator):
    """Return an estimator as a list of (coefficients (P,), tabular estimator)."""
    one = np.ones(s.parameters)
    match estimator:
        case estimators.Score():
            return [(one, tabular.Score())]
        case estimators.RewardToGo(baseline=b):
            return [(one, tabular.RewardToGo(_baseline(problem, theta, s, b)))]
        case estimators.ScoreFunction(baseline=b) if b.is_constant:
            return [(one, tabular.ScoreFunction(float(prepared(b).data(problem, theta).get("b", 0.0))))]
        case estimators.ScoreFunction(baseline=b):
            return [(one, tabular.ScoreFunction(baseline=_baseline(problem, theta, s, b)))]
        case estimators.WeightedScore(baseline=b) if b.degree == 0:
            return [
                (one, tabular.WeightedScore(tabular.time_baseline(s, prepared(b).forms(problem, theta)[:, :, 0, 0])))
            ]
        case estimators.QFunction(critic=q):
            return [(one, tabular.Critic(_critic(s, q)))]
        case estimators.Advantage(critic=q):
            return [(one, tabular.Advantage(_critic(s, q)))]
        case estimators.AllActions(critic=q):
            return [(one, tabular.AllActions(_critic(s, q)))]
        case estimators.ActionControlVariate(critic=q, first_order=False):
            return [(one, tabular.ActionControlVariate(_critic(s, q)))]
        case estimators.TrajectoryControlVariate(critic=critics.Exact(amplitude=0.0) as q):
            return _controlled(one, q, tabular.TrajectoryControlVariate())
        case estimators.DoublyRobust(critic=critics.Exact(amplitude=0.0) as q):
            return _controlled(one, q, tabular.DoublyRobust())
        case estimators.GeneralizedAdvantage(decay=decay, critic=V):
            b = _baseline(problem, theta, s, V)[:, :, 0]
            return [(one, tabular.GeneralizedAdvantage(decay, np.concatenate([b, np.zeros_like(b[:1])])))]
        case estimators.Difference(parts=(x, y)):
            x, y = (_combination(problem, theta, s, part) for part in (x, y))
            return x + [(-c, part) for c, part in y]
        case estimators.ControlVariate(parts=(target, *controls), full=False):
            c = estimator.coefficients
            c = _coefficients(problem, theta, s, estimator) if c is None else c
            result = _combination(problem, theta, s, target)
            for k, control in enumerate(controls):
                result += [(-c[k] * d, part) for d, part in _combination(problem, theta, s, control)]
            return result
        case estimators.ControlVariate(parts=(target, estimators.Score())):
            c = estimator.coefficients
            c = _coefficients(problem, theta, s, estimator) if c is None else c
            entries = [(-c[0][:, q], tabular.Score(q)) for q in range(s.parameters)]
            return _combination(problem, theta, s, target) + entries
    raise NoClosedForm(f"no closed form is known for the variance of {type(estimator).__name__} on a tabular problem")


def _controlled(one, q, with_exact):
    """Return scale (with the exact critic) + (1 - scale) (with none) - shift sum z_t."""
    parts = [(q.scale, with_exact), (1.0 - q.scale, tabular.RewardToGo()), (-q.shift, tabular.Score())]
    return [(c * one, part) for c, part in parts if c]


def _behaviour(problem, estimator):
    """Return the probabilities of the behaviour policy, (S, A)."""
    policy = estimator.behaviour.policy or problem.policy
    if not isinstance(policy.closed_form, TabularSoftmax):
        raise NoClosedForm(f"no closed form is known for the behaviour {policy.name}; it is not a softmax over a table")
    return tabular.softmax(policy.closed_form.features @ np.array(estimator.behaviour.theta))


def _baseline(problem, theta, s, b):
    """Return a baseline as the array (T, S, 1) that the theory takes."""
    match b:
        case baselines.NoBaseline():
            return tabular.constant_baseline(s, 0.0)
        case baselines.TotalOptimal(base=base):
            tuned = np.broadcast_to(prepared(b).tuned(problem, theta), s.horizon)
            return tabular.time_baseline(s, tuned) + _baseline(problem, theta, s, base)
        case baselines.Constant() | baselines.MeanReturn():
            return tabular.constant_baseline(s, float(prepared(b).data(problem, theta)["b"]))
        case baselines.TimeDependent(b=numbers):
            return tabular.time_baseline(s, numbers)
        case baselines.MeanToGo():
            return tabular.mean_to_go_baseline(s)
        case baselines.Value():
            return tabular.value_baseline(s)
        case critics.Exact():
            return tabular.state_baseline(s, np.sum(s.policy * _critic(s, b), axis=2))
        case baselines.FittedValue() if isinstance(problem.environment.closed_form, Tabular):
            return tabular.state_baseline(s, prepared(b).data(problem, theta)["form"].values[:-1])
    raise NoClosedForm(f"no closed form is known with the baseline {type(b).__name__}")


def _critic(s, q):
    """Return the table of a critic, (T, S, A)."""
    if not isinstance(q, critics.Exact):
        raise NoClosedForm(f"no closed form is known with the critic {type(q).__name__}")
    oscillation = q.amplitude * np.cos(q.frequency * np.arange(s.policy.shape[1]))
    return q.scale * tabular.action_value(s) + q.shift + oscillation


def _covariance(s, first, second):
    return sum(c * d * tabular.covariance(s, x, y) for c, x in first for d, y in second)


def _coefficients(problem, theta, s, estimator):
    target, *controls = estimator.parts
    x = _combination(problem, theta, s, target)
    if estimator.full:
        if len(controls) != 1 or not isinstance(controls[0], estimators.Score) or len(x) != 1:
            raise NoClosedForm("a control variate with full=True has a closed form for score() alone")
        return tabular.full_score_control_variate(s, x[0][1]).coefficient[None]
    h = [_combination(problem, theta, s, control) for control in controls]
    among = np.array([[_covariance(s, a, b) for b in h] for a in h])
    onto = np.array([_covariance(s, a, x) for a in h])
    return np.stack([np.linalg.pinv(among[:, :, p], rcond=1e-12) @ onto[:, p] for p in range(s.parameters)], axis=1)
