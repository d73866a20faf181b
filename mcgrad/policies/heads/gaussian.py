"""Normal actions, with means and standard deviations that may depend on the state."""

import math
from typing import Any

import numpy as np

from ... import validate
from ...compiler.trace import Number, Numbers
from ..maps import MapLike
from .head import Head, Values, parameter, scale_parameter


def gaussian(mean: MapLike, *, std: MapLike | None = None, log_std: MapLike | None = None, actions: int = 1) -> Head:
    """Return the head a_i = mean_i + std_i e_i, e ~ N(0, I), for m = `actions` components.

    Scores, with e_i = (a_i - mean_i) / std_i: e_i / std_i for mean_i, e_i^2 - 1 for log std_i, (e_i^2 - 1) / std_i for std_i.

    Parameters
    ----------
    mean : Map, number or (m,)
    std, log_std : Map, number or (m,)
        Exactly one of them: `std=0.3` is fixed, `log_std=maps.constant(-1.0)` is learned and the same in all states,
        `log_std=maps.linear()` depends on the state.
    actions : int
        m.

    Raises
    ------
    ValueError
        For both or neither of `std` and `log_std`, a fixed std that is not positive, or a map of another size.

    References
    ----------
    Williams (1992), Simple statistical gradient-following algorithms. Machine Learning 8, section 6.
    """
    m = validate.integer("actions", actions, 1)
    scale, logarithm = scale_parameter(std, log_std, m)

    def sample(values, e):
        return tuple(mu + std * z for mu, std, z in zip(values[0], scales(values[1], logarithm), e, strict=True))

    def log_prob(values, a):
        x = standardised(values, a, logarithm)
        return normal_log_density(values, x, logarithm)

    def score(values, a, e):
        return normal_score(values, e, logarithm)

    parameters = (parameter("mean", mean, m), scale)
    return Head("gaussian", parameters, m, sample, log_prob, score, noises=m)


def scales(values: Numbers, logarithm: bool) -> tuple[Any, ...]:
    """Return standard deviations from what the second parameter holds."""
    return tuple(np.exp(x) for x in values) if logarithm else values


def standardised(values: Values, u: Numbers, logarithm: bool) -> Numbers:
    """Return (u - mean) / std."""
    if logarithm:
        return tuple((x - mu) * np.exp(-log_std) for x, mu, log_std in zip(u, *values, strict=True))
    return tuple((x - mu) / std for x, mu, std in zip(u, *values, strict=True))


def normal_log_density(values: Values, x: Numbers, logarithm: bool) -> Number:
    """Return the sum of the log densities of mean + std x for standardised x."""
    logs = values[1] if logarithm else tuple(np.log(std) for std in values[1])
    return sum(-0.5 * y * y - log_std - 0.5 * math.log(2.0 * math.pi) for y, log_std in zip(x, logs, strict=True))


def normal_score(values: Values, x: Numbers, logarithm: bool) -> Values:
    """Return the score in the means and in the log stds, or stds, for standardised x."""
    if logarithm:
        of_means = tuple(np.exp(-log_std) * y for y, log_std in zip(x, values[1], strict=True))
        return of_means, tuple(y * y - 1.0 for y in x)
    pairs = list(zip(x, values[1], strict=True))
    return tuple(y / std for y, std in pairs), tuple((y * y - 1.0) / std for y, std in pairs)
