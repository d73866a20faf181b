"""Gradients confirmed by differences of exact objectives: what reads a score is right only if the score is.

A score function's mean is the gradient if the policy's score is that of the density which it samples from. The recursion reads
both as they were written. An objective reads neither.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..theory import NoClosedForm
from .ring import Array

STEP = 0.02  # relative to theta, or to 1
CLOSE = 0.05  # relative
SEED = 7


def confirm(gradient: Array, objective: Callable[[Array], tuple[float, float]], theta: Array, tolerance: float) -> None:
    """Raise NoClosedForm if a gradient is not the slope of J along one direction, roughly.

    Parameters
    ----------
    gradient : (P,) array
    objective : callable
        objective(theta) -> J, and a size that J is known relative to, if it is larger than |J|.
    theta : (P,) array
    tolerance : float
        To which J is known.
    """
    size = np.maximum(np.abs(theta), 1.0)
    along = gradient * size  # a wrong length shows along the gradient itself, a wrong direction along another
    norm = float(np.linalg.norm(along))
    other = np.random.default_rng(SEED).standard_normal(len(theta))
    v = size * (along / norm + other / np.linalg.norm(other) if norm else other / np.linalg.norm(other))
    slope, expected, step = 0.0, float(gradient @ v), STEP
    values = {}
    for k in (-2, -1, 1, 2):
        J, scale = objective(theta + k * step * v)
        values[k] = J
        slope = max(slope, tolerance * max(abs(J), scale))
    near, far = (values[1] - values[-1]) / (2 * step), (values[2] - values[-2]) / (4 * step)
    found = (4 * near - far) / 3
    may = CLOSE * abs(expected) + abs(near - far) + 10 * slope / step
    if not abs(found - expected) <= may:
        raise NoClosedForm(
            f"the mean of reward_to_go() has a slope of {expected:.4g} along a direction in which the objective rises by "
            f"{found:.4g}: the policy's score is not that of the density which it samples from; see mcgrad.check"
        )
