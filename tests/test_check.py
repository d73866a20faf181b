"""The check finds what was planted, names it, and finds nothing in problems that are right."""

import dataclasses
import math
import re

import numpy as np
import pytest
from environments_of_tests import zoo
from support import w1

import mcgrad as mg
from mcgrad.check import check
from mcgrad.check.jumps import find_jumps
from mcgrad.check.policy import score

COUNT = 20_000


def init(p, z):
    return (0.5 + 0.3 * z[0],)


def step(p, s, a, w):
    return (0.9 * s[0] + 0.3 * math.tanh(a[0]),)


def reward(p, s, a, s_next, w):
    return -(s_next[0] ** 2) - 0.1 * a[0] ** 2


def policy(**changes):
    """Return a ~ N(theta_0 s, exp(theta_1)^2), written by hand."""

    def log_prob(p, eta, a):
        return -0.5 * ((a[0] - eta[0]) / math.exp(eta[1])) ** 2 - eta[1]

    right = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("gain", "log std"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1]),
        sample=lambda p, eta, e: (eta[0] + math.exp(eta[1]) * e[0],),
        log_prob=log_prob,
        score=lambda p, eta, a, e: (e[0] / math.exp(eta[1]), e[0] ** 2 - 1.0),
    )
    return dataclasses.replace(right, **changes)


def problem(own=None, **changes):
    functions = {"init": init, "step": step, "reward": reward} | changes
    environment = mg.Environment(states=1, actions=1, initial_noises=1, **functions)
    return mg.Problem(environment, own or policy(), 10)


THETA = [-0.8, -0.7]


def test_nothing_is_found_where_nothing_is_wrong(seed):
    report = check(problem(), THETA, COUNT, seed)
    assert report.ok and report.wrong == []
    assert [x.name for x in report.findings] == ["finite", "score", "pathwise", "jumps", "means", "families"]
    assert all(x.status == "ok" for x in report.findings[:-1])
    assert report["score"].values["difference"] < 1e-9
    assert report["pathwise"].values["share"] == 0 and report["pathwise"].values["difference"] < 1e-9
    pairs = [x for key, x in report["means"].values.items() if key != "limit"]
    assert len(pairs) == 3 and all(x["visible"] < 0.2 for x in pairs)
    assert report["families"].values["exist"] == ("score function", "pathwise", "evolution strategies")
    text = str(report)
    assert "finite    ok     returns and gradients of all 20000 trajectories" in text and "WRONG" not in text


WRONG_SCORES = {
    "a factor": (
        {"score": lambda p, eta, a, e: (2.0 * e[0] / math.exp(eta[1]), e[0] ** 2 - 1.0)},
        "component 0 of eta",
    ),
    "a few per cent": (
        {"score": lambda p, eta, a, e: (1.03 * e[0] / math.exp(eta[1]), e[0] ** 2 - 1.0), "log_prob": None},
        "not that of what `sample` draws",
    ),
    "variance for std": (
        {"score": None, "log_prob": lambda p, eta, a: -0.5 * (a[0] - eta[0]) ** 2 / math.exp(eta[1]) - 0.5 * eta[1]},
        "not that of what `sample` draws",
    ),
    "not normalised": (
        {"score": None, "log_prob": lambda p, eta, a: -0.5 * ((a[0] - eta[0]) / math.exp(eta[1])) ** 2},
        "its mean is not zero, by [0-9.]+ standard errors; largest: [0-9.]+, component 1 of eta",
    ),
    "shifted": (
        {"sample": lambda p, eta, e: (eta[0] + 0.02 + math.exp(eta[1]) * e[0],), "score": None},
        "its mean is not zero",
    ),
}


@pytest.mark.parametrize("name", WRONG_SCORES)
def test_a_wrong_score_is_found_without_compiling_anything(name, seed):
    changes, message = WRONG_SCORES[name]
    found = score(problem(policy(**changes)), np.array(THETA), COUNT, seed)
    assert found.status == "wrong" and re.search(message, found.text), found.text
    assert score(problem(), np.array(THETA), COUNT, seed).status == "ok"


def test_a_wrong_score_shows_in_the_means(seed):
    changes, _ = WRONG_SCORES["a factor"]
    report = check(problem(policy(**changes)), THETA, COUNT, seed)
    assert {"score", "means"} <= set(report.wrong) and report["pathwise"].status == "ok"
    values = report["means"].values
    assert values["score function", "pathwise"]["z"] > 10 > values["pathwise", "finite differences"]["z"]


def test_a_hidden_jump_is_found_and_a_declared_one_noted(seed):
    def jumps(p, s, a, s_next, w):
        return -(s_next[0] ** 2) + mg.where(s_next[0] > 0.4, 1.0, 0.0)

    report = check(problem(reward=jumps), THETA, COUNT, seed)
    assert {"jumps", "means"} <= set(report.wrong)
    found = report["jumps"].values["jumps"]
    assert len(found) > 10 and all(abs(abs(x.size) - 1.0) < 1e-6 for x in found)
    assert "pathwise and finite differences" in report["means"].text.splitlines()[-2]
    declared = check(problem(reward=jumps, discontinuous="a prize beyond 0.4"), THETA, COUNT, seed)
    assert declared.ok and declared["jumps"].status == declared["means"].status == "note"
    assert "declared: a prize beyond 0.4" in declared["jumps"].text


def test_what_is_not_finite_is_counted(seed):
    def bad(p, s, a, s_next, w):
        return math.log(s[0] + 0.2) - a[0] ** 2

    report = check(problem(reward=bad, step=lambda p, s, a, w: s), THETA, COUNT, seed)
    assert "finite" in report.wrong
    # s_0 ~ N(0.5, 0.3^2) is below -0.2 with probability Phi(-7/3).
    share = 0.5 * math.erfc(7 / 3 / math.sqrt(2))
    assert abs(report["finite"].values["rate"] - share) < 5 * math.sqrt(share / COUNT)
    assert "return" in report["finite"].text and "log or root" in report["finite"].text


def test_the_jump_in_the_zoo_of_the_tests_is_found(seed):
    """Its step has where(s_0 > .3, s_0 a, -a): the two sides differ by 1.3 a there."""
    report = check(*zoo(), COUNT, seed)
    assert "jumps" in report.wrong and report["score"].status == report["finite"].status == "ok"


def test_a_deterministic_policy_has_no_score(seed):
    environment = problem().environment
    report = check(mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.0), 5), [-0.5], 2000, seed)
    assert report.ok and report["score"].status == "none" and "singular" in report["score"].text


def test_a_discrete_policy_has_a_score_and_no_pathwise_gradient(seed):
    environment, own = mg.environments.random_walk(5), mg.policies.softmax(5, 2)
    theta = np.linspace(-0.5, 0.5, 10)
    report = check(mg.Problem(environment, own, 10), theta, COUNT, seed)
    assert report.ok and report["pathwise"].status == "none" and "one of a few" in report["pathwise"].text
    assert report["score"].values["sampler_z"] is None and report["score"].values["difference"] < 1e-9
    wrong = dataclasses.replace(own, score=lambda p, eta, a, e: (mg.where(a[0] == 0.0, 1.0, 0.0), -1.0 * a[0]))
    found = score(mg.Problem(environment, wrong, 10), theta, COUNT, seed)
    assert found.status == "wrong" and "its mean is not zero" in found.text and "`log_prob` differ" in found.text


def test_exact_problems_have_all_families(seed):
    report = check(*w1(horizon=5, learn_std=True), 5000, seed)
    assert report.ok, str(report)
    assert {"exact critics", "exact gradient"} <= set(report["families"].values["exist"])


def test_arguments_and_functions_are_checked():
    with pytest.raises(ValueError, match="count: expected a whole number >= 64"):
        check(problem(), THETA, 3)
    with pytest.raises(mg.TraceError, match="reward"):
        check(problem(reward=lambda p, s, a, s_next, w: 1.0 if s[0] > 0 else 0.0), THETA)


# ---- jumps of plain functions ----------------------------------------------------------------------------------


def scan(f):
    """Look for jumps of f(theta + shift) for 50 shifts."""
    shifts = np.linspace(0.0, 1.0, 50)
    return find_jumps(
        lambda theta, first, count: f(theta[0] + shifts[first : first + count]), np.zeros(1), np.eye(1), 50, 0.1
    )


def test_jumps_are_told_from_kinks_and_from_steep_slopes():
    assert (
        scan(np.sin) == [] and scan(lambda x: np.abs(x - 0.5)) == [] and scan(lambda x: np.tanh(1e4 * (x - 0.5))) == []
    )
    assert scan(lambda x: np.sqrt(np.abs(x - 0.5))) == [] and scan(np.zeros_like) == []
    for size in (1.0, 1e-2, 1e-3):
        found = scan(lambda x, size=size: np.sin(3 * x) + size * (x > 0.5))
        assert len(found) >= 5
        for jump in found:
            assert abs(jump.size - size) < 1e-6 * size + 1e-8
            assert abs(jump.trajectory / 49 + jump.at - 0.5) < 1e-8
