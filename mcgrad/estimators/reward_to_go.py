"""The score function with reward to go (GPOMDP): a score is paired with the rewards that come after it.

    g = sum_t z_t (G_t - b_t(s_t)),    G_t = sum_{k>=t} gamma^k r_k

Discounting counts from time 0, so that the estimator is unbiased for the gradient of the discounted objective.

References
----------
Baxter and Bartlett (2001), Infinite-horizon policy-gradient estimation. JAIR 15, 319; Sutton, McAllester, Singh and
Mansour (2000), Policy gradient methods for reinforcement learning with function approximation.
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
    StepView,
)
from .estimator import Estimator
from .with_baseline import with_baseline


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RewardToGo(Estimator):
    """See the module."""

    carries = ("to_go",)

    baseline: Baseline

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.baseline.data(problem, theta)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        to_go = later + x.reward
        advantage = to_go - self.baseline.value(c, x)
        return to_go, tuple(advantage * z for z in x.score)


@as_called
def reward_to_go(baseline: BaselineLike = None) -> Estimator:
    """Return the score function with reward to go, sum_t z_t (G_t - b_t(s_t)).

    Parameters
    ----------
    baseline : None, number, (T,) array, or one of mcgrad.baselines
        b_t, subtracted from the return to go, in units of the reward.

    Raises
    ------
    ValueError
        For a baseline that is none of these; when measured, where the policy has no score or the baseline is not known.

    References
    ----------
    Baxter and Bartlett (2001), Infinite-horizon policy-gradient estimation. JAIR 15, 319.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> bare, less = mg.estimators.reward_to_go(), mg.estimators.reward_to_go(mg.baselines.value())
    >>> mg.exact.variance(problem, [-0.6], bare).round(2), mg.exact.variance(problem, [-0.6], less).round(2)
    (array([367.56]), array([33.4]))
    """
    return with_baseline(RewardToGo, as_baseline(baseline))
