"""Pathwise gradients in blocks: exact mean and variance, the bias without a critic, none with the exact one."""

import numpy as np
import pytest
from environments_of_tests import pendulum
from support import CASES, reference_problem, standard_errors, w1

import mcgrad as mg
from mcgrad import critics
from mcgrad.estimators import reparameterization, short_horizon, truncated_reparameterization, value_gradient


def problems():
    yield "W1", w1(horizon=5, learn_std=True, discount=0.95)
    for case in CASES:
        if case["id"] in ("S02", "S07", "S09", "S13"):
            yield case["id"], reference_problem(case["system"])


PROBLEMS = dict(problems())
WRONG = critics.exact().wrong(scale=0.7, shift=3.0)


@pytest.mark.parametrize("name", PROBLEMS)
def test_mean_and_variance_are_the_exact_ones(name, seed):
    problem, theta = PROBLEMS[name]
    blocks = range(1, problem.horizon + 1)
    chosen = {f"cut {h}": truncated_reparameterization(h) for h in blocks}
    chosen |= {f"short {h}": short_horizon(h) for h in blocks}
    chosen |= {f"wrong {h}": short_horizon(h, WRONG) for h in blocks}
    found = mg.measure(problem, theta, chosen, 100_000, seed)
    for key, estimator in chosen.items():
        exact = mg.exact.mean(problem, theta, estimator), mg.exact.variance(problem, theta, estimator)
        assert standard_errors(found[key], *exact) < 5, key
    gradient = mg.exact.gradient(problem, theta)
    for h in blocks:
        np.testing.assert_allclose(mg.exact.mean(problem, theta, chosen[f"short {h}"]), gradient, rtol=1e-10)
    for key in (f"cut {h}" for h in blocks if h < problem.horizon):
        biased = np.abs(found[key].mean - gradient) > 5 * found[key].stderr
        assert biased.any(), key


@pytest.mark.parametrize("name", PROBLEMS)
def test_long_blocks_are_the_plain_gradient(name):
    problem, theta = PROBLEMS[name]
    plain, T = reparameterization(), problem.horizon
    variance = mg.exact.variance(problem, theta, plain)
    found = mg.sample(problem, theta, {"plain": plain, "cut": truncated_reparameterization(T + 3)}, 20, machine="numpy")
    np.testing.assert_array_equal(found["plain"], found["cut"])
    for estimator in (truncated_reparameterization(T), short_horizon(T), short_horizon(10 * T, WRONG)):
        np.testing.assert_allclose(mg.exact.variance(problem, theta, estimator), variance, rtol=1e-11)


def slow_mean(problem, theta, steps, h=1e-4):
    """Return the mean of the truncated gradient by finite differences, block by block.

    The policy is perturbed from the start of a block on; the laws of the states before it, and the rewards after it, are
    those of the policy itself.
    """
    s = mg.exact.system(problem, theta)
    total = np.zeros(len(theta))
    mean, cov = s.mean, s.cov
    for start in range(0, s.horizon, steps):
        end = min(start + steps, s.horizon)
        for p in range(len(theta)):
            ends = [block_rewards(problem, theta + d * np.eye(len(theta))[p], mean, cov, start, end) for d in (h, -h)]
            total[p] += (ends[0] - ends[1]) / (2 * h)
        for _ in range(start, end):
            mean, cov = s.closed @ mean, s.closed @ cov @ s.closed.T + s.noise @ s.noise.T
    return total


def block_rewards(problem, theta, mean, cov, start, end):
    """Return E sum_{start <= t < end} r_t, and the terminal reward with the last block, from the law of s_start."""
    s = mg.exact.system(problem, theta)
    total = 0.0
    for t in range(start, end):
        second = cov + np.outer(mean, mean)
        stage = np.sum((s.Q + s.K.T @ s.R @ s.K) * second) + np.sum(s.R * s.policy_cov)
        total -= s.discount**t * stage
        mean, cov = s.closed @ mean, s.closed @ cov @ s.closed.T + s.noise @ s.noise.T
    if end == s.horizon:
        total -= s.terminal_weight * np.sum(s.Qf * (cov + np.outer(mean, mean)))
    return total


@pytest.mark.parametrize("name", PROBLEMS)
def test_bias_of_truncation_by_a_slow_reference(name):
    problem, theta = PROBLEMS[name]
    for steps in range(1, problem.horizon + 1):
        exact = mg.exact.mean(problem, theta, truncated_reparameterization(steps))
        slow = slow_mean(problem, theta, steps)
        np.testing.assert_allclose(exact, slow, rtol=1e-5, atol=1e-6 * np.abs(slow).max())


def test_blocks_trade_variance_for_the_critics_truth():
    """Unstable loop: the adjoint grows, and so does the variance with the length of a block; the bias of a wrong V falls."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=0.5)
    problem, theta = mg.Problem(environment, policy, 24), policy.theta([0.6])  # closed loop 1.2
    lengths = [1, 2, 4, 8, 24]
    variances = [mg.exact.variance(problem, theta, short_horizon(h))[0] for h in lengths]
    assert np.all(np.diff(variances) > 0)
    gradient = mg.exact.gradient(problem, theta)
    wrong = critics.exact().wrong(scale=0.7)
    for make in (truncated_reparameterization, lambda h: short_horizon(h, wrong)):
        bias = [np.abs(mg.exact.mean(problem, theta, make(h)) - gradient)[0] for h in lengths]
        assert np.all(np.diff(bias) < 0) and bias[-1] < 1e-9 * np.abs(gradient[0])


def test_one_step_blocks_add_the_noise_of_the_step():
    """SVG(1) is SVG(0) plus what w_t adds to dV_{t+1}/ds: same mean, more variance; equal without process noise."""
    problem, theta = PROBLEMS["S07"]
    one, zero = (mg.exact.variance(problem, theta, x) for x in (short_horizon(1), value_gradient()))
    assert np.all(one > zero)


def test_blocks_on_a_nonlinear_problem(seed):
    """Without a critic the bias is seen; a slope given by the user's own value function enters as written."""
    problem, theta = pendulum(horizon=12)
    flat = mg.baselines.of_state(lambda p, s: p.level, level=3.0)
    tilted = mg.baselines.of_state(lambda p, s: p.slope * s[0], slope=0.5)
    chosen = {
        "cut": truncated_reparameterization(4),
        "flat": short_horizon(4, flat),
        "tilted": short_horizon(4, tilted),
    }
    found = mg.sample(problem, theta, chosen, 200, seed, machine="numpy")
    np.testing.assert_allclose(found["flat"], found["cut"], rtol=1e-12)
    assert np.abs(found["tilted"] - found["cut"]).max() > 1e-3


def test_errors():
    with pytest.raises(ValueError, match="steps"):
        truncated_reparameterization(0)
    problem, theta = w1(horizon=4)
    pair = short_horizon(2), reparameterization()
    traced = mg.exact.moments(problem, theta, dict(zip("xy", pair, strict=True))).covariance("x", "y")
    np.testing.assert_allclose(mg.exact.covariance(problem, theta, *pair, work=0), traced, rtol=1e-10)
