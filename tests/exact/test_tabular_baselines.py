"""Optimal baselines, mixtures, control variates and groups of the tabular theory, against enumeration."""

import itertools

import numpy as np
import pytest
from tabular_cases import Enumeration, random_problem, system_of

from mcgrad.exact import tabular as tb


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
    shared = tb.trace_optimal_constant(system, X)
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
    shared = tb.trace_optimal_time_baseline(system, X)
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
    shared = tb.state_baseline(system, tb.trace_optimal_state_baseline(system, X))
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
    X, Y, x = tb.RewardToGo(), tb.Advantage(), every.reward_to_go()
    y = every.weighted(every.at_actions(every.Q) - every.at_states(every.V))
    mixture = tb.optimal_mixture(system, X, Y)
    own, full = tb.score_control_variate(system, X), tb.full_score_control_variate(system, X)
    np.testing.assert_allclose(tb.fisher(system), np.einsum("n,np,nq->pq", every.p, every.Z, every.Z), rtol=1e-11)
    for p in range(system.parameters):
        alpha, left = least_squares(every, y[:, p], (y - x)[:, p : p + 1])
        np.testing.assert_allclose(mixture.weight[p], alpha[0], rtol=1e-9)
        np.testing.assert_allclose(mixture.variance[p], left, rtol=1e-9)
        c, left = least_squares(every, x[:, p], every.Z[:, p : p + 1])
        np.testing.assert_allclose([own.coefficient[p], own.variance[p]], [c[0], left], rtol=1e-9)
        c, left = least_squares(every, x[:, p], every.Z)
        np.testing.assert_allclose(full.coefficient[p], c, rtol=1e-8)
        np.testing.assert_allclose(full.variance[p], left, rtol=1e-9)
    parts = every.covariance(*[1.5 * x - 0.5 * y + np.array([1.0, 2.0, 3.0]) * every.Z] * 2)
    combined = [(1.5, X), (-0.5, Y), (np.array([1.0, 2.0, 3.0]), tb.Score())]
    np.testing.assert_allclose(tb.combination_variance(system, combined), parts, rtol=1e-10)


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
    g = tb.gradient(system)
    np.testing.assert_allclose(p @ one_out, g, atol=1e-14)
    np.testing.assert_allclose(p @ same, tb.same_batch_mean(system, size), atol=1e-14)
    np.testing.assert_allclose(tb.leave_one_out_variance(system, size), p @ (one_out - g) ** 2, rtol=1e-11)
    np.testing.assert_allclose(tb.same_batch_variance(system, size), p @ (same - p @ same) ** 2, rtol=1e-11)
