"""Quadrature against closed forms, the theory of linear-quadratic problems, and Monte Carlo against quadrature."""

import dataclasses
import math

import numpy as np
import pytest
from refusals import refused
from smooth_problems import cubic, features, of, quadratic, swing
from support import standard_errors

import mcgrad as mg
from mcgrad.exact.quadratures import LIMIT, quadrature
from mcgrad.exact.theory import NoClosedForm

E, B = mg.estimators, mg.baselines
CHOSEN = {
    "SF": E.score_function(),
    "SF - b": E.score_function(-0.3),
    "to go": E.reward_to_go(),
    "to go - b_t": E.reward_to_go([-0.3, -0.2, -0.1]),
    "to go - b(s)": E.reward_to_go(B.of_state(lambda p, s: p.c * s[0] ** 2 - 0.2, c=-1.0)),
    "PW": E.reparameterization(),
    "SF - PW": E.difference(E.score_function(), E.reparameterization()),
}


def linear(horizon, noise, discount=0.9):
    """Return a scalar linear-quadratic problem that ends with a terminal cost."""
    environment = mg.environments.linear_quadratic(
        [[0.9]], [[0.5]], [[1.0]], [[0.1]], terminal_cost=[[0.7]], process_noise=[[noise]], initial_mean=[0.3]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=0.5, learn_std=True)
    return mg.Problem(environment, policy, horizon, discount), policy.theta([-0.6])


# ---- quadrature itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [linear(1, 0.04), linear(2, 0.0)], ids=["noisy", "two steps"])
def test_linear_quadratic_problems_are_exact(pair):
    """Where the theory knows every moment; the gradients are of fourth degree, so that five nodes are exact."""
    problem, theta = pair
    chosen = {name: CHOSEN[name] for name in ("SF", "SF - b", "to go", "PW", "SF - PW")} | {"Z": E.score()}
    found = quadrature(problem, theta, chosen, nodes=7)
    assert found.change < 1e-9
    gradient = mg.exact.gradient(problem, theta)
    assert found.objective == pytest.approx(mg.exact.objective(problem, theta), rel=1e-12)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-9)
    for name, estimator in chosen.items():
        np.testing.assert_allclose(found[name].variance, mg.exact.variance(problem, theta, estimator), rtol=1e-9)
        mean = 0 * gradient if name in ("Z", "SF - PW") else gradient
        np.testing.assert_allclose(found[name].mean, mean, rtol=1e-9, atol=1e-10)
    for first, second in (("SF", "PW"), ("to go", "Z")):
        expected = mg.exact.covariance(problem, theta, chosen[first], chosen[second])
        np.testing.assert_allclose(found.covariance(first, second), expected, rtol=1e-9, atol=1e-10)


def test_one_step_of_the_quadratic_system_in_closed_form():
    """J = -E[s_next^2] - E[a^2], s_next = s + h (a - s^2), a = x s + y s^2 + std e: moments E s^2 = v, E s^4 = 3 v^2."""
    problem, theta = quadratic(horizon=1)
    x, y, log_std = theta
    v, h, var = 0.1, 0.05, math.exp(2 * log_std)
    moved = (1 + h * x) ** 2 * v + 3 * v**2 * h**2 * (y - 1) ** 2 + h**2 * var
    acted = x**2 * v + 3 * v**2 * y**2 + var
    slopes = [2 * h * (1 + h * x) * v + 2 * x * v, 6 * v**2 * h**2 * (y - 1) + 6 * v**2 * y, 2 * h**2 * var + 2 * var]
    found = quadrature(problem, theta, {"SF": E.score_function()}, nodes=10)
    assert found.objective == pytest.approx(-moved - acted, rel=1e-12)
    np.testing.assert_allclose(found["SF"].mean, -np.array(slopes), rtol=1e-9)


def test_doubling_the_nodes_changes_nothing():
    chosen = {name: CHOSEN[name] for name in ("SF", "PW")}
    for (problem, theta), nodes, tolerance in ((quadratic(horizon=2), 12, 1e-11), (cubic(horizon=2), 20, 1e-8)):
        few, many = (quadrature(problem, theta, chosen, nodes=k) for k in (nodes, 2 * nodes))
        assert few.change < 1e-5
        for name in chosen:
            np.testing.assert_allclose(few[name].mean, many[name].mean, rtol=tolerance)
            np.testing.assert_allclose(few[name].variance, many[name].variance, rtol=tolerance)


def test_functions_that_take_no_arrays_are_run_node_by_node():
    """The same pendulum, written with `math`."""
    smooth = mg.environments.plain_pendulum(push_std=0.0)
    slow = dataclasses.replace(smooth, step=step_with_math)
    policy, theta = features(swing, 2, 1, 7, std=0.5)
    chosen = {"to go": E.reward_to_go(), "PW": E.reparameterization()}
    at_once, one_by_one = (
        quadrature(mg.Problem(x, policy, 1), theta, chosen, nodes=7, tolerance=1.0) for x in (smooth, slow)
    )
    np.testing.assert_allclose(at_once.means, one_by_one.means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(at_once.seconds, one_by_one.seconds, rtol=1e-10)


def test_a_uniform_start(seed):
    """Two steps of Gymnasium's pendulum, near the top where no limit is met: uniform and normal numbers."""
    environment = mg.environments.pendulum(initial_angle=0.5, max_torque=50.0, max_speed=50.0)
    policy, theta = features(swing, 2, 1, 7, std=0.5)
    problem = mg.Problem(environment, policy, 2)
    chosen = {"to go": E.reward_to_go(), "PW": E.reparameterization()}
    exact = quadrature(problem, theta, chosen, nodes=7)
    found = mg.measure(problem, theta, chosen, 400_000, seed)
    for name in chosen:
        assert standard_errors(found[name], *exact[name]) < 5, name
    start = dataclasses.replace(environment, reward=lambda p, s, a, s_next, w: s[0] ** 2 + s[1] ** 4)
    only = quadrature(mg.Problem(start, policy, 1), theta, {"PW": E.reparameterization()}, nodes=5)
    assert only.objective == pytest.approx(0.5**2 / 3 + 1 / 5, rel=1e-12)


def test_nothing_random_but_the_process(seed):
    """A start and a policy that are not drawn, a terminal reward, and `max`, which takes no arrays."""
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        init=lambda p, z: (0.7,),
        step=lambda p, s, a, w: (0.8 * s[0] + a[0] + 0.3 * w[0],),
        reward=lambda p, s, a, s_next, w: -(max(s_next[0], -50.0) ** 2),
        terminal=lambda p, s: s[0],
    )
    policy = mg.Policy(
        states=1,
        actions=1,
        noises=0,
        parameters=("k",),
        eta=lambda p, theta, s: (theta[0] * s[0],),
        sample=lambda p, eta, e: eta,
        no_score="it is deterministic, use pathwise gradients",
    )
    problem, chosen = mg.Problem(environment, policy, 2, 0.9), {"PW": E.reparameterization()}
    exact = quadrature(problem, [0.5], chosen, nodes=5)
    f = 0.8 + 0.5
    assert exact.objective == pytest.approx(
        -(f**2 * 0.49 + 0.09) - 0.9 * (f**4 * 0.49 + f**2 * 0.09 + 0.09) + 0.81 * f**2 * 0.7
    )
    assert standard_errors(mg.measure(problem, [0.5], chosen, 100_000, seed)["PW"], *exact["PW"]) < 5


def step_with_math(p, s, a, w):
    v = s[1] + p.dt * (p.gravity * math.sin(s[0]) + p.torque * a[0])
    return s[0] + p.dt * v, v


def test_a_function_that_means_something_else_by_arrays_is_run_node_by_node():
    """`max` of two arrays is an error; a sum over what should be one number is silent, and seen to be wrong."""
    environment = mg.environments.quadratic_scalar()
    summed = dataclasses.replace(environment, step=lambda p, s, a, w: (s[0] + p.dt * np.sum(a[0] - s[0] ** 2),))
    policy, theta = features(lambda s: (s[0],), 1, 1, 0, std=0.3)
    chosen = {"PW": E.reparameterization()}
    right, found = (quadrature(mg.Problem(x, policy, 2), theta, chosen, nodes=10) for x in (environment, summed))
    np.testing.assert_allclose(found["PW"].variance, right["PW"].variance, rtol=1e-10)


# ---- Monte Carlo against quadrature ----------------------------------------------------------------------------


# The cubic one has kurtoses of 10^5, which 400,000 trajectories may take for 10^3, and then call a variance too certain.
@pytest.mark.parametrize(
    ("pair", "nodes", "count"),
    [(quadratic(horizon=3), 10, 400_000), (cubic(), 14, 8_000_000)],
    ids=["quadratic", "cubic"],
)
def test_polynomial_systems_of_han_and_yang(pair, nodes, count, seed):
    """Means and variances of three steps, every estimator of `CHOSEN`, measured within 5 standard errors."""
    problem, theta = pair
    exact = quadrature(problem, theta, CHOSEN, nodes=nodes)
    found = mg.measure(problem, theta, CHOSEN, count, seed)
    for name in CHOSEN:
        assert standard_errors(found[name], *exact[name]) < 5, name
        unbiased = np.zeros(3) if name == "SF - PW" else exact.gradient
        np.testing.assert_allclose(exact[name].mean, unbiased, rtol=1e-5, atol=1e-5)

    # Power: 2 % in the cost of actions is far away; the smallest visible error is 0.7 %.
    dearer = dataclasses.replace(problem.environment, params=problem.environment.params | {"action_cost": 1.02})
    wrong = quadrature(dataclasses.replace(problem, environment=dearer), theta, {"PW": CHOSEN["PW"]}, nodes=nodes)
    assert 0.02 * 5 / standard_errors(found["PW"], *wrong["PW"]) < 0.01


def test_two_steps_of_the_double_well_under_a_network(seed):
    """A policy and dynamics that are no polynomials, with process noise: five dimensions."""
    policy = mg.policies.tanh_network(1, 1, 2, std=0.5)
    theta = 0.5 * policy.theta(mg.policies.network_weights(1, 1, 2, seed=2)) + 0.1
    environment = mg.environments.double_well(initial_mean=-0.5, initial_std=0.4)
    problem, theta = of(environment, (policy, theta), 2)
    chosen = {"to go": E.reward_to_go(), "PW": E.reparameterization()}
    exact = quadrature(problem, theta, chosen, nodes=9, tolerance=1e-3)
    found = mg.measure(problem, theta, chosen, 400_000, seed)
    for name in chosen:
        assert standard_errors(found[name], *exact[name]) < 5, name


# ---- what it refuses -------------------------------------------------------------------------------------------


def test_refusals():
    problem, theta = quadratic(horizon=3)
    one = {"SF": E.score_function()}
    refused(
        f"^nodes: expected at most {LIMIT} points in all, got 12 in each of 7 dimensions of noise .1 of the start, and 1 of "
        "the policy and 0 of the process in each of 6 steps",
        quadrature,
        *quadratic(horizon=6),
        one,
    )
    refused("^nodes: expected enough for moments that differ by less than 0.0001", quadrature, problem, theta, one, 5)
    refused("^nodes: expected a whole number >= 3, got 2", quadrature, problem, theta, one, 2)
    refused("^tolerance: expected a number > 0", quadrature, problem, theta, one, tolerance=0.0)
    refused(
        "^estimators: expected a dict of name -> estimator, got ScoreFunction", quadrature, problem, theta, one["SF"]
    )
    refused("^theta: expected shape", quadrature, problem, [1.0], one)
    huge = dataclasses.replace(problem.environment, params=problem.environment.params | {"initial_std": 1e200})
    refused("^nodes: expected finite", quadrature, dataclasses.replace(problem, environment=huge), theta, one)
    with pytest.raises(KeyError, match="'PW' was not asked for; what was: 'SF'"):
        quadrature(*quadratic(horizon=1), one)["PW"]


def test_what_has_no_quadrature():
    def asked(estimator, problem, theta):
        with pytest.raises(NoClosedForm) as caught:
            quadrature(problem, theta, {"it": estimator})
        return str(caught.value)

    problem, theta = quadratic(horizon=1)
    assert "does not know the estimator Antithetic" in asked(E.antithetic(E.reparameterization()), problem, theta)
    assert "does not know the baseline" in asked(E.reward_to_go(B.fitted_value()), problem, theta)
    jumping = dataclasses.replace(problem.environment, discontinuous="the reward jumps at 0")
    assert "the reward jumps" in asked(E.score(), dataclasses.replace(problem, environment=jumping), theta)
    ending = dataclasses.replace(problem.environment, done=lambda p, s: s[0] > 1.0)
    assert "may end early" in asked(E.score(), dataclasses.replace(problem, environment=ending), theta)
    discrete = dataclasses.replace(problem.policy, no_pathwise="actions are discrete")
    assert "discrete" in asked(E.score(), dataclasses.replace(problem, policy=discrete), theta)
    singular = mg.policies.linear_features(lambda s: (s[0],), 1, 1, std=0.0)
    assert "singular" in asked(E.score(), mg.Problem(problem.environment, singular, 1), [0.1])
    without = dataclasses.replace(problem.policy, log_prob=None)
    assert "has no log_prob" in asked(E.score(), dataclasses.replace(problem, policy=without), theta)
