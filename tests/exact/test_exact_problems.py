"""The doors to the theory that take a `Problem`: what is not tested with the estimators themselves."""

import dataclasses

import numpy as np
import pytest
from support import CASES, reference_problem, w1

import mcgrad as mg


def test_the_optimum_has_no_gradient():
    problem, theta = w1(horizon=20)
    found = mg.exact.optimum(problem, theta)
    at_optimum = found.gain.ravel()
    assert np.abs(mg.exact.gradient(problem, at_optimum)).max() < 1e-6
    assert mg.exact.objective(problem, at_optimum) == pytest.approx(found.objective)
    assert found.objective > mg.exact.objective(problem, theta)


def test_exponents_in_the_standard_deviation():
    case = next(c for c in CASES if c["id"] == "S03")  # no process noise
    problem, theta = reference_problem(case["system"], learn_std=False)
    rtg, value = mg.estimators.reward_to_go, mg.baselines.value()
    assert mg.exact.scaling(problem, theta, rtg()).std.power == -2
    assert mg.exact.scaling(problem, theta, rtg(value)).std.power == 0
    with pytest.raises(mg.exact.NoClosedForm, match="combinations"):
        mg.exact.scaling(problem, theta, mg.estimators.mixture(rtg(), rtg(value)))


# ---- a theory answers for the functions that a problem has ------------------------------------------------------------


def replaced(problem, where="environment", **changes):
    return dataclasses.replace(problem, **{where: dataclasses.replace(getattr(problem, where), **changes)})


def lq_with_scale():
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5, learn_std=True), 3), [-0.6, -0.7]


def random_walk():
    environment = mg.environments.random_walk(5)
    return mg.Problem(environment, mg.policies.softmax(5, 2), 4), np.linspace(-1.0, 1.0, 10)


@pytest.mark.parametrize("make", [lq_with_scale, random_walk])
def test_what_is_replaced_by_the_same_is_known(make):
    problem, theta = make()
    J = mg.exact.objective(problem, theta)
    reward = problem.environment.reward
    same = replaced(problem, reward=lambda p, s, a, s_next, w: 1.0 * reward(p, s, a, s_next, w), name="mine")
    assert mg.exact.objective(same, theta) == J


CHANGES = [
    (
        lq_with_scale,
        "environment",
        dict(reward=lambda p, s, a, s_next, w: -1.001 * s[0] ** 2 - 0.1 * a[0] ** 2),
        "reward",
    ),
    (lq_with_scale, "environment", dict(step=lambda p, s, a, w: (np.sin(s[0]) + 0.5 * a[0] + 0.2 * w[0],)), "step"),
    (lq_with_scale, "environment", dict(init=lambda p, z: (2.0 * z[0],)), "init"),
    (lq_with_scale, "environment", dict(terminal=lambda p, s: -(s[0] ** 2)), "terminal"),
    (lq_with_scale, "environment", dict(done=lambda p, s: s[0] > 1.0), "done"),
    (lq_with_scale, "policy", dict(eta=lambda p, theta, s: (1.1 * theta[0] * s[0], theta[1])), "linear-Gaussian"),
    (lq_with_scale, "policy", dict(score=lambda p, eta, a, e: (-e[0], e[0] ** 2 - 1.0)), "linear-Gaussian"),
    (random_walk, "environment", dict(reward=lambda p, s, a, s_next, w: s[0]), "reward"),
]


@pytest.mark.parametrize(("make", "where", "change", "word"), CHANGES, ids=[f"{w} {word}" for _, w, _, word in CHANGES])
def test_a_replaced_function_has_no_closed_form(make, where, change, word):
    """`dataclasses.replace` keeps `closed_form`, which speaks of the functions that were there before."""
    problem, theta = make()
    other = replaced(problem, where, **change)
    for ask in (mg.exact.objective, mg.exact.gradient):
        with pytest.raises(mg.exact.NoClosedForm, match=word):
            ask(other, theta, work=0)
    if "score" in change:  # which the recursion sees
        with pytest.raises(mg.exact.NoClosedForm, match="the policy's score is not that of the density"):
            mg.exact.gradient(other, theta)
    if {"score", "done"} & set(change):
        return
    g, h = mg.exact.gradient(other, theta), 1e-3  # of the functions as they are now
    for p, unit in enumerate(np.eye(len(theta))[:3]):
        up, down = (mg.exact.objective(other, theta + k * h * unit) for k in (1, -1))
        assert g[p] == pytest.approx((up - down) / (2 * h), rel=1e-3, abs=1e-6)


def test_replaced_numbers_have_no_closed_form():
    problem, theta = lq_with_scale()
    params = dict(problem.environment.params)
    for name in ("A", "Q", "noise", "root"):
        with pytest.raises(mg.exact.NoClosedForm, match="closed form"):
            mg.exact.objective(replaced(problem, params=params | {name: 1.001 * params[name]}), theta, work=0)


# ---- values as functions -----------------------------------------------------------------------------------------------


def test_values_are_functions_with_their_arrays():
    problem, theta = lq_with_scale()
    V, Q = mg.exact.value(problem, theta), mg.exact.critic(problem, theta)
    s = np.array([[0.5], [-1.0]])
    np.testing.assert_allclose(V(1, s), -(V.P[1, 0, 0] * s[:, 0] ** 2 + V.c[1]))
    assert V(1, s[0]) == V(1, s)[0] and np.array_equal(Q.value(2, s), V(2, s))
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    actions = -0.6 * s[0, 0] + np.exp(-0.7) * nodes[:, None]
    mean = weights @ Q(1, np.repeat(s[:1], 5, axis=0), actions) / weights.sum()
    assert mean == pytest.approx(V(1, s[0]), rel=1e-12)
    problem, theta = random_walk()
    V, Q = mg.exact.value(problem, theta), mg.exact.critic(problem, theta)
    states = np.array([[1.0], [3.0]])
    np.testing.assert_array_equal(V(0, states), V.V[0, [1, 3]])
    mean = sum(Q.policy[[1, 3], a] * Q(0, states, np.full((2, 1), float(a))) for a in (0, 1))
    np.testing.assert_allclose(mean, V(0, states), rtol=1e-12)


def test_a_critic_wants_an_action_for_each_state():
    """NumPy would repeat a single one, or answer with a single number of several."""
    for problem, theta in (lq_with_scale(), random_walk()):
        Q = mg.exact.critic(problem, theta)
        one, two, three = ([[float(k)] for k in range(n)] for n in (1, 2, 3))
        assert Q(1, two, two).shape == (2,) and np.ndim(Q(1, [0.0], [1.0])) == 0
        for s, a in (([0.0], two), (three, one), (three, [1.0]), (one, two), ([0.0], one), (one, [0.0])):
            with pytest.raises(ValueError, match="^a: expected an action for each state"):
                Q(1, s, a)
        for s, a, name in (
            (0.0, [0.0], "s"),
            ([0.0, 0.0], [0.0], "s"),
            ([0.0], [0.0, 0.0], "a"),
            ([[[0.0]]], [[0.0]], "s"),
        ):
            with pytest.raises(ValueError, match=f"^{name}: expected"):
                Q(1, s, a)
