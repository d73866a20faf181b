"""Average reward: against power iteration, finite differences, long horizons, and enumeration of windows."""

import numpy as np
import pytest
import tabular_leaves as tb
from tabular_cases import Enumeration, random_problem, system_of

from mcgrad.exact.tabular import average


def continuing(seed=31, S=4, A=2, **options):
    return random_problem(seed, S=S, A=A, ends=False, terminal=False, **{"discount": 1.0, **options})


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
    np.testing.assert_allclose(average.fundamental_matrix(system) @ (mean - J), V, atol=1e-13)


def test_the_gradient_four_ways(pair):
    """Theorem, perturbation of mu, finite differences, and what one more step adds to the gradient of a long horizon."""
    problem, system = pair
    g = average.gradient(system)
    np.testing.assert_allclose(average.gradient_by_perturbation(system), g, atol=1e-13)
    step, slopes, moved = 1e-5, [], []
    for unit in step * np.eye(len(g)):
        up, down = (
            system_of(problem, policy=tb.softmax(problem.features @ (problem.theta + s * unit))) for s in (1, -1)
        )
        slopes.append((average.average_reward(up) - average.average_reward(down)) / (2 * step))
        moved.append((average.stationary_distribution(up) - average.stationary_distribution(down)) / (2 * step))
    np.testing.assert_allclose(g, slopes, atol=1e-9)
    np.testing.assert_allclose(average.distribution_gradient(system), np.transpose(moved), atol=1e-9)
    one_more = tb.gradient(system_of(problem, horizon=201)) - tb.gradient(system_of(problem, horizon=200))
    np.testing.assert_allclose(g, one_more, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_windows(steps, bootstrap):
    """Mean, bias and variance over all windows of steps + 1 steps from the stationary distribution."""
    problem = continuing(32, S=3, T=steps + 1)
    system = system_of(problem)
    problem.start = average.stationary_distribution(system)
    every = Enumeration(problem)
    J, (V, _) = average.average_reward(system), average.differential_values(system)
    W = np.sum(every.r - J, axis=1) + (V[every.s[:, -1]] if bootstrap else 0.0)
    b = np.array([0.3, -0.2, 0.5])
    g = average.gradient(system)
    for baseline, subtracted in [(0.0, np.zeros(3)), (b, b), ("value", V)]:
        X = average.Window(steps, bootstrap, baseline)
        x = (W - subtracted[every.s[:, 0]])[:, None] * every.z[:, 0]
        np.testing.assert_allclose(average.mean(system, X), every.mean(x), atol=1e-14)
        np.testing.assert_allclose(average.bias(system, X), every.mean(x) - g, atol=1e-14)
        np.testing.assert_allclose(average.variance(system, X), every.covariance(x, x), rtol=1e-11)
    if bootstrap:
        assert np.abs(average.mean(system, X) - g).max() < 1e-14
    else:
        assert np.abs(average.bias(system, X)).max() > 1e-4  # seen by the comparisons above


def test_critics_and_all_actions():
    problem = continuing(33, S=3, T=1)
    system = system_of(problem)
    problem.start = average.stationary_distribution(system)
    every = Enumeration(problem)
    V, Q = average.differential_values(system)
    s, a = every.s[:, 0], every.a[:, 0]
    g = average.gradient(system)
    for baseline, subtracted in [(0.0, np.zeros(3)), (0.7, np.full(3, 0.7)), ("value", V)]:
        X, x = average.Critic(baseline), (Q[s, a] - subtracted[s])[:, None] * every.z[:, 0]
        np.testing.assert_allclose(average.mean(system, X), g, atol=1e-14)
        np.testing.assert_allclose(average.variance(system, X), every.covariance(x, x), rtol=1e-11)
    h = np.einsum("sa,sap->sp", every.pi * Q, every.of_actions)[s]
    np.testing.assert_allclose(every.mean(h), g, atol=1e-14)
    np.testing.assert_allclose(average.variance(system, average.AllActions()), every.covariance(h, h), rtol=1e-11)
    assert (average.variance(system, average.AllActions()) <= average.variance(system, average.Critic("value"))).all()
    error, left = average.Window(0, bootstrap=True, baseline="value"), average.Critic("value")
    assert (average.variance(system, left) < average.variance(system, error)).all()  # the surprise is gone


def test_optimal_baselines():
    system = system_of(continuing(34, S=3))
    X = average.Window(2)
    by_state, constant = average.optimal_state_baseline(system, X), average.optimal_constant(system, X)
    rng = np.random.default_rng(0)
    constant = np.broadcast_to(constant, by_state.shape)
    best = average.variance(system, average.Window(2, baseline=by_state))
    for b, moves in [(by_state, np.ones((3, 1))), (constant, np.ones((1, 1)))]:
        at = average.variance(system, average.Window(2, baseline=b))
        assert (at >= best * (1 - 1e-12)).all()
        for _ in range(5):
            other = b + 0.01 * rng.normal(size=moves.shape)
            assert (average.variance(system, average.Window(2, baseline=other)) > at).all()


def test_discounted_traces_are_biased(pair):
    """GPOMDP with a discount: against the values of a long discounted problem; the bias vanishes as it tends to 1."""
    problem, system = pair
    long = system_of(problem, discount=0.8, horizon=300)
    mu = average.stationary_distribution(system)
    expected = np.einsum("s,sa,sap->p", mu, system.policy * tb.action_value(long)[0], system.score)
    np.testing.assert_allclose(average.discounted_gradient(system, 0.8), expected, atol=1e-13)
    g = average.gradient(system)
    off = [np.abs(average.discounted_gradient(system, 1 - x) - g).max() for x in (1e-1, 1e-2, 1e-3, 1e-4)]
    assert off[0] > 1e-3 and np.allclose(np.array(off[2:]) / off[1:3], 0.1, rtol=0.1)


def test_bad_problems():
    with pytest.raises(ValueError, match="ends: expected none"):
        average.stationary_distribution(system_of(random_problem(1)))
    two = tb.System(np.eye(2)[:, None], np.zeros((2, 1)), [1, 0], np.ones((2, 1)), horizon=1)
    with pytest.raises(ValueError, match="one recurrent class"):
        average.average_reward(two)
    system = system_of(continuing())
    for call, message in [
        (lambda: average.variance(system, average.Window(-1)), "steps: expected an integer"),
        (lambda: average.variance(system, average.Critic("V")), "baseline: expected numbers"),
        (lambda: average.variance(system, average.Critic(np.zeros(2))), "baseline: expected a number or shape"),
        (lambda: average.discounted_gradient(system, 1.0), "discount: expected"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
