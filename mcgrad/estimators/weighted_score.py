"""Scores with a weight for each parameter: what a baseline of one number per parameter subtracts.

    g_p = sum_t b_tp(s_t) z_tp,    E g = 0,    z_t the score in theta

The cotangent of eta is no place for such a baseline: it is weighed after the pull-back, parameter by parameter.

References
----------
Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning;
Peters and Schaal (2008), Reinforcement learning of motor skills with policy gradients.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..baselines.baseline import Baseline
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Numbers,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class WeightedScore(Estimator):
    """See the module; `baseline` is one whose value is a tuple, a number for each parameter."""

    carries = ("weighted",)

    baseline: Baseline

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.baseline.data(problem, theta)

    def last(self, c: Constants, end: EndView) -> Carry:
        return (0.0,) * len(c.b)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        weights, scores = self.baseline.value(c, x), x.theta_vjp(x.score)
        return tuple(y + b * z for y, b, z in zip(carry, weights, scores, strict=True)), []

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return carry
