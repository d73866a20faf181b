"""What a baseline is, and the plain ones: none, a number, a number for each time, a function of the state."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..calls import call
from ..compiler.errors import TraceError
from ..per_step import PerStep
from ..printing import AsCalled
from ..problem import Problem
from ..scan_types import Constants, Data, Number, StateView


def undefined(what: str, given: object, method: str) -> NoReturn:
    """Raise the TraceError, a ValueError, of an object whose class leaves out a method that is needed of it."""
    raise TraceError(f"{what}: expected one that defines {method}(), which is needed here, got {type(given).__name__}")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Baseline(AsCalled):
    """A baseline b_t(s_t). Derive from it: `value` is traced, `data` gives the numbers that it reads as `c.name`."""

    is_constant: ClassVar[bool] = False  # one number for all times
    per_parameter: ClassVar[bool] = False  # `value` is a tuple, a number for each parameter
    only_data: ClassVar[tuple[str, ...]] = ()  # as of an estimator

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        """Return {name: array or PerStep}."""
        return {}

    def value(self, c: Constants, x: StateView) -> Any:
        """Return b_t(s_t) for a step x (see `mcgrad.kernels.step_view.Step`)."""
        undefined("baseline", self, "value")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NoBaseline(Baseline):
    """b = 0."""

    is_constant = True

    def value(self, c: Constants, x: StateView) -> Number:
        return 0.0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Constant(Baseline):
    """The same number at every time."""

    b: float
    only_data = ("b",)
    is_constant = True

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {"b": self.b}

    def value(self, c: Constants, x: StateView) -> Number:
        return c.b


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TimeDependent(Baseline):
    """A number for each time, b_0, ..., b_{T-1}."""

    b: np.ndarray
    only_data = ("b",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return over_time(validate.array("baseline", self.b, (problem.horizon,)))

    def value(self, c: Constants, x: StateView) -> Number:
        return c.b


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OfState(Baseline):
    """A function of the state given by the user."""

    function: Callable[..., Any]
    params: Data
    only_data = ("params",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.params

    def value(self, c: Constants, x: StateView) -> Number:
        return call("baseline", self.function, (c, x.s), None)


def over_time(b: ArrayLike) -> dict[str, PerStep]:
    """Return one number for each time as the data of a baseline."""
    return {"b": PerStep(np.append(b, 0.0))}
