"""The best constant gain and the infinite-horizon gain: published numbers, other optimisers, what has no maximum."""

from dataclasses import replace

import numpy as np
import pytest
from exact_cases import canonical, random_system
from scipy.optimize import minimize, minimize_scalar

from mcgrad.exact.linear_quadratic import System
from mcgrad.exact.linear_quadratic.optimum import infinite_horizon_gain, optimum
from mcgrad.exact.linear_quadratic.values import gradient, objective


def recht(horizon=10, **changes):
    """The double integrator with its cost on the next state; the cost on s_0 is the constant 1."""
    zero, Q = np.zeros((2, 2)), np.diag([1.0, 0.0])
    arrays = dict(A=[[1.0, 1], [0, 1]], B=[[0.0], [1]], K=[[0.0, 0]], L=[[0.0]], Q=Q, R=[[1.0]], Qf=Q, W=zero, cov=zero)
    return System(**{**arrays, "mean": [-1.0, 0.0], "horizon": horizon, **changes})


def time_varying_cost(system):
    """Expected cost of the time-varying optimum without noise, by dynamic programming."""
    A, B, P = system.A, system.B, system.Qf
    for _ in range(system.horizon):
        K = -np.linalg.solve(system.R + B.T @ P @ B, B.T @ P @ A)
        P = system.Q + A.T @ P @ (A + B @ K)
    return system.mean @ P @ system.mean


def definite(seed, n, m, T, **changes):
    """Random dynamics, positive definite costs."""
    system = random_system(seed, n, m, T, learn_scale=False)
    costs = {k: getattr(system, k) @ getattr(system, k).T + 0.1 * np.eye(d) for k, d in (("Q", n), ("R", m), ("Qf", n))}
    return replace(system, **{**costs, **changes})


def test_double_integrator():
    system = recht()
    K = infinite_horizon_gain(system)
    np.testing.assert_allclose(K, [[-0.48053382, -1.24962107]], atol=5e-9)
    assert np.abs(np.linalg.eigvals(system.A + system.B @ K)).max() == pytest.approx(0.480534, abs=1e-6)
    # the published infinite-horizon cost is a trace over unit starts, cost on s_0 included
    long = recht(200, K=K, mean=np.zeros(2), cov=np.eye(2))
    assert -objective(long) == pytest.approx(5.931125245, abs=1e-9)
    best = optimum(system)
    assert -objective(system) - 1 == pytest.approx(10)
    assert time_varying_cost(system) - 1 == pytest.approx(1.600481605, abs=1e-9)
    stationary = -objective(replace(system, K=K)) - 1
    assert 1.600481605 < -best.objective - 1 < stationary
    assert best.gradient_norm < 1e-7
    assert best.objective == objective(replace(system, K=best.gain))


@pytest.mark.parametrize(("horizon", "std", "K"), [(1, 0.5, -0.6), (3, 0.1, 5.0), (10, 0.5, -0.6), (60, 3.0, -4.0)])
def test_scalar(horizon, std, K):
    system = canonical(horizon, std=std, K=K)
    truth = minimize_scalar(lambda k: -objective(replace(system, K=[[k]])), bounds=(-3, 1), options=dict(xatol=1e-10))
    best = optimum(system)
    assert best.gain[0, 0] == pytest.approx(truth.x, abs=3e-7)
    assert best.objective >= -truth.fun * (1 + 1e-14) - 1e-14
    assert best.gradient_norm < 1e-8 * (1 + abs(best.objective))


@pytest.mark.parametrize("seed", range(6))
def test_no_better_maximum(seed):
    """BFGS from other starts finds nothing better; the time-varying control does."""
    system = definite(seed, 2, 2, 4)
    best, rng = optimum(system), np.random.default_rng(seed)

    def cost(x):
        here = replace(system, K=x.reshape(2, 2))
        return -objective(here), -gradient(here)

    for _ in range(5):
        other = minimize(cost, best.gain.ravel() + rng.normal(size=4), jac=True, method="BFGS")
        assert -other.fun <= best.objective + 1e-9 * abs(best.objective)
    assert best.gradient_norm < 1e-8 * abs(best.objective)


def test_long_horizon_is_the_infinite_one():
    system = definite(3, 3, 2, 150, discount=0.8, terminal_weight=0.0, Qf=np.zeros((3, 3)))
    np.testing.assert_allclose(optimum(system).gain, infinite_horizon_gain(system), atol=1e-8)
    # stationary without a discount: only the transients differ, a share of 1 / T
    system = definite(3, 3, 2, 100, discount=1.0)
    ends = [np.abs(optimum(replace(system, horizon=T)).gain - infinite_horizon_gain(system)).max() for T in (100, 200)]
    assert ends[0] / ends[1] == pytest.approx(2, rel=0.1)


def test_discount_zero_and_units():
    np.testing.assert_allclose(infinite_horizon_gain(canonical(5, discount=0.0)), 0.0, atol=1e-15)
    small, large = canonical(5), canonical(5)
    large = replace(large, Q=1e6 * large.Q, R=1e6 * large.R)
    np.testing.assert_allclose(optimum(small).gain, optimum(large).gain, rtol=1e-8)
    assert optimum(large).objective == pytest.approx(1e6 * optimum(small).objective, rel=1e-13)


def test_unstable_and_unstabilisable():
    """An unstable mode that no action reaches: no infinite-horizon gain, but over a finite horizon there is a best."""
    A, B = np.array([[1.2, 0.0], [0.3, 1.1]]), np.array([[0.0], [1.0]])
    system = recht(6, A=A, B=B, Q=np.eye(2), Qf=np.eye(2), mean=[1.0, 1.0], L=[[0.2]])
    with pytest.raises(ValueError, match="stabilisable"):
        infinite_horizon_gain(system)
    best = optimum(system)
    assert best.gradient_norm < 1e-7 and best.objective > objective(system)


def test_learned_scales_are_left_alone():
    system = definite(2, 2, 1, 4)
    assert optimum(replace(system, learn_scale=True)).gain.shape == (1, 2)
    np.testing.assert_allclose(optimum(replace(system, learn_scale=True)).gain, optimum(system).gain)


def test_directions_that_do_not_matter():
    """A state component that is always zero: the gain on it is free, the rest is found."""
    zero = np.zeros((2, 2))
    system = recht(5, A=np.diag([0.9, 0.9]), B=[[0.5], [0.0]], mean=[1.0, 0.0], W=zero)
    best = optimum(system)
    assert best.gradient_norm < 1e-8 and abs(best.gain[0, 0]) > 0.1
    nothing = optimum(recht(3, B=[[0.0], [0.0]], R=[[0.0]]))
    assert nothing.gradient_norm == 0


@pytest.mark.parametrize(
    "system",
    [replace(canonical(1), R=[[-1.0]])] + [random_system(seed, 2, 1, 4) for seed in (0, 3, 5, 7, 10)],
)
def test_unbounded(system):
    with pytest.raises(ValueError, match="unbounded"):
        optimum(system)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (recht(R=[[-1.0]]), "R that is not negative"),
        (recht(Q=np.zeros((2, 2))), "unit circle"),  # poles on the unit circle that cost nothing
        (canonical(5, discount=-0.5), "discount"),
    ],
)
def test_no_infinite_horizon(system, message):
    with pytest.raises(ValueError, match=message):
        infinite_horizon_gain(system)
