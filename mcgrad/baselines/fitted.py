"""A value function fitted to pilot trajectories: a polynomial in the state for each time, or a table."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.functions import lookup, where
from ..environments.tabular import Tabular
from ..per_step import PerStep
from ..problem import Problem
from ..scan_types import Constants, Data, Number, StateView
from ..truth import Truth, asked
from .baseline import Baseline
from .forms import evaluate_form, fit_form


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FittedValue(Baseline):
    """A polynomial in the state for each time, or a table where there are few states, fitted to pilot trajectories.

    A polynomial is evaluated at the nearest point of a box: that of the pilot's states at this time, wider by its own width on
    either side. Farther out it knows nothing, and a quadratic would grow without bound.
    """

    pilot: int
    degree: int
    seed: int
    truth: Truth | None = None
    only_data = ("pilot", "seed", "truth")

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.fitted(problem, asked(self).pilot(problem, theta, self.pilot, self.seed))

    def fitted(self, problem: Problem, path: Any) -> Data:
        """Return what `data` does, from the pilot trajectories."""
        weights = problem.weights()
        rewards = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
        to_go = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
        alive = np.arange(problem.horizon)[None] < path.lengths[:, None]
        steps = [(path.states[i, t], to_go[i, t]) for t, i in enumerate(alive.T)]
        fits: dict[str, Sequence[NDArray[np.float64]]]
        if _is_table(problem):
            fits = {"form": [fit_table(s, g, len(problem.environment.closed_form.start)) for s, g in steps]}
        else:
            low, high = zip(*(box(s) for s, _ in steps), strict=True)
            fits = {"form": [fit_form(s, g, self.degree) for s, g in steps], "low": low, "high": high}
        return {name: PerStep(np.stack([*x, np.zeros_like(x[0])])) for name, x in fits.items()}

    def value(self, c: Constants, x: StateView) -> Number:
        if _is_table(x.problem):
            return lookup(c.form, x.s[0])
        inside = tuple(
            where(s < low, low, where(s > high, high, s)) for s, low, high in zip(x.s, c.low, c.high, strict=True)
        )
        return evaluate_form(c.form, inside, self.degree)


def _is_table(problem: Problem) -> bool:
    return isinstance(problem.environment.closed_form, Tabular)


def fit_table(states: NDArray[np.float64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the mean of `values` by state (N, 1), that of all of them for states that did not occur: (count,)."""
    state = states[:, 0].astype(int)
    visits = np.bincount(state, minlength=count)
    sums = np.bincount(state, weights=values, minlength=count)
    return np.where(visits > 0, sums / np.maximum(visits, 1), np.mean(values) if len(values) else 0.0)


def box(states: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper corner of a box of three times the size of that of the states (N, n): (n,) both."""
    states = states[np.isfinite(states).all(axis=1)]
    if not len(states):
        return (np.zeros(states.shape[1]),) * 2
    low, high = states.min(axis=0), states.max(axis=0)
    width = np.minimum(high / 2 - low / 2, 1e300)  # half of it: what is huge stays finite
    return np.maximum(low / 2 - width, -5e307) * 2, np.minimum(high / 2 + width, 5e307) * 2
