"""Hessian-vector products: directional problems, and the score function differentiated twice."""

import math

import numpy as np
import pytest
from compiler import graphs
from environments_of_tests import feature_policy, pendulum, zoo
from support import CASES, reference_problem, standard_errors, w1
from test_critics import random_problem

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.compiler.derive import pull_back, push_forward
from mcgrad.compiler.functions import where
from mcgrad.directional_problem import directional
from mcgrad.exact import hessian, hessian_vector_product, hessian_vector_product_variance
from mcgrad.kernels.program import gradient_program

COUNT = 200_000
pw = E.reparameterization


# ---- the forward sweep -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_forward_and_reverse_sweeps_agree(seed):
    """ybar . (J xdot) = (J^T ybar) . xdot on random expressions of all operations, kinks and branches among them."""
    rng = np.random.default_rng(seed)
    graph = graphs.Graph()
    s = tuple(graph.input(f"s{i}") for i in range(3))
    outputs = graphs.random_expression(rng, s, int(rng.integers(3, 25)))
    x, tangents, cotangents = rng.normal(size=(3, 12)), rng.normal(size=3), rng.normal(size=3)
    dots = graphs.run(graph, push_forward(graph, outputs, s, tangents), x)
    bars = graphs.run(graph, pull_back(graph, outputs, cotangents, s), x)
    np.testing.assert_allclose(cotangents @ dots, tangents @ bars, rtol=1e-11, atol=1e-11)


def test_tangents_of_inputs_are_what_is_given():
    """An input in the middle keeps its own tangent; numbers have none."""
    graph = graphs.Graph()
    x, y = graph.input("s0"), graph.input("s1")
    middle = x * y
    outputs = push_forward(graph, [middle * x, x + 1.0, 3.0, y], [x, middle, 7.0], [1.0, 10.0, 5.0])
    np.testing.assert_array_equal(graphs.run(graph, outputs, np.array([[2.0], [3.0]]))[:, 0], [26.0, 1.0, 0.0, 0.0])
    assert push_forward(graph, [], [x], [1.0]) == ()


def test_a_branch_that_is_not_taken_leaves_no_trace():
    def tangents(function, at):
        graph, s, outputs = graphs.traced(lambda s: function(s[0]), 1)
        return graphs.run(graph, push_forward(graph, outputs, s, [1.0]), np.array([[at]]))[0, 0]

    for at, slope in ((0.0, 0.0), (0.25, 1.0)):
        assert tangents(lambda x: where(x > 0, np.sqrt(x), 0.0), at) == slope
        assert tangents(lambda x: where(x > 0, np.minimum(np.sqrt(x), 5.0), 0.0), at) == slope
        assert tangents(lambda x: 0.5 * abs(where(x > 0, 2 * np.sqrt(x), 0.0)) + np.floor(x), at) == slope


# ---- directional problems --------------------------------------------------------------------------------------------


def in_phases(horizon):
    """Return (problem, theta): a gain for each of three phases, read from a table; it ends where it leaves (-2, 2)."""
    policy = feature_policy()
    in_table = mg.Policy(
        states=2,
        actions=1,
        noises=1,
        parameters=("phase 0", "phase 1", "phase 2"),
        eta=lambda p, theta, s: (mg.lookup(theta, s[1]) * s[0],),
        sample=policy.sample,
        log_prob=policy.log_prob,
        params=policy.params,
    )
    environment = mg.Environment(
        states=2,
        actions=1,
        initial_noises=1,
        init=lambda p, z: (1.0 + 0.3 * z[0], 0.0),
        step=lambda p, s, a, w: (s[0] + 0.5 * a[0], mg.where(s[1] > 1.5, 0.0, s[1] + 1.0)),
        reward=lambda p, s, a, s_next, w: -(s[0] ** 4) - a[0] ** 2 * s_next[0],
        terminal=lambda p, s: s[0] ** 3,
        done=lambda p, s: abs(s[0]) > 2.0,
    )
    return mg.Problem(environment, in_table, horizon, 0.9), np.array([-0.5, 0.8, 0.2])


@pytest.mark.parametrize("make", [pendulum, zoo, in_phases, lambda n: w1(n, learn_std=True, discount=0.9)])
def test_returns_are_derivatives_of_returns(make):
    """Trajectory by trajectory: the return is v . g, and its gradient the difference of gradients at theta +- h v."""
    problem, theta = make(6)
    v = np.linspace(-0.5, 0.7, len(theta))
    along = directional(problem, v)
    path = mg.rollout(along, theta, 8, seed=1, machine="numpy")
    weights = along.weights()
    returns = path.rewards @ weights[:-1] + path.terminal * weights[-1]

    def gradients(h, problem=problem):
        return mg.sample(problem, theta + h * v, {"g": pw()}, 8, seed=1, machine="numpy")["g"]

    np.testing.assert_allclose(returns, gradients(0.0) @ v, rtol=1e-10, atol=1e-12)
    n = problem.environment.states
    plain = mg.rollout(problem, theta, 8, seed=1, machine="numpy")
    np.testing.assert_array_equal(path.states[:, :, :n], plain.states)
    found, h = gradients(0.0, along), 1e-4
    expected = (8 * (gradients(h) - gradients(-h)) - (gradients(2 * h) - gradients(-2 * h))) / (12 * h)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_another_direction_is_the_same_kernel():
    problem, theta = w1(horizon=4)
    kernels = {
        gradient_program(directional(problem, v), theta, {"HVP": pw()}).kernel for v in (np.eye(8)[0], np.ones(8))
    }
    assert len(kernels) == 1


@pytest.fixture(scope="module")
def linear_quadratic():
    """Return (problem, theta, v): correlated actions, learned scales, process noise, discounting, terminal cost."""
    problem, theta = random_problem(3)
    return problem, theta, np.array([0.3, -1.0, 0.5, 0.7, -0.4, 0.2])


def test_pathwise_products_have_the_exact_mean_and_variance(linear_quadratic, seed):
    """Both within 5 standard errors; an error of 2 % in v would be seen in the mean."""
    problem, theta, v = linear_quadratic
    exact = hessian_vector_product(problem, theta, v)
    variance = hessian_vector_product_variance(problem, theta, v)
    along = directional(problem, v)
    found = mg.measure(along, theta, {"HVP": pw()}, COUNT, seed)
    assert standard_errors(found["HVP"], exact, variance) < 5
    assert np.max(np.abs(0.02 * exact) / found["HVP"].stderr) > 5


def test_score_function_products(linear_quadratic, seed):
    """Unbiased with any number as baseline, also for policies of a nonlinear mean; a missing term is seen."""
    problem, theta, v = linear_quadratic
    exact, J = hessian_vector_product(problem, theta, v), mg.exact.objective(problem, theta)
    chosen = {"plain": E.score_hessian_vector_product(v), "J": E.score_hessian_vector_product(v, J)}
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    for name in chosen:
        assert np.all(np.abs(found[name].mean - exact) < 5 * found[name].stderr), name
    assert np.all(found["J"].variance < found["plain"].variance)
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.variance(problem, theta, chosen["J"], work=0)


def test_score_and_pathwise_products_agree(seed):
    """A policy that is not linear in theta, on a smooth problem: dZ/dtheta is not that of a fixed Jacobian."""
    policy = feature_policy()
    curved = mg.Policy(
        states=2,
        actions=1,
        noises=1,
        parameters=("a", "b"),
        eta=lambda p, theta, s: (theta[0] * math.tanh(theta[1] * s[0]) + theta[1] ** 2 * s[1],),
        sample=policy.sample,
        log_prob=policy.log_prob,
        params=policy.params,
    )
    smooth = mg.Environment(
        states=2,
        actions=1,
        initial_noises=2,
        init=lambda p, z: (0.5 + 0.2 * z[0], 0.2 * z[1]),
        step=lambda p, s, a, w: (s[0] + 0.3 * a[0], 0.9 * s[1] + 0.2 * math.sin(s[0])),
        reward=lambda p, s, a, s_next, w: math.cos(s_next[0]) - 0.5 * s_next[1] ** 2,
    )
    problem, theta, v = mg.Problem(smooth, curved, 3), np.array([1.5, 0.8]), np.array([1.0, -0.6])
    score = mg.measure(problem, theta, {"HVP": E.score_hessian_vector_product(v, 2.0)}, 4 * COUNT, seed)["HVP"]
    path = mg.measure(directional(problem, v), theta, {"HVP": pw()}, COUNT, seed)["HVP"]
    assert np.all(np.abs(score.mean - path.mean) < 5 * np.hypot(score.stderr, path.stderr))
    assert np.max(np.abs(path.mean) / score.stderr) > 20


def test_discrete_actions_have_score_products(seed):
    """Three arms: J = pi^T q, dJ = pi (q - J), and H v by differences of that."""
    q, theta, v, h = np.array([1.0, 2.0, 0.0]), np.log([0.5, 0.3, 0.2]), np.array([1.0, -0.5, 0.3]), 1e-4

    def gradient(logits):
        pi = np.exp(logits) / np.exp(logits).sum()
        return pi * (q - pi @ q)

    exact = (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)
    problem = mg.Problem(mg.environments.bandit(q), mg.policies.softmax(1, 3), 1)
    found = mg.measure(problem, theta, {"HVP": E.score_hessian_vector_product(v, 1.1)}, COUNT, seed)["HVP"]
    assert np.all(np.abs(found.mean - exact) < 5 * found.stderr)
    assert np.max(np.abs(exact) / found.stderr) > 20
    with pytest.raises(ValueError, match="problem: no directional derivative of it here"):
        directional(problem, v)


# ---- exact -----------------------------------------------------------------------------------------------------------


def test_hessians_are_symmetric_and_those_of_differences():
    for name in ("S04", "S10"):
        problem, theta = reference_problem(next(c for c in CASES if c["id"] == name)["system"])
        H, h = hessian(problem, theta), 1e-3
        np.testing.assert_allclose(H, H.T, rtol=1e-10, atol=1e-12 * np.abs(H).max())
        for p, axis in enumerate(h * np.eye(len(theta))):
            g = {k: mg.exact.gradient(problem, theta + k * axis) for k in (-3, -2, -1, 1, 2, 3)}
            expected = (45 * (g[1] - g[-1]) - 9 * (g[2] - g[-2]) + g[3] - g[-3]) / (60 * h)
            np.testing.assert_allclose(H[p], expected, rtol=1e-8, atol=1e-10 * np.abs(H).max())


def test_what_is_refused():
    problem, theta = w1(horizon=3)
    along = directional(problem, np.ones(8))
    with pytest.raises(ValueError, match=r"v: expected shape \(8,\), got \(2,\)"):
        directional(problem, [1.0, 2.0])
    with pytest.raises(ValueError, match="problem: expected a Problem, got str"):
        directional("problem", [1.0])
    with pytest.raises(ValueError, match="no score function here: the derivative of an action"):
        mg.sample(along, theta, {"SF": E.score_function()}, 10)
    with pytest.raises(ValueError, match="no second derivative of the score here: the derivative of an action"):
        mg.sample(along, theta, {"HVP": E.score_hessian_vector_product(np.ones(8))}, 10)
    with pytest.raises(ValueError, match=r"v: expected shape \(8,\), got \(3,\)"):
        mg.sample(problem, theta, {"HVP": E.score_hessian_vector_product(np.ones(3))}, 10)
    with pytest.raises(ValueError, match=r"v: expected shape \(8,\), got \(3,\)"):
        hessian_vector_product(problem, theta, np.ones(3))
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.gradient(along, theta, work=0)
    with pytest.raises(mg.exact.NoClosedForm):
        hessian_vector_product(*pendulum(3), np.ones(3), work=0)
