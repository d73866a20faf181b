"""What a mean of given accuracy costs, variance x nanoseconds: ratios of it, with what the error of both leaves open.

Limits are those of 95 percent, combined as logarithms (Zou and Donner 2008): of the ratio of variances, on common noise where
there is some, and of each time, twice half the distance of its quartiles.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..intervals import Ratio
from ..moments import Moments
from .row import Row

LEVEL = 0.95


def price_ratio(row: Row, other: Row, moments: Mapping[str, Moments]) -> Ratio[float]:
    """Return the Ratio of the prices of two rows; `moments` is {name: Moments}."""
    variances, low, high = map(np.float64, _variance_ratio(row, other, moments))  # a variance may be 0
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.float64(row.nanoseconds) / other.nanoseconds
        of_times = 2.0 * math.hypot(*(_relative(x.nanoseconds_spread, x.nanoseconds) for x in (row, other)))
        down, up = (np.hypot(np.log(x), of_times) for x in (variances / low, high / variances))
        ratio = variances * times
        return Ratio(float(ratio), float(ratio * np.exp(-down)), float(ratio * np.exp(up)))


def price_interval(row: Row) -> tuple[float, float]:
    """Return (low, high) of the price of a row."""
    of_time = 2.0 * _relative(row.nanoseconds_spread, row.nanoseconds)
    with np.errstate(divide="ignore", invalid="ignore"):
        down, up = (
            np.hypot(np.log(x), of_time)
            for x in (np.float64(row.variance) / row.variance_low, np.float64(row.variance_high) / row.variance)
        )
        return float(row.price * np.exp(-down)), float(row.price * np.exp(up))


def _variance_ratio(row: Row, other: Row, moments: Mapping[str, Moments]) -> tuple[Any, Any, Any]:
    if moments[row.estimator] is moments[other.estimator] and not (row.exact or other.exact):
        return moments[row.estimator].total_variance_ratio(row.estimator, other.estimator, LEVEL)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.float64(row.variance) / other.variance
        up, down = (
            np.hypot(np.log(a), np.log(b))
            for a, b in (
                (np.float64(row.variance_high) / row.variance, np.float64(other.variance) / other.variance_low),
                (np.float64(row.variance) / row.variance_low, np.float64(other.variance_high) / other.variance),
            )
        )
        return ratio, ratio * np.exp(-down), ratio * np.exp(up)


def _relative(spread: float, x: float) -> float:
    return spread / x if x > 0 else 0.0
