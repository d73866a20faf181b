"""Calls of users' functions on tracers: what they return is checked, and what goes wrong names the function and the line."""

import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import numpy as np

from .compiler.errors import TraceError, is_users, place_of, stated
from .compiler.known_functions import traceable
from .compiler.namespaces import rebind
from .compiler.trace import Number, Tracer, is_number
from .validate import describe

# How a user's function is called, by the first word of what it is.
_SIGNATURES = {
    "init": "init(p, z)",
    "step": "step(p, s, a, w)",
    "reward": "reward(p, s, a, s_next, w)",
    "terminal": "terminal(p, s)",
    "done": "done(p, s)",
    "eta": "eta(p, theta, s)",
    "sample": "sample(p, eta, e)",
    "log_prob": "log_prob(p, eta, a)",
    "score": "score(p, eta, a, e)",
    "baseline": "baseline(p, s)",
}

_steady: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()  # functions that have returned the same twice


def call(what: str, function: Callable[..., Any], arguments: tuple[Any, ...], count: int | str | None) -> Any:
    """Call a user's function on tracers and check its results; an error names the function and the line.

    Parameters
    ----------
    count : int, None or "any"
        How many numbers are expected, as a tuple; None: one number; "any": a tuple of any length.
    """
    signature = _SIGNATURES.get(what.split()[0])
    if function in _steady:
        result = again = attempt(what, function, arguments, signature)
    else:
        result, again = attempt(what, lambda *a: _twice(rebind(function), a), arguments, signature, rebound=True)
    if result is not again and not _alike(result, again):
        raise TraceError(
            f"{what}{_definition(function)}: called twice with the same arguments, it returned something else. A function "
            "is run once to be compiled: what it counts, keeps, draws or reads from outside would be the same on every "
            "trajectory. Pass on what changes as a component of the state, and draw from the noise that it is given."
        )
    if isinstance(function, types.FunctionType):
        _steady.add(function)
    what += _definition(function)
    if isinstance(result, np.ndarray) and result.ndim == 0:
        result = result[()]
    if count is None:
        if not _is_scalar(result):
            hint = "; write x[0] instead of x" if isinstance(result, (tuple, list, np.ndarray)) else ""
            raise TraceError(f"{what}: expected one number, got {_describe(result)}{hint}")
        _check_graph(arguments, [result])
        return result
    if isinstance(result, np.ndarray) and result.ndim == 1:
        result = tuple(result)
    wanted = "a tuple of numbers" if count == "any" else f"a tuple of {count} numbers"
    if not isinstance(result, tuple):
        hint = "; write `return (x,)`" if _is_scalar(result) else "; write `return (x, y, ...)` or `return tuple(...)`"
        raise TraceError(f"{what}: expected {wanted}, got {_describe(result)}{hint}")
    if count != "any" and len(result) != count:
        raise TraceError(f"{what}: expected {wanted}, got {len(result)} of them")
    for i, x in enumerate(result):
        if not _is_scalar(x):
            raise TraceError(f"{what}: expected numbers, got {_describe(x)} as number {i} of its result")
    _check_graph(arguments, result)
    return result


def _check_graph(arguments: tuple[Any, ...], results: Sequence[Number]) -> None:
    """Refuse results that were computed from the arguments of another call."""
    for x in arguments:
        if isinstance(x, tuple) and x and isinstance(x[0], Tracer):
            x[0].graph.check(results)


def _twice(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    return function(*arguments), function(*arguments)


def attempt(
    what: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    signature: str | None = None,
    rebound: bool = False,
) -> Any:
    """Call a user's function on tracers; whatever goes wrong becomes a TraceError that names the function and the line.

    Parameters
    ----------
    signature : str, optional
        How the function should be written, for one that does not take these arguments.
    rebound : bool
        Whether `rebind` has been called for it.
    """
    failed: Exception
    try:
        with stated():
            return (function if rebound else rebind(function))(*arguments)
    except ValueError as error:
        # Our own messages, or those of a check of the user's own, or of NumPy: the first say it all.
        if isinstance(error, TraceError) or not _where(error):
            raise
        failed = error
    except Exception as error:
        failed = error
    place = _where(failed)
    if isinstance(failed, TypeError) and not place and signature:
        hint = f"it is called as {signature}"
    else:
        hint = f"what it is given are traced values, not floats; what can be traced: {traceable()}"
    raise TraceError(f"{place}{what}: {type(failed).__name__} while tracing it: {failed}; {hint}") from failed


def _alike(a: object, b: object) -> bool:
    """Tell whether two results are the same tracers and numbers."""
    a, b = (x.tolist() if isinstance(x, np.ndarray) else x for x in (a, b))
    if isinstance(a, (tuple, list)):
        return isinstance(b, (tuple, list)) and len(a) == len(b) and all(map(_alike, a, b))
    if is_number(a) and is_number(b):
        return a == b or (a != a and b != b)
    if isinstance(a, Tracer) and isinstance(b, Tracer):
        return a.graph is b.graph and a.index == b.index
    return type(a) is type(b)


def _where(error: BaseException) -> str:
    """Return "in name, file:line: source" for the innermost frame of the user's where an error arose, or ""."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        if is_users(trace.tb_frame):
            place = place_of(trace.tb_frame, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _definition(function: object) -> str:
    """Return " (name, file:line)", where a function is defined, or ""."""
    code = getattr(function, "__code__", None)
    return f" ({code.co_name}, {code.co_filename}:{code.co_firstlineno})" if code else ""


def _is_scalar(x: object) -> TypeGuard[Number]:
    return isinstance(x, Tracer) or is_number(x)


def _describe(x: object) -> str:
    if x is None:
        return "None (is there a `return`?)"
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    return describe(x)


def number(x: Any, what: str = "result") -> Number:
    """Return a tracer that is a number: conditions count as 0 or 1; an error says what should have been one."""
    if not _is_scalar(x):
        raise TraceError(f"{what}: expected a number, got {_describe(x)}")
    return x + 0.0 if not isinstance(x, Tracer) else (x * 1.0 if x.is_boolean else x)
