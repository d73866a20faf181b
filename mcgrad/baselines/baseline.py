"""What a baseline is, and the plain ones: none, a number, a number for each time, a function of the state."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..calls import call
from ..per_step import PerStep


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """A baseline b_t(s_t). Derive from it: `value` is traced, `data` gives the numbers that it reads as `c.name`."""

    is_constant = False  # one number for all times
    per_parameter = False  # `value` is a tuple, a number for each parameter
    only_data = ()  # as of an estimator

    def data(self, problem: Any, theta: NDArray[np.float64]) -> dict[str, Any]:
        """Return {name: array or PerStep}."""
        return {}

    def value(self, c: Any, x: Any) -> Any:
        """Return b_t(s_t) for a step x (see `mcgrad.kernels.step_view.Step`)."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class NoBaseline(Baseline):
    """b = 0."""

    is_constant = True

    def value(self, c, x):
        return 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Baseline):
    """The same number at every time."""

    b: float
    only_data = ("b",)
    is_constant = True

    def data(self, problem, theta):
        return {"b": self.b}

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class TimeDependent(Baseline):
    """A number for each time, b_0, ..., b_{T-1}."""

    b: np.ndarray
    only_data = ("b",)

    def data(self, problem, theta):
        return over_time(validate.array("baseline", self.b, (problem.horizon,)))

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class OfState(Baseline):
    """A function of the state given by the user."""

    function: object
    params: dict
    only_data = ("params",)

    def data(self, problem, theta):
        return self.params

    def value(self, c, x):
        return call("baseline", self.function, (c, x.s), None)


def over_time(b):
    """Return one number for each time as the data of a baseline."""
    return {"b": PerStep(np.append(b, 0.0))}
