"""The alpha-order gradient: as much of a first-order gradient as a bound on its bias allows.

    g = alpha X + (1 - alpha) Y,    X of first order (pathwise), Y of zeroth order (unbiased: a score function)

    alpha_inf = V_Y / (V_X + V_Y),    B = |mean X - mean Y|

    alpha = alpha_inf                  if alpha_inf B <= gamma - epsilon
            (gamma - epsilon) / B      otherwise
            0                          if epsilon > gamma

V are sums of the variances over parameters; means and variances come from n pilot trajectories; epsilon is the radius around
the mean of Y that holds its expectation with the given confidence (the vector Bernstein inequality). Then the mean of g over
these trajectories would be within gamma of the gradient, as alpha B + epsilon <= gamma:

    P(|mean Y - E Y| >= epsilon) <= (P + 1) exp(-n epsilon^2 / 2 / (V_Y + L epsilon / 3)) = 1 - confidence

for P parameters and |Y - E Y| <= L. Gradients under normal noise have no such L; with L = 0, the default, what is left is the
part of the bound that a normal distribution of means would have.

References
----------
Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?; Tropp (2015), An
introduction to matrix concentration inequalities.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Constants,
    Data,
    Numbers,
)
from .estimator import Combined, Direction, Estimator
from .fitted import Fitted, Trajectories, checked_part


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AlphaOrder(Fitted, Combined):
    """See the module; parts are X and Y, `alpha` is None while it is still to be fitted."""

    gamma: float
    confidence: float = 0.95
    bound: float = 0.0
    pilot: int = 4096
    alpha: float | None = None
    only_data = ("gamma", "confidence", "bound", "pilot", "alpha")
    what = "an alpha-order gradient"

    @property
    def unfitted(self) -> bool:
        return self.alpha is None

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        if self.unfitted:
            raise ValueError(f"{self.what}: alpha has not been fitted; measure() and sample() do that")
        return super().data(problem, theta) | {"alpha": self.alpha}

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        first, zeroth = gradients
        return tuple(c.alpha * x + (1.0 - c.alpha) * y for x, y in zip(first, zeroth, strict=True))

    def fit(self, trajectories: Trajectories) -> Self:
        found = trajectories.moments(dict(zip("XY", self.parts, strict=True)))
        X, Y = found["X"], found["Y"]
        apart = float(np.linalg.norm(X.mean - Y.mean))
        count = getattr(Y, "count", self.pilot)  # exact moments have none: those of a pilot as long as it is to be
        epsilon = confidence_radius(Y.variance.sum(), count, len(Y.mean), self.confidence, self.bound)
        return dataclasses.replace(
            self, alpha=alpha_rule(X.variance.sum(), Y.variance.sum(), apart, self.gamma, epsilon)
        )


def alpha_rule(first: float, zeroth: float, apart: float, gamma: float, epsilon: float) -> float:
    """Return alpha by the rule of the module, from the variances of X and Y, the distance of their means, gamma, epsilon."""
    if not epsilon <= gamma or not math.isfinite(apart):
        return 0.0
    free = zeroth / (first + zeroth) if first + zeroth > 0 else 0.0
    return float(free if free * apart <= gamma - epsilon else (gamma - epsilon) / apart)


def confidence_radius(
    variance: float, count: int, dimension: int, confidence: float = 0.95, bound: float = 0.0
) -> float:
    """Return epsilon such that a mean of `count` vectors is that close to its expectation, by the vector Bernstein inequality.

    It solves n epsilon^2 / 2 = log((P + 1) / (1 - confidence)) (V + L epsilon / 3).

    Parameters
    ----------
    variance : float
        V, that of a single vector, summed over its components.
    bound : float
        L, what no vector is further than from its expectation.
    """
    log = math.log((dimension + 1) / (1.0 - confidence))
    half = bound * log / 3.0
    return (half + math.sqrt(half * half + 2.0 * count * variance * log)) / count


@as_called
def alpha_order(
    first_order: Estimator,
    zeroth_order: Estimator,
    gamma: float,
    *,
    confidence: float = 0.95,
    bound: float = 0.0,
    pilot: int | None = 4096,
    alpha: ArrayLike | None = None,
) -> Estimator:
    """Return the mixture of a gradient that may be biased and one that is not, its bias bounded by means of a pilot.

    Parameters
    ----------
    first_order, zeroth_order : Estimator
        X and Y of the module, without coefficients that are still to be fitted.
    gamma : float
        How far from the gradient the mean over the pilot trajectories may be, >= 0. infinity: inverse-variance weights.
    confidence : float
        With which probability epsilon holds, in (0, 1).
    bound : float
        L of the module, if there is one, >= 0.
    pilot : int
        n, the trajectories of a separate range on which alpha is fitted, at least 16.
    alpha : float, optional
        Fixed alpha in [0, 1]; fitted if not given.

    Raises
    ------
    ValueError
        For a number out of its range; for X or Y that are no estimators, or have coefficients to be fitted.

    References
    ----------
    Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?
    """
    parts = tuple(
        checked_part(name, x, AlphaOrder.what)
        for name, x in (("first_order", first_order), ("zeroth_order", zeroth_order))
    )
    return AlphaOrder(
        parts,
        math.inf if isinstance(gamma, float) and gamma == math.inf else validate.number("gamma", gamma, 0.0),
        validate.number("confidence", confidence, above=0.0, high=1.0 - 1e-12),
        validate.number("bound", bound, 0.0),
        validate.integer("pilot", pilot, 16),
        None if alpha is None else validate.number("alpha", alpha, 0.0, 1.0),
    )
