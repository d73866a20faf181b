"""Antithetic noise: the average over a rollout and its mirror image.

    g = (X(xi) + X(J xi)) / 2,    J flips the sign of all standard normals, or of those of the actions alone

    Var g = (Var X + Cov(X(xi), X(J xi))) / 2

The pair is one sample, and costs two rollouts. Gradients of a linear-quadratic problem that starts at mean zero are even
in the noise: there, flipping all of it gains exactly nothing.

References
----------
Hammersley and Morton (1956), A new Monte Carlo technique: antithetic variates.
"""

import dataclasses
from collections.abc import Sequence

from .. import validate
from ..printing import as_called
from ..scan_types import (
    Constants,
    Numbers,
)
from .estimator import PLAIN, Combined, Direction, Estimator, RolloutVariant, checked


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Antithetic(Combined):
    """See the module; `flip` says which noise: "all" or "actions"."""

    flip: str = "all"

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        return tuple(0.5 * (x + y) for x, y in zip(*gradients, strict=True))


@as_called
def antithetic(estimator: Estimator, flip: str = "all") -> Estimator:
    """Return the average of an estimator over pairs of mirrored rollouts.

    Parameters
    ----------
    estimator : Estimator
    flip : str
        "all": noise of the initial state, the actions and the process. "actions": that of the actions alone.

    Raises
    ------
    ValueError
        For something that is no estimator, or another flip.

    References
    ----------
    Hammersley and Morton (1956), A new Monte Carlo technique: antithetic variates.
    """
    checked("estimator", estimator)
    flipped = {"all": RolloutVariant(initial=-1, action=-1, process=-1), "actions": RolloutVariant(action=-1)}
    validate.one_of("flip", flip, tuple(flipped))
    return Antithetic((estimator, estimator), variations=(PLAIN, flipped[flip]), flip=flip)
