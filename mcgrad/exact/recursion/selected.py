"""Means of some components of estimators, and covariances of some pairs of them: no more than what is asked for.

With them, estimators of one time each: the score at time t, and what is regressed on it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...estimators.estimator import Estimator
from ...per_step import PerStep
from ...problem import Problem
from ...scan_types import Carry, Constants, Cotangents, Data, EndView, Numbers, StepView
from ..theory import NoClosedForm
from .chain import Model
from .moments import in_some_space, solve
from .questions import Answers, Make
from .refine import Options
from .ring import Array

FLOOR = 1e-3  # of correlations: what is less need not have converged relative to itself

Component = tuple[str, int]  # name of an estimator, parameter


class Wanted(NamedTuple):
    """What is asked for.

    Attributes
    ----------
    means : list of (name, parameter)
    pairs : list of ((name, parameter), (name, parameter), group)
        With what its covariance is compared when it has moved: with the largest of its group.
    """

    means: Sequence[Component] = ()
    pairs: Sequence[tuple[Component, Component, Hashable]] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Selected:
    """What was found at one level of refinement: `mean` (J,) and `covariance` (K,), in the order of `wanted`."""

    wanted: Wanted
    mean: Array
    covariance: Array
    space: str
    change: Mapping[str, float] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    left: float = 0.0

    def moved_from(self, before: Selected) -> float:
        """Return the largest difference from another level, relative to the largest mean, or covariance of a group."""
        moved = np.concatenate([self.mean - before.mean, self.covariance - before.covariance])
        scale = np.concatenate([np.full(len(self.mean), np.abs(self.mean).max(initial=0.0)), self._scales()])
        change = float(np.max(np.abs(moved) / (scale + 1e-300), initial=0.0))
        return change if np.isfinite(change) else np.inf

    def _scales(self) -> Array:
        found = np.abs(self.covariance)
        variance = {a: x for (a, b, _), x in zip(self.wanted.pairs, found, strict=True) if a == b}
        largest: dict[Hashable, float] = {}
        for (a, b, group), x in zip(self.wanted.pairs, found, strict=True):
            least = FLOOR * np.sqrt(variance.get(a, 0.0) * variance.get(b, 0.0))
            largest[group] = max(largest.get(group, 0.0), float(x), float(least))
        return np.array([largest[group] for _, _, group in self.wanted.pairs])


def selected(
    problem: Problem, theta: Array, estimators: Mapping[str, Estimator], wanted: Wanted, options: Options
) -> Selected:
    """Return some means and covariances of estimators that have been told their truth and fitted."""
    with np.errstate(all="ignore"):  # what overflows is no answer
        model = Model(problem, theta, estimators, options.work)
        if model.directions:
            raise NoClosedForm("no recursion here: directions of theta that are drawn at random")
        found = in_some_space(problem, functools.partial(_asked, model, wanted), options)
    if not (np.isfinite(found.mean).all() and np.isfinite(found.covariance).all()):
        raise NoClosedForm(f"moments of {problem.environment.name}: numbers beyond 1e308, or none at all")
    return found


def _asked(model: Model, wanted: Wanted, make: Make, space: str) -> Selected:
    P = model.parameters

    def place(component: Component) -> int:
        return model.names.index(component[0]) * P + component[1]

    means, pairs = [place(x) for x in wanted.means], [(place(a), place(b)) for a, b, _ in wanted.pairs]
    targets = {j: model.gradients[j] for j in sorted({*means, *(j for pair in pairs for j in pair)})}
    answers = Answers(model, targets, pairs, functools.partial(solve, make))
    covariance = [answers.covariance[min(x), max(x)] for x in pairs]
    return Selected(wanted, np.array([answers.mean[j] for j in means]), np.array(covariance, dtype=float), space)


# ---- estimators of one time --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class AtTime(Estimator):
    """What happens at time t alone; the derivative of the return is none of its business."""

    t: int
    only_data = ("t",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {"now": PerStep((np.arange(problem.horizon + 1) == self.t).astype(float))}

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        return gradient


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreAt(AtTime):
    """z_t, (P,)."""

    def last(self, c: Constants, end: EndView) -> Carry:
        return (0.0,) * len(end.problem.parameters)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        return tuple(y + c.now * z for y, z in zip(carry, x.theta_vjp(x.score), strict=True)), []

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return carry


@dataclasses.dataclass(frozen=True, eq=False)
class WeighedReturn(AtTime):
    """z_t^2 G_t, (P,), G_t the reward to go; or G_t itself, in the first component."""

    squared: bool

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, (0.0,) * len(end.problem.parameters)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        later, weighed = carry
        to_go = later + x.reward
        weights = [z * z for z in x.theta_vjp(x.score)] if self.squared else [1.0] + [0.0] * (len(weighed) - 1)
        return (to_go, tuple(y + c.now * w * to_go for y, w in zip(weighed, weights, strict=True))), []

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return carry[1]
