"""Centred quadratics of white noise, one for each parameter, and what they have in common as matrices over the parameters.

    f = l^T y + y^T Q y - tr Q,     E[f g] = <f, g> = l.l' + 2 tr Q Q',     E[f g a] = <f a, g>

for another quadratic a = E[a] + b^T y + y^T C y - tr C, where f a stands for the part of first and second order of the product,

    l -> E[a] l + 2 C l + 2 Q b,     Q -> E[a] Q + sym(l b^T) + 4 sym(Q C),     sym(x) = (x + x^T) / 2:

chaos of other orders has no covariance with g. So E[f_p g_q a] for all p and q is one product of matrices, (P, N + N^2) each.
"""

from typing import NamedTuple

import numpy as np

from ..theory import Array
from . import gaussian


class Quadratic(NamedTuple):
    """Centred, for each parameter: linear (P, N), quadratic (P, N, N) symmetric."""

    linear: Array
    quadratic: Array

    def __add__(self, other: "Quadratic") -> "Quadratic":  # type: ignore[override]  # a tuple's would join them
        return Quadratic(self.linear + other.linear, self.quadratic + other.quadratic)

    def times(self, weight: "Weight") -> "Quadratic":
        """Return the part of first and second order of the product with a Weight."""
        level, slope, curve = weight
        linear, Q = self
        both = linear[:, :, None] * slope / 2 + 2 * Q @ curve
        return Quadratic(
            level * linear + 2 * linear @ curve + 2 * Q @ slope, level * Q + both + gaussian.transpose(both)
        )


class Weight(NamedTuple):
    """level + slope^T y + y^T curve y - tr curve."""

    level: float
    slope: Array
    curve: Array


def inner(f: Quadratic, g: Quadratic, matrix: bool) -> Array:
    """E[f_p g_q], (P, P), or for p = q alone (P,)."""
    if not matrix:
        return np.einsum("pi,pi->p", f.linear, g.linear) + 2 * np.einsum("pij,pij->p", f.quadratic, g.quadratic)
    return f.linear @ g.linear.T + 2 * flat(f.quadratic) @ flat(g.quadratic).T


def flat(x: Array) -> Array:
    """Return all but the first axis as one."""
    return x.reshape(len(x), -1)


def both_ways(x: Array, matrix: bool) -> Array:
    """Return x + x^T, of a diagonal alone 2 x."""
    return x + x.T if matrix else 2 * x
