"""Does the return jump? Along a line in parameter space, with the noise of a trajectory held fixed.

A return that is differentiable changes less and less over a shorter and shorter interval; one that jumps does not. The line is
scanned on a grid for all trajectories at once; where the second difference stands out, the interval with the larger change
is halved until it is about 1e-9 of its length. What is left of the change is then a jump, or rounding. A jump that is small
against what the return bends within an interval of the grid is not seen.
"""

from typing import NamedTuple

import numpy as np

GRID = 64  # intervals of the scan
HALVINGS = 30
CANDIDATES = 8  # trajectories that are looked at closely, for each direction
LEFT = 1e-3  # of the change over an interval of the grid that must be left after all halvings, to be called a jump


class Jump(NamedTuple):
    """A jump of a trajectory's return: R changes by `size` at theta + at * direction."""

    trajectory: int
    direction: np.ndarray
    at: float
    size: float


def find_jumps(returns, theta, directions, count, width):
    """Return the jumps that were found, at most one for each trajectory and direction.

    Parameters
    ----------
    returns : callable
        returns(theta, first, count) -> (count,) returns of trajectories from number `first` on.
    directions : (D, P) array
    count : int
        Trajectories.
    width : float
        Half the length of the line.
    """
    found = []
    steps = np.linspace(-width, width, GRID + 1)
    for direction in directions:
        values = np.stack([returns(theta + x * direction, 0, count) for x in steps])
        finite = np.isfinite(values).all(axis=0)
        with np.errstate(invalid="ignore"):
            second = np.abs(np.diff(values, n=2, axis=0))
        # How much a second difference stands out against the typical one of its own trajectory.
        contrast = np.where(finite, second.max(axis=0) - 2.0 * np.median(second, axis=0), -np.inf)
        for i in np.argsort(contrast)[::-1][:CANDIDATES]:
            if contrast[i] <= 0:
                break
            jump = _closer(returns, theta, direction, int(i), steps, values[:, i])
            if jump is not None:
                found.append(jump)
    return found


def _closer(returns, theta, direction, i, steps, values):
    """Return the jump of a trajectory near its largest second difference, or None."""
    changes = np.diff(values)
    k = int(np.argmax(np.abs(np.diff(changes))))
    before, after = changes[max(k - 1, 0)], changes[min(k + 2, GRID - 1)]
    k += int(abs(changes[k + 1] - after) > abs(changes[k] - before))
    # Around a jump the return goes on as it did: what changes more than that is where the jump is.
    slope = 0.5 * (changes[max(k - 1, 0)] + changes[min(k + 1, GRID - 1)]) / (steps[1] - steps[0])
    low, high, left, right = steps[k], steps[k + 1], values[k], values[k + 1]
    whole = abs(right - left)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        value = float(returns(theta + middle * direction, i, 1)[0])
        usual = slope * (middle - low)
        if abs(value - left - usual) >= abs(right - value - usual):
            high, right = middle, value
        else:
            low, left = middle, value
    size = right - left
    rounding = 1e-11 * max(abs(left), abs(right))
    return Jump(i, direction, 0.5 * (low + high), float(size)) if abs(size) > max(LEFT * whole, rounding) else None
