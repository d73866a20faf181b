"""A normal number on condition that it lies in an interval."""

import math

import numpy as np
from numpy.typing import ArrayLike

from ... import validate
from ...compiler.functions import where
from ...compiler.trace import Number, apply
from ..maps import MapLike
from .head import Head, parameter, scale_parameter
from .quantile import normal_density, with_slopes
from .squashed_gaussian import interval


def truncated_normal(
    mean: MapLike,
    *,
    std: MapLike | None = None,
    log_std: MapLike | None = None,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    actions: int = 1,
) -> Head:
    """Return the head a_i ~ N(mean_i, std_i^2) given low < a_i < high.

    With x = (a - mean) / std, l and h the same for low and high, Z = Phi(h) - Phi(l), and phi the normal density,

        log p(a) = log phi(x) - log std - log Z,    d/dmean: (x - (phi(l) - phi(h)) / Z) / std,
        d/dlog std: x^2 - 1 - (l phi(l) - h phi(h)) / Z

    The draw is the quantile, Phi(x) = Phi(l) + Phi(e) Z, computed from the tail on the side of a; pathwise

        da/dmean = 1 - (phi(l) (1 - Phi(e)) + phi(h) Phi(e)) / phi(x)    and so on.

    Parameters
    ----------
    mean, std, log_std, actions
        Of the normal before it is truncated, as for `gaussian`.
    low, high : float
        The ends of the interval. Where it lies more than 37 std from the mean, its probability is no number any more, and
        the action is NaN (`Moments.nonfinite` counts it).

    Raises
    ------
    ValueError
        As for `gaussian`, and for an empty interval.

    References
    ----------
    Burkardt (2014), The truncated normal distribution; Figurnov, Mohamed and Mnih (2018), Implicit reparameterization
    gradients. NeurIPS.
    """
    m = validate.integer("actions", actions, 1)
    scale, logarithm = scale_parameter(std, log_std, m)
    low, high = interval(low, high)

    def each(values):
        return [(mu, np.exp(y) if logarithm else y) for mu, y in zip(*values, strict=True)]

    def sample(values, e):
        drawn = []
        for (mu, std), spread, z in zip(each(values), values[1], e, strict=True):
            a = quantile(mu, std, z)
            inputs = (mu, spread, z)
            of_a = lambda a, mu=mu, std=std, z=z: slopes(mu, std, a, z)  # noqa: E731
            drawn.append(with_slopes(a, inputs, of_a))
        return tuple(drawn)

    def quantile(mu, std, e):
        """Return a; mirrored where the interval lies above the mean, so that it is the lower tail that is looked at."""
        mirrored = low + high > 2.0 * mu
        below, above = (low - mu) / std, (high - mu) / std
        l, h = where(mirrored, -above, below), where(mirrored, -below, above)  # noqa: E741
        of_l, of_h = apply("ndtr", l), apply("ndtr", h)
        share, rest = apply("ndtr", where(mirrored, -e, e)), apply("ndtr", where(mirrored, e, -e))
        x = apply("ndtri", of_l * rest + of_h * share)
        a = mu + std * where(mirrored, -x, x)
        return where(of_h - of_l > 0.0, np.minimum(np.maximum(a, low), high), math.nan)

    def slopes(mu, std, a, e):
        # phi(l) / phi(x) and phi(h) / phi(x) as one exponential each: neither 0 / 0 nor overflow far from the mean
        x, l, h = ((y - mu) / std for y in (a, low, high))  # noqa: E741
        of_l, of_h = (np.exp(0.5 * (x - y) * (x + y)) for y in (l, h))
        share, rest = apply("ndtr", e), apply("ndtr", -e)
        of_std = x - of_l * rest * l - of_h * share * h
        chance = _chance(l, h)
        of_noise = normal_density(e) * chance / normal_density(x) * std
        return 1.0 - of_l * rest - of_h * share, (std if logarithm else 1.0) * of_std, of_noise

    def log_prob(values, a):
        total = 0.0
        for (mu, std), y in zip(each(values), a, strict=True):
            x, l, h = ((z - mu) / std for z in (y, low, high))  # noqa: E741
            total = total - 0.5 * x * x - 0.9189385332046728 - np.log(std) - np.log(_chance(l, h))
        return total

    def score(values, a, e):
        of_means, of_scales = [], []
        for (mu, std), y in zip(each(values), a, strict=True):
            x, l, h = ((z - mu) / std for z in (y, low, high))  # noqa: E741
            chance = _chance(l, h)
            of_l, of_h = normal_density(l) / chance, normal_density(h) / chance
            of_means.append((x - of_l + of_h) / std)
            of_scales.append((x * x - 1.0 - l * of_l + h * of_h) / (1.0 if logarithm else std))
        return tuple(of_means), tuple(of_scales)

    parameters = (parameter("mean", mean, m), scale)
    return Head("truncated normal", parameters, m, sample, log_prob, score, noises=m)


def _chance(l: Number, h: Number) -> Number:  # noqa: E741
    """Return Phi(h) - Phi(l), from the upper tails where both are positive."""
    upper = l > 0.0
    return abs(apply("ndtr", where(upper, -l, h)) - apply("ndtr", where(upper, -h, l)))
