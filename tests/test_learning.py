"""The studies of learning: their CSV files against exact and published values, and planted changes that are caught."""

import math

import numpy as np
import pytest

import mcgrad as mg
from figures import files
from studies import corridor, learning, zeroth_order


def of(name):
    """Return the committed results of a study, checked to be small, of a full run, and of these columns."""
    results, module = files.read(name), {"corridor": corridor, "learning": learning, "zeroth_order": zeroth_order}[name]
    assert (files.RESULTS / f"{name}.csv").stat().st_size < 120_000
    assert not results.about["quick"] and tuple(results.rows.columns) == module.STUDY.columns
    return results.rows


# ---- the short corridor ----------------------------------------------------------------------------------------


def test_the_corridor_is_that_of_the_book():
    assert corridor.objective(corridor.BEST) == pytest.approx(corridor.OPTIMUM, rel=1e-14)
    assert corridor.OPTIMUM == pytest.approx(-11.656854, abs=1e-6)
    assert corridor.objective(0.05) == pytest.approx(-82.105, abs=1e-3)
    assert corridor.objective(0.95) == pytest.approx(-44.211, abs=1e-3)
    problem, theta = corridor.problem()
    assert mg.exact.objective(problem, theta) == pytest.approx(corridor.objective(0.05), rel=1e-6)
    assert mg.exact.gradient(problem, theta)[1] == pytest.approx(corridor.slope(theta[1] - theta[0]), rel=1e-6)


def test_reinforce_is_the_same_compiled_and_interpreted_and_climbs_the_gradient(seed):
    """A small step moves theta by alpha times the gradient, in the mean over runs; a factor of 1.5 would be seen."""
    _, start = corridor.problem()
    runs = []
    for run in range(4000):
        u = np.random.Generator(np.random.Philox(key=[seed, run])).random(4000)
        runs.append(corridor.compiled()(u, start.copy(), 1e-7, 0.0, 2))
        if run < 3:
            again = corridor.reinforce(u, start.copy(), 1e-7, 0.0, 2)
            assert all(np.array_equal(x, y) for x, y in zip(again, runs[-1], strict=True))
    returns, path = (np.stack(x) for x in zip(*runs, strict=True))
    moved = (path[:, 1, 1] - path[:, 0, 1]) / 1e-7
    gradient, error = corridor.slope(start[1] - start[0]), moved.std() / math.sqrt(len(moved))
    assert abs(moved.mean() - gradient) < 5 * error < 0.5 * gradient
    assert abs(returns.mean() - corridor.objective(0.05)) < 5 * returns.std() / math.sqrt(returns.size)


def test_the_corridor_in_the_repository_follows_the_mean_path():
    rows = of("corridor")
    small = rows[(rows["curve"] == "2^-14") & (rows["episode"] < 60)]
    path = corridor.predicted(2.0**-14, 60)
    np.testing.assert_allclose(small["predicted"], path[small["episode"]], rtol=1e-6)
    apart = np.abs(small["objective"] - small["predicted"]) / small["objective_stderr"].clip(lower=1e-9)
    assert (apart[small["episode"] > 0] < 5).all()
    wrong = corridor.predicted(1.25 * 2.0**-14, 60)[small["episode"]]
    assert (np.abs(small["objective"] - wrong) / small["objective_stderr"].clip(lower=1e-9)).max() > 5
    # An episode at a time, by another simulation: the same to first order in alpha.
    book, ours = (rows[rows["curve"] == x].set_index("episode") for x in ("2^-13", corridor.PER_EPISODE))
    error = np.hypot(book["objective_stderr"], ours["objective_stderr"])[5:]
    assert (np.abs(book["objective"] - ours["objective"])[5:] < 5 * error).all()
    assert (
        np.abs(rows[rows["curve"] == "2^-14"].set_index("episode")["objective"] - ours["objective"])[5:] > 5 * error
    ).any()
    assert rows["plateau"].max() == pytest.approx(2.0**-12 * corridor.plateau_variance() / 4, rel=1e-6)
    assert set(rows[rows["curve"] == "2^-13"]["lost"]) == {0} and rows[rows["curve"] == "2^-12"]["lost"].max() > 0
    last = rows[rows["curve"] == "2^-13"].iloc[-1]
    assert -13.0 < last["objective"] < corridor.OPTIMUM


# ---- scores against directions ---------------------------------------------------------------------------------


def test_variances_of_directions_are_the_published_and_exact_ones():
    rows = of("zeroth_order")
    rows = rows[rows["part"] == "variance"]
    measured = rows[rows["exact_variance"].notna()]
    assert (np.abs(measured["variance"] - measured["exact_variance"]) < 5 * measured["variance_stderr"]).all()
    assert (np.abs(rows["mean"] - rows["exact_mean"]) < 5 * rows["stderr"]).all()
    assert (np.abs(rows["mean"] - 1.3 * rows["exact_mean"]) > 5 * rows["stderr"]).mean() > 0.3
    at = rows.set_index(["horizon", "estimator"])
    for horizon, score, one, two in ((5, 408.63, 1217, 20.735), (10, 633.35, 1910, 35.936)):
        assert at.loc[(horizon, "score function"), "exact_variance"].item() == pytest.approx(score, rel=1e-4)
        curve = at.loc[(horizon, "one point")].sort_values("width")
        near = np.exp(np.interp(math.log(0.1), np.log(curve["width"]), np.log(curve["variance"])))
        assert near == pytest.approx(one, rel=0.05)
        smallest = at.loc[(horizon, "two points")].sort_values("width").iloc[0]
        assert smallest["variance"] == pytest.approx(two, rel=0.05)


def test_the_smoothed_gradient_is_that_of_the_literature():
    p, theta = zeroth_order.problem(10)
    found = zeroth_order.smoothed_gradient(p, theta, 0.1)
    assert found == pytest.approx(-2.3485, abs=1e-3)
    assert zeroth_order.smoothed_gradient(p, theta, 1e-4) == pytest.approx(mg.exact.gradient(p, theta)[0], rel=1e-5)


def test_the_double_integrator_is_recht_s():
    K = np.array([[0.0, 0.0], [-0.48, -1.25], [-0.3, -0.8]])
    p = zeroth_order.integrator(0.0)
    exact = [-mg.exact.objective(p, k) - 1.0 for k in K]
    np.testing.assert_allclose(zeroth_order.cost(K), exact, rtol=1e-12)
    # The published numbers are those without noise.
    environment = mg.environments.linear_quadratic(
        zeroth_order.A,
        zeroth_order.B,
        np.diag([1.0, 0.0]),
        [[1.0]],
        terminal_cost=np.diag([1.0, 0.0]),
        initial_mean=zeroth_order.START,
        initial_cov=np.zeros((2, 2)),
    )
    without = mg.Problem(environment, mg.policies.linear_gaussian(2, 1, std=0.0), 10)
    assert -mg.exact.optimum(without, [-0.5, -1.2]).objective - 1.0 == pytest.approx(1.600484490, abs=1e-8)
    assert -mg.exact.objective(without, [0.0, 0.0]) - 1.0 == pytest.approx(10.0, rel=1e-12)


def test_the_comparison_in_the_repository_is_recht_s():
    rows = of("zeroth_order")
    rows = rows[rows["part"] == "double integrator"]
    best = -mg.exact.optimum(zeroth_order.integrator(0.0), [-0.5, -1.2]).objective - 1.0
    assert rows["optimum"].to_numpy() == pytest.approx(best, rel=1e-6) and 1.6004 < best < 1.62
    assert (rows["median"].dropna() >= best - 1e-6).all() and rows["rollouts"].max() == zeroth_order.MOST
    for name in zeroth_order.METHODS:
        own = rows[rows["estimator"] == name].sort_values("rollouts")
        assert own["median"].iloc[0] == pytest.approx(zeroth_order.cost([[0.0, 0.0]])[0], rel=1e-6)  # no control
        assert own["rate"].isin(zeroth_order.FACTORS).all()
    ends = rows.sort_values("rollouts").groupby("estimator")["median"].last()
    assert ends["uniform sampling"] < 1.1 * best and ends["policy gradient, Adam"] < 1.2 * best


def test_steps_are_chosen_in_trials_that_are_not_reported(seed, monkeypatch):
    """For each budget the step of the best median among the first trials; the others are reported."""
    monkeypatch.setattr(zeroth_order, "MOST", 120)
    monkeypatch.setattr(zeroth_order, "FACTORS", (0.1, 1.0, 10.0))
    rollouts, costs, _, rates = zeroth_order.tuned("policy gradient", 3, seed, 1)
    assert rollouts.tolist() == [0, 40, 80, 120] and costs.shape == (3, 4)
    std, make, batch, published, optimizer = zeroth_order.METHODS["policy gradient"]
    tuning, found = zeroth_order.TUNING, {}
    for factor in zeroth_order.FACTORS:
        options = {"optimizer": optimizer(factor * published), "seeds": [10_000 * seed + k for k in range(tuning + 3)]}
        p = zeroth_order.integrator(std)
        ends = mg.ascend(p, np.zeros(2), make(), batch, 3, record=[3], judged=None, threads=1, **options).theta
        found[factor] = zeroth_order.cost(ends[:, -1])
    assert rates[-1] == min(found, key=lambda x: np.median(found[x][:tuning]))
    np.testing.assert_allclose(costs[:, -1], found[rates[-1]][tuning:], rtol=1e-12)
    assert len({x[0] for x in found.values()}) > 1


def test_returns_that_a_loss_takes_follow_theory():
    rows = of("zeroth_order")
    rows = rows[rows["part"] == "queries"]
    assert len(rows) == 23
    within = np.abs(rows["rollouts"] / rows["predicted"] - 1) < 0.5
    assert within.all() and not (np.abs(rows["rollouts"] * rows["epsilon"] ** 0.3 / rows["predicted"] - 1) < 0.5).any()
    assert (rows["rollouts"] / rows["predicted"]).median() == pytest.approx(1.0, abs=0.15)
    p, theta = zeroth_order.problem(10)
    K = mg.exact.optimum(p, theta).gain.ravel()
    for name, slope in {"score function": -1.0, "one point": -2.0, "two points": -1.0}.items():
        own = rows[rows["estimator"] == name]
        small = own[own["batch"] > 4]  # of fewer one cannot be made
        found = np.polyfit(np.log(small["epsilon"]), np.log(small["rollouts"] / small["steps"]), 1)[0]
        assert found == pytest.approx(slope, abs=0.1)  # half as steep or twice as steep would be seen
        wide = own["width"].iloc[0] if name != "score function" else None
        V = mg.exact.variance(p, K, zeroth_order.MAKE[name](wide))[0]
        assert own["exact_variance"].iloc[0] == pytest.approx(V, rel=1e-9)
    # The published slopes, with their logarithm: returns from .03 to .003 for one point, to .0003 for the others.
    at = rows.set_index(["estimator", "epsilon"])["rollouts"]
    assert np.log10(at["one point", 0.003] / at["one point", 0.03]) == pytest.approx(2.3, abs=0.25)
    assert np.log10(at["score function", 0.0003] / at["score function", 0.03]) / 2 == pytest.approx(1.25, abs=0.15)


def test_gaps_are_those_of_the_exact_objective():
    p, theta = zeroth_order.problem(10)
    best = mg.exact.optimum(p, theta).objective
    for K in (-1.0, -0.6, 0.1):
        assert zeroth_order.gaps(np.array([K]))[0] == pytest.approx(best - mg.exact.objective(p, [K]), rel=1e-9)


def test_a_crossing_is_found_between_steps():
    assert zeroth_order.crossing([8.0, 4.0, 1.0], 2.0) == pytest.approx(1.5)
    assert zeroth_order.crossing([8.0, 4.0], 2.0) is None and zeroth_order.crossing([1.0], 2.0) is None


# ---- learning curves -------------------------------------------------------------------------------------------


def test_curves_start_where_they_should_and_end_nearer():
    rows = of("learning")
    curves = rows[rows["part"] == "curve"]
    assert list(curves["problem"].unique()) == list(learning.PROBLEMS)
    for (problem, estimator), own in curves.groupby(["problem", "estimator"]):
        assert estimator in learning.chosen(problem)
        make, known, _ = learning.PROBLEMS[problem]
        p, start = make()
        first = own[own["step"] == 0].iloc[0]
        if problem in ("cart-pole", "pendulum"):
            assert first["optimum"] == known
            continue
        best = mg.exact.optimum(p, start).objective if known is None else known
        assert first["optimum"] == pytest.approx(best, rel=1e-5)
        assert first["median"] == pytest.approx(best - mg.exact.objective(p, start), rel=1e-5)
        assert (own["median"].dropna() > -2e-3).all()  # no theta is better than the best; a horizon of 200 is forgiven
        assert own["median"].iloc[-1] < first["median"]


def test_less_variance_is_less_loss_in_the_end_of_the_curves():
    """What the figure's message says of its last panel, and where it says "mostly"."""
    rows = of("learning")
    rows = rows[rows["part"] == "curve"]
    assert (rows["seeds"] == 40).all() and rows["rate"].isin(learning.RATES).all()
    ends = rows.sort_values("step").groupby(["problem", "estimator"])["median"].last()
    for problem, best in {
        "scalar LQ": "reparameterization",
        "two double integrators": "reparameterization",
        "unstable start": "reward to go, value baseline",
        "corridor": "reward to go, value baseline",
        "cart-pole": "reward to go",
        "pendulum": "reward to go",
    }.items():
        assert ends[problem, best] < 0.4 * ends[problem, "score function"]
    assert ends["pendulum", "reparameterization"] > ends["pendulum", "reward to go"]


def test_losses_in_the_end_are_the_rate_times_the_variance():
    rows = of("learning")
    ends = rows[rows["part"] == "plateau"].set_index("estimator")
    problem, _ = learning.scalar()
    best = mg.exact.optimum(problem, [-1.0])
    H = -float(mg.exact.hessian(problem, best.gain.ravel())[0, 0])
    ratios = {}
    for name, make in learning.PLATEAUS.items():
        row = ends.loc[name]
        V = float(mg.exact.variance(problem, best.gain.ravel(), make())[0])
        assert row["exact_variance"] == pytest.approx(V, rel=1e-9)
        steps = np.unique(np.linspace(row["step"] // 2, row["step"], 20).astype(int))
        assert row["predicted"] == pytest.approx(learning.loss(row["rate"], V, H, row["batch"], steps), rel=1e-9)
        ratios[name] = row["median"] / row["predicted"]
        # To first order in alpha: what is left is a part of the loss that grows with it.
        assert abs(row["median"] - row["predicted"]) < 5 * row["stderr"] + 0.15 * row["predicted"], name
    for one, other in (("reward to go, value baseline", "reward to go"), ("reparameterization", "score function")):
        false = ends.loc[other, "predicted"]
        assert abs(ends.loc[one, "median"] - false) > 5 * ends.loc[one, "stderr"] + 0.15 * false


def test_rows_of_a_curve_are_those_of_an_ascent(seed):
    """The best rate is that of the tuning seeds, the quantiles are those of the others."""
    setting = {"part": "curve", "problem": "scalar LQ", "estimator": "reparameterization", "steps": 6, "seeds": 5}
    rows = learning.rows(setting, seed, 1)
    problem, start = learning.scalar()
    tuning = learning.TUNING
    options = {"seeds": [1_000_000 * seed + k for k in range(tuning + 5)], "record": [6], "threads": 1}
    gaps = {}
    for rate in learning.RATES:
        optimizer = mg.optimizers.adam(rate, *learning.DECAY)
        gaps[rate] = mg.ascend(
            problem, start, mg.estimators.reparameterization(), 16, 6, optimizer=optimizer, **options
        ).gap()[:, 0]
    best = min(gaps, key=lambda rate: np.median(gaps[rate][:tuning]))
    assert rows[-1]["rate"] == best and rows[-1]["trajectories"] == 96
    assert rows[-1]["median"] == pytest.approx(np.median(gaps[best][tuning:]), rel=1e-5)
    assert rows[-1]["median"] != pytest.approx(np.median(gaps[best][:tuning]), rel=1e-3)
    assert len({gaps[rate][5] for rate in gaps}) == len(gaps)


def test_what_is_needed_is_read_off_a_curve():
    def rows(medians):
        return [{"trajectories": 10 * k, "median": x} for k, x in enumerate(medians)]

    assert learning.needed(rows([8.0, 4.0, 1.0]), 2.0) == pytest.approx(10 * 2**0.5)
    assert learning.needed(rows([8.0, 4.0, None]), 2.0) == math.inf
    assert learning.needed(rows([8.0, 1.0]), 2.0) == 10.0
