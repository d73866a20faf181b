"""Moments of one-step rewards that jump or have kinks.

Between its breaks a reward is smooth, and Gauss-Legendre quadrature on short panels, cut at every break and its mirror image,
has all digits. A pathwise gradient is the derivative between the jumps alone.

References
----------
Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...environments.ball_with_wall import BallWithWall
from ...environments.step_reward import Ramp
from ...problem import Problem
from ..theory import Array, NoClosedForm
from .moments import PATHWISE, SCORE, SCORE_FUNCTION, Table, law

REACH = 38.5  # standard deviations; what is further out underflows
NODES = 20  # of each panel


class Pieces(NamedTuple):
    """A reward as a function.

    Attributes
    ----------
    f, slope : callable
        The reward and its derivative, of arrays.
    breaks : list of pairs
        Where it is not smooth, and by how much it jumps there: 0 at a kink.
    smooth : float
        A length on which it looks like a polynomial of low degree elsewhere.
    """

    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    breaks: list[tuple[float, float]]
    smooth: float = math.inf


def pieces(closed_form: Ramp | BallWithWall, low: float, high: float) -> Pieces:
    """Return the `Pieces` of a reward between two actions."""
    match closed_form:
        case Ramp(width=0.0):
            return Pieces(lambda x: np.where(x > 0, 1.0, 0.0), np.zeros_like, [(0.0, 1.0)])
        case Ramp(width=width):
            kinks = [(-width / 2, 0.0), (width / 2, 0.0)]
            return Pieces(
                lambda x: np.clip(x / width + 0.5, 0.0, 1.0),
                lambda x: np.where(abs(x) < width / 2, 1.0 / width, 0.0),
                kinks,
            )
        case BallWithWall():
            return _ball(closed_form, low, high)
    raise NoClosedForm(f"no closed form is known for {closed_form!r}")


def _ball(throw: BallWithWall, low: float, high: float) -> Pieces:
    """Return the pieces of -x^2: the ball reaches the wall where sin(2 angle) = g d / v^2, and may clear it in between.

    With T = tan(angle), it just clears it where A T^2 - d T + A + h = 0, A = g d^2 / (2 v^2).
    """
    v, d, h, g = throw

    def landing(x: Any) -> Any:
        return v * v * np.sin(2 * x) / g

    def flies(x: Array) -> NDArray[np.bool_]:
        height = d * np.tan(x) - g * d * d / (2 * v * v * np.cos(x) ** 2)
        return (landing(x) <= d) | (height > h)

    breaks = []
    if g * d / v**2 < 1:
        reach = math.asin(g * d / v**2) / 2
        breaks += [(reach, 0.0), (math.pi / 2 - reach, 0.0)]
    A = g * d * d / (2 * v * v)
    if d * d > 4 * A * (A + h):
        root = math.sqrt(d * d - 4 * A * (A + h))
        first, last = math.atan((d - root) / (2 * A)), math.atan((d + root) / (2 * A))
        breaks += [(first, d * d - landing(first) ** 2), (last, landing(last) ** 2 - d * d)]
    turns = range(math.floor(low / math.pi) - 1, math.ceil(high / math.pi) + 1)
    return Pieces(
        lambda x: -(np.where(flies(x), landing(x), d) ** 2),
        lambda x: np.where(flies(x), -2 * landing(x) * 2 * v * v * np.cos(2 * x) / g, 0.0),
        [(x + k * math.pi, jump) for k in turns for x, jump in breaks],
        smooth=0.25,
    )


def table(problem: Problem, theta: Array) -> Table:
    """Return the `Table` of the problem."""
    mean, std, kinds = law(problem, theta)
    mean, std = float(mean[0]), float(std[0])
    reward = _pieces(problem, mean, std)
    z, weight = _grid((np.array(reward.breaks).reshape(-1, 2)[:, 0] - mean) / std, reward.smooth / std)
    f, slope, flipped = reward.f(mean + std * z), reward.slope(mean + std * z), slice(None, None, -1)
    score = {"mean": z / std, "std": (z * z - 1.0) / std}
    pathwise = {"mean": slope, "std": slope * z}

    J = float(f @ weight)
    P = len(kinds)
    means, cov, mirrored = np.zeros((3, P)), np.zeros((3, 3, P)), np.zeros((3, 3, P))
    for p, (kind, _) in enumerate(kinds):
        parts = np.empty((3, len(z)))
        parts[SCORE_FUNCTION], parts[SCORE], parts[PATHWISE] = f * score[kind], score[kind], pathwise[kind]
        means[:, p] = parts @ weight
        parts -= means[:, p, None]
        cov[:, :, p] = (parts * weight) @ parts.T
        mirrored[:, :, p] = (parts * weight) @ parts[:, flipped].T

    def measure_valued(coupled: bool) -> Array:
        return np.array([of_measure(kind, coupled) for kind, _ in kinds])

    def of_measure(kind: str, coupled: bool) -> float:
        if kind == "std" and coupled:
            raise NoClosedForm(
                "the coupled measure-valued derivative for a std is known for costs without breaks alone"
            )
        if kind == "std":
            maxwell = weight * z * z
            return float(f * f @ maxwell - (f @ maxwell) ** 2 + f * f @ weight - J**2) / std**2
        rayleigh = math.sqrt(2 * math.pi) * np.where(z > 0, z * weight, 0.0)
        plus, minus, scale = f, f[flipped], 1.0 / (2 * math.pi * std**2)
        if coupled:
            return float(scale * ((plus - minus) ** 2 @ rayleigh) - means[SCORE_FUNCTION, 0] ** 2)
        return float(scale * sum(g * g @ rayleigh - (g @ rayleigh) ** 2 for g in (plus, minus)))

    return Table(J, float((f - J) ** 2 @ weight), means, cov, mirrored, measure_valued)


def _pieces(problem: Problem, mean: float, std: float) -> Pieces:
    return pieces(problem.environment.closed_form, mean - REACH * std, mean + REACH * std)


def _grid(breaks: Array, smooth: float) -> tuple[Array, Array]:
    """Return nodes z and weights times phi(z), symmetric about 0: panels cut at `breaks` and at their mirror images."""
    width = min(0.5, smooth)
    cuts = np.arange(0.0, REACH + width, width)
    cuts = np.unique(np.concatenate([cuts, np.abs(breaks)[np.abs(breaks) < cuts[-1]]]))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = np.diff(cuts)[:, None] / 2
    z = (cuts[:-1, None] + half * (1 + nodes)).ravel()
    z, w = np.concatenate([-z[::-1], z]), (half * weights).ravel()
    w = np.concatenate([w[::-1], w])
    return z, w * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
