"""Optimal baselines, mixtures, control variates and groups of the tabular theory, against enumeration."""

import itertools

import numpy as np
import pytest
import tabular_leaves as tb
from tabular_cases import Enumeration, random_problem, system_of

from mcgrad import estimators as E
from mcgrad.exact import algebra


@pytest.fixture(scope="module")
def pair():
    problem = random_problem(11, S=3, A=2, T=3)
    return system_of(problem), Enumeration(problem)


def least_squares(every, x, basis):
    """The coefficients c (K,) that minimise Var(x - basis c) over the trajectories, x (N,), basis (N, K), and that."""
    root = np.sqrt(every.p)[:, None]
    columns = np.column_stack([np.ones(len(x)), basis])
    c = np.linalg.lstsq(root * columns, root[:, 0] * x, rcond=1e-12)[0]
    left = x - basis @ c[1:]
    return c[1:], every.covariance(left, left)


def test_constants(pair):
    system, every = pair
    X, x = tb.ScoreFunction(0.2), every.total(0.2)
    b = tb.optimal_constant(system, X)
    for p in range(system.parameters):
        best, left = least_squares(every, x[:, p], every.Z[:, p : p + 1])
        np.testing.assert_allclose(b[p], best[0], rtol=1e-9)
        np.testing.assert_allclose(tb.variance(system, tb.ScoreFunction(0.2 + b))[p], left, rtol=1e-9)
    shared = tb.total_optimal_constant(system, X)
    at, near = (tb.variance(system, tb.ScoreFunction(0.2 + shared + d)).sum() for d in (0.0, 1e-3))
    curvature = tb.variance(system, tb.Score()).sum()
    np.testing.assert_allclose(near - at, 1e-6 * curvature, rtol=1e-6)  # the bottom of a parabola


def test_one_number_for_each_time(pair):
    system, every = pair
    X, x = tb.RewardToGo(tb.value_baseline(system)), every.reward_to_go(every.V)
    b = tb.optimal_time_baseline(system, X)
    var = tb.variance(system, tb.RewardToGo(tb.value_baseline(system) + tb.time_baseline(system, b)))
    for p in range(system.parameters):
        best, left = least_squares(every, x[:, p], every.z[:, :, p])
        np.testing.assert_allclose(b[:, p], best, rtol=1e-9)
        np.testing.assert_allclose(var[p], left, rtol=1e-9)
    shared = tb.total_optimal_time_baseline(system, X)
    stacked, basis = x.T.ravel(), np.concatenate(every.z.transpose(2, 0, 1))
    weights = np.sqrt(np.tile(every.p, system.parameters))
    centred = stacked - np.repeat(every.mean(x), len(every.p))
    best = np.linalg.lstsq(weights[:, None] * basis, weights * centred, rcond=1e-12)[0]
    np.testing.assert_allclose(shared, best, rtol=1e-9)


def test_one_number_for_each_time_and_state(pair):
    """The best of all baselines, parameter by parameter and for the trace."""
    system, every = pair
    X, x = tb.RewardToGo(), every.reward_to_go()
    b = tb.optimal_state_baseline(system, X)
    var = tb.variance(system, tb.RewardToGo(b))
    for p in range(system.parameters):
        basis = np.stack([every.z[:, t, p] * (every.s[:, t] == s) for t in range(every.T) for s in range(every.S)], 1)
        best, left = least_squares(every, x[:, p], basis)
        live = ~system.ends
        np.testing.assert_allclose(b[:, live, p], best.reshape(every.T, every.S)[:, live], rtol=1e-8)
        np.testing.assert_allclose(var[p], left, rtol=1e-9)
    assert not b[:, system.ends].any()
    # none of the others is better
    for other in (
        tb.value_baseline(system),
        tb.mean_to_go_baseline(system),
        tb.naive_state_baseline(system),
        tb.time_baseline(system, tb.naive_time_baseline(system)),
        tb.time_baseline(system, tb.optimal_time_baseline(system, X)),
    ):
        assert (tb.variance(system, tb.RewardToGo(other)) >= var).all()
    shared = tb.state_baseline(system, tb.total_optimal_state_baseline(system, X))
    total = tb.variance(system, tb.RewardToGo(shared)).sum()
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = shared + 1e-2 * rng.normal(size=shared.shape)
        assert tb.variance(system, tb.RewardToGo(other)).sum() > total


def test_naive_baselines(pair):
    system, every = pair
    for t in range(every.T):
        z2 = every.z[:, t] ** 2
        np.testing.assert_allclose(
            tb.naive_time_baseline(system)[t], every.mean(z2 * every.to_go[:, t, None]) / every.mean(z2), rtol=1e-11
        )
        here = (every.s[:, t] == 0)[:, None]
        expected = every.mean(z2 * here * every.to_go[:, t, None]) / every.mean(z2 * here)
        np.testing.assert_allclose(tb.naive_state_baseline(system)[t, 0], expected, rtol=1e-11)


def test_mixtures_and_control_variates(pair):
    system, every = pair
    theory, x = tb.theory_of(system), every.reward_to_go()
    y = every.weighted(every.at_actions(every.Q) - every.at_states(every.V))
    X, Y = E.reward_to_go(), E.advantage()
    chosen = E.mixture(X, Y), E.control_variate(X, E.score()), E.control_variate(X, E.score(), full=True)
    (alpha,), (c,), (C,) = (algebra.coefficients(theory, estimator) for estimator in chosen)
    left = [algebra.variance(theory, estimator) for estimator in chosen]
    np.testing.assert_allclose(tb.fisher(system), np.einsum("n,np,nq->pq", every.p, every.Z, every.Z), rtol=1e-11)
    for p in range(system.parameters):
        for found, variance, (target, basis) in (
            (alpha[p : p + 1], left[0][p], (y[:, p], (x - y)[:, p : p + 1])),
            (c[p : p + 1], left[1][p], (x[:, p], every.Z[:, p : p + 1])),
            (C[p], left[2][p], (x[:, p], every.Z)),  # which are linearly dependent: coefficients are not unique
        ):
            best, least = least_squares(every, target, basis)
            np.testing.assert_allclose(basis @ found, basis @ best, rtol=1e-8, atol=1e-9)
            np.testing.assert_allclose(variance, least, rtol=1e-9)


def test_combinations_are_what_they_are_on_each_trajectory(pair):
    """Differences, mixtures, matrices over parameters: all covariances, against sums over all trajectories."""
    system, every = pair
    theory, P = tb.theory_of(system), system.parameters
    rng = np.random.default_rng(5)
    x, y, z = every.reward_to_go(), every.weighted(every.at_actions(every.Q)), every.Z
    c, F, C = rng.normal(size=(1, P)), np.diag([1.0, 2.0, 3.0]) + 0.5, rng.normal(size=(1, P, P))
    inverse, w = np.linalg.inv(F), np.array([[0.3] * P, [0.7] * P])
    X, Y, Z = E.reward_to_go(), E.q_function(), E.score()
    chosen = {
        "difference": (E.difference(X, Y), x - y),
        "control": (E.control_variate(X, Z, c), x - c * z),
        "all controls": (E.control_variate(Y, Z, C, full=True), y - z @ C[0].T),
        "weights": (E.inverse_variance(X, Y, weights=w), 0.3 * x + 0.7 * y),
        "alpha": (E.alpha_order(X, Y, 1.0, alpha=0.2), 0.2 * x + 0.8 * y),
        "natural": (E.natural(X, F), x @ inverse.T),
        "natural, controlled": (E.natural(E.control_variate(X, Z, c), F), (x - c * z) @ inverse.T),
        "controlled, natural": (E.control_variate(E.natural(X, F), Z, c), x @ inverse.T - c * z),
        "natural twice": (E.natural(E.natural(X, F), F), x @ inverse.T @ inverse.T),
    }
    for name, (one, a) in chosen.items():
        np.testing.assert_allclose(algebra.mean(theory, one), every.mean(a), atol=1e-13, err_msg=name)
        for other, b in chosen.values():
            truth = every.covariance(a, b)
            np.testing.assert_allclose(algebra.covariance(theory, one, other), truth, rtol=1e-10, atol=1e-12)
        full = np.einsum("n,np,nq->pq", every.p, a - every.mean(a), y - every.mean(y))
        np.testing.assert_allclose(algebra.covariance_matrix(theory, one, Y), full, rtol=1e-10, atol=1e-12)
    assert np.abs(algebra.covariance(theory, *[chosen["natural"][0]] * 2) - every.covariance(x, x)).max() > 1e-3


@pytest.mark.parametrize("size", [2, 3])
def test_groups(size):
    """Over all groups of trajectories of a problem with 20 of them or so."""
    problem = random_problem(12, S=2, A=2, T=2, P=2, rewards=1)
    problem.rewards += 1.0
    system, every = system_of(problem), Enumeration(problem)
    groups = np.array(list(itertools.product(range(len(every.p)), repeat=size)))
    p, R, Z = every.p[groups].prod(axis=1), every.R[groups], every.Z[groups]
    others = (R.sum(axis=1, keepdims=True) - R) / (size - 1)
    one_out = np.mean((R - others)[..., None] * Z, axis=1)
    same = np.mean((R - R.mean(axis=1, keepdims=True))[..., None] * Z, axis=1)
    g, theory = tb.gradient(system), tb.theory_of(system)
    np.testing.assert_allclose(p @ one_out, g, atol=1e-14)
    loo, batch = E.leave_one_out(size), E.same_batch_mean(size)
    np.testing.assert_allclose(algebra.mean(theory, loo), g, atol=1e-14)
    np.testing.assert_allclose(p @ same, algebra.mean(theory, batch), atol=1e-14)
    np.testing.assert_allclose(algebra.variance(theory, loo), p @ (one_out - g) ** 2, rtol=1e-11)
    np.testing.assert_allclose(algebra.variance(theory, batch), p @ (same - p @ same) ** 2, rtol=1e-11)
    # Its first member is the plain rollout; so are those of another group, one after the other.
    x = every.reward_to_go()[groups[:, 0]]
    truth = p @ ((one_out - g) * (x - g))
    np.testing.assert_allclose(algebra.covariance(theory, loo, E.reward_to_go()), truth, rtol=1e-10, atol=1e-13)
    own, scores = E.control_variate(loo, E.score()), Z[:, 0]
    left = p @ (one_out - g) ** 2 - (p @ ((one_out - g) * scores)) ** 2 / (p @ scores**2)
    np.testing.assert_allclose(algebra.variance(theory, own), left, rtol=1e-10)
    if size == 3:
        two = np.mean((R[:, :2] - R[:, 1::-1])[..., None] * Z[:, :2], axis=1)
        truth = p @ ((one_out - g) * (two - g))
        np.testing.assert_allclose(algebra.covariance(theory, loo, E.leave_one_out(2)), truth, rtol=1e-10, atol=1e-13)
