"""A baseline that depends on the action, and its mean added back.

    g = sum_t z_t (G_t - q_t(s_t, a_t)) + sum_t E_a[z_t q_t(s_t, a) | s_t]

q_t is Q_t of a critic, or (Q-Prop) its Taylor expansion about the mean action, V_t + u^T dQ_t/da. Unbiased for every
critic.

References
----------
Gu, Lillicrap, Ghahramani, Turner and Levine (2017), Q-Prop: sample-efficient policy gradient with an off-policy critic;
Thomas and Brunskill (2017), Policy gradient methods for reinforcement learning with function approximation and
action-dependent baselines; Tucker et al. (2018), The mirage of action-dependent baselines in reinforcement learning.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .. import validate
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
class ActionControlVariate(Estimator):
    """See the module."""

    carries = ("to_go",)

    critic: Critic
    first_order: bool = False

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.critic.data(problem, theta)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        to_go = later + x.reward
        if self.first_order:
            known, expected = self.critic.first_order(c, x)
        else:
            known, expected = self.critic.advantage(c, x), self.critic.expected_score(c, x)
        left = to_go - self.critic.value(c, x) - known
        return to_go, tuple(left * z + h for z, h in zip(x.score, expected, strict=True))


@as_called
def action_control_variate(critic: Critic | None = None, first_order: bool = False) -> Estimator:
    """Return the score function with reward to go less a critic's Q_t, and the mean of what was subtracted.

    Parameters
    ----------
    critic : None or one of mcgrad.critics
        The exact critic by default; unbiased with any.
    first_order : bool
        Subtract the Taylor expansion of Q_t about the mean action instead (Q-Prop).

    Raises
    ------
    ValueError
        For a critic that is none; when measured, where the problem has no exact one; with `first_order`, for discrete actions.

    References
    ----------
    Gu et al. (2017), Q-Prop; Tucker et al. (2018), The mirage of action-dependent baselines in reinforcement learning.
    """
    return ActionControlVariate(as_critic(critic), validate.flag("first_order", first_order))
