"""Digits that cancel, figures that overflow and scores that do not exist are said, and nothing else is."""

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad.precision import WORST, PrecisionWarning

SUBTRACT = {
    "value": mg.estimators.reward_to_go(mg.baselines.value()),
    "fitted": mg.estimators.reward_to_go(mg.baselines.fitted_value()),
    "advantage": mg.estimators.generalized_advantage(0.5),
    "TD": mg.estimators.generalized_advantage(0.0),
}
NOTHING = {"to go": mg.estimators.reward_to_go(), "pathwise": mg.estimators.reparameterization()}


def loop(radius, horizon, std=0.5):
    """Return a scalar loop s_next = radius s + ... with a spectral radius."""
    environment = mg.environments.linear_quadratic([[radius + 0.3]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=std)
    return mg.Problem(environment, policy, horizon), policy.theta([-0.6])


def measured(problem, theta, estimators, count=400, start=0):
    options = {"machine": "numpy", "progress": False}
    return mg.measure(problem, theta, estimators, count, seed=1, start=start, **options)


def test_what_cancels_in_an_unstable_loop_is_said():
    """At radius 1.5 and 120 steps the variance of reward to go less V is made of rounding: 1e6 times the exact one and more."""
    problem, theta = loop(1.5, 120)
    with pytest.warns(PrecisionWarning) as caught:
        found = measured(problem, theta, SUBTRACT | NOTHING)
    assert [str(w.message).partition(":")[0] for w in caught] == list(SUBTRACT)
    for name in ("value", "TD"):
        assert found[name].variance > 1e6 * mg.exact.variance(problem, theta, SUBTRACT[name])
        assert found.rounding[name] > 10 * WORST
    assert [found.rounding[name] for name in NOTHING] == [0.0, 0.0]


def test_the_warning_comes_before_the_figures_are_wrong():
    """Variances are right where nothing is said, and a rounding error grows like the return against what is left."""
    sizes = []
    for horizon in (20, 40, 60):
        problem, theta = loop(1.5, horizon)
        sizes.append(measured(problem, theta, {"value": SUBTRACT["value"]}).rounding["value"])
    growth = np.diff(np.log(sizes)) / np.log(1.5**20)  # G - V is smaller than G by the growth of the state
    assert (np.abs(growth - 1.0) < 0.3).all(), sizes
    problem, theta = loop(1.5, 70)
    found = measured(problem, theta, {"value": SUBTRACT["value"]}, 4000)["value"]
    low, high = found.variance_interval(0.9999)
    assert low < mg.exact.variance(problem, theta, SUBTRACT["value"]) < high


def test_single_precision_runs_out_of_digits_earlier_and_says_so():
    """At 50 steps: the variance of single precision is made of rounding, that of double precision is right."""
    problem, theta = loop(1.5, 50)
    exact = mg.exact.variance(problem, theta, SUBTRACT["value"])
    double = measured(problem, theta, {"value": SUBTRACT["value"]})
    with pytest.warns(PrecisionWarning):
        single = mg.measure(
            problem, theta, {"value": SUBTRACT["value"]}, 400, 1, machine="numpy", precision="single", progress=False
        )
    assert double["value"].variance < 2 * exact and single["value"].variance > 10 * exact
    assert single.rounding["value"] == pytest.approx(2.0**29 * double.rounding["value"])


def test_ordinary_problems_are_far_from_it():
    """A false alarm would take a million times larger an error."""
    problem, theta = w1(horizon=10)
    tabular = mg.Problem(mg.environments.random_walk(5), mg.policies.softmax(5, 2), 10), np.linspace(-0.5, 0.5, 10)
    e = mg.estimators
    mixed = e.control_variate(e.reward_to_go(), e.difference(e.reparameterization(), e.reward_to_go()))
    cases = [(problem, theta, SUBTRACT | {"mixture": mixed}), (*tabular, {"value": SUBTRACT["value"]})]
    for problem, theta, estimators in cases:
        sizes = measured(problem, theta, estimators).rounding
        assert all(0.0 < size < 1e-6 * WORST for size in sizes.values()), sizes


def test_moments_that_are_merged_keep_the_worst():
    problem, theta = loop(0.9, 5)
    ranges = ((32, 0), (500, 32))
    a, b = (measured(problem, theta, {"value": SUBTRACT["value"]}, *x) for x in ranges)
    assert a.merge(b).rounding["value"] == max(a.rounding["value"], b.rounding["value"])


def test_figures_that_overflow_are_counted_and_said():
    problem, theta = loop(1.5, 300)
    with pytest.warns(UserWarning, match="so large that figures overflow: of 1 variances .* 1 of to go, 1 of pathwise"):
        found = measured(problem, theta, NOTHING)
    assert found.overflowed == {"to go": 1, "pathwise": 1} and found.nonfinite == {"to go": 0, "pathwise": 0}
    assert found["to go"].variance_stderr == np.inf
    assert found["to go"].variance_interval() == (0.0, np.inf)
    assert found.variance_ratio("to go", "pathwise")[1:] == (0.0, np.inf)
    assert len(found.table()) == 2


def test_exact_figures_that_overflow_are_refused():
    problem, theta = loop(1.5, 2000)
    one = NOTHING["pathwise"]
    questions = [(mg.exact.objective,), (mg.exact.gradient,), (mg.exact.variance, one), (mg.exact.covariance, one, one)]
    for question, *estimators in questions:
        with pytest.raises(mg.exact.NoClosedForm, match="numbers beyond 1e308; shorten the horizon"):
            question(problem, theta, *estimators)
    assert np.isfinite(mg.exact.objective(*loop(1.5, 800)))


def test_exact_refuses_what_measure_refuses():
    """Without noise there is no score, and nothing that takes the place of noise."""
    problem, theta = loop(0.9, 3, std=0.0)
    refused = {
        "score": mg.estimators.score_function(),
        "value": SUBTRACT["value"],
        "TD": SUBTRACT["TD"],
        "measure-valued": mg.estimators.measure_valued(),
        "of a critic": mg.estimators.measure_valued(critic=mg.critics.exact()),
        "one time": mg.estimators.measure_valued(times="one"),
    }
    for estimator in refused.values():
        for ask in (mg.exact.variance, mg.exact.mean, lambda *x: measured(*x[:2], {"x": x[2]})):
            with pytest.raises(ValueError, match="singular|std > 0"):
                ask(problem, theta, estimator)
    for estimator in (NOTHING["pathwise"], mg.estimators.value_gradient()):
        np.testing.assert_allclose(
            mg.exact.mean(problem, theta, estimator), mg.exact.gradient(problem, theta), rtol=1e-14
        )
