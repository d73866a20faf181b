"""The score alone, an estimate of zero: sum_t z_t, z_t = (d eta_t / d theta)^T d log p(a_t | eta_t) / d eta."""

import dataclasses

from ..printing import as_called
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Numbers,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Score(Estimator):
    """The sum of the scores alone, sum_t z_t: mean zero, a control variate for every estimator."""

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        return carry, x.score

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        return gradient  # it says nothing about the return


@as_called
def score() -> Estimator:
    """Return the sum of the scores: an estimate of zero, for use as a control variate."""
    return Score()
