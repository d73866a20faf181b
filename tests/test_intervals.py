"""Intervals of variances: textbook cases, coverage for heavy tails, ratios on common noise, what is not known."""

import numpy as np
import pytest
from scipy import stats
from support import SEED

from mcgrad import intervals, moments, power_sums


def of(x, E=1, chunk=None):
    """Return the moments of samples x (E P, N)."""
    chunk = chunk or x.shape[1]
    parts = [power_sums.of_chunk(np.ascontiguousarray(x[:, k : k + chunk]), E) for k in range(0, x.shape[1], chunk)]
    return moments.Moments(tuple(map(str, range(E))), tuple(map(str, range(len(x) // E))), power_sums.tree(parts))


def draws(count, samples):
    """Return samples (count, 2 x 2, samples) of two heavy-tailed estimators of two parameters, and the exact variances.

    Products of normals, like score functions: kurtosis 139 and 9.
    """
    rng = np.random.default_rng(SEED)
    z, u = rng.normal(size=(2, count, 2, samples))
    shared = rng.normal(size=(count, 1, samples))
    first, second = z * shared**3, z * (0.8 * shared + 0.6 * u)
    x = np.concatenate([first, second], axis=1)
    return x, np.array([[15.0, 15.0], [1.0, 1.0]])  # E z^2 E shared^6 = 15; E z^2 (.64 + .36) = 1


def test_a_normal_sample_has_the_chi_square_interval():
    """(n - 1) s^2 / sigma^2 is chi-square with n - 1 degrees of freedom: relative variance 2 / (n - 1), kurtosis 3."""
    for n, level in ((100, 0.95), (2000, 0.9)):
        low, high = intervals.of_variance(np.array([2.0]), np.sqrt(2.0 / (n - 1)) * np.ones(1), n - 1, level)
        tail = (1 - level) / 2
        np.testing.assert_allclose(low, 2.0 * (n - 1) / stats.chi2.ppf(1 - tail, n - 1), rtol=1e-9)
        np.testing.assert_allclose(high, 2.0 * (n - 1) / stats.chi2.ppf(tail, n - 1), rtol=1e-9)


def test_small_standard_errors_join_smoothly():
    """Near r = 1e-3, where chi-square gives way to normal, the limits do not jump by more than r^2."""
    r = 1e-3 * np.array([0.999, 1.001])
    low, high = intervals.of_variance(np.ones(2), r, 3 / r**2)
    assert abs(np.diff(np.log(low) / r)).max() < 2e-3 and abs(np.diff(np.log(high) / r)).max() < 2e-3


def test_intervals_cover_where_standard_errors_do_not():
    """N = 1000 at kurtosis 139 and 9: 95 % intervals cover 92 to 99 %, two standard errors cover less than 88 %."""
    x, exact = draws(700, 1000)
    hits = {key: [] for key in ("variance", "total", "naive", "ratio", "total ratio")}
    for samples in x:
        found = of(samples, E=2)
        for e in (0, 1):
            one = found[str(e)]
            low, high = one.variance_interval()
            hits["variance"].append((low <= exact[e]) & (exact[e] <= high))
            hits["naive"].append(np.abs(one.variance - exact[e]) < 1.96 * one.variance_stderr)
            low, high = one.total_variance_interval()
            hits["total"].append([low <= exact[e].sum() <= high])
        _, low, high = found.variance_ratio("0", "1")
        hits["ratio"].append((low <= 15.0) & (high >= 15.0))
        _, low, high = found.total_variance_ratio("0", "1")
        hits["total ratio"].append([low <= 15.0 <= high])
    share = {key: np.mean(np.reshape(value, (len(x), -1)), axis=0) for key, value in hits.items()}
    assert (share["naive"][:2] < 0.88).all(), share
    for key in ("variance", "total", "ratio", "total ratio"):
        assert (share[key] > 0.92).all() and (share[key] < 0.995).all(), share


def test_a_ratio_takes_off_what_is_common():
    """Of an estimator against itself nothing is uncertain; of two that are nearly the same, little."""
    x, _ = draws(1, 4000)
    a = x[0, :1]
    b = 2.0 * a + 0.01 * np.random.default_rng(1).normal(size=a.shape)
    found = of(np.concatenate([a, b]), E=2)
    assert found.variance_ratio("0", "0") == (1.0, 1.0, 1.0)
    ratio, low, high = found.variance_ratio("1", "0")
    assert low < ratio < high and abs(ratio - 4.0) < 0.01
    separate = np.hypot(*(found[k].variance_stderr / found[k].variance for k in "01"))
    assert np.log(high / low) < 0.05 * separate
    inverse = found.variance_ratio("0", "1")
    np.testing.assert_allclose([inverse.low * high, inverse.high * low], 1.0, rtol=1e-12)


@pytest.mark.parametrize("chunk", [5000, 500, 7])
def test_covariances_of_squared_deviations_agree_with_numpy(chunk):
    rng = np.random.default_rng(3)
    x = rng.standard_t(9, size=(6, 5000)) + 0.5 * rng.normal(size=5000) + 1e3
    found = of(x, 3, chunk)
    d = (x - x.mean(axis=1, keepdims=True)).reshape(3, 2, -1) ** 2
    for p, squared in ((0, d[:, 0]), (1, d[:, 1]), (2, d.sum(axis=1))):
        expected = np.cov(squared)
        covariances = found._squares[:, p]
        rows = [0, 1, 2, 1, 2, 2], [0, 1, 2, 0, 0, 1]  # each with itself, then the pairs
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))[rows]
        tolerance = {5000: 2e-3, 500: 0.02, 7: 0.06}[chunk]  # within chunks of 5000, 500, and of 64 or more
        assert np.max(np.abs(covariances - expected[rows]) / scale) < tolerance
    total = np.sqrt(np.var(d.sum(axis=1), axis=1) / 5000)
    np.testing.assert_allclose([found[str(e)].total_variance_stderr for e in range(3)], total, rtol=0.05)


def test_few_samples_are_kept_until_there_are_enough():
    x = np.random.default_rng(4).normal(size=(2, 200))
    assert of(x[:, :40], chunk=10).sums.few.shape == (2, 40)
    whole = of(x, chunk=10).sums
    assert whole.few.shape[1] < power_sums.FEW and 120 < whole.degrees[0] < 200
    assert np.isfinite(of(x[:, :40], chunk=10)["0"].total_variance_interval()).all()


def test_what_is_not_known_is_between_zero_and_infinity():
    constant = of(np.full((1, 100), 2.5))["0"]
    assert constant.variance_interval() == (0.0, np.inf)
    huge = of(1e150 * np.random.default_rng(5).normal(size=(1, 100)))["0"]  # the fourth moment overflows
    assert huge.variance_stderr == np.inf and huge.variance_interval() == (0.0, np.inf)
    assert np.isnan(of(np.ones((1, 1)))["0"].variance_interval()).all()
    for level in (0.0, 1.0, "0.9", np.nan):
        with pytest.raises(ValueError, match="level: expected"):
            constant.variance_interval(level)


def test_a_variance_that_rests_on_few_trajectories_is_marked():
    x, _ = draws(1, 3000)
    found = of(x[0, 1:2])
    light = of(np.random.default_rng(6).normal(size=(1, 1000)))
    assert found["0"].rests_on_few and found.table()["rests_on_few"][0]
    assert not light["0"].rests_on_few[0]
    table = light.table()
    assert table["variance_low"][0] < table["variance"][0] < table["variance_high"][0]
