"""The average reward of linear-quadratic problems, against finite differences, long horizons and scalar formulas."""

from dataclasses import replace

import lq_leaves as lq
import numpy as np
import pytest
from exact_cases import canonical, random_system

from mcgrad.exact.linear_quadratic import average


def average_gradient_by_perturbation(system):
    """dJ/dtheta from dS = Acl dS Acl^T + (the derivative of the rest), the witness of the theorem: (P,)."""
    S, B, K, R = average.stationary_covariance(system), system.B, system.K, system.R
    stage, found = system.Q + K.T @ R @ K, []
    for i, j in np.ndindex(K.shape):
        D = np.zeros_like(K)
        D[i, j] = 1.0
        moved = B @ D @ S @ system.closed.T
        dS = average.lyapunov(system, system.closed, moved + moved.T)
        found.append(-np.sum(stage * dS) - 2 * np.sum((D.T @ R @ K) * S))
    for i in range(system.actions if system.learn_scale else 0):
        spread = np.zeros_like(system.L)
        spread[i] = system.policy_cov[i]
        spread = spread + spread.T
        found.append(-np.sum(stage * average.lyapunov(system, system.closed, B @ spread @ B.T)) - np.sum(R * spread))
    return np.array(found)


def stable(n=3, m=2, seed=5):
    """A random system with a gain that leaves a spectral radius of 0.8, centred."""
    system = random_system(seed, n, m, 10, discount=1.0, mean=np.zeros(n))
    A = system.closed * 0.8 / np.abs(np.linalg.eigvals(system.closed)).max() - system.B @ system.K
    return replace(system, A=A, Qf=np.zeros((n, n)))


def test_the_gradient_four_ways():
    """Theorem, derivative of the stationary covariance, finite differences, one more step of a long horizon."""
    system = stable()
    g = average.average_gradient(system)
    assert g.shape == (system.parameters,) and np.abs(g).min() > 1e-3
    np.testing.assert_allclose(average_gradient_by_perturbation(system), g, rtol=1e-11)
    one_more = lq.gradient(replace(system, horizon=301)) - lq.gradient(replace(system, horizon=300))
    np.testing.assert_allclose(one_more, g, rtol=1e-9)
    step, slopes = 1e-5, []
    for p in range(system.parameters):
        values = []
        for s in (step, -step):
            K, scale = system.K.copy(), np.ones(system.actions)
            if p < K.size:
                K.flat[p] += s
            else:
                scale[p - K.size] = np.exp(s)
            values.append(average.average_reward(replace(system, K=K, L=scale[:, None] * system.L)))
        slopes.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(slopes, g, rtol=1e-6)


def test_reward_value_and_covariance():
    system = stable()
    S, J, (P, c) = (
        f(system) for f in (average.stationary_covariance, average.average_reward, average.differential_value)
    )
    np.testing.assert_allclose(S, system.closed @ S @ system.closed.T + system.noise @ system.noise.T, rtol=1e-12)
    np.testing.assert_allclose(
        lq.objective(replace(system, horizon=301)) - lq.objective(replace(system, horizon=300)), J
    )
    long, tail = lq.value(replace(system, horizon=300)), -300 * J
    np.testing.assert_allclose(long[0][0], P, rtol=1e-11)
    # V(s) = lim V_0(s) - T J, up to what the last state is worth, which is E V = 0
    np.testing.assert_allclose(long[1][0] - tail, c, rtol=1e-9)
    F, U = average.differential_advantage(system)
    np.testing.assert_allclose(F, system.R @ system.K + system.B.T @ P @ system.closed)
    np.testing.assert_allclose(U, system.R + system.B.T @ P @ system.B)
    # Bellman: V(s) = E[r - J + V(s_next)] for some states, by the moments of a and s_next
    for s in np.random.default_rng(0).normal(size=(4, 3)):
        a, after = system.K @ s, system.closed @ s
        reward = -(s @ system.Q @ s + a @ system.R @ a + np.sum(system.R * system.policy_cov))
        following = -(after @ P @ after + np.sum(P * (system.noise @ system.noise.T)) + c)
        np.testing.assert_allclose(-(s @ P @ s + c), reward - J + following, rtol=1e-10)


def test_scalar_formulas():
    """The canonical problem, pole F = .6: S = (b^2 sigma^2 + W) / (1 - F^2)."""
    system = canonical(10)
    a, b, k, q, r, sigma, W = 0.9, 0.5, -0.6, 1.0, 0.1, 0.5, 0.04
    F = a + b * k
    S, slope = (b**2 * sigma**2 + W) / (1 - F**2), 2 * F * b * (b**2 * sigma**2 + W) / (1 - F**2) ** 2
    np.testing.assert_allclose(average.stationary_covariance(system), S)
    np.testing.assert_allclose(average.average_reward(system), -(q + k**2 * r) * S - r * sigma**2)
    np.testing.assert_allclose(average.average_gradient(system)[0], -(q + k**2 * r) * slope - 2 * k * r * S)


def test_an_unstable_gain_is_refused():
    system = replace(stable(), A=2 * np.eye(3), K=np.zeros((2, 3)))
    for f in (average.average_reward, average.average_gradient, average.differential_value):
        with pytest.raises(ValueError, match="K: expected a stable"):
            f(system)
