"""Control variates: subtract what has mean zero and moves along.

    g_p - sum_k c_kp h_kp,    E h_k = 0,    c_p = argmin Var = Cov(h_p)^-1 Cov(h_p, g_p)

A constant baseline is the case h = sum_t z_t, an optimal mixture of two unbiased estimators X and Y the case h = X - Y.
Coefficients fitted on the very trajectories that they are used on would bias the estimate. They are fitted on others:
on a pilot range of their own, or by cross-fitting (each half of the trajectories with the coefficients of the other).

References
----------
Lavenberg and Welch (1981), A perspective on the use of control variables to increase the efficiency of Monte Carlo
simulations; Avramidis and Wilson (1993), A splitting scheme for control variates (cross-fitting).
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
class ControlVariate(Fitted, Combined):
    """See the module. parts[0] is the estimator, parts[1:] are the controls.

    Attributes
    ----------
    coefficients : (k, P) or (k, P, P) array, optional
        c_kp, or c_kpq if every parameter uses the controls of all parameters q; None: still to be fitted.
    pilot : int, optional
        Number of pilot trajectories to fit on; None: cross-fitting.
    full : bool
        Whether every parameter uses the controls of all parameters.
    """

    coefficients: np.ndarray | None = None
    pilot: int | None = None
    full: bool = False
    only_data = ("coefficients", "pilot")
    what = "a control variate"

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        if self.coefficients is None:
            raise ValueError("control variate: its coefficients have not been fitted; measure() and sample() do that")
        P, k = len(problem.parameters), len(self.parts) - 1
        shape = (k, P, P) if self.full else (k, P)
        return super().data(problem, theta) | {"coefficients": validate.array("coefficients", self.coefficients, shape)}

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        target, *controls = gradients
        result = list(target)
        for k, control in enumerate(controls):
            for p in range(len(result)):
                if self.full:
                    result[p] -= sum(c.coefficients[k, p, q] * control[q] for q in range(len(result)))
                else:
                    result[p] -= c.coefficients[k, p] * control[p]
        return tuple(result)

    @property
    def unfitted(self) -> bool:
        return self.coefficients is None

    def fit(self, trajectories: Trajectories) -> Self:
        """Return this estimator with least-squares coefficients."""
        names = tuple(map(str, range(len(self.parts))))
        moments = trajectories.moments(dict(zip(names, self.parts, strict=True)), self.full)
        k, P = len(names) - 1, len(moments[names[0]].mean)
        target, controls = names[0], names[1:]
        if self.full:
            among = np.block([[moments.covariance_matrix(a, b) for b in controls] for a in controls])
            onto = np.concatenate([moments.covariance_matrix(a, target) for a in controls])
            solution = _least_squares(among, onto)  # (k P, P): control k, q -> parameter p
            coefficients = solution.reshape(k, P, P).swapaxes(1, 2)
        else:
            among = np.array([[moments.covariance(a, b) for b in controls] for a in controls])
            onto = np.array([moments.covariance(a, target) for a in controls])
            coefficients = np.stack([_least_squares(among[:, :, p], onto[:, p]) for p in range(P)], axis=1)
        return dataclasses.replace(self, coefficients=coefficients)


def _least_squares(among: NDArray[np.float64], onto: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve `among` c = `onto` for a covariance matrix that may be singular (a control that never varies gets 0)."""
    if not (np.isfinite(among).all() and np.isfinite(onto).all()):
        return np.zeros_like(onto)  # nothing was finite, and nothing will be
    scale = np.sqrt(np.diag(among))
    scale[scale == 0] = 1.0
    solution, *_ = np.linalg.lstsq(among / np.outer(scale, scale), (onto.T / scale).T, rcond=1e-10)
    return (solution.T / scale).T


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Difference(Combined):
    """X - Y for two estimators of the same gradient: a control variate."""

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        return tuple(x - y for x, y in zip(*gradients, strict=True))


@as_called
def control_variate(
    estimator: Estimator,
    controls: Sequence[Estimator] | Estimator,
    coefficients: ArrayLike | None = None,
    *,
    pilot: int | None = None,
    full: bool = False,
) -> Estimator:
    """Return an estimator less the regression of its samples on controls of mean zero.

    Parameters
    ----------
    estimator : Estimator
    controls : Estimator or sequence of them
        Estimates of zero: `score()`, `delta()`, `difference(x, y)`.
    coefficients : (k, P) array, optional
        Fixed coefficients; fitted by cross-fitting over two halves of the trajectories if not given.
    pilot : int, optional
        Fit on this many trajectories of a separate range instead: then trajectory i still depends on (seed, i) alone.
    full : bool
        Let every parameter use the controls of all parameters; coefficients are then (k, P, P).

    Raises
    ------
    ValueError
        For no control at all, something that is no estimator, a part whose coefficients are still to be fitted, coefficients of
        another shape, or a pilot of less than 16.

    References
    ----------
    Lavenberg and Welch (1981), A perspective on the use of control variables to increase the efficiency of Monte Carlo
    simulations; Avramidis and Wilson (1993), A splitting scheme for control variates (cross-fitting).
    """
    full = validate.flag("full", full)
    zeros: tuple[Estimator, ...]
    zeros = tuple(controls) if isinstance(controls, (list, tuple)) else (controls,)  # type: ignore[assignment]  # of any length
    if not zeros:
        raise ValueError("controls: expected at least one estimator of zero, got none")
    checked_part("estimator", estimator, ControlVariate.what)
    for control in zeros:
        checked_part("controls", control, ControlVariate.what)
    if coefficients is not None:
        coefficients = validate.array("coefficients", coefficients, (len(zeros), None) + ((None,) if full else ()))
    pilot = checked_pilot(pilot)
    return ControlVariate((estimator, *zeros), coefficients=coefficients, pilot=pilot, full=full)


@as_called
def difference(x: Estimator, y: Estimator) -> Estimator:
    """Return X - Y, an estimate of zero made of two estimators of the same gradient.

    Parameters
    ----------
    x, y : Estimator
        On the same trajectories, without coefficients that are still to be fitted.

    Raises
    ------
    ValueError
        For something that is no estimator, or has coefficients to be fitted.
    """
    return Difference(tuple(checked_part(name, part, "a difference") for name, part in (("x", x), ("y", y))))


@as_called
def mixture(first: Estimator, *others: Estimator, pilot: int | None = None) -> Estimator:
    """Return the mixture of least variance of two or more unbiased estimators, weights per parameter summing to one.

    For two, alpha = (V_Y - C) / (V_X + V_Y - 2 C) on X, with C = Cov(X, Y).

    Parameters
    ----------
    first, *others : Estimator
        At least two, of the same gradient, without coefficients that are still to be fitted.
    pilot : int, optional
        Fit on this many trajectories (>= 16) of a separate range; by default by cross-fitting over two halves.

    Raises
    ------
    ValueError
        For a single estimator, and as of `control_variate`.
    """
    if not others:
        raise ValueError("mixture: expected two or more estimators, got one")
    return control_variate(others[-1], [difference(x, others[-1]) for x in (first, *others[:-1])], pilot=pilot)
