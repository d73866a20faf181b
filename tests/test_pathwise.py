"""Pathwise gradients against finite differences of the same simulation with the same noise, trajectory by trajectory."""

import numpy as np
import pytest
from environments_of_tests import pendulum, zoo
from support import CASES, reference_problem, w1

import mcgrad as mg

PATHWISE = {"PW": mg.estimators.reparameterization()}


def returns(problem, theta, count, machine):
    path = mg.rollout(problem, theta, count, seed=4, machine=machine)
    weights = problem.weights()
    return path.rewards @ weights[:-1] + path.terminal * weights[-1]


def by_differences(problem, theta, count, machine="numpy"):
    """Return (N, P) derivatives of the return by central differences, extrapolated once (Richardson)."""
    columns = []
    for p in range(len(theta)):
        estimates = []
        for h in (2e-4, 1e-4):
            shift = np.zeros(len(theta))
            shift[p] = h
            up, down = (returns(problem, theta + sign * shift, count, machine) for sign in (1, -1))
            estimates.append((up - down) / (2 * h))
        columns.append((4 * estimates[1] - estimates[0]) / 3)
    return np.array(columns).T


def problems():
    yield "W1", w1(horizon=15, learn_std=True, discount=0.95)
    yield "pendulum", pendulum()
    yield "zoo", zoo()
    for case in CASES:
        if case["id"] in ("S04", "S07", "S09"):
            yield case["id"], reference_problem(case["system"])


@pytest.mark.parametrize(("name", "pair"), list(problems()), ids=lambda x: x if isinstance(x, str) else "")
def test_pathwise_equals_finite_differences(name, pair):
    problem, theta = pair
    expected = by_differences(problem, theta, 200)
    for machine in ("numpy", "simd"):
        found = mg.sample(problem, theta, PATHWISE, 200, seed=4, machine=machine)["PW"]
        # A kink within h of a trajectory spoils its difference, not its derivative; `zoo` has three.
        error = np.abs(found - expected) / np.abs(expected).max(axis=0)
        assert np.quantile(error, 0.98 if name == "zoo" else 1.0) < 1e-6


def test_the_score_of_a_log_density_is_derived():
    problem, theta = pendulum(horizon=10)
    derived = mg.sample(problem, theta, {"Z": mg.estimators.score()}, 100, machine="numpy")["Z"]
    path = mg.rollout(problem, theta, 100, machine="numpy")
    s = path.states[:, :-1]
    features = np.stack([np.sin(s[:, :, 0]), np.cos(s[:, :, 0]), s[:, :, 1]], axis=2)
    expected = np.einsum("nt,ntf->nf", path.noise.action[:, :, 0] / 0.3, features)
    np.testing.assert_allclose(derived, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pair", [pendulum(horizon=10), zoo()], ids=["pendulum", "zoo"])
def test_score_function_and_pathwise_have_one_mean(pair, seed):
    problem, theta = pair
    found = mg.measure(
        problem, theta, {"SF": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}, 400_000, seed
    )
    difference = found["SF"].mean - found["PW"].mean
    variance = found["SF"].variance + found["PW"].variance - 2 * found.covariance("SF", "PW")
    assert np.max(np.abs(difference) / np.sqrt(variance / 400_000)) < 5


def test_a_deterministic_policy_is_back_propagation_through_time():
    problem, theta = w1(horizon=15, std=0.0)
    found = mg.sample(problem, theta, PATHWISE, 50, seed=4)["PW"]
    expected = by_differences(problem, theta, 50)
    assert np.max(np.abs(found - expected)) < 1e-6 * np.abs(expected).max()
    with pytest.raises(ValueError, match=r"no score function here: the policy's covariance is singular.*reparam"):
        mg.measure(problem, theta, {"SF": mg.estimators.score_function()}, 10)
