"""The value gradient: a critic differentiated at the action that was drawn, with its noise held fixed.

    etabar_t = (da/deta)^T dQ_t(s_t, a_t)/da

SVG(0); with a deterministic policy, the deterministic policy gradient. Only the gradient of the critic matters: a shift of
Q_t does nothing, an error that oscillates in the action much.

The critic is an oracle: with the exact one this is unbiased in that one environment, so that its variance may be below what
trajectories alone can give (`exact.efficiency_bound`), and Cov(g, doubly_robust()) is not the tree bound. With a critic
fitted to the same trajectories, N times its variance goes back above the Markov bound as N grows.

References
----------
Heess et al. (2015), Learning continuous control policies by stochastic value gradients; Silver et al. (2014), Deterministic
policy gradient algorithms.
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
class ValueGradient(Estimator):
    """See the module."""

    critic: Critic

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.critic.data(problem, theta)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        return carry, x.sample_vjp(self.critic.action_gradient(c, x))


@as_called
def value_gradient(critic: Critic | None = None) -> Estimator:
    """Return sum_t (da_t/dtheta)^T dQ_t(s_t, a_t)/da with a critic: SVG(0).

    Parameters
    ----------
    critic : None or one of mcgrad.critics
        The exact critic by default.

    Raises
    ------
    ValueError
        For a critic that is none; when measured, where the problem has no exact one, or discrete actions.

    References
    ----------
    Heess et al. (2015), Learning continuous control policies by stochastic value gradients; Silver et al. (2014), Deterministic
    policy gradient algorithms.
    """
    return ValueGradient(as_critic(critic))
