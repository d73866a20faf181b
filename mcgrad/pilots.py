"""Baselines and coefficients fitted once, on pilot trajectories that no measurement uses.

`measure` fits anew each time that it is called. Whoever measures, times and checks the same estimator wants it fitted once,
with the same numbers in every kernel.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import baselines as b
from .estimators import Estimator
from .estimators.fitted import is_unfitted
from .fitting import PILOT, Range
from .kernels.program import rollout_program
from .prepare import known_truth, prepare
from .problem import Problem
from .rollouts import rollout
from .run import END, Run
from .truth import told

PILOT_COUNT = 4096  # trajectories that baselines and coefficients are fitted on
SEED = 1
INTERPRETED = 1e8  # trajectories times steps times lines of text up to which NumPy is done before a compiler would be


@dataclasses.dataclass(frozen=True, eq=False)
class Known(b.Baseline):
    """A baseline with its data, so that what has been fitted once is not fitted again for each kernel."""

    baseline: b.Baseline
    numbers: dict
    only_data = ("numbers",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> dict[str, Any]:
        return self.numbers

    def value(self, c: Any, x: Any) -> Any:
        return self.baseline.value(c, x)


def known_value(problem: Problem, theta: NDArray[np.float64]) -> Known:
    """Return a value function that has been fitted, once."""
    baseline = told(b.fitted_value(PILOT_COUNT, 2, SEED), known_truth)
    return Known(baseline, baseline.data(problem, theta))


def mean_to_go(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the return to go at each time, (T,), over pilot trajectories."""
    machine = _machine(problem, theta, PILOT_COUNT)
    path = rollout(problem, theta, PILOT_COUNT, SEED, start=END - PILOT_COUNT, machine=machine)
    weights = problem.weights()
    rewards = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
    to_go = np.cumsum(rewards[:, ::-1], axis=1)[:, :0:-1]
    return np.mean(to_go[np.isfinite(to_go).all(axis=1)], axis=0)


def fitted(
    problem: Problem,
    theta: NDArray[np.float64],
    estimators: dict[str, Estimator],
    count: int = PILOT_COUNT,
    seed: int = SEED,
) -> dict[str, Estimator]:
    """Return estimators with coefficients, where they have any, that are fitted on `count` pilot trajectories.

    Those that would be cross-fitted, too: what is compared are estimators with fixed numbers.
    """
    estimators = prepare(estimators)
    if not any(map(is_unfitted, estimators.values())):
        return estimators
    machine = _machine(problem, theta, count)
    pilot = Range(problem, problem.theta(theta), Run(seed, 1, None, None, machine), PILOT, count)
    return {name: x.fit(pilot) if is_unfitted(x) else x for name, x in estimators.items()}


def _machine(problem: Problem, theta: NDArray[np.float64], count: int) -> str:
    """Return what simulates pilots: for small problems NumPy, which is there at once, else a kernel."""
    lines = rollout_program(problem, theta).kernel.text.count("\n")
    return "numpy" if count * lines * problem.horizon < INTERPRETED else "simd"
