"""The natural gradient: steepest ascent where the distribution of trajectories is the measure of distance.

    F^-1 g,    F = E[Z Z^T],    Z = sum_t z_t,    z_t = d log p(a_t | s_t) / dtheta

Unbiased for F^-1 dJ/dtheta if g is for the gradient and F does not depend on the same trajectories. F is the Fisher matrix
of the whole trajectory, T steps that all count alike: with discounting, too, as the rewards have no part in it. (The Fisher
matrix that is averaged over a discounted distribution of states is another one.)

References
----------
Amari (1998), Natural gradient works efficiently in learning; Kakade (2002), A natural policy gradient; Peters and Schaal
(2008), Reinforcement learning of motor skills with policy gradients; Bagnell and Schneider (2003), Covariant policy search.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    Numbers,
)
from .estimator import Combined, Direction, Estimator
from .fitted import Fitted, Trajectories, checked_part, checked_pilot
from .score import Score


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ScoreSquare(Score):
    """Z_row Z: one row of Z Z^T, whose mean is the Fisher matrix. Not a gradient."""

    row: int = 0

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return tuple(sums[self.row] * z for z in sums)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Natural(Fitted, Combined):
    """See the module; parts[0] estimates the gradient, `fisher` (P, P) is None while it is still to be estimated."""

    fisher: np.ndarray | None = None
    pilot: int | None = None
    only_data = ("fisher", "pilot")
    what = "a natural gradient"

    @property
    def unfitted(self) -> bool:
        return self.fisher is None

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        if problem.design:
            raise ValueError(
                f"natural: expected a problem whose parameters act through densities, got design parameters "
                f"{', '.join(problem.design)}: the distribution of actions has no metric for them"
            )
        if self.unfitted:
            raise ValueError(f"{self.what}: its Fisher matrix has not been estimated; measure() and sample() do that")
        fisher = validate.array("fisher", self.fisher, (len(problem.parameters),) * 2)
        return super().data(problem, theta) | {"inverse": generalised_inverse(fisher)}

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        return tuple(c.inverse @ np.array(gradients[0]))

    def fit(self, trajectories: Trajectories) -> Self:
        rows: dict[str, Estimator] = {str(p): ScoreSquare(p) for p in range(len(trajectories.problem.parameters))}
        found = trajectories.moments(rows)
        return dataclasses.replace(self, fisher=np.array([found[x].mean for x in rows]))


def generalised_inverse(fisher: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F^-1; of a singular F, where some directions of theta change nothing, one that leaves these alone.

    It does not depend on the units of the parameters.
    """
    scale = np.sqrt(np.where(np.diag(fisher) > 0, np.diag(fisher), 1.0))
    return np.linalg.pinv(fisher / np.outer(scale, scale), rcond=1e-10, hermitian=True) / np.outer(scale, scale)


@as_called
def natural(estimator: Estimator, fisher: ArrayLike | None = None, *, pilot: int | None = None) -> Estimator:
    """Return F^-1 times an estimator of the gradient.

    Parameters
    ----------
    estimator : Estimator
    fisher : (P, P) array, optional
        F, symmetric and positive semidefinite (`mcgrad.fisher`, `mcgrad.exact.fisher`); see `generalised_inverse` for one
        that is singular. If not given it is estimated from the scores of other trajectories: by cross-fitting over two
        halves.
    pilot : int, optional
        Estimate F on this many trajectories of a separate range instead.

    Raises
    ------
    ValueError
        For something that is no estimator, or has coefficients to be fitted; for a Fisher matrix that is not symmetric positive
        semidefinite, or, when measured, not (P, P); for a pilot of less than 16.

    References
    ----------
    Amari (1998), Natural gradient works efficiently in learning; Kakade (2002), A natural policy gradient.
    """
    part = checked_part("estimator", estimator, Natural.what)
    if fisher is not None:
        fisher = validate.array("fisher", fisher, (None, None))
        fisher = validate.covariance("fisher", fisher, len(fisher))
    return Natural((part,), fisher=fisher, pilot=checked_pilot(pilot))
