"""What a person sees of things at a prompt: a few readable words, never arrays in full and addresses of functions.

Estimators, baselines and critics print as the calls that made them, `reward_to_go(baseline=value())`.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")

MOST = 4  # numbers of an array that are shown


class AsCalled:
    """Derive from it: what prints as the call that made it, see `as_called`, or else as its class with what is no default."""

    def __repr__(self) -> str:
        call: str | None = vars(self).get("_call")
        return changed(self) if call is None else call


def as_called(make: Callable[P, T]) -> Callable[P, T]:
    """Return a function whose result, an `AsCalled`, remembers how it was called, for people: nothing else depends on it."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        found = make(*args, **kwargs)
        if not any(found is x for x in args):
            words = [shown(x) for x in args] + [f"{k}={shown(x)}" for k, x in kwargs.items()]
            object.__setattr__(found, "_call", f"{make.__name__}({', '.join(words)})")
        return found

    return made


def changed(thing: Any) -> str:
    """Return a record with those of its fields that differ from their defaults."""
    words = []
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if field.default is dataclasses.MISSING or not (value is field.default or shown(value) == shown(field.default)):
            words.append(f"{field.name}={shown(value)}")
    return f"{type(thing).__name__}({', '.join(words)})"


def shown(x: Any) -> str:
    """Return a value in a few words."""
    if isinstance(x, types.FunctionType):
        return x.__name__.strip("<>")
    if isinstance(x, Mapping):
        return f"{{{', '.join(f'{k!r}: {shown(v)}' for k, v in x.items())}}}"
    if isinstance(x, (tuple, list)) and not all(isinstance(y, (int, float)) for y in x):
        return f"({', '.join(map(shown, x))}{',' * (len(x) == 1)})" if len(x) <= MOST else f"{len(x)} of them"
    if isinstance(x, (tuple, list, np.ndarray)):
        return numbers(x)
    if type(x) is int:
        return f"{x:_}" if x >= 10**5 else str(x)
    if isinstance(x, (float, np.floating)):
        return f"{x:g}" if float(f"{x:g}") == x else repr(float(x))
    text = " ".join(repr(x).split())
    return text if isinstance(x, AsCalled) or len(text) <= 80 else f"{text[:77]}..."


def numbers(x: Any) -> str:
    """Return an array in a few words: a vector's first numbers, else its shape."""
    x = np.asarray(x)
    if x.ndim != 1:
        return figure(x.item()) if x.ndim == 0 else f"array {x.shape}"
    first = ", ".join(figure(y) for y in x[:MOST])
    return f"[{first}{f', ... ({len(x)})' if len(x) > MOST else ''}]"


def figure(x: Any) -> str:
    """Return a number in six digits; a whole one beyond the range of floats as infinity, and what is no number as it is."""
    try:
        return f"{x:.6g}"
    except OverflowError:
        return "inf" if x > 0 else "-inf"
    except (TypeError, ValueError):
        return repr(x)


def outline(title: str, things: Mapping[str, Any]) -> str:
    """Return a title and a line for each thing that there is: short arrays in full, of others the shape and the range."""
    there = {name: _thing(x) for name, x in things.items() if x is not None}
    wide = max(map(len, there), default=0)
    return "\n".join([title, *(f"  {name:<{wide}}  {text}" for name, text in there.items())])


def _thing(x: Any) -> str:
    if isinstance(x, str):
        return x
    if not isinstance(x, np.ndarray) or x.ndim == 0 or (x.ndim == 1 and len(x) <= MOST):
        return f"{x:.8g}" if isinstance(x, float) else shown(x)
    if x.dtype == bool:
        return f"{x.shape}, {x.sum()} of {x.size} true"
    finite = x[np.isfinite(x)]
    lost = "" if finite.size == x.size else f", {x.size - finite.size} not finite"
    if not finite.size:
        return f"{x.shape}{lost}"
    low, high = finite.min(), finite.max()
    return f"{x.shape}, {f'{low:.4g} to {high:.4g}' if low < high else f'all {low:.4g}'}{lost}"


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what[:-1]}ies" if what[-1] == "y" else f"{number:,} {what}s"
