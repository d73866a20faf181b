"""The studies behind the three pages: against closed forms, simulation and what their figures say."""

import numpy as np
import pytest

import mcgrad as mg
from figures import files
from figures import grad_log_pi as grad_log_pi_figure
from figures import which_estimator as which_estimator_figure
from studies import grad_log_pi, two_views, which_estimator


@pytest.mark.parametrize("module", [two_views, grad_log_pi, which_estimator])
def test_the_results_in_the_repository_are_of_this_study(module):
    results = files.read(module.STUDY.name)
    assert not results.about["quick"] and tuple(results.rows.columns) == module.STUDY.columns
    assert (files.RESULTS / f"{module.STUDY.name}.csv").stat().st_size < 100_000


# ---- two views ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def views(request):
    """Return the paths and the samples of many trajectories."""
    from support import SEED

    paths = two_views.rows({"part": "paths", "points": 9, "count": 4000}, SEED, 1)
    samples = two_views.rows({"part": "samples", "points": 0, "count": 4000}, SEED, 1)
    return paths, samples


def test_both_views_have_the_mean_that_is_exact(views):
    """Over 4000 trajectories, within 5 standard errors; returns without weights would be seen, next to the middle."""
    paths, _ = views
    theta = sorted({row["theta"] for row in paths})
    assert theta[4] == pytest.approx(two_views.THETA)
    for k in theta[2:7]:
        here = [row for row in paths if row["theta"] == k]
        exact = here[0]["exact_objective"]
        fixed = np.array([row["fixed_return"] * row["ratio"] for row in here])
        moved = np.array([row["moved_return"] for row in here])
        for x in (fixed, moved):
            assert abs(x.mean() - exact) < 5 * x.std() / len(x) ** 0.5
        if k != theta[4]:
            unweighted = np.array([row["fixed_return"] for row in here])
            assert abs(unweighted.mean() - exact) > 5 * unweighted.std() / len(here) ** 0.5


def test_slopes_of_both_views_are_the_two_gradients(views):
    paths, samples = views
    theta = np.array(sorted({row["theta"] for row in paths}))
    at = {(row["trajectory"], row["theta"]): row for row in paths}
    low, middle, high = theta[3:6]
    for row in samples[:20]:
        i = row["trajectory"]
        below, here, above = (at[i, k] for k in (low, middle, high))
        assert here["ratio"] == 1.0 and here["fixed_return"] == pytest.approx(here["moved_return"])
        logarithm = (np.log(above["ratio"]) - np.log(below["ratio"])) / (high - low)  # quadratic in theta: exact
        assert here["fixed_return"] * logarithm == pytest.approx(row["score"], rel=1e-6)
        assert (above["moved_return"] - below["moved_return"]) / (high - low) == pytest.approx(
            row["path"], rel=0.2, abs=0.1
        )
    for name in ("score", "path"):
        x, exact = np.array([row[name] for row in samples]), samples[0][f"{name}_variance"]
        assert abs(x.mean() - samples[0]["exact_gradient"]) < 5 * (exact / len(x)) ** 0.5
        assert x.var() == pytest.approx(exact, rel=0.5)


# ---- grad log pi --------------------------------------------------------------------------------------------------


def test_arrows_have_the_gradient_as_their_mean_with_any_baseline():
    rows = grad_log_pi.arrows({})
    for baseline in ("none", "mean"):
        here = [row for row in rows if row["baseline"] == baseline]
        for k in range(3):
            mean = sum(row["probability"] * row[f"arrow_{k}"] for row in here)
            assert mean == pytest.approx([-0.05, 0.27, -0.22][k]) and here[0][f"gradient_{k}"] == pytest.approx(mean)


def test_batches_have_the_errors_of_the_formulas():
    """Of the literature's bandit: variances 1.0022 and .3048; the mean of the batch takes 1/B, leave one out nothing."""
    norm = np.linalg.norm([-0.05, 0.27, -0.22])
    for row in grad_log_pi.batch({}):
        B = row["size"]
        assert row["bias"] == pytest.approx(1 / B if row["estimator"] == "mean of the batch" else 0.0, abs=1e-12)
        variance = (row["error"] ** 2 - row["bias"] ** 2) * norm**2
        known = {"no baseline": 1.0022 / B, "exact baseline": 0.3048 / B}
        if row["estimator"] in known:
            assert variance == pytest.approx(known[row["estimator"]], rel=1e-9)
    five = mg.estimators.leave_one_out(5)
    assert mg.exact.variance(grad_log_pi.problem(), np.log(grad_log_pi.PI), five).sum() == pytest.approx(0.08234)


def test_the_loss_goes_up_and_down_while_the_objective_rises():
    rows = files.read("grad_log_pi").rows
    ascent = rows[rows["part"] == "ascent"].sort_values("step")
    assert (np.diff(ascent["objective"]) > 0).all() and ascent["objective"].iloc[-1] > 1.9
    assert 0 < ascent["loss"].argmax() < 10 and ascent["loss"].iloc[-1] < 0.2 * ascent["loss"].iloc[0]
    assert ascent["shifted_loss"].iloc[0] < 0 and ascent["shifted_loss"].iloc[-1] > ascent["shifted_loss"].iloc[0]
    for _, row in ascent.iloc[::20].iterrows():  # a policy from its objective and losses: they belong together
        entropy = (row["shifted_loss"] - row["loss"]) / -grad_log_pi.SHIFT
        assert -np.log(3) <= entropy <= 0
    text = grad_log_pi_figure.describe(*(rows[rows["part"] == part] for part in ("arrows", "batch", "ascent")))
    assert "0.125" in text and "0.608" in text


# ---- which estimator ----------------------------------------------------------------------------------------------


def test_ratios_agree_with_exact_ones_and_with_the_literature():
    rows = files.read("which_estimator").rows
    known = rows.dropna(subset="exact_ratio")
    assert len(known) == len(rows) - 1  # all but the standardised group
    assert (abs(known["ratio"] - known["exact_ratio"]) < 5 * known["ratio_stderr"]).all()
    assert (
        abs(1.1 * known["ratio"] - known["exact_ratio"]) > 5 * known["ratio_stderr"]
    ).all()  # ten percent would be seen
    at = rows.set_index(["reader", "estimator"])
    gradient = 2.2364779
    for name, variance in {"score function": 633.34557, "reward to go": 367.55598, "pathwise": 8.6441279}.items():
        assert at.loc[("control", name), "exact_ratio"] == pytest.approx(variance / gradient**2, rel=1e-6)
    biased = at["mean_over_gradient"].drop(
        [("language model", x) for x in ("less the group's mean", "standardised group")]
    )
    assert (abs(biased - 1) < 1e-5).all()  # central differences of width 1e-3 are biased by 1e-6
    assert at.loc[("language model", "less the group's mean"), "mean_over_gradient"] == pytest.approx(7 / 8)
    assert at.loc[("language model", "standardised group"), "mean_over_gradient"] == pytest.approx(1.963, abs=0.01)


def test_every_estimator_of_the_figure_has_a_class():
    rows = files.read("which_estimator").rows
    assert {which_estimator_figure.look(name) for name in rows["estimator"]} == set(
        which_estimator_figure.KNOWS.values()
    )
