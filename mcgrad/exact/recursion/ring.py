"""A traced graph in the ring of polynomials in some of its inputs: which terms there are, and their coefficients.

A value is a number or an array (one entry for each point, or time), or a `Poly` {monomial: coefficient}, a monomial being a
sorted tuple of names of variables, () the constant. What leaves the ring (a comparison, tanh, ... of a variable) becomes a
`Lost` with its reason, which is an error only if a result depends on it. Terms that cancel are left out: zeros are exact.

exp of a carry is a variable of its own, since exp(x + Y) = exp(x) exp(Y): so importance weights are polynomials, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...compiler.emit import live_nodes
from ...compiler.operations import COMPARISONS, LOGIC, OPERATIONS, SAME_VALUE
from ...compiler.table import Names
from ...compiler.trace import Graph, Tracer
from ..theory import NoClosedForm

Array: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]
Value: TypeAlias = Any  # a number, an array, a `Poly` or a `Lost`
Values: TypeAlias = dict[str, Any]  # by the names of inputs
Rows: TypeAlias = dict[str, Any]  # what differs from step to step
State: TypeAlias = list[Any]  # a Value for each component
Given: TypeAlias = Callable[[int, Any], dict[int, Any]] | None  # (trajectory, scan) -> {node: its value}
Monomial: TypeAlias = tuple[str, ...]
Pair: TypeAlias = tuple[Monomial, Monomial]
Fields: TypeAlias = tuple[Array, Array, Array]  # at nodes: means, covariances, the chance of leaving
CoefficientFields: TypeAlias = tuple[Array, Array]  # means and covariances

EXP = "exp:"
NOT_CARRIED = re.compile(r"~\d+|[ewz]\d+")  # states and noise, where they are variables
# Inputs that only kernels know.
STRANGE = {
    r"r\d+": "noise that is drawn in place of other noise (a measure-valued derivative)",
    r"(branch|apart)(_once)?\d+": "the returns of rollouts that branch off (a measure-valued derivative)",
    r"tau": "a random time",
    r"z\d+": "a random direction of theta",
}


class Poly(dict[Monomial, Any]):
    """A polynomial {monomial: coefficient}."""


class Lost:
    """A value that is no polynomial, and why."""

    def __init__(self, why: str) -> None:
        self.why = why


# A coefficient of which nothing is known but that it may differ from zero: so one pass finds which terms there can be.
UNKNOWN = float("nan")


def variable(name: str) -> Poly:
    """Return the polynomial that is one variable."""
    return Poly({(name,): 1.0})


def lift(x: Value) -> Poly:
    """Return a value as a polynomial; what is zero has no terms."""
    return x if isinstance(x, Poly) else Poly() if is_zero(x) else Poly({(): x})


def is_zero(x: Value) -> bool:
    """Tell whether a coefficient is zero everywhere."""
    return not np.any(x)


def plus(a: Poly, b: Poly, sign: float = 1.0) -> Poly:
    """Return a + sign b."""
    out = Poly(a)
    for k, x in b.items():
        total = out[k] + sign * x if k in out else (x if sign > 0 else -x)
        if is_zero(total):
            del out[k]
        else:
            out[k] = total
    return out


def times(a: Poly, b: Poly) -> Poly:
    """Return a b."""
    out = Poly()
    for j, x in a.items():
        for k, y in b.items():
            key = tuple(sorted(j + k)) if j and k else j or k
            z = x * y
            out[key] = out[key] + z if key in out else z
    return Poly({k: x for k, x in out.items() if not is_zero(x)})


def run(
    graph: Graph, outputs: Sequence[Any], values: Values, given: Mapping[int, Value] | tuple[()] = ()
) -> list[Value]:
    """Return the outputs of a graph.

    Parameters
    ----------
    outputs : sequence of tracers or numbers
    values : dict
        Input name -> number, array or `Poly`. An input that is not among them is lost.
    given : dict, optional
        Node index -> value.
    """
    known: dict[int, Value] = dict(given)

    def of(x: Any) -> Value:
        return known[x.index] if isinstance(x, Tracer) else float(x)

    with np.errstate(all="ignore"):
        for i in live_nodes(graph, outputs, known):
            if i in known:
                continue
            operation, arguments = graph.nodes[i]
            if operation == "input":
                known[i] = _read(values, arguments[0])
            elif operation == "lookup":
                names = arguments[1].names if isinstance(arguments[1], Names) else None
                elements = (
                    run(graph, arguments[1:], values, known) if names is None else [_read(values, x) for x in names]
                )
                known[i] = _lookup(of(arguments[0]), elements)
            elif operation in SAME_VALUE:
                known[i] = of(arguments[0])
            else:
                known[i] = apply(operation, [of(x) for x in arguments])
    return [of(x) for x in outputs]


def _read(values: Values, name: str) -> Value:
    if name in values:
        return values[name]
    for pattern, what in STRANGE.items():
        if re.fullmatch(pattern, name):
            return Lost(f"it reads {what}, which no step of the chain knows")
    return Lost(f"it reads {name}, which no step of the chain knows")


def _elements(values: Values, names: Any) -> list[Value]:
    try:
        return [values[x] for x in names]
    except KeyError:
        return [_read(values, x) for x in names]


def _lookup(index: Value, elements: Sequence[Value]) -> Value:
    lost = next((x for x in [index, *elements] if isinstance(x, (Lost, Poly))), None)
    if lost is not None:
        return lost if isinstance(lost, Lost) else Lost("a table is read at a place, or has elements, that vary")
    table = np.asarray(elements, float)
    index = whole(np.asarray(index, float))
    inside = (index >= 0) & (index < len(table))
    found = np.where(inside, table[np.where(inside, index, 0).astype(int)], np.nan)
    return found if found.ndim else float(found)


def whole(index: Any) -> Any:
    """Return the places at which a table is read or written to.

    Raises
    ------
    NoClosedForm
        If they are no whole numbers: then a state counts something, and between two of its values nothing is defined. On a
        grid what is read there would be somebody else's, and what is written would be lost.
    """
    if not np.all((index == np.floor(index)) | ~np.isfinite(index)):
        raise NoClosedForm(
            "a table is read between its places: a state is a whole number, and grids are made of others; "
            "mg.environments.tabular says what the states are"
        )
    return index


def apply(operation: str, args: list[Value]) -> Value:
    """Return an operation of values."""
    if operation == "where":
        return _where(*args)
    lost = next((x for x in args if isinstance(x, Lost)), None)
    if lost is not None:
        return lost
    if not any(isinstance(x, Poly) for x in args):
        return UNKNOWN if any(map(_unknown, args)) else OPERATIONS[operation](*args)
    if operation == "neg":
        return Poly({k: -x for k, x in args[0].items()})
    if operation in "+-":
        return plus(lift(args[0]), lift(args[1]), 1.0 if operation == "+" else -1.0)
    if operation == "*":
        return times(lift(args[0]), lift(args[1]))
    if operation == "/" and not isinstance(args[1], Poly):
        return Poly({k: x / args[1] for k, x in args[0].items()})
    if operation == "exp":
        return _exp(args[0])
    if operation in COMPARISONS or operation in LOGIC:
        return Lost(f"a condition ({operation}) on something that is to be polynomial")
    return Lost(f"{operation} of something that is to be polynomial")


def _where(condition: Value, a: Value, b: Value) -> Value:
    if isinstance(condition, (Lost, Poly)):
        if isinstance(b, float) and np.isnan(b):  # a guard, where(finite, g, nan): moments are of what is finite
            return a
        return condition if isinstance(condition, Lost) else Lost("a condition on something that is to be polynomial")
    unknown = _unknown(condition)
    if np.ndim(condition) == 0 and not unknown:
        return a if condition else b
    if unknown:
        lost = next((x for x in (a, b) if isinstance(x, Lost)), None)
        some = any(isinstance(x, Poly) for x in (a, b))
        return lost or (Poly(dict.fromkeys([*lift(a), *lift(b)], UNKNOWN)) if some else UNKNOWN)
    if isinstance(a, Lost) or isinstance(b, Lost):
        return (
            a if np.all(condition) else b if not np.any(condition) else next(x for x in (a, b) if isinstance(x, Lost))
        )
    if not isinstance(a, Poly) and not isinstance(b, Poly):
        return np.where(condition, a, b)
    a, b = lift(a), lift(b)
    out = {k: np.where(condition, a.get(k, 0.0), b.get(k, 0.0)) for k in {**a, **b}}
    return Poly({k: x for k, x in out.items() if not is_zero(x)})


def _exp(x: Poly) -> Poly | Lost:
    rest = [(k, c) for k, c in x.items() if k]
    if any(len(k) != 1 or NOT_CARRIED.fullmatch(k[0]) or not _is_one(c) for k, c in rest):
        return Lost("exp of something that is to be polynomial")
    return Poly({tuple(sorted(EXP + k[0] for k, _ in rest)): np.exp(x.get((), 0.0))})


def _is_one(x: Value) -> bool:
    return np.ndim(x) == 0 and (x == 1.0 or _unknown(x))


def _unknown(x: Value) -> bool:
    return isinstance(x, float) and x != x
