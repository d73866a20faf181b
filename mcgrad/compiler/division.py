"""The remainder of a division of SIMD lanes, without an error: `fmod` of C, on which Python's % and // stand."""

from .building import emitted, two_product
from .elementary import copysign
from .simd import F64, Value, absolute, any_lane, trunc, where


@emitted(F64)
def fmod(a: Value, b: Value) -> Value:
    """Return a - n b, where n is a/b without its fraction: exact, with the sign of a."""
    # For n < 2^26, n b is product + error without an error. a/b may have been rounded up to a whole number: then the
    # difference is negative, and one b too low.
    x, y = absolute(a), absolute(b)
    n = trunc(x / y)
    product, error = two_product(n, y)
    difference = (x - product) - error
    difference = where(difference < 0.0, difference + y, difference)

    # A cold branch for huge quotients, very large or small numbers and NaN.
    builder, before = a.builder, a.builder.block
    usual = (n < 2.0**26) & (x < 2.0**1000) & (y < 2.0**1000) & (y > 2.0**-900)
    with builder.if_then(any_lane(~usual), likely=False):
        exact = where(usual, difference, Value(builder, builder.frem(x.ir, y.ir)))
        cold = builder.block
    merged = builder.phi(difference.ir.type)
    merged.add_incoming(difference.ir, before)
    merged.add_incoming(exact.ir, cold)
    return copysign(Value(builder, merged), a)
