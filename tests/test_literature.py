"""The regenerated figures hold what was published: their CSV files against closed forms and values of the papers."""

import numpy as np
import pytest

import mcgrad as mg
from figures import __main__ as figures_command
from figures import files
from studies import han_yang_2026

PAPERS = ["mohamed_2020", "mohamed_2020_dimension", "han_yang_2026"]


def results(name):
    """Return the rows of a study in the repository."""
    found = files.read(name)
    assert (files.RESULTS / f"{name}.csv").stat().st_size < 100_000
    assert not found.about["quick"]
    return found.rows


def worst(rows):
    """Return by how many standard errors measured variances are from exact ones, at worst; there must be some."""
    seen = rows[(rows["count"] > 0) & (rows["exact_variance"] > 0)]
    assert len(seen) > 5
    return (np.abs(seen["variance"] - seen["exact_variance"]) / seen["variance_stderr"]).max()


def caught(check, *arguments):
    """Return whether a check fails."""
    try:
        check(*arguments)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", PAPERS)
def test_captions_are_made_of_results_alone(name):
    module = figures_command.found()[name]
    found = files.read(module.STUDY)
    text = module.describe(found.rows, found.about)
    assert len(text) > 200 and "nan" not in text and text == module.describe(found.rows, found.about)


# ---- Mohamed, Rosca, Figurnov and Mnih (2020) ---------------------------------------------------------------------

ESTIMATORS = (
    "score function",
    "score function, baseline J",
    "score function, optimal constant",
    "reparameterization",
    "measure-valued",
)


def quadratic(k, s):
    """Return the variances of the five estimators for (x - k)^2, x ~ N(1, s), in mean and std: polynomials of the paper."""
    d = 1.0 - k
    mean = (15 * s**2 + 14 * d**2 + d**4 / s**2, 10 * s**2 + 8 * d**2, 6 * s**2 + 8 * d**2, 4 * s**2)
    std = (74 * s**2 + 60 * d**2 + 2 * d**4 / s**2, 56 * s**2 + 40 * d**2, 24 * s**2 + 40 * d**2, 8 * s**2 + 4 * d**2)
    return {"mean": (*mean, (16 / np.pi - 4) * d**2), "std": (*std, 4 * s**2 + 4 * d**2)}


# k, parameter, variances of the five estimators, from closed forms that two methods agree on.
PUBLISHED = {
    "exponential": (
        (0.1, "mean", (0.563532, 0.054075, 0.0404677, 0.0162902, 0.00250909)),
        (0.1, "std", (0.935384, 0.228894, 0.140991, 0.02777, 0.0219705)),
        (1.0, "mean", (0.17575, 0.080673, 0.0722217, 0.211723, 0.0125676)),
        (1.0, "std", (0.17669, 0.223173, 0.112784, 0.175731, 0.0706647)),
        (10.0, "mean", (0.0769404, 0.0602344, 0.0601966, 0.941629, 0.0206558)),
        (10.0, "std", (0.0090346, 0.0391889, 0.00873908, 0.892046, 0.116732)),
    ),
    "cosine": (
        (0.5, "mean", (0.455248, 0.155351, 0.117864, 0.0392846, 0.00827547)),
        (0.5, "std", (0.798658, 0.723684, 0.460102, 0.0875129, 0.0652662)),
        (5.0, "mean", (0.5, 0.5, 0.5, 12.5, 0.295717)),
        (5.0, "std", (1.0, 1.0, 1.0, 12.5, 0.999993)),
    ),
}
CROSSINGS = (-0.913058, 2.913058, 0.8700, 0.3580, 1.0028, 0.7519, 1.4181, 1.0638, 1.2973)


def test_the_costs_of_mohamed_are_the_published_ones():
    rows = results("mohamed_2020")
    costs = (
        rows[rows["part"] == "cost"].set_index(["cost", "parameter", "estimator", "k"])["exact_variance"].sort_index()
    )

    def check(s):
        number = 0
        for (parameter, name, k), variance in costs["quadratic"].items():
            expected = quadratic(k, s)[parameter][ESTIMATORS.index(name)]
            assert variance == pytest.approx(expected, rel=1e-9, abs=1e-12)
            number += 1
        assert number == 25 * 10

    check(1.0)
    assert caught(check, 1.0001)
    for cost, published in PUBLISHED.items():
        for k, parameter, values in published:
            found = [costs[cost, parameter, name, k] for name in ESTIMATORS]
            assert found == pytest.approx(values, rel=2e-5)
    assert costs["cosine", "mean", "measure-valued", np.pi] < 1e-12
    worse = costs["exponential", "std", ESTIMATORS[1], 10.0] / costs["exponential", "std", ESTIMATORS[0], 10.0]
    assert worse == pytest.approx(4.34, abs=0.01)
    assert rows.loc[rows["part"] == "crossing", "k"].tolist() == pytest.approx(CROSSINGS, abs=6e-5)


def test_the_dimensions_of_mohamed_follow_the_polynomials():
    rows = results("mohamed_2020")
    rows = rows[rows["part"] == "dimension"]

    def check(power):
        for _, row in rows.iterrows():
            D, s = row["dimension"], row["std"]
            expected = 2e4 / s**2 if row["cost"] == "constant" else D**power / (2 * s**2) + 2 * D + 8
            assert row["exact_variance"] == pytest.approx(expected, rel=1e-9)

    check(2)
    assert caught(check, 2.001)
    assert len(rows) == 2 * 3 * 11


def test_what_was_measured_for_mohamed_agrees():
    rows = results("mohamed_2020")
    assert worst(rows) < 5
    planted = rows.assign(exact_variance=1.05 * rows["exact_variance"])
    assert worst(planted) > 5


# ---- Han and Yang (2026) --------------------------------------------------------------------------------------------


def test_the_noise_to_signal_ratios_of_han_and_yang_are_the_published_ones():
    rows = results("han_yang_2026")
    one = rows[rows["part"] == "one step"].set_index(["std", "initial_std"])["exact_nsr"]
    assert len(one) == 13 * 13 and one.idxmin() == (10.0, 0.01) and one.idxmax() == (0.01, 10.0)
    assert one.min() == pytest.approx(18.50046, rel=1e-8) and one.max() == pytest.approx(4.037626453e9, rel=1e-9)
    slope = np.log(one[0.017783, 10.0] / one[0.01, 10.0]) / np.log(1.7783)
    assert slope == pytest.approx(-2.0, abs=5e-6)
    for T, nsr in ((5, 101317.38), (10, 205548.0)):
        (setting,) = (x for x in han_yang_2026.settings(True) if x["part"] == "horizon" and x["horizon"] == T)
        kept = rows[(rows["part"] == "horizon") & (rows["horizon"] == T) & (rows["estimator"] == "score function")]
        assert kept["exact_nsr"].item() == pytest.approx(nsr, rel=1e-7)
        for std, same in ((setting["std"], True), (1.01 * setting["std"], False)):
            again = han_yang_2026.rows({**setting, "std": std, "names": ["score function"]}, 0, None)[0]["exact_nsr"]
            assert (again == pytest.approx(nsr, rel=1e-7)) is same


def test_the_first_cost_is_paid_back_in_the_problem_of_han_and_yang():
    """Returns are those of rewards that count the state after the step."""
    p, theta = han_yang_2026.problem(5, 0.3, 1.0)
    found = mg.rollout(p, theta, 20, machine="numpy")
    states, actions = found.states[:, 1:, :2], found.actions[:, :, 0]
    expected = -np.sum(states**2, axis=(1, 2)) - han_yang_2026.ACTION_COST * np.sum(actions**2, axis=1)
    assert found.rewards.sum(axis=1) + found.terminal == pytest.approx(expected, rel=1e-10)


def test_without_process_noise_alone_a_value_baseline_removes_the_slope():
    rows = results("han_yang_2026")
    seen = rows[rows["count"] > 0]
    assert (np.abs(seen["nsr"] - seen["exact_nsr"]) / seen["nsr_stderr"]).max() < 5 and len(seen) == 56
    at = rows[rows["part"] == "std"].set_index(["process_noise", "estimator", "std"])["exact_nsr"]
    expected = {"score function": (-2, -2), "reward to go, value baseline": (0, -2), "reparameterization": (0, 0)}
    for name, slopes in expected.items():
        found = [np.log(at[noise, name, 0.017783] / at[noise, name, 0.01]) / np.log(1.7783) for noise in (0.0, 1e-3)]
        assert found == pytest.approx(slopes, abs=2e-3)
