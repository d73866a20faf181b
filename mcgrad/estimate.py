"""What was measured of one estimator: mean, variance and shape of its samples, each with its uncertainty."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import intervals
from .printing import counted, outline

SHOWN = 8  # parameters in print
FEW = 100  # times the kurtosis: below, a variance rests on few trajectories


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """What was measured of one estimator; every array is (P,). All variances are those of one trajectory's gradient.

    Of a batch of B measurements, arrays are (B, P), and what is a single number otherwise is (B,).

    Attributes
    ----------
    count : int
        Trajectories behind the figures; `nonfinite` more were left out.
    mean, stderr
        Mean gradient and its standard error, sqrt(variance / count).
    variance, variance_stderr
        Unbiased sample variance and its standard error, from the fourth moment; infinite where that overflowed. The
        standard error is too small at small counts: see `variance_interval`.
    total_variance, total_variance_stderr : float
        Sum of the variances of all parameters and its standard error.
    skewness, kurtosis
        Standardised third and fourth central moments (0 and 3 for a normal distribution).
    rollouts : int
        Rollouts that one sample takes: compare variance * rollouts, not variances.
    """

    parameters: tuple[str, ...]
    count: int
    nonfinite: int
    mean: NDArray[np.float64]
    stderr: NDArray[np.float64]
    variance: NDArray[np.float64]
    variance_stderr: NDArray[np.float64]
    skewness: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    rollouts: int = 1
    total_variance_stderr: float = math.nan

    def __repr__(self) -> str:
        P = counted(len(self.parameters), "parameter")
        if np.ndim(self.count):
            return f"Estimate of {P}, a batch of {len(np.atleast_1d(self.count))}"
        lost = f", {self.nonfinite} more not finite" if self.nonfinite else ""
        rows = {
            name: f"mean {self.mean[p]:.4g} +- {self.stderr[p]:.2g}, variance {self.variance[p]:.4g} +- "
            f"{self.variance_stderr[p]:.2g}, kurtosis {self.kurtosis[p]:.3g}"
            for p, name in enumerate(self.parameters[:SHOWN])
        }
        if len(self.parameters) > SHOWN:
            rows["..."] = f"total variance {self.total_variance:.4g} +- {self.total_variance_stderr:.2g}"
        return outline(f"Estimate of {P} from {counted(self.count, 'sample')}{lost}", rows)

    @property
    def total_variance(self) -> float:
        """Sum of the variances of all parameters: the trace of the covariance matrix."""
        return plain(np.sum(self.variance, axis=-1))

    @property
    def rests_on_few(self) -> NDArray[np.bool_]:
        """Whether the variance hangs on a few trajectories, (P,): where count < 100 kurtosis, it is likely too small."""
        return column(self.count) < FEW * np.nan_to_num(self.kurtosis)

    def variance_interval(self, level: float = 0.95) -> intervals.Interval[NDArray[np.float64]]:
        """Return (low, high), the confidence interval of each variance, each (P,).

        A chi-square distribution with degrees of freedom from the measured standard error, made wider where tails are heavy;
        see `mcgrad.intervals`. It is (0, infinity) where nothing is known.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            For a level out of its range.
        """
        relative = relative_error(self.variance_stderr, self.variance)
        return intervals.of_variance(self.variance, relative, column(self.count), level)

    def total_variance_interval(self, level: float = 0.95) -> intervals.Interval[float]:
        """Return (low, high), the confidence interval of the sum of all variances, two floats; see `variance_interval`.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            For a level out of its range.
        """
        relative = relative_error(self.total_variance_stderr, self.total_variance)
        low, high = intervals.of_variance(np.asarray(self.total_variance), relative, self.count, level)
        return intervals.Interval(plain(low), plain(high))


def plain(x: Any, kind: type = float) -> Any:
    """Return a single number as Python's; what belongs to a batch stays an array."""
    return kind(x) if np.ndim(x) == 0 else x


def column(x: Any) -> Any:
    """Return what there is one of for each entry of a batch so that it goes with arrays of parameters."""
    return x if np.ndim(x) == 0 else x[:, None]


def relative_error(stderr: Any, value: Any) -> NDArray[np.float64]:
    """Return the relative error of a variance, infinite or nan where it is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.divide(stderr, value)
