"""Confidence intervals of variances, of sums of variances and of ratios of variances.

A sample variance v is compared with its standard error: r = stderr / v, r^2 = (kurtosis - 1) / N. Gradients have heavy tails
(kurtosis near 100 for score functions), so both are estimated badly at small N, and together: a sample without a large value
has too small a variance *and* says that it is precise. Three things make an interval honest:

- a chi-square distribution in place of a normal one. The degrees of freedom 2 / r^2 give it the measured relative standard
  error; it is exact for normal samples, and skewed like the variances of others.
- a larger r where tails are heavy: r (1 + 3 r (k - 3) / k) for k = 1 + N r^2 > 3. The second factor is the relative error of
  r itself, as far as the kurtosis k tells. The constant 3 was chosen on variances with known values (linear-quadratic,
  tabular and one-step problems, kurtosis 2 to 210, N = 1e3 to 3e4); the study `coverage` tests it on other problems.
- of a ratio, what both variances have in common (measured on common noise) is taken off.

References
----------
Satterthwaite (1946), An approximate distribution of estimates of variance components. Biometrics Bulletin 2, 110-114;
Zou and Donner (2008), Construction of confidence limits about effect measures. Statistics in Medicine 27, 1693-1702
(the limits of a difference, here of logarithms, from those of its parts).
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import validate

HEAVY = 3.0  # how fast intervals widen with the relative standard error, for heavy tails


Numbers = TypeVar("Numbers")  # float, or an array with a number for each of several


class Interval(NamedTuple, Generic[Numbers]):
    """Lower and upper confidence limit."""

    low: Numbers
    high: Numbers


class Ratio(NamedTuple, Generic[Numbers]):
    """A ratio of two variances with its confidence limits."""

    ratio: Numbers
    low: Numbers
    high: Numbers


def of_variance(
    variance: NDArray[np.float64], relative: NDArray[np.float64], count: int | NDArray[np.float64], level: float = 0.95
) -> Interval[NDArray[np.float64]]:
    """Return the interval of variances, or of sums of variances.

    Parameters
    ----------
    variance : array
        Sample variances of `count` samples.
    relative : array
        Their relative standard errors.
    count : int
    level : float
        Between 0 and 1; as much is left out below as above.

    Returns
    -------
    Interval
        (0, infinity) where nothing is known: the standard error overflowed, or nothing has varied yet; NaN where there is
        no variance.
    """
    low, high = _deviations(relative, count, checked_level(level))
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = variance * np.exp(-low), variance * np.exp(high)
    unknown = ~np.isnan(variance) & ~np.isfinite(relative)
    return Interval(np.where(unknown, 0.0, low), np.where(unknown, np.inf, high))


def of_ratio(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    squares: Sequence[NDArray[np.float64]],
    count: int | NDArray[np.float64],
    level: float = 0.95,
) -> Ratio[NDArray[np.float64]]:
    """Return the ratio of two variances (arrays) and its interval.

    Parameters
    ----------
    first, second : array
        Sample variances of `count` samples on common noise.
    squares : tuple of three arrays
        Relative squared standard errors of the first and of the second, and their relative covariance.
    count : int
    level : float
        Between 0 and 1.

    Returns
    -------
    Ratio
    """
    level = checked_level(level)
    a, b, both = squares
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = first / second
        # Of Var log(first / second) = (a - both) + (b - both), each part with the shape of its own variance; where the
        # shapes contradict each other (one part is negative), at least the error of the ratio by itself.
        alone = np.maximum(a + b - 2.0 * both, 0.0)
        (a_low, a_high), (b_low, b_high), (r_low, r_high) = (
            [np.where(x > 0.0, d / np.sqrt(x), 0.0) for d in _deviations(np.sqrt(x), count, level)]
            for x in (a, b, alone)
        )
        up = (a - both) * a_high**2 + (b - both) * b_low**2
        down = (a - both) * a_low**2 + (b - both) * b_high**2
        up, down = (np.sqrt(np.maximum(x, alone * r_low * r_high)) for x in (up, down))
        low, high = ratio * np.exp(-down), ratio * np.exp(up)
        unknown = ~np.isfinite(alone) & ~np.isnan(ratio)
    return Ratio(ratio, np.where(unknown, 0.0, low), np.where(unknown, np.inf, high))


def checked_level(level: float) -> float:
    """Return a confidence level between 0 and 1."""
    level = validate.number("level", level)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    return level


def _deviations(
    relative: NDArray[np.float64], count: int | NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far log limits lie below and above log(variance), for relative standard errors; both positive."""
    from scipy import special

    relative = np.asarray(relative, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        k = 1.0 + count * relative**2
        relative = relative * (1.0 + HEAVY * relative * np.clip(1.0 - 3.0 / k, 0.0, 1.0))
        half = 1.0 / relative**2  # half the degrees of freedom
        tail = (1.0 - level) / 2.0
        limits = [np.log(special.gammaincinv(half, p) / half) for p in (1.0 - tail, tail)]
        normal = relative * special.ndtri(1.0 - tail)  # what both are close to where r is small
    small = relative < 1e-3
    return tuple(np.where(small, normal, x) for x in (limits[0], -limits[1]))
