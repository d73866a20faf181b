"""Answers are remembered by problem; what could make them those of another one is refused, or noticed."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

import mcgrad as mg


def linear(a=0.9):
    environment = mg.environments.linear_quadratic([[a]], [[0.5]], [[1.0]], [[0.1]])
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 3)


CHANGES = [
    lambda x: x.__setitem__("A", 0.5),
    lambda x: x.__delitem__("A"),
    lambda x: x.__ior__({"A": 0.5}),
    lambda x: x.update(A=0.5),
    lambda x: x.setdefault("A", 0.5),
    lambda x: x.pop("A"),
    lambda x: x.popitem(),
    lambda x: x.clear(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_parameters_do_not_change_in_place(change):
    """In a plain dict each of these does change something, or would."""
    for params in (linear().environment.params, mg.policies.tanh_network(1, 1, 2, std=0.5).params):
        before = dict(params)
        with pytest.raises(TypeError, match="params cannot be changed in place"):
            change(params)
        assert list(params) == list(before) and all(params[k] is before[k] for k in before)


def test_arrays_do_not_change_in_place():
    problem = linear()
    for array in (problem.environment.params["A"], problem.environment.closed_form.A):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0.5
    table = mg.environments.tabular(np.full((2, 2, 2), 0.5), rewards := np.zeros((2, 2)), [1.0, 0.0])
    assert not any(x.flags.writeable for x in table.closed_form if isinstance(x, np.ndarray))
    rewards[0, 0] = 1.0  # what was handed in stays the user's


def test_another_problem_is_made_of_the_parameters_of_one():
    """And pickled and copied ones are as they were."""
    environment = linear().environment
    other = dataclasses.replace(environment, params=environment.params | {"A": [[0.5]]})
    assert other.params["A"] == 0.5 and environment.params["A"] == 0.9
    for params in (pickle.loads(pickle.dumps(environment.params)), copy.deepcopy(environment.params)):
        assert type(params) is type(environment.params) and params["A"] == 0.9
    with pytest.raises(mg.exact.NoClosedForm, match="another function"):
        mg.exact.gradient(dataclasses.replace(linear(), environment=other), [-0.6], work=0)


def test_a_policy_that_is_linear_at_one_theta_alone_has_no_closed_form():
    """The functions of a policy are looked at wherever something is asked."""
    linear_policy = linear().policy
    bent = dataclasses.replace(linear_policy, eta=lambda p, t, s: (mg.where(t[0] < 0.0, t[0], 2.0 * t[0]) * s[0],))
    problem = dataclasses.replace(linear(), policy=bent)
    np.testing.assert_array_equal(mg.exact.gradient(problem, [-0.6]), mg.exact.gradient(linear(), [-0.6]))
    with pytest.raises(mg.exact.NoClosedForm, match="its functions are others"):
        mg.exact.gradient(problem, [0.3], work=0)


def test_a_value_is_that_of_what_a_function_reads_now():
    """A reward that reads a name of its module, which is given another value."""
    scale = [1.0]

    def reward(p, s, a, s_next, w):
        return -scale[0] * s_next[0] ** 2

    def step(p, s, a, w):
        return (0.5 * np.tanh(s[0]) + a[0],)

    environment = mg.Environment(
        states=1, actions=1, initial_noises=1, init=lambda p, z: (z[0],), step=step, reward=reward
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 2)
    estimator = {"to go": mg.estimators.reward_to_go(mg.baselines.value())}
    first = mg.sample(problem, [-0.3], estimator, 64, 0, machine="numpy")["to go"]
    scale[0] = 2.0
    second = mg.sample(problem, [-0.3], estimator, 64, 0, machine="numpy")["to go"]
    np.testing.assert_allclose(second, 2.0 * first, rtol=1e-3)
