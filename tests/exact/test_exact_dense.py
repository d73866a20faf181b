"""The recursions against the dense referee on random systems: all pairs of estimators, any quadratic baseline."""

from fractions import Fraction

import lq_leaves as exact
import numpy as np
import pytest
from exact_cases import canonical, random_system
from exact_dense import Dense, covariance, expectation, moment, product_moment_by_quadrature

TOLERANCE = 1e-10


def baseline(system, seed):
    """A quadratic baseline that is no value function, one for each parameter."""
    rng = np.random.default_rng(seed)
    n, T, P = system.states, system.horizon, system.parameters
    forms = rng.normal(size=(T, P, n + 1, n + 1))
    return forms + forms.swapaxes(-1, -2)


def pairs(system, dense, p, seed):
    """The same estimators twice: (name, ours, the referee's for parameter p)."""
    forms = baseline(system, seed)
    constants = np.linspace(-2.0, 3.0, system.parameters)
    return [
        ("score function", exact.ScoreFunction(constants), dense.score_function(p, constants[p])),
        ("reward to go", exact.RewardToGo(), dense.reward_to_go(p)),
        ("quadratic baseline", exact.RewardToGo(forms), dense.reward_to_go(p, forms[:, p])),
        (
            "value baseline",
            exact.RewardToGo(exact.value_baseline(system)),
            dense.reward_to_go(p, dense.values),
        ),
        ("advantage", exact.GeneralizedAdvantage(0.7), dense.advantage(p, 0.7)),
        ("reparameterization", exact.Reparameterization(), dense.pathwise(p)),
        ("score", exact.Score(), dense.score(p)),
    ]


def test_referee_moments():
    """The referee's cumulants against Gauss-Hermite quadrature."""
    rng = np.random.default_rng(5)
    quadratics = [q + q.T for q in rng.normal(size=(4, 3, 3))]
    for k in range(1, 5):
        assert moment(*quadratics[:k]) == pytest.approx(product_moment_by_quadrature(quadratics[:k]), rel=1e-12)


@pytest.mark.parametrize(
    ("seed", "n", "m", "T"),
    [(0, 1, 1, 6), (1, 2, 1, 4), (2, 1, 2, 3), (3, 3, 2, 2), (4, 2, 3, 1), (5, 2, 2, 3)],
)
def test_covariances(seed, n, m, T):
    system = random_system(seed, n, m, T)
    dense = Dense(system)
    for p in sorted({0, m * n - 1, m * n, m * n + m - 1}):
        both = pairs(system, dense, p, seed)
        spread = [np.sqrt(covariance(x, x)) for _, _, x in both]
        for i, (name, X, x) in enumerate(both):
            assert exact.mean(system, X)[p] == pytest.approx(
                expectation(x), rel=TOLERANCE, abs=TOLERANCE * spread[i]
            ), name
            for j, (other, Y, y) in enumerate(both[: i + 1]):
                found, truth = exact.covariance(system, X, Y)[p], covariance(x, y)
                assert abs(found - truth) < TOLERANCE * spread[i] * spread[j], (name, other, p)


def test_score_of_another_entry():
    system = random_system(6, 2, 2, 3)
    dense = Dense(system)
    for entry in range(system.K.size):
        for X, x in ((exact.RewardToGo(), dense.reward_to_go), (exact.Reparameterization(), dense.pathwise)):
            found = exact.covariance_matrix(system, X, exact.Score())[:, entry]
            truth = [covariance(x(p), dense.score(entry)) for p in range(system.parameters)]
            np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-10)


def test_planted_error_is_seen():
    """The referee with its discount dropped from one stage disagrees."""
    system = random_system(1, 2, 1, 4)
    wrong = Dense(random_system(1, 2, 1, 4, discount=0.9001))
    for name, X, x in pairs(system, wrong, 0, 1)[:-1]:
        assert abs(exact.variance(system, X)[0] / covariance(x, x) - 1) > 1e3 * TOLERANCE, name


def check_all(system, dense, tolerance):
    """Variances of four estimators for both parameters of a scalar system."""
    for p in (0, 1):
        for X, x in (
            (exact.ScoreFunction(), dense.score_function(p)),
            (exact.RewardToGo(), dense.reward_to_go(p)),
            (exact.RewardToGo(exact.value_baseline(system)), dense.reward_to_go(p, dense.values)),
            (exact.Reparameterization(), dense.pathwise(p)),
        ):
            assert exact.variance(system, X)[p] == pytest.approx(float(covariance(x, x)), rel=tolerance)


@pytest.mark.parametrize("K", [-0.6, 1.0, 6.2])
def test_unstable_against_extended_precision(K):
    """Closed-loop poles .6, 1.4 and 4 (variances up to 1e25): no digit is lost to instability."""
    system = canonical(7, K=K, mean=0.5, W=0.0625, learn_scale=True)
    dense = Dense(system, roots=([[0.25]], [[1.0]]), exact=lambda a: np.array(a, dtype=np.longdouble))
    check_all(system, dense, 1e-13)


@pytest.mark.parametrize(
    ("std", "W", "cov", "mean"),
    [(2.0**-20, 0.0, 0.0, 1.0), (2.0**-10, 0.0, 2.0**-20, 100.0), (64.0, 0.25, 1.0, 0.0)],
)
def test_extreme_noise_against_rationals(std, W, cov, mean):
    """Exact rational arithmetic where variance and squared mean differ by twelve orders of magnitude."""

    def rational(array):
        return np.vectorize(lambda x: Fraction(float(x)), otypes=[object])(array)

    system = canonical(2, std=std, W=W, cov=cov, mean=mean, learn_scale=True)
    dense = Dense(system, roots=([[W**0.5]], [[cov**0.5]]), exact=rational)
    check_all(system, dense, 1e-13)
