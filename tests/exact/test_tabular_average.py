"""Average reward: against power iteration, finite differences, long horizons, and enumeration of windows."""

import numpy as np
import pytest
import tabular_leaves as tb
from tabular_cases import random_problem, system_of

from mcgrad.exact.tabular import average


def continuing(seed=31, S=4, A=2, **options):
    return random_problem(seed, S=S, A=A, ends=False, terminal=False, **{"discount": 1.0, **options})


def fundamental_matrix(system):
    """M = (I - P_pi + 1 mu^T)^-1 [Schweitzer 1968]."""
    return np.linalg.inv(np.eye(system.states) - system.closed + average.stationary_distribution(system))


def distribution_gradient(system):
    """dmu/dtheta, dmu' = mu^T dP_pi M, by the perturbation formula: (S, P)."""
    visits = average.stationary_distribution(system)[:, None] * system.policy
    return fundamental_matrix(system).T @ np.einsum("sa,sax,sap->xp", visits, system.P, system.score)


def gradient_by_perturbation(system):
    """dJ/dtheta = dmu^T r_pi + mu^T dr_pi: (P,)."""
    visits = average.stationary_distribution(system)[:, None] * system.policy
    own = np.einsum("sa,sap->p", visits * system.mean_reward, system.score)
    return np.sum(system.policy * system.mean_reward, axis=1) @ distribution_gradient(system) + own


@pytest.fixture(scope="module")
def pair():
    problem = continuing()
    return problem, system_of(problem)


def test_stationary_distribution_and_values(pair):
    _, system = pair
    mu, power = average.stationary_distribution(system), np.linalg.matrix_power(system.closed, 4096)
    np.testing.assert_allclose(power, np.broadcast_to(mu, power.shape), rtol=1e-10)
    mean = np.sum(system.policy * system.mean_reward, axis=1)
    J = average.average_reward(system)
    V, Q = average.differential_values(system)
    np.testing.assert_allclose(J, mu @ mean, rtol=1e-13)
    walk, total = mean - J, 0.0
    for _ in range(300):
        total, walk = total + walk, system.closed @ walk
    np.testing.assert_allclose(V, total, atol=1e-12)
    np.testing.assert_allclose(np.sum(system.policy * Q, axis=1), V, atol=1e-13)  # Bellman
    np.testing.assert_allclose(mu @ V, 0.0, atol=1e-14)
    np.testing.assert_allclose(fundamental_matrix(system) @ (mean - J), V, atol=1e-13)


def test_the_gradient_four_ways(pair):
    """Theorem, perturbation of mu, finite differences, and what one more step adds to the gradient of a long horizon."""
    problem, system = pair
    g = average.gradient(system)
    np.testing.assert_allclose(gradient_by_perturbation(system), g, atol=1e-13)
    step, slopes, moved = 1e-5, [], []
    for unit in step * np.eye(len(g)):
        up, down = (
            system_of(problem, policy=tb.softmax(problem.features @ (problem.theta + s * unit))) for s in (1, -1)
        )
        slopes.append((average.average_reward(up) - average.average_reward(down)) / (2 * step))
        moved.append((average.stationary_distribution(up) - average.stationary_distribution(down)) / (2 * step))
    np.testing.assert_allclose(g, slopes, atol=1e-9)
    np.testing.assert_allclose(distribution_gradient(system), np.transpose(moved), atol=1e-9)
    one_more = tb.gradient(system_of(problem, horizon=201)) - tb.gradient(system_of(problem, horizon=200))
    np.testing.assert_allclose(g, one_more, atol=1e-12)


def test_bad_problems():
    with pytest.raises(ValueError, match="ends: expected none"):
        average.stationary_distribution(system_of(random_problem(1)))
    two = tb.System(np.eye(2)[:, None], np.zeros((2, 1)), [1, 0], np.ones((2, 1)), horizon=1)
    with pytest.raises(ValueError, match="one recurrent class"):
        average.average_reward(two)
