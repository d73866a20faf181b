"""Covariances between parameters, weights over time, Fisher matrices and Hessians, against the dense referee."""

import lq_leaves as lq
import numpy as np
import pytest
from exact_cases import random_system
from exact_dense import Dense, covariance, expectation
from lq_leaves import covariance_matrix, step_variances, theory_of, trajectory_fisher, weighted_variance

from mcgrad.exact.linear_quadratic.hessian import (
    directional_system,
    hessian_vector_product,
    hessian_vector_product_variance,
)

SHAPES = [(0, 1, 1, 4), (1, 2, 1, 3), (5, 2, 2, 2)]


@pytest.mark.parametrize(("seed", "n", "m", "T"), SHAPES)
def test_covariances_between_parameters(seed, n, m, T):
    system = random_system(seed, n, m, T)
    dense, P = Dense(system), system.parameters
    constants = np.linspace(-2.0, 3.0, P)
    pairs = [
        (lq.ScoreFunction(constants), [dense.score_function(p, constants[p]) for p in range(P)]),
        (lq.RewardToGo(lq.value_baseline(system)), [dense.reward_to_go(p, dense.values) for p in range(P)]),
        (lq.Reparameterization(), [dense.pathwise(p) for p in range(P)]),
        (lq.Score(), [dense.score(p) for p in range(P)]),
    ]
    for X, xs in pairs:
        for Y, ys in pairs:
            found = covariance_matrix(system, X, Y)
            for p, q in ((0, P - 1), (P - 1, 0), (0, 1), (P - 1, P - 1)):
                spread = np.sqrt(covariance(xs[p], xs[p]) * covariance(ys[q], ys[q]))
                assert abs(found[p, q] - covariance(xs[p], ys[q])) < 1e-10 * spread
            np.testing.assert_allclose(found, covariance_matrix(system, Y, X).T, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(np.diag(found), lq.covariance(system, X, Y), rtol=1e-10, atol=1e-10)


def test_many_parameters_go_in_blocks():
    system = random_system(3, 4, 3, 60, discount=1.0)
    X = lq.Reparameterization()
    found = covariance_matrix(system, X, X)
    np.testing.assert_allclose(np.diag(found), lq.variance(system, X), rtol=1e-10)
    assert np.linalg.eigvalsh(found).min() > 0


# ---- weights over time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "n", "m", "T"), SHAPES)
def test_weights_over_time(seed, n, m, T):
    system = random_system(seed, n, m, T)
    dense, P = Dense(system), system.parameters
    k, w = np.random.default_rng(seed).normal(size=(2, T, P))
    for forms, referee in ((None, None), (lq.value_baseline(system), dense.values)):
        found = weighted_variance(system, k, w, forms)
        of_path, of_score = step_variances(system, forms)
        for p in range(P):
            score = dense.reward_to_go(p, referee)
            X = dense.pathwise(p, k[:, p]) + [(w[t, p] * z, G) for t, (z, G) in enumerate(score)]
            assert found[p] == pytest.approx(covariance(X, X), rel=1e-10)
            t = T - 2
            alone = dense.pathwise(p, np.eye(T)[t])
            assert of_path[t, p] == pytest.approx(covariance(alone, alone), rel=1e-9)
            assert of_score[t, p] == pytest.approx(covariance([score[t]], [score[t]]), rel=1e-9)


def test_weights_of_one_are_the_whole():
    system = random_system(7, 3, 2, 30, discount=1.0)
    T, P = system.horizon, system.parameters
    one, none, X = np.ones((T, P)), np.zeros((T, P)), lq.RewardToGo()
    np.testing.assert_allclose(weighted_variance(system, none, one), lq.variance(system, X), rtol=1e-11)
    pathwise = lq.variance(system, lq.Reparameterization())
    np.testing.assert_allclose(weighted_variance(system, one, none), pathwise, rtol=1e-11)
    both = lq.combination_variance(system, [(0.3, lq.Reparameterization()), (0.7, X)])
    np.testing.assert_allclose(weighted_variance(system, 0.3 * one, 0.7 * one), both, rtol=1e-10)


# ---- Fisher matrices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "n", "m", "T"), SHAPES)
def test_fisher(seed, n, m, T):
    system = random_system(seed, n, m, T)
    dense, P = Dense(system), system.parameters
    found = trajectory_fisher(system)
    np.testing.assert_allclose(found, covariance_matrix(system, lq.Score(), lq.Score()), rtol=1e-10, atol=1e-10)
    for p in range(P):
        for q in range(P):
            assert abs(found[p, q] - covariance(dense.score(p), dense.score(q))) < 1e-10 * found[p, p]


def test_the_natural_gradient_of_one_step_is_that_of_the_compatible_critic():
    """-2 Sigma F_0 for the gain, whatever the states: the weights of a critic linear in the score [Peters & Schaal 2008].

    The advantage is A_0 = -(2 u^T F_0 s + ...), its regression on the scores (Sigma^-1 u)_i s_j has the weights -2 Sigma F_0.
    """
    system = random_system(11, 3, 2, 1)
    _, _, F, _ = lq.values.riccati(system)
    gain = theory_of(system).natural_gradient()[: system.K.size].reshape(system.K.shape)
    np.testing.assert_allclose(gain, -2 * system.policy_cov @ F[0], rtol=1e-10)


def test_exploration_or_process_noise():
    """The stochastic policy has the gradient of the deterministic one with its noise in the dynamics [Todorov 2025]."""
    options = dict(learn_scale=False)
    system = random_system(4, 3, 2, 6, **options)
    noise = system.W + system.B @ system.policy_cov @ system.B.T
    quiet = random_system(4, 3, 2, 6, **options, L=np.zeros((2, 2)), W=noise)
    np.testing.assert_allclose(lq.gradient(quiet), lq.gradient(system), rtol=1e-12)


# ---- Hessians --------------------------------------------------------------------------------------------------------


def moved(seed, n, m, T, v, alpha):
    """Return the random system at theta + alpha v."""
    system = random_system(seed, n, m, T)
    K = system.K + alpha * v[: m * n].reshape(m, n)
    return random_system(seed, n, m, T, K=K, L=np.exp(alpha * v[m * n :])[:, None] * system.L)


def derivative(f, h=1e-3):
    """Return f'(0) by differences of order six."""
    return sum(c * f(k * h) for k, c in zip((-3, -2, -1, 1, 2, 3), (-1, 9, -45, 45, -9, 1), strict=True)) / (60 * h)


@pytest.mark.parametrize(("seed", "n", "m", "T"), SHAPES)
def test_hessian_vector_products(seed, n, m, T):
    system = random_system(seed, n, m, T)
    P = system.parameters
    v, u = np.random.default_rng(seed).normal(size=(2, P))
    found = hessian_vector_product(system, v)
    expected = derivative(lambda h: lq.gradient(moved(seed, n, m, T, v, h)))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert u @ found == pytest.approx(v @ hessian_vector_product(system, u), rel=1e-11)
    big, _ = directional_system(system, v)
    assert lq.objective(big) == pytest.approx(v @ lq.gradient(system), rel=1e-11)

    variance = hessian_vector_product_variance(system, v)
    for p in range(P):
        form = derivative(lambda h, p=p: Dense(moved(seed, n, m, T, v, h)).pathwise(p)[0][0])
        assert expectation([(form,)]) == pytest.approx(found[p], rel=1e-8)
        assert variance[p] == pytest.approx(covariance([(form,)], [(form,)]), rel=1e-8)
