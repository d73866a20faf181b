"""The ladder of baselines: each rung exactly and by measurement, fits on pilot trajectories, and what is refused."""

import types

import numpy as np
import pytest
from environments_of_tests import pendulum
from support import CASES, reference_problem, standard_errors, w1

import mcgrad as mg
from mcgrad import baselines
from mcgrad.baselines.forms import evaluate_form, fit_form, least_squares_form
from mcgrad.baselines.known import MeanReturn, MeanToGo
from mcgrad.exact.answers import truth_within
from mcgrad.prepare import known_truth
from mcgrad.truth import told

sf, rtg = mg.estimators.score_function, mg.estimators.reward_to_go


def case(name):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"])


def ladder():
    """Return {name: estimator}, each rung no worse than the ones that its family contains."""
    return {
        "total": sf(),
        "total, J": sf(baselines.mean_return()),
        "total, trace-optimal constant": sf(baselines.total_optimal_constant()),
        "total, trace-optimal in time": sf(baselines.total_optimal_over_time()),
        "total, optimal in time": sf(baselines.optimal_over_time()),
        "total, V + optimal in time": sf(baselines.optimal_over_time(base=baselines.value())),
        "to go": rtg(),
        "to go, mean": rtg(baselines.mean_to_go()),
        "to go, trace-optimal constant": rtg(baselines.total_optimal_constant()),
        "to go, trace-optimal in time": rtg(baselines.total_optimal_over_time()),
        "to go, naive": rtg(baselines.naive_optimal_over_time()),
        "to go, optimal in time": rtg(baselines.optimal_over_time()),
        "to go, V": rtg(baselines.value()),
        "to go, V + trace-optimal constant": rtg(baselines.total_optimal_constant(base=baselines.value())),
        "to go, V + trace-optimal in time": rtg(baselines.total_optimal_over_time(base=baselines.value())),
        "to go, V + optimal in time": rtg(baselines.optimal_over_time(base=baselines.value())),
        "to go, optimal quadratic": rtg(baselines.optimal_quadratic()),
    }


def problems():
    yield "W1", w1(horizon=10, learn_std=True, discount=0.95)
    yield from ((name, case(name)) for name in ("S03", "S07", "S13"))


@pytest.mark.parametrize(("name", "pair"), list(problems()), ids=lambda x: x if isinstance(x, str) else "")
def test_measured_variances_are_the_exact_ones(name, pair, seed):
    problem, theta = pair
    chosen = ladder()
    found = mg.measure(problem, theta, chosen, 200_000, seed)
    for key, estimator in chosen.items():
        exact = mg.exact.gradient(problem, theta), mg.exact.variance(problem, theta, estimator)
        assert standard_errors(found[key], *exact) < 5, key


@pytest.mark.parametrize("name", [c["id"] for c in CASES])
def test_an_optimum_is_no_worse_than_what_it_contains(name):
    problem, theta = case(name)
    gain = slice(problem.environment.states * problem.environment.actions)
    var = {key: mg.exact.variance(problem, theta, x) for key, x in ladder().items()}
    trace = {key: x[gain].sum() for key, x in var.items()}

    def no_worse(one, two, of):
        assert np.all(of[one] <= of[two] * (1 + 1e-9) + 1e-9), (one, two)

    for x in ("total", "to go"):
        no_worse(f"{x}, trace-optimal constant", x, trace)
        no_worse(f"{x}, trace-optimal in time", f"{x}, trace-optimal constant", trace)
        no_worse(f"{x}, optimal in time", x, var)
        no_worse(f"{x}, optimal in time", f"{x}, trace-optimal in time", var)
    no_worse("total, trace-optimal constant", "total, J", trace)
    no_worse("to go, trace-optimal in time", "to go, mean", trace)
    no_worse("to go, optimal in time", "to go, naive", var)
    no_worse("to go, optimal in time", "to go, mean", var)
    for x in ("to go, V", "to go, optimal in time", "to go, V + optimal in time"):
        no_worse("to go, optimal quadratic", x, var)
    no_worse("to go, V + trace-optimal constant", "to go, V", trace)
    no_worse("to go, V + trace-optimal in time", "to go, V + trace-optimal constant", trace)
    no_worse("to go, V + optimal in time", "to go, V + trace-optimal in time", var)


def test_nudging_an_optimum_makes_it_worse(seed):
    """The quadratic growth around the optimum is E[sum_t z_t^2] times the square of the nudge: exact, and sampled."""
    problem, theta = case("S07")
    best = rtg(baselines.optimal_over_time())
    least = mg.exact.variance(problem, theta, best)
    power = mg.exact.variance(problem, theta, mg.estimators.score())
    x = mg.sample(problem, theta, {"best": best, "Z": mg.estimators.score()}, 20_000, seed)
    for nudge in (-0.5, 0.5):
        moved = rtg(baselines.total_optimal_constant(base=nudge))
        assert np.isfinite(mg.exact.variance(problem, theta, moved)).all()
        worse = np.var(x["best"] + nudge * x["Z"], axis=0) - np.var(x["best"], axis=0)
        error = np.std(x["best"] * x["Z"], axis=0) / np.sqrt(20_000)
        assert np.all(np.abs(worse - nudge**2 * power) < 5 * (2 * abs(nudge) * error + nudge**2 * 0.1 * power))
    assert np.all(least < mg.exact.variance(problem, theta, rtg()))


# ---- fitted ------------------------------------------------------------------------------------------------------


def test_a_form_is_the_least_squares_fit():
    rng = np.random.default_rng(0)
    s = 3.0 + rng.normal(size=(500, 2)) * [1.0, 100.0]
    exact = np.array([[1.0, -2.0, 0.5], [0, 0.3, 0.2], [0, 0, -0.01]])
    values = np.array([evaluate_form(exact, x, 2) for x in s])
    np.testing.assert_allclose(fit_form(s, values, 2), exact, rtol=1e-8, atol=1e-9)
    line = np.polynomial.Polynomial.fit(s[:, 0], values, 1).convert().coef
    fitted = least_squares_form(s[:, :1], values, 1)
    np.testing.assert_allclose([fitted[0, 0], fitted[0, 1], fitted[1, 1]], [*line, 0.0], rtol=1e-8, atol=1e-9)
    assert fit_form(s, values, 0)[0, 0] == pytest.approx(values.mean())
    still = np.column_stack([s[:, 0], np.full(500, 0.1)])  # a state that never moves
    fitted = fit_form(still, values, 2)
    assert np.isfinite(fitted).all() and np.all(fitted[:, 2] == 0)


def test_the_degree_is_the_one_that_predicts(seed):
    """Dry friction: few paths move far, and a quadratic through them doubles the variance. It is not chosen where it does."""
    environment = mg.environments.coulomb_friction(20.0)
    problem = mg.Problem(environment, mg.policies.gaussian(1, std=0.1, states=2), 60)
    for pilot_seed in range(3):
        chosen = {str(d): rtg(baselines.fitted_value(degree=d, seed=pilot_seed)) for d in (0, 1, 2)}
        found = mg.measure(problem, [0.8], chosen, 50_000, seed)
        assert found["1"].variance < 0.6 * found["0"].variance
        assert found["2"].variance < 1.05 * found["1"].variance


def moved(count, movers, seed):
    """Return states and returns of paths of which a few have moved, each as far as it happened to."""
    rng = np.random.default_rng(seed)
    s = np.full((count, 1), 0.3)
    s[:movers, 0] += rng.uniform(0.0, 1e-3, movers)
    return s, 2.0 - 1e3 * (s[:, 0] - 0.3) + 0.01 * rng.normal(size=count)


@pytest.mark.parametrize("movers", [1, 2, 3])
def test_rounding_decides_nothing(movers):
    """Where one path has moved, a line and a parabola through it are equally good: the last bits must not choose."""
    for seed in range(10):
        s, values = moved(4096, movers, seed)
        forms = [
            fit_form(s * (1 + 1e-15 * up), values * (1 + 1e-15 * rng.normal(size=4096)), 2)
            for up, rng in ((k, np.random.default_rng(k)) for k in range(4))
        ]
        x = np.linspace(0.3, 0.302, 9)
        curves = np.array([[evaluate_form(f, (y,), 2) for y in x] for f in forms])
        assert np.ptp(curves, axis=0).max() < 1e-3


def test_a_higher_degree_needs_evidence():
    """Noise alone is fitted by a number, a line by a line, a parabola (an even one, too) by a parabola."""
    s = np.random.default_rng(0).normal(size=(2048, 2))
    noise = np.random.default_rng(1).normal(size=(40, 2048))
    taken = {0: [], 1: [], 2: []}
    for k, signal in enumerate((0.0 * s[:, 0], 0.3 * s[:, 0], 0.2 * s[:, 0] ** 2)):
        for y in noise:
            form = fit_form(s, signal + y, 2)
            taken[k].append(2 if form[1:, 1:].any() else int(form[0, 1:].any()))
    # An extra degree in vain is taken when its loss is smaller by chance by more than its standard error: seldom.
    assert np.mean(taken[0]) < 0.3
    assert min(taken[1]) >= 1 and np.mean(taken[1]) < 1.3
    assert min(taken[2]) == 2


def test_what_is_not_finite_does_not_count():
    s, values = moved(500, 250, 0)
    expected = fit_form(s[2:], values[2:], 2)
    values[0], s[1] = np.inf, np.nan
    assert np.array_equal(fit_form(s, values, 2), expected)
    assert not fit_form(s[:2], values[:2], 2).any()
    huge = fit_form(s[2:], 1e200 * values[2:], 2)
    np.testing.assert_allclose(huge, 1e200 * expected, rtol=1e-9)


def test_a_fit_is_bounded_where_it_saw_nothing():
    """Beyond a box of three times the size of the pilot's a fitted value stays what it is at the wall."""
    problem, theta = w1(horizon=3)
    fitted = baselines.fitted_value(pilot=64)
    data = told(fitted, known_truth).data(problem, theta)
    states = mg.rollouts.trajectories(problem, theta, 64, 0, mg.run.END - 64, "numpy").states
    for t in range(3):
        low, high = states[:, t].min(axis=0), states[:, t].max(axis=0)
        np.testing.assert_allclose(data["low"].values[t], 2 * low - high, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(data["high"].values[t], 2 * high - low, rtol=1e-12, atol=1e-12)
    at = types.SimpleNamespace(**{name: x.values[2] for name, x in data.items()})
    for s, inside in (((1e9, -1e9, 0.1, 0.2), (at.high[0], at.low[1], 0.1, 0.2)), ((0.1, 0.2, 0.3, 0.4),) * 2):
        found = fitted.value(at, types.SimpleNamespace(problem=problem, s=s))
        assert found == pytest.approx(evaluate_form(at.form, inside, 2), rel=1e-12)
    # Where the pilot does not reach what may happen, the variance is not that of a polynomial baseline.
    assert np.isfinite(mg.exact.variance(problem, theta, rtg(baselines.fitted_value(pilot=512)))).all()
    with pytest.raises(mg.exact.NoClosedForm, match="pilot: too few trajectories"):
        mg.exact.variance(problem, theta, rtg(baselines.fitted_value(pilot=16)), work=0)


@pytest.mark.parametrize("name", ["S03", "S07"])
def test_fitted_values_approach_the_value(name, seed):
    problem, theta = case(name)
    fitted = {d: rtg(baselines.fitted_value(degree=d)) for d in (0, 2)}
    exact = {d: mg.exact.variance(problem, theta, x) for d, x in fitted.items()}
    with_value = mg.exact.variance(problem, theta, rtg(baselines.value()))
    in_time = mg.exact.variance(problem, theta, rtg(baselines.mean_to_go()))
    np.testing.assert_allclose(exact[2], with_value, rtol=0.05)
    np.testing.assert_allclose(exact[0], in_time, rtol=0.1)
    found = mg.measure(problem, theta, {str(d): x for d, x in fitted.items()}, 200_000, seed)
    for d in fitted:
        assert standard_errors(found[str(d)], mg.exact.gradient(problem, theta), exact[d]) < 5


def test_fitted_values_work_on_every_problem(seed):
    problem, theta = pendulum(horizon=20)
    fitted = baselines.fitted_value()
    chosen = {
        "none": rtg(),
        "in time": rtg(baselines.fitted_value(degree=0)),
        "fitted": rtg(fitted),
        "gae(1)": mg.estimators.generalized_advantage(1.0, fitted),
        "gae(0.9)": mg.estimators.generalized_advantage(0.9, fitted),
        "blocks": mg.estimators.short_horizon(5, fitted),
        "PW": mg.estimators.reparameterization(),
    }
    found = mg.measure(problem, theta, chosen, 50_000, seed)
    for name in ("none", "in time", "fitted", "gae(1)"):
        difference = np.abs(found[name].mean - found["PW"].mean)
        assert np.all(difference < 5 * np.hypot(found[name].stderr, found["PW"].stderr)), name
    assert np.all(found["fitted"].variance < found["in time"].variance)
    assert np.all(found["in time"].variance < found["none"].variance)
    assert np.all(found["gae(0.9)"].variance < found["gae(1)"].variance)
    # The end of a block is a fitted slope: no more than a tenth off here.
    size = np.abs(found["PW"].mean).max()
    assert np.all(np.abs(found["blocks"].mean - found["PW"].mean) < 0.1 * size)


def test_the_pilot_does_not_depend_on_the_measurement():
    problem, theta = w1(horizon=3)
    one = told(baselines.fitted_value(pilot=64), known_truth).data(problem, theta)["form"].values
    two = told(baselines.fitted_value(pilot=64), known_truth).data(problem, theta)["form"].values
    other = told(baselines.fitted_value(pilot=64, seed=1), known_truth).data(problem, theta)["form"].values
    assert np.array_equal(one, two) and not np.array_equal(one, other)


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_errors():
    with pytest.raises(ValueError, match="degree"):
        baselines.fitted_value(degree=3)
    with pytest.raises(ValueError, match="pilot"):
        baselines.fitted_value(pilot=1)
    with pytest.raises(ValueError, match="base: expected a baseline that is not tuned itself, got OptimalOverTime"):
        baselines.optimal_constant(base=baselines.optimal_over_time())
    problem, theta = w1(horizon=3)
    with pytest.raises(mg.exact.NoClosedForm, match="quadratic baseline is known for reward_to_go"):
        mg.exact.variance(problem, theta, sf(baselines.optimal_quadratic()), work=0)
    problem, theta = pendulum(horizon=3)
    for b in (MeanReturn(truth_within(1e-6)), MeanToGo(truth_within(1e-6))):
        with pytest.raises(mg.exact.NoClosedForm, match="not linear-quadratic.*measured on other trajectories"):
            mg.sample(problem, theta, {"x": rtg(b)}, 2)
