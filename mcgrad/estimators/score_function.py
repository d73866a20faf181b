"""The score function (REINFORCE): the whole return times the sum of the scores.

    g = sum_t z_t (R - b_t(s_t)),    z_t = d log p(a_t | s_t) / dtheta

Unbiased for any baseline b_t that does not depend on a_t, since E[z_t | s_t] = 0.

References
----------
Williams (1992), Simple statistical gradient-following algorithms for connectionist reinforcement learning.
Machine Learning 8, 229.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..baselines.accepted import BaselineLike, as_baseline
from ..baselines.baseline import Baseline
from ..printing import as_called
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
from .with_baseline import with_baseline


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ScoreFunction(Estimator):
    """See the module."""

    carries = ("to_go",)

    baseline: Baseline

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.baseline.data(problem, theta)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        if self.baseline.is_constant:
            return later + x.reward, x.score
        b = self.baseline.value(c, x)
        return later + x.reward, [x.score, tuple(b * z for z in x.score)]

    def finish(self, c: Constants, sums: Cotangents, whole_return: Carry) -> Numbers:
        if self.baseline.is_constant:
            advantage = whole_return - self.baseline.value(c, None)  # type: ignore[arg-type]  # it looks at no state
            return tuple(advantage * z for z in sums)
        scores, baselines = sums
        return tuple(whole_return * z - b for z, b in zip(scores, baselines, strict=True))


@as_called
def score_function(baseline: BaselineLike = None) -> Estimator:
    """Return the score function with the whole return, R sum_t z_t, less a baseline.

    Parameters
    ----------
    baseline : None, number, (T,) array, or one of mcgrad.baselines
        Subtracted from the return. A number per parameter, fitted or given, is a control variate:
        `mcgrad.baselines.optimal_constant()`.

    Raises
    ------
    ValueError
        For a baseline that is none of these; when measured, where the policy has no score or the baseline is not known.

    References
    ----------
    Williams (1992), Simple statistical gradient-following algorithms for connectionist reinforcement learning.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> mg.exact.variance(problem, [-0.6], mg.estimators.score_function()).round(2)
    array([633.35])
    """
    return with_baseline(ScoreFunction, as_baseline(baseline))
