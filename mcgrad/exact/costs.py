"""Moments of the one-step costs of Mohamed et al. (2020) and Metz et al. (2021), in closed form.

All of them are sums of polynomials times exponentials of quadratics (`exponentials`). The one moment that is not elementary
for all of them is that of the coupled measure-valued derivative for a std: an integral over 0 < u < 1, done by quadrature.

Where k std is small the variances of exp(-k x^2) and cos(k x) are small differences: those of the cosine hold to 1e-9 from
k std = 0.02 on.
"""

import functools
import math

import numpy as np

from .exponentials import constant, cosine, gaussian, power
from .one_step_table import PATHWISE, SCORE, SCORE_FUNCTION, Table, law


def cost(kind, k):
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


def table(problem, theta):
    """Return the `Table` of a one-step cost f = sum_d c(x_d), dimension by dimension."""
    mean, std, kinds = law(problem, theta)
    c = cost(*problem.environment.closed_form)
    known = functools.cache(lambda mean, std: _Dimension(c, mean, std))
    dimensions = [known(*pair) for pair in zip(mean.tolist(), std.tolist(), strict=True)]
    J = sum(x.objective for x in dimensions)
    spread = sum(x.variance for x in dimensions)
    mirror = sum(x.mirrored for x in dimensions)

    # Given x_d, the others add a number of mean J - E c(x_d) to f.
    moments = functools.cache(lambda x, kind: _moments(x, kind, J - x.objective))
    P = len(kinds)
    means, cov, mirrored = np.zeros((3, P)), np.zeros((3, 3, P)), np.zeros((3, 3, P))
    for p, (kind, d) in enumerate(kinds):
        x = dimensions[d]
        means[:, p], cov[:, :, p], mirrored[:, :, p] = moments(x, kind)
        s = x.score[kind]
        cov[SCORE_FUNCTION, SCORE_FUNCTION, p] += (spread - x.variance) * (s * s).mean()
        mirrored[SCORE_FUNCTION, SCORE_FUNCTION, p] += (mirror - x.mirrored) * (s * s.at(0.0, -1.0)).mean()

    def measure_valued(coupled):
        return np.array([dimensions[d].measure_valued(kind, coupled, spread) for kind, d in kinds])

    return Table(J, spread, means, cov, mirrored, measure_valued)


class _Dimension:
    """c(mean + std z) as a function of z, and what depends on it alone."""

    def __init__(self, c, mean, std):
        self.std = std
        self.f = c.at(mean, std)
        slope = c.derivative().at(mean, std)
        self.objective = self.f.mean()
        self.centred = self.f - constant(self.objective)
        self.variance = (self.centred * self.centred).mean()
        self.mirrored = (self.centred * self.centred.at(0.0, -1.0)).mean()
        self.score = {"mean": power(1) * (1.0 / std), "std": (power(2) - constant(1.0)) * (1.0 / std)}
        self.pathwise = {"mean": slope, "std": slope * power(1)}

    def measure_valued(self, kind, coupled, spread):
        """Return the variance of the measure-valued derivative; `spread` is Var f."""
        of = self._of_mean if kind == "mean" else self._of_std
        return of(coupled, spread - self.variance)

    def _of_mean(self, coupled, others):
        """E over W Rayleigh of g is sqrt(2 pi) E[z g(z); z > 0]."""

        def rayleigh(g):
            return math.sqrt(2 * math.pi) * (power(1) * g).positive_mean()

        f, mirror, weight = self.f, self.f.at(0.0, -1.0), 1.0 / (2 * math.pi * self.std**2)
        slope = (self.f * self.score["mean"]).mean()
        if coupled:
            return weight * rayleigh((f - mirror) * (f - mirror)) - slope**2
        plus, minus = rayleigh(f), rayleigh(mirror)
        squares = rayleigh(f * f) - plus**2 + rayleigh(mirror * mirror) - minus**2
        return weight * (squares + 2 * others)

    def _of_std(self, coupled, others):
        """E over M double-sided Maxwell of g is E[z^2 g(z)]."""
        f, maxwell = self.centred, power(2) * self.centred
        squares = (maxwell * f).mean() + self.variance
        if coupled:
            slope = (f * self.score["std"]).mean()
            return (squares - 2 * self._product()) / self.std**2 - slope**2
        return (squares - maxwell.mean() ** 2 + 2 * others) / self.std**2

    def _product(self):
        """E[f(M) f(U M)], U uniform."""
        first = power(2) * self.centred
        return _integral(lambda u: (first * self.centred.at(0.0, u)).mean())


def _integral(g):
    """Return the integral of a smooth g over [0, 1]: panels are halved until that changes nothing."""
    nodes, weights = np.polynomial.legendre.leggauss(16)

    def panel(low, high):
        values = np.array([g(low + (high - low) * (1 + x) / 2) for x in nodes])
        return values @ weights * (high - low) / 2, np.abs(values).max()

    def refined(low, high, whole, scale, depth):
        middle = (low + high) / 2
        (left, most), (right, other) = panel(low, middle), panel(middle, high)
        scale = max(scale, most, other)
        if abs(left + right - whole) <= 1e-15 * scale or depth == 40:
            return left + right
        return refined(low, middle, left, scale, depth + 1) + refined(middle, high, right, scale, depth + 1)

    return refined(0.0, 1.0, *panel(0.0, 1.0), 0)


def _moments(x, kind, shift):
    """Return means (3,), covariances (3, 3) and mirrored covariances (3, 3) of f s, s and the pathwise gradient."""
    f = x.f + constant(shift)
    parts = [None] * 3
    parts[SCORE_FUNCTION], parts[SCORE], parts[PATHWISE] = f * x.score[kind], x.score[kind], x.pathwise[kind]
    means = np.array([part.mean() for part in parts])
    centred = [part - constant(m) for part, m in zip(parts, means, strict=True)]
    flipped = [part.at(0.0, -1.0) for part in centred]
    cov = np.array([[(a * b).mean() for b in centred] for a in centred])
    mirrored = np.array([[(a * b).mean() for b in flipped] for a in centred])
    return means, cov, mirrored
