"""Baselines of least variance: for the sum over parameters, for each parameter, over time, over the state."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..per_step import PerStep
from ..printing import AsCalled
from ..problem import Problem
from ..scan_types import Constants, Data, Number, StateView
from ..truth import Truth, asked
from .baseline import Baseline, NoBaseline, over_time, undefined
from .forms import evaluate_form


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OptimalConstant(AsCalled):
    """The constant of least variance for each parameter, fitted on `pilot` trajectories of their own."""

    pilot: int
    base: Baseline = NoBaseline()
    only_data = ("pilot",)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Optimal(Baseline):
    """Derive from it: a baseline of least variance for a certain estimator, exact (linear-quadratic problems).

    Attributes
    ----------
    base : Baseline
        What it is added to.
    target : Estimator
        The estimator with `base`, that it is for; `with_baseline` fills it in.
    """

    base: Baseline = NoBaseline()
    target: Any = None
    truth: Truth | None = None
    only_data = ("target", "truth")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TotalOptimal(Optimal):
    """One number, or one for each time, of least variance summed over the gain K: the same for all parameters."""

    over_time: bool = False

    @property
    def is_constant(self) -> bool:  # type: ignore[override]  # computed, where others keep it
        return not self.over_time and self.base.is_constant

    def tuned(self, problem: Problem, theta: NDArray[np.float64]) -> Any:
        """Return b, or b_t (T,), to be subtracted in addition to `base`."""
        truth = asked(self)
        optimum = truth.total_optimal_over_time if self.over_time else truth.total_optimal_constant
        return optimum(problem, theta, self.target)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        b = self.tuned(problem, theta)
        return {"base": self.base.data(problem, theta), **(over_time(b) if self.over_time else {"b": b})}

    def value(self, c: Constants, x: StateView) -> Number:
        return self.base.value(c.base, x) + c.b


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ForEachParameter(Optimal):
    """A polynomial in the state for each parameter. Derive from it and define `forms`."""

    per_parameter = True
    degree = 0

    def forms(self, problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return b_tp(s) = (1, s)^T form_tp (1, s), to be subtracted in addition to `base`: (T, P, 1 + n, 1 + n)."""
        undefined("baseline", self, "forms")

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        size = 1 + problem.environment.states if self.degree else 1
        forms = self.forms(problem, theta)[..., :size, :size]
        upper = np.triu(forms) + np.triu(forms, 1)
        return {"b": PerStep(np.concatenate([upper, np.zeros_like(upper[:1])]))}

    def value(self, c: Constants, x: StateView) -> Any:
        return tuple(evaluate_form(form, x.s, self.degree) for form in c.b)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OptimalOverTime(ForEachParameter):
    """b_tp = E[g_p z_tp] / E[z_tp^2]."""

    def forms(self, problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return constant_forms(problem, asked(self).optimal_over_time(problem, theta, self.target))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NaiveOptimalOverTime(ForEachParameter):
    """b_tp = E[z_tp^2 G_t] / E[z_tp^2]."""

    def forms(self, problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return constant_forms(problem, asked(self).naive_optimal_over_time(problem, theta))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OptimalQuadratic(ForEachParameter):
    """The quadratic function of the state of least variance."""

    degree = 2

    def forms(self, problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return asked(self).optimal_quadratic(problem, theta, self.target)


def constant_forms(problem: Problem, b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return b (T, P) as forms of (1, s) that do not depend on s, (T, P, 1 + n, 1 + n)."""
    forms = np.zeros((*np.shape(b), problem.environment.states + 1, problem.environment.states + 1))
    forms[:, :, 0, 0] = b
    return forms
