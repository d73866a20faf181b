"""Measurements that go on until they are precise enough: the bits of a plain one, said where the precision is not reached."""

import warnings

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad import study, template_study

BOTH = {"SF": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}


def same(a, b):
    arrays = [name for name, x in vars(a.sums).items() if isinstance(x, np.ndarray)]
    assert "own" in arrays
    for name in arrays:
        np.testing.assert_array_equal(getattr(a.sums, name), getattr(b.sums, name))
    assert a.rounding == b.rounding and [x.words() for x in a.sources] == [x.words() for x in b.sources]


def counted(found):
    (source,) = found.sources
    return source.count


@pytest.mark.parametrize("options", [{}, {"variance": None, "mean": 0.3}, {"mean": 0.3}], ids=str)
def test_it_stops_at_the_first_doubling_that_is_precise_enough_with_the_bits_of_a_plain_one(options, seed):
    problem, theta = w1(horizon=5)
    target = mg.until(**({"variance": 0.05} | options))
    found = mg.measure(problem, theta, BOTH, target, seed, chunk=256)
    n = counted(found)
    same(found, mg.measure(problem, theta, BOTH, n, seed, chunk=256))
    before = mg.measure(problem, theta, BOTH, n // 2, seed, chunk=256)
    assert n > 256 and n & (n - 1) == 0
    for moments, enough in ((found, True), (before, False)):
        errors = []
        for x in map(moments.__getitem__, BOTH):
            errors.append(x.total_variance_stderr / x.total_variance / (target.variance or np.inf))
            errors.append(np.linalg.norm(x.stderr) / np.linalg.norm(x.mean) / (target.mean or np.inf))
        assert (max(errors) <= 1.0) == enough


def test_it_goes_on_from_where_it_stopped(seed):
    problem, theta = w1(horizon=5)
    options = {"seed": seed, "chunk": 256, "start": 1000}
    first = mg.measure(problem, theta, BOTH, mg.until(0.1), **options)
    finer = mg.measure(problem, theta, BOTH, mg.until(0.04, after=first), **options)
    assert counted(finer) >= 4 * counted(first)
    same(finer, mg.measure(problem, theta, BOTH, mg.until(0.04), **options))
    same(
        mg.measure(problem, theta, BOTH, mg.until(0.04, after=first), seed=seed, chunk=256), finer
    )  # it knows its start
    assert mg.measure(problem, theta, BOTH, mg.until(0.2, after=first), **options).sums is first.sums


def test_precision_that_is_not_reached_is_said(seed):
    problem, theta = w1(horizon=5)
    with pytest.warns(
        UserWarning, match=r"stopped at 1003 trajectories .* of the total variance of SF, .* and not 0.001 of"
    ):
        found = mg.measure(problem, theta, BOTH, mg.until(0.001, most=1003), seed, chunk=256)
    same(found, mg.measure(problem, theta, BOTH, 1003, seed, chunk=256))
    with pytest.warns(UserWarning, match="stopped at 1003 trajectories"):
        again = mg.measure(problem, theta, BOTH, mg.until(0.001, most=500, after=found), seed, chunk=256)
    assert again.sums is found.sums


def test_a_batch_goes_on_until_all_of_it_is_precise_enough(seed):
    problem, theta = w1(horizon=5)
    thetas = np.array([theta, 0.5 * theta])
    found = mg.measure(problem, thetas, BOTH, mg.until(0.1), seed, chunk=256)
    alone = [counted(mg.measure(problem, x, BOTH, mg.until(0.1), seed, chunk=256)) for x in thetas]
    assert counted(found) == max(alone)
    for b, x in enumerate(thetas):
        same(found.entry(b), mg.measure(problem, x, BOTH, counted(found), seed, chunk=256))


def test_what_is_fitted_on_all_trajectories_is_fitted_on_all_of_them(seed):
    mixed = mg.estimators.mixture(mg.estimators.reward_to_go(), mg.estimators.reparameterization())
    problem, theta = w1(horizon=3)
    found = mg.measure(problem, theta, {"mixed": mixed}, mg.until(0.03), seed, chunk=256)
    assert counted(found) > 256
    same(found, mg.measure(problem, theta, {"mixed": mixed}, counted(found), seed, chunk=256))


def test_replicates_of_a_design_are_counted(seed):
    problem, theta = w1(horizon=2)
    design = mg.designs.latin_hypercube(16)
    found = mg.measure(problem, theta, {"PW": BOTH["PW"]}, mg.until(0.1, most=100_001), seed, chunk=1024, design=design)
    assert counted(found) % 16 == 0 and found["PW"].count == counted(found) // 16
    same(found, mg.measure(problem, theta, {"PW": BOTH["PW"]}, counted(found), seed, chunk=1024, design=design))


# ---- gradients that say nothing --------------------------------------------------------------------------------


def one_step(reward, **changes):
    """Return (problem, theta) of one step with a reward of a Gaussian action of mean 0.5."""
    environment = mg.Environment(
        states=1, actions=1, init=lambda p, z: (0.0,), step=lambda p, s, a, w: s, reward=reward, **changes
    )
    policy = mg.policies.gaussian(1, std=1.0)
    return mg.Problem(environment, policy, 1), policy.theta([0.5])


def measured(reward, estimator, *, seed=0, **options):
    problem, theta = one_step(reward)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = mg.measure(problem, theta, {"x": estimator}, mg.until(0.1, **options), seed, chunk=128, machine="numpy")
    return found, [str(x.message) for x in said]


SF, PW = mg.estimators.score_function(), mg.estimators.reparameterization()


def test_a_gradient_without_variance_is_known_at_once():
    found, said = measured(lambda p, s, a, s_next, w: 3.0 * a[0], PW)
    assert counted(found) == 128 and found["x"].total_variance == 0.0 and found["x"].mean == 3.0 and not said


def test_gradients_that_are_all_zero_are_not_known():
    """What is rewarded is rare, one in 4,000: the first chunks have seen nothing."""
    rare = lambda p, s, a, s_next, w: mg.where(a[0] > 4.0, 1.0, 0.0)  # noqa: E731
    found, said = measured(rare, SF, most=1000)
    assert counted(found) == 1000 and found["x"].total_variance == 0.0
    assert any(
        "stopped at 1000 trajectories with relative standard errors of inf of the total variance" in x for x in said
    )
    found, _ = measured(rare, SF, most=2**20)
    assert found["x"].total_variance > 0.0 and found["x"].total_variance_stderr < 0.1 * found["x"].total_variance


def test_what_more_trajectories_would_not_help_ends_at_once():
    found, said = measured(lambda p, s, a, s_next, w: mg.where(a[0] < 99.0, 1e200, 0.0) * a[0], SF)
    assert counted(found) == 128 and any("stopped at 128 trajectories" in x for x in said)
    found, said = measured(lambda p, s, a, s_next, w: (a[0] - a[0]) / (a[0] - a[0]), SF)
    assert counted(found) == 128 and any("stopped at 128 trajectories" in x for x in said)


def test_some_gradients_that_are_not_finite_are_left_out(seed):
    sometimes = lambda p, s, a, s_next, w: a[0] / mg.where(a[0] > 1.0, 0.0, 1.0)  # noqa: E731
    found, said = measured(sometimes, SF, seed=seed)
    x = found["x"]
    assert x.nonfinite > 0 and x.count + x.nonfinite == counted(found)
    assert x.total_variance_stderr < 0.1 * x.total_variance and any("not finite" in y for y in said)


# ---- studies, and what is refused ------------------------------------------------------------------------------


def test_studies_measure_until(seed):
    problem, theta = template_study.problem(5)
    options = {"count": 10**6, "start": 100, "seed": seed}
    rows = study.measured(problem, theta, template_study.ESTIMATORS, until=0.04, **options)
    count = {row["count"] for row in rows}.pop()
    assert count < 10**6 and all(row["variance_stderr"] < 0.04 * row["variance"] for row in rows)
    assert rows == study.measured(problem, theta, template_study.ESTIMATORS, **(options | {"count": count}))


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "until: expected a relative standard error"),
        ({"variance": 0.0}, "variance: expected a number"),
        ({"mean": 1.5}, "mean: expected a number"),
        ({"variance": "x"}, "variance: expected real numbers"),
        ({"variance": 0.1, "most": 0}, "most: expected a whole number >= 1"),
        ({"variance": 0.1, "after": 3}, "after: expected Moments, got int 3"),
    ],
)
def test_targets_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mg.until(**options)


def test_moments_of_something_else_are_not_gone_on_from():
    problem, theta = w1(horizon=2)

    def measure(count, estimators=BOTH, *, at=theta, **options):
        return mg.measure(problem, at, estimators, count, **options)

    apart = measure(100).merge(measure(100, start=200))
    few = measure(100)
    for after, options, message in (
        (few, {"seed": 1}, "after: expected moments of the same .* differ in seed: 1 and 0"),
        (few, {"at": 2 * theta}, "after: expected moments of the same .* differ in theta: "),
        (few, {"estimators": {"PW": BOTH["PW"]}}, "after: expected moments of .'PW',., got those of .'SF', 'PW'."),
        (few, {"start": 7}, "start: expected that of `after`, 0, got 7"),
        (few, {"full_covariance": True}, "after: expected the same covariances"),
        (few, {"seed": [0, 1]}, "after: expected moments of one measurement and no batch"),
        (measure(100, at=[theta, theta]), {}, "after: expected moments of one measurement and no batch"),
        (apart, {}, r"after: expected one range of trajectories, got .start, count. \[\(0, 100\), \(200, 100\)\]"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(mg.until(0.1, after=after), **options)
    with pytest.raises(ValueError, match="noise: expected 'common' with until, got 'independent'"):
        measure(mg.until(0.1), noise="independent")


def test_optional_stopping_has_the_bias_that_is_stated(seed):
    """It is 19 %, and chance makes 1.6 % of it: the mean of 400 variances against the exact one."""
    problem, theta = template_study.problem(10)
    score = {"SF": mg.estimators.score_function()}
    (exact,) = mg.exact.variance(problem, theta, score["SF"])
    ratios = []
    for k in range(400):
        x = mg.measure(problem, theta, score, mg.until(0.3, most=10**6), 1000 * seed + k, chunk=64, threads=1)["SF"]
        ratios.append(x.total_variance / exact - 1.0)
    assert -0.27 < np.mean(ratios) < -0.11
