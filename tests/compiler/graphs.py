"""Shared by the tests of the compiler: traced functions, two ways to evaluate them, and random expressions."""

import numpy as np

from mcgrad.compiler import on_numpy
from mcgrad.compiler.emit import function_text
from mcgrad.compiler.errors import stated
from mcgrad.compiler.functions import power, where
from mcgrad.compiler.namespaces import rebind
from mcgrad.compiler.operations import OPERATIONS
from mcgrad.compiler.trace import Graph, Tracer, apply, is_number


def traced(function, inputs):
    """Return (graph, inputs, outputs) of function(s), s a tuple of so many tracers; the outputs as a flat list."""
    graph = Graph()
    s = tuple(graph.input(f"s{i}") for i in range(inputs))
    with stated():
        return graph, s, flat(rebind(function)(s))


def flat(result):
    """Return a number, tuple or array of numbers as a flat list of tracers and floats."""
    if isinstance(result, (tuple, list, np.ndarray)):
        return [y for x in result for y in flat(x)] if np.ndim(result) else flat(result[()])
    if isinstance(result, Tracer):
        return [apply("*", result, 1.0)]  # a condition counts as 0 or 1
    assert is_number(result), result
    return [float(result)]


def text_of(graph, outputs, inputs, names=()):
    """Return the emitted text of a function f(s)."""
    return function_text("f", {"s": [f"s{i}" for i in range(inputs)]}, graph, outputs, names)


def run(graph, outputs, values):
    """Evaluate outputs by the emitted text, on NumPy; `values` has a row for each input."""
    namespace = on_numpy.names()
    exec(text_of(graph, outputs, len(values)), namespace)
    with np.errstate(all="ignore"):
        results = namespace["f"](tuple(values))
    return np.array([np.broadcast_to(x, values[0].shape) for x in results])


def direct(graph, outputs, values):
    """Evaluate outputs node by node, without any text: the slow obvious way."""
    known = []
    with np.errstate(all="ignore"):
        for operation, arguments in graph.nodes:
            if operation == "input":
                known.append(values[int(arguments[0][1:])])
            else:
                known.append(
                    OPERATIONS[operation](*(known[x.index] if isinstance(x, Tracer) else x for x in arguments))
                )
    return np.array([np.broadcast_to(known[x.index] if isinstance(x, Tracer) else x, values[0].shape) for x in outputs])


def random_expression(rng, s, size):
    """Return a tuple of three results of `size` random operations; smooth nearly everywhere, and of moderate size."""
    pool = list(s)

    def pick():
        # Prefer what is new, so that expressions get deep; inputs keep them from getting constant.
        kind = rng.random()
        if kind < 0.1:
            return float(np.round(rng.normal(), 1))
        return s[rng.integers(len(s))] if kind < 0.4 else pool[-1 - int(rng.integers(min(len(pool), 6)))]

    for _ in range(size):
        a, b, c = pick(), pick(), pick()
        pool.append(_RANDOM[rng.integers(len(_RANDOM))](a, b, c))
    return tuple(pool[-3:])


def _sin(x):
    return apply("sin", x)


def _soft(x):
    return apply("tanh", x)


# Built on a and b of any size; what could grow is tamed by sin or tanh.
_RANDOM = (
    lambda a, b, c: a + b,
    lambda a, b, c: a - (b - c),
    lambda a, b, c: a - b + c,
    lambda a, b, c: _sin(a) * b,
    lambda a, b, c: -a * (_soft(b) - c),
    lambda a, b, c: a / (2.0 + _sin(b)),
    lambda a, b, c: a / (b * b + 1.0) / (c * c + 1.0),
    lambda a, b, c: a / (3.0 / (2.0 + _sin(b))),
    lambda a, b, c: -(-a - b),
    lambda a, b, c: apply("cos", a) - -b,
    lambda a, b, c: apply("tan", 0.9 * _sin(a)),
    lambda a, b, c: apply("exp", _soft(a)) + b,
    lambda a, b, c: apply("expm1", _soft(a) - _sin(b)),
    lambda a, b, c: apply("log", 1.5 + _sin(a)),
    lambda a, b, c: apply("log1p", a * a),
    lambda a, b, c: apply("sqrt", 1.0 + a * a),
    lambda a, b, c: _soft(a) * c,
    lambda a, b, c: apply("arctan2", a, b),
    lambda a, b, c: power(1.5 + _sin(a), _sin(b)),
    lambda a, b, c: power(1.5 + _soft(a), 0.3),
    lambda a, b, c: power(_soft(a), 3) - power(1.0 + b * b, -0.5),
    lambda a, b, c: abs(a) + b,
    lambda a, b, c: apply("minimum", a, b),
    lambda a, b, c: apply("maximum", a - c, b),
    lambda a, b, c: apply("floor", 3.0 * _sin(a)) * _sin(b),
    lambda a, b, c: where(apply("<", a, b), c, -b),
    lambda a, b, c: where(apply("&", apply(">", a, 0.0), apply("<=", b, c)), _sin(a), c * 0.5),
    lambda a, b, c: where(apply("|", apply("~", apply(">=", a, 0.3)), apply("!=", b, c)), b, _soft(a)),
    lambda a, b, c: apply("<", a, b) + apply("==", b, c) * _sin(a),
    lambda a, b, c: where(apply(">", a, 0.0), apply("sqrt", a), _sin(b)),
    lambda a, b, c: where(apply(">", b, 0.0), a, 0.0) - where(apply("<", b, 0.0), apply("log", -b) * _sin(b), 0.0),
)
