"""The laws of the independent numbers of a step: densities, orthonormal polynomials and Gauss quadratures.

    normal      exp(-x^2 / 2) / sqrt(2 pi)
    uniform     1 on (0, 1)
    rayleigh    x exp(-x^2 / 2) for x > 0: the W of a measure-valued derivative in a mean
    maxwell     x^2 exp(-x^2 / 2) / sqrt(2 pi), on both sides: the M of one in a standard deviation

Orthonormal polynomials obey x h_k = a_k h_{k+1} + b_k h_k + a_{k-1} h_{k-1}, and a Gauss quadrature is made of a and b.

References
----------
Gautschi (2004), Orthogonal Polynomials: Computation and Approximation, sections 1.5 (Hermite weights with |x|^(2 mu)),
2.2 (Stieltjes) and 3.1 (Golub and Welsch).
"""

from __future__ import annotations

import functools

import numpy as np

from .ring import Array

NORMAL, UNIFORM, RAYLEIGH, MAXWELL = "normal", "uniform", "rayleigh", "maxwell"
REACH = 8.5  # of a normal: what lies beyond has a probability of 2e-17
ENDS = {NORMAL: (-REACH, REACH), UNIFORM: (0.0, 1.0), RAYLEIGH: (0.0, 9.5), MAXWELL: (-9.5, 9.5)}
MANY = 100  # nodes of a Gauss quadrature: beyond, they take long to find
FAR, PIECES, NODES = 40.0, 80, 40  # of the discrete measure that the polynomials of a Rayleigh number are made from


def density(kind: str, x: Array) -> Array:
    """Return the density at points between the `ENDS`."""
    if kind == UNIFORM:
        return np.ones_like(x)
    bell = np.exp(-x * x / 2)
    return x * bell if kind == RAYLEIGH else (x * x if kind == MAXWELL else 1.0) * bell / np.sqrt(2 * np.pi)


def probability(kind: str, x: Array) -> Array:
    """Return the probability of what is below, in the row after row of `x`."""
    if kind == UNIFORM:
        return np.clip(x, 0.0, 1.0)
    if kind == RAYLEIGH:
        return -np.expm1(-(np.maximum(x, 0.0) ** 2) / 2)
    from scipy.special import ndtr  # scipy loads slowly, and most of mcgrad does without

    found = ndtr(x)
    return found if kind == NORMAL else found - np.where(np.isinf(x), 0.0, x) * density(NORMAL, x)


def recurrence(kind: str, count: int) -> tuple[Array, Array]:
    """Return a_k and b_k for k = 0, ..., count - 1."""
    k = np.arange(count, dtype=float)
    if kind == NORMAL:
        return np.sqrt(k + 1), np.zeros(count)
    if kind == UNIFORM:
        return (k + 1) / (2 * np.sqrt((2 * k + 1) * (2 * k + 3))), np.full(count, 0.5)
    if kind == MAXWELL:
        return np.sqrt(np.where(k % 2 == 0, k + 3, k + 1)), np.zeros(count)
    a, b = _rayleigh(64 * (1 + count // 64))
    return a[:count], b[:count]


@functools.cache
def _rayleigh(count: int) -> tuple[Array, Array]:
    """Return a and b of a fine discrete measure in place of the continuous one, by Stieltjes' procedure."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(0.0, FAR, PIECES + 1)
    half = np.diff(edges)[:, None] / 2
    x, w = ((edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel())
    w = w * density(RAYLEIGH, x)
    a, b = np.zeros(count), np.zeros(count)
    before, now, root = np.zeros_like(x), np.full_like(x, 1 / np.sqrt(w.sum())), 0.0
    for k in range(count):
        b[k] = np.sum(w * x * now * now)
        before, now = now, (x - b[k]) * now - root * before
        a[k] = root = np.sqrt(np.sum(w * now * now))
        now = now / root
    return a, b


def between(kind: str, low: Array, high: Array) -> Array:
    """Return the probabilities between two numbers; at an end, all that is beyond."""
    first, last = ENDS[kind]
    return probability(kind, np.where(high >= last, np.inf, high)) - probability(
        kind, np.where(low <= first, -np.inf, low)
    )


def gauss(kind: str, count: int) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss quadrature of a law.

    Of more than MANY nodes for a normal those of the trapezoidal rule, which converges as fast, and for a uniform number Gauss
    quadratures side by side: where it takes so many, something is not smooth.
    """
    if kind == NORMAL and count > MANY:
        x = np.linspace(-REACH, REACH, count)
        w = density(NORMAL, x)
    elif kind == NORMAL:
        x, w = np.polynomial.hermite_e.hermegauss(count)
    elif kind == UNIFORM:
        panels = 1 if count <= MANY else -(-count // NODES)
        x, w = np.polynomial.legendre.leggauss(count if panels == 1 else NODES)
        x, w = ((np.arange(panels)[:, None] + (1 + x) / 2) / panels).ravel(), np.tile(w, panels)
    else:
        a, b = recurrence(kind, count)
        x, vectors = np.linalg.eigh(np.diag(b) + np.diag(a[:-1], 1) + np.diag(a[:-1], -1))
        w = vectors[0] ** 2
    return x, w / w.sum()
