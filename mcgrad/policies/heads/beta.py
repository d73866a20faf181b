"""Beta actions: on an interval, with a density that is bounded and has one mode, as policies want it."""

import math
from typing import Any

import numpy as np

from ...compiler.functions import where
from ...compiler.trace import Number, apply
from ..maps import MapLike
from .head import Head, parameter
from .quantile import normal_density, with_slopes
from .squashed_gaussian import interval

LOWEST, HIGHEST = 1.0, 1e4  # of alpha and beta


def beta(alpha: MapLike, beta: MapLike, *, low: float = 0.0, high: float = 1.0) -> Head:
    """Return the head a = low + (high - low) x, x ~ Beta(alpha, beta), for one component of the action.

    log p(x) = (alpha - 1) log x + (beta - 1) log(1 - x) - log B(alpha, beta); with psi the digamma function, scores are
    log x - psi(alpha) + psi(alpha + beta) and log(1 - x) - psi(beta) + psi(alpha + beta).

    The draw is the quantile of its noise, F(x) = Phi(e), to a relative error of the smaller of F and 1 - F below 1e-8 for
    alpha, beta <= 100, and 1e-6 up to 10^4. Its pathwise derivative is that of the implicit function theorem, by the same
    quadrature.

    Parameters
    ----------
    alpha, beta : Map or number
        Between 1 and 10^4: `maps.above(1.0, maps.linear())` stays above 1. Outside, the action is NaN, and
        `Moments.nonfinite` counts it.
    low, high : float
        The ends of the interval.

    Raises
    ------
    ValueError
        For an empty interval, or a map of another size.

    References
    ----------
    Chou, Maturana and Scherer (2017), Improving stochastic policy gradients in continuous control with deep reinforcement
    learning using the Beta distribution. ICML; Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients.
    """
    low, high = interval(low, high)
    width = high - low

    def sample(values, e):
        (a,), (b,) = values
        y = logit_quantile(a, b, e[0])
        return (low + width * with_slopes(apply("expit", y), (a, b, e[0]), lambda x: slopes(a, b, x, e[0])),)

    def slopes(a, b, x, e):
        # Everything seen from the tail on the side of x, at the state of lower tails
        upper = e > 0.0
        z = 1.0 - x
        x, z, a, b = where(upper, z, x), where(upper, x, z), where(upper, b, a), where(upper, a, b)
        ratio, moments = tail_ratio(a, b, x, z, NODES[-1], moments=True)
        psi = apply("digamma", a + b)
        of_a = -(moments[0] + ratio * (np.log(x) - apply("digamma", a) + psi)) * x * z
        of_b = -(moments[1] + ratio * (np.log(z) - apply("digamma", b) + psi)) * x * z
        density = np.exp((a - 1.0) * np.log(x) + (b - 1.0) * np.log(z) - log_beta(a, b))
        return where(upper, -of_b, of_a), where(upper, -of_a, of_b), normal_density(e) / density

    def log_prob(values, a):
        (alpha,), (beta,) = values
        x, z = (a[0] - low) / width, (high - a[0]) / width
        return (alpha - 1.0) * np.log(x) + (beta - 1.0) * np.log(z) - log_beta(alpha, beta) - math.log(width)

    def score(values, a, e):
        (alpha,), (beta,) = values
        x, z = (a[0] - low) / width, (high - a[0]) / width
        psi = apply("digamma", alpha + beta)
        return (np.log(x) - apply("digamma", alpha) + psi,), (np.log(z) - apply("digamma", beta) + psi,)

    parameters = (parameter("alpha", alpha, 1), parameter("beta", beta, 1))
    return Head("beta", parameters, 1, sample, log_prob, score, noises=1)


def log_beta(a: Number, b: Number) -> Number:
    """Return log B(a, b)."""
    return apply("lgamma", a) + apply("lgamma", b) - apply("lgamma", a + b)


# The lower tail in y = log(x / (1 - x)), whose density q(y) = x^a (1 - x)^b / B(a, b) is log-concave with exponential tails:
#
#     F(y) = q(y) R(y),    R(y) = int_0^inf exp(-f(t)) dt,    f(t) = a t + (a + b) log(x e^-t + 1 - x)
#
# by Gauss-Legendre on [0, L] with exp(-f(L)) = e^-32, the nodes moved towards 0.


def _nodes(count: int, towards_zero: float = 1.5) -> list[tuple[float, ...]]:
    v, w = np.polynomial.legendre.leggauss(count)
    v, w = 0.5 * (v + 1.0), 0.5 * w
    t = np.expm1(towards_zero * v) / np.expm1(towards_zero)
    return list(
        zip(t.tolist(), (w * towards_zero * np.exp(towards_zero * v) / np.expm1(towards_zero)).tolist(), strict=True)
    )


NODES = [_nodes(count) for count in (8, 8, 10, 20)]  # for each step of `logit_quantile`: the first need few digits
DEPTH = 32.0


def tail_ratio(a: Number, b: Number, x: Number, z: Number, nodes: Any, moments: bool = False) -> Any:
    """Return R, and with `moments` the integrals of (-t - log g) exp(-f) and of -log g exp(-f), g = x e^-t + z; z = 1 - x."""
    slope, curvature = np.maximum(a * z - b * x, 0.0), (a + b) * x * z
    end = 2.0 * DEPTH / (slope + np.sqrt(slope * slope + 2.0 * DEPTH * curvature))
    for _ in range(2):  # f is convex: Newton's method from the left lands to the right, and then comes back
        decayed = x * np.exp(-end)
        g = decayed + z
        end = end - (a * end + (a + b) * np.log(g) - DEPTH) / (a - (a + b) * decayed / g)
    total = first = second = 0.0
    for node, weight in nodes:
        t = end * node
        log_g = np.log(x * np.exp(-t) + z)
        part = weight * np.exp(-a * t - (a + b) * log_g)
        total = total + part
        if moments:
            first, second = first - part * (t + log_g), second - part * log_g
    return end * total, (end * first, end * second)


def logit_quantile(a: Number, b: Number, e: Number) -> Number:
    """Return y = log(x / (1 - x)) for the quantile F(x) = Phi(e) of Beta(a, b).

    From the guess of Abramowitz and Stegun (26.5.22), four steps of the Taylor series of third order of y as a function of
    l = log F, along which dy/dl = R(y). With q'/q = a (1 - x) - b x:  R' = 1 - R q'/q.
    """
    valid = (a >= LOWEST) & (a <= HIGHEST) & (b >= LOWEST) & (b <= HIGHEST)
    upper = e > 0.0
    a, b = where(valid, where(upper, b, a), 2.0), where(valid, where(upper, a, b), 2.0)
    size = abs(e)
    wanted = apply("log_ndtr", -size)
    of_a, of_b = 1.0 / (2.0 * a - 1.0), 1.0 / (2.0 * b - 1.0)
    h, square = 2.0 / (of_a + of_b), (size * size - 3.0) / 6.0
    w = size * np.sqrt(h + square) / h - (of_b - of_a) * (square + 5.0 / 6.0 - 2.0 / (3.0 * h))
    y = np.log(a / b) - 2.0 * w
    constant = log_beta(a, b)
    for nodes in NODES:
        log_x, log_z = -apply("logaddexp", 0.0, -y), -apply("logaddexp", 0.0, y)
        x, z = np.exp(log_x), np.exp(log_z)
        R, _ = tail_ratio(a, b, x, z, nodes)
        off = wanted - (a * log_x + b * log_z - constant + np.log(R))
        slope, curvature = a * z - b * x, -(a + b) * x * z
        R1 = 1.0 - slope * R
        R2 = -(curvature * R + slope * R1)
        y = y + off * R * (1.0 + off * (0.5 * R1 + off * (R2 * R + R1 * R1) / 6.0))
    return where(valid, where(upper, -y, y), math.nan)
