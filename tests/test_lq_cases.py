"""The reference systems: exact to 1e-9, measured within 5 standard errors, and planted errors caught."""

import dataclasses

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors

import mcgrad as mg

COUNT = 400_000
sf, rtg, pw = mg.estimators.score_function, mg.estimators.reward_to_go, mg.estimators.reparameterization
mixture, with_control, score = mg.estimators.mixture, mg.estimators.control_variate, mg.estimators.score
optimal, value = mg.baselines.optimal_constant, mg.baselines.value


def estimators(case, problem, theta):
    """Return {key of the reference: estimator}, constants taken from the reference where it stores them."""
    found = {
        "total": sf(),
        "total_bJ": sf(case["J"]),
        "total_bopt": sf(optimal()),
        "rtg": rtg(),
        "rtg_bJ": rtg(case["J"]),
        "rtg_bopt": rtg(optimal()),
        "rtg_btmean": rtg(mg.exact.mean_return_to_go(problem, theta)),
        "rtg_V": rtg(value()),
        "pw": pw(),
        "pw_cvscore": with_control(pw(), score()),
        "mix(total,pw)": mixture(sf(), pw()),
        "mix(rtg,pw)": mixture(rtg(), pw()),
        "mix(rtg_V,pw)": mixture(rtg(value()), pw()),
        "rtg_V_bopt": with_control(rtg(value()), score(), pilot=16384),
    }
    reference = case["estimators"]
    if "total_boptK" in reference:
        found["total_boptK"] = sf(reference["total_boptK"]["b"][0])
        found["rtg_boptK"] = rtg(reference["rtg_boptK"]["b"][0])
        found["rtg_btoptK"] = rtg(np.array(reference["rtg_btoptK"]["b"])[0])
    return found


def reference(case, key):
    """Return the mean and variance of a key for our parameters: K and the log scale of each row."""
    entry = case["estimators"][key]
    ours = [i for i, name in enumerate(entry["params"]) if name != "ls"]
    return np.array(entry["mean"])[ours], np.array(entry["var"])[ours]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_exact_values_agree_with_the_reference(case):
    problem, theta = reference_problem(case["system"])
    assert mg.exact.objective(problem, theta) == pytest.approx(case["J"], rel=1e-9)
    for key, estimator in estimators(case, problem, theta).items():
        mean, variance = reference(case, key)
        exact = mg.exact.variance(problem, theta, estimator)[: len(variance)]
        np.testing.assert_allclose(mg.exact.gradient(problem, theta)[: len(mean)], mean, rtol=1e-9, err_msg=key)
        np.testing.assert_allclose(exact, variance, rtol=1e-9, atol=1e-12 * np.max(mean**2), err_msg=key)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_measured_values_agree_with_the_reference(case, seed):
    problem, theta = reference_problem(case["system"])
    chosen = estimators(case, problem, theta)
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    for key in chosen:
        mean, variance = reference(case, key)
        measured = _first(found[key], len(mean))
        assert standard_errors(measured, mean, variance) < 5, key


def _first(found, count):
    """Return an estimate of the first parameters only (some keys of the reference are for K alone)."""
    arrays = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    return dataclasses.replace(found, **{k: x[:count] for k, x in arrays.items() if isinstance(x, np.ndarray)})


def test_full_score_control_variate(seed):
    case = next(c for c in CASES if c["id"] == "S10")
    problem, theta = reference_problem(case["system"], learn_std=False)
    chosen = {
        f"{x}_cvfull": with_control(e, score(), full=True) for x, e in (("total", sf()), ("rtg", rtg()), ("pw", pw()))
    }
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    for key, estimator in chosen.items():
        mean, variance = reference(case, key)
        np.testing.assert_allclose(mg.exact.variance(problem, theta, estimator), variance, rtol=1e-9)
        assert standard_errors(found[key], mean, variance) < 5, key


def test_coefficients_are_those_of_the_reference():
    for case in CASES:
        problem, theta = reference_problem(case["system"])
        ours = mg.exact.coefficients(problem, theta, mixture(rtg(), pw()))
        stored = np.array(case["estimators"]["mix(rtg,pw)"]["alpha"])[: ours.shape[1]]
        # alpha X + (1 - alpha) Y = Y - (-alpha) (X - Y)
        np.testing.assert_allclose(-ours[0], stored, rtol=1e-7, atol=1e-9)


# ---- power: what these tests can see ---------------------------------------------------------------------------


def test_a_planted_error_is_caught(seed):
    """2 % in one reward weight, gamma^t dropped, the sign of one score: each is far beyond 5 standard errors.

    The smallest error in the reward weight that 4e5 trajectories of this system can see (5 standard errors of the pathwise
    mean or variance) is 1.4 %; the assertion below says so if it grows beyond 1.5 %.
    """
    case = next(c for c in CASES if c["id"] == "S02")
    problem, theta = reference_problem(case["system"])
    environment = problem.environment

    def measured(problem, estimator):
        return mg.measure(problem, theta, {"it": estimator}, COUNT, seed)["it"]

    def exact(estimator):
        return mg.exact.gradient(problem, theta), mg.exact.variance(problem, theta, estimator)

    assert standard_errors(measured(problem, pw()), *exact(pw())) < 5

    heavier = dataclasses.replace(environment, params={**environment.params, "Q": 1.02 * environment.params["Q"]})
    wrong = dataclasses.replace(problem, environment=heavier)
    distance = standard_errors(measured(wrong, pw()), *exact(pw()))
    assert distance > 5
    smallest = 0.02 * 5 / distance
    assert smallest < 0.015, f"the smallest visible error of the reward weight is {smallest:.2%}"

    undiscounted = dataclasses.replace(problem, discount=1.0)
    assert standard_errors(measured(undiscounted, pw()), *exact(pw())) > 5

    policy = problem.policy
    flipped = dataclasses.replace(policy, score=lambda p, eta, a, e: (-e[0] * math_exp(-eta[1]), e[0] * e[0] - 1.0))
    wrong = dataclasses.replace(problem, policy=flipped)
    assert standard_errors(measured(wrong, rtg()), *exact(rtg())) > 5


def math_exp(x):
    """Return exp(x), traceable."""
    return np.exp(x)


def test_dropping_the_discount_of_the_score_is_caught(seed):
    """The estimator that forgets gamma^t (it restarts the discount at every step) is biased, and seen to be."""
    problem, theta = reference_problem(next(c for c in CASES if c["id"] == "S02")["system"])

    def last(c, end):
        return end.reward

    def step(c, x, later):
        to_go = x.reward / c.weight + c.gamma * later
        return to_go, tuple(to_go * z for z in x.score)

    weights = mg.estimators.PerStep(problem.weights())
    forgetful = mg.estimators.custom(step, last, data={"weight": weights, "gamma": 0.9})
    found = mg.measure(problem, theta, {"right": rtg(), "forgetful": forgetful}, 4 * COUNT, seed)  # 9 errors
    exact = mg.exact.gradient(problem, theta)
    assert np.max(np.abs(found["right"].mean - exact) / found["right"].stderr) < 5
    assert np.max(np.abs(found["forgetful"].mean - exact) / found["forgetful"].stderr) > 5
