"""Scores with a weight for each parameter: what a baseline of one number per parameter subtracts.

    g_p = sum_t b_tp(s_t) z_tp,    E g = 0,    z_t the score in theta

The cotangent of eta is no place for such a baseline: it is weighed after the pull-back, parameter by parameter.

References
----------
Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning;
Peters and Schaal (2008), Reinforcement learning of motor skills with policy gradients.
"""

import dataclasses

from ..baselines import Baseline
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedScore(Estimator):
    """See the module; `baseline` is one whose value is a tuple, a number for each parameter."""

    carries = ("weighted",)

    baseline: Baseline

    def data(self, problem, theta):
        return self.baseline.data(problem, theta)

    def last(self, c, end):
        return (0.0,) * len(c.b)

    def step(self, c, x, carry):
        weights, scores = self.baseline.value(c, x), x.theta_vjp(x.score)
        return tuple(y + b * z for y, b, z in zip(carry, weights, scores, strict=True)), []

    def finish(self, c, sums, carry):
        return carry
