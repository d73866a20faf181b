"""Moments of the one-step costs of Mohamed et al. (2020) and Metz et al. (2021), in closed form.

All of them are sums of polynomials times exponentials of quadratics (`exponentials`). The one moment that is not elementary
for all of them is that of the coupled measure-valued derivative for a std: an integral over 0 < u < 1, done by quadrature.

Where k std is small the variances of exp(-k x^2) and cos(k x) are small differences: those of the cosine hold to 1e-9 from
k std = 0.02 on.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from ...problem import Problem
from ..theory import Array
from .exponentials import Exponentials, constant, cosine, gaussian, power
from .moments import DELTA, PATHWISE, SCORE, SCORE_FUNCTION, Table, law


def cost(kind: str, k: float) -> Exponentials:
    """Return the cost of one action as `Exponentials`."""
    match kind:
        case "quadratic":
            return (power(1) - constant(k)) * (power(1) - constant(k))
        case "exponential":
            return gaussian(k)
        case "cosine":
            return cosine(k)
        case "linear":
            return power(1) * k
        case "constant":
            return constant(k)
        case "sinusoid on parabola":
            ripples = cosine(k / math.pi, -math.pi / 2)  # sin(k x / pi)
            return (ripples * 0.1 + power(2) * 0.01 + constant(0.1)) * -1.0
    raise ValueError(f"kind: expected the name of a cost, got {kind!r}")


def table(problem: Problem, theta: Array, expanded: bool = False) -> Table:
    """Return the `Table` of a one-step cost f = sum_d c(x_d), dimension by dimension."""
    mean, std, kinds = law(problem, theta)
    c, orders = cost(*problem.environment.closed_form), (1, 2) if expanded else ()
    known = functools.cache(lambda mean, std: _Dimension(c, mean, std, orders))
    dimensions = [known(*pair) for pair in zip(mean.tolist(), std.tolist(), strict=True)]
    levels, spread, mirror = (sum(getattr(x, y) for x in dimensions) for y in ("levels", "spread", "mirror"))

    # Given x_d, the others add numbers of mean `levels` - E (c, expansions)(x_d) to f and its expansions.
    moments = functools.cache(lambda x, kind: _moments(x, kind, levels - x.levels))
    P, rows = len(kinds), 3 + 2 * len(orders)
    means, cov, mirrored = np.zeros((rows, P)), np.zeros((rows, rows, P)), np.zeros((rows, rows, P))
    scored = np.array([SCORE_FUNCTION, *(DELTA[order, False] for order in orders)])
    for p, (kind, d) in enumerate(kinds):
        x = dimensions[d]
        means[:, p], cov[:, :, p], mirrored[:, :, p] = moments(x, kind)
        s = x.score[kind]
        cov[scored[:, None], scored, p] += (spread - x.spread) * (s * s).mean()
        mirrored[scored[:, None], scored, p] += (mirror - x.mirror) * (s * s.at(0.0, -1.0)).mean()

    def measure_valued(coupled: bool) -> Array:
        return np.array([dimensions[d].measure_valued(kind, coupled, spread[0, 0]) for kind, d in kinds])

    expansions = dict(zip(orders, levels[1:], strict=True))
    return Table(float(levels[0]), float(spread[0, 0]), means, cov, mirrored, measure_valued, expansions)


class _Dimension:
    """c(mean + std z) as a function of z, and what depends on it alone."""

    def __init__(self, c: Exponentials, mean: float, std: float, orders: tuple[int, ...]) -> None:
        self.std = std
        self.f = c.at(mean, std)
        slope = c.derivative().at(mean, std)
        self.expansions = {order: self._expansion(order) for order in orders}
        values = [self.f, *self.expansions.values()]
        self.levels = np.array([x.mean() for x in values])
        centred = [x - constant(level) for x, level in zip(values, self.levels, strict=True)]
        self.centred = centred[0]
        self.spread, self.mirror = _covariances(centred)
        self.variance = self.spread[0, 0]
        self.score = {"mean": power(1) * (1.0 / std), "std": (power(2) - constant(1.0)) * (1.0 / std)}
        self.pathwise = {"mean": slope, "std": slope * power(1)}

    def _expansion(self, order: int) -> Exponentials:
        """Return the Taylor expansion of f about z = 0."""
        result, slope, factor = constant(self.f.at_zero()), self.f, 1.0
        for n in range(1, order + 1):
            slope, factor = slope.derivative(), factor / n
            result = result + power(n) * (factor * slope.at_zero())
        return result

    def expanded(self, kind: str, shifts: Array) -> list[Exponentials]:
        """Return the scored and the followed part of each expansion, in the order of `DELTA`."""
        result = []
        for expansion, shift in zip(self.expansions.values(), shifts, strict=True):
            slope = expansion.derivative() * (1.0 / self.std)
            result += [(expansion + constant(shift)) * self.score[kind], slope if kind == "mean" else slope * power(1)]
        return result

    def measure_valued(self, kind: str, coupled: bool, spread: float) -> float:
        """Return the variance of the measure-valued derivative; `spread` is Var f."""
        of = self._of_mean if kind == "mean" else self._of_std
        return of(coupled, spread - self.variance)

    def _of_mean(self, coupled: bool, others: float) -> float:
        """E over W Rayleigh of g is sqrt(2 pi) E[z g(z); z > 0]."""

        def rayleigh(g: Exponentials) -> float:
            return math.sqrt(2 * math.pi) * (power(1) * g).positive_mean()

        f, mirror, weight = self.f, self.f.at(0.0, -1.0), 1.0 / (2 * math.pi * self.std**2)
        slope = (self.f * self.score["mean"]).mean()
        if coupled:
            return weight * rayleigh((f - mirror) * (f - mirror)) - slope**2
        plus, minus = rayleigh(f), rayleigh(mirror)
        squares = rayleigh(f * f) - plus**2 + rayleigh(mirror * mirror) - minus**2
        return weight * (squares + 2 * others)

    def _of_std(self, coupled: bool, others: float) -> float:
        """E over M double-sided Maxwell of g is E[z^2 g(z)]."""
        f, maxwell = self.centred, power(2) * self.centred
        squares = (maxwell * f).mean() + self.variance
        if coupled:
            slope = (f * self.score["std"]).mean()
            return (squares - 2 * self._product()) / self.std**2 - slope**2
        return (squares - maxwell.mean() ** 2 + 2 * others) / self.std**2

    def _product(self) -> float:
        """E[f(M) f(U M)], U uniform."""
        first = power(2) * self.centred
        return _integral(lambda u: (first * self.centred.at(0.0, u)).mean())


def _integral(g: Callable[[float], float]) -> float:
    """Return the integral of a smooth g over [0, 1]: panels are halved until that changes nothing."""
    nodes, weights = np.polynomial.legendre.leggauss(16)

    def panel(low: float, high: float) -> tuple[float, float]:
        values = np.array([g(low + (high - low) * (1 + x) / 2) for x in nodes])
        return float(values @ weights * (high - low) / 2), float(np.abs(values).max())

    def refined(low: float, high: float, whole: float, scale: float, depth: int) -> float:
        middle = (low + high) / 2
        (left, most), (right, other) = panel(low, middle), panel(middle, high)
        scale = max(scale, most, other)
        if abs(left + right - whole) <= 1e-15 * scale or depth == 40:
            return left + right
        return refined(low, middle, left, scale, depth + 1) + refined(middle, high, right, scale, depth + 1)

    return refined(0.0, 1.0, *panel(0.0, 1.0), 0)


def _moments(x: _Dimension, kind: str, shifts: Array) -> tuple[Array, Array, Array]:
    """Return means, covariances and mirrored covariances of f s, s, the pathwise gradient, and those of expansions."""
    f = x.f + constant(shifts[0])
    named = {SCORE_FUNCTION: f * x.score[kind], SCORE: x.score[kind], PATHWISE: x.pathwise[kind]}
    parts = [named[row] for row in range(3)] + x.expanded(kind, shifts[1:])
    means = np.array([part.mean() for part in parts])
    cov, mirrored = _covariances([part - constant(m) for part, m in zip(parts, means, strict=True)])
    means[3:] = 0.0  # control variates: their means are taken off
    return means, cov, mirrored


def _covariances(centred: list[Exponentials]) -> tuple[Array, Array]:
    """Return E[a b] and E[a(z) b(-z)] for all pairs of centred functions; both are symmetric."""
    flipped = [x.at(0.0, -1.0) for x in centred]
    cov, mirrored = np.zeros((2, len(centred), len(centred)))
    for i, a in enumerate(centred):
        for j in range(i + 1):
            cov[i, j] = cov[j, i] = (a * centred[j]).mean()
            mirrored[i, j] = mirrored[j, i] = (a * flipped[j]).mean()
    return cov, mirrored
