"""The all-action (expected) policy gradient: the mean over the action in closed form, state by state.

    g = sum_t E_a[z_t Q_t(s_t, a) | s_t]

For a Gaussian policy and a quadratic critic it is also the derivative of Q_t at the mean action, as far as the mean is
concerned. The actions of the rollout decide only which states are visited.

The critic is an oracle: with the exact one this is unbiased in that one environment, so that its variance may be below what
trajectories alone can give (`exact.efficiency_bound`), and Cov(g, doubly_robust()) is not the tree bound. With a critic
fitted to the same trajectories, N times its variance goes back above the Markov bound as N grows.

References
----------
Ciosek and Whiteson (2018), Expected policy gradients; Allen, Asadi, Roderick, Mohamed, Konidaris and Littman (2017), Mean
actor-critic; Silver et al. (2014), Deterministic policy gradient algorithms.
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
class AllActions(Estimator):
    """See the module."""

    critic: Critic

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.critic.data(problem, theta)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        return carry, self.critic.expected_score(c, x)


@as_called
def all_actions(critic: Critic | None = None) -> Estimator:
    """Return sum_t E_a[z_t Q_t(s_t, a) | s_t], the mean over the action in closed form, with a critic.

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
    Ciosek and Whiteson (2018), Expected policy gradients; Allen et al. (2017), Mean actor-critic.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> mg.exact.variance(problem, [-0.6], mg.estimators.all_actions()).round(4)
    array([4.3505])
    """
    return AllActions(as_critic(critic))
