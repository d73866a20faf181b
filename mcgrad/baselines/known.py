"""Baselines that are exact where `mcgrad.exact` knows the problem: means and the value function."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..compiler.functions import lookup
from ..per_step import PerStep
from ..problem import Problem
from ..scan_types import Constants, Data, Number, StateView
from ..truth import Truth, asked
from . import chebyshev
from .baseline import Baseline, over_time


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MeanReturn(Baseline):
    """J, the exact mean of the return."""

    truth: Truth | None = None
    is_constant = True
    only_data = ("truth",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {"b": asked(self).objective(problem, theta)}

    def value(self, c: Constants, x: StateView) -> Number:
        return c.b


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MeanToGo(Baseline):
    """b_t = E G_t, the exact mean of the return to go."""

    truth: Truth | None = None
    only_data = ("truth",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return over_time(asked(self).mean_return_to_go(problem, theta))

    def value(self, c: Constants, x: StateView) -> Number:
        return c.b


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Value(Baseline):
    """The exact value function V_t(s) = E[G_t | s_t = s]: -(s^T P_t s + c_t), a table, or Chebyshev polynomials."""

    truth: Truth | None = None
    only_data = ("truth",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        found = asked(self).value(problem, theta)
        if found.V is not None:
            return {"V": PerStep(found.V)}
        if found.P is None and found.box is None:
            raise ValueError(
                f"baseline: the exact values are those of {found.space}, which are not whole numbers from 0 on, the rows of a "
                "table; mg.baselines.fitted_value() takes any"
            )
        if found.P is None:
            return chebyshev.series(found)
        upper = np.triu(found.P) + np.triu(found.P, 1)
        return {"P": PerStep(upper), "c": PerStep(found.c)}

    def value(self, c: Constants, x: StateView) -> Number:
        if "V" in vars(c):
            return lookup(c.V, x.s[0])
        if "chebyshev" in vars(c):
            return chebyshev.evaluated(c, x.s)
        n = len(x.s)
        return -(sum(x.s[i] * sum(c.P[i, j] * x.s[j] for j in range(i, n)) for i in range(n)) + c.c)
