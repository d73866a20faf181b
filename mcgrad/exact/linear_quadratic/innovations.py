"""Conditionally centred quadratics of one stage's noise, and their joint cumulants given the state.

An *innovation* is y = (linear x~)^T xi + xi^T quadratic xi - tr(quadratic), where xi ~ N(0, I_r) is the noise of the stage
(the white noise of the policy, then that of the process) and x~ = (1, x) is known before it: E[y | x] = 0.
With a, b, .. for the linear parts and A, B, .. for the quadratic ones, the joint cumulants given x are

    k(a, b)       = a^T b + 2 tr AB
    k(a, b, c)    = 2 (a^T Bc + b^T Ac + a^T Cb) + 8 tr ABC
    k(a, b, c, d) = 4 sum over the six pairs (a, b) of a^T (CD + DC) b + 16 (tr ABCD + tr ABDC + tr ACBD),

at most quadratic in the linear parts, hence forms of x (see `gaussian`).

Shapes: linear (..., r, N), quadratic (..., r, r) symmetric, with leading axes (T, P) that broadcast.
"""

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ..theory import Array
from .gaussian import symmetric, trace, transpose


class Innovation(NamedTuple):
    """The quadratic y = (linear x~)^T xi + xi^T quadratic xi - tr(quadratic)."""

    linear: Array
    quadratic: Array

    def __add__(self, other: "Innovation") -> "Innovation":  # type: ignore[override]  # a tuple's would join them
        return Innovation(self.linear + other.linear, self.quadratic + other.quadratic)

    def __sub__(self, other: "Innovation") -> "Innovation":
        return Innovation(self.linear - other.linear, self.quadratic - other.quadratic)

    def times(self, number: float) -> "Innovation":
        """Return number * y."""
        return Innovation(number * self.linear, number * self.quadratic)


def cumulant2(a: Innovation, b: Innovation) -> Array:
    """k(a, b | x) = E[a b | x]: a form."""
    form = symmetric(transpose(a.linear) @ b.linear)
    return _with_constant(form, 2 * trace(a.quadratic, b.quadratic))


def cumulant3(a: Innovation, b: Innovation, c: Innovation) -> Array:
    """k(a, b, c | x) = E[a b c | x]: a form."""
    parts = [transpose(p.linear) @ q.quadratic @ r.linear for p, q, r in ((a, b, c), (b, a, c), (a, c, b))]
    form = parts[0] + parts[1] + parts[2]
    return _with_constant(2 * symmetric(form), 8 * trace(a.quadratic @ b.quadratic, c.quadratic))


def cumulant4(a: Innovation, b: Innovation, c: Innovation, d: Innovation) -> Array:
    """k(a, b, c, d | x) = E[abcd] - E[ab]E[cd] - E[ac]E[bd] - E[ad]E[bc] given x: a form."""
    innovations = (a, b, c, d)
    form: Any = 0.0
    for i, j in combinations(range(4), 2):
        one, two = (innovations[q].quadratic for q in range(4) if q not in (i, j))
        product = one @ two
        form = form + transpose(innovations[i].linear) @ (product + transpose(product)) @ innovations[j].linear
    ab, cd = a.quadratic @ b.quadratic, c.quadratic @ d.quadratic
    ac, bd = a.quadratic @ c.quadratic, b.quadratic @ d.quadratic
    constant = trace(ab, cd) + trace(ab, transpose(cd)) + trace(ac, bd)
    return _with_constant(4 * symmetric(form), 16 * constant)


def _with_constant(form: Array, constant: Array) -> Array:
    shape = np.broadcast_shapes(form.shape[:-2], constant.shape)
    out = np.array(np.broadcast_to(form, shape + form.shape[-2:]))
    out[..., 0, 0] += constant
    return out
