"""Trace plain Python: run a function once on tracer scalars and keep what it does as a flat graph.

The user's function is ordinary Python on tuples of numbers: arithmetic, `sum`, comprehensions, `A @ s`, `math.*` and
`np.*`. It is called once with `Tracer` arguments, each of which records every operation as a node of a `Graph`.
Constants are folded, additions of zero and multiplications by one vanish, and equal expressions share a node. 0 x stays:
it is NaN where x is not finite.

What cannot be traced is control flow that depends on a value (`if s[0] > 0:`), because one graph has to serve every
trajectory. Such places raise a `TraceError` that names the user's line and says what to write instead.

What a kernel computes is what Python computes with the same floats, or the function is refused. What cannot be seen from
here, and is not: `x is y`, the type of a number inside libraries and C extensions, files and networks.
Comparisons are Python's (True + True is 2, where NumPy's own is True) but for ~, which is the logical not; whole numbers are
floats. Exceptions of numbers do not happen: 1/0 is infinite, log(-1) is NaN, and such trajectories are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .errors import TraceError, check_handlers, user_line
from .operations import BOOLEAN, COMMUTATIVE, HARMLESS, LOGIC, OPERATIONS, SAME_VALUE
from .unknown import Unknown, written

Node: TypeAlias = tuple[str, tuple[Any, ...]]  # an operation and its arguments

LARGEST = 300_000  # operations of one graph


class Tracer(Unknown):
    """A number that is not known yet: a node of a graph. Operators on it add nodes."""

    __slots__ = ("graph", "index")
    __hash__ = Unknown.__hash__  # which a class that defines __eq__ does not inherit

    def __init__(self, graph: Graph, index: int) -> None:
        self.graph, self.index = graph, index

    @property
    def is_boolean(self) -> bool:
        """True for the result of a comparison."""
        return self.graph.nodes[self.index][0] in BOOLEAN

    # ---- arithmetic --------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return _elementwise("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _elementwise("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _elementwise("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _elementwise("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return _elementwise("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _elementwise("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _elementwise("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _elementwise("/", other, self)

    def __pow__(self, other: Any) -> Any:
        return written.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return written.power(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _elementwise("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _elementwise("floor_divide", other, self)

    def __mod__(self, other: Any) -> Any:
        return _elementwise("remainder", self, other)

    def __rmod__(self, other: Any) -> Any:
        return _elementwise("remainder", other, self)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __neg__(self) -> Any:
        return apply("neg", self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return apply("absolute", self)

    # ---- comparisons -------------------------------------------------------------------------------------------

    def __lt__(self, other: Any) -> Any:
        return _elementwise("<", self, other)

    def __le__(self, other: Any) -> Any:
        return _elementwise("<=", self, other)

    def __gt__(self, other: Any) -> Any:
        return _elementwise(">", self, other)

    def __ge__(self, other: Any) -> Any:
        return _elementwise(">=", self, other)

    def __eq__(self, other: Any) -> Any:
        return _elementwise("==", self, other)

    def __ne__(self, other: Any) -> Any:
        return _elementwise("!=", self, other)

    def __and__(self, other: Any) -> Any:
        return _elementwise("&", self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return _elementwise("|", self, other)

    __ror__ = __or__

    def __invert__(self) -> Any:
        return apply("~", self)

    # ---- what a graph cannot hold ------------------------------------------------------------------------------

    def __round__(self, digits: Any = None) -> Any:
        if digits is not None:
            self._not_a_number("rounded value in decimal (round(x) and np.round(x, digits) can be traced)")
        return whole(apply("rint", self))

    def __trunc__(self) -> Any:
        return whole(apply("trunc", self))

    def __floor__(self) -> Any:
        return whole(apply("floor", self))

    def __ceil__(self) -> Any:
        return whole(-apply("floor", -self))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Route NumPy's functions of tracers, and of arrays that hold tracers, to graph operations."""
        name = written.name_of_ufunc(ufunc)
        if method != "__call__" or options:
            which = f"{name} with {', '.join(f'{x}=' for x in options)}" if method == "__call__" else f"{name}.{method}"
            raise TraceError(f"{user_line()}{which} of a single number cannot be traced.")
        function = written.of_ufunc(ufunc.__name__)
        if function is None:
            raise TraceError(f"{user_line()}{name} cannot be traced. What can: {written.traceable()}.")
        return written.on_arrays(function)(*inputs)


def _elementwise(operation: str, a: Any, b: Any) -> Any:
    for x in (a, b):
        if isinstance(x, Tracer) or type(x) is float:
            continue
        if isinstance(x, np.ndarray):
            return written.on_arrays(lambda x, y: apply(operation, x, y))(a, b)
        if isinstance(x, (complex, np.inexact)):
            _check_kind(x)
        elif not is_number(x):
            return NotImplemented
    return apply(operation, a, b)


def _check_kind(x: object) -> None:
    """Refuse numbers with which Python computes otherwise than in float64: complex, float32, long double."""
    if isinstance(x, (complex, np.inexact)) and not isinstance(x, float):
        name = type(x).__name__
        raise TraceError(
            f"{user_line()}expected a real number in double precision, got {name} ({x!r}): kernels compute in float64, "
            f"Python with {name}. Write float(x) for a constant."
        )


def is_number(x: object) -> bool:
    """Tell whether x is a plain real number, as float64 has it."""
    return type(x) is float or (not isinstance(x, Tracer) and isinstance(x, (int, float, np.integer, np.bool_)))


# A number of a function that is traced: not known yet, or known. Functions that take these take plain floats as well.
Number: TypeAlias = Tracer | float
Numbers: TypeAlias = tuple[Number, ...]


class Graph:
    """A list of nodes (operation, arguments) in the order of evaluation; arguments are tracers or floats."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[tuple[Any, ...], Tracer] = {}
        self._elements: set[int] = set()

    def input(self, name: str) -> Tracer:
        """Return the tracer of the input called `name`, one node per name."""
        return self.node("input", name)

    def rename(self, names: Mapping[str, str]) -> None:
        """Give inputs other names, {old: new}, once all is traced."""
        for index, (operation, arguments) in enumerate(self.nodes):
            if operation == "input" and arguments[0] in names:
                self.nodes[index] = ("input", (names[arguments[0]],))

    def element(self, name: str) -> Tracer:
        """Return the tracer of an input that is an element of an array in memory, where `lookup` can read it by its place."""
        x = self.input(name)
        self._elements.add(x.index)
        return x

    def is_element(self, x: object) -> bool:
        """Tell whether x is an element of an array in memory."""
        return isinstance(x, Tracer) and x.index in self._elements

    def alias(self, values: Iterable[Number]) -> Numbers:
        """Return tracers equal to `values` under new identities, so that a reverse sweep can stop at them.

        An action that equals a state component is the same node; with respect to the alias alone, the derivative of what
        follows is the derivative with respect to the action. Plain numbers stay what they are.
        """
        out = []
        for x in values:
            if isinstance(x, Tracer):
                self.nodes.append(("alias", (x,)))
                x = Tracer(self, len(self.nodes) - 1)
            out.append(x)
        return tuple(out)

    def check(self, arguments: Iterable[object]) -> None:
        """Refuse tracers of another graph, which are values of another call."""
        for x in arguments:
            if isinstance(x, Tracer) and x.graph is not self:
                raise TraceError(
                    f"{user_line()}a value of another call was used: functions may not keep what they were given. "
                    "Pass on what is needed later as a component of the state."
                )

    def node(self, operation: str, *arguments: Any) -> Tracer:
        """Return the tracer of an operation, the same one for the same operation on the same arguments."""
        self.check(arguments)
        return self._checked_node(operation, arguments)

    def _checked_node(self, operation: str, arguments: tuple[Any, ...]) -> Tracer:
        # The text of a constant tells 0.0 from -0.0, which are equal: x / 0.0 is not x / -0.0.
        key = (operation, *[x.index if isinstance(x, Tracer) else repr(x) for x in arguments])
        found = self._known.get(key)
        if found is None:
            if len(self.nodes) >= LARGEST:
                raise TraceError(
                    f"{user_line()}more than {LARGEST} operations: loops are unrolled while a function is traced, so that "
                    "each round is code of its own. Shorten the loop, or make its rounds steps of the environment."
                )
            self.nodes.append((operation, arguments))
            found = self._known[key] = Tracer(self, len(self.nodes) - 1)
        return found


def operands(node: Node) -> list[Tracer]:
    """Return the tracers that have to be computed before a node.

    A table is read where it lies, not element by element; slopes that are given are not computed for the value's sake.
    """
    operation, arguments = node
    first = operation == "lookup" or operation in SAME_VALUE
    return [x for x in (arguments[:1] if first else arguments) if isinstance(x, Tracer)]


def same(a: object, b: object) -> bool:
    """Tell whether two operands are the same node or the same constant."""
    if isinstance(a, Tracer):
        return isinstance(b, Tracer) and a.index == b.index
    return not isinstance(b, Tracer) and a == b


def whole(x: Any) -> Tracer:
    """Return a whole number as Python's integers are: there is no -0 among them."""
    return x.graph.node("+", 0.0, x)


def _number(x: Any) -> Any:
    """Turn a boolean node into the number 0 or 1, which is what Python's arithmetic does with it."""
    return apply("where", x, 1.0, 0.0) if isinstance(x, Tracer) and x.is_boolean else x


def apply(operation: str, *arguments: Any) -> Any:
    """Add an operation to the graph of its arguments, after the simplifications that are exact for finite numbers."""
    graph = None
    for x in arguments:
        if isinstance(x, Tracer):
            graph = x.graph
        elif not is_number(x):
            _check_kind(x)
            raise TraceError(f"{user_line()}expected a number, got {type(x).__name__} ({x!r}).")
    if graph is None:
        # As floats: 1 / 2, 2 ** -1 and True + True are something else to NumPy's integers and booleans.
        with np.errstate(all="ignore"):
            result = OPERATIONS[operation](*map(bool if operation in LOGIC else float, arguments))
        return bool(result) if operation in BOOLEAN else float(result)
    graph.check(arguments)
    if operation in LOGIC:
        return _logic(graph, operation, arguments)
    if operation == "where":
        condition, a, b = arguments
        if not isinstance(condition, Tracer):
            return a if condition else b
        if not condition.is_boolean:
            condition = apply("!=", condition, 0.0)
        a, b = (_number(x) if isinstance(x, Tracer) else float(x) for x in (a, b))
        return a if same(a, b) else graph.node("where", condition, a, b)
    arguments = tuple([_number(x) if isinstance(x, Tracer) else float(x) for x in arguments])
    if operation not in HARMLESS:
        check_handlers()
    simpler = _simplify(graph, operation, arguments)
    if simpler is not None:
        return simpler
    if operation in COMMUTATIVE:
        arguments = tuple(sorted(arguments, key=_place))
    return graph._checked_node(operation, arguments)


def _place(x: Any) -> int:
    return x.index if isinstance(x, Tracer) else -1


def _logic(graph: Graph, operation: str, arguments: tuple[Any, ...]) -> Any:
    for x in arguments:
        if isinstance(x, Tracer) and not x.is_boolean:
            raise TraceError(f"{user_line()}& | ~ combine conditions such as (a > 0) & (b < 1), not numbers.")
    if operation == "~":
        (x,) = arguments
        return graph.nodes[x.index][1][0] if _is(x, "~") else graph.node("~", x)
    constants = [bool(x) for x in arguments if not isinstance(x, Tracer)]
    if constants:
        other = next(x for x in arguments if isinstance(x, Tracer))
        neutral = operation == "&"
        return other if constants[0] == neutral else not neutral
    if same(*arguments):
        return arguments[0]
    return graph.node(operation, *sorted(arguments, key=lambda x: x.index))


def _simplify(graph: Graph, operation: str, arguments: tuple[Any, ...]) -> Any:
    """Return a simpler equal of an operation, or None."""
    if operation == "neg":
        return _negated(graph, arguments[0])
    if operation not in _SIGNS:
        return None
    a, b = arguments  # one of them is a number at most
    if isinstance(b, Tracer):
        if isinstance(a, Tracer):
            pass
        elif a == 0.0 and operation in "+-":
            return b if operation == "+" else apply("neg", b)
        elif operation == "*" and abs(a) == 1.0:
            return b if a == 1.0 else apply("neg", b)
    elif operation in "+-":
        if b == 0.0:
            return a
    elif b == 0.0 and operation == "/":
        raise TraceError(f"{user_line()}division by the constant 0 has no finite result on any trajectory.")
    elif abs(b) == 1.0:
        return a if b == 1.0 else apply("neg", a)
    if operation in "+-":
        inner = _negated(graph, b)
        if inner is not None:
            return apply("-" if operation == "+" else "+", a, inner)
        if operation == "+" and (inner := _negated(graph, a)) is not None:
            return apply("-", b, inner)
    return None


_SIGNS = {"+", "-", "*", "/"}


def _negated(graph: Graph, x: object) -> Any:
    """Return y where x is -y, else None."""
    if isinstance(x, Tracer):
        operation, arguments = graph.nodes[x.index]
        return arguments[0] if operation == "neg" else None
    return None


def _is(x: object, operation: str) -> bool:
    return isinstance(x, Tracer) and x.graph.nodes[x.index][0] == operation
