"""Functions whose Gaussian moments are elementary: sums of p(z) exp(c - a z^2 + b z), p a polynomial, a >= 0.

Sums, products, derivatives and affine substitutions stay in the family, and

    E[p(z) exp(c - a z^2 + b z)] = sqrt(v) exp(c + b^2 v / 2) E[p(y)],    y ~ N(b v, v),    v = 1 / (1 + 2 a)

holds for complex b, too: cosines are sums of two exponentials. Over z > 0 alone the complementary error function comes in.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray


class Term(NamedTuple):
    """p(z) exp(c - a z^2 + b z), `p` from the constant up."""

    p: NDArray[Any]  # of complex numbers, where b is one
    a: float = 0.0
    b: complex = 0.0
    c: complex = 0.0


@dataclasses.dataclass(frozen=True)
class Exponentials:
    """A sum of `Term`s, real for real z."""

    terms: tuple[Term, ...]

    def __add__(self, other: "Exponentials") -> "Exponentials":
        return _merged(self.terms + other.terms)

    def __sub__(self, other: "Exponentials") -> "Exponentials":
        return self + other * -1.0

    def __mul__(self, other: "Exponentials | float") -> "Exponentials":
        if not isinstance(other, Exponentials):
            other = constant(other)
        pairs = ((x, y) for x in self.terms for y in other.terms)
        return _merged(Term(polynomial.polymul(x.p, y.p), x.a + y.a, x.b + y.b, x.c + y.c) for x, y in pairs)

    def at(self, shift: float, scale: float) -> "Exponentials":
        """Return z -> self(shift + scale z)."""
        shift, scale = np.float64(shift), np.float64(scale)  # Python's own numbers raise where these become infinite
        result = []
        for p, a, b, c in self.terms:
            moved = np.zeros(1)
            for coefficient in p[::-1]:  # Horner's rule on polynomials
                moved = polynomial.polyadd(polynomial.polymul(moved, [shift, scale]), [coefficient])
            term = Term(moved, a * scale**2, (b - 2 * a * shift) * scale, c + (b - a * shift) * shift)
            result.append(term)
        return Exponentials(tuple(result))

    def derivative(self) -> "Exponentials":
        """Return the derivative."""
        result: list[Term] = []
        for p, a, b, c in self.terms:
            slope: NDArray[Any] = polynomial.polyadd(polynomial.polyder(p), polynomial.polymul(p, [b, -2 * a]))
            result.append(Term(slope, a, b, c))
        return Exponentials(tuple(result))

    def at_zero(self) -> float:
        """Return self(0)."""
        return float(np.real(sum(p[0] * np.exp(c) for p, _, _, c in self.terms)))

    def mean(self) -> float:
        """Return E[self(z)], z ~ N(0, 1)."""
        total = 0.0
        for p, a, b, c in self.terms:
            v = 1.0 / (1.0 + 2.0 * a)
            m = np.ones(len(p), complex)
            for n in range(1, len(p)):
                m[n] = b * v * m[n - 1] + ((n - 1) * v * m[n - 2] if n > 1 else 0.0)
            total += np.sqrt(v) * np.exp(c + b * b * v / 2) * (p @ m)
        return float(np.real(total))

    def positive_mean(self) -> float:
        """Return E[self(z); z > 0], z ~ N(0, 1)."""
        total = 0.0
        for p, a, b, c in self.terms:
            a = a + 0.5
            m = np.zeros(max(len(p), 2), complex)  # exp(c) times the integral of z^n exp(-a z^2 + b z) over z > 0
            m[0] = _half(a, b, c)
            m[1] = (np.exp(c) + b * m[0]) / (2 * a)
            for n in range(2, len(p)):
                m[n] = ((n - 1) * m[n - 2] + b * m[n - 1]) / (2 * a)
            total += p @ m[: len(p)]
        return float(np.real(total)) / np.sqrt(2 * np.pi)


def _merged(terms: Iterable[Term]) -> Exponentials:
    """Return the sum of terms, one term for each exponent."""
    total: dict[tuple[Any, ...], NDArray[Any]] = {}
    for p, *exponent in terms:
        key = tuple(exponent)
        total[key] = polynomial.polyadd(total[key], p) if key in total else p
    return Exponentials(tuple(Term(p, *key) for key, p in total.items()))


def _half(a: float, b: complex, c: complex) -> complex:
    """Return the integral of exp(c - a z^2 + b z) over z > 0; what grows is added up in exponents, so none overflows."""
    from scipy.special import wofz

    root = 2.0 * np.sqrt(a)
    if np.real(b) <= 0.0:
        return np.exp(c) * np.sqrt(np.pi) / root * wofz(-1j * b / root)
    return np.sqrt(np.pi / a) * np.exp(c + b * b / (4 * a)) - _half(a, -b, c)


def constant(value: float) -> Exponentials:
    """Return the constant function."""
    return Exponentials((Term(np.array([value])),))


def power(n: int) -> Exponentials:
    """Return z^n."""
    return Exponentials((Term(np.eye(n + 1)[n]),))


def cosine(k: float, phase: float = 0.0) -> Exponentials:
    """Return cos(k z + phase)."""
    half = np.array([0.5])
    return Exponentials((Term(half, b=1j * k, c=1j * phase), Term(half, b=-1j * k, c=-1j * phase)))


def gaussian(k: float) -> Exponentials:
    """Return exp(-k z^2)."""
    return Exponentials((Term(np.ones(1), a=k),))
