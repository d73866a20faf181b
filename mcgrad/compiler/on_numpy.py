"""The text of a kernel on NumPy arrays, an element for each trajectory: the reference and the debugger."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import noise
from .operations import CONSTANTS, FUNCTIONS


def made(text: str, functions: Iterable[str], precision: str) -> Callable[..., Any]:
    """Return the `kernel` of a text whose functions have these names."""
    meaning, number = names(), np.float64
    if precision == "single":
        meaning = {k: _rounded(f) if callable(f) and k not in MEMORY else f for k, f in meaning.items()}
        number = np.float32
    exec(compile(text, "<kernel>", "exec"), meaning)
    for name in functions:
        meaning[name] = _results(meaning[name], number)
    kernel: Callable[..., Any] = meaning["kernel"]
    if precision == "double":
        return kernel

    def rounded(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
        arrays = (x.astype(np.float32) for x in (theta, p, c, rows))
        points, work = points.astype(np.float32), np.empty(work.shape, np.float32)
        kernel(*arrays, seed, first, blocks, width, horizon, points, work, out, stop)

    return rounded


# What moves numbers as they are; all else that the kernels of NumPy call is computed in float64 and rounded.
MEMORY = ("position", "stream", "take", "give", "put", "point", "scatter", "tail", "total", "any_positive")


def _rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function return float32 for float64."""

    def single(x):
        return x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x

    def call(*arguments):
        results = function(*arguments)
        return tuple(map(single, results)) if isinstance(results, tuple) else single(results)

    return call


def names() -> dict[str, Any]:
    """Return what the names of a kernel's text mean, see `backends`."""

    def position(first, b, width):
        return first + np.uint64(b * width) + np.arange(width, dtype=np.uint64)

    def give(row, k, value):
        row[k] = value

    def put(out, q, b, value):
        out[q] = value

    def lookup(array, first, stride, size, index):
        inside = (index >= 0) & (index < size)
        if isinstance(array, tuple):  # parameters that differ between trajectories; the index may be one for all
            *rows, index = np.broadcast_arrays(*array[first : first + stride * size : stride], index)
            there = np.where(inside, index, 0).astype(np.int64)
            return np.where(inside, np.take_along_axis(np.stack(rows), there[None], axis=0)[0], np.nan)
        return np.where(inside, array[first + stride * np.where(inside, index, 0).astype(np.int64)], np.nan)

    own = {"where": np.where, "normal_pair": noise.normal_pair_numpy, "position": position, "stream": noise.stream}
    own |= {
        "take": lambda row, k: row[k],
        "total": lambda totals, k: totals[k],
        "give": give,
        "put": put,
        "point": lambda points, k, b: points[k],
    }

    def scatter(totals, first, size, index, x):
        lanes = np.nonzero(np.broadcast_to((index >= 0) & (index < size), totals.shape[1:]))[0]
        index, x = (np.broadcast_to(y, totals.shape[1:])[lanes] for y in (index, x))
        np.add.at(totals, (first + index.astype(np.int64), lanes), x)

    own |= {"scatter": scatter, "tail": lambda work, horizon: work[horizon:].reshape(-1, work.shape[2])}
    own |= {"lookup": lookup, "uniform": noise.uniform_numpy, "any_positive": lambda x: np.any(x[0] > 0)}
    return FUNCTIONS | CONSTANTS | own


def _results(function: Callable[..., Any], number: type[np.floating]) -> Callable[..., Any]:
    """Let a function return NumPy numbers for Python's, whose division by zero is an error."""

    def call(*arguments):
        results = function(*arguments)
        return results and tuple(number(x) if isinstance(x, float) else x for x in results)

    return call
