"""Exact means and variances in a comparison: whose they are, what is said of them, and what happens where they are wrong."""

import dataclasses
import sys

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.comparison import compare
from mcgrad.comparison.known import CLOSED, RECURSION

FAST = {"count": 20_000, "seconds": 0.001, "machine": "numpy"}
NAMES = ("pathwise", "reward to go", "reward to go, mean to go")
COMPARISON = sys.modules["mcgrad.comparison"]


def features(**changes):
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return dataclasses.replace(policy, **changes)


def double_well(**changes):
    return mg.Problem(mg.environments.double_well(), features(**changes), horizon=4), [-0.3, 0.5]


def kinked():
    """A user's own: a dead zone in the reward, a limit on the action."""
    mine = mg.Environment(
        states=1, actions=1, initial_noises=1, init=lambda p, z: (0.3 * z[0],),
        step=lambda p, s, a, w: (0.9 * s[0] + 0.5 * np.clip(a[0], -1.0, 1.0),),
        reward=lambda p, s, a, s_next, w: -(np.maximum(abs(a[0] - s[0]) - 0.2, 0.0) ** 2),
    )  # fmt: skip
    return mg.Problem(mine, mg.policies.linear_gaussian(1, 1, std=0.6), horizon=3), [-0.7]


def table():
    return mg.Problem(mg.environments.random_walk(5), mg.policies.softmax(5, 2), horizon=5), np.linspace(-0.5, 0.5, 10)


CASES = {"double well": (double_well, RECURSION), "kinked": (kinked, RECURSION), "table": (table, CLOSED)}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_exact_and_say_by_what(name):
    make, by = CASES[name]
    problem, theta = make()
    only = NAMES if by == RECURSION else NAMES[1:]
    found = compare(problem, theta, only=only, **FAST)
    known = mg.exact.moments(problem, theta, {"x": mg.estimators.reward_to_go()}, tolerance=1e-5)["x"]
    row, x = found["reward to go"], found.moments["reward to go"]["reward to go"]
    assert row.exact == by and row.variance == pytest.approx(known.variance.sum(), rel=1e-3)
    assert row.variance_low == row.variance == row.variance_high and row.variance != x.total_variance
    assert abs(x.total_variance - row.variance) < 5 * x.total_variance_stderr
    # The mean that others are compared with, by two estimators that share nothing but the dynamics.
    if by == RECURSION:
        apart = np.abs(found["pathwise"].mean - found["reward to go"].mean)
        assert np.all(apart < 1e-3 * np.abs(row.mean).max()) and found.reference != "exact"
        assert "gradient: that of" in str(found) and ", exactly, |gradient|" in str(found)
        assert "no witness of step, reward, sample or score" in str(found) and " exact*" in str(found)
        assert found.recommendation().startswith("Use pathwise: ")
    else:
        assert found.reference == "exact" and "exact*" not in str(found) and "without the kernels" in str(found)
        np.testing.assert_allclose(row.mean, found.gradient, atol=1e-13)
    assert all(found.contends(row) for row in found.rows) and found.contradicted == ()


def test_an_exact_mean_does_not_vouch_for_a_wrong_score():
    """The recursion reads the same score as the kernel, so both have its mean: other estimators and returns contradict."""
    wrong = {"score": lambda p, eta, a, e: (1.3 * e[0] / 0.5,), "log_prob": None, "closed_form": None}
    found = compare(*double_well(**wrong), only=NAMES[::2], **FAST)
    assert found["reward to go, mean to go"].exact == RECURSION
    assert found.recommendation().startswith("No recommendation: ")
    assert found.verdict.disagreement.beside == ("pathwise",)


@pytest.mark.parametrize("part", ["mean", "variance"])
def test_what_the_measurement_contradicts_is_not_believed(part, monkeypatch):
    honest = COMPARISON.exactly

    def planted(*arguments):
        return {k: x._replace(**{part: 1.5 * getattr(x, part)}) for k, x in honest(*arguments).items()}

    monkeypatch.setattr(COMPARISON, "exactly", planted)
    found = compare(*kinked(), only=NAMES, **FAST)
    assert set(found.contradicted) == set(NAMES) and not any(row.exact for row in found.rows)
    assert "CONTRADICT" in str(found) and found["pathwise"].variance_low < found["pathwise"].variance


def test_what_does_not_come_to_rest_costs_little_and_is_measured(monkeypatch):
    """So much work as is allowed is done once, not for each estimator."""
    spent = []

    class Counting(COMPARISON.known.Work):
        def __init__(self, units):
            super().__init__(units)
            spent.append(self)

    monkeypatch.setattr(COMPARISON.known, "Work", Counting)
    monkeypatch.setattr(COMPARISON.known, "TOLERANCE", 1e-15)
    monkeypatch.setattr(COMPARISON.known, "WASTED", 0.02)
    found = compare(*double_well(), only=NAMES, **FAST)
    assert not any(row.exact for row in found.rows) and "exact" not in str(found)
    assert 0 < sum(x.spent for x in spent) < 2 * 0.02
