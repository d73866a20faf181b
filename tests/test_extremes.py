"""One trajectory, two, no noise, constants: the ends of what may be asked."""

import math

import numpy as np
from refusals import (
    PW,
    SF,
    THETA,
    TWO,
    both,
    lq,
    once,
    policy,
    problem,
    refused,
    scalar_environment,
    scalar_problem,
)

import mcgrad as mg


def test_one_trajectory():
    """Means are its gradient; there are no variances, and no warnings, either."""
    estimators = {"SF": SF, "PW": PW}
    for full in (False, True):
        found = mg.measure(problem(), THETA, estimators, 1, machine="numpy", full_covariance=full)
        samples = mg.sample(problem(), THETA, estimators, 1, machine="numpy")
        for name in estimators:
            it = found[name]
            assert it.count == 1 and it.nonfinite == 0
            np.testing.assert_array_equal(it.mean, samples[name][0])
            for figures in (it.variance, it.stderr, it.variance_stderr):
                assert np.isnan(figures).all()
        assert (
            np.isnan(found.covariance("SF", "PW")).all()
            and found.covariance("SF", "PW").shape == found["SF"].mean.shape
        )
        assert len(found.table()) == 4


def test_two_trajectories():
    found = mg.measure(problem(), THETA, {"PW": PW}, 2, machine="numpy", chunk=1)["PW"]
    x = mg.sample(problem(), THETA, {"PW": PW}, 2, machine="numpy")["PW"]
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.variance, x.var(axis=0, ddof=1), rtol=1e-12)


def test_without_action_noise_the_pathwise_gradient_is_that_of_backpropagation():
    of = mg.Problem(lq(A=[[1.0, 0.1], [0.2, 0.9]], process_noise=0.01 * TWO), policy(std=0.0), 6, 0.9)
    gradients = once(PW, of, count=20)

    def returns(theta):
        out = mg.rollout(of, theta, 20, machine="numpy")
        return out.rewards @ of.weights()[:-1]

    h = 1e-4
    for i in range(2):
        ahead, behind = np.array(THETA), np.array(THETA)
        ahead[i] += h
        behind[i] -= h
        expected = (returns(ahead) - returns(behind)) / (2 * h)
        np.testing.assert_allclose(gradients[:, i], expected, rtol=1e-6, atol=1e-7)
    singular = mg.Problem(lq(B=TWO, R=TWO), policy(2, 2, cov=[[1.0, 1.0], [1.0, 1.0]]), 3)
    assert np.isfinite(once(PW, singular, np.zeros(4))).all()
    refused("no score function here: .*singular", once, SF, singular, np.zeros(4))


def test_states_that_are_constants_on_every_machine():
    """An initial state that is a plain number behaves like any other: 1 / 0 is infinite, ~ is `not`."""
    of = mg.Problem(
        scalar_environment(
            init=lambda p, z: (0.0,),
            step=lambda p, s, a, w: (mg.where(~(s[0] > 0.5), 1.0, 3.0) + a[0],),
            reward=lambda p, s, a, s_next, w: mg.where(s[0] == 0.0, s_next[0], 1.0 / s[0]),
        ),
        policy(1, 1, std=0.5),
        2,
    )
    expected = mg.rollout(of, [-0.4], 16, machine="simd")
    assert (expected.states[:, 1] > -1.5).all() and abs(expected.states[:, 1].mean() - 1.0) < 1
    for machine in ("numpy", "scalar"):
        found = mg.rollout(of, [-0.4], 16, machine=machine)
        np.testing.assert_allclose(found.states, expected.states, rtol=1e-13)
        np.testing.assert_allclose(found.rewards, expected.rewards, rtol=1e-13)
    for machine in ("numpy", "simd"):
        assert np.isfinite(mg.sample(of, [-0.4], {"PW": PW, "SF": SF}, 16, machine=machine)["PW"]).all()


def test_a_gradient_that_does_not_see_what_is_undefined():
    """Of a return that is NaN whatever theta is, the pathwise derivative is a number, and must not be averaged."""
    of = scalar_problem(horizon=2, reward=lambda p, s, a, s_next, w: math.log(s[0] + 2.0))
    _, samples, lost = both(of, [-0.4])
    assert lost["PW"] == lost["SF"] > 20
