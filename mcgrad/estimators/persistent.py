"""Persistent evolution strategies: theta is perturbed anew every few steps of a trajectory, and what was done is remembered.

With unrolls of K steps, theta + h z_j during unroll j, z_j ~ N(0, I), r_j the rewards of unroll j (r_T in the last one),

    one point         sum_j (z_0 + ... + z_j) r_j / h
    two points        sum_j (z_0 + ... + z_j) (r_j^+ - r_j^-) / (2 h),    the rollouts at theta +- h z_j
    truncated         the same with z_j alone: what a perturbation does after its unroll is lost (biased)

Unbiased for the gradient of E J(theta + h z_0, theta + h z_1, ...), the objective smoothed by perturbations that change from
unroll to unroll. With K >= T there is one unroll: evolution strategies. h may differ from parameter to parameter, as there.

References
----------
Vicol, Metz and Sohl-Dickstein (2021), Unbiased gradient estimation in unrolled computation graphs with persistent evolution
strategies; Metz, Maheswaranathan, Nixon, Freeman and Sohl-Dickstein (2019), Understanding and correcting pathologies in the
training of learned optimizers (truncated).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..compiler.functions import where
from ..per_step import PerStep
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
from .estimator import Combined, Direction, Estimator, RolloutVariant
from .parameter_space import checked_widths


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PerturbedRewards(Estimator):
    """sum_j (z_0 + ... + z_j) r_j / h of one rollout, as sum_j z_j (the rewards from unroll j on) / h."""

    carries = ("to_go", "gradient")

    width: float | tuple
    unroll: int
    truncated: bool
    only_data = ("width", "unroll")

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        t = np.arange(problem.horizon + 1)
        joined = (t + 1) % self.unroll != 0
        joined[problem.horizon - 1 :] = True  # the terminal reward belongs to the last unroll
        data = {"width": checked_widths(self.width, problem), "begins": PerStep(1.0 * (t % self.unroll == 0))}
        return data | ({"joined": PerStep(1.0 * joined)} if self.truncated else {})

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, (0.0,) * len(end.problem.parameters)

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        to_go, total = later
        if self.truncated:
            to_go = where(c.joined > 0.0, to_go, 0.0)
        to_go = to_go + x.reward
        z = x.direction()
        widths = c.width if isinstance(self.width, tuple) else (c.width,) * len(z)
        slopes = [where(c.begins > 0.0, to_go / h, 0.0) for h in widths]
        return (to_go, tuple(g + slope * d for g, slope, d in zip(total, slopes, z, strict=True))), []

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return carry[1]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PersistentEvolutionStrategies(Combined):
    """See the module; one rollout or a mirrored pair."""

    width: float | tuple
    unroll: int
    noise: str = "common"
    truncated: bool = False
    only_data = ("width", "unroll")

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        if len(gradients) == 1:
            return gradients[0]
        return tuple(0.5 * (up - down) for up, down in zip(*gradients, strict=True))


@as_called
def persistent_evolution_strategies(
    width: ArrayLike, unroll: int, points: int = 2, noise: str = "common", *, truncated: bool = False
) -> Estimator:
    """Return the persistent-evolution-strategies gradient.

    Parameters
    ----------
    width : float or (P,) array
        Standard deviation h > 0 of the perturbation of each parameter, or of all of them.
    unroll : int
        K >= 1, the steps from one perturbation to the next.
    points : int
        1: a single rollout. 2: the difference of a mirrored pair.
    noise : str
        "common" or "independent" random numbers within a pair.
    truncated : bool
        Forget perturbations when their unroll ends: biased, for comparison.

    Raises
    ------
    ValueError
        For an argument that is not as described; when measured, for another number of widths than of parameters.

    References
    ----------
    Vicol, Metz and Sohl-Dickstein (2021), Unbiased gradient estimation in unrolled computation graphs with persistent evolution
    strategies.
    """
    width = validate.widths("width", width)
    unroll = validate.integer("unroll", unroll, 1, 2**31)
    points = validate.integer("points", points, 1, 2)
    validate.one_of("noise", noise, ("common", "independent"))
    truncated = validate.flag("truncated", truncated)
    other = 0 if noise == "common" else 1
    plus = RolloutVariant(shift=1, width=width, unroll=unroll)
    minus = RolloutVariant(shift=-1, width=width, unroll=unroll, stream=other)
    part = PerturbedRewards(width, unroll, truncated)
    # The part of the rollout at theta - h z counts z, too: the pair is the half of the difference.
    return PersistentEvolutionStrategies(
        (part,) * points,
        variations=(plus, minus)[:points],
        width=width,
        unroll=unroll,
        noise=noise,
        truncated=truncated,
    )
