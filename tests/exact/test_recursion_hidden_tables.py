"""Whole numbers as states, which nobody has said are a table: on a grid they are refused, quickly, and never answered."""

import dataclasses

import numpy as np
import pytest

import mcgrad as mg

CHOSEN = {"to go": mg.estimators.reward_to_go()}


def hidden():
    """Return a table whose `closed_form` is gone, where it is, and its gradient."""
    rng = np.random.default_rng(4)
    chances = rng.dirichlet(np.ones(3), size=(3, 2))
    table = mg.environments.tabular(chances, rng.normal(size=(3, 2)), [0.5, 0.3, 0.2])
    known = mg.Problem(table, mg.policies.softmax(3, 2), 2, 0.9)
    theta = rng.normal(size=6)
    environment = dataclasses.replace(table, closed_form=None)
    return mg.Problem(environment, known.policy, 2, 0.9), theta, mg.exact.gradient(known, theta)


def answers(problem, theta):
    """Yield what is asked of the recursion, by functions that return means that are to be the gradient."""
    yield lambda: mg.exact.moments(problem, theta, CHOSEN)["to go"].mean
    yield lambda: mg.exact.mean(problem, theta, CHOSEN["to go"])
    yield lambda: mg.exact.variance(problem, theta, CHOSEN["to go"]) - np.inf
    yield lambda: mg.exact.value(problem, theta).objective - np.inf
    yield lambda: mg.sample(problem, theta, {"x": mg.estimators.reward_to_go(mg.baselines.value())}, 8, machine="numpy")


@pytest.mark.parametrize("k", range(5))
def test_it_is_refused(k):
    problem, theta, gradient = hidden()
    assert np.abs(gradient).min() > 0.01  # what was answered once: 0 of all, from grids that agreed about it
    with pytest.raises(mg.exact.NoClosedForm, match="a table is read between its places"):
        list(answers(problem, theta))[k]()


def counting(lookup):
    """Return a problem of two states, a number that moves and one that counts the steps."""
    environment = mg.Environment(
        states=2,
        actions=1,
        noises=1,
        params={"price": np.array([1.0, 3.0, 2.0])},
        init=lambda p, z: (0.5, 0.0),
        step=lambda p, s, a, w: (0.9 * mg.where(s[0] > 0.0, s[0], 2.0 * s[0]) + a[0] + 0.1 * w[0], s[1] + 1.0),
        reward=lambda p, s, a, s_next, w: -lookup(p, s) * s_next[0] ** 2,
    )
    return mg.Problem(environment, mg.policies.linear_features(lambda s: (s[0],), 2, 1, std=0.3), 3), [-0.4]


def test_a_counter_beside_a_number_is_refused_where_a_table_is_read_by_it():
    """Without the table nothing hangs on the counter, and there is an answer."""
    with pytest.raises(mg.exact.NoClosedForm, match="a table is read between its places"):
        mg.exact.variance(*counting(lambda p, s: mg.lookup(p.price, s[1])), CHOSEN["to go"])


def test_looking_for_sides_is_counted_as_work():
    """Each place where a side may change costs; a table of many outcomes has as many."""
    environment = mg.Environment(
        states=1,
        actions=1,
        uniforms=1,
        init=lambda p, z: (0.5,),
        step=lambda p, s, a, w: (
            0.5 * s[0] + a[0] + sum(mg.where(w[0] > k / 60 + 0.001 * s[0], 0.01, 0.0) for k in range(60)),
        ),
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2),
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.3), 20)
    with pytest.raises(mg.exact.NoClosedForm, match="no grid converges within work=0.05"):
        mg.exact.value(problem, [-0.3], work=0.05)
