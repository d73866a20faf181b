"""What functions of SIMD lanes are built with: one copy in a module, and sums and products with their rounding errors."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir

from .simd import Value, bits, floats, rounded, vector

# A module that calls a function so often gets it once: inlined a hundred times, `exp` takes seconds to compile.
MANY_CALLS = 40


def emitted(
    *results: ir.Type, hints: tuple[str, ...] = ("alwaysinline",)
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Emit the decorated function once per module and number of lanes; its results have these element types.

    A call has no side effects, so LLVM merges calls with the same arguments before it inlines them: sin(x),
    cos(x) and tan(x) share their work. Arguments may be numbers, if one of them is a `Value`.
    """

    def decorate(function):
        @wraps(function)
        def call(*arguments):
            widest = max((a for a in arguments if isinstance(a, Value)), key=lambda a: a.width)
            builder, lifted = widest.builder, [widest.lift(a).ir for a in arguments]
            returned = ir.LiteralStructType([vector(element, widest.width) for element in results])
            name = f"mcgrad.{function.__name__}.{widest.width}"
            callee = builder.module.globals.get(name)
            if callee is None:
                signature = ir.FunctionType(returned, [x.type for x in lifted])
                callee = ir.Function(builder.module, signature, name)
                callee.linkage = "internal"
                callee.attributes.update(["nounwind", "readnone", *hints])
                body = ir.IRBuilder(callee.append_basic_block())
                values = function(*(Value(body, x) for x in callee.args))
                values = values if isinstance(values, tuple) else (values,)
                packed = ir.Constant(returned, ir.Undefined)
                for k, x in enumerate(values):
                    packed = body.insert_value(packed, x.ir, k)
                body.ret(packed)
            callee.calls = getattr(callee, "calls", 0) + 1
            if callee.calls == MANY_CALLS:
                callee.attributes.discard("alwaysinline")
                callee.attributes.add("noinline")
            packed = builder.call(callee, lifted)
            values = tuple(Value(builder, builder.extract_value(packed, k)) for k in range(len(results)))
            return values if len(results) > 1 else values[0]

        return call

    return decorate


def two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """Return the rounded sum of a and b and its rounding error (Knuth)."""
    a, b = rounded(a), rounded(b)
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def fast_two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """Return the rounded sum of a and b and its rounding error, if |a| >= |b| or a = 0 (Dekker)."""
    a, b = rounded(a), rounded(b)
    s = a + b
    return s, b - (s - a)


def two_product(a: Any, b: Any) -> tuple[Value, Value]:
    """Return the rounded product of a and b and its rounding error up to 2^-105 |a b| (Dekker).

    In the error term, fusing would do no harm: its products are exact.
    """
    a, b = map(rounded, (a, a.lift(b)) if isinstance(a, Value) else (b.lift(a), b))
    product = rounded(a * b)
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, ((a1 * b1 - product) + (a1 * b2 + a2 * b1)) + a2 * b2


def _halves(x: Value) -> tuple[Value, Value]:
    """Split x into a sum of two numbers of 26 and 27 bits."""
    upper = floats(bits(x) & 0xFFFFFFFFF8000000)
    return upper, x - upper
