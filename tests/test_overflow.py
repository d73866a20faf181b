"""Right input with wrong luck: trajectories that overflow are counted and left out, never averaged and never a crash."""

import math
import warnings

import numpy as np
import pytest
from refusals import (
    PW,
    SF,
    THETA,
    TWO,
    B,
    E,
    both,
    lq,
    policy,
    scalar_problem,
)

import mcgrad as mg

# Rewards of the next state, which depends on theta: then no derivative can miss what has no value.
PARTIAL = {
    "log of a negative": {"reward": lambda p, s, a, s_next, w: math.log(s_next[0] + 1.0)},
    "log1p below -1": {"reward": lambda p, s, a, s_next, w: math.log1p(s_next[0])},
    "root of a negative": {"reward": lambda p, s, a, s_next, w: math.sqrt(s_next[0] + 1.0)},
    "power of a negative": {"reward": lambda p, s, a, s_next, w: (s_next[0] + 1.0) ** 0.3},
    "asin beyond 1": {"reward": lambda p, s, a, s_next, w: math.asin(s_next[0])},
    "0 / 0": {"reward": lambda p, s, a, s_next, w: math.exp(-700 * s_next[0]) / math.exp(-800 * s_next[0]) * 1e-300},
    "overflow of exp": {"reward": lambda p, s, a, s_next, w: 1e-200 * math.exp(150.0 * s_next[0] + 600.0)},
    "unstable": {"step": lambda p, s, a, w: (s[0] ** 9 + a[0],), "horizon": 8},
    "infinity - infinity": {
        "step": lambda p, s, a, w: (1e-250 * (math.exp(400 * s[0]) - math.exp(800 * s[0])) + a[0],)
    },
}


@pytest.mark.parametrize("name", PARTIAL)
def test_some_trajectories_that_are_not_finite_are_counted_and_left_out(name):
    """Of every estimator that uses rewards; the sum of scores, which uses none, only where the states overflow, too."""
    found, samples, lost = both(scalar_problem(**PARTIAL[name]), [-0.4])
    assert 20 < lost["SF"] < 2950 and 20 < lost["PW"] < 2950
    assert lost["score"] <= lost["SF"]
    if "step" not in PARTIAL[name]:
        assert lost["score"] == 0


@pytest.mark.parametrize("machine", ["simd", "scalar"])
def test_compiled_machines_count_them_too(machine):
    of = scalar_problem(**PARTIAL["log of a negative"])
    _, samples, lost = both(of, [-0.4], 300, machine)
    _, expected, lost_by_numpy = both(of, [-0.4], 300)
    assert lost == lost_by_numpy
    for name in samples:
        np.testing.assert_allclose(samples[name], expected[name], rtol=1e-11)


def test_a_gradient_of_an_undefined_return_is_not_averaged():
    """The derivative of log(s) is a number for s < 0, where the return is none."""
    of = scalar_problem(horizon=1, reward=lambda p, s, a, s_next, w: math.log(s_next[0]))
    _, samples, lost = both(of, [-0.4])
    returns = mg.rollout(of, [-0.4], 3000, 1, machine="numpy").rewards[:, 0]
    np.testing.assert_array_equal(np.isnan(samples["PW"][:, 0]), np.isnan(returns))
    assert lost["PW"] == lost["SF"] == np.isnan(returns).sum() > 1000


def test_all_trajectories_not_finite():
    of = mg.Problem(lq(A=1e200 * TWO, initial_mean=[1.0, 1.0]), policy(), 10)
    found, samples, lost = both(of, [0.0, 0.0])
    assert lost["SF"] == lost["PW"] == 3000
    for name in ("SF", "PW"):
        it = found[name]
        assert it.count == 0 and it.nonfinite == 3000
        for figures in (it.mean, it.stderr, it.variance, it.variance_stderr, it.skewness, it.kurtosis):
            assert np.isnan(figures).all()
    assert np.isnan(found.covariance("SF", "PW")).all()
    assert found.table()["count"].tolist()[:4] == [0] * 4


def test_an_unstable_system_overflows_late():
    """A = 1e30: finite up to T = 4, infinite at T = 12."""
    for horizon, lost in ((4, 0), (12, 200)):
        of = mg.Problem(lq(A=1e30 * TWO), policy(), horizon)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = mg.measure(of, THETA, {"SF": SF, "PW": PW}, 200, machine="numpy")
        assert found.nonfinite == {"SF": lost, "PW": lost}
        assert np.isfinite(found["PW"].mean).all() == (lost == 0)


def test_gradients_whose_moments_overflow():
    """Samples near 1e200 are finite, their squares are not: no crash, a warning, and the mean is right."""
    of = scalar_problem(horizon=1, reward=lambda p, s, a, s_next, w: 1e200 * s_next[0])
    estimators = {"SF": SF, "PW": PW}
    with pytest.warns(
        UserWarning, match="gradients are finite, but so large that figures overflow: .* 1 of SF, 1 of PW"
    ):
        found = mg.measure(of, [-0.4], estimators, 1000, 1, machine="numpy", chunk=100)
    samples = mg.sample(of, [-0.4], estimators, 1000, 1, machine="numpy")
    for name, x in samples.items():
        assert found[name].count == 1000 and found[name].nonfinite == 0
        np.testing.assert_allclose(found[name].mean, x.mean(axis=0), rtol=1e-12)
        assert not (found[name].variance < 1e300).any()
    found.covariance("SF", "PW"), found.table()


def test_control_variates_of_trajectories_that_are_not_finite():
    """Coefficients are fitted on what is finite; where nothing is, there is no crash."""
    some = scalar_problem(**PARTIAL["log of a negative"])
    none = scalar_problem(reward=lambda p, s, a, s_next, w: math.log(-1.0 - s[0] ** 2))
    for of, expected in ((some, True), (none, False)):
        estimators = {"mix": E.mixture(SF, PW), "fitted": E.score_function(B.optimal_constant(pilot=500)), "SF": SF}
        with pytest.warns(UserWarning, match="not finite"):
            found = mg.measure(of, [-0.4], estimators, 1000, machine="numpy")
        for name in estimators:
            assert np.isfinite(found[name].mean).all() == expected
            assert (found[name].count > 0) == expected


ZERO_TIMES = {
    "0 * inf": lambda x: 0.0 * (1e200 * x) ** 2,
    "0 * nan": lambda x: 0.0 * math.log(-1.0 - x**2),
    "inf - inf": lambda x: (1e200 * x) ** 2 - (1e200 * x) ** 2,
    "0 / nan": lambda x: 0.0 / math.log(-1.0 - x**2),
    "a matrix": lambda x: np.diag([0.0, 1.0])[0] @ np.array([(1e200 * x) ** 2, x]),
}


@pytest.mark.parametrize("name", ZERO_TIMES)
def test_zero_times_what_is_not_finite_is_not_zero(name):
    """Python's 0 * inf is NaN, and so is the reward: trajectories that ran off are counted, not hidden."""
    of = scalar_problem(reward=lambda p, s, a, s_next, w: s[0] + ZERO_TIMES[name](s[0]))
    with pytest.warns(UserWarning, match="not finite"):
        found = mg.measure(of, [-0.4], {"SF": SF}, 50, machine="numpy")
    assert found["SF"].nonfinite == 50


def test_constants_of_users_that_are_not_finite():
    of = scalar_problem(reward=lambda p, s, a, s_next, w: math.nan)
    _, _, lost = both(of, [-0.4], 50)
    assert lost["SF"] == 50
