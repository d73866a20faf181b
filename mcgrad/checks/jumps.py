"""Whether the return jumps: then pathwise gradients are biased, and no sample of theirs shows it.

With the noise of a trajectory held fixed, a return that is differentiable along a line in parameter space changes less and less
over a shorter and shorter interval; one that jumps does not. The line, as long as the differences of `mcgrad.differences` are
wide, is scanned on a grid for some hundred trajectories at once. Where a second difference stands out, and does not shrink on
the finer grid as that of a kink does, the interval with the larger change is halved until it is about 1e-9 of its length: what
is left of the change is a jump, or rounding. If none is found, a shorter line is scanned for more trajectories. A jump that is
small against what the return bends within an interval of the grid is not seen: what shows it then is that the mean of the
pathwise gradient is not the slope of J (`means` in `mcgrad.checks.gradients`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..differences import Returns, Slopes
from ..problem import Problem
from .findings import Finding, percent, reason
from .gradients import Kernel

GRID = 64  # intervals of the scan
HALVINGS = 30
CANDIDATES = 8  # trajectories that are looked at closely, for each direction
LEFT = 1e-3  # of the change over an interval of the grid that must be left after all halvings, to be called a jump
SCANS = ((1.0, 512), (0.125, 2048))  # lengths of lines in widths, and trajectories


class Jump(NamedTuple):
    """A jump of a trajectory's return: R changes by `size` at theta + at * direction."""

    trajectory: int
    direction: np.ndarray
    at: float
    size: float


def return_jumps(
    returns: Returns, theta: NDArray[np.float64], lines: NDArray[np.float64], widths: NDArray[np.float64]
) -> list[Jump]:
    """Return the jumps of the return near theta that were found; empty where it has none that matters.

    Parameters
    ----------
    returns : callable
        returns(theta, first, count) -> (count,) returns, see `mcgrad.differences.return_kernel`.
    lines : (D, P) array
    widths : (D,) array
        `Slopes.widths` along the lines.
    """
    usable = widths > 0
    for length, count in SCANS:
        found = find_jumps(returns, theta, lines[usable], count, length * widths[usable])
        if found:
            return found
    return []


def jumps(
    problem: Problem, kernel: Kernel, lines: NDArray[np.float64], found: Slopes, agreement: Mapping[str, Any]
) -> Finding:
    """Return the Finding on jumps of the return.

    Parameters
    ----------
    found : Slopes
        Differences along the lines.
    agreement : dict
        How far pathwise gradient and differences are apart, from `means`.
    """
    near = return_jumps(kernel.returns, kernel.theta, lines, found.widths)
    declared = problem.environment.discontinuous
    values = {"number": len(near), "largest": max((abs(x.size) for x in near), default=0.0), "jumps": tuple(near)}
    values |= {"declared": declared, "apart": agreement["z"], "bias": agreement["relative"]}
    biased = agreement["z"] > agreement["limit"]
    if near:
        x = max(near, key=lambda jump: abs(jump.size))
        text = f"the return jumps near theta: that of trajectory {x.trajectory} by {x.size:.3g}, for example"
    elif biased:
        text = "none seen, but pathwise gradients are not the slope of the return in the mean"
    else:
        text = f"none seen near theta on {SCANS[-1][1]} trajectories"
        text += f", though they are declared: {reason(declared)}" if declared else ""
        return Finding("jumps", "note" if declared else "ok", text, values)
    if biased:
        text += f"; pathwise gradients are off by {percent(agreement['relative'])}"
    if declared:
        return Finding("jumps", "note", f"{text}; declared: {reason(declared)}", values)
    text += (
        "\nPathwise gradients do not see jumps, and are biased. Look for `where`, `floor`, `sign`, `//`, `%` whose sides do"
        "\nnot meet; make them meet, or say so: Environment(discontinuous='what jumps, and where')."
    )
    return Finding("jumps", "wrong", text, values)


def find_jumps(
    returns: Returns,
    theta: NDArray[np.float64],
    directions: NDArray[np.float64],
    count: int,
    width: NDArray[np.float64],
) -> list[Jump]:
    """Return the jumps that were found, at most one for each trajectory and direction.

    Parameters
    ----------
    returns : callable
        returns(theta, first, count) -> (count,) returns of trajectories from number `first` on.
    directions : (D, P) array
    count : int
        Trajectories.
    width : float or (D,) array
        Half the length of the lines.
    """
    found = []
    for direction, half in zip(directions, np.broadcast_to(width, len(directions)), strict=True):
        steps = np.linspace(-half, half, GRID + 1)
        values = np.stack([returns(theta + x * direction, 0, count) for x in steps])
        finite = np.isfinite(values).all(axis=0)
        with np.errstate(invalid="ignore"):
            second = np.abs(np.diff(values, n=2, axis=0))
            twice = np.abs(values[4:] - 2.0 * values[2:-2] + values[:-4])
            # How much a second difference stands out against the typical one of its own trajectory; where it halves with
            # the grid it is that of a kink.
            contrast = np.where(finite, second.max(axis=0) - 2.0 * np.median(second, axis=0), -np.inf)
            sharp = second.max(axis=0) > 0.7 * twice.max(axis=0)
        tried = set()
        for order in (np.where(sharp, contrast, -np.inf), contrast):
            tried |= {int(i) for i in np.argsort(order)[::-1][:CANDIDATES] if order[i] > 0}
        for i in sorted(tried):
            jump = _closer(returns, theta, direction, i, steps, values[:, i])
            if jump is not None:
                found.append(jump)
    return found


def _closer(
    returns: Returns,
    theta: NDArray[np.float64],
    direction: NDArray[np.float64],
    i: int,
    steps: NDArray[np.float64],
    values: NDArray[np.float64],
) -> Jump | None:
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
