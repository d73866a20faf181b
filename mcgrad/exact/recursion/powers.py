"""Powers of the next state, s_next^alpha, expanded in powers of the state and in orthonormal polynomials of the noise.

Composition with a step is linear in the coefficients of f: f(s_next) = sum_k h_k(xi) (S_k f)(s), s_next = s_next(s, xi).
The powers of degree d are those of degree d - 1 times a component of s_next. Of their expansions only so much is formed as is
asked for: a field of degree d whose coefficients see no noise needs h_0 alone, and so few orders in between. No power of a
matrix is formed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..theory import NoClosedForm
from .basis import Noise, basis
from .ring import Array, Monomial, Poly

LARGEST = 30_000_000  # numbers


class StepPowers:
    """The matrices S_k of one step.

    Parameters
    ----------
    after : list of Poly
        The next state in terms of state and noise.
    states : list of names
    kinds : dict
        Noise name -> kind.
    requests : iterable of (degree, order)
        Fields of which degree are needed up to which order |k| in the noise.
    extra : int
        Up to which power noise is multiplied to what comes out (see `noise`).

    Attributes
    ----------
    noise : Noise
    """

    def __init__(
        self,
        after: Sequence[Poly],
        states: Sequence[str],
        kinds: Mapping[str, str],
        requests: Iterable[tuple[int, int]],
        extra: int,
    ) -> None:
        terms = [[powers_of(names, states) + (c,) for names, c in x.items()] for x in after]
        self.up = max((sum(beta) for x in terms for beta, _, _ in x), default=0)
        self.noisy = max((len(gamma) for x in terms for _, gamma, _ in x), default=0)
        requests = set(requests)
        degree = max(d for d, _ in requests)
        orders = [0] * (degree + 1)
        for d in reversed(range(degree + 1)):
            asked = max((k for request, k in requests if request >= d), default=0)
            before = orders[d + 1] + self.noisy if d < degree else 0
            orders[d] = min(max(asked, before), d * self.noisy)
        highest = max([*orders, *(k for _, k in requests)])
        if math.comb(len(kinds) + highest + 1, highest + 1) > LARGEST // 100:
            raise NoClosedForm(f"no recursion on polynomials: degree {highest} in {len(kinds)} noises")
        self.noise = Noise(kinds, kinds.values(), highest + max(self.noisy, extra) + 1)
        self.inside, self.outside = basis(len(after), degree), basis(len(states), max(degree * self.up, 0))
        sizes = [
            *(self._size(d, k) * self.inside.size(d) for d, k in requests),
            *(self._size(d, k) * (self.inside.size(d) - self.inside.size(d - 1)) for d, k in enumerate(orders)),
        ]
        if sum(sizes) > LARGEST:
            raise NoClosedForm(
                f"no recursion on polynomials: powers of degree {degree} of {len(after)} states and {len(kinds)} noises have "
                f"{sum(sizes):.1e} coefficients"
            )
        self._levels(terms, orders, degree)
        self.matrices = {request: self._matrix(*request) for request in requests}

    def _size(self, degree: int, order: int) -> int:
        return self.noise.basis.size(order) * self.outside.size(degree * self.up)

    def _levels(self, terms: list[list[Any]], orders: list[int], degree: int) -> None:
        inside, outside, size = self.inside, self.outside, self.noise.basis.size
        first = np.ones((1, 1, 1))
        self.levels, self.orders = [first], orders
        for d in range(1, degree + 1):
            places = np.arange(inside.size(d - 1), inside.size(d))
            powers = inside.powers[places]
            before = self.levels[-1]
            new = np.zeros((len(places), size(orders[d]), outside.size(d * self.up)))
            by = np.argmax(powers > 0, axis=1)
            for i, x in enumerate(terms):
                mine = np.flatnonzero(by == i)
                if not mine.size:
                    continue
                parents = powers[mine].copy()
                parents[:, i] -= 1
                parents = before[inside.places(parents) - inside.size(d - 2)]
                total = np.zeros((len(mine), *new.shape[1:]))
                for gamma in dict.fromkeys(g for _, g, _ in x):
                    y = self._times(gamma, parents, new.shape[1])
                    for beta, g, c in x:
                        if g == gamma:
                            total[
                                :, :, outside.places(outside.powers[: y.shape[2]] + np.array(beta, dtype=np.int64))
                            ] += c * y
                new[mine] = total
            self.levels.append(new)

    def _times(self, gamma: Monomial, y: Array, outputs: int) -> Array:
        """Return y (., k, .) times a product of noises, cut to so many orders."""
        out = np.zeros((y.shape[0], outputs, y.shape[2]))
        if not gamma:
            k = min(outputs, y.shape[1])
            out[:, :k] = y[:, :k]
            return out
        rows, columns, values = self.noise.matrix(gamma, outputs, y.shape[1], cut=True)
        if rows.size:
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            out[:, rows[starts]] = np.add.reduceat(y[:, columns] * values[:, None], starts, axis=1)
        return out

    def _matrix(self, degree: int, order: int) -> Array:
        """Return S of fields up to a degree, orders up to `order`: (orders x powers of the state, powers of the next state)."""
        if degree < 0:
            return np.zeros((0, 0))
        K, N = self.noise.basis.size(order), self.outside.size(degree * self.up)
        out = np.zeros((K, N, self.inside.size(degree)))
        for d in range(degree + 1):
            level = self.levels[d][:, :K]
            place = slice(self.inside.size(d - 1), self.inside.size(d))
            out[: level.shape[1], : level.shape[2], place] = np.moveaxis(level, 0, 2)
        return out.reshape(K * N, -1)


def powers_of(names: Monomial, states: Sequence[str]) -> tuple[tuple[int, ...], Monomial]:
    """Return the powers of the states, and the names of the noises, of a monomial."""
    return tuple(names.count(s) for s in states), tuple(x for x in names if x not in states)
