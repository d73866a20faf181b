"""Monomials up to a total degree, and orthonormal polynomials of noise, as places in arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .laws import recurrence
from .ring import Array, Places


class TooSmall(ArithmeticError):
    """A term is of a higher degree than the fields that it is to be stored in."""


class Basis:
    """Monomials x^alpha of n variables with |alpha| <= degree, in the order of their degrees.

    Attributes
    ----------
    powers : (N, n) array
    """

    def __init__(self, n: int, degree: int) -> None:
        self.n, self.degree = n, degree
        powers = [a for d in range(degree + 1) for a in _of_degree(n, d)]
        self.powers = np.array(powers, dtype=np.int64).reshape(len(powers), n)
        self._radix = (degree + 1) ** np.arange(n, dtype=np.int64)
        codes = self.powers @ self._radix
        self._order = np.argsort(codes)
        self._codes = codes[self._order]

    def __len__(self) -> int:
        return len(self.powers)

    def size(self, degree: int) -> int:
        """Return how many monomials there are up to a degree."""
        return math.comb(self.n + degree, degree) if degree >= 0 else 0

    def places(self, powers: ArrayLike) -> Places:
        """Return where monomials stand, (..., n) -> (...); one beyond the degree is an error."""
        powers = np.asarray(powers, dtype=np.int64)
        if powers.size and int(powers.sum(axis=-1).max()) > self.degree:
            raise TooSmall(
                f"degree: a term of degree {int(powers.sum(axis=-1).max())} in a space of degree {self.degree}"
            )
        return self._order[np.searchsorted(self._codes, powers @ self._radix)]


@functools.cache
def basis(n: int, degree: int) -> Basis:
    """Return a `Basis`, one for each n and degree."""
    return Basis(n, degree)


def _of_degree(n: int, d: int) -> list[tuple[int, ...]]:
    if n == 0:
        return [()] if d == 0 else []
    if n == 1:
        return [(d,)]
    return [(k, *rest) for k in range(d, -1, -1) for rest in _of_degree(n - 1, d - k)]


class Noise:
    """Orthonormal polynomials of independent noises up to a total degree, and multiplication by powers of the noise in them.

    Hermite polynomials of standard normals, Legendre polynomials of uniform numbers, and so on, see `laws`.

    Parameters
    ----------
    names : sequence of str
    kinds : sequence of str
    degree : int
    """

    def __init__(self, names: Iterable[str], kinds: Iterable[str], degree: int) -> None:
        self.names = list(names)
        self.basis = space = basis(len(self.names), degree)
        self._ladders = []
        for j, kind in enumerate(kinds):
            below = np.flatnonzero(space.powers.sum(axis=1) < degree)
            k = space.powers[:, j]
            a, middle = recurrence(kind, degree + 1)
            above = space.places(space.powers[below] + np.eye(len(self.names), dtype=np.int64)[j])
            # Entry k of the matrix goes to `above`, and entry `above` to k, both with weight a.
            columns, rows = np.concatenate([below, above]), np.concatenate([above, below])
            order = np.argsort(columns, kind="stable")
            starts = np.searchsorted(columns[order], np.arange(len(space) + 1))
            self._ladders.append((starts, rows[order], np.tile(a[k[below]], 2)[order], middle[k]))

    def matrix(
        self, names: Sequence[str], outputs: int, inputs: int, cut: bool = False
    ) -> tuple[Places, Places, Array]:
        """Return (rows, columns, values) of multiplication by a product of noises, of the first so many coefficients.

        Entries come in the order of their rows. More outputs than these are an error, or left out if they are `cut`.
        """
        rows = columns = np.arange(inputs)
        values = np.ones(inputs)
        for name in names:
            starts, to, weights, middle = self._ladders[self.names.index(name)]
            counts = starts[rows + 1] - starts[rows]
            entry = np.repeat(np.arange(len(rows)), counts)
            place = (
                np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts[rows], counts)
            )
            moved = [to[place], columns[entry], values[entry] * weights[place]]
            if middle.any():
                same = rows, columns, middle[rows] * values
                moved = [np.concatenate(x) for x in zip(moved, same, strict=True)]
            rows, columns, values = _merged(inputs, *moved)
        if rows.size and rows.max() >= outputs:
            if not cut:
                raise TooSmall("degree: a term is of a higher degree in the noise than the space")
            inside = rows < outputs
            rows, columns, values = rows[inside], columns[inside], values[inside]
        return rows, columns, values


def _merged(width: int, rows: Places, columns: Places, values: Array) -> tuple[Places, Places, Array]:
    """Return the entries of a matrix in order, those at the same place added up."""
    place, back = np.unique(rows * width + columns, return_inverse=True)
    total = np.asarray(np.bincount(back.ravel(), weights=values, minlength=len(place)), float)
    return place // width, place % width, total
