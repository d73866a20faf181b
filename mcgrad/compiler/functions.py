"""Functions of numbers that are not known yet, and of arrays of them: powers, choices, tables, derivatives that are given."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import TraceError, check_handlers, user_line
from .table import Names, Table
from .trace import Tracer, apply, is_number

Function: TypeAlias = Callable[..., Any]  # of tracers, and of floats


def power(x: Any, y: Any) -> Any:
    """Return x**y: by multiplications for a whole y, by a square root for half of one, else by `power`."""
    if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
        return on_arrays(power)(x, y)
    if isinstance(y, Tracer) or not isinstance(x, Tracer):
        return apply("power", x, y)
    if not is_number(y):
        return NotImplemented
    check_handlers()
    if abs(y) <= 64 and 2 * y == int(2 * y):
        whole = _whole_power(x, int(abs(y)))
        result = whole if abs(y) == int(abs(y)) else whole * apply("sqrt", x)
        return result if y >= 0 else 1.0 / result
    return apply("power", x, y)


def _whole_power(x: Any, n: int) -> Any:
    if n == 0:
        return 1.0
    half = _whole_power(x, n // 2)
    square = half * half
    return square * x if n % 2 else square


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return `a` where the condition holds, else `b`: the traceable form of `if`.

    Parameters
    ----------
    condition : bool, number or array
        Traced or not; a number holds where it is not 0.
    a, b : numbers or arrays
        Both are computed. The derivative is that of the branch that is taken: a jump between them is not seen.

    Returns
    -------
    number or array
        Of the shape to which the three broadcast.

    Raises
    ------
    ValueError
        For shapes that do not go together; TraceError, which is one, for something that is no number, beside traced ones.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> mg.where(np.array([-1.0, 2.0]) > 0, 1.0, 0.0)
    array([0., 1.])
    """
    if any(isinstance(x, Tracer) for x in (condition, a, b)):
        return on_arrays(lambda c, x, y: apply("where", c, x, y))(condition, a, b)
    if any(isinstance(x, np.ndarray) and x.dtype == object for x in map(np.asarray, (condition, a, b))):
        return on_arrays(lambda c, x, y: apply("where", c, x, y))(condition, a, b)
    return np.where(condition, a, b)[()]


def lookup(table: Any, *indices: Any) -> Any:
    """Return table[i, j, ...] for traced whole-number indices; NaN where one of them is out of range.

    Parameters
    ----------
    table : array or nested tuple
        Parameters such as `p.reward`, `theta`, data of an estimator, or other numbers: components of the state, of eta.
        Parameters are read from memory (a gather); others are chosen among.
    indices : numbers
        One for each dimension of the table, counted from 0. Tables can be indexed by constants beforehand: `table[:, 2]`.

    Raises
    ------
    TraceError
        A ValueError: for a table without elements, another number of indices than dimensions, or a constant index that is not
        whole or out of range.
    """
    if not isinstance(table, Table):
        table = np.array(table, dtype=object) if isinstance(table, (list, tuple)) else np.asarray(table)
    if len(indices) != table.ndim or not table.size:
        raise TraceError(
            f"{user_line()}lookup: expected {table.ndim} indices, one for each dimension of a table of shape "
            f"{table.shape}, got {len(indices)}"
        )
    if not isinstance(table, Table) and table.dtype != object and not any(isinstance(i, Tracer) for i in indices):
        return _numpy_lookup(table, indices)
    known = tuple(slice(None) if isinstance(i, Tracer) else _whole(i) for i in indices)
    try:
        table = table[known]
    except IndexError as error:
        raise TraceError(f"{user_line()}lookup: {error}") from None
    indices = [i for i in indices if isinstance(i, Tracer)]
    if not indices:
        return table
    flat, inside = indices[0], True
    for i, size in zip(indices[1:], table.shape[1:], strict=True):
        flat, inside = flat * float(size) + i, inside & (i >= 0.0) & (i < float(size))
    flat = apply("where", inside, flat, float("nan"))
    graph = indices[0].graph
    if isinstance(table, Table):
        return graph.node("lookup", flat, Names(table.names.ravel()))
    elements = list(table.flat)
    if all(map(graph.is_element, elements)):
        return graph.node("lookup", flat, *elements)
    result = float("nan")
    for k, x in enumerate(elements):
        result = apply("where", apply("==", flat, float(k)), x, result)
    return result


def with_derivative(value: Any, inputs: Any, slopes: Any) -> Any:
    """Return `value`, with derivative slopes[k] in inputs[k] and none in anything else, whatever it was computed from.

    For what is computed in one way and differentiated in another: the root x of f(x, y) = 0, found by iterations, has slope
    -(df/dy) / (df/dx) in y. The slopes are computed only where a derivative is asked for; what they depend on is held fixed
    in a first derivative, and followed where the derivative itself is differentiated. In a policy's `sample` the noise is one
    of the inputs, too: an action that does not move with its noise has no density.

    Parameters
    ----------
    value : number
    inputs, slopes : sequences of numbers
        One slope for each input. None of either: a value that is not differentiated.

    Raises
    ------
    TraceError
        For other numbers of slopes than of inputs.
    """
    inputs, slopes = tuple(inputs), tuple(slopes)
    if len(inputs) != len(slopes):
        raise TraceError(
            f"{user_line()}with_derivative: expected a slope for each of {len(inputs)} inputs, got {len(slopes)}"
        )
    pairs = [(x, slope) for x, slope in zip(inputs, slopes, strict=True) if isinstance(x, Tracer)]
    if not pairs and not isinstance(value, Tracer):
        return value
    graph = (value if isinstance(value, Tracer) else pairs[0][0]).graph
    if not isinstance(value, Tracer):
        value = graph.node("neg", -float(value))  # a constant as a node
    elif value.is_boolean:
        value = apply("where", value, 1.0, 0.0)
    return graph.node("given_slopes", value, *(x for x, _ in pairs), *(slope for _, slope in pairs))


def stop_gradient(value: Any) -> Any:
    """Return `value`, which derivatives take for a constant.

    Parameters
    ----------
    value : number
        Traced or not.

    Returns
    -------
    number
        The same, with derivative 0 in everything: `x + stop_gradient(y - x)` is y with the derivative of x.
    """
    return with_derivative(value, (), ())


def _whole(i: Any) -> int:
    if not is_number(i) or i != int(i):
        raise TraceError(f"{user_line()}lookup: expected a whole number as an index, got {i!r}")
    return int(i)


def _numpy_lookup(table: Any, indices: Any) -> Any:
    """Return table[indices] for numbers and arrays of them; NaN where one is out of range."""
    indices = np.broadcast_arrays(*(np.asarray(i, dtype=float) for i in indices))
    inside = np.logical_and.reduce([(i >= 0) & (i < k) for i, k in zip(indices, table.shape, strict=True)])
    return np.where(inside, table[tuple(np.where(inside, i, 0).astype(int) for i in indices)], np.nan)[()]


def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` applied element by element where any argument is an array, a list or a tuple."""

    def call(*arguments, **options):
        of_elements = functools.partial(function, **options) if options else function
        if any(isinstance(x, (np.ndarray, list, tuple)) for x in arguments):
            return np.frompyfunc(of_elements, len(arguments), 1)(*map(objects, arguments))
        return of_elements(*arguments)

    return call


def objects(x: Any) -> NDArray[Any]:
    """Return x as an array of objects."""
    return x if isinstance(x, np.ndarray) else np.array(x, dtype=object)
