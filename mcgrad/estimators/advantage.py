"""The score function with a critic in place of the return: the policy gradient theorem, sampled.

    Q    g = sum_t z_t Q_t(s_t, a_t)
    A    g = sum_t z_t A_t(s_t, a_t),    A_t = Q_t - V_t

Unbiased with an exact critic; with a wrong one the bias is that of sum_t E[z_t (Q~_t - Q_t)].

The critic is an oracle: with the exact one this is unbiased in that one environment, so that its variance may be below what
trajectories alone can give (`exact.efficiency_bound`), and Cov(g, doubly_robust()) is not the tree bound. With a critic
fitted to the same trajectories, N times its variance goes back above the Markov bound as N grows.

References
----------
Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with function
approximation; Konda and Tsitsiklis (2000), Actor-critic algorithms.
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
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Advantage(Estimator):
    """See the module: A_t, the advantage of a critic."""

    critic: Critic

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.critic.data(problem, theta)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        A = self.critic.advantage(c, x)
        return carry, tuple(A * z for z in x.score)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class QFunction(Advantage):
    """See the module: Q_t, the action value of a critic."""

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        Q = self.critic.value(c, x) + self.critic.advantage(c, x)
        return carry, tuple(Q * z for z in x.score)


@as_called
def q_function(critic: Critic | None = None) -> Estimator:
    """Return sum_t z_t Q_t(s_t, a_t), the score function with the action value of a critic.

    Parameters
    ----------
    critic : None or one of mcgrad.critics
        The exact critic by default.

    Raises
    ------
    ValueError
        For a critic that is none; when measured, where the problem has no exact one.

    References
    ----------
    Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with function
    approximation.
    """
    return QFunction(as_critic(critic))


@as_called
def advantage(critic: Critic | None = None) -> Estimator:
    """Return sum_t z_t A_t(s_t, a_t), the score function with the advantage A_t = Q_t - V_t of a critic.

    Parameters
    ----------
    critic : None or one of mcgrad.critics
        The exact critic by default.

    Raises
    ------
    ValueError
        For a critic that is none; when measured, where the problem has no exact one.

    References
    ----------
    Sutton et al. (2000), as of `q_function`; Konda and Tsitsiklis (2000), Actor-critic algorithms.
    """
    return Advantage(as_critic(critic))
