"""The study of the floor: known values of the phase diagram, fitted estimators at their limits, the results kept here."""

import numpy as np
import pytest

import mcgrad as mg
from figures import files
from figures import floor as figure
from mcgrad.exact.tabular.values import state_distribution
from studies import __main__ as studies_command
from studies import floor, learned_tables


def test_the_contour_and_its_laws():
    """Contours at a few std, (b std)^2 / W* in large noise and W* / std^4 in small noise, for T = 3 and 10."""
    for T, std, W in ((10, 0.1, 5.998e-5), (3, 2.0, 0.5450), (10, 4.0, 2.357)):
        assert floor.crossing(T, std) == pytest.approx(W, rel=6e-3)
        assert floor.ratio(T, std, 0.9 * floor.crossing(T, std)) > 1
    for T, large, small in ((3, 1.8404912955, 0.19602), (10, 1.7016255504, 0.62986)):
        rows = {r["estimator"]: r["value"] for r in floor.contour(T, 1)}
        assert 1 / rows["large noise"] == pytest.approx(large, rel=1e-8)
        assert rows["small noise"] == pytest.approx(small, rel=2e-4)
    # Without a spread of the start all noise scales together.
    assert floor.crossing(10, 3.0, cov=0.0) == pytest.approx(9 * floor.crossing(10, 1.0, cov=0.0), rel=1e-8)
    for std, W, value in ((0.5, 0.04, 0.7596), (2.0, 0.04, 9.122), (4.0, 0.001, 572.0), (0.1, 1.0, 0.0076)):
        assert floor.ratio(10, std, W) == pytest.approx(value, rel=7e-3)


def test_fitted_estimators_tend_to_their_limits(seed):
    """Within 5 standard errors at N = 4096, with a rest of order 1/N; all of them above their limits at N = 64."""
    for row in learned_tables.errors(4096, 2000, seed):
        assert abs(row["value"] - row["limit"]) < 5 * row["stderr"] + 0.01 * row["limit"], row
        assert abs(row["value"] - 1.3 * row["limit"]) > 5 * row["stderr"], row
    for table in range(3):
        for row in learned_tables.errors(16384, 2000, seed, table):
            assert abs(row["value"] - row["limit"]) < 5 * row["stderr"], (table, row)
    for row in learned_tables.errors(64, 1000, seed):
        assert row["value"] > row["limit"] - 5 * row["stderr"], row


def test_the_plug_in_is_the_gradient_where_the_table_is_known():
    p, theta = learned_tables.problem()
    s = mg.exact.system(p, theta)
    known = learned_tables.Known(s.reward, s.policy, s.score)
    mu, counts = state_distribution(s), []
    for t in range(learned_tables.HORIZON):
        counts.append(mu[t][:, None, None] * s.policy[..., None] * s.P)
    counts, start = np.stack(counts)[None], s.start[None]
    fit = learned_tables.fitted(known, start, counts)
    exact = mg.exact.gradient(p, theta)
    np.testing.assert_allclose(learned_tables.gradient(known, fit)[0], exact, atol=1e-12)
    np.testing.assert_allclose(learned_tables.all_actions(known, fit, counts)[0], exact, atol=1e-12)
    folds = [(start, counts)] * 2
    np.testing.assert_allclose(learned_tables.one_step(known, folds)[0], exact, atol=1e-12)


def test_the_floor_in_the_repository_is_of_this_study_and_says_what_its_figure_says():
    path = studies_command.RESULTS / "floor.csv"
    assert path.stat().st_size < 100_000
    results = files.read("floor")
    rows = results.rows
    assert not results.about["quick"] and tuple(rows.columns) == floor.COLUMNS and len(rows) == results.about["rows"]
    ladder = rows[rows["part"] == "ladder"].set_index("estimator")["value"]
    for row in floor.rungs(0, 0, 1):
        assert ladder[row["estimator"]] == pytest.approx(row["value"], rel=1e-9)
    assert ladder["system identification"] == pytest.approx(6.566406277632, rel=1e-8)
    assert ladder["all actions, fitted critic"] == pytest.approx(11.8243, rel=1e-5)
    fitted = rows[rows["estimator"] == "doubly robust, fitted critic"].iloc[0]
    assert abs(fitted["value"] - ladder["tree bound"]) < 5 * fitted["stderr"]
    phase = rows[rows["part"] == "phase"]
    assert (phase[phase["horizon"] == 10]["value"] < 1).mean() == pytest.approx(0.64, abs=0.005)
    for T, share, least, most in ((3, 0.67, 0.000176, 41.4), (10, 0.64, 0.000477, 572), (30, 0.63, 0.000561, 1164)):
        here = phase[phase["horizon"] == T]
        assert (here["value"] < 1).mean() == pytest.approx(share, abs=0.01)
        assert (here["value"].min(), here["value"].max()) == pytest.approx((least, most), rel=1e-2)
        table = here.pivot(index="noise", columns="std", values="value").to_numpy()
        assert (np.diff(table, axis=1) > 0).all() and (np.diff(table, axis=0) < 0).all()  # one contour
    learned = rows[(rows["part"] == "N") & (rows["count"] == rows[rows["part"] == "N"]["count"].max())]
    assert (np.abs(learned["value"] - learned["limit"]) < 4 * learned["stderr"]).all()
    best = rows[(rows["part"] == "behaviour") & (rows["estimator"] == "best")].set_index("horizon")
    assert best.loc[10, "value"] == pytest.approx(21.76479939, rel=1e-6) and best.loc[10, "limit"] == pytest.approx(
        0.5**0.5
    )
    assert "doubly robust attains" in figure.describe(
        {part: rows[rows["part"] == part] for part in rows["part"].unique()}, results.about
    )
    text = floor.STUDY.report(rows.replace({np.nan: None}).to_dict("records"))
    assert "below the tree bound: all actions 4.35049 (oracle)" in text and "T = 30: pathwise is below" in text
