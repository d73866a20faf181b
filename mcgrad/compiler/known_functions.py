"""The functions that users know, by the names that `math`, `numpy` and `scipy.special` give them: what they are on tracers."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .errors import TraceError, user_line
from .functions import objects, on_arrays, power, where
from .operations import FUNCTIONS
from .trace import Tracer, apply, is_number, same
from .unknown import written

Function: TypeAlias = Callable[..., Any]  # of tracers, and of floats


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
    return list(np.asarray(objects(x)).flat) if isinstance(x, (np.ndarray, list, tuple)) else [x]


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
