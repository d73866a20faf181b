"""Exact truth for a `Problem`: reads its matrices, and what its estimators are, and asks the theory of its kind."""

import functools
import warnings

import numpy as np

from .. import baselines, estimators
from ..environments.ball_with_wall import BallWithWall
from ..environments.bandit import Bandit
from ..environments.chaotic_map import ChaoticMap
from ..environments.linear_quadratic import LinearQuadratic
from ..environments.one_step import OneStepCost
from ..environments.step_reward import Ramp
from ..environments.tabular import Tabular
from ..policies.linear_gaussian import LinearGaussian
from . import chaotic_map, finite, lq, one_step, several, varied
from .arguments import checked_arguments, of_each
from .combinations import (
    block_starts,
    blocks_variance,
    bootstrapped,
    combination,
    combined_covariance,
    critic_scale,
    optimal_coefficients,
    ratio,
)
from .lq.values import riccati
from .several import NoClosedForm

# Type of `environment.closed_form` -> the module that knows it, with functions called as those here, or some of them. What is
# not in the table is for the linear-quadratic theory, which the functions of this file ask themselves.
THEORIES = {OneStepCost: one_step, Ramp: one_step, BallWithWall: one_step, ChaoticMap: chaotic_map}
THEORIES |= {Tabular: finite, Bandit: finite}


def by_kind(function):
    """Let the theory that knows the environment answer; an answer that overflowed is none."""

    @checked_arguments
    @functools.wraps(function)
    def ask(problem, theta, *arguments, **options):
        theory = THEORIES.get(type(problem.environment.closed_form))
        own = function if theory is None else getattr(theory, function.__name__, None)
        if own is None:
            raise NoClosedForm(f"{function.__name__}: no closed form is known for {problem.environment.name}")
        seen = set()
        with np.errstate(over="call", invalid="call", call=lambda kind, _: seen.add(kind)):
            answer = own(problem, theta, *arguments, **options)
        if "overflow" in seen and not _is_finite(answer):
            raise NoClosedForm(
                f"{function.__name__} of {problem.environment.name} over {problem.horizon} steps: numbers beyond 1e308; "
                "shorten the horizon, or count rewards in a larger unit"
            )
        if "overflow" not in seen and seen:
            warnings.warn(f"{', '.join(seen)} in {function.__name__}", RuntimeWarning, stacklevel=2)
        return answer

    return ask


def _is_finite(answer):
    parts = answer if isinstance(answer, tuple) else (answer,)
    return all(np.isfinite(x).all() for x in parts if isinstance(x, (float, np.ndarray)))


@checked_arguments
def system(problem, theta):
    """Return the `lq.System` of a linear-quadratic problem with a linear-Gaussian policy.

    Raises
    ------
    NoClosedForm
        If the problem is of another kind.
    """
    theta = problem.theta(theta)
    environment, policy = problem.environment.closed_form, problem.policy.closed_form
    if not isinstance(environment, LinearQuadratic):
        raise NoClosedForm(f"no closed form is known for {problem.environment.name}; it is not linear-quadratic")
    if not isinstance(policy, LinearGaussian):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; it is not linear-Gaussian")
    if problem.discount_varies:
        raise NoClosedForm("no closed form is known for a discount that differs from step to step")
    n, m = problem.environment.states, problem.environment.actions
    scales = np.exp(theta[m * n :]) if policy.learn_std else np.ones(m)
    return lq.System(
        A=environment.A,
        B=environment.B,
        K=theta[: m * n].reshape(m, n),
        L=scales[:, None] * policy.root,
        Q=environment.Q,
        R=environment.R,
        Qf=environment.terminal_cost,
        W=environment.process_noise,
        mean=environment.initial_mean,
        cov=environment.initial_cov,
        horizon=problem.horizon,
        discount=problem.discount,
        terminal_weight=problem.discount**problem.horizon,
        learn_scale=policy.learn_std,
    )


@of_each
@by_kind
def objective(problem, theta):
    """Return J(theta) = E[sum_t gamma^t r_t + gamma^T r_T], a float; for B thetas, (B, P), or B problems (B,).

    `gradient`, `mean` and `variance` take such batches, too: every result has a leading axis.
    """
    return lq.objective(system(problem, theta))


@of_each
@by_kind
def gradient(problem, theta):
    """Return dJ/dtheta, (P,)."""
    return lq.gradient(system(problem, theta))


@by_kind
def value(problem, theta):
    """Return P (T + 1, n, n) and c (T + 1,) with V_t(s) = E[G_t | s_t = s] = -(s' P_t s + c_t), discount from time 0."""
    return lq.value(system(problem, theta))


@by_kind
def mean_return_to_go(problem, theta):
    """Return E[G_t] for t = 0, ..., T - 1: the time-dependent mean as a baseline, (T,)."""
    return lq.mean_return_to_go(system(problem, theta))[: problem.horizon]


@by_kind
def critic(problem, theta):
    """Return P (T + 1, n, n), c (T + 1,), F (T, m, n), U (T, m, m) and Sigma (m, m) of the exact critic.

    V_t(s) = -(s' P_t s + c_t) and Q_t(s, K s + u) = V_t(s) - (2 u' F_t s + u' U_t u - tr U_t Sigma).
    """
    s = system(problem, theta)
    return *riccati(s), s.policy_cov


@of_each
@by_kind
def mean(problem, theta, estimator):
    """Return the mean of an estimator, (P,): the gradient, or that and the exact bias.

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimator.
    """
    s = system(problem, theta)
    if problem.policy.no_score:
        _refuse_scores(problem, theta, estimator)
    match estimator:
        case estimators.ShortHorizon(steps=steps, critic=V):
            return lq.gradient(bootstrapped(s, block_starts(s, steps), critic_scale(V)))
        case estimators.GeneralizedAdvantage(decay=decay, critic=V) if decay < 1.0:
            return lq.gradient(bootstrapped(s, np.full(s.horizon + 1, 1.0 - decay), critic_scale(V)))
    of_varied = varied.mean(problem, s, estimator)
    if of_varied is not None:
        return of_varied
    of_several = several.mean(s, estimator, lambda x: mean(problem, theta, x))
    if of_several is not None:
        return of_several
    return sum(c * lq.mean(s, part) for c, part in combination(problem, theta, s, estimator))


@by_kind
def optimal_over_time(problem, theta, estimator):
    """Return b_tp = Cov(g_p, z_tp) / Var z_tp, to be subtracted from an estimator as sum_t b_t z_t: (T, P)."""
    return ratio(*_with_scores(problem, theta, estimator))


@by_kind
def trace_optimal_over_time(problem, theta, estimator):
    """Return the b_t of least total variance over the gain K, (T,)."""
    cov, power = _with_scores(problem, theta, estimator)
    gain = slice(problem.environment.states * problem.environment.actions)
    return ratio(cov[:, gain].sum(axis=1), power[:, gain].sum(axis=1))


@by_kind
def trace_optimal_constant(problem, theta, estimator):
    """Return the b of least total variance over the gain K, a float."""
    cov, power = _with_scores(problem, theta, estimator)
    gain = slice(problem.environment.states * problem.environment.actions)
    return float(ratio(cov[:, gain].sum(), power[:, gain].sum()))


@by_kind
def naive_optimal_over_time(problem, theta):
    """Return b_tp = E[z_tp^2 G_t] / E[z_tp^2], which is not optimal: (T, P)."""
    return lq.naive_time_baseline(system(problem, theta))


@by_kind
def optimal_quadratic(problem, theta, estimator):
    """Return the quadratic b_tp(s) = (1, s)' form_tp (1, s) of least variance for reward to go: (T, P, 1 + n, 1 + n)."""
    if not isinstance(estimator, estimators.RewardToGo) or not isinstance(estimator.baseline, baselines.NoBaseline):
        raise NoClosedForm("the optimal quadratic baseline is known for reward_to_go() alone")
    return lq.optimal_quadratic_baseline(system(problem, theta))


@of_each
@by_kind
def variance(problem, theta, estimator):
    """Return the variance of one trajectory's gradient under an estimator, (P,).

    A control variate whose coefficients are still to be fitted counts with the optimal ones. Time grows as
    T P (1 + n + m)^3, with 2n in place of n for the reparameterization; see `mcgrad.exact.lq` for seconds.

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimator.
    """
    s = system(problem, theta)
    if isinstance(estimator, estimators.ShortHorizon):
        return np.maximum(blocks_variance(s, estimator), 0.0)
    of_varied = varied.variance(problem, s, estimator, lambda x: combination(problem, theta, s, x))
    if of_varied is not None:
        return np.maximum(of_varied, 0.0)
    of_several = several.variance(s, estimator, lambda x: combination(problem, theta, s, x))
    if of_several is not None:
        return np.maximum(of_several, 0.0)
    return np.maximum(combined_covariance(s, *[combination(problem, theta, s, estimator)] * 2), 0.0)


@by_kind
def covariance(problem, theta, first, second):
    """Return the covariance of two estimators on the same trajectory, parameter by parameter, (P,)."""
    s = system(problem, theta)
    return combined_covariance(s, combination(problem, theta, s, first), combination(problem, theta, s, second))


@by_kind
def coefficients(problem, theta, estimator):
    """Return the variance-optimal coefficients of a control variate, (k, P), or (k, P, P) if it is `full`."""
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    s = system(problem, theta)
    return optimal_coefficients(problem, theta, s, estimator)


@by_kind
def self_normalised_limits(problem, theta, estimator):
    """Return G bias and G variance of self-normalised importance weights for a large group, (P,) both."""
    s = system(problem, theta)
    return varied.self_normalised_limits(problem, s, estimator, lambda x: combination(problem, theta, s, x))


@by_kind
def optimum(problem, theta):
    """Return the constant gain of largest J, starting from theta: a record with `gain` (m, n), `objective`, ..."""
    return lq.optimum(system(problem, theta))


@by_kind
def scaling(problem, theta, estimator, parameters="gain"):
    """Return the predicted exponents of an estimator's variance in the policy's std and in the horizon, with reasons.

    Parameters
    ----------
    parameters : str
        "gain" for those of K, "scale" for those of the log scales.
    """
    s = system(problem, theta)
    parts = combination(problem, theta, s, estimator)
    if len(parts) != 1:
        raise NoClosedForm(f"no exponents are known for combinations such as {type(estimator).__name__}")
    return lq.scaling(s, parts[0][1], parameters)


def _refuse_scores(problem, theta, estimator):
    """Raise ValueError for an estimator with a score, of a policy that has none: its variance has to look at the score."""
    try:
        variance(problem, theta, estimator)
    except NoClosedForm:
        pass


def _with_scores(problem, theta, estimator):
    """Return Cov(g_p, z_tp) and Var z_tp for each time, (T, P) both."""
    s = system(problem, theta)
    score = lq.Score()
    steps = [c * lq.covariance_by_step(s, part, score)[1] for c, part in combination(problem, theta, s, estimator)]
    return sum(steps), lq.covariance_by_step(s, score, score)[1]
