"""Scores that are not those of what is drawn are found, most of them without compiling anything."""

import dataclasses
import math
import re

import numpy as np
import pytest
from checked_problems import COUNT, THETA, policy, problem

import mcgrad as mg
from mcgrad.checks import check
from mcgrad.checks.policy import score

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
