"""Estimators on tabular problems: mean and variance of each against the exact theory."""

import dataclasses

import numpy as np
import pytest
from support import SEED, standard_errors
from test_discrete import chain

import mcgrad as mg

E, B, EXACT = mg.estimators, mg.baselines, mg.critics.exact()
WRONG = EXACT.wrong(scale=1.3, shift=0.5, oscillation=(0.3, 2.0))

ESTIMATORS = {
    "total": E.score_function(),
    "total - 1.3": E.score_function(1.3),
    "total - J": E.score_function(B.mean_return()),
    "total - V": E.score_function(B.value()),
    "total - optimal": E.score_function(B.optimal_constant()),
    "to go": E.reward_to_go(),
    "to go - V": E.reward_to_go(B.value()),
    "to go - E G": E.reward_to_go(B.mean_to_go()),
    "to go - optimal over time": E.reward_to_go(B.optimal_over_time()),
    "to go - naive over time": E.reward_to_go(B.naive_optimal_over_time()),
    "to go - one for all over time": E.reward_to_go(B.total_optimal_over_time()),
    "to go - fitted": E.reward_to_go(B.fitted_value()),
    "Q": E.q_function(),
    "A": E.advantage(),
    "gae": E.generalized_advantage(0.7),
    "all actions": E.all_actions(),
    "Q control variate": E.action_control_variate(),
    "trajectory control variate": E.trajectory_control_variate(),
    "wrong A": E.advantage(WRONG),
    "wrong all actions": E.all_actions(WRONG),
    "wrong control variate": E.action_control_variate(WRONG),
    "wrong gae": E.generalized_advantage(0.7, WRONG),
    "leave one out": E.leave_one_out(4),
    "same batch": E.same_batch_mean(4),
    "mixture": E.mixture(E.score_function(), E.reward_to_go(B.value())),
    "score as control": E.control_variate(E.reward_to_go(), E.score()),
}
BIASED = {"wrong A", "wrong all actions", "wrong gae", "same batch"}


def problem_and_theta():
    environment, *_ = chain(5, 3, ends=[4], rewards="random")
    theta = 0.7 * np.random.default_rng(0).normal(size=15)
    return mg.Problem(environment, mg.policies.softmax(5, 3), 6, 0.9), theta


@pytest.fixture(scope="module")
def found():
    problem, theta = problem_and_theta()
    return mg.measure(problem, theta, ESTIMATORS, 400_000, seed=SEED, covariances="all")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_mean_and_variance_are_exact(found, name):
    problem, theta = problem_and_theta()
    mean = mg.exact.mean(problem, theta, ESTIMATORS[name])
    variance = mg.exact.variance(problem, theta, ESTIMATORS[name])
    visited = np.arange(15) < 12  # the last state ends episodes: no action is taken there
    assert (found[name].mean[~visited] == 0.0).all()
    assert (variance[~visited] == 0.0).all()
    part = _components(found[name], visited)
    assert standard_errors(part, mean[visited], variance[visited]) < 5
    biased = np.abs(mean - mg.exact.gradient(problem, theta)).max() > 1e-12
    assert biased == (name in BIASED)


def _components(x, chosen):
    arrays = {
        f.name: getattr(x, f.name)[chosen] for f in dataclasses.fields(x) if isinstance(getattr(x, f.name), np.ndarray)
    }
    return dataclasses.replace(x, **arrays)


def test_a_planted_error_is_seen(found):
    """The variance of rewards of 2 % more, and the mean without the discount of the last step, are out of reach."""
    problem, theta = problem_and_theta()
    visited = np.arange(15) < 12
    part = _components(found["to go"], visited)
    mean, variance = (f(problem, theta, ESTIMATORS["to go"])[visited] for f in (mg.exact.mean, mg.exact.variance))
    assert standard_errors(part, mean, 1.02**2 * variance) > 5
    undiscounted = dataclasses.replace(problem, discount=0.95)
    assert standard_errors(part, mg.exact.mean(undiscounted, theta, ESTIMATORS["to go"])[visited], variance) > 5


def test_covariances_are_exact(found):
    problem, theta = problem_and_theta()
    names = ("total", "to go - V", "A", "all actions", "Q control variate")
    for a in names:
        for b in names:
            exact = mg.exact.covariance(problem, theta, ESTIMATORS[a], ESTIMATORS[b])
            spread = np.sqrt(found[a].variance * found[b].variance * 30.0 / found[a].count)  # kurtosis below 30 here
            assert (np.abs(found.covariance(a, b) - exact) <= 5 * spread + 1e-15).all(), (a, b)


def test_terminal_rewards_and_shared_features():
    """Half the features of the logits, a reward at the horizon, certain transitions: total, to go, V and all actions."""
    rng = np.random.default_rng(5)
    transition = np.eye(4)[rng.integers(4, size=(4, 2))]
    environment = mg.environments.tabular(
        transition, rng.normal(size=(4, 2)), [0.5, 0.5, 0, 0], terminal=rng.normal(size=4)
    )
    problem = mg.Problem(environment, mg.policies.linear_softmax(rng.normal(size=(4, 2, 3))), 5, 0.95)
    theta = rng.normal(size=3)
    chosen = {k: ESTIMATORS[k] for k in ("total", "to go", "to go - V", "all actions", "gae", "mixture")}
    found = mg.measure(problem, theta, chosen, 400_000, seed=SEED)
    for name, estimator in chosen.items():
        mean, variance = (f(problem, theta, estimator) for f in (mg.exact.mean, mg.exact.variance))
        assert standard_errors(found[name], mean, variance) < 5, name


def test_the_bandit_of_gaussian_rewards():
    problem = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0], [0.5, 1.0, 0.1]), mg.policies.softmax(1, 3), 1)
    theta = np.log([0.5, 0.3, 0.2])
    chosen = {k: ESTIMATORS[k] for k in ("total", "total - J", "A", "all actions", "leave one out")}
    found = mg.measure(problem, theta, chosen, 1_000_000, seed=SEED)
    for name, estimator in chosen.items():
        mean, variance = (f(problem, theta, estimator) for f in (mg.exact.mean, mg.exact.variance))
        assert standard_errors(found[name], mean, variance) < 5, name


def test_the_bernoulli_toy_has_a_baseline_without_variance():
    """A variable of two values: the optimal constant leaves nothing (t = 0.45, logit 0: variance 0.0159390625 without)."""
    problem = mg.Problem(mg.environments.bernoulli_toy(0.45), mg.policies.linear_softmax([[[0.0], [1.0]]]), 1)
    assert np.allclose(mg.exact.variance(problem, [0.0], E.score_function()), 0.0159390625, rtol=1e-13)
    assert np.allclose(mg.exact.gradient(problem, [0.0]), 0.025, rtol=1e-13)
    best = E.score_function(B.total_optimal_constant())
    assert mg.exact.variance(problem, [0.3], best) < 1e-30
    measured = mg.measure(problem, [0.3], {"best": best}, 1000)["best"]
    assert measured.variance < 1e-30
    assert np.allclose(measured.mean, mg.exact.gradient(problem, [0.3]))


def test_the_fisher_matrix_and_the_natural_gradient():
    """Against the mean of Z Z^T; and a bandit's natural gradient is q - mean q over its arms (Kakade 2001)."""
    environment, *_ = chain(3, 2, ends=[2])
    problem, theta = mg.Problem(environment, mg.policies.softmax(3, 2), 3), np.linspace(-0.5, 0.5, 6)
    found, exact = mg.fisher(problem, theta, 200_000, SEED), mg.exact.fisher(problem, theta)
    assert (np.abs(found.mean - exact) <= 5 * found.stderr + 1e-15).all()
    assert (np.abs(found.mean - 1.1 * exact) > 5 * found.stderr).any()
    bandit = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), 1)
    assert np.allclose(mg.exact.natural_gradient(bandit, [0.3, -0.2, 0.1]), [0.0, 1.0, -1.0], atol=1e-12)


def test_what_has_no_closed_form_says_so():
    problem, theta = problem_and_theta()
    with pytest.raises(mg.exact.NoClosedForm, match="EvolutionStrategies on tabular"):
        mg.exact.variance(problem, theta, E.evolution_strategies(0.1), work=0)
    with pytest.raises(ValueError, match="no derivative of Q in the action"):
        mg.measure(problem, theta, {"SVG": E.value_gradient()}, 100)
