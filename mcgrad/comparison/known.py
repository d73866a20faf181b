"""Exact means and variances of what is compared, by closed forms, or by the recursion over the state where it is quick.

The recursion reads the functions that the kernels were written from: it takes the noise out of a measurement, and is no
witness of step, reward, sample or score. So it is believed only where the measurement agrees with it, and what is taken for the
gradient is confirmed as ever, by other estimators and by returns alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..estimators.estimator import Estimator, rollouts
from ..exact.answers import truth_within
from ..exact.recursion.moments import moments_within
from ..exact.recursion.refine import Options
from ..exact.recursion.work import Work
from ..moments import Moments
from ..problem import Problem
from .candidates import QUICK

CLOSED, RECURSION = "a closed form", "the recursion"
TOLERANCE = 1e-4  # of moments, relative, at the last refinement of a grid
# Units of work, about a second each: of one estimator, of all, and of those that do not come to rest.
EACH, ALL, WASTED = 1.0, 1.0, 0.4
ROUNDING = 1e-12
STATES = 2  # of problems that are no tables: with more of them it takes longer
LEFT = 1e-3  # the largest chance that a trajectory leaves a box which moved nothing when it was last made larger


class Known(NamedTuple):
    """The exact mean and variance of an estimator, (P,) each, and by what: CLOSED or RECURSION.

    `error` is by how much they moved at the last refinement of a grid, relative to the largest component; rounding at least.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    by: str
    error: float = ROUNDING

    @property
    def stderr(self) -> NDArray[np.float64]:
        """What the mean may be off, (P,): no chance is in it."""
        return np.full(len(self.mean), self.error * np.abs(self.mean).max())


def exactly(problem: Problem, theta: NDArray[np.float64], estimators: Mapping[str, Estimator]) -> dict[str, Known]:
    """Return {name: Known} of those that are known, or soon found out."""
    found, spent, wasted = {}, 0.0, 0.0 if _is_quick(problem, theta) else WASTED
    for name, e in sorted(estimators.items(), key=lambda x: rollouts(x[1], problem)):  # what is cheap comes first
        try:
            mean, variance = (f(problem, theta, e, work=0) for f in (exact.mean, exact.variance))
            found[name] = Known(mean, variance, CLOSED)
            continue
        except ValueError:
            pass
        work = Work(EACH if spent else WASTED)
        if spent > ALL or wasted >= WASTED:
            continue
        try:
            options = Options(TOLERANCE, work, explains=False)
            moments = moments_within(problem, problem.theta(theta), {name: e}, options)
        except (ValueError, ArithmeticError):
            wasted += work.spent
            continue
        spent += work.spent
        if abs(moments.left) <= LEFT:
            error = max([ROUNDING, *moments.change.values()])
            found[name] = Known(moments[name].mean, moments[name].variance, RECURSION, error)
    return found


def _is_quick(problem: Problem, theta: NDArray[np.float64]) -> bool:
    """Tell whether values are known, or come to rest soon: variances take several times as long."""
    try:
        truth_within(QUICK).value(problem, theta)
    except ValueError:
        return False
    return problem.environment.states <= STATES or bool(problem.environment.choices)


def contradicts(known: Known, moments: Moments, name: str, limit: float) -> bool:
    """Tell whether what was measured of an estimator is not what is known of it, by more than `limit` standard errors.

    A variance that rests on few trajectories is likely too small, and contradicts nothing.
    """
    x = moments[name]
    apart = (
        np.abs(x.mean - known.mean)
        > limit * np.sqrt(known.variance / max(x.count, 1)) + TOLERANCE * np.abs(known.mean).max()
    )
    error = limit * x.variance_stderr + 10 * TOLERANCE * known.variance.max()
    other = (np.abs(x.variance - known.variance) > error) & ~x.rests_on_few
    return bool(x.nonfinite or apart.any() or other.any())
