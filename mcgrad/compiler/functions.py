"""The functions that users know: those of `math` and `numpy`, on tracers and on arrays of them."""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import TraceError, check_handlers, user_line
from .operations import FUNCTIONS
from .table import Names, Table
from .trace import Tracer, apply, is_number, same
from .unknown import written

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
    """Return `a` where the condition holds, else `b`: the traceable form of `if`. Works on numbers and arrays, too.

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
    """Return `value`, which derivatives take for a constant."""
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
            return np.frompyfunc(of_elements, len(arguments), 1)(*map(_objects, arguments))
        return of_elements(*arguments)

    return call


def _objects(x: Any) -> NDArray[Any]:
    """Return x as an array of objects."""
    return x if isinstance(x, np.ndarray) else np.array(x, dtype=object)


def _fold(operation: str) -> Function:
    def function(*arguments):
        items = arguments[0] if len(arguments) == 1 else arguments
        items = list(items.flat if isinstance(items, np.ndarray) else items)
        result = items[0]
        for item in items[1:]:
            result = apply(operation, result, item)
        return result

    return function


def _first(comparison: str) -> Function:
    """Return Python's own min or max, which compares one number after the other: NaN is neither less nor more."""

    def function(*arguments):
        items = arguments[0] if len(arguments) == 1 else arguments
        items = list(items.flat if isinstance(items, np.ndarray) else items)
        result = items[0]
        for item in items[1:]:
            result = apply("where", apply(comparison, item, result), item, result)
        return result

    return function


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = (b if a is None else a for a, b in ((a_min, min), (a_max, max)))
    x = x if low is None else apply("maximum", x, low)
    return x if high is None else apply("minimum", x, high)


def _unary(name: str) -> Function:
    return lambda x: apply(name, x)


def _binary(name: str) -> Function:
    return lambda x, y: apply(name, x, y)


def _log(x: Any, base: Any = None) -> Any:
    return apply("log", x) if base is None else apply("log", x) / apply("log", base)


def _arctan(x: Any) -> Any:
    return apply("arctan2", x, 1.0)


def _cosh(x: Any) -> Any:
    return 0.5 * (apply("exp", x) + apply("exp", -x))


def _sinh(x: Any) -> Any:
    return 0.5 * (apply("expm1", x) - apply("expm1", -x))  # nothing cancels: the two have opposite signs


def _round(x: Any, decimals: Any = 0) -> Any:
    if not is_number(decimals):
        raise TraceError(f"{user_line()}round: expected a constant number of decimals, got {decimals!r}")
    scale = 10.0 ** abs(decimals)  # as NumPy does it
    if decimals > 0:
        return apply("rint", x * scale) / scale
    return apply("rint", x / scale) * scale if decimals < 0 else apply("rint", x)


def _hypot(*coordinates: Any) -> Any:
    result = abs(coordinates[0])
    for x in coordinates[1:]:
        result = apply("hypot", result, x)
    return result


def _polygamma(n: Any, x: Any) -> Any:
    orders = ("digamma", "trigamma", "tetragamma")
    if isinstance(n, Tracer) or n not in range(len(orders)):
        raise TraceError(f"{user_line()}polygamma: expected a constant order of 0, 1 or 2, got {n!r}")
    return apply(orders[int(n)], x)


def _xlogy(x: Any, y: Any) -> Any:
    # 0 log y is 0 for all y but NaN, and log y is still its derivative in x where it is finite.
    nothing = apply("==", x, 0.0) & (apply("==", y, y) & apply("~", apply(">", y, 0.0) & apply("<", y, math.inf)))
    return x * apply("log", apply("where", nothing, 1.0, y))


def _sinc(x: Any) -> Any:
    y = math.pi * apply("where", apply("==", x, 0.0), 1e-20, x)
    return apply("sin", y) / y


# What a user may call on traced values, by the names that `math`, `numpy` and `scipy.special` give it.
_BINARY = {"arctan2", "minimum", "maximum", "copysign", "fmod", "logaddexp", "betaln"}
NAMES: dict[str, Function] = {name: _unary(name) for name in FUNCTIONS if name not in _BINARY}
NAMES |= {name: _binary(name) for name in _BINARY}
for name in ("log", "power", "hypot", "remainder", "floor_divide"):
    del NAMES[name]  # math.remainder is not np.remainder
NAMES |= {
    "log": _log,
    "log2": lambda x: apply("log", x) * (1.0 / math.log(2.0)),
    "log10": lambda x: apply("log", x) * (1.0 / math.log(10.0)),
    "exp2": lambda x: apply("exp", x * math.log(2.0)),
    "exp10": lambda x: apply("power", 10.0, x),
    "logaddexp2": lambda x, y: apply("logaddexp", x * math.log(2.0), y * math.log(2.0)) * (1.0 / math.log(2.0)),
    "atan2": NAMES["arctan2"],
    "arctan": _arctan,
    "atan": _arctan,
    "arcsin": lambda x: apply("arctan2", x, apply("sqrt", (1.0 - x) * (1.0 + x))),
    "arccos": lambda x: apply("arctan2", apply("sqrt", (1.0 - x) * (1.0 + x)), x),
    "asinh": NAMES["arcsinh"],
    "acosh": NAMES["arccosh"],
    "atanh": NAMES["arctanh"],
    "sinh": _sinh,
    "cosh": _cosh,
    "sinc": _sinc,
    "degrees": lambda x: x * (180.0 / math.pi),
    "radians": lambda x: x * (math.pi / 180.0),
    "power": power,
    "pow": power,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1.0 / x,
    "hypot": _hypot,
    "abs": lambda x: apply("absolute", x),
    "fabs": lambda x: apply("absolute", x),
    "sign": lambda x: apply("where", x > 0.0, 1.0, apply("where", x < 0.0, -1.0, apply("where", x == 0.0, 0.0, x))),
    "heaviside": lambda x, at_zero: apply(
        "where", x < 0.0, 0.0, apply("where", x > 0.0, 1.0, apply("where", x == 0.0, at_zero, x))
    ),
    "ceil": lambda x: -apply("floor", -x),
    "fix": NAMES["trunc"],
    "round": _round,
    "around": _round,
    "fmin": lambda x, y: apply("where", apply("|", apply("<", x, y), apply("!=", y, y)), x, y),
    "fmax": lambda x, y: apply("where", apply("|", apply(">", x, y), apply("!=", y, y)), x, y),
    "clip": _clip,
    "where": lambda c, a, b: apply("where", c, a, b),
    "isnan": lambda x: apply("!=", x, x),
    "isinf": lambda x: apply("==", apply("absolute", x), math.inf),
    "isfinite": lambda x: apply("<", apply("absolute", x), math.inf),
    "gammaln": NAMES["lgamma"],
    "psi": NAMES["digamma"],
    "polygamma": _polygamma,
    "log_expit": lambda x: -apply("logaddexp", 0.0, -x),
    "softplus": lambda x: apply("logaddexp", 0.0, x),
    "xlogy": _xlogy,
    "entr": lambda x: apply("where", x >= 0.0, -_xlogy(x, x), -math.inf),
}
NAMES |= {"asin": NAMES["arcsin"], "acos": NAMES["arccos"], "deg2rad": NAMES["radians"], "rad2deg": NAMES["degrees"]}


# ---- functions of whole sequences --------------------------------------------------------------------------------


def _items(x: Any) -> list[Any]:
    return list(np.asarray(_objects(x)).flat) if isinstance(x, (np.ndarray, list, tuple)) else [x]


def _first_extreme(comparison: str) -> Function:
    def function(x):
        best, *others = _items(x)
        index = 0.0
        for k, y in enumerate(others, 1):
            # The first NaN counts as the extreme, as for NumPy.
            better = apply("|", apply(comparison, y, best), apply("&", apply("!=", y, y), apply("==", best, best)))
            index, best = apply("where", better, float(k), index), apply("where", better, y, best)
        return index

    return function


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    xp, fp = _items(xp), _items(fp)
    if len(xp) != len(fp) or not xp:
        raise TraceError(f"{user_line()}interp: expected as many fp as xp, got {len(fp)} and {len(xp)}")
    if not any(isinstance(k, Tracer) for k in xp) and any(b < a for a, b in zip(xp, xp[1:], strict=False)):
        raise TraceError(f"{user_line()}interp: expected xp in increasing order")
    left, right = fp[0] if left is None else left, fp[-1] if right is None else right

    def at(x):
        y = apply("where", apply("==", x, x), left, x)
        for k in range(len(xp) - 1):
            slope = (fp[k + 1] - fp[k]) / (xp[k + 1] - xp[k]) if not same(xp[k + 1], xp[k]) else 0.0
            y = apply("where", apply(">=", x, xp[k]), slope * (x - xp[k]) + fp[k], y)
        y = apply("where", apply(">=", x, xp[-1]), fp[-1], y)
        return apply("where", apply(">", x, xp[-1]), right, y)

    return on_arrays(at)(x)


def _select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    if len(condlist) != len(choicelist):
        raise TraceError(
            f"{user_line()}select: expected as many choices as conditions, got {len(choicelist)} and {len(condlist)}"
        )
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return result


def _shifted(x: Any) -> tuple[list[Any], Any]:
    """Return the numbers of a sequence less their maximum, and the maximum."""
    x = _items(x)
    largest = _fold("maximum")(x)
    shift = apply("where", apply("<", apply("absolute", largest), math.inf), largest, 0.0)
    return [y - shift for y in x], shift


def _logsumexp(a: Any) -> Any:
    shifted, shift = _shifted(a)
    return apply("log", sum(apply("exp", y) for y in shifted)) + shift


def _softmax(x: Any) -> Any:
    x = _items(x)
    largest = _fold("maximum")(x)
    exponentials = [apply("exp", y - largest) for y in x]
    total = sum(exponentials)
    return np.array([y / total for y in exponentials], dtype=object)


def _log_softmax(x: Any) -> Any:
    shifted, _ = _shifted(x)
    log_total = apply("log", sum(apply("exp", y) for y in shifted))
    return np.array([y - log_total for y in shifted], dtype=object)


def _dist(p: Any, q: Any) -> Any:
    return _hypot(*(a - b for a, b in zip(p, q, strict=True)))


# What Python does in another way than NumPy: one comparison after the other, and whole numbers without -0
OF_PYTHON: dict[str, Function] = {
    "min": _first("<"),
    "max": _first(">"),
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
}
WHOLE: dict[str, Function] = {
    "min": _fold("minimum"),
    "max": _fold("maximum"),
    "amin": _fold("minimum"),
    "amax": _fold("maximum"),
    "argmin": _first_extreme("<"),
    "argmax": _first_extreme(">"),
    "interp": _interp,
    "select": _select,
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "dist": _dist,
}


def traceable() -> str:
    """Return what can be traced, for messages."""
    return f"arithmetic, comparisons, & | ~, sum, {', '.join(sorted(NAMES | WHOLE))}"


# NumPy's names for the operators, which arrive when an array of tracers meets a tracer.
OPERATORS: dict[str, Function] = {
    "add": lambda a, b: apply("+", a, b),
    "subtract": lambda a, b: apply("-", a, b),
    "multiply": lambda a, b: apply("*", a, b),
    "divide": lambda a, b: apply("/", a, b),
    "negative": lambda a: apply("neg", a),
    "less": lambda a, b: apply("<", a, b),
    "less_equal": lambda a, b: apply("<=", a, b),
    "greater": lambda a, b: apply(">", a, b),
    "greater_equal": lambda a, b: apply(">=", a, b),
    "equal": lambda a, b: apply("==", a, b),
    "not_equal": lambda a, b: apply("!=", a, b),
    "logical_and": lambda a, b: apply("&", a, b),
    "logical_or": lambda a, b: apply("|", a, b),
    "logical_not": lambda a: apply("~", a),
    "bitwise_and": lambda a, b: apply("&", a, b),
    "bitwise_or": lambda a, b: apply("|", a, b),
    "invert": lambda a: apply("~", a),
    "positive": lambda a: a,
    "float_power": power,
    "remainder": lambda a, b: apply("remainder", a, b),
    "floor_divide": lambda a, b: apply("floor_divide", a, b),
    "divmod": lambda a, b: (apply("floor_divide", a, b), apply("remainder", a, b)),
}


def name_of_ufunc(ufunc: np.ufunc) -> str:
    """Return what users call a ufunc: np.sin, scipy.special.erf."""
    name = ufunc.__name__
    return f"np.{name}" if getattr(np, name, None) is ufunc else f"scipy.special.{name}"


def of_ufunc(name: str) -> Callable[..., Any] | None:
    """Return the function of tracers for a NumPy ufunc, or None."""
    return NAMES.get(name) or OPERATORS.get(name)


# What the methods of tracers call, see `unknown`.
written.power, written.traceable, written.on_arrays = power, traceable, on_arrays
written.of_ufunc, written.name_of_ufunc = of_ufunc, name_of_ufunc
