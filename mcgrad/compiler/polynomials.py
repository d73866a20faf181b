"""Polynomials, for NumPy arrays, SIMD lanes and plain numbers."""

from collections.abc import Sequence
from typing import Any


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """Return c[0] + c[1] x + c[2] x^2 + ..."""
    last = len(coefficients) - 1
    result = coefficients[last]
    for k in range(last):
        result = result * x + coefficients[last - 1 - k]
    return result
