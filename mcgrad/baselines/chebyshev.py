"""Functions of one or two states as polynomials of Chebyshev on a box, one for each time; constant beyond its edges."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiler.functions import where
from ..per_step import PerStep
from ..scan_types import Constants, Number

DEGREES = {1: 24, 2: 12}  # of the polynomials, for so many states
ERROR = 0.02  # that they may have, relative to the range of the function
SEED, CHECKED = 1, 200  # where they are looked at


def series(V: Any) -> dict[str, Any]:
    """Return the data of `evaluated` for a value function V(t, s) that knows its `horizon`, `states` and `box`.

    Raises
    ------
    ValueError
        If there are more states, or V is no polynomial of so low a degree.
    """
    found = fitted("baseline: the exact values", lambda t, s: V(t, s)[None], V.horizon + 1, V.states, V.box, ERROR)
    return found | {"chebyshev": PerStep(found["chebyshev"][:, 0])}


def fitted(
    what: str, functions: Callable[[int, Any], Any], times: int, n: int, box: tuple[Any, Any], most: float
) -> dict[str, Any]:
    """Return coefficients (times, k, degree + 1, ...) of functions(t, states (N, n)) -> (k, N), and where their box is.

    Raises
    ------
    ValueError
        If there are more states, or they are off these polynomials by more than `most` of the largest range of a function.
    """
    low, high = box
    if n not in DEGREES:
        raise ValueError(f"{what} of {n} states are no polynomials of one or two; fit them instead")
    degree = DEGREES[n]
    angles = np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    nodes = np.stack([x.ravel() for x in np.meshgrid(*[np.cos(angles)] * n, indexing="ij")], axis=1)
    transform = 2.0 / (degree + 1) * np.cos(np.outer(np.arange(degree + 1), angles))
    transform[0] /= 2.0
    points = np.random.default_rng(SEED).uniform(-1.0, 1.0, (CHECKED, n))
    waves = [np.cos(np.arange(degree + 1) * np.arccos(x[:, None])) for x in points.T]
    found, errors, values = [], [], []
    for t in range(times):
        at_nodes, at_points = (functions(t, low + (high - low) * (1.0 + x) / 2.0) for x in (nodes, points))
        c = at_nodes.reshape(len(at_nodes), *[degree + 1] * n) @ transform.T
        c = np.einsum("lij,ki->lkj", c, transform) if n == 2 else c
        found.append(c)
        again = np.einsum("lij,ki,kj->lk", c, *waves) if n == 2 else c @ waves[0].T
        errors.append(at_points - again)
        values.append(at_points)
    error = np.abs(errors).max() / (np.ptp(values, axis=(0, 2)).max() + 1e-300)
    if not error <= most:
        raise ValueError(f"{what} are {error:.1g} of their range off a polynomial of degree {degree}; fit them instead")
    return {"chebyshev": np.array(found), "low": low, "scale": 2.0 / (high - low)}


def evaluated(c: Constants, s: tuple[Number, ...]) -> Number:
    """Return the value at a state."""
    return at(c.chebyshev, where_in_box(c, s))


def where_in_box(c: Constants, s: tuple[Number, ...]) -> list[Number]:
    """Return a state in units of the box, -1 to 1; its edge for one beyond."""
    return [_within((x - c.low[i]) * c.scale[i] - 1.0) for i, x in enumerate(s)]


def at(coefficients: Any, u: list[Number]) -> Number:
    """Return the value of one function, by Clenshaw's recurrence b_k = c_k + 2 u b_{k+1} - b_{k+2}."""
    rows = range(DEGREES[len(u)] + 1)
    if len(u) == 1:
        return _clenshaw([coefficients[i] for i in rows], u[0])
    return _clenshaw([_clenshaw([coefficients[i, j] for j in rows], u[1]) for i in rows], u[0])


def _within(u: Number) -> Number:
    return where(u < 1.0, where(u > -1.0, u, -1.0), 1.0)


def _clenshaw(coefficients: list[Number], u: Number) -> Number:
    later: Number = 0.0
    last: Number = 0.0
    for c in coefficients[:0:-1]:
        later, last = c + 2.0 * u * later - last, later
    return coefficients[0] + u * later - last
