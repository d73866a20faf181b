"""Monomials up to a total degree, and orthonormal polynomials of noise, as places in arrays."""

import functools
import math

import numpy as np

from .chain import NORMAL


class TooSmall(ArithmeticError):
    """A term is of a higher degree than the fields that it is to be stored in."""


class Basis:
    """Monomials x^alpha of n variables with |alpha| <= degree, in the order of their degrees.

    Attributes
    ----------
    powers : (N, n) array
    """

    def __init__(self, n, degree):
        self.n, self.degree = n, degree
        powers = [a for d in range(degree + 1) for a in _of_degree(n, d)]
        self.powers = np.array(powers, dtype=np.int64).reshape(len(powers), n)
        self._radix = (degree + 1) ** np.arange(n, dtype=np.int64)
        codes = self.powers @ self._radix
        self._order = np.argsort(codes)
        self._codes = codes[self._order]

    def __len__(self):
        return len(self.powers)

    def size(self, degree):
        """Return how many monomials there are up to a degree."""
        return math.comb(self.n + degree, degree) if degree >= 0 else 0

    def places(self, powers):
        """Return where monomials stand, (..., n) -> (...); one beyond the degree is an error."""
        powers = np.asarray(powers, dtype=np.int64)
        if powers.size and int(powers.sum(axis=-1).max()) > self.degree:
            raise TooSmall(
                f"degree: a term of degree {int(powers.sum(axis=-1).max())} in a space of degree {self.degree}"
            )
        return self._order[np.searchsorted(self._codes, powers @ self._radix)]


@functools.cache
def basis(n, degree):
    """Return a `Basis`, one for each n and degree."""
    return Basis(n, degree)


def _of_degree(n, d):
    if n == 0:
        return [()] if d == 0 else []
    if n == 1:
        return [(d,)]
    return [(k, *rest) for k in range(d, -1, -1) for rest in _of_degree(n - 1, d - k)]


class Noise:
    """Orthonormal polynomials of independent noises up to a total degree, and multiplication by powers of the noise in them.

    Hermite polynomials of standard normals, x h_k = sqrt(k + 1) h_{k+1} + sqrt(k) h_{k-1}; Legendre polynomials of numbers
    uniform on (0, 1), u p_k = a_k p_{k+1} + p_k / 2 + a_{k-1} p_{k-1}, a_k = (k + 1) / (2 sqrt((2 k + 1) (2 k + 3))).

    Parameters
    ----------
    names : sequence of str
    kinds : sequence of str
    degree : int
    """

    def __init__(self, names, kinds, degree):
        self.names = list(names)
        self.basis = space = basis(len(self.names), degree)
        self._ladders = []
        for j, kind in enumerate(kinds):
            below = np.flatnonzero(space.powers.sum(axis=1) < degree)
            k = space.powers[below, j].astype(float)
            above = space.places(space.powers[below] + np.eye(len(self.names), dtype=np.int64)[j])
            a = np.sqrt(k + 1) if kind == NORMAL else (k + 1) / (2 * np.sqrt((2 * k + 1) * (2 * k + 3)))
            self._ladders.append((below, above, a, 0.0 if kind == NORMAL else 0.5))

    def times(self, name, y):
        """Return the coefficients, along the first axis, of a noise times a function."""
        below, above, a, middle = self._ladders[self.names.index(name)]
        out = middle * y
        a = a.reshape(-1, *[1] * (y.ndim - 1))
        out[above] += a * y[below]
        out[below] += a * y[above]
        return out

    def matrix(self, names, outputs, inputs, cut=False):
        """Return (rows, columns, values) of multiplication by a product of noises, of the first so many coefficients.

        More outputs than these are an error, or left out if they are `cut`.
        """
        wide = np.zeros((len(self.basis), inputs))
        wide[np.arange(inputs), np.arange(inputs)] = 1.0
        for name in names:
            wide = self.times(name, wide)
        rows, columns = np.nonzero(wide[:outputs] if cut else wide)
        if rows.size and rows.max() >= outputs:
            raise TooSmall("degree: a term is of a higher degree in the noise than the space")
        return rows, columns, wide[rows, columns]
