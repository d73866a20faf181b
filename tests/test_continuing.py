"""The average reward: pieces of continuing problems, estimated and exact."""

import dataclasses

import numpy as np
import pytest
from support import SEED, standard_errors, w1
from test_discrete import chain

import mcgrad as mg

E, B = mg.estimators, mg.baselines
ESTIMATORS = {
    "score function": E.score_function(B.mean_return()),
    "to go": E.reward_to_go(),
    "to go - V": E.reward_to_go(B.value()),
    "A": E.advantage(),
    "all actions": E.all_actions(),
}


def tabular(T=5):
    environment, *_ = chain(5, 3)
    return mg.Problem(environment, mg.policies.softmax(5, 3), T), 0.5 * np.random.default_rng(0).normal(size=15)


def quadratic(T=5, learn_std=True):
    A, Bm = np.array([[0.9, 0.2], [-0.1, 0.8]]), np.array([[0.0], [1.0]])
    environment = mg.environments.linear_quadratic(A, Bm, np.eye(2), [[0.1]], process_noise=0.1 * np.eye(2))
    policy = mg.policies.linear_gaussian(2, 1, std=0.4, learn_std=learn_std)
    return mg.Problem(environment, policy, T), policy.theta([[-0.1, -0.3]])


PROBLEMS = {"tabular": tabular, "linear-quadratic": quadratic}


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("T", [1, 2, 7])
def test_the_gradient_of_a_piece_is_that_of_the_average_reward(kind, T):
    problem, theta = PROBLEMS[kind](T)
    piece = mg.continuing(problem, theta)
    expected = mg.exact.average_gradient(problem, theta)
    assert np.allclose(mg.exact.gradient(piece, theta), expected, rtol=1e-11, atol=1e-13)
    # A witness that knows nothing of stationary distributions: differences of the mean reward of a long run.
    if kind == "tabular":
        assert np.isclose(mg.exact.objective(piece, theta), mg.exact.average_reward(problem, theta), rtol=1e-12)
    long = dataclasses.replace(problem, horizon=2000)
    h = 1e-5
    for p in (0, len(theta) - 1):
        step = h * (np.arange(len(theta)) == p)
        late = [
            mg.exact.objective(long, theta + sign * step)
            - mg.exact.objective(dataclasses.replace(problem, horizon=1000), theta + sign * step)
            for sign in (1, -1)
        ]
        assert np.isclose((late[0] - late[1]) / (2 * h * 1000), expected[p], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_estimators_of_the_average_reward(kind):
    problem, theta = PROBLEMS[kind]()
    piece = mg.continuing(problem, theta)
    estimators = ESTIMATORS | ({"pathwise": E.reparameterization()} if kind == "linear-quadratic" else {})
    found = mg.measure(piece, theta, estimators, 400_000, seed=SEED)
    for name, estimator in estimators.items():
        variance = mg.exact.variance(piece, theta, estimator)
        assert standard_errors(found[name], mg.exact.average_gradient(problem, theta), variance) < 5, name


@pytest.mark.parametrize("kind", PROBLEMS)
def test_pieces_without_the_value_are_biased_as_predicted(kind):
    problem, theta = PROBLEMS[kind](2)
    piece = mg.continuing(problem, theta, bootstrap=False)
    found = mg.measure(piece, theta, {"to go": E.reward_to_go(B.mean_to_go())}, 1_000_000, seed=SEED)["to go"]
    bias = mg.exact.gradient(piece, theta) - mg.exact.average_gradient(problem, theta)
    assert (np.abs(found.mean - mg.exact.average_gradient(problem, theta) - bias) < 5 * found.stderr).all()
    assert (np.abs(bias) > 10 * found.stderr).any()
    longer = [
        mg.exact.gradient(mg.continuing(PROBLEMS[kind](T)[0], theta, bootstrap=False), theta)
        - mg.exact.average_gradient(problem, theta)
        for T in (200, 400)
    ]
    assert np.allclose(longer[0], 2 * longer[1], rtol=0.05, atol=1e-12)  # of order 1/T


def test_what_is_not_continuing_says_so():
    problem, theta = tabular()
    with pytest.raises(ValueError, match="problem: expected no discount for the average reward, got 0.9"):
        mg.continuing(dataclasses.replace(problem, discount=0.9), theta)
    ending = mg.Problem(mg.environments.random_walk(), mg.policies.softmax(7, 2), 5)
    with pytest.raises(ValueError, match="expected one without an end and a terminal reward, got random walk"):
        mg.continuing(ending, np.zeros(14))
    with pytest.raises(ValueError, match="spectral radius"):
        problem, theta = quadratic(learn_std=False)
        mg.continuing(problem, [3.0, 3.0])
    smooth = mg.Problem(mg.environments.cart_pole(), mg.policies.softmax_of_state(lambda s: s, 4, 2), 5)
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.average_reward(smooth, np.zeros(8))


def test_the_workload_of_two_double_integrators():
    """W1 in the long run: the average reward against the growth of the objective with the horizon."""
    problem, theta = w1(horizon=400)
    longer = dataclasses.replace(problem, horizon=800)
    growth = (mg.exact.objective(longer, theta) - mg.exact.objective(problem, theta)) / 400
    assert np.isclose(mg.exact.average_reward(problem, theta), growth, rtol=1e-6)
