"""Other noises than standard normals and uniform numbers, as functions of these: for `init`, `step`, `reward` and `sample`.

    u, v uniform on (0, 1), as an environment with `uniforms` gets them after the normals in w

    exponential(u, rate)    laplace(u, scale)    student_t(u, v, freedom)
    poisson(u, mean, most)    binomial(u, trials, chance)

All are inverses of the distribution function, increasing in u, but for `student_t`. Continuous ones are differentiable in
their parameters: pathwise gradients know of these. Counts are step functions of their parameters, with derivative zero:
where a parameter depends on the state, the action or theta, pathwise gradients are biased, and the environment should say so
(`discontinuous=`).
"""

import math
from typing import Any

import numpy as np

from . import validate
from .compiler.functions import where
from .compiler.trace import TraceError, Tracer, user_line

__all__ = ["binomial", "exponential", "laplace", "poisson", "student_t"]


def __dir__() -> list[str]:
    return sorted(__all__)


def exponential(u: Any, rate: Any = 1.0) -> Any:
    """Return an exponential number, -log(1 - u) / rate: density rate exp(-rate x) for x > 0.

    Parameters
    ----------
    u : number
        Uniform on (0, 1).
    rate : number
        > 0, not checked: it may differ between trajectories.
    """
    return -np.log1p(-u) / rate


def laplace(u: Any, scale: Any = 1.0) -> Any:
    """Return a Laplace (double exponential) number: density exp(-|x| / scale) / (2 scale).

    Parameters
    ----------
    u : number
        Uniform on (0, 1).
    scale : number
        > 0, the mean of |x|; not checked.
    """
    tail = np.log(2.0 * np.minimum(u, 1.0 - u))  # log of twice the smaller tail, <= 0
    return where(u < 0.5, tail, -tail) * scale


def student_t(u: Any, v: Any, freedom: Any) -> Any:
    """Return a number of Student's t distribution with `freedom` > 0 degrees of freedom, from two uniform numbers.

    t = sqrt(f (u^(-2/f) - 1)) cos(2 pi v), exact for every f, whole or not.

    Parameters
    ----------
    u, v : number
        Uniform on (0, 1), independent.
    freedom : number
        f > 0, not checked. The variance is f / (f - 2) for f > 2, else infinite.

    References
    ----------
    Bailey (1994), Polar generation of random variates with the t-distribution. Mathematics of Computation 62, 779-781.
    """
    return np.sqrt(freedom * np.expm1(-2.0 / freedom * np.log(u))) * np.cos(2.0 * math.pi * v)


def poisson(u: Any, mean: Any, most: Any) -> Any:
    """Return a Poisson count of the given mean, at most `most`: counts above are returned as `most`.

    Parameters
    ----------
    u : number
        Uniform on (0, 1).
    mean : number
        >= 0; e^-mean has to be a number, so up to 700.
    most : int
        How many terms of the distribution function are summed, and so what a draw costs. P(count > most) should be small:
        for a mean m it is below 1e-9 where most >= m + 6 sqrt(m) + 12.

    Raises
    ------
    ValueError
        For a `most` that is not a whole number from 1 to 1000; TraceError, which is one, if it differs between trajectories.
    """
    most = _constant("most", most, 1, 1000)
    chance = np.exp(-mean)
    reached, count = chance, 0.0
    for k in range(1, most + 1):
        count = count + where(u > reached, 1.0, 0.0)
        chance = chance * mean / float(k)
        reached = reached + chance
    return count


def binomial(u: Any, trials: Any, chance: Any) -> Any:
    """Return how many of `trials` trials succeed, each with probability `chance`.

    Parameters
    ----------
    u : number
        Uniform on (0, 1).
    trials : int
        n, from 1 to 1000; a draw costs n terms. (1 - chance)^n has to be a number.
    chance : number
        In [0, 1).

    Raises
    ------
    ValueError
        For `trials` that are not a whole number from 1 to 1000; TraceError, which is one, if they differ between trajectories.
    """
    n = _constant("trials", trials, 1, 1000)
    odds = chance / (1.0 - chance)
    term = (1.0 - chance) ** n
    reached, count = term, 0.0
    for k in range(1, n + 1):
        count = count + where(u > reached, 1.0, 0.0)
        term = term * odds * ((n - k + 1) / k)
        reached = reached + term
    return count


def _constant(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, Tracer):
        raise TraceError(
            f"{user_line()}{name}: expected a constant whole number, got one that differs between trajectories"
        )
    return validate.integer(name, value, low, high)
