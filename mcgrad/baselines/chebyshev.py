"""A function of one or two states as polynomials of Chebyshev on a box, one for each time; constant beyond its edges."""

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
    n, (low, high) = V.states, V.box
    if n not in DEGREES:
        raise ValueError(f"baseline: the exact values of {n} states are no polynomials of one or two; fit them instead")
    degree = DEGREES[n]
    angles = np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    nodes = np.stack([x.ravel() for x in np.meshgrid(*[np.cos(angles)] * n, indexing="ij")], axis=1)
    transform = 2.0 / (degree + 1) * np.cos(np.outer(np.arange(degree + 1), angles))
    transform[0] /= 2.0
    points = np.random.default_rng(SEED).uniform(-1.0, 1.0, (CHECKED, n))
    waves = [np.cos(np.arange(degree + 1) * np.arccos(x[:, None])) for x in points.T]
    found, errors, values = [], [], []
    for t in range(V.horizon + 1):
        at_nodes, at_points = (V(t, low + (high - low) * (1.0 + x) / 2.0) for x in (nodes, points))
        c = transform @ at_nodes.reshape(degree + 1, -1)
        c = c @ transform.T if n == 2 else c[:, 0]
        found.append(c)
        errors.append(at_points - (np.einsum("kij,ki,kj->k", c[None], *waves) if n == 2 else waves[0] @ c))
        values.append(at_points)
    error = np.abs(errors).max() / (np.ptp(values) + 1e-300)
    if not error <= ERROR:
        raise ValueError(
            f"baseline: the exact values are {error:.1g} of their range off a polynomial of degree {degree}; fit them instead"
        )
    return {"chebyshev": PerStep(np.array(found)), "low": low, "scale": 2.0 / (high - low)}


def evaluated(c: Constants, s: tuple[Number, ...]) -> Number:
    """Return the value at a state, by Clenshaw's recurrence b_k = c_k + 2 u b_{k+1} - b_{k+2}."""
    u = [_within((x - c.low[i]) * c.scale[i] - 1.0) for i, x in enumerate(s)]
    rows = range(DEGREES[len(s)] + 1)
    if len(s) == 1:
        return _clenshaw([c.chebyshev[i] for i in rows], u[0])
    return _clenshaw([_clenshaw([c.chebyshev[i, j] for j in rows], u[1]) for i in rows], u[0])


def _within(u: Number) -> Number:
    return where(u < 1.0, where(u > -1.0, u, -1.0), 1.0)


def _clenshaw(coefficients: list[Number], u: Number) -> Number:
    later: Number = 0.0
    last: Number = 0.0
    for c in coefficients[:0:-1]:
        later, last = c + 2.0 * u * later - last, later
    return coefficients[0] + u * later - last
