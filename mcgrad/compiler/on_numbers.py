"""The text of a kernel on plain numbers, compiled by Numba's public interface alone: the portable fallback."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numba
import numpy as np

from . import noise, special
from .operations import CONSTANTS, FUNCTIONS
from .with_numba import compile_function

# Fused multiply-add is allowed, nothing else.
OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


def built(text: str, functions: Iterable[str], arguments: Sequence[str]) -> tuple[bytes, list[str]]:
    """Return the object file of a kernel whose functions have these names, see `cache.load`."""
    namespace = names() | {"__name__": __name__}
    exec(compile(text, "<kernel>", "exec"), namespace)
    inline = numba.njit(forceinline=True, **OPTIONS)
    for name in functions:
        namespace[name] = inline(namespace[name])
    return compile_function(namespace["kernel"], OPTIONS, arguments)


def _position(first: Any, b: Any, width: Any) -> Any:
    return first + np.uint64(b * width)


def _where(condition: Any, a: Any, b: Any) -> Any:
    return a if condition else b


def _take(row: Any, k: Any) -> Any:
    return row[k]


def _total(totals: Any, k: Any) -> Any:
    return totals[k]


def _give(row: Any, k: Any, value: Any) -> Any:
    row[k] = value


def _put(out: Any, q: Any, b: Any, value: Any) -> Any:
    out[q, b] = value


def _lookup(array: Any, first: Any, stride: Any, size: Any, index: Any) -> Any:
    inside = (index >= 0.0) & (index < size)
    return array[first + stride * int(index)] if inside else np.nan


def _scatter(totals: Any, first: Any, size: Any, index: Any, x: Any) -> Any:
    if index >= 0.0 and index < size:
        totals[first + int(index)] += x


def _tail(work: Any, horizon: Any) -> Any:
    return work[horizon:].reshape(-1)


def _point(points: Any, k: Any, b: Any) -> Any:
    return points[k, b]


def _any_positive(x: Any) -> Any:
    return x[0] > 0.0


@functools.cache
def _inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    return numba.njit(forceinline=True, **OPTIONS)(function)


@functools.cache
def _spelled_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose text is put where it is called: one that returns an array, which code without memory may not."""
    return numba.njit(inline="always", **OPTIONS)(function)


@functools.cache
def names() -> dict[str, Any]:
    """Return what the names of a kernel's text mean, see `backends`."""
    # `normal_pair` calls `word`, which calls `mix`: compile copies that refer to compiled callees.
    inline = numba.njit(forceinline=True, **OPTIONS)
    words = {**vars(noise), "mix": inline(noise.mix)}
    words["word"] = inline(_with_globals(noise.word, words))
    numbers = {"normal_pair": noise.normal_pair_scalar, "uniform": noise.uniform_scalar}
    numbers = {name: inline(_with_globals(function, words)) for name, function in numbers.items()}
    numbers |= special.on_machine({"where": _inlined(_where)}, numba.njit(**OPTIONS), inline)
    own = {"where": _where, "position": _position, "stream": noise.stream, "take": _take, "give": _give, "put": _put}
    own |= {"scatter": _scatter, "total": _total, "lookup": _lookup, "point": _point, "any_positive": _any_positive}
    own = {k: _inlined(f) for k, f in own.items()} | {"tail": _spelled_out(_tail)}
    return FUNCTIONS | CONSTANTS | numbers | own


def _with_globals(function: Any, namespace: dict[str, Any]) -> Any:
    return type(function)(function.__code__, namespace, function.__name__)
