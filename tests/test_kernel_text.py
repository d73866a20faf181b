"""What a kernel's text calls things, so that a person can read it."""

import re

import pytest

import mcgrad as mg
from mcgrad.estimators.estimator import Estimator
from mcgrad.kernels.program import gradient_program

E = mg.estimators


def text(estimators, names=("g",), learn_std=False):
    params = dict.fromkeys(names, 0.5)
    environment = mg.Environment(
        states=2,
        actions=1,
        noises=0,
        initial_noises=2,
        params=params,
        init=lambda p, z: (z[0], z[1]),
        step=lambda p, s, a, w: (s[0] + 0.1 * s[1], s[1] + 0.1 * a[0] * sum(getattr(p, x) for x in names)),
        reward=lambda p, s, a, s_next, w: -s_next[0] * s_next[0] - 0.1 * a[0] * a[0],
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(2, 1, std=0.3, learn_std=learn_std), horizon=3)
    theta = [-0.1, -0.2] + [-1.0] * learn_std
    mg.sample(problem, theta, estimators, 4, machine="numpy")
    return gradient_program(problem, theta, estimators).kernel.text


def test_carries_actions_and_sums_are_called_what_they_are():
    found = text({"SF": E.reward_to_go(), "PW": E.reparameterization()})
    for name in ("to_go", "adjoint0", "adjoint1", "sum_reward_to_go_K00", "sum_pathwise_K01"):
        assert re.search(rf"\b{name}_new = ", found), name
    assert re.search(r"\ba0 = theta0 \* s0", found)
    assert "carry_0" not in found


def test_what_is_shared_has_one_name_and_mirrored_rollouts_have_their_own():
    found = text({"x": E.score_function(), "y": E.reward_to_go(), "pair": E.antithetic(E.score_function())})
    assert found.count("to_go_new =") == 1 and found.count("to_go_v1_new =") == 1


def test_an_estimators_name_is_not_part_of_the_text():
    assert text({"SF": E.reward_to_go()}) == text({"another": E.reward_to_go()})


def test_names_of_users_stay_theirs():
    """Parameters and estimators called like carries, functions of kernels or their arguments are no clash."""

    class Where(Estimator):
        def last(self, c, end):
            return (end.reward, 0.0)

        def step(self, c, x, carry):
            return (carry[0] + x.reward, carry[1] + 1.0), tuple(carry[0] * z + 0.0 * carry[1] for z in x.score)

    names = ("to_go", "adjoint0_new", "a0", "eta0", "sum_reward_to_go_K00", "where0")
    estimators = {"SF": E.reward_to_go(), "PW": E.reparameterization(), "W": Where()}
    found = text(estimators, names)
    plain = text(estimators, ("g",) * 1)
    assert found.count("\n") >= plain.count("\n") - 5
    assert "to_go_1_new" in found and "adjoint0_1_new" in found


def test_a_problem_shows_its_kernel_and_whose_each_output_is():
    problem = mg.Problem(mg.environments.pendulum(), mg.policies.linear_gaussian(2, 1, std=0.3), 5)
    found = problem.source({"mine": E.reward_to_go(), "PW": E.reparameterization()})
    for line in ("# out[0] mine: K[0,0]", "# out[3] PW: K[0,1]", "def backward(", "    to_go_new = "):
        assert line in found
    with pytest.raises(ValueError, match="theta: expected the parameters"):
        problem.source({"mine": E.reward_to_go(mg.baselines.fitted_value(64))})
