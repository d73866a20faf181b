"""Gradients from whole returns at perturbed parameters: evolution strategies, SPSA, finite differences.

    one point               R(theta + h z) z / h                                     z ~ N(0, I)
    two points              (R(theta + h z) - R(theta - h z)) z / (2 h)
    SPSA                    the same with random signs z = +-1
    finite differences      (R(theta + h e_p) - R(theta - h e_p)) / (2 h) for each parameter p

They estimate the gradient of the objective smoothed over a width h, which differs from the gradient by O(h^2). Parameters of
different scales have widths of their own: h z is then (h_1 z_1, ..., h_P z_P), z / h likewise. The two returns of a pair see
common random numbers, or independent ones. No derivative of anything is needed, not even of log p.

References
----------
Rechenberg (1973); Salimans et al. (2017), Evolution strategies as a scalable alternative to reinforcement learning;
Sehnke et al. (2010), Parameter-exploring policy gradients; Spall (1992), Multivariate stochastic approximation using a
simultaneous perturbation gradient approximation; Nesterov and Spokoiny (2017), Random gradient-free minimization.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Numbers,
    StepView,
)
from .estimator import Combined, Direction, Estimator, RolloutVariant

Width: TypeAlias = float | tuple[float, ...]  # of all parameters, or one for each


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Return(Estimator):
    """The return R of a rollout: one number, not a gradient; a part of other estimators."""

    carries = ("to_go",)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        return later + x.reward, []

    def finish(self, c: Constants, sums: Cotangents, whole_return: Carry) -> Numbers:
        return (whole_return,)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Perturbed(Combined):
    width: Width = 0.0
    noise: str = "common"
    only_data = ("width",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return super().data(problem, theta) | {"width": checked_widths(self.width, problem)}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class EvolutionStrategies(_Perturbed):
    """See the module; one return or a pair of them, along normal directions or random signs."""

    direction: str = "normal"

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        z = direction(self.direction)
        change = gradients[0][0] if len(gradients) == 1 else gradients[0][0] - gradients[1][0]
        over = float(len(gradients))
        if isinstance(self.width, tuple):
            return tuple(change * d / (over * h) for d, h in zip(z, c.width, strict=True))
        slope = change / (over * c.width)
        return tuple(slope * d for d in z)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FiniteDifferences(_Perturbed):
    """See the module."""

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        if len(self.parts) != 2 * len(problem.parameters):
            P = len(self.parts) // 2
            raise ValueError(
                f"parameters: expected {P} as in finite_differences(width, {P}), got a problem with "
                f"{len(problem.parameters)}"
            )
        return super().data(problem, theta)

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        pairs = list(zip(gradients[::2], gradients[1::2], strict=True))
        widths = c.width if isinstance(self.width, tuple) else (c.width,) * len(pairs)
        return tuple((up - down) / (2.0 * h) for ((up,), (down,)), h in zip(pairs, widths, strict=True))


@as_called
def evolution_strategies(width: ArrayLike, points: int = 2, noise: str = "common") -> Estimator:
    """Return the evolution-strategies (PGPE) gradient along normal directions.

    Parameters
    ----------
    width : float or (P,) array
        Standard deviation h > 0 of the perturbation of each parameter, or of all of them.
    points : int
        1: a single return. 2: the difference of a mirrored pair.
    noise : str
        "common" or "independent" random numbers within a pair.

    Raises
    ------
    ValueError
        For an argument that is not as described; when measured, for another number of widths than of parameters.

    References
    ----------
    Salimans et al. (2017), Evolution strategies as a scalable alternative to reinforcement learning; Sehnke et al. (2010),
    Parameter-exploring policy gradients.
    """
    points = validate.integer("points", points, 1, 2)
    return EvolutionStrategies(*_pair(points), **_options(width, noise, "normal", points))


@as_called
def spsa(width: ArrayLike, noise: str = "common") -> Estimator:
    """Return the simultaneous-perturbation gradient: the difference of a pair of returns along random signs.

        g_p = (R(theta + h d) - R(theta - h d)) / (2 h_p d_p),    d_p = 1 or -1 (h d elementwise)

    Parameters
    ----------
    width : float or (P,) array
        h > 0, of all parameters or of each.
    noise : str
        "common" or "independent" random numbers within a pair.

    Raises
    ------
    ValueError
        For an argument that is not as described; when measured, for another number of widths than of parameters.

    References
    ----------
    Spall (1992), Multivariate stochastic approximation using a simultaneous perturbation gradient approximation.
    """
    return EvolutionStrategies(*_pair(2), **_options(width, noise, "sign", 2), direction="sign")


@as_called
def finite_differences(width: ArrayLike, parameters: int, noise: str = "common") -> Estimator:
    """Return central differences for each parameter: 2 P rollouts for one sample.

        g_p = (R(theta + h_p e_p) - R(theta - h_p e_p)) / (2 h_p),    e_p the p-th unit vector

    Parameters
    ----------
    width : float or (P,) array
        h > 0, of all parameters or of each; bias O(h^2).
    parameters : int
        P, how many components theta has.
    noise : str
        "common" or "independent" random numbers within a pair.

    Raises
    ------
    ValueError
        For an argument that is not as described; when measured, for a problem of another number of parameters.
    """
    P = validate.size("parameters", parameters)
    width = validate.widths("width", width)
    each = width if isinstance(width, tuple) else (width,) * P
    if len(each) != P:
        raise ValueError(f"width: expected a number, or one for each of the {P} parameters, got {len(each)}")
    variations = tuple(x for p in range(P) for x in _options(each[p], noise, p, 2)["variations"])
    options = _options(width, noise, 0, 2) | {"variations": variations}
    return FiniteDifferences((Return(),) * (2 * P), **options)


def _pair(points: int) -> tuple[tuple[Estimator, ...]]:
    return ((Return(),) * points,)


def _options(width: ArrayLike, noise: str, direction: str | int, points: int) -> dict[str, Any]:
    width = validate.widths("width", width)
    validate.one_of("noise", noise, ("common", "independent"))
    other = 0 if noise == "common" else 1
    plus = RolloutVariant(shift=1, direction=direction, width=width)
    minus = RolloutVariant(shift=-1, direction=direction, width=width, stream=other)
    return {"width": width, "noise": noise, "variations": (plus, minus)[:points]}


def checked_widths(width: Width, problem: Problem) -> Width:
    """Return a width, or one for each parameter of a problem."""
    P = len(problem.parameters)
    if isinstance(width, tuple) and len(width) != P:
        raise ValueError(f"width: expected a number, or one for each of the {P} parameters, got {len(width)}")
    return width
