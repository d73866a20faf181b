"""What was found of one estimator."""

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """What was found of one estimator; `mean`, `stderr` (P,), the rest are numbers (see the module)."""

    estimator: str
    family: str
    knows: str  # one of `mcgrad.estimators.knowledge.KINDS`
    exact_values: bool  # its critic or its baseline are the exact values, which few problems have
    unbiased: bool  # by theory, if what it rests on is right
    smoothed: bool  # of an objective smoothed over a width
    jumps: bool  # it rests on derivatives of a return that jumps
    rollouts: int
    count: int
    nonfinite: int
    exact: str  # by what `mean` and `variance` are exact; empty where they are measured
    mean: NDArray[np.float64]
    stderr: NDArray[np.float64]
    variance: float
    variance_stderr: float
    variance_low: float  # the 95 percent confidence interval
    variance_high: float
    rests_on_few: bool  # trajectories, so that the variance is likely too small
    signal_to_noise: float
    cosine: float
    cosine_stderr: float
    nanoseconds: float
    nanoseconds_spread: float
    bias_z: float | None  # None: it is the reference itself
    visible_bias: float | None  # the bias, as a fraction of the gradient, that the test would just see

    @property
    def price(self) -> float:
        """Variance times nanoseconds: what a mean of given accuracy costs."""
        return self.variance * self.nanoseconds
