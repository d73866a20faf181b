"""A function that reads what is changed later is compared with its closed form again: at each question, in 0.04 ms."""

import dataclasses

import numpy as np
import pytest

import mcgrad as mg

FACTOR = 1.0
LQ = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
TABLE = mg.environments.bandit([1.0, 2.0, 0.0])


class Held:
    factor = 1.0


def of_a_list():
    box = [1.0]
    return lambda: box[0], lambda x: box.__setitem__(0, x)


def of_an_attribute():
    held = Held()
    return lambda: held.factor, lambda x: setattr(held, "factor", x)


def of_a_global():
    return lambda: FACTOR, lambda x: globals().__setitem__("FACTOR", x)


@pytest.mark.parametrize("make", [of_a_list, of_an_attribute, of_a_global])
@pytest.mark.parametrize("environment", [LQ, TABLE], ids=["lq", "bandit"])
def test_what_was_faithful_once_is_looked_at_again(make, environment):
    """The first answer is right; from the change on there is no closed form, whichever question and theta; and back again.

    The recursion, which traces the function that there is now, answers in its place.
    """
    read, change = make()
    changed = dataclasses.replace(environment, reward=lambda p, *a: read() * environment.reward(p, *a))
    policy = mg.policies.linear_gaussian(1, 1, std=0.5) if environment is LQ else mg.policies.softmax(1, 3)
    problem = mg.Problem(changed, policy, 10 if environment is LQ else 1)
    theta = -0.6 * np.ones(len(problem.parameters))
    before = mg.exact.objective(problem, theta)
    change(2.0)
    try:
        for question in (mg.exact.objective, mg.exact.gradient):
            for at in (theta, 0.5 * theta):
                with pytest.raises(mg.exact.NoClosedForm, match="its reward is another function"):
                    question(problem, at, work=0)
        np.testing.assert_allclose(mg.exact.objective(problem, theta), 2.0 * before, rtol=1e-10)
    finally:
        change(1.0)
    assert mg.exact.objective(problem, theta) == before
