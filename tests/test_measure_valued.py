"""Measure-valued derivatives: branches against the reference, on every machine, and where they do not exist."""

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors, w1

import mcgrad as mg

mvd = mg.estimators.measure_valued
DIAGONAL = [c for c in CASES if "mvd_crn" in c["estimators"]]


@pytest.mark.parametrize("case", DIAGONAL, ids=lambda c: c["id"])
def test_branches_agree_with_the_reference(case, seed):
    problem, theta = reference_problem(case["system"], learn_std=False)
    chosen = {"mvd_crn": mvd(), "mvd_indep": mvd("independent")}
    found = mg.measure(problem, theta, chosen, 100_000, seed)
    for key, estimator in chosen.items():
        mean, variance = (np.array(case["estimators"][key][x]) for x in ("mean", "var"))
        np.testing.assert_allclose(mg.exact.mean(problem, theta, estimator), mean, rtol=1e-9)
        np.testing.assert_allclose(mg.exact.variance(problem, theta, estimator), variance, rtol=1e-9, atol=1e-9)
        assert standard_errors(found[key], mean, variance) < 5, key
        assert found[key].rollouts == 1 + 2 * problem.environment.actions * problem.horizon


def test_machines_agree_on_branches():
    problem, theta = w1(horizon=4, discount=0.9)
    chosen = {"common": mvd(), "apart": mvd("independent"), "rtg": mg.estimators.reward_to_go()}
    expected = mg.sample(problem, theta, chosen, 20, seed=2, machine="numpy")
    alone = mg.sample(problem, theta, {"rtg": chosen["rtg"]}, 20, seed=2, machine="numpy")["rtg"]
    np.testing.assert_allclose(expected["rtg"], alone, rtol=1e-12)
    for machine in ("simd", "scalar"):
        found = mg.sample(problem, theta, chosen, 20, seed=2, machine=machine)
        for name in chosen:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-10, atol=1e-11 * np.abs(expected[name]).max()
            )


def test_branches_by_hand():
    """One step: the difference of two rewards, with the W that the pathwise and the measure-valued gradient do not share."""
    problem, theta = w1(horizon=1)
    path = mg.rollout(problem, theta, 50, seed=3, machine="numpy")
    found = mg.sample(problem, theta, {"mvd": mvd()}, 50, seed=3, machine="numpy")["mvd"].reshape(50, 2, 4)
    s = path.states[:, 0]
    mu = s @ theta.reshape(2, 4).T
    # r = -(s's + .1 a'a): the difference is -.1 ((mu + sigma W)^2 - (mu - sigma W)^2) = -.4 sigma mu W.
    W = found[:, :, 0] / (-0.4 * mu * s[:, :1] / np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found, (-0.4 * mu * W / np.sqrt(2 * np.pi))[:, :, None] * s[:, None, :], rtol=1e-9)
    assert (W > 0).all()
    assert abs(np.mean(W**2) - 2.0) < 5 * 2.0 / np.sqrt(100)


def test_where_they_do_not_exist():
    problem, theta = reference_problem(CASES[0]["system"])
    with pytest.raises(ValueError, match="measure-valued derivatives are there for a linear-Gaussian policy"):
        mg.measure(problem, theta, {"mvd": mvd()}, 10)
    with pytest.raises(ValueError, match="branches: expected 'common' or 'independent'"):
        mvd("critic")
    problem, theta = w1(horizon=2)
    with pytest.raises(ValueError, match="antithetic or perturbed rollouts are not supported"):
        mg.sample(problem, theta, {"pair": mg.estimators.antithetic(mvd())}, 10, machine="numpy")
