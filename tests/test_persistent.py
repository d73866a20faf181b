"""Persistent evolution strategies: by hand, against quadrature, and where truncation has the wrong sign."""

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors

import mcgrad as mg
from mcgrad.compiler.noise import PARAMETERS, normal_pair_numpy
from mcgrad.exact.linear_quadratic.persistent import persistent_evolution_strategies
from mcgrad.exact.linear_quadratic.perturbed import evolution_strategies
from mcgrad.kernels.program import gradient_program

e = mg.estimators
pes = e.persistent_evolution_strategies
COUNT = 300_000


def case(name, **options):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"], **options)


def scalar(horizon=5):
    """Return (problem, A, B, K, std, root of W) of a scalar system in plain numbers."""
    environment = mg.environments.linear_quadratic(
        [[0.9]], [[0.5]], [[1.0]], [[0.1]], terminal_cost=[[2.0]], process_noise=[[0.04]], initial_mean=[1.0]
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.3), horizon, 0.95)


def rewards_at(path, k, theta):
    """Return the discounted rewards of trajectory k, r_T at the end, under a gain for each step."""
    s, rewards = path.states[k, 0, 0], []
    for t, gain in enumerate(theta):
        a = gain * s + 0.3 * path.noise.action[k, t, 0]
        rewards.append(-(0.95**t) * (s * s + 0.1 * a * a))
        s = 0.9 * s + 0.5 * a + 0.2 * path.noise.process[k, t, 0]
    return np.array([*rewards, -(0.95 ** len(theta)) * 2.0 * s * s])


@pytest.mark.parametrize("unroll", [1, 2, 5])
def test_they_are_their_formula(unroll):
    problem, theta, h, seed, count = scalar(), -0.6, 0.2, 4, 8
    path = mg.rollout(problem, [theta], count, seed, machine="numpy")
    i = np.arange(count, dtype=np.uint64)
    z = np.array([normal_pair_numpy(seed, i, PARAMETERS - j, 0)[0] for j in range(-(-5 // unroll))])
    at = np.minimum(np.arange(6), 4) // unroll  # the unroll of each reward
    expected = {"one": [], "two": [], "truncated": []}
    for k in range(count):
        up, down = (rewards_at(path, k, theta + sign * h * z[at[:5], k]) for sign in (1, -1))
        accumulated = np.cumsum(z[:, k])[at]
        expected["one"].append(accumulated @ up / h)
        expected["two"].append(accumulated @ (up - down) / (2 * h))
        expected["truncated"].append(z[at, k] @ (up - down) / (2 * h))
    chosen = {"one": pes(h, unroll, 1), "two": pes(h, unroll), "truncated": pes(h, unroll, truncated=True)}
    for machine in ("numpy", "simd"):
        found = mg.sample(problem, [theta], chosen, count, seed, machine=machine)
        for name in chosen:
            np.testing.assert_allclose(found[name][:, 0], expected[name], rtol=1e-9, atol=1e-10)


def test_one_unroll_is_evolution_strategies():
    problem, theta = case("S10")
    chosen = {
        "PES": pes(0.1, 7, points=1),
        "ES": e.evolution_strategies(0.1, points=1),
        "PES pair": pes(0.1, 3),
        "ES pair": e.evolution_strategies(0.1),
        "truncated": pes(0.1, 3, truncated=True),
    }
    found = mg.sample(problem, theta, chosen, 50, machine="numpy")
    np.testing.assert_array_equal(found["PES"], found["ES"])  # bit for bit
    # Pairs take the difference after the product with z: the same up to the rounding of R z / h.
    for name in ("PES pair", "truncated"):
        np.testing.assert_allclose(found[name], found["ES pair"], rtol=1e-9, atol=1e-13 * np.abs(found["ES"]).max())


@pytest.mark.parametrize(("case_id", "unroll"), [("S02", 1), ("S02", 3), ("S02", 2)])
def test_exact_mean_and_variance(case_id, unroll, seed):
    problem, theta = case(case_id, learn_std=False)
    chosen = {
        "one": pes(0.1, unroll, 1),
        "two": pes(0.1, unroll),
        "two apart": pes(0.1, unroll, noise="independent"),
        "truncated": pes(0.1, unroll, truncated=True),
    }
    by_numpy, by_simd = (mg.sample(problem, theta, chosen, 20, machine=x) for x in ("numpy", "simd"))
    by_scalar = (
        mg.sample(problem, theta, {"two": chosen["two"]}, 20, machine="scalar")["two"]
        if unroll == 3
        else by_simd["two"]
    )
    np.testing.assert_allclose(by_scalar, by_numpy["two"], rtol=1e-9, atol=1e-10)
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    exact = {
        name: (mg.exact.mean(problem, theta, x), mg.exact.variance(problem, theta, x)) for name, x in chosen.items()
    }
    for name in chosen:
        np.testing.assert_allclose(by_simd[name], by_numpy[name], rtol=1e-9, atol=1e-10)
        assert standard_errors(found[name], *exact[name]) < 5, name
    assert standard_errors(found["two"], *exact["truncated"]) > 5
    assert standard_errors(found["two apart"], *exact["two"]) > 5
    assert (found["one"].rollouts, found["two"].rollouts) == (1, 2)
    # Truncation loses what a perturbation does later; persistence is off by the smoothing alone.
    gradient = mg.exact.gradient(problem, theta)
    small = mg.exact.mean(problem, theta, pes(1e-4, unroll))
    np.testing.assert_allclose(small, gradient, rtol=1e-6)
    lost = mg.exact.mean(problem, theta, pes(1e-4, unroll, truncated=True)) - gradient
    assert np.max(np.abs(lost)) > 0.2 * np.max(np.abs(gradient))


def test_exact_moments_of_one_unroll_are_those_of_evolution_strategies():
    for name in ("S02", "S06"):
        problem, theta = case(name, learn_std=False)
        s = mg.exact.system(problem, theta)
        for points, noise in ((1, "common"), (2, "common"), (2, "independent")):
            found = persistent_evolution_strategies(s, 0.2, 99, points, noise)
            expected = evolution_strategies(s, 0.2, points, noise)
            np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
            np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9)


def test_small_widths_estimate_the_gradient(seed):
    problem, theta = case("S10")
    found = mg.measure(problem, theta, {"PES": pes(1e-4, 1)}, COUNT, seed)["PES"]
    gradient = mg.exact.gradient(problem, theta)
    assert np.max(np.abs(found.mean - gradient) / found.stderr) < 5
    assert np.max(np.abs(found.mean - 0.9 * gradient) / found.stderr) > 5
    with pytest.raises(mg.exact.NoClosedForm, match="log scale"):
        mg.exact.variance(problem, theta, pes(1e-4, 1), work=0)


def test_influence_balancing_needs_the_long_run(seed):
    """Truncated to one step the gradient has the wrong sign: +4 instead of -24 per step in the long run."""
    T, theta = 150, 0.5
    problem = mg.Problem(mg.environments.influence_balancing(), mg.policies.gaussian(1, std=0.0, states=23), T)
    signs = np.where(np.arange(23) < 10, 1.0, -1.0)
    A = 0.5 * (np.eye(23) + np.eye(23, k=1))
    s, moved, gradient, local = np.zeros(23), np.zeros(23), 0.0, 0.0
    for _ in range(T):
        s, moved = A @ s + signs * theta, A @ moved + signs
        gradient -= (s[0] - 1.0) * moved[0]
        local -= (s[0] - 1.0) * signs[0]
    last = -(s[0] - 1.0) * np.array([moved[0], signs[0]])
    np.testing.assert_allclose(mg.sample(problem, [theta], {"PW": e.reparameterization()}, 1)["PW"], [[gradient]])
    chosen = {"PES": pes(0.1, 1), "truncated": pes(0.1, 1, truncated=True)}
    found = mg.measure(problem, [theta], chosen, 40_000, seed)
    # The return is a quadratic function of all perturbations: a mirrored pair has no bias at any width.
    for name, mean in (("PES", gradient), ("truncated", local)):
        assert abs(found[name].mean[0] - mean) < 5 * found[name].stderr[0], name
    assert gradient < -10 * found["PES"].stderr[0]
    assert local > 10 * found["truncated"].stderr[0]
    np.testing.assert_allclose(last, [-24.0, 4.0], rtol=0.05)


def test_episodes_that_end():
    environment = mg.Environment(
        states=1,
        actions=1,
        initial_noises=1,
        init=lambda p, z: (0.5 * z[0],),
        step=lambda p, s, a, w: (1.2 * s[0] + 0.5 * a[0],),
        reward=lambda p, s, a, s_next, w: 1.0 - 0.3 * s[0] ** 2 - 0.1 * s_next[0] * a[0],
        done=lambda p, s: abs(s[0]) > 1.0,
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 9)
    chosen = {"PES": pes(0.1, 2)}
    found = mg.sample(problem, [-0.3], chosen, 16, machine="numpy")
    assert len(set(mg.rollout(problem, [-0.3], 16).lengths)) > 3
    one_by_one = [mg.sample(problem, [-0.3], chosen, 1, start=k, machine="numpy") for k in range(8)]
    for name in chosen:
        np.testing.assert_array_equal(found[name][:8], np.concatenate([x[name] for x in one_by_one]))
        np.testing.assert_allclose(mg.sample(problem, [-0.3], chosen, 16)[name], found[name], rtol=1e-9, atol=1e-10)


def test_a_sweep_over_widths_and_unrolls_shares_a_kernel():
    problem, theta = case("S04")
    kernels = {gradient_program(problem, theta, {"PES": pes(h, K)}).kernel for h, K in ((0.1, 1), (0.2, 2), (0.1, 3))}
    assert len(kernels) == 1


def test_what_is_refused():
    for message, arguments, options in (
        ("width: expected a number > 0", (0.0, 1), {}),
        ("unroll: expected a whole number from 1", (0.1, 0), {}),
        ("points: expected a whole number from 1 to 2, got 3", (0.1, 1, 3), {}),
        ("noise: expected 'common' or 'independent', got str 'same'", (0.1, 1, 2, "same"), {}),
        ("truncated: expected True or False, got int 1", (0.1, 1), {"truncated": 1}),
    ):
        with pytest.raises(ValueError, match=message):
            pes(*arguments, **options)
    problem, theta = case("S11", learn_std=False)
    with pytest.raises(mg.exact.NoClosedForm, match=r"needs 4\^12 nodes, more than"):
        mg.exact.variance(problem, theta, pes(0.1, 1), work=0)
