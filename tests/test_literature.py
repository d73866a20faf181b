"""The regenerated figures hold what was published: their CSV files against closed forms and values of the papers."""

import numpy as np
import pytest

from figures import __main__ as figures_command
from figures import files

PAPERS = ["mohamed_2020", "mohamed_2020_dimension"]


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
