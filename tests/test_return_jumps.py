"""Jumps of returns: told from kinks and from steep slopes."""

import numpy as np
import pytest

from mcgrad.checks.jumps import find_jumps, return_jumps
from mcgrad.differences import PILOT, slopes


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
