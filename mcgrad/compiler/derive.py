"""Derive: one reverse sweep over a graph gives vector-Jacobian products, one forward sweep Jacobian-vector products.

For outputs y of a graph and cotangents ybar, `pull_back` adds the nodes of xbar = (dy/dx)^T ybar to the same graph; for
tangents xdot of inputs, `push_forward` adds those of ydot = (dy/dx) xdot. A sweep visits every node once, the one from the
last to the first, the other from the first to the last, so that its cost is a small multiple of the graph's own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .errors import TraceError
from .functions import lookup
from .operations import BOOLEAN
from .table import Names
from .trace import Graph, Node, Number, Numbers, Tracer, apply, operands, same

LookedUp: TypeAlias = tuple[Tracer, tuple[int, ...], Number]  # index, positions of the table's elements, cotangent
Partials: TypeAlias = Sequence[Any]  # by argument: a number, a `_Choice`, or None

TWO_OVER_SQRT_PI, SQRT_TWO_PI = 2.0 / math.sqrt(math.pi), math.sqrt(2.0 * math.pi)

# A table of more elements is worth sums in memory instead of in registers: a scatter costs about as much as so many sums.
LARGE = 12


def pull_back(
    graph: Graph,
    outputs: Sequence[Number],
    cotangents: Sequence[Number],
    inputs: Sequence[Number],
    since: int = 0,
    looked_up: list[LookedUp] | None = None,
) -> Numbers:
    """Return the cotangents of `inputs` for given cotangents of `outputs`.

    Parameters
    ----------
    graph : Graph
        Where the outputs were traced; the sweep adds its nodes to it.
    outputs, cotangents : sequences of tracers or numbers
        Numbers among the outputs depend on nothing and are passed over.
    inputs : sequence of tracers
        Where the sweep stops: paths that lead past them are not followed.
    since : int
        Nodes before this index are not visited; none of them may depend on an input.
    looked_up : list, optional
        Gets (index, positions, cotangent) for each look-up in a table of more than `LARGE` inputs, given by their positions
        among `inputs`; what these add to the cotangents of their elements is then left out of the result.

    Returns
    -------
    tuple
        One tracer or number for each input; 0.0 where no output depends on it.
    """
    stops = {x.index: k for k, x in enumerate(inputs) if isinstance(x, Tracer)}
    bar: dict[int, Number] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        if isinstance(output, Tracer):
            bar[output.index] = plus(bar.get(output.index, 0.0), cotangent)
    for index in range(max(bar, default=-1), since - 1, -1):
        if index not in bar or index in stops:
            continue
        operation, arguments = graph.nodes[index]
        share = bar[index]
        if operation == "lookup" and isinstance(arguments[1], Names):
            continue  # none of these is an input
        if operation == "lookup" and looked_up is not None and len(arguments) - 1 > LARGE:
            positions = tuple(stops[x.index] for x in arguments[1:] if x.index in stops)
            if len(positions) == len(arguments) - 1:
                looked_up.append((arguments[0], positions, share))
                continue
        if operation == "lookup":
            # Each element of the table gets its share where it was the one that was read.
            for k, element in enumerate(arguments[1:]):
                if element.index in stops:
                    read = apply("where", apply("==", arguments[0], float(k)), share, 0.0)
                    bar[element.index] = plus(bar.get(element.index, 0.0), read)
        if operation not in PARTIALS:
            continue
        partials = PARTIALS[operation](Tracer(graph, index), *arguments)
        for argument, partial in zip(arguments, partials, strict=True):
            if isinstance(argument, Tracer) and partial is not None:
                contribution = times(partial, share)
                bar[argument.index] = plus(bar.get(argument.index, 0.0), contribution)
    return tuple(bar.get(x.index, 0.0) if isinstance(x, Tracer) else 0.0 for x in inputs)


def push_forward(
    graph: Graph, outputs: Sequence[Number], inputs: Sequence[Number], tangents: Sequence[Number]
) -> Numbers:
    """Return the tangents of `outputs` for given tangents of `inputs`.

    Parameters
    ----------
    graph : Graph
        Where the outputs were traced; the sweep adds its nodes to it.
    outputs : sequence of tracers or numbers
    inputs, tangents : sequences of tracers or numbers
        The tangent of an input is what is given, whatever it was computed from; numbers among the inputs have none.

    Returns
    -------
    tuple
        One tracer or number for each output; 0.0 where it depends on no input.
    """
    dot = {x.index: dx for x, dx in zip(inputs, tangents, strict=True) if isinstance(x, Tracer)}
    seeds, needed, waiting = set(dot), set(), [y.index for y in outputs if isinstance(y, Tracer)]
    while waiting:
        index = waiting.pop()
        if index not in needed and index not in seeds:
            needed.add(index)
            waiting += [x.index for x in _sources(graph.nodes[index])]
    for index in sorted(needed):
        operation, arguments = graph.nodes[index]
        moving = [isinstance(x, Tracer) and x.index in dot for x in arguments]
        if operation == "lookup" and any(moving[1:]):
            dot[index] = lookup(tuple(dot.get(x.index, 0.0) for x in arguments[1:]), arguments[0])
        if operation not in PARTIALS or not any(moving):
            continue
        partials = PARTIALS[operation](Tracer(graph, index), *arguments)
        total = 0.0
        for argument, partial, moves in zip(arguments, partials, moving, strict=True):
            if moves and partial is not None:
                total = plus(total, times(partial, dot[argument.index]))
        dot[index] = total
    return tuple(dot.get(y.index, 0.0) if isinstance(y, Tracer) else 0.0 for y in outputs)


def _sources(node: Node) -> list[Tracer]:
    """Return the tracers through which a node moves: where slopes are given, those that they are slopes in."""
    operation, arguments = node
    if operation == "given_slopes":
        return [x for x in arguments[1 : len(arguments) // 2 + 1] if isinstance(x, Tracer)]
    return operands(node)


def times(partial: Any, share: Number) -> Number:
    """Return partial * share, with a zero branch of a `where` in the share kept outside of the product.

    The cotangent of the branch that was not taken is where(c, ..., 0). Multiplied by an infinite partial derivative
    (sqrt at 0 behind a `where`), zero would become NaN; where(c, partial * ..., 0) stays zero. A sum of such cotangents,
    from two uses behind two conditions, stays zero where neither holds.
    """
    if isinstance(partial, _Choice):
        return partial.choose(share)
    if same(partial, 1.0):
        return share
    # A factor that is 0 for all trajectories says that there is no such path, whatever the other factor is.
    if _is_zero(partial) or _is_zero(share):
        return 0.0
    if isinstance(share, Tracer):
        operation, arguments = share.graph.nodes[share.index]
        if operation == "where":
            condition, a, b = arguments
            if _is_zero(b):
                return apply("where", condition, times(partial, a), 0.0)
            if _is_zero(a):
                return apply("where", condition, 0.0, times(partial, b))
        condition = _condition(share)
        if condition is not None:
            return apply("where", condition, apply("*", partial, share), 0.0)
    return apply("*", partial, share)


def _condition(share: Tracer) -> Tracer | None:
    """Return the condition without which a cotangent is zero, or None if there is none."""
    operation, arguments = share.graph.nodes[share.index]
    if operation == "where":
        condition, a, b = arguments
        if _is_zero(b):
            return condition
        if _is_zero(a):
            return apply("~", condition)
    if operation in "+-" and all(isinstance(x, Tracer) for x in arguments):
        conditions = [_condition(x) for x in arguments]
        if None not in conditions:
            return apply("|", *conditions)
    return None


def plus(a: Number, b: Number) -> Number:
    """Return a + b, where two terms behind the same condition, or its two branches, share one `where`."""
    if isinstance(a, Tracer) and isinstance(b, Tracer):
        (left, (*first,)), (right, (*second,)) = a.graph.nodes[a.index], b.graph.nodes[b.index]
        if left == right == "where" and first[0].index == second[0].index:
            if all(_is_zero(x[2]) for x in (first, second)):
                return apply("where", first[0], plus(first[1], second[1]), 0.0)
            if all(_is_zero(x[1]) for x in (first, second)):
                return apply("where", first[0], 0.0, plus(first[2], second[2]))
            if _is_zero(first[2]) and _is_zero(second[1]):
                return apply("where", first[0], first[1], second[2])
            if _is_zero(first[1]) and _is_zero(second[2]):
                return apply("where", first[0], second[1], first[2])
    return apply("+", a, b)


def _is_zero(x: object) -> bool:
    return not isinstance(x, Tracer) and x == 0.0


class _Choice:
    """The partial derivative of one branch of a choice: passes the cotangent on where the branch was taken."""

    def __init__(self, condition: Number, taken: bool) -> None:
        self.condition, self.taken = condition, taken

    def choose(self, share: Number) -> Number:
        pair = (share, 0.0) if self.taken else (0.0, share)
        return apply("where", self.condition, *pair)


def _sign(x: Number) -> Number:
    return apply("where", x > 0.0, 1.0, apply("where", x < 0.0, -1.0, x))  # 0 for 0, and NaN for NaN


def _where_defined(condition: Number, partial: Number) -> Number:
    """Return a partial derivative, NaN where its function is: 1 / x is a number for x < 0, but not a derivative of log."""
    return apply("where", condition, partial, float("nan"))


def _divide(y: Number, a: Number, b: Number) -> Partials:
    return 1.0 / b, -(y / b)


def _power(y: Number, a: Number, b: Number) -> Partials:
    of_exponent = None
    if isinstance(b, Tracer):
        # 0**b is 0 for all b > 0, and so is its derivative: 0 * log 0 would be NaN.
        of_exponent = y * apply("log", apply("where", apply("==", a, 0.0), 1.0, a))
    return b * apply("power", a, b - 1.0), of_exponent


def _arctan2(y: Number, a: Number, b: Number) -> Partials:
    square = a * a + b * b
    return b / square, -(a / square)


def _given_slopes(y: Number, value: Number, *arguments: Number) -> Partials:
    count = len(arguments) // 2
    return (None, *arguments[count:], *(None,) * count)


def _minimum(y: Number, a: Number, b: Number) -> Partials:
    first = apply("<", a, b)
    return _Choice(first, True), _Choice(first, False)


def _maximum(y: Number, a: Number, b: Number) -> Partials:
    first = apply(">", a, b)
    return _Choice(first, True), _Choice(first, False)


def _no_derivative(name: str) -> Callable[..., Partials]:
    def refuse(y, a):
        raise TraceError(
            f"the derivative of {name} was asked for, which is not known here: a gradient of this estimator takes one "
            "derivative more than there are"
        )

    return refuse


# Operation -> partial derivatives by argument, from the result y and the arguments. None: not differentiable, or zero.
# Comparisons, logic and what makes whole numbers have derivative zero where they have one: see `FLAT`.
PARTIALS: dict[str, Callable[..., Partials]] = {
    "+": lambda y, a, b: (1.0, 1.0),
    "-": lambda y, a, b: (1.0, -1.0),
    "*": lambda y, a, b: (b, a),
    "/": _divide,
    "alias": lambda y, a: (1.0,),
    "given_slopes": _given_slopes,
    "neg": lambda y, a: (-1.0,),
    "sin": lambda y, a: (apply("cos", a),),
    "cos": lambda y, a: (-apply("sin", a),),
    "tan": lambda y, a: (1.0 + y * y,),
    "arcsinh": lambda y, a: (1.0 / apply("hypot", 1.0, a),),
    "arccosh": lambda y, a: (_where_defined(a >= 1.0, 1.0 / apply("sqrt", (a - 1.0) * (a + 1.0))),),
    "arctanh": lambda y, a: (_where_defined(apply("absolute", a) <= 1.0, 1.0 / ((1.0 - a) * (1.0 + a))),),
    "exp": lambda y, a: (y,),
    "expm1": lambda y, a: (1.0 + y,),
    "log": lambda y, a: (_where_defined(a >= 0.0, 1.0 / a),),
    "log1p": lambda y, a: (_where_defined(a >= -1.0, 1.0 / (1.0 + a)),),
    "sqrt": lambda y, a: (0.5 / y,),
    "cbrt": lambda y, a: (1.0 / (3.0 * (y * y)),),
    "hypot": lambda y, a, b: (a / y, b / y),
    "copysign": lambda y, a, b: (apply("copysign", 1.0, a) * apply("copysign", 1.0, b), None),
    "fmod": lambda y, a, b: (1.0, -apply("rint", (a - y) / b)),
    "remainder": lambda y, a, b: (1.0, -apply("floor_divide", a, b)),
    "expit": lambda y, a: (y * apply("expit", -a),),
    "logit": lambda y, a: (_where_defined((a >= 0.0) & (a <= 1.0), 1.0 / (a * (1.0 - a))),),
    "logaddexp": lambda y, a, b: (apply("expit", a - b), apply("expit", b - a)),
    "erf": lambda y, a: (TWO_OVER_SQRT_PI * apply("exp", -(a * a)),),
    "erfc": lambda y, a: (-TWO_OVER_SQRT_PI * apply("exp", -(a * a)),),
    "erfcx": lambda y, a: (2.0 * a * y - TWO_OVER_SQRT_PI,),
    "erfinv": lambda y, a: (apply("exp", y * y) / TWO_OVER_SQRT_PI,),
    "ndtr": lambda y, a: (apply("exp", -0.5 * (a * a)) / SQRT_TWO_PI,),
    "ndtri": lambda y, a: (apply("exp", 0.5 * (y * y)) * SQRT_TWO_PI,),
    # The density over the probability, which may both be too small for a number
    "log_ndtr": lambda y, a: (2.0 / SQRT_TWO_PI / apply("erfcx", a * -math.sqrt(0.5)),),
    "lgamma": lambda y, a: (apply("digamma", a),),
    "betaln": lambda y, a, b: tuple(apply("digamma", x) - apply("digamma", a + b) for x in (a, b)),
    "digamma": lambda y, a: (apply("trigamma", a),),
    "trigamma": lambda y, a: (apply("tetragamma", a),),
    "tetragamma": _no_derivative("tetragamma"),
    "tanh": lambda y, a: (1.0 - y * y,),
    "arctan2": _arctan2,
    "power": _power,
    "absolute": lambda y, a: (_sign(a),),
    "minimum": _minimum,
    "maximum": _maximum,
    "where": lambda y, c, a, b: (None, _Choice(c, True), _Choice(c, False)),
}

FLAT = BOOLEAN | {"floor", "rint", "trunc", "floor_divide"}
