"""A traced graph on intervals of one number of noise: what is known of its outputs wherever in an interval that number is.

Each value is a `Span`: the least and the largest that it can be, row by row, and what of it is open. So whether a comparison
is decided in an interval is proved and not sampled: no threshold is missed, however close to another one.

Moore, Kearfott and Cloud (2009), Introduction to interval analysis, chapter 5. Rounding is not directed: what it can change has
a probability below 1e-14.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...compiler.emit import live_nodes
from ...compiler.operations import COMPARISONS, LOGIC, OPERATIONS, SAME_VALUE
from ...compiler.table import Names
from ...compiler.trace import Graph, Tracer
from ..theory import NoClosedForm
from .ring import Array, Values, whole

Marks: TypeAlias = NDArray[np.uint64]
Flags: TypeAlias = NDArray[np.uint8]

# What a value is, as bits. VARIES: it moves with the noise, in the interval; OPEN: a decision that the noise has a part in is
# not made in the whole interval; LATER: it depends on other noise; JOINT: the noise and other noise decide something together.
VARIES, OPEN, LATER, JOINT = (np.uint8(x) for x in (1, 2, 4, 8))
INCREASING = {"exp", "expm1", "log", "log1p", "sqrt", "tanh", "cbrt", "arctanh", "arcsinh", "arccosh", "expit", "logit"}
INCREASING |= {"erf", "ndtr", "log_ndtr", "ndtri", "erfinv"}
DECREASING = {"erfc", "erfcx"}
STEPS = {"floor": (np.floor, 0.0), "trunc": (np.trunc, 0.0), "rint": (np.rint, 0.5)}  # and where steps are, mod 1
DIVISIONS = {"remainder", "fmod", "floor_divide"}
WAVES = {"sin": 0.25, "cos": 0.0}  # at which part of a turn the largest value is
NONE = np.zeros(1, np.uint8)


class Span:
    """Values that lie between two bounds, (R,) or (1,) each.

    Attributes
    ----------
    low, high : arrays
        The same object where it is one number.
    flags : array of uint8
        See VARIES, OPEN, LATER and JOINT.
    mark : array of uint64, or None
        Equal marks mean equal functions of the noise; None is the number itself.
    """

    def __init__(self, low: Any, high: Any, flags: Any = NONE, mark: Any = None) -> None:
        self.low, self.high, self.flags, self._mark = low, high, flags, mark

    @property
    def mark(self) -> Any:
        """Return the marks, numbers standing for themselves."""
        own = (np.asarray(self.low, float) + 0.0).view(np.uint64)
        return own if self._mark is None else np.where(self.low == self.high, own, self._mark)

    def __mul__(self, other: Span) -> Span:
        return Spans({}).apply("*", [self, other])

    def __neg__(self) -> Span:
        return Spans({}).apply("neg", [self])

    def __rsub__(self, other: float) -> Span:
        return Spans({}).apply("-", [point(other), self])


def point(x: Any) -> Span:
    """Return numbers as they are."""
    x = np.atleast_1d(np.asarray(x, float))
    return Span(x, x)


def named(name: str) -> Marks:
    """Return the mark of something that has a name."""
    return np.array([zlib.crc32(name.encode())], dtype=np.uint64)


def unknown(name: str, low: float = -np.inf, high: float = np.inf, flags: Any = NONE) -> Span:
    """Return what lies somewhere between two numbers."""
    return Span(np.array([low]), np.array([high]), np.atleast_1d(flags), named(name))


def mixed(operation: str, marks: Iterable[Any]) -> Any:
    """Return a mark that is made of others."""
    total = named(operation)
    for x in marks:
        total = (total ^ x) * np.uint64(0x9E3779B97F4A7C15)
        total = total ^ (total >> np.uint64(29))
    return total


class Spans:
    """Evaluates graphs, and notes where in an interval the first decision that is open may change sides.

    Parameters
    ----------
    values : dict
        Input name -> `Span`; whatever else is read is an error.
    tables : dict, optional
        Where tables of numbers are kept for other intervals.

    Attributes
    ----------
    places : list of arrays
        Guesses of such places, as parts of the interval, NaN where there is none.
    """

    def __init__(self, values: Values, tables: dict[tuple[int, int], Array] | None = None) -> None:
        self.values, self.tables = values, {} if tables is None else tables
        self.places: list[Array] = []

    def run(self, graph: Graph, outputs: Sequence[Any], known: dict[int, Span] | None = None) -> list[Span]:
        """Return the outputs of a graph, of which some nodes may be known."""
        known = {} if known is None else known

        def of(x: Any) -> Span:
            return known[x.index] if isinstance(x, Tracer) else point(x)

        with np.errstate(all="ignore"):
            for i in live_nodes(graph, outputs, known):
                if i in known:
                    continue
                operation, arguments = graph.nodes[i]
                if operation == "input":
                    known[i] = self._read(arguments[0])
                elif operation == "lookup":
                    known[i] = self._lookup(graph, i, of(arguments[0]), arguments[1:], known)
                elif operation in SAME_VALUE:
                    known[i] = of(arguments[0])
                else:
                    known[i] = self.apply(operation, [of(x) for x in arguments])
        return [of(x) for x in outputs]

    def _read(self, name: str) -> Span:
        if name not in self.values:
            raise NoClosedForm(f"no table of states: {name} is read, which no step of the chain knows")
        return self.values[name]

    def apply(self, operation: str, args: list[Span]) -> Span:
        """Return an operation of spans."""
        if all(x.low is x.high for x in args):
            x = np.atleast_1d(OPERATIONS[operation](*(a.low for a in args)))
            return Span(x, x)
        if operation == "where":
            return self._where(*args)
        flags = args[0].flags
        for a in args[1:]:
            flags = flags | a.flags
        if operation in COMPARISONS:
            return self._compared(operation, args[0], args[1], flags)
        if operation in LOGIC:
            low, high = OPERATIONS[operation](*(a.low for a in args)), OPERATIONS[operation](*(a.high for a in args))
            low, high = (high, low) if operation == "~" else (low, high)
            return _decided(low, high, flags, mixed(operation, (a.mark for a in args)))
        if operation in STEPS:
            return self._stepped(operation, args[0], flags)
        if operation in ("minimum", "maximum"):
            first = self._compared("<=" if operation == "minimum" else ">=", args[0], args[1], flags)
            return self._where(first, *args)
        if operation == "absolute":
            return self._where(self._compared(">=", args[0], point(0.0), flags), args[0], self.apply("neg", args))
        if operation == "copysign":
            size, sign = self.apply("absolute", args[:1]), self._compared(">=", args[1], point(0.0), args[1].flags)
            return self._where(sign, size, self.apply("neg", [size]))
        if operation in DIVISIONS:
            return self._divided(operation, *args)
        low, high = _bounds(operation, args)
        same = args[0].low == args[0].high
        for a in args[1:]:
            same = same & (a.low == a.high)
        own = OPERATIONS[operation](*(a.low for a in args))  # numbers stay what they are, NaN among them
        low = np.where(same, own, np.where(np.isnan(low), -np.inf, low))
        high = np.where(same, own, np.where(np.isnan(high), np.inf, high))
        flags = np.where(low == high, flags & ~VARIES, flags)
        return Span(low, high, flags, mixed(operation, (a.mark for a in args)))

    def decided(self, operation: str, args: list[Span]) -> Span:
        """Return the decision that an operation makes: on which side of a kink or jump its arguments are."""
        if operation in STEPS:
            return self.apply(operation, args)
        if operation in DIVISIONS:
            return self._turns(operation, args)
        if operation == "copysign":
            args = args[1:]
        return self.apply(operation if operation in COMPARISONS else "<", [*args, point(0.0)][:2])

    def _compared(self, operation: str, a: Span, b: Span, flags: Any) -> Span:
        if operation in (">", ">="):
            a, b, operation = b, a, {">": "<", ">=": "<="}[operation]
        if operation in ("==", "!="):
            low = (a.low == a.high) & (b.low == b.high) & (a.low == b.low)
            high = (a.low <= b.high) & (b.low <= a.high)
            low, high = (low, high) if operation == "==" else (~high, ~low)
        else:
            low, high = OPERATIONS[operation](a.high, b.low), OPERATIONS[operation](a.low, b.high)
        self._note(low == high, a.low - b.high, a.high - b.low, flags)
        return _decided(low, high, _opened(flags, low == high), mixed(operation, (a.mark, b.mark)))

    def _stepped(self, operation: str, x: Span, flags: Any) -> Span:
        function, at = STEPS[operation]
        low, high = function(x.low), function(x.high)
        middle = np.clip(np.rint((x.low + x.high) / 2 - at), np.floor(x.low - at) + 1.0, np.floor(x.high - at)) + at
        self._note(low == high, x.low - middle, x.high - middle, flags)
        return _decided(low, high, _opened(flags, low == high), mixed(operation, [x.mark]))

    def _turns(self, operation: str, args: list[Span]) -> Span:
        return self.apply("trunc" if operation == "fmod" else "floor", [self.apply("/", args)])

    def _divided(self, operation: str, a: Span, b: Span) -> Span:
        turns = self._turns(operation, [a, b])
        if operation == "floor_divide":
            return turns
        return self.apply("-", [a, self.apply("*", [b, turns])])

    def _where(self, condition: Span, a: Span, b: Span) -> Span:
        yes, no = condition.low.astype(bool), ~condition.high.astype(bool)
        both_low, both_high = np.minimum(a.low, b.low), np.maximum(a.high, b.high)
        both_low, both_high = (np.where(np.isnan(x), y, x) for x, y in ((both_low, -np.inf), (both_high, np.inf)))
        low = np.where(yes, a.low, np.where(no, b.low, both_low))
        high = np.where(yes, a.high, np.where(no, b.high, both_high))
        flags = np.where(yes, a.flags, np.where(no, b.flags, a.flags | b.flags | condition.flags))
        mark = mixed("where", (condition.mark, a.mark, b.mark))
        return Span(low, high, flags, np.where(yes, a.mark, np.where(no, b.mark, mark)))

    def _lookup(self, graph: Graph, node: int, index: Span, arguments: Sequence[Any], known: dict[int, Span]) -> Span:
        key = id(graph), node
        table = self.tables.get(key)
        if table is None:
            if isinstance(arguments[0], Names):
                elements = [self._read(x) for x in arguments[0].names]
            else:
                elements = self.run(graph, arguments, known)
            if not all(x.low is x.high and len(x.low) == 1 for x in elements):  # computed: each where it is read
                found = point(np.nan)
                for k, x in enumerate(elements):
                    found = self._where(self._compared("==", index, point(float(k)), index.flags), x, found)
                return found
            table = self.tables[key] = np.array([x.low[0] for x in elements])
        here = index.low == index.high
        place = whole(np.where(here, index.low, 0.0))
        inside = (place >= 0) & (place < len(table))
        read = np.where(inside, table[np.where(inside, place, 0).astype(int)], np.nan)
        if index.low is index.high:
            return Span(read, read)
        low, high = np.where(here, read, table.min()), np.where(here, read, table.max())
        return Span(low, high, np.where(here, index.flags & ~VARIES, index.flags), mixed("lookup", [index.mark]))

    def _note(self, decided: Any, low: Any, high: Any, flags: Any) -> None:
        """Note where something that lies between two numbers, which may be proportional to the noise, may be zero."""
        open_ = ~decided & (flags & VARIES > 0) & (flags & (OPEN | LATER) == 0)
        if np.any(open_):
            part = -low / (high - low)
            self.places.append(np.where(open_ & (part >= 0.0) & (part <= 1.0), part, np.nan))


def together(found: Iterable[Span], spans: Iterable[Spans]) -> tuple[Any, Any, Array]:
    """Return the flags of several values, a mark of them all, and a guess where one of them may change sides."""
    flags, marks, place = NONE, [], np.full(1, np.nan)
    for x in found:
        flags = flags | x.flags
        marks.append(x.mark)
    for at in (x for y in spans for x in y.places):
        place = np.where(np.isnan(place), at, place)
    return flags, mixed("all", marks), place


def _opened(flags: Any, decided: Any) -> Any:
    """Return the flags of a decision."""
    varies = flags & VARIES > 0
    joint = varies & (flags & LATER > 0) & (flags & OPEN == 0)
    made = np.where(joint, flags | JOINT, np.where(varies, flags | OPEN, flags))
    return np.where(decided, np.uint8(0), made & ~VARIES)


def _decided(low: Any, high: Any, flags: Any, mark: Any) -> Span:
    return Span(low.astype(float), high.astype(float), np.where(low == high, np.uint8(0), flags), mark)


def _bounds(operation: str, args: list[Span]) -> tuple[Any, Any]:
    """Return the least and the largest value of an operation of spans; NaN where nothing is known."""
    a, b = args[0], args[-1]
    f: Callable[..., Any] = OPERATIONS[operation]
    if operation == "+":
        return a.low + b.low, a.high + b.high
    if operation == "-":
        return a.low - b.high, a.high - b.low
    if operation == "neg":
        return -a.high, -a.low
    if operation in INCREASING:
        return f(a.low), f(a.high)
    if operation in DECREASING:
        return f(a.high), f(a.low)
    if operation == "logaddexp":
        return f(a.low, b.low), f(a.high, b.high)
    if operation in WAVES:
        turns = [(x / (2 * np.pi), f(x)) for x in (a.low, a.high)]
        top, bottom = (
            np.floor(turns[1][0] - x) > np.floor(turns[0][0] - x) for x in (WAVES[operation], WAVES[operation] + 0.5)
        )
        low, high = (g(turns[0][1], turns[1][1]) for g in (np.minimum, np.maximum))
        return np.where(bottom, -1.0, low), np.where(top, 1.0, high)
    corners = [f(x, y) for x in (a.low, a.high) for y in (b.low, b.high)] if len(args) == 2 else []
    if operation == "*":
        corners = [np.where(np.isnan(x), 0.0, x) for x in corners]  # 0 times what may be anything
    elif operation == "/":
        corners = [np.where((b.low > 0.0) | (b.high < 0.0), x, np.nan) for x in corners]
    elif operation == "power":
        corners = [np.where(a.low > 0.0, x, np.nan) for x in corners]
        if b.low is b.high and np.all((b.low == np.rint(b.low)) & (b.low > 0.0)):  # of any sign
            low, high = f(a.low, b.low), f(a.high, b.low)
            even = b.low % 2 == 0
            across = even & (a.low < 0.0) & (a.high > 0.0)
            least, most = np.minimum(low, high), np.maximum(low, high)
            return np.where(across, 0.0, least), most
    elif operation == "arctan2":
        corners = [np.where(b.low > 0.0, x, y) for x, y in zip(corners, (-np.pi, np.pi) * 2, strict=True)]
    elif operation == "tan":
        same = np.floor(a.low / np.pi + 0.5) == np.floor(a.high / np.pi + 0.5)
        corners = [np.where(same, f(x), np.nan) for x in (a.low, a.high)]
    elif operation == "hypot":
        parts = [(np.where((x.low < 0) & (x.high > 0), 0.0, np.minimum(abs(x.low), abs(x.high))), x) for x in (a, b)]
        corners = [f(parts[0][0], parts[1][0]), f(*(np.maximum(abs(x.low), abs(x.high)) for _, x in parts))]
    else:
        corners = [np.full(1, np.nan)]
    low = high = corners[0]
    for x in corners[1:]:
        low, high = np.minimum(low, x), np.maximum(high, x)
    return low, high
