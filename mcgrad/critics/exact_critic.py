"""The exact critic of a problem that has one, in closed form or by the recursion, right, or wrong on purpose."""

import dataclasses
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..environments.linear_quadratic import LinearQuadratic
from ..printing import shown
from ..problem import Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView
from ..truth import Truth, asked
from . import gaussian, quadratic, table
from .critic import Critic


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Exact(Critic):
    """The critic of a problem under its policy; see `mcgrad.critics` for how it may be wrong."""

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
        truth = asked(self)
        form = _form(problem)
        if form is quadratic:
            linear = isinstance(problem.environment.closed_form, LinearQuadratic)
            form = quadratic if linear and truth.critic(problem, theta).F is not None else gaussian
        return form.data(self, problem, theta, truth)

    def value(self, c: Constants, x: StateView) -> Number:
        return _form(x.problem, c).value(self, c, x)

    def advantage(self, c: Constants, x: StateView) -> Number:
        return _form(x.problem, c).advantage(self, c, x)

    def action_gradient(self, c: Constants, x: StateView) -> Numbers:
        return _form(x.problem, c).action_gradient(self, c, x)

    def first_order(self, c: Constants, x: StateView) -> tuple[Number, Numbers]:
        return _form(x.problem, c).first_order(self, c, x)

    def expected_score(self, c: Constants, x: StateView) -> Numbers:
        return _form(x.problem, c).expected_score(self, c, x)

    def news_data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return _form(problem).news_data(self, problem, theta, asked(self))

    def gradient_news(self, c: Constants, x: StateView) -> Numbers:
        return _form(x.problem).gradient_news(c, x)


def _form(problem: Problem, c: Constants | None = None) -> ModuleType:
    """Return how a critic is stored: of a problem with continuous actions, the data say which."""
    if isinstance(problem.environment.choices, int):
        return table
    return gaussian if c is not None and gaussian.HERE in vars(c) else quadratic
