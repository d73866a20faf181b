"""The gradient of PPO's clipped surrogate objective, from trajectories of the policy at other parameters.

    L = sum_t min(w_t A_t, clip(w_t, 1 - clip, 1 + clip) A_t),    w_t = p(a_t | s_t) / p_b(a_t | s_t),    A_t = G_t - b_t(s_t)
    g = sum_t z_t w_t A_t [not (A_t > 0 and w_t > 1 + clip)] [not (A_t < 0 and w_t < 1 - clip)]

Each decision is weighted by its own ratio alone: g leaves out how states and later actions would differ, and what is clipped.
It is biased, but where the behaviour is the policy itself: there it is the score function with reward to go. How far off it is
elsewhere, and how much variance that saves, is what it is here to be measured for (see `importance_weighted`).

References
----------
Schulman, Wolski, Dhariwal, Radford and Klimov (2017), Proximal policy optimization algorithms, arXiv 1707.06347, equation 7.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..baselines.accepted import BaselineLike, as_baseline
from ..baselines.baseline import Baseline
from ..baselines.optimal import Optimal
from ..compiler.functions import where
from ..printing import as_called
from ..problem import Policy, Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Numbers,
    StepView,
)
from .estimator import BehaviourPolicy, Combined, Direction, Estimator, RolloutVariant
from .importance_weighted import check_behaviour


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ClippedSurrogate(Estimator):
    """g of the module, of a rollout of the behaviour policy."""

    carries = ("to_go",)

    clip: float
    baseline: Baseline
    only_data = ("clip",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        bounds = {"low": 1.0 - self.clip, "high": 1.0 + self.clip}
        return {"baseline": self.baseline.data(problem, theta)} | bounds

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        to_go = later + x.reward
        advantage = to_go - self.baseline.value(c.baseline, x)
        w = np.exp(x.log_weight)
        counts = where(advantage > 0.0, where(w > c.high, 0.0, w), where(w < c.low, 0.0, w))
        return to_go, tuple(counts * advantage * z for z in x.score)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ClippedRatio(Combined):
    """See the module."""

    behaviour: BehaviourPolicy

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        check_behaviour(problem, self.behaviour)
        return super().data(problem, theta)

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        return gradients[0]


@as_called
def clipped_ratio(
    behaviour_theta: ArrayLike,
    clip: float | None = 0.2,
    baseline: BaselineLike = None,
    *,
    behaviour: Policy | None = None,
) -> Estimator:
    """Return the gradient of PPO's clipped surrogate at theta, from trajectories of a behaviour policy: biased.

    Parameters
    ----------
    behaviour_theta : (P,) array
        Parameters of the behaviour policy, those before the update; new numbers do not compile again.
    clip : float
        Half the width of the interval around 1 that ratios are clipped to, > 0; 0.2 in the paper.
    baseline : None, number, (T,) array, or one of mcgrad.baselines
        b_t(s_t), of the policy at theta; not one that is optimal for, or fitted to, another estimator.
    behaviour : Policy, optional
        Another policy for the behaviour, with as many states, actions and noises; the problem's own by default.

    Raises
    ------
    ValueError
        For an argument that is not as described; by `measure`, for a policy that has no `log_prob`.

    References
    ----------
    Schulman, Wolski, Dhariwal, Radford and Klimov (2017), Proximal policy optimization algorithms, equation 7.
    """
    if not isinstance(behaviour, (Policy, type(None))):
        raise ValueError(f"behaviour: expected a Policy, got {validate.describe(behaviour)}")
    b = as_baseline(baseline)
    if not isinstance(b, Baseline) or b.per_parameter or isinstance(b, Optimal):
        raise ValueError(f"baseline: expected one that is not optimal for another estimator, got {type(b).__name__}")
    acting = BehaviourPolicy(tuple(validate.array("behaviour_theta", behaviour_theta, (None,)).tolist()), behaviour)
    part = ClippedSurrogate(validate.number("clip", clip, above=0.0), b)
    return ClippedRatio((part,), variations=(RolloutVariant(behaviour=acting),), behaviour=acting)
