"""The doors to the theory that take a `Problem`: what is not tested with the estimators themselves."""

import numpy as np
import pytest
from support import CASES, reference_problem, w1

import mcgrad as mg


def test_the_optimum_has_no_gradient():
    problem, theta = w1(horizon=20)
    found = mg.exact.optimum(problem, theta)
    at_optimum = found.gain.ravel()
    assert np.abs(mg.exact.gradient(problem, at_optimum)).max() < 1e-6
    assert mg.exact.objective(problem, at_optimum) == pytest.approx(found.objective)
    assert found.objective > mg.exact.objective(problem, theta)


def test_exponents_in_the_standard_deviation():
    case = next(c for c in CASES if c["id"] == "S03")  # no process noise
    problem, theta = reference_problem(case["system"], learn_std=False)
    rtg, value = mg.estimators.reward_to_go, mg.baselines.value()
    assert mg.exact.scaling(problem, theta, rtg()).std.power == -2
    assert mg.exact.scaling(problem, theta, rtg(value)).std.power == 0
    with pytest.raises(mg.exact.NoClosedForm, match="combinations"):
        mg.exact.scaling(problem, theta, mg.estimators.mixture(rtg(), rtg(value)))
