"""Numbers with their errors, and lists, as text."""

from collections.abc import Sequence

import numpy as np


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return lines of cells as text in columns, the first `left` of them flush left."""
    wide = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return [
        "  ".join(
            x.ljust(w) if k < left else x.rjust(w) for k, (x, w) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in lines
    ]


def figure(x: float, error: float) -> str:
    """Return a number with its relative error: 633.9 +- 0.95%."""
    if not np.isfinite([x, error]).all() or error <= 0 or x == 0:
        return f"{x:.4g}"
    return f"{x:.4g} +- {100 * error / abs(x):.2g}%"


def within(x: float, low: float, high: float) -> str:
    """Return a number with its interval: 633.9 (632 to 636)."""
    if not np.isfinite([x, low, high]).all() or not low < high or high - low < 1e-9 * abs(x):
        return short(x, 4)
    return f"{short(x, 4)} ({interval(x, low, high)})"


def interval(x: float, low: float, high: float) -> str:
    """Return the interval of a number in as many digits as its width asks for: 632 to 636."""
    if not low < high or high - low < 1e-9 * abs(x):
        return f"{short(low, 4)} to {short(high, 4)}"
    digits = int(np.clip(np.ceil(1.5 - np.log10((high - low) / abs(x))), 2, 5)) if x and np.isfinite(high) else 2
    return f"{short(low, digits)} to {short(high, digits)}"


def short(x: float, digits: int = 2) -> str:
    """Return a number in few digits, without an exponent where it can be read without: 110 for 1.1e+02."""
    return f"{float(f'{x:.{digits}g}'):.6g}"


def listed(names: Sequence[str]) -> str:
    """Return names as a phrase: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
