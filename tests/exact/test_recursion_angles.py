"""Angles: where a problem is periodic in a component of its state, one turn of it is enough; and only there."""

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.exact.recursion.chain import Model
from mcgrad.exact.recursion.noise import FINE, gauss_of
from mcgrad.exact.recursion.periods import periods

COUNT = 100_000
THETA = [-1.0, 0.3, -0.5]


def turning(features, **functions):
    """A user's own rod; `functions` replace what it is made of."""
    own = {
        "init": lambda p, z: (3.0 * z[0], z[1]),
        "step": lambda p, s, a, w: (s[0] + 0.1 * (s[1] + 0.1 * a[0]), s[1] + np.sin(s[0]) + 0.1 * a[0]),
        "reward": lambda p, s, a, s_next, w: np.cos(s[0]) - 0.1 * s[1] ** 2,
    } | functions
    environment = mg.Environment(states=2, actions=1, initial_noises=2, **own)
    return mg.Problem(environment, mg.policies.linear_features(features, 2, 1, std=0.5), horizon=3)


def of_waves(s):
    return np.sin(s[0]), np.cos(s[0]), s[1]


def wrapped(p, s, a, s_next, w):
    return -(((s[0] + np.pi) % (2 * np.pi) - np.pi) ** 2)


ANGLES = {
    "waves": (turning(of_waves), 2 * np.pi),
    "a remainder": (turning(of_waves, reward=wrapped), 2 * np.pi),
    "several waves": (turning(lambda s: (np.sin(2 * s[0]), np.cos(3 * s[0]), s[1])), 2 * np.pi),
    "half a turn": (turning(of_waves, reward=lambda p, s, a, s_next, w: np.sin(s[0]) * np.cos(s[0])), 2 * np.pi),
    "wrapped by the step": (turning(of_waves, step=lambda p, s, a, w: ((s[0] + a[0]) % (2 * np.pi), s[1])), 2 * np.pi),
    "whole turns are counted": (turning(of_waves, reward=lambda p, s, a, s_next, w: -np.floor(s[0] / (2 * np.pi))), None),
    "the reward": (turning(of_waves, reward=lambda p, s, a, s_next, w: -(s[0] ** 2)), None),
    "the policy": (turning(lambda s: (np.sin(s[0]), s[0], s[1])), None),
    "the speed": (turning(of_waves, step=lambda p, s, a, w: (s[0] + a[0], 0.9 * s[1] - s[0])), None),
    "another wave": (turning(of_waves, reward=lambda p, s, a, s_next, w: np.sin(1.0001 * s[0])), None),
    "the end": (turning(of_waves, terminal=lambda p, s: -abs(s[0])), None),
    "an end": (turning(of_waves, done=lambda p, s: s[0] > 4.0), None),
    "a table": (turning(of_waves, reward=lambda p, s, a, s_next, w: mg.lookup((1.0, 3.0), np.sin(s[0]) > 0)), 2 * np.pi),
    "a table of states": (turning(of_waves, reward=lambda p, s, a, s_next, w: mg.lookup(s, mg.where(s[1] > 0, 0, 1))), None),
    "it grows": (turning(of_waves, step=lambda p, s, a, w: (1.1 * s[0] + a[0], s[1])), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ANGLES)
@pytest.mark.parametrize(
    "estimator", [mg.estimators.reparameterization(), mg.estimators.reward_to_go()], ids=["PW", "to go"]
)
def test_what_is_an_angle(name, estimator):
    problem, period = ANGLES[name]
    (chain,) = Model(problem, THETA, {"x": estimator}).chains.values()
    found, other = periods(chain)
    assert found == (None if period is None else pytest.approx(period)) and other is None


def test_turns_measured():
    """Gymnasium's pendulum, whose angle runs over several turns: nothing is lost and nothing is left."""
    policy = mg.policies.linear_features(of_waves, 2, 1, std=0.5)
    problem = mg.Problem(mg.environments.pendulum(initial_speed=8.0), policy, horizon=12)
    chosen = {"to go": mg.estimators.reward_to_go(-5.0)}
    found = mg.exact.moments(problem, THETA, chosen, tolerance=2e-2, work=5.0)
    assert max(found.change.values()) <= 2e-2 and found.left < 1e-3
    measured = mg.measure(problem, THETA, chosen, COUNT, progress=False, machine="numpy")
    x, y = found["to go"], measured["to go"]
    assert np.all(np.abs(y.mean - x.mean) < 5 * x.stderr(COUNT))
    assert np.all(np.abs(y.variance - x.variance) < 5 * y.variance_stderr)
    assert not np.all(np.abs(1.1 * y.variance - x.variance) < 5 * y.variance_stderr)


def test_quadratures_between_breaks():
    """Powers up to 2 n - 1 of a normal between two numbers, by n nodes inside, and nothing of an empty panel."""
    x, w = np.polynomial.legendre.leggauss(FINE)
    x = np.array([[-8.5], [-1.0], [2.0], [1.0]]) + np.array([[17.0], [1.5], [6.5], [0.0]]) * (x + 1) / 2
    w = np.array([[17.0], [1.5], [6.5], [0.0]]) * w * np.exp(-x * x / 2)
    for n in (1, 4):
        nodes, weights = gauss_of(x, w, n)
        for k in range(2 * n):
            np.testing.assert_allclose(
                np.sum(weights * nodes**k, axis=1), np.sum(w * x**k, axis=1), atol=1e-13, rtol=1e-12
            )
        assert np.abs(np.sum(weights * nodes ** (2 * n), axis=1) - np.sum(w * x ** (2 * n), axis=1))[0] > 0.1
