"""The check finds what was planted, names it, and finds nothing in problems that are right."""

import dataclasses
import math
import re

import numpy as np
import pytest
from environments_of_tests import zoo
from support import w1

import mcgrad as mg
from mcgrad.checks import check
from mcgrad.checks.jumps import find_jumps, return_jumps
from mcgrad.checks.policy import score
from mcgrad.differences import PILOT, slopes

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


def still(own, actions):
    """Return a problem whose states wander, whatever the policy does."""
    environment = mg.Environment(
        states=1,
        actions=actions,
        noises=1,
        init=lambda p, z: (0.5,),
        step=lambda p, s, a, w: (0.8 * s[0] + 0.3 * w[0],),
        reward=lambda p, s, a, s_next, w: -(a[0] ** 2),
    )
    return mg.Problem(environment, own, 10)


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def bernoulli(x, weight):
    """Return log weight where x is 1, log(1 - weight) where it is 0."""
    return mg.where(x > 0.5, np.log(weight), np.log(1.0 - weight))


def mixture(**changes):
    """Return a mixture of two Gaussians whose weight and means are learned."""

    def log_prob(p, eta, a, shift=0.0):
        q = logistic(eta[0])
        bumps = [np.exp(-0.5 * ((a[0] - m) / 0.3) ** 2) for m in eta[1:]]
        return np.log(q * bumps[0] + (1.0 - q) * bumps[1])

    right = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        uniforms=1,
        parameters=("logit", "left", "right"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1], theta[2]),
        sample=lambda p, eta, e: (mg.where(e[1] < logistic(eta[0]), eta[1], eta[2]) + 0.3 * e[0],),
        log_prob=log_prob,
    )
    return still(dataclasses.replace(right, **changes), 1)


def hybrid(**changes):
    """Return a gear by `where` and a force around a mean of its own for each gear."""

    def sample(p, eta, e):
        gear = mg.where(e[1] < logistic(eta[0]), 1.0, 0.0)
        return gear, mg.where(gear > 0.5, eta[2], eta[1]) + 0.5 * e[0]

    def log_prob(p, eta, a):
        mean = mg.where(a[0] > 0.5, eta[2], eta[1])
        return bernoulli(a[0], logistic(eta[0])) - 0.5 * ((a[1] - mean) / 0.5) ** 2

    right = mg.Policy(
        states=1,
        actions=2,
        noises=1,
        uniforms=1,
        parameters=("w", "low", "high"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1], theta[2] + s[0]),
        sample=sample,
        log_prob=log_prob,
    )
    return still(dataclasses.replace(right, **changes), 2)


def remembering(**changes):
    """Return a random action around a memory, which is an action, too, and a function of eta alone."""
    right = mg.Policy(
        states=1,
        actions=3,
        noises=1,
        parameters=("gain", "keep", "log std"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1] + s[0], theta[2]),
        sample=lambda p, eta, e: (np.tanh(eta[1]) + eta[0] + np.exp(eta[2]) * e[0], np.tanh(eta[1]), eta[2]),
        log_prob=lambda p, eta, a: -0.5 * ((a[0] - a[1] - eta[0]) / np.exp(a[2])) ** 2 - a[2],
    )
    return still(dataclasses.replace(right, **changes), 3)


def exponential(**changes):
    """Return an action from an exponential distribution, by its inverse."""
    right = mg.Policy(
        states=1,
        actions=1,
        noises=0,
        uniforms=1,
        parameters=("log rate",),
        eta=lambda p, theta, s: (theta[0] + s[0],),
        sample=lambda p, eta, e: (-np.log(e[0]) / np.exp(eta[0]),),
        log_prob=lambda p, eta, a: eta[0] - np.exp(eta[0]) * a[0],
    )
    return still(dataclasses.replace(right, **changes), 1)


def log_sum(x):
    high = np.maximum(np.maximum(x[0], x[1]), x[2])
    return high + np.log(sum(np.exp(y - high) for y in x))


def choosing(**changes):
    """Return one of three choices, whose logit is looked up among the components of eta."""

    def sample(p, eta, e):
        chance = [np.exp(y - log_sum(eta)) for y in eta]
        return (mg.where(e[0] < chance[0], 0.0, mg.where(e[0] < chance[0] + chance[1], 1.0, 2.0)),)

    right = mg.Policy(
        states=1,
        actions=1,
        noises=0,
        uniforms=1,
        parameters=("first", "second", "log temperature"),
        eta=lambda p, theta, s: tuple(x * np.exp(-theta[2]) for x in (theta[0] * s[0], theta[1], 0.0)),
        sample=sample,
        log_prob=lambda p, eta, a: mg.lookup(eta, a[0]) - log_sum(eta),
    )
    return still(dataclasses.replace(right, **changes), 1)


def of_gear(p, eta, a):
    return bernoulli(a[0], logistic(eta[0])) - 0.5 * ((a[1] - eta[1]) / 0.5) ** 2


def force_alone(p, eta, a):
    return -0.5 * ((a[1] - mg.where(a[0] > 0.5, eta[2], eta[1])) / 0.5) ** 2


# Policy -> (what makes it, theta, planted mistakes in its density).
OTHERS = {
    "mixture": (
        mixture,
        [0.4, -1.0, 1.2],
        {
            "weights changed round": lambda p, eta, a: np.log(
                logistic(-eta[0]) * np.exp(-0.5 * ((a[0] - eta[1]) / 0.3) ** 2)
                + logistic(eta[0]) * np.exp(-0.5 * ((a[0] - eta[2]) / 0.3) ** 2)
            ),
            "1 / std^2 forgotten": lambda p, eta, a: np.log(
                logistic(eta[0]) * np.exp(-0.5 * (a[0] - eta[1]) ** 2)
                + logistic(-eta[0]) * np.exp(-0.5 * (a[0] - eta[2]) ** 2)
            ),
        },
    ),
    "hybrid": (
        hybrid,
        [0.3, -1.0, -0.8],
        {
            "the gear forgotten": force_alone,
            "one mean for both gears": of_gear,
            "a sign": lambda p, eta, a: bernoulli(a[0], logistic(-eta[0])) + force_alone(p, eta, a),
        },
    ),
    "remembering": (
        remembering,
        [0.4, 0.5, -0.5],
        {
            "1 / std^2 forgotten": lambda p, eta, a: -0.5 * (a[0] - a[1] - eta[0]) ** 2 - a[2],
            "the memory forgotten": lambda p, eta, a: -0.5 * ((a[0] - eta[0]) / np.exp(a[2])) ** 2 - a[2],
            "a factor of 2": lambda p, eta, a: -(((a[0] - a[1] - eta[0]) / np.exp(a[2])) ** 2) - 2.0 * a[2],
        },
    ),
    "choosing": (
        choosing,
        [0.4, 0.5, 0.3],
        {
            "unnormalised": lambda p, eta, a: mg.lookup(eta, a[0]),
            "two changed round": lambda p, eta, a: mg.lookup((eta[1], eta[0], eta[2]), a[0]) - log_sum(eta),
        },
    ),
    "exponential": (
        exponential,
        [0.2],
        {
            "a sign": lambda p, eta, a: -eta[0] + np.exp(eta[0]) * a[0],
            "no rate": lambda p, eta, a: -np.exp(eta[0]) * a[0],
        },
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_scores_of_draws_that_jump_or_are_not_random(name, seed):
    make, theta, mistakes = OTHERS[name]
    found = score(make(), np.array(theta), COUNT, seed)
    assert found.status == "ok" and found.values["visible"] < 0.1, found.text
    assert "would have been seen" in found.text
    for mistake, log_prob in mistakes.items():
        assert score(make(log_prob=log_prob), np.array(theta), COUNT, seed).status == "wrong", mistake


def test_the_error_that_would_have_been_seen_is_seen(seed):
    visible = score(problem(policy(log_prob=None)), np.array(THETA), COUNT, seed).values["visible"]
    assert visible < 0.05
    for factor in (1.0 + 2.0 * visible, 1.0 - 2.0 * visible):

        def wrong(p, eta, a, e, factor=factor):
            return e[0] / math.exp(eta[1]), factor * (e[0] ** 2 - 1.0)

        found = score(problem(policy(score=wrong, log_prob=None)), np.array(THETA), COUNT, seed)
        assert found.status == "wrong", factor


def test_states_where_the_noise_is_lost_in_the_digits_say_nothing(seed):
    """An unstable loop: actions of 1e20 with a std of 1."""
    own = policy(eta=lambda p, theta, s: (theta[0] * s[0], theta[1]), score=None)
    changes = {"step": lambda p, s, a, w: (1e3 * s[0] + a[0],), "reward": lambda p, s, a, s_next, w: a[0]}
    assert score(problem(own, **changes), np.array([-3.0, 0.0]), COUNT, seed).status == "ok"


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


# Name -> (returns of theta and normal numbers, whether they jump near theta).
RETURNS = {
    "kinks": (lambda x, z: np.abs(x[0] + z[0]) + np.maximum(x[0] - z[1], 0.2), [0.3], False),
    "clip": (lambda x, z: np.clip(3.0 * x[0] + z[0], -1.0, 1.0) ** 2, [0.3], False),
    "steep": (lambda x, z: np.tanh(1e4 * (x[0] + z[0])), [0.0], False),
    "smooth": (lambda x, z: np.sin(5.0 * x[0] + z[0]) * np.exp(x[0]), [0.3], False),
    "a jump far away": (lambda x, z: x[0] ** 2 + 1.0 * (x[0] + 0.01 * z[0] > 1.0), [0.3], False),
    "a jump in one of two": (lambda x, z: x[0] + 1.0 * (x[1] + z[1] > 0.4), [-400.0, 0.01], True),
    "small among kinks": (lambda x, z: 5.0 * np.abs(x[0] + z[0]) + 0.1 * (x[0] + z[1] > 0.2), [0.3], True),
    "flat": (lambda x, z: np.floor(4.0 * (x[0] + z[0])), [0.3], True),
    "sign": (lambda x, z: np.sign(x[0] - z[0]) * (1.0 + z[1]), [0.0], True),
    "rare": (lambda x, z: np.sin(x[0] + z[1]) + 5.0 * (x[0] + z[0] > 3.0), [0.3], True),
}


@pytest.mark.parametrize("name", RETURNS)
def test_returns_that_jump_are_told_from_those_that_do_not(name, seed):
    f, theta, jump = RETURNS[name]

    def returns(theta, first, count):
        normal = np.random.default_rng([seed, first >= PILOT]).normal(size=(2, 20_000))
        return f(theta, normal[:, :count] if first >= PILOT else normal[:, first : first + count])

    lines = np.eye(len(theta))
    found = slopes(returns, np.array(theta), lines, 10_000, threads=1)
    near = return_jumps(returns, np.array(theta), lines, found.widths)
    assert bool(near) == jump, near
