"""Trajectory-wise control variates: what the critic knows about all later actions is subtracted, too.

    g = sum_t z_t (G_t - Q_t(s_t, a_t) - sum_{k>t} A_k(s_k, a_k)) + sum_t E_a[z_t Q_t(s_t, a) | s_t]

Unbiased for every critic whose A_k = Q_k - V_k has mean zero over the actions. With the exact one the bracket is what the
process noise does to the return, and without process noise g is the all-action gradient.

References
----------
Cheng, Yan and Boots (2019), Trajectory-wise control variates for variance reduction in policy gradient methods; Pankov
(2018), Reward-estimation variance elimination in sequential decision processes.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..critics.accepted import as_critic
from ..critics.critic import Critic
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


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrajectoryControlVariate(Estimator):
    """See the module."""

    carries = ("to_go",)

    critic: Critic

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.critic.data(problem, theta)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        unexplained = later + x.reward - self.critic.advantage(c, x)
        left = unexplained - self.critic.value(c, x)
        expected = self.critic.expected_score(c, x)
        return unexplained, tuple(left * z + h for z, h in zip(x.score, expected, strict=True))


@as_called
def trajectory_control_variate(critic: Critic | None = None) -> Estimator:
    """Return the score function less a critic's advantages of this and all later actions.

        g = sum_t z_t (G_t - Q_t - sum_{k>t} A_k) + sum_t E_a[z_t Q_t | s_t]

    Parameters
    ----------
    critic : None or one of mcgrad.critics
        The exact critic by default; unbiased with any.

    Raises
    ------
    ValueError
        For a critic that is none; when measured, where the problem has no exact one.

    References
    ----------
    Cheng, Yan and Boots (2019), Trajectory-wise control variates for variance reduction in policy gradient methods.
    """
    return TrajectoryControlVariate(as_critic(critic))
