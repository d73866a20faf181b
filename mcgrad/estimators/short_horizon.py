"""Reparameterization over short blocks of time, with or without a critic at the end of each.

The adjoint (see `reparameterization`) is cut at t = steps, 2 steps, ...: there it starts anew,

    lambda_t = dV_t(s_t)/ds    with a critic: unbiased with the exact V_t,
    lambda_t = 0               without one: truncated back-propagation through time, biased.

Blocks rather than a window of `steps` rewards for each action: it is the definition of the paper, and it costs one adjoint.
An action sees between 1 and `steps` rewards of its own. steps >= T is the plain pathwise gradient; steps = 1 with a
critic is SVG(1).

References
----------
Xu et al. (2022), Accelerated policy learning with parallel differentiable simulation (SHAC); Williams and Peng (1990), An
efficient gradient-based algorithm for on-line training of recurrent network trajectories.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..baselines.baseline import Baseline, NoBaseline
from ..compiler.derive import pull_back
from ..compiler.functions import where
from ..critics.accepted import as_value
from ..per_step import PerStep
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Constants,
    Data,
    Numbers,
    StepView,
)
from .estimator import Estimator
from .reparameterization import Pathwise


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ShortHorizon(Pathwise):
    """See the module."""

    steps: int
    critic: Baseline
    only_data = ("steps",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        starts = np.arange(problem.horizon + 1) % self.steps == 0
        starts[0] = False  # what comes before the first block is not cut off from it
        return {"starts": PerStep(starts.astype(float)), "critic": self.critic.data(problem, theta)}

    def restart(self, c: Constants, x: StepView, adjoint: Numbers) -> Numbers:
        anew, n = self._slope(c, x), len(x.s)
        if len(adjoint) > n and not isinstance(self.critic, NoBaseline):
            raise ValueError("short_horizon: the derivative of a critic in design parameters is not known")
        return tuple(where(c.starts > 0.5, a, b) for a, b in zip(anew, adjoint[:n], strict=True)) + adjoint[n:]

    def _slope(self, c: Constants, x: StepView) -> Numbers:
        """Return dV_t(s_t)/ds, of which a part may go through eta."""
        value = self.critic.value(c.critic, x)
        bars = pull_back(x.graph, [value], [1.0], x.s + x.eta)
        through_policy = x.policy_vjp(bars[len(x.s) :])
        return tuple(a + b for a, b in zip(bars, through_policy, strict=False))


@as_called
def short_horizon(steps: int, critic: Baseline | None = None) -> Estimator:
    """Return the pathwise gradient over blocks of `steps` rewards, each followed by a value function.

    Parameters
    ----------
    steps : int
        Length of a block, >= 1; from T on it is the plain pathwise gradient.
    critic : None, one of mcgrad.critics, or a baseline
        The value function: exact by default; any baseline of the state will do (`mcgrad.baselines.fitted_value()`).

    Raises
    ------
    ValueError
        For steps out of their range, or a critic that is none; when measured, where the problem has no exact value, or no
        pathwise gradient.

    References
    ----------
    Xu et al. (2022), Accelerated policy learning with parallel differentiable simulation (SHAC).
    """
    return ShortHorizon(validate.integer("steps", steps, 1), as_value(critic))


@as_called
def truncated_reparameterization(steps: int) -> Estimator:
    """Return the pathwise gradient cut every `steps` steps: biased, since it forgets what comes after its block.

    Parameters
    ----------
    steps : int
        Length of a block, >= 1.

    Raises
    ------
    ValueError
        For steps out of their range; when measured, where the problem has no pathwise gradient.

    References
    ----------
    Williams and Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent network trajectories.
    """
    return ShortHorizon(validate.integer("steps", steps, 1), NoBaseline())
