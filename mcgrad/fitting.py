"""Coefficients that are fitted on other trajectories than those they are used on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .estimators import Estimator
from .estimators.fitted import is_unfitted
from .moments import Moments
from .power_sums import between_all, of_chunk
from .problem import Problem
from .run import END, Run

PILOT = END  # where the pilot ranges of fitted coefficients begin


def fit_on_pilots(
    problem: Problem, theta: NDArray[np.float64], estimators: dict[str, Estimator], run: Run
) -> dict[str, Estimator]:
    """Return the estimators with the coefficients of those that have a pilot range fitted on it."""
    return {
        name: e.fit(Range(problem, theta, run._replace(design=None), PILOT, e.pilot))
        if is_unfitted(e) and e.pilot is not None
        else e
        for name, e in estimators.items()
    }


def folds(
    problem: Problem, theta: NDArray[np.float64], estimators: dict[str, Estimator], start: int, count: int, run: Run
) -> Iterator[tuple[int, int, dict[str, Estimator]]]:
    """Yield (first, count, estimators) for ranges with fixed coefficients: all, or two halves that are cross-fitted."""
    if not any(map(is_unfitted, estimators.values())):
        yield start, count, estimators
        return
    half = count // run.unit // 2 * run.unit
    halves = ((start, half), (start + half, count - half))
    if half < 16 * run.unit:
        what = "trajectories" if run.design is None else f"replicates of {run.unit}"
        raise ValueError(
            f"count: expected at least 32 {what} for a cross-fitted control variate, got {count // run.unit}"
        )
    for this, other in (halves, halves[::-1]):
        trajectories = Range(problem, theta, run, *other)
        yield *this, {n: e.fit(trajectories) if is_unfitted(e) else e for n, e in estimators.items()}


def stand_ins(problem: Problem, theta: NDArray[np.float64], estimators: dict[str, Estimator]) -> dict[str, Estimator]:
    """Return the estimators with coefficients that nothing was simulated for: as good as any to tell what is measured."""
    if not any(map(is_unfitted, estimators.values())):
        return estimators
    imagined = Imagined(problem, theta)
    return {name: e.fit(imagined) if is_unfitted(e) else e for name, e in estimators.items()}


class Imagined(NamedTuple):
    """Trajectories whose gradients are the same random numbers each time, see `stand_ins`."""

    problem: Problem
    theta: np.ndarray

    def moments(self, estimators: dict[str, Estimator], full: bool = False) -> Moments:
        """Return moments of numbers that have nothing to do with the estimators."""
        E, P = len(estimators), len(self.problem.parameters)
        count = 2 * E * P + 64  # more than there are columns: covariance matrices have an inverse
        columns = 1.0 + np.random.default_rng(0).standard_normal((E * P, count))
        return Moments(tuple(estimators), self.problem.parameters, of_chunk(columns, E, between_all(E, full)))

    def moments_of_each(self, variants: Iterable[dict[str, Estimator]]) -> Iterator[Moments]:
        """Yield the moments of each of several dicts of estimators."""
        for estimators in variants:
            yield self.moments(estimators)


class Range(NamedTuple):
    """Trajectories that coefficients are fitted on, see `Fitted.fit`."""

    problem: Problem
    theta: np.ndarray
    run: Run
    first: int
    count: int  # type: ignore[assignment]  # what a tuple has by that name is not wanted

    def moments(self, estimators: dict[str, Estimator], full: bool = False) -> Moments:
        """Return the moments of named estimators."""
        program = self.run.program(self.problem, self.theta, estimators)
        sums = self.run.sums(program, self.first, self.count, between_all(len(estimators), full))
        return Moments(program.names, self.problem.parameters, sums)

    def moments_of_each(self, variants: Iterable[dict[str, Estimator]]) -> Iterator[Moments]:
        """Yield the moments of each of several dicts of estimators that differ in their data alone, with one kernel."""
        for estimators in variants:
            yield self.moments(estimators)
