"""Exact moments of any estimator that can be traced, in the first space of functions that will do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...estimators.estimator import Estimator
from ...estimators.fitted import is_unfitted
from ...problem import Problem
from ..theory import NoClosedForm
from .basis import TooSmall
from .chain import Chain, Model
from .directions import over_directions
from .found import ExactMoments
from .nodal import Nodal
from .polynomials import Polynomials
from .questions import Answers, Make, central_powers
from .refine import Options, approximate, on_states
from .ring import Array, Monomial, Pair
from .system import Outputs
from .tables import SharedNoise, states, table
from .work import TooMuch, Work

EXACT = 1e-9  # what is left of moments that are exact but for directions of theta


def moments_within(
    problem: Problem,
    theta: Array,
    estimators: Mapping[str, Estimator],
    options: Options,
    higher: bool = False,
    full_covariance: bool = False,
) -> ExactMoments:
    """Return `moments` of estimators that have been told their truth, for what is left of the work of `options`."""
    estimators = {k: fitted(problem, theta, e, options) for k, e in estimators.items()}
    with np.errstate(all="ignore"):  # what overflows is no answer, see _checked
        model = Model(problem, theta, estimators, options.work)
        asked = functools.partial(_asked, model, higher, full_covariance, options.tolerance)
        found = in_some_space(problem, asked, options)
    return _checked(found, problem)


def fitted(problem: Problem, theta: Array, estimator: Estimator, options: Options) -> Estimator:
    """Return an estimator with the optimal coefficients where they are still to be fitted."""
    return estimator.fit(_Exactly(problem, theta, options)) if is_unfitted(estimator) else estimator


def in_some_space(problem: Problem, asked: Callable[[Make, str], Any], options: Options) -> Any:
    """Return what is asked on a table, on polynomials, or approximately; asked(make, name of the space): see `on_grids`."""
    if states(problem):
        try:
            return asked(functools.partial(_table, options.work), "table")
        except SharedNoise:  # no table of one state
            return on_states(asked, options)
    try:
        return asked(Polynomials, "polynomials")
    except (NoClosedForm, TooSmall) as error:
        return approximate(asked, dataclasses.replace(options, reason=error))


def _table(work: Work, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair]) -> Nodal:
    """Return the space of a table if that is not too much work."""
    space = table(chain, first, pairs)
    try:
        work.spend(space.size()[1] * space.horizon)
    except TooMuch:
        raise NoClosedForm(f"no recursion on so large a table within work={work.units:g}; allow more") from None
    return space


def solve(
    make: Make,
    chain: Chain,
    first: Iterable[Monomial],
    pairs: Sequence[Pair],
    outputs: Outputs,
    output_pairs: Sequence[Any],
) -> tuple[dict[Any, float], dict[Any, float]]:
    """Return means and covariances of outputs of a chain in the space that make(chain, first, pairs) returns."""
    space = make(chain, first, pairs)
    fields = space.last()
    for t in reversed(range(space.horizon)):
        chain.model.work.tick()
        fields = space.back(t, fields)
    return space.start(fields, outputs, output_pairs)


def _asked(model: Model, higher: bool, full: bool, tolerance: float, make: Make, space: str) -> ExactMoments:
    """Return the `ExactMoments` of a model in the spaces that make(chain, first, pairs) returns."""
    between = EXACT if space in ("polynomials", "table") else tolerance / 10  # of directions
    solver = functools.partial(solve, make)
    E, P = len(model.names), model.parameters
    if full:
        pairs = [(j, k) for j in range(E * P) for k in range(j, E * P)]
    else:
        pairs = [(i * P + p, k * P + p) for i in range(E) for k in range(i, E) for p in range(P)]

    def first_two(model: Model) -> tuple[list[float], list[float]]:
        answers = Answers(model, dict(enumerate(model.gradients)), pairs, solver)
        return [answers.mean[j] for j in range(E * P)], [answers.covariance[x] for x in pairs]

    def next_two(model: Model, mean: Array) -> list[list[float]]:
        answers = Answers(model, central_powers(model.gradients, mean, (3, 4)), [], solver)
        return [[answers.mean[j, k] for j in range(E * P)] for k in (3, 4)]

    mean, covariance, central = over_directions(model, pairs, first_two, next_two if higher else None, between)
    covariances = np.zeros((E * P, E * P))
    for (j, k), x in zip(pairs, covariance, strict=True):
        covariances[j, k] = covariances[k, j] = x
    covariances = covariances.reshape(E, P, E, P)
    if not full:
        covariances = np.einsum("ipjp->ijp", covariances).copy()
    third, fourth = (None, None) if central is None else (np.reshape(x, (E, P)) for x in central)
    parameters = tuple(model.problem.parameters)
    return ExactMoments(tuple(model.names), parameters, np.reshape(mean, (E, P)), covariances, third, fourth, space)


def _checked(found: ExactMoments, problem: Problem) -> ExactMoments:
    parts = [found.mean, found.covariances, *(x for x in (found.third, found.fourth) if x is not None)]
    if not all(np.isfinite(x).all() for x in parts):
        raise NoClosedForm(
            f"moments of {problem.environment.name} over {problem.horizon} steps: numbers beyond 1e308, or none at all; "
            "shorten the horizon, or count rewards in a larger unit"
        )
    return found


class _Exactly:
    """Exact moments where a fit expects those of trajectories: coefficients are then the optimal ones."""

    def __init__(self, problem: Problem, theta: Array, options: Options) -> None:
        self.problem, self.theta, self._options = problem, theta, options

    def moments(self, estimators: Mapping[str, Estimator], full: bool = False) -> ExactMoments:
        """Return the moments of named estimators."""
        return moments_within(self.problem, self.theta, estimators, self._options, full_covariance=full)

    def moments_of_each(self, variants: Iterable[Mapping[str, Estimator]]) -> Iterator[ExactMoments]:
        """Yield the moments of each of several dicts of estimators."""
        for estimators in variants:
            yield self.moments(estimators)
