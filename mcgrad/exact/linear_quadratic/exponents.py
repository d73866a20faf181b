"""Exponents of a variance, and what has to be known of an estimator to predict them: see `scaling`."""

from dataclasses import dataclass
from typing import NamedTuple

from ..theory import Array

CLOSE = 1e-9  # relative difference below which numbers count as equal
KINDS = {
    "none": "no baseline",
    "number": "a constant",
    "level": "for returns to go, the mean of the whole return",
    "best level": "for returns to go, the best constant",
    "time": "a function of time",
    "mean": "the mean of the return, or of each return to go",
    "optimum": "the best constant for the return, or the best function of time for returns to go",
    "value": "the value function",
    "state": "another function of the state",
}


@dataclass(frozen=True)
class Exponent:
    """Var ~ x^power, for a horizon x = T times rho^(rate T); power None where no prediction is known; the reason."""

    power: float | None
    reason: str
    rate: float = 0.0


@dataclass(frozen=True)
class Scaling:
    """Exponents of the variance: `std`, the policy's standard deviation -> 0; `horizon`, T -> infinity."""

    std: Exponent
    horizon: Exponent


class Known(NamedTuple):
    """What an estimator is here: a class of `mcgrad.estimators`, its baseline, one of `KINDS`, and that as numbers or forms."""

    kind: type
    baseline: str | None = None
    b: Array | None = None
    option: float | bool | None = None  # the decay, or whether a control variate is of first order
