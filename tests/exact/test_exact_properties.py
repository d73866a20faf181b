"""Identities, degenerate systems, shapes and errors."""

from dataclasses import replace

import lq_leaves as exact
import numpy as np
import pytest
from exact_cases import canonical, random_system

from mcgrad import estimators as E
from mcgrad.estimators import kinds
from mcgrad.exact import algebra
from mcgrad.exact.linear_quadratic import covariances, values

SYSTEM = random_system(11, 3, 2, 5)
ESTIMATORS = [
    exact.ScoreFunction(2.0),
    exact.RewardToGo(),
    exact.RewardToGo(exact.value_baseline(SYSTEM)),
    exact.GeneralizedAdvantage(0.5),
    exact.ExactAdvantage(),
    exact.ExactAdvantage(value=True),
    exact.ActionControlVariate(),
    exact.ActionControlVariate(first_order=True),
    exact.AllActions(),
    exact.ValueGradient(),
    exact.Reparameterization(),
    exact.Score(),
]


def changed(system, **changes):
    """The same system with other arrays."""
    return replace(system, **changes)


def test_gradient_against_finite_differences():
    step, found = 1e-5, []
    for p in range(SYSTEM.parameters):
        ends = []
        for h in (step, -step):
            K, L = SYSTEM.K.copy(), SYSTEM.L.copy()
            if p < K.size:
                K.flat[p] += h
            else:
                L[p - K.size] *= np.exp(h)
            ends.append(exact.objective(changed(SYSTEM, K=K, L=L)))
        found.append((ends[0] - ends[1]) / (2 * step))
    np.testing.assert_allclose(found, exact.gradient(SYSTEM), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found, exact.mean(SYSTEM, exact.Reparameterization()), rtol=1e-7, atol=1e-8)


def test_gradient_to_go_is_the_gradient():
    """E H_0(s_0), built from the stages' all-action terms, is the closed form of the gradient."""
    H, k = values.gradient_to_go(SYSTEM, np.arange(SYSTEM.parameters))
    second = SYSTEM.cov + np.outer(SYSTEM.mean, SYSTEM.mean)
    np.testing.assert_allclose(np.sum(H[0] * second, axis=(1, 2)) + k[0], exact.gradient(SYSTEM), rtol=1e-12)


def test_mean_return_to_go_and_value():
    P, c = exact.value(SYSTEM)
    assert P.shape == (6, 3, 3) and c.shape == (6,) and c[-1] == 0
    to_go = exact.mean_return_to_go(SYSTEM)
    assert to_go.shape == (6,) and to_go[0] == exact.objective(SYSTEM)
    np.testing.assert_allclose(P[-1], 0.7 * (SYSTEM.Qf + SYSTEM.Qf.T) / 2)


def test_blocks_of_parameters_do_not_matter(monkeypatch):
    small = random_system(11, 3, 2, 5)
    monkeypatch.setattr(covariances, "BLOCK", 200)
    assert len(list(covariances.chains(small))) > 2
    forms = np.random.default_rng(0).normal(size=(5, 8, 4, 4))
    for X in [*ESTIMATORS, exact.RewardToGo(forms), exact.ScoreFunction(np.arange(8.0))]:
        for Y in (X, exact.Reparameterization(), exact.ScoreFunction(1.0)):
            np.testing.assert_allclose(
                exact.covariance(small, X, Y), exact.covariance(SYSTEM, X, Y), rtol=1e-11, atol=1e-11
            )
    np.testing.assert_allclose(exact.naive_time_baseline(small), exact.naive_time_baseline(SYSTEM), rtol=1e-12)
    np.testing.assert_allclose(
        exact.optimal_quadratic_baseline(small),
        exact.optimal_quadratic_baseline(SYSTEM),
        rtol=1e-6,
        atol=1e-6,
    )


def test_covariance_is_symmetric_and_bounded():
    for i, X in enumerate(ESTIMATORS):
        for Y in ESTIMATORS[:i]:
            both = exact.covariance(SYSTEM, X, Y)
            np.testing.assert_allclose(both, exact.covariance(SYSTEM, Y, X), rtol=1e-10, atol=1e-10)
            assert np.all(both**2 <= exact.variance(SYSTEM, X) * exact.variance(SYSTEM, Y) * (1 + 1e-12))


def test_log_scales_do_not_change_the_gain():
    plain = replace(SYSTEM, learn_scale=False)
    for X in ESTIMATORS:
        np.testing.assert_allclose(exact.variance(plain, X), exact.variance(SYSTEM, X)[:6], rtol=1e-12)
    assert exact.gradient(plain).shape == (6,)


def test_baselines_agree_with_each_other():
    P, c = exact.value(SYSTEM)
    quadratic = np.zeros((5, 1, 4, 4))
    quadratic[:, 0, 0, 0], quadratic[:, 0, 1:, 1:] = -c[:-1], -P[:-1]
    np.testing.assert_allclose(quadratic, exact.value_baseline(SYSTEM), rtol=1e-14)
    np.testing.assert_allclose(exact.constant_baseline(SYSTEM, 2.0), exact.time_baseline(SYSTEM, np.full(5, 2.0)))
    shifted = exact.RewardToGo(exact.constant_baseline(SYSTEM, 3.0))
    power, both = (
        exact.variance(SYSTEM, exact.Score()),
        exact.covariance(SYSTEM, exact.RewardToGo(), exact.Score()),
    )
    np.testing.assert_allclose(
        exact.variance(SYSTEM, shifted), exact.variance(SYSTEM, exact.RewardToGo()) - 6 * both + 9 * power
    )


def test_optimal_baselines_are_optimal():
    """Each optimum is no worse than its neighbours and than the optimum of a smaller family."""

    def variance_of(forms):
        return exact.variance(SYSTEM, exact.RewardToGo(forms))

    base = exact.RewardToGo()
    constant = exact.constant_baseline(SYSTEM, exact.optimal_constant(SYSTEM, base))
    in_time = exact.time_baseline(SYSTEM, exact.optimal_time_baseline(SYSTEM, base))
    quadratic = exact.optimal_quadratic_baseline(SYSTEM)
    assert np.all(variance_of(quadratic) < variance_of(in_time)) and np.all(
        variance_of(in_time) < variance_of(constant)
    )
    for forms in (constant, in_time, quadratic):
        nudge = exact.constant_baseline(SYSTEM, 0.1)
        np.testing.assert_allclose(variance_of(forms + nudge), variance_of(forms - nudge), rtol=1e-10)
        assert np.all(variance_of(forms + nudge) > variance_of(forms))
    rng = np.random.default_rng(3)
    for _ in range(3):  # stationary in every quadratic direction
        nudge = 1e-3 * rng.normal(size=quadratic.shape)
        np.testing.assert_allclose(variance_of(quadratic + nudge), variance_of(quadratic - nudge), rtol=1e-9)
    trace_b = exact.total_optimal_constant(SYSTEM, base)
    sums = [variance_of(exact.constant_baseline(SYSTEM, trace_b + h)).sum() for h in (-0.1, 0.0, 0.1)]
    assert sums[1] < min(sums[0], sums[2]) and sums[0] == pytest.approx(sums[2], rel=1e-10)


def test_combinations():
    theory = exact.theory_of(SYSTEM)
    x, y = (of(theory) for of in (ESTIMATORS[1], ESTIMATORS[10]))

    def of_combination(*pairs):
        return np.maximum(sum(c * d * theory.covariance(u, v) for c, u in pairs for d, v in pairs), 0.0)

    assert np.all(algebra.variance(theory, kinds.Difference((x, x))) == 0)
    mixture = kinds.ControlVariate((y, kinds.Difference((x, y))))
    weight = -algebra.coefficients(theory, mixture)[0]
    np.testing.assert_allclose(
        of_combination((weight, x), (1 - weight, y)), algebra.variance(theory, mixture), rtol=1e-10
    )
    own, score = kinds.ControlVariate((x, E.score())), exact.Score()(theory)
    c = algebra.coefficients(theory, own)[0]
    np.testing.assert_allclose(of_combination((1.0, x), (-c, score)), algebra.variance(theory, own), rtol=1e-10)
    for h in (-0.1, 0.1):
        assert np.all(of_combination((1.0, x), (h - c, score)) > algebra.variance(theory, own))
    same = kinds.ControlVariate((x, kinds.Difference((x, x))))
    np.testing.assert_allclose(algebra.variance(theory, same), exact.variance(SYSTEM, ESTIMATORS[1]))
    assert np.all(algebra.coefficients(theory, same) == 0)
    full = kinds.ControlVariate((x, E.score()), full=True)  # by the scores of all parameters, so better
    assert np.all(algebra.variance(theory, full) < algebra.variance(theory, own))
    C = algebra.coefficients(theory, full)[0]
    cross, among = theory.joint(score, x), theory.joint(score, score)
    left = exact.variance(SYSTEM, ESTIMATORS[1]) - 2 * np.sum(C * cross.T, axis=1) + np.sum((C @ among) * C, axis=1)
    np.testing.assert_allclose(algebra.variance(theory, full), left, rtol=1e-10)
    np.testing.assert_allclose(exact.fisher(SYSTEM), among[:6, :6], rtol=1e-12, atol=1e-12)


def test_antithetic_is_useless_on_a_centred_system():
    centred = replace(SYSTEM, mean=np.zeros(3))
    for X in ESTIMATORS:
        np.testing.assert_allclose(exact.antithetic_variance(centred, X, "all"), exact.variance(centred, X), rtol=1e-11)


def test_zero_variances_are_zero():
    """Exactly zero, or 1e-12 of the second moment, and never negative."""
    assert np.all(exact.variance(SYSTEM, exact.AllActions())[6:] == 0)
    still = replace(SYSTEM, L=0 * SYSTEM.L, W=0 * SYSTEM.W, cov=0 * SYSTEM.cov)
    for X in (exact.Reparameterization(), exact.AllActions(), exact.ValueGradient()):
        assert np.all(exact.variance(still, X) == 0)
    assert exact.return_variance(still) == 0
    free = replace(SYSTEM, Q=0 * SYSTEM.Q, R=0 * SYSTEM.R, Qf=0 * SYSTEM.Qf)
    assert np.all(exact.variance(free, exact.ScoreFunction()) == 0)
    perfect = replace(free, W=0 * SYSTEM.W)
    assert np.all(exact.variance(perfect, exact.RewardToGo()) == 0)


def test_policy_without_noise():
    """Pathwise quantities exist and are the limit of little noise; the score does not exist."""
    still, nearly = replace(SYSTEM, L=0 * SYSTEM.L), replace(SYSTEM, L=1e-6 * SYSTEM.L)
    for X in (exact.Reparameterization(), exact.AllActions(), exact.ValueGradient()):
        np.testing.assert_allclose(exact.variance(still, X)[:6], exact.variance(nearly, X)[:6], rtol=1e-8)
        assert np.all(exact.variance(still, X)[6:] == 0)
    half = replace(SYSTEM, L=np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.all(exact.variance(half, exact.Reparameterization()) > 0)
    for X in (exact.ScoreFunction(), exact.RewardToGo(), exact.Score(), exact.GeneralizedAdvantage()):
        for system in (still, half):
            with pytest.raises(ValueError, match="L is singular"):
                exact.variance(system, X)


def test_degenerate_states():
    """No initial covariance, no process noise: all is finite, and so is the optimum of a singular Gram matrix."""
    system = random_system(12, 2, 1, 4, W=np.zeros((2, 2)), cov=np.zeros((2, 2)))
    best = exact.RewardToGo(exact.optimal_quadratic_baseline(system))
    for X in [exact.ScoreFunction(), exact.RewardToGo(), exact.Reparameterization(), best]:
        assert np.all(np.isfinite(exact.variance(system, X)))
    assert np.all(
        exact.variance(system, best) <= exact.variance(system, exact.RewardToGo(exact.value_baseline(system)))
    )


def test_an_unvisited_state_has_no_score_to_tune():
    """s_2 = 0 for ever: the score of K_02 is 0, and so is its optimal baseline instead of 0 / 0."""
    system = random_system(
        13,
        2,
        1,
        3,
        A=np.diag([0.5, 0.5]),
        B=[[1.0], [0.0]],
        W=np.diag([1.0, 0]),
        mean=[1.0, 0],
        cov=np.diag([1.0, 0]),
    )
    assert exact.variance(system, exact.ScoreFunction())[1] == 0
    assert np.all(exact.optimal_time_baseline(system, exact.RewardToGo())[:, 1] == 0)
    assert exact.optimal_constant(system, exact.RewardToGo())[1] == 0


def test_long_horizon():
    """T = 200 in eight states: finite, and reward to go beats the whole return."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(8, 8))
    system = exact.System(
        0.9 * A / np.abs(np.linalg.eigvals(A)).max(),
        rng.normal(size=(8, 2)),
        np.zeros((2, 8)),
        np.eye(2),
        np.eye(8),
        np.eye(2),
        np.eye(8),
        0.1 * np.eye(8),
        np.zeros(8),
        np.eye(8),
        horizon=200,
    )
    to_go, total = exact.variance(system, exact.RewardToGo()), exact.variance(system, exact.ScoreFunction())
    assert np.all(to_go < total) and np.all(exact.variance(system, exact.Reparameterization()) < to_go)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(A=np.eye(3)), "A: expected shape"),
        (dict(K=np.zeros((1, 3))), "K: expected shape"),
        (dict(mean=[0.0]), "mean: expected shape"),
        (dict(W=[[1.0, 0.5], [0.0, 1.0]]), "W: expected a symmetric"),
        (dict(cov=[[1.0, 2.0], [2.0, 1.0]]), "cov: expected a positive"),
        (dict(Q=[[np.nan, 0], [0, 1]]), "Q: expected finite"),
        (dict(horizon=0), "horizon"),
        (dict(horizon=2.5), "horizon"),
        (dict(discount=np.inf), "discount"),
        (dict(B=[1.0, 2.0]), "B: expected a matrix"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        random_system(0, 2, 1, 3, **change)


def test_errors_of_baselines():
    system = canonical(3)
    with pytest.raises(ValueError, match="baseline: expected forms"):
        exact.variance(system, exact.RewardToGo(np.zeros((3, 2, 2))))
    with pytest.raises(ValueError, match="b: expected a number or shape"):
        exact.time_baseline(system, np.zeros(4))
    with pytest.raises(ValueError, match="branches"):
        exact.measure_valued_variance(system, "coupled")
    with pytest.raises(ValueError, match="diagonal L"):
        exact.measure_valued_variance(SYSTEM)
