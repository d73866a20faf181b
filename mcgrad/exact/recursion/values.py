"""The exact value function of any problem that the recursion can be run on: V_t(s) = E[G_t | s_t = s], discounted from 0."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...estimators.estimator import Estimator, custom
from ...problem import Problem
from ..records import ValueFunction, numbers
from ..theory import NoClosedForm
from .chain import Chain, Model
from .polynomials import Polynomials
from .questions import Answers, Make
from .refine import Options, approximate, pilot_box
from .ring import Array, Monomial, Pair
from .system import Outputs
from .tables import states, table

MOST_ROWS = 100_000  # of a table of values
CHECKED = 25  # points of each axis at which values have to come to rest, at the first, middle and last time


@dataclasses.dataclass(frozen=True, eq=False)
class OnLevel:
    """What was found at one level of refinement; see `ValueFunction` for `objective`, `space`, `change` and `left`.

    Attributes
    ----------
    functions : tuple of callable
        V_t of states (N, n), for t = 0, ..., T; with held=True, the value at the edge for states beyond a box, else NaN.
    box : callable
        box() -> (low, high) of pilot trajectories.
    states : (S, n) array, or None
        All that can be reached, where these are finitely many.
    """

    objective: float
    space: str
    functions: tuple[Callable[..., NDArray[np.float64]], ...]
    box: Callable[[], Any]
    change: Any = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    left: float = 0.0
    states: NDArray[np.float64] | None = None

    def moved_from(self, before: OnLevel) -> float:
        """Return the largest difference from another level in the box of pilot trajectories, relative to all values' range."""
        if self.states is not None:  # which are others from level to level
            return abs(self.objective - before.objective) / (abs(self.objective) + 1e-300)
        axes = np.meshgrid(*(np.linspace(a, b, CHECKED) for a, b in zip(*self.box(), strict=True)), indexing="ij")
        points = np.stack([x.ravel() for x in axes], axis=1)
        T = len(self.functions) - 1
        x, y = (np.array([V.functions[t](points) for t in sorted({0, T // 2, T - 1})]) for V in (before, self))
        change = max(np.max(np.abs(x - y)), abs(self.objective - before.objective)) / (np.ptp(y) + 1e-300)
        return float(change) if np.isfinite(change) else np.inf

    def record(self, n: int, table: int | None = None) -> ValueFunction:
        """Return what users see of it, for n state variables, or for a table with a number of states."""
        functions = self.functions
        if self.states is not None:
            return self._of_states(n)

        def function(t: int, s: NDArray[np.float64]) -> NDArray[np.float64]:
            return functions[t](s if table is None else numbers("s", s, table)[:, None].astype(float))

        box = None if table is not None else self.box()
        return ValueFunction(function, len(functions) - 1, n, self.objective, self.space, self.change, self.left, box)

    def _of_states(self, n: int) -> ValueFunction:
        """Return what users see of values of finitely many states; as a table, too, where these are numbers of its rows."""
        assert self.states is not None
        functions, T = self.functions, len(self.functions) - 1
        table, k = None, self.states[:, 0]
        if n == 1 and ((k == np.floor(k)) & (k >= 0) & (k < MOST_ROWS)).all():
            rows = np.arange(k.max() + 1.0)[:, None]
            table = np.array([functions[t](rows) for t in range(T + 1)])
        return ValueFunction(
            lambda t, s: functions[t](s), T, n, self.objective, self.space, self.change, self.left, None, table
        )


def value_within(problem: Problem, theta: Array, options: Options) -> ValueFunction:
    """Return V_t(s) for what is left of the work of `options`; nothing but dynamics and rewards enters."""
    return found_within(problem, theta, options)[1].record(problem.environment.states, states(problem))


def found_within(problem: Problem, theta: Array, options: Options) -> tuple[Chain, OnLevel]:
    """Return the chain of a problem, and its values for what is left of the work of `options`."""
    whole = whole_return(len(problem.parameters))
    with np.errstate(all="ignore"):  # what overflows has not converged
        model = Model(problem, theta, {"return": whole}, options.work)
        asked = functools.partial(_asked, model, options.box)
        ((_, chain),) = model.chains.items()
        if states(problem):
            return chain, asked(table, "table")
        try:
            return chain, asked(Polynomials, "polynomials")
        except NoClosedForm as error:
            return chain, approximate(asked, dataclasses.replace(options, reason=error))


def _asked(model: Model, box: tuple[Array, Array] | None, make: Make, space: str) -> OnLevel:
    """Return the `OnLevel` of a model in one space."""
    functions = []

    def solver(
        chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair], outputs: Outputs, output_pairs: Sequence[Any]
    ) -> tuple[dict[Any, float], dict[Any, float]]:
        own = make(chain, first, pairs)
        (a,) = (x for x in first if x)
        fields = own.last()
        functions.append(own.function(fields, a))
        for t in reversed(range(own.horizon)):
            chain.model.work.tick()
            fields = own.back(t, fields)
            functions.append(own.function(fields, a))
        return own.start(fields, outputs, output_pairs)

    found = Answers(model, {0: model.gradients[0]}, [], solver)
    ((_, chain),) = model.chains.items()
    return OnLevel(float(found.mean[0]), space, tuple(functions[::-1]), functools.partial(pilot_box, chain, box))


def whole_return(parameters: int) -> Estimator:
    """Return the return itself as the first of so many components of an estimator: nothing is differentiated."""

    def finish(c: object, sums: object, carry: object) -> tuple[object, ...]:
        return (carry, *(0.0 for _ in range(parameters - 1)))

    return custom(lambda c, x, later: (later + x.reward, []), lambda c, end: end.reward, finish)
