"""The exact critic of a problem that has one, right, or wrong on purpose."""

import dataclasses
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..printing import shown
from ..problem import Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView
from ..truth import Truth, asked
from . import quadratic, table
from .critic import Critic


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Exact(Critic):
    """The critic of a linear-quadratic or a tabular problem under its policy; see the module for how it may be wrong."""

    scale: float = 1.0
    shift: float = 0.0
    amplitude: float = 0.0
    frequency: float = 0.0
    truth: Truth | None = None
    only_data = ("truth",)

    def __repr__(self) -> str:
        errors = [
            f"{k}={shown(getattr(self, k))}" for k, x in (("scale", 1.0), ("shift", 0.0)) if getattr(self, k) != x
        ]
        errors += [f"oscillation=({shown(self.amplitude)}, {shown(self.frequency)})"] * bool(self.amplitude)
        return f"exact().wrong({', '.join(errors)})" if errors else "exact()"

    def wrong(self, scale: float = 1.0, shift: float = 0.0, oscillation: tuple[float, float] = (0.0, 0.0)) -> "Exact":
        """Return scale Q + shift + amplitude sum_i cos(frequency a_i), Q the exact one.

        Parameters
        ----------
        scale, shift : float
        oscillation : (amplitude, frequency)
        """
        amplitude, frequency = validate.array("oscillation", oscillation, (2,))
        return Exact(
            validate.number("scale", scale), validate.number("shift", shift), float(amplitude), float(frequency)
        )

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return _form(problem).data(self, problem, theta, asked(self))

    def value(self, c: Constants, x: StateView) -> Number:
        return _form(x.problem).value(self, c, x)

    def advantage(self, c: Constants, x: StateView) -> Number:
        return _form(x.problem).advantage(self, c, x)

    def action_gradient(self, c: Constants, x: StateView) -> Numbers:
        return _form(x.problem).action_gradient(self, c, x)

    def first_order(self, c: Constants, x: StateView) -> tuple[Number, Numbers]:
        return _form(x.problem).first_order(self, c, x)

    def expected_score(self, c: Constants, x: StateView) -> Numbers:
        return _form(x.problem).expected_score(self, c, x)

    def news_data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return _form(problem).news_data(self, problem, theta, asked(self))

    def gradient_news(self, c: Constants, x: StateView) -> Numbers:
        return _form(x.problem).gradient_news(c, x)


def _form(problem: Problem) -> ModuleType:
    return table if isinstance(problem.environment.choices, int) else quadratic
