"""A normal number squashed into an interval by tanh: the policy of soft actor-critic."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import validate
from ..maps import MapLike
from .gaussian import normal_log_density, normal_score, scales, standardised
from .head import Head, parameter, scale_parameter


def squashed_gaussian(
    mean: MapLike,
    *,
    std: MapLike | None = None,
    log_std: MapLike | None = None,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    actions: int = 1,
) -> Head:
    """Return the head a_i = c + h tanh(u_i), u_i = mean_i + std_i e_i, on (low, high): c, h its centre and half width.

    log p(a) = sum_i log N(u_i; mean_i, std_i^2) - log h - log(1 - tanh(u_i)^2),    u_i = arctanh((a_i - c) / h)

    What tanh adds does not depend on the parameters, so that the score is that of u: e_i / std_i and e_i^2 - 1 (see
    `gaussian`), taken from the noise e and therefore exact where the action has saturated, and u cannot be had from a any
    more. Only `log_prob`, of which importance weights are made, is not finite there. Pathwise through tanh.

    Parameters
    ----------
    mean, std, log_std, actions
        Of u, as for `gaussian`.
    low, high : float
        The ends of the interval.

    Raises
    ------
    ValueError
        As for `gaussian`, and for an empty interval.

    References
    ----------
    Haarnoja, Zhou, Abbeel and Levine (2018), Soft actor-critic, appendix C. ICML.
    """
    m = validate.integer("actions", actions, 1)
    scale, logarithm = scale_parameter(std, log_std, m)
    low, high = interval(low, high)
    centre, half = 0.5 * (low + high), 0.5 * (high - low)

    def sample(values, e):
        u = (mu + std * z for mu, std, z in zip(values[0], scales(values[1], logarithm), e, strict=True))
        return tuple(centre + half * np.tanh(x) for x in u)

    def log_prob(values, a):
        logs = [(np.log1p(y), np.log1p(-y)) for y in ((x - centre) / half for x in a)]
        x = standardised(values, tuple(0.5 * (plus - minus) for plus, minus in logs), logarithm)
        return normal_log_density(values, x, logarithm) - sum(plus + minus for plus, minus in logs) - m * math.log(half)

    def score(values, a, e):
        return normal_score(values, e, logarithm)

    parameters = (parameter("mean", mean, m), scale)
    return Head("squashed gaussian", parameters, m, sample, log_prob, score, noises=m)


def interval(low: Any, high: Any) -> tuple[float, float]:
    """Return the ends of an interval that is not empty."""
    low, high = validate.number("low", low), validate.number("high", high)
    if low >= high:
        raise ValueError(f"low, high: expected low < high, got {low!r} and {high!r}")
    return low, high
