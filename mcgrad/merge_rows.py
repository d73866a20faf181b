"""Rows of a study from two ranges of trajectories, made one: what `--more` does.

A row of moments says all that the moments of both ranges together need, but for the third one, of which both have the same to
sampling error: what the kurtosis loses by that is of order 1 / count.
"""

import math
from typing import Any, TypeAlias, TypeGuard

Row: TypeAlias = dict[str, Any]  # of the table of a study, column by column

MOMENTS = ("mean", "stderr", "variance", "variance_stderr", "kurtosis")
ADDED = ("count", "nonfinite")
CLOSE = 1e-9  # what is exact may differ in the last bits between processors


class Misfit(ValueError):
    """What is asked of a study does not fit it, or the results that are there."""


def merged(name: str, first: Row, second: Row) -> Row:
    """Return the row of both ranges together.

    Parameters
    ----------
    name : str
        Of the study, for messages.
    first, second : dict
        Rows of the same setting, estimator and parameter; `start` is that of the first.

    Raises
    ------
    Misfit
        Where something else differs than what was measured: this study cannot be added to row by row.
    """
    both = set(first) | set(second)
    for key in sorted(both - {*MOMENTS, *ADDED, "start"}):
        if not _same(first.get(key), second.get(key)):
            raise Misfit(
                f"{name}: --more can add moments of gradients alone, but {key} depends on the trajectories as well (or on the "
                f"time it took): {first.get(key)!r} and {second.get(key)!r}; run it anew with a larger count"
            )
    if not second.get("count"):
        return dict(first)
    row = dict(first)
    for key in ADDED:
        row[key] = first[key] + second[key]
    return row | _moments(first, second)


def _moments(a: Row, b: Row) -> dict[str, float | None]:
    """Return the moments of both, by the formulas of Chan, Golub and LeVeque (1979) and Pebay (2008)."""
    (na, nb), d = (a["count"], b["count"]), b["mean"] - a["mean"]
    n = na + nb
    squares_a, squares_b = (na - 1) * a["variance"], (nb - 1) * b["variance"]
    squares = squares_a + squares_b + d * d * na * nb / n
    variance = squares / (n - 1)
    found = {"mean": a["mean"] + d * nb / n, "stderr": math.sqrt(variance / n), "variance": variance}
    if not squares:
        return found | {"variance_stderr": 0.0, "kurtosis": None}
    fourth = sum((k or 0.0) * x * x / m for k, x, m in ((a["kurtosis"], squares_a, na), (b["kurtosis"], squares_b, nb)))
    fourth += d**4 * na * nb * (na * na - na * nb + nb * nb) / n**3
    fourth += 6.0 * d * d * (na * na * squares_b + nb * nb * squares_a) / n**2
    of_variance = max(fourth / n - variance**2 * (n - 3) / (n - 1), 0.0) / n
    return found | {"variance_stderr": math.sqrt(of_variance), "kurtosis": n * fourth / squares**2}


def _same(x: object, y: object) -> bool:
    if _is_number(x) and _is_number(y):
        return math.isclose(x, y, rel_tol=CLOSE, abs_tol=1e-300) or (math.isnan(x) and math.isnan(y))
    return x == y


def _is_number(x: object) -> TypeGuard[float]:
    return isinstance(x, (int, float)) and not isinstance(x, bool)
