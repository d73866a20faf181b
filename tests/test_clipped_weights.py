"""Clipped importance weights and PPO's surrogate: their formulas, their moments by quadrature, and what is refused."""

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors

import mcgrad as mg

e = mg.estimators
iw = e.importance_weighted


def case(name, **options):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"], **options)


def test_clipped_weights_are_their_formulas():
    """By NumPy from the trajectories of the behaviour: n = m = 1, theta = (K, log std)."""
    problem, theta = case("S02")
    theta_b, clip = theta + [0.1, -0.05], 1.02
    path = mg.rollout(problem, theta_b, 40, seed=3)
    s, std = path.states[:, :-1, 0], np.exp(theta[1])
    x = (path.actions[:, :, 0] - theta[0] * s) / std
    z = np.stack([x * s / std, x**2 - 1], axis=2)
    w = np.exp((path.noise.action[:, :, 0] ** 2 - x**2) / 2 + theta_b[1] - theta[1])
    weights = problem.weights()
    rewards = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
    to_go = np.cumsum(rewards[:, ::-1], axis=1)[:, :0:-1]
    b = -0.5
    expected = {"trajectory": np.minimum(w.prod(axis=1), clip)[:, None] * np.sum(z, axis=1) * (to_go[:, :1] - b)}
    low = np.minimum(w, clip)
    running = np.cumprod(low, axis=1)
    later = np.cumsum((np.column_stack([running, running[:, -1]]) * rewards)[:, ::-1], axis=1)[:, :0:-1]
    expected["per decision"] = np.sum(z * (later - running * b)[:, :, None], axis=1)
    A = to_go - b
    dropped = ((A > 0) & (w > 1.05)) | ((A < 0) & (w < 0.95))
    assert 0.02 < dropped.mean() < 0.5 and 0.1 < (w > clip).mean() < 0.9
    expected["PPO"] = np.sum(z * np.where(dropped, 0.0, w * A)[:, :, None], axis=1)
    chosen = {name: iw(theta_b, name, b, clip=clip) for name in ("trajectory", "per decision")}
    chosen["PPO"] = e.clipped_ratio(theta_b, 0.05, b)
    for machine in ("numpy", "simd"):
        found = mg.sample(problem, theta, chosen, 40, seed=3, machine=machine)
        for name in chosen:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
    # What is never clipped is the plain estimator, and on the policy PPO's gradient is that with reward to go.
    loose = {
        "iw": iw(theta_b, clip=1e9),
        "plain": iw(theta_b),
        "PPO": e.clipped_ratio(theta, 0.2),
        "to go": e.reward_to_go(),
    }
    found = mg.sample(problem, theta, loose, 10, machine="numpy")
    np.testing.assert_allclose(found["iw"], found["plain"], rtol=1e-12)
    np.testing.assert_allclose(found["PPO"], found["to go"], rtol=1e-9)


def test_moments_of_one_step_by_quadrature(seed):
    """From a fixed start the integrand is a function of one normal; kinks are left to a fine grid."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], terminal_cost=[[2.0]],
                                                   initial_mean=[1.5], initial_cov=[[0.0]])  # fmt: skip
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)
    theta, theta_b, b = -0.4, -0.5, -6.0
    eps = np.linspace(-9.0, 9.0, 400_001)
    mass = np.exp(-(eps**2) / 2)
    mass /= mass.sum()
    a = 1.5 * theta_b + 0.5 * eps
    x = (a - 1.5 * theta) / 0.5
    w, z = np.exp((eps**2 - x**2) / 2), x / 0.5 * 1.5
    A = -(1.5**2 + 0.1 * a**2 + 2.0 * (0.9 * 1.5 + 0.5 * a) ** 2) - b
    dropped = ((A > 0) & (w > 1.2)) | ((A < 0) & (w < 0.8))
    exact = {"clipped": np.minimum(w, 1.5) * z * A, "PPO": np.where(dropped, 0.0, w * z * A), "plain": w * z * A}
    chosen = {"clipped": iw([theta_b], baseline=b, clip=1.5), "PPO": e.clipped_ratio([theta_b], 0.2, b)}
    chosen["plain"] = iw([theta_b], baseline=b)
    found = mg.measure(problem, [theta], chosen, 200_000, seed)
    for name, g in exact.items():
        mean = mass @ g
        assert standard_errors(found[name], np.array([mean]), np.array([mass @ (g - mean) ** 2])) < 5, name
    # The biases are there to be seen: 5 standard errors and more.
    for name in ("clipped", "PPO"):
        assert np.abs(found[name].mean - mg.exact.gradient(problem, [theta])) > 5 * found[name].stderr
        with pytest.raises(mg.exact.NoClosedForm):
            mg.exact.variance(problem, [theta], chosen[name], work=0)
        with pytest.raises(mg.exact.NoClosedForm):
            mg.exact.mean(problem, [theta], chosen[name], work=0)


def test_refused():
    for clip in (0.0, -1.0, np.nan, "1"):
        with pytest.raises(ValueError, match="^clip: expected"):
            iw([0.0], clip=clip)
        with pytest.raises(ValueError, match="^clip: expected"):
            e.clipped_ratio([0.0], clip)
    with pytest.raises(ValueError, match="clip: expected None with self-normalised weights"):
        iw([0.0], "self-normalised", group=4, clip=2.0)
    with pytest.raises(ValueError, match="behaviour: expected a Policy"):
        e.clipped_ratio([0.0], behaviour=3)
    with pytest.raises(ValueError, match="baseline: expected one that is not optimal"):
        e.clipped_ratio([0.0], baseline=mg.baselines.optimal_over_time())
    problem, theta = case("S02")
    with pytest.raises(ValueError, match="behaviour_theta: expected shape"):
        mg.sample(problem, theta, {"x": e.clipped_ratio([0.0])}, 2)


# ---- discounts that vary over time -----------------------------------------------------------------------------------


def test_discounts_that_vary_weigh_each_reward():
    problem, theta = case("S02")
    T = problem.horizon
    gammas = np.where(np.arange(T) % 3 == 2, 0.5, 0.95)
    varied = mg.Problem(problem.environment, problem.policy, T, gammas)
    weights = [np.prod(gammas[:t]) for t in range(T + 1)]
    np.testing.assert_allclose(varied.weights(), weights, rtol=1e-14)
    path = mg.rollout(varied, theta, 30, seed=3, machine="numpy")
    R = path.rewards @ weights[:-1] + weights[-1] * path.terminal
    found = mg.sample(varied, theta, {"SF": e.score_function(), "Z": e.score()}, 30, seed=3, machine="numpy")
    np.testing.assert_allclose(found["SF"], R[:, None] * found["Z"], rtol=1e-9)
    # Pathwise: central differences of the return with the same noise.
    pathwise = mg.sample(varied, theta, {"PW": e.reparameterization()}, 30, seed=3, machine="numpy")["PW"]
    for p in range(len(theta)):
        sides = []
        for sign in (1, -1):
            path = mg.rollout(varied, theta + sign * 1e-5 * np.eye(len(theta))[p], 30, seed=3, machine="numpy")
            sides.append(path.rewards @ weights[:-1] + weights[-1] * path.terminal)
        np.testing.assert_allclose(pathwise[:, p], (sides[0] - sides[1]) / 2e-5, rtol=1e-5, atol=1e-5)
    with pytest.raises(mg.exact.NoClosedForm, match="discount that differs from step to step"):
        mg.exact.gradient(varied, theta, work=0)


def test_equal_discounts_are_one_discount():
    problem, theta = case("S02")
    equal = mg.Problem(problem.environment, problem.policy, problem.horizon, np.full(problem.horizon, 0.9))
    assert equal.discount == 0.9 and isinstance(equal.discount, float)
    for wrong, message in (
        (np.full(problem.horizon + 1, 0.9), "expected a number or shape"),
        (np.linspace(-0.1, 1.0, problem.horizon), "expected numbers from 0 to 1, got -0.1 to 1"),
        (np.linspace(0.0, np.nan, problem.horizon), "expected finite numbers"),
    ):
        with pytest.raises(ValueError, match=f"^discount: {message}"):
            mg.Problem(problem.environment, problem.policy, problem.horizon, wrong)
