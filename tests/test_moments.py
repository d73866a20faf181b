"""Moments: against exact arithmetic on hard data, merges in any grouping, non-finite trajectories."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad import moments, power_sums
from mcgrad.compiler import passes


def of(x, chunk=64, E=1):
    """Return the moments of samples x (E P, N), merged from chunks."""
    parts = [power_sums.of_chunk(np.ascontiguousarray(x[:, k : k + chunk]), E) for k in range(0, x.shape[1], chunk)]
    P = len(x) // E
    return moments.Moments(tuple(map(str, range(E))), tuple(map(str, range(P))), power_sums.tree(parts))


def exactly(x):
    """Return mean and central sums of powers 2, 3, 4 in rational arithmetic."""
    x = [Fraction(float(v)) for v in x]
    mean = sum(x) / len(x)
    return [float(mean), *(float(sum((v - mean) ** k for v in x)) for k in (2, 3, 4))]


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, 1e9])
def test_no_cancellation(offset):
    """A mean of 1e9 standard deviations leaves 7 digits in the data themselves, and costs no more here."""
    x = offset + np.random.default_rng(1).standard_t(5, size=(1, 3000))
    found = of(x).sums.own[:, 0, 0]
    mean, m2, m3, m4 = exactly(x[0])
    assert abs(found[1] - mean) <= 2.3e-16 * abs(mean) + 1e-16
    assert abs(found[3] / m2 - 1) < 1e-14
    # The third sum is small against its terms: it is measured against sqrt(m2 m4).
    assert abs(found[4] - m3) < 1e-14 * np.sqrt(m2 * m4)
    assert abs(found[5] / m4 - 1) < 1e-14


@pytest.mark.parametrize("chunk", [1, 7, 100, 999, 1000])
def test_figures_agree_with_numpy(chunk):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 1000)) ** 3 + rng.normal(size=1000)
    found = of(x, chunk, E=3)
    for e in range(3):
        rows, estimate = x[2 * e : 2 * e + 2], found[str(e)]
        mean, variance = rows.mean(axis=1), rows.var(axis=1, ddof=1)
        fourth = ((rows - mean[:, None]) ** 4).mean(axis=1)
        np.testing.assert_allclose(estimate.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(estimate.variance, variance, rtol=1e-12)
        np.testing.assert_allclose(estimate.stderr, np.sqrt(variance / 1000), rtol=1e-12)
        np.testing.assert_allclose(estimate.kurtosis, fourth / rows.var(axis=1) ** 2, rtol=1e-11)
        expected = np.sqrt((fourth - variance**2 * 997 / 999) / 1000)
        np.testing.assert_allclose(estimate.variance_stderr, expected, rtol=1e-11)
    joint = np.cov(x)
    np.testing.assert_allclose(found.covariance("2", "0"), np.diag(joint[4:, :2]), rtol=1e-11)


def test_the_standard_error_of_the_variance_is_right():
    """Variances of 2000 samples of size 500 scatter as their standard errors say, for light and heavy tails."""
    rng = np.random.default_rng(3)
    for draw in (rng.normal, lambda size: rng.standard_t(12, size=size), rng.exponential):
        x = draw(size=(2000, 500))
        found = of(x, 500)["0"]
        true = np.median(found.variance_stderr)
        assert abs(np.std(found.variance) / np.sqrt(np.mean(found.variance_stderr**2)) - 1) < 0.1, true


def test_groups_of_chunks_merge_to_the_same_bits():
    x = np.random.default_rng(4).normal(size=(4, 1000))
    chunks = [power_sums.of_chunk(np.ascontiguousarray(x[:, k : k + 10]), 2) for k in range(0, 1000, 10)]
    whole = power_sums.tree(chunks)
    for size in (1, 2, 4, 16, 64):
        merged = power_sums.Accumulator()
        for k in range(0, 100, size):
            merged.add(power_sums.tree(chunks[k : k + size]))
        for field in ("own", "joint", "cross", "nonfinite"):
            np.testing.assert_array_equal(getattr(merged.result(), field), getattr(whole, field))


def test_non_finite_samples_are_counted_and_left_out():
    x = np.random.default_rng(5).normal(size=(4, 300))
    x[0, 5], x[1, 6], x[1, 7], x[3, 7], x[2, 200] = np.nan, np.inf, -np.inf, np.nan, np.inf
    found = of(x, 50, E=2)
    assert found.nonfinite == {"0": 3, "1": 2}
    assert (found["0"].count, found["1"].count) == (297, 298)
    finite = np.isfinite(x[:2]).all(axis=0)
    np.testing.assert_allclose(found["0"].mean, x[:2, finite].mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["0"].variance, x[:2, finite].var(axis=1, ddof=1), rtol=1e-12)
    both = np.isfinite(x).all(axis=0)
    expected = np.diag(np.cov(x[:, both])[:2, 2:])
    np.testing.assert_allclose(found.covariance("0", "1"), expected, rtol=1e-11)


def test_nothing_finite_and_a_single_sample():
    lost = of(np.full((1, 100), np.nan), 50)["0"]
    assert (lost.count, lost.nonfinite) == (0, 100)
    assert np.isnan([lost.mean, lost.variance, lost.stderr]).all()
    half = of(np.array([[np.nan] * 50 + [2.0, 4.0]]), 10)["0"]
    assert (half.count, half.nonfinite, half.mean[0], half.variance[0]) == (2, 50, 3.0, 2.0)
    one = of(np.array([[2.5]]))["0"]
    assert one.mean[0] == 2.5
    assert np.isnan(one.variance[0])


def test_the_table_has_a_row_for_each_figure():
    table = of(np.random.default_rng(6).normal(size=(4, 100)), E=2).table()
    assert list(table["estimator"]) == ["0", "0", "1", "1"]
    assert (table["count"] == 100).all()
    assert {"mean", "stderr", "variance", "variance_stderr", "kurtosis", "nonfinite"} <= set(table.columns)


def test_covariances_are_formed_where_they_are_asked_for():
    """All other figures, and those that are formed, are the same to the last bit; what was not formed says how to ask."""
    x = 1.0 + np.random.default_rng(8).standard_t(5, size=(8, 300))
    x[5, 7] = np.nan
    every = of(x, 50, E=4)
    names, chosen = every.names, power_sums.Covariances(((2, 0), (3, 2)))
    parts = [power_sums.of_chunk(np.ascontiguousarray(x[:, k : k + 50]), 4, chosen) for k in range(0, 300, 50)]
    some = moments.Moments(names, every.parameters, power_sums.tree(parts))
    for field in ("own", "joint", "nonfinite", "degrees"):
        np.testing.assert_array_equal(getattr(some.sums, field), getattr(every.sums, field))
    assert some.sums.cross.shape == (2, 2) and some.sums.squares.shape == (6, 3)
    for a, b in (("2", "0"), ("0", "2"), ("2", "3"), ("1", "1")):
        np.testing.assert_array_equal(some.covariance(a, b), every.covariance(a, b))
        np.testing.assert_array_equal(some.variance_ratio(a, b), every.variance_ratio(a, b))
        np.testing.assert_array_equal(some.total_variance_ratio(a, b), every.total_variance_ratio(a, b))
    for ask in (some.covariance, some.variance_ratio, some.total_variance_ratio):
        with pytest.raises(ValueError, match=r"covariances: that of '1' and '0' .* covariances=\[\('1', '0'\)\]"):
            ask("1", "0")
    with pytest.raises(ValueError, match="other: expected the same covariances"):
        some.merge(every)


def test_measure_forms_covariances_between_few_estimators_or_as_asked(tmp_path):
    problem, theta = w1(horizon=2)
    many = {
        str(e): mg.estimators.control_variate(mg.estimators.score(), mg.estimators.score(), np.full((1, 8), e))
        for e in range(13)
    }

    def measured(number, **options):
        chosen = dict(list(many.items())[:number])
        return mg.measure(problem, theta, chosen, 100, machine="numpy", **options)

    every, none = measured(13, covariances="all"), measured(13)
    pair = measured(13, covariances=[("3", "1"), ("1", "3"), ("2", "2")])
    assert len(measured(12).sums.covariances.pairs) == 66 and none.sums.covariances.pairs == ()
    assert pair.sums.covariances.pairs == ((3, 1),)
    np.testing.assert_array_equal(pair.covariance("1", "3"), every.covariance("1", "3"))
    np.testing.assert_array_equal(none["7"].variance, every["7"].variance)
    assert none["7"].total_variance_stderr == every["7"].total_variance_stderr
    with pytest.raises(ValueError, match="covariances: that of '0' and '1' was not asked for"):
        none.covariance("0", "1")
    back = mg.Moments.load(pair.save(tmp_path / "pair"))
    np.testing.assert_array_equal(back.variance_ratio("1", "3"), every.variance_ratio("1", "3"))
    with pytest.raises(ValueError, match="covariances: that of"):
        back.covariance("0", "1")
    batch = mg.measure(problem, [theta, theta], many, 100, machine="numpy", covariances=[("3", "1")])
    np.testing.assert_array_equal(batch.covariance("1", "3")[1], every.covariance("1", "3"))


@pytest.mark.parametrize("N", [0, 1, 7, 8, 23, 100])
def test_the_order_of_additions_is_that_of_the_loops_in_python(N):
    """To the last bit: no compiler may reorder, or fuse a product into a sum."""
    E, P = 2, 3
    x = 1.0 + np.random.default_rng(7).standard_t(4, size=(E * P, N)) * np.arange(1, 7)[:, None]
    first, second = np.tril_indices(E * P)
    results = []
    for how in (passes, passes.compiled()):
        powers, squared = np.zeros((6, E * P)), np.empty((E, N))
        powers[0] = N
        how.central(x, P, powers[1:], squared)
        total, square = np.empty((2, len(first)))
        how.products(x, powers[1], first, second, total, square)
        squares = np.empty((3, P + 1))
        if N > 2:
            pair = (np.array([0, 1, 1]), np.array([0, 1, 0]))  # each with itself, and the two
            how.squares(powers, square[:P].reshape(1, P).copy(), squared, *pair, squares, 2)
        merged, shift = powers.copy(), np.empty(E * P)
        how.merge(merged, 2.0 * powers, shift)
        how.between(total, np.arange(6.0), first, second, np.array([0.1]))
        results.append((powers, squared, total, square, squares if N > 2 else shift, merged))
    for python, machine in zip(*results, strict=True):
        np.testing.assert_array_equal(machine, python)


# ---- saved, and merged ------------------------------------------------------------------------------------------


def measured(start=0, count=200, seed=3):
    problem, theta = w1(horizon=3)
    return mg.measure(
        problem,
        theta,
        {"PW": mg.estimators.reparameterization(), "SF": mg.estimators.reward_to_go()},
        count,
        seed,
        start=start,
        machine="numpy",
    )


def test_saved_moments_come_back_bit_for_bit_with_their_provenance(tmp_path):
    found = measured()
    path = found.save(tmp_path / "found")
    back = mg.Moments.load(path)
    assert path.name == "found.npz" and [x.name for x in tmp_path.iterdir()] == ["found.npz"]
    for name in ("PW", "SF"):
        for field in ("mean", "variance", "variance_stderr", "kurtosis"):
            np.testing.assert_array_equal(getattr(found[name], field), getattr(back[name], field))
    assert back.table().equals(found.table())
    (source,) = back.sources
    assert (source.seed, source.start, source.count) == (3, 0, 200) and "linear-quadratic n=4 m=2" in source.problem
    whole, apart = found.merge(measured(200)), back.merge(measured(200))
    np.testing.assert_array_equal(whole["SF"].variance, apart["SF"].variance)
    again = mg.Moments.load(whole.save(tmp_path / "whole.npz"))
    assert [x.start for x in again.sources] == [0, 200]
    (tmp_path / "other.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="path: expected a file with moments of gradients"):
        mg.Moments.load(tmp_path / "other.npz")


def test_moments_go_to_another_process():
    """As they did before they knew where they come from: problems made of functions cannot be pickled."""
    found = measured()
    back = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(back["SF"].variance, found["SF"].variance)
    assert back.sources[0].words() == found.sources[0].words()
    with pytest.raises(ValueError, match="other: expected other trajectories"):
        back.merge(found)


def test_the_same_trajectories_are_not_counted_twice():
    found = measured()
    for other in (found, measured(100), measured(199, 1)):
        with pytest.raises(ValueError, match="other: expected other trajectories than 0 to 199 of seed 3"):
            found.merge(other)
    assert found.merge(measured(seed=4))["PW"].count == 400


def test_moments_print_as_a_short_table():
    text = repr(measured())
    assert len(text) < 500 and len(text.splitlines()) == 4 and "array" not in text
    assert "total variance" in text and "PW" in text
