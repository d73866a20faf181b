"""The check finds what was planted, names it, and finds nothing in problems that are right."""

import dataclasses
import math
import re

import numpy as np
import pytest
from checked_problems import COUNT, THETA, problem
from environments_of_tests import zoo
from support import w1

import mcgrad as mg
from mcgrad.checks import check
from mcgrad.checks.policy import score


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
    values = report["score"].values
    assert values["sampler_z"] < 5 and values["visible"] < 0.2 and values["difference"] < 1e-9
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


def option():
    """Return a call, or with digital = 1 a digital option, on a price that is drawn at once; theta = (S0, sigma)."""

    def price(p, theta, s):
        return np.log(theta[0]) + 0.05 - 0.5 * theta[1] ** 2, theta[1]

    def reward(p, s, a, s_next, w):
        x = np.exp(a[0]) - 100.0
        return (1.0 - p.digital) * np.maximum(x, 0.0) + p.digital * mg.where(x > 0.0, 1.0, 0.0)

    own = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("S0", "sigma"),
        eta=price,
        sample=lambda p, eta, e: (eta[0] + eta[1] * e[0],),
        log_prob=lambda p, eta, a: -0.5 * ((a[0] - eta[0]) / eta[1]) ** 2 - np.log(eta[1]),
    )
    environment = mg.Environment(
        states=1,
        actions=1,
        params={"digital": 0.0},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=reward,
    )
    return mg.Problem(environment, own, 1)


def test_parameters_of_different_scales_and_a_return_that_is_flat_almost_everywhere(seed):
    call = option()
    report = check(call, [100.0, 0.2], COUNT, seed)
    assert report.ok and report["means"].status == report["jumps"].status == report["pathwise"].status == "ok", str(
        report
    )
    assert report["means"].values["pathwise", "finite differences"]["visible"] < 0.01
    environment = dataclasses.replace(call.environment, params={"digital": 1.0})
    report = check(mg.Problem(environment, call.policy, 1), [100.0, 0.2], COUNT, seed)
    assert "jumps" in report.wrong and report["score"].status == "ok" and report["jumps"].values["bias"] > 0.9
    assert all(abs(abs(x.size) - 1.0) < 1e-9 for x in report["jumps"].values["jumps"])


def test_what_could_not_have_been_seen_is_not_ok(seed):
    report = check(*w1(horizon=5, learn_std=True), 500, seed)
    assert report.ok and report["means"].status == "note"
    assert re.search("score function and pathwise: not tested, because .*% of the gradient hides", report["means"].text)
