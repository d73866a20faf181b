"""Check what users pass in: every message names the argument, what was expected and what came."""

import inspect
import keyword
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Kernels are straight-line code with a line for each number: nothing larger than this is ever meant.
LARGEST = 10_000  # states, actions, noises, choices, hidden units
PARAMETERS = 1_000_000


def shape(value: Any) -> tuple[int, ...]:
    """Return the shape of a value that may be an array, () for what is none: rows of different lengths, any object."""
    try:
        return np.shape(value)
    except MemoryError:
        raise
    except Exception:  # what is no array may raise anything
        return ()


def array(name: str, value: Any, shape: tuple[int | None, ...] | None = None) -> NDArray[np.float64]:
    """Return a value as a finite float64 array of its own; `shape` may hold None for any length."""
    try:
        given = np.asarray(value)
        # NumPy would take "1.5" for a number, None for NaN, and a masked element for what lies under the mask.
        large = given.dtype.kind == "O" and all(type(x) is int for x in given.flat)  # beyond 64 bits
        if not (given.dtype.kind in "biuf" or large) or np.ma.isMaskedArray(value):
            raise TypeError
        # A copy: what a problem was built from may be changed later without changing the problem.
        out = np.array(given, dtype=np.float64)
    except MemoryError:
        raise
    except Exception:  # what is no array may raise anything
        raise ValueError(f"{name}: expected real numbers, got {describe(value)}") from None
    if shape is not None:
        fits = out.ndim == len(shape) and all(k is None or k == j for j, k in zip(out.shape, shape, strict=True))
        if not fits:
            wanted = (
                "(" + ", ".join("any" if k is None else str(k) for k in shape) + ("," if len(shape) == 1 else "") + ")"
            )
            raise ValueError(f"{name}: expected shape {wanted}, got {out.shape}")
    if not np.isfinite(out).all():
        raise ValueError(f"{name}: expected finite numbers, got {describe(value)}")
    return out


def number(
    name: str, value: Any, low: float | None = None, high: float | None = None, above: float | None = None
) -> float:
    """Return a finite float within [low, high] and greater than `above`."""
    out = float(array(name, value, ()))
    wanted = (
        [f">= {low}"] * (low is not None) + [f"<= {high}"] * (high is not None) + [f"> {above}"] * (above is not None)
    )
    if (low is not None and out < low) or (high is not None and out > high) or (above is not None and out <= above):
        raise ValueError(f"{name}: expected a number {' and '.join(wanted)}, got {out!r}")
    return out


def widths(name: str, value: Any) -> float | tuple[float, ...]:
    """Return a number > 0, or a tuple of them: one for each parameter."""
    out = array(name, value)
    if out.ndim == 0:
        return number(name, value, above=0.0)
    if out.ndim > 1 or not out.size or (out <= 0.0).any():
        raise ValueError(f"{name}: expected a number > 0, or one for each parameter, got {describe(value)}")
    return tuple(out.tolist())


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return an int within [low, high]; 1e6 is accepted, 1.5 and True are not."""
    whole = isinstance(value, (int, np.integer)) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, (bool, np.bool_)) or not whole:
        raise ValueError(f"{name}: expected a whole number, got {describe(value)}")
    out = int(value)
    if out < low or (high is not None and out > high):
        wanted = f">= {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: expected a whole number {wanted}, got {out}")
    return out


def name(what: str, value: Any) -> str:
    """Return a name that becomes part of the text of kernels, and so has to be one: p.name, and never code."""
    good = isinstance(value, str) and value.isidentifier() and not keyword.iskeyword(value)
    # Python reads a name by its NFKC form: two names of one form would be one.
    if not good or value.startswith("_") or unicodedata.normalize("NFKC", value) != value:
        raise ValueError(
            f"{what}: expected names that can be written as p.name (without _ in front, in Unicode's form NFKC), got {value!r}"
        )
    return value


def size(name: str, value: Any, low: int = 1) -> int:
    """Return how many numbers there are of something, at least `low`; see `LARGEST`."""
    out = integer(name, value, low)
    if out > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST}, got {out}: kernels have a line of code for each")
    return out


def parameters(count: int) -> None:
    """Check how many components theta has, before a name is made for each."""
    if count > PARAMETERS:
        raise ValueError(f"parameters: expected at most {PARAMETERS} components of theta, got {count}")


def one_of(name: str, value: Any, words: Sequence[str]) -> str:
    """Return one of some words."""
    if not isinstance(value, str) or value not in words:
        *first, last = map(repr, words)
        raise ValueError(f"{name}: expected {', '.join(first)} or {last}, got {describe(value)}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}: expected True or False, got {describe(value)}")
    return bool(value)


def sequence(name: str, value: Any, what: str) -> tuple[Any, ...]:
    """Return a tuple of what can be iterated over, words excepted."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return tuple(value)
    except TypeError:
        raise ValueError(f"{name}: expected a sequence of {what}, got {describe(value)}") from None


def function(name: str, value: Any, optional: bool = False, takes: tuple[str, ...] | None = None) -> Any:
    """Return a callable; one that takes the arguments that are named, where Python can tell."""
    if not callable(value) and not (optional and value is None):
        raise ValueError(f"{name}: expected a function, got {describe(value)}")
    if takes is not None:
        if isinstance(value, type):
            raise ValueError(f"{name}: expected a function of ({', '.join(takes)}), got {describe(value)}")
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # what is written in C may not say
            return value
        try:
            signature.bind(*takes)
        except TypeError:
            raise ValueError(f"{name}: expected a function of ({', '.join(takes)}), got one of {signature}") from None
    return value


def probabilities(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an array whose last axis holds probabilities."""
    if (values < 0).any():
        raise ValueError(f"{name}: expected probabilities >= 0, got {values.min():.3g}")
    sums = values.sum(axis=-1)
    if np.abs(sums - 1.0).max(initial=0.0) > 1e-9:
        worst = float(sums.flat[np.argmax(np.abs(sums - 1.0))])
        raise ValueError(f"{name}: expected probabilities that sum to 1, got a sum of {worst!r}")
    return values


def text(name: str, value: Any) -> str | None:
    """Return a sentence, or None."""
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ValueError(f"{name}: expected a sentence or None, got {describe(value)}")
    return value


def interval(name: str, value: Any, m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (low, high), arrays (m,) of finite numbers with low < high, from a pair of numbers or of such arrays."""
    if not isinstance(value, (tuple, list, np.ndarray)) or getattr(value, "shape", (2,)) == () or len(value) != 2:
        raise ValueError(f"{name}: expected a pair (low, high), got {describe(value)}")
    low, high = (array(f"{name}[{k}]", x) for k, x in enumerate(value))
    for k, x in enumerate((low, high)):
        if x.ndim and x.shape != (m,):
            raise ValueError(f"{name}[{k}]: expected a number or shape ({m},), got {x.shape}")
    low, high = (np.broadcast_to(x, (m,)).copy() for x in (low, high))
    if not (low < high).all():
        raise ValueError(f"{name}: expected low < high, got {low.tolist()} and {high.tolist()}")
    return low, high


def symmetric(name: str, value: Any, n: int) -> NDArray[np.float64]:
    """Return a symmetric (n, n) matrix."""
    out = array(name, value, (n, n))
    if not np.allclose(out, out.T, rtol=1e-10, atol=1e-12 * np.abs(out).max(initial=0.0)):
        raise ValueError(
            f"{name}: expected a symmetric matrix, got one that differs from its transpose by "
            f"{np.abs(out - out.T).max():.3g}"
        )
    return (out + out.T) / 2


def covariance(name: str, value: Any, n: int) -> NDArray[np.float64]:
    """Return a symmetric positive semidefinite (n, n) matrix."""
    out = symmetric(name, value, n)
    smallest = np.linalg.eigvalsh(out)[0] if n else 0.0
    if smallest < -1e-10 * np.abs(out).max(initial=0.0):
        raise ValueError(f"{name}: expected a positive semidefinite matrix, got one with eigenvalue {smallest:.3g}")
    return out


def factor(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a lower triangular L with L L^T = cov, for a covariance that may be singular."""
    try:
        return np.asarray(np.linalg.cholesky(cov), np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        lower = np.linalg.qr(root.T, mode="reduced").R.T
        return lower * np.where(np.diag(lower) < 0, -1.0, 1.0)


def describe(value: Any) -> str:
    """Return a short description of a value for a message."""
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{type(value).__name__} {' '.join(text.split())}"
