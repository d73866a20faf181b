"""Generalized advantage estimation: temporal-difference errors, discounted by `decay`, in place of the return to go.

    g = sum_t z_t sum_{k>=t} decay^(k-t) delta_k,    delta_k = r_k + V_{k+1}(s_{k+1}) - V_k(s_k),    V_T(s_T) = r_T

decay = 1 is the return to go with the baseline V_t, unbiased for every V; decay = 0 is one-step actor-critic. Below 1 it is
unbiased with the exact V: an oracle. Unbiased in that one environment alone, it may vary less than trajectories can tell (see
`exact.efficiency_bound`), and Cov(g, doubly_robust()) is not the tree bound. Rewards are discounted from time 0, and so is V:
decay is lambda alone, without gamma.

References
----------
Schulman, Moritz, Levine, Jordan and Abbeel (2016), High-dimensional continuous control using generalized advantage
estimation; Kimura and Kobayashi (1998), An analysis of actor/critic algorithms using eligibility traces.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..baselines.baseline import Baseline
from ..critics.accepted import as_value
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
class GeneralizedAdvantage(Estimator):
    """See the module."""

    carries = ("later_value", "advantage")

    decay: float
    critic: Baseline
    only_data = ("decay",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {"critic": self.critic.data(problem, theta), "decay": self.decay}

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, 0.0

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        next_value, later = carry
        value = self.critic.value(c.critic, x)
        advantage = x.reward + next_value - value + c.decay * later
        return (value, advantage), tuple(advantage * z for z in x.score)


@as_called
def generalized_advantage(decay: float = 0.95, critic: Baseline | None = None) -> Estimator:
    """Return the score function with the generalized advantage estimate.

    Parameters
    ----------
    decay : float
        lambda, from 0 (one step) to 1 (the return to go less V).
    critic : None, one of mcgrad.critics, or a baseline
        The value function: exact by default; any baseline of the state will do (`mcgrad.baselines.fitted_value()`).

    Raises
    ------
    ValueError
        For a decay out of its range, or a critic that is none; when measured, where the problem has no exact value.

    References
    ----------
    Schulman, Moritz, Levine, Jordan and Abbeel (2016), High-dimensional continuous control using generalized advantage
    estimation.
    """
    return GeneralizedAdvantage(validate.number("decay", decay, 0.0, 1.0), as_value(critic))
