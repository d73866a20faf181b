"""Moments by the recursion on tables: against the closed forms, enumeration of every trajectory, and measurement."""

import numpy as np
import pytest
from tabular_cases import Enumeration, random_problem

import mcgrad as mg

e, V = mg.estimators, mg.baselines.value

LADDER = {
    "score function": e.score_function(),
    "to go": e.reward_to_go(),
    "to go - V": e.reward_to_go(V()),
    "GAE": e.generalized_advantage(0.9),
    "advantage": e.advantage(),
    "all actions": e.all_actions(),
    "leave one out": e.leave_one_out(2),
}


def random_rewards():
    rng = np.random.default_rng(1)
    transition, chances = rng.dirichlet(np.ones(5), (5, 3)), rng.dirichlet(np.ones(2), (5, 3, 5))
    rewards, terminal = rng.standard_normal((5, 3, 5, 2)), rng.standard_normal(5)
    table = mg.environments.tabular(
        transition, rewards, [0.2] * 5, reward_probability=chances, ends=[4], terminal=terminal
    )
    return mg.Problem(table, mg.policies.softmax(5, 3), horizon=4, discount=0.9), np.linspace(-1, 1, 15)


def corridor():
    features = np.broadcast_to(np.eye(2), (4, 2, 2)).copy()
    return mg.Problem(mg.environments.short_corridor(), mg.policies.linear_softmax(features), horizon=10), [0.2, 0.5]


def walk():
    return mg.Problem(mg.environments.random_walk(7), mg.policies.softmax(7, 2), horizon=8), np.linspace(-1, 1, 14)


@pytest.mark.parametrize("make", [random_rewards, corridor, walk])
def test_closed_forms(make):
    problem, theta = make()
    for name, estimator in LADDER.items():
        found = mg.exact.moments(problem, theta, {"x": estimator})["x"]
        variance, mean = mg.exact.variance(problem, theta, estimator), mg.exact.mean(problem, theta, estimator)
        np.testing.assert_allclose(found.variance, variance, atol=1e-13 * variance.max(), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(found.mean, mean, atol=1e-12 * np.abs(mean).max(), err_msg=name)


def test_every_trajectory():
    """All four moments, and a covariance, by enumeration: no theory and no kernel in it."""
    case = random_problem(3)
    slow = Enumeration(case)
    table = mg.environments.tabular(
        case.table.sum(axis=3), case.rewards, case.start, ends=np.flatnonzero(case.ends), terminal=case.terminal,
        reward_probability=case.table / case.table.sum(axis=3, keepdims=True),
    )  # fmt: skip
    problem = mg.Problem(table, mg.policies.linear_softmax(case.features), case.horizon, case.discount)
    g = {"to go": np.einsum("ntp,nt->np", slow.z, slow.to_go[:, :-1]), "total": slow.Z * slow.R[:, None]}
    found = mg.exact.moments(problem, case.theta, {"to go": e.reward_to_go(), "total": e.score_function()}, higher=True)
    for name, x in g.items():
        mean = slow.p @ x
        second, third, fourth = (slow.p @ (x - mean) ** k for k in (2, 3, 4))
        np.testing.assert_allclose(found[name].mean, mean, atol=1e-13)
        np.testing.assert_allclose(found[name].variance, second, rtol=1e-12)
        np.testing.assert_allclose(found[name].third, third, atol=1e-12 * np.abs(third).max())
        np.testing.assert_allclose(found[name].fourth, fourth, rtol=1e-12)
    both = slow.p @ (g["to go"] * g["total"]) - (slow.p @ g["to go"]) * (slow.p @ g["total"])
    np.testing.assert_allclose(found.covariance("to go", "total"), both, rtol=1e-11)


def test_a_bandit_with_normal_rewards():
    problem = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.5], [0.1, 0.3, 2.0]), mg.policies.softmax(1, 3), horizon=1)
    theta = [0.1, 0.2, 0.3]
    for estimator in (e.score_function(), e.reward_to_go(1.0)):
        found = mg.exact.moments(problem, theta, {"x": estimator})["x"]
        np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, estimator), rtol=1e-12)


def test_the_closed_forms_see_a_planted_error():
    """A probability off by a hundredth."""
    problem, theta = walk()
    off = np.array(theta)
    off[6] += 0.01
    exact = mg.exact.variance(problem, theta, e.reward_to_go())
    found = mg.exact.moments(problem, off, {"x": e.reward_to_go()})["x"]
    assert np.max(np.abs(found.variance - exact)) > 1e-4 * exact.max()
