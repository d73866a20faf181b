"""Weights in inverse proportion to variances, covariances ignored: the mean that would be best of uncorrelated estimators.

    g = sum_k w_k X_k,    w_k = (1 / Var X_k) / sum_j (1 / Var X_j)

Unbiased for fixed weights if all X_k are. On common noise the X_k are correlated, and `mixture` has less variance; where
one of them is biased the rule knows nothing of it, and likes it the better the less it varies.

References
----------
Parmas, Rasmussen, Peters and Doya (2018), PIPPS: flexible model-based policy search robust to the curse of chaos (one
weight for all parameters, from the traces of the covariances).
"""

import dataclasses
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
from .fitted import Fitted, Trajectories, checked_part, checked_pilot


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class InverseVariance(Fitted, Combined):
    """See the module.

    Attributes
    ----------
    weights : (k, P) array, optional
        w_kp of each part and parameter; None: still to be fitted.
    shared : bool
        One weight for all parameters.
    """

    weights: np.ndarray | None = None
    pilot: int | None = None
    shared: bool = False
    only_data = ("weights", "pilot", "shared")
    what = "an inverse-variance mean"

    @property
    def unfitted(self) -> bool:
        return self.weights is None

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        if self.unfitted:
            raise ValueError(f"{self.what}: its weights have not been fitted; measure() and sample() do that")
        shape = (len(self.parts), len(problem.parameters))
        return super().data(problem, theta) | {"weights": validate.array("weights", self.weights, shape)}

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        P = len(gradients[0])
        return tuple(sum(c.weights[k, p] * x[p] for k, x in enumerate(gradients)) for p in range(P))

    def fit(self, trajectories: Trajectories) -> Self:
        names = tuple(map(str, range(len(self.parts))))
        moments = trajectories.moments(dict(zip(names, self.parts, strict=True)))
        return dataclasses.replace(self, weights=weights([moments[x].variance for x in names], self.shared))


def weights(variances: ArrayLike, shared: bool = False) -> NDArray[np.float64]:
    """Return weights in inverse proportion to variances (k, ..., P), which sum to one over k.

    What does not vary takes all of the weight, and what has no finite variance none; where that leaves no choice, all are
    equal. With `shared`, the sum of the variances over the last axis decides for all of it.
    """
    v = np.array(variances, dtype=float)
    if shared:
        v = np.broadcast_to(v.sum(axis=-1, keepdims=True), v.shape)
    v = np.where(np.isfinite(v), v, np.inf)
    least = v.min(axis=0)
    ratio = np.divide(least, v, out=np.zeros_like(v), where=(v > 0) & np.isfinite(v))
    w = np.where(least == 0, v == 0, np.where(np.isinf(least), 1.0, ratio))
    return w / w.sum(axis=0)


@as_called
def inverse_variance(
    first: Estimator,
    *others: Estimator,
    weights: ArrayLike | None = None,
    pilot: int | None = None,
    shared: bool = False,
) -> Estimator:
    """Return the mean of two or more estimators of the same gradient, weighted by their inverse variances.

    Parameters
    ----------
    first, *others : Estimator
    weights : (k, P) array, optional
        Fixed weights; fitted by cross-fitting over two halves of the trajectories if not given.
    pilot : int, optional
        Fit on this many trajectories of a separate range instead.
    shared : bool
        One weight for all parameters, from the sums of their variances, as in total propagation; else one for each.

    Raises
    ------
    ValueError
        For a single estimator, something that is none, a part whose coefficients are still to be fitted, weights of another
        shape, or a pilot of less than 16.

    References
    ----------
    Parmas, Rasmussen, Peters and Doya (2018), PIPPS: flexible model-based policy search robust to the curse of chaos (total
    propagation).
    """
    if not others:
        raise ValueError("inverse_variance: expected two or more estimators, got one")
    parts = tuple(checked_part("inverse_variance", x, InverseVariance.what) for x in (first, *others))
    if weights is not None:
        weights = validate.array("weights", weights, (len(parts), None))
    return InverseVariance(parts, weights=weights, pilot=checked_pilot(pilot), shared=validate.flag("shared", shared))
