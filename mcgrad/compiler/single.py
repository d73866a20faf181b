"""Single precision: elementary functions and noise on float32 lanes.

What a kernel says is the same in either precision; here are the functions that are worth writing anew for float32. All others
are computed in float64 and rounded (`version`). Special values are those of C99; largest errors are a test's.

Polynomials minimise the largest relative error over the reduced range, coefficients rounded to float32 one after the other.
"""

from collections.abc import Callable
from typing import Any

from . import elementary
from .building import emitted
from .elementary import INF, NAN, copysign
from .polynomials import polynomial
from .simd import F32, U32, Value, absolute, any_lane, bits, floats, narrow, rounded, sqrt, vector, where, widen

# sin r = r + r y S(y),  cos r = 1 - y/2 + y^2 C(y)  with  y = r^2,  |r| <= pi/4
SIN = (-0.16666655242443085, 0.008332191966474056, -0.00019518790941219777)
COS = (0.04166664555668831, -0.00138873013202101, 2.443066296109464e-05)
# sin(pi f) = f S(f^2),  cos(pi f) = C(f^2)  for  |f| <= 1/2
SIN_PI = (3.1415927410125732, -5.167721748352051, 2.550299882888794, -0.5996724963188171, 0.08036365360021591)
COS_PI = (1.0, -4.934802055358887, 4.0587053298950195, -1.335161566734314, 0.23468372225761414, -0.023963654413819313)
# exp r = 1 + r + r^2 E(r)  for  |r| <= ln(2)/2
EXP = (0.5, 0.1666651964187622, 0.041666410863399506, 0.008368815295398235, 0.001393985585309565)
# log(1 + f) = f - f^2/2 + f^3 L(f)  for  1/sqrt(2) <= 1 + f < sqrt(2)
LOG = (
    0.3333331346511841, -0.25000008940696716, 0.20002073049545288, -0.16667993366718292, 0.1422032117843628,
    -0.12406114488840103, 0.11883742362260818, -0.11670895665884018, 0.0674971491098404,
)  # fmt: skip
# tanh a = a + a y T(y)  with  y = a^2,  a <= 5/8
TANH = (-0.3333328068256378, 0.13331414759159088, -0.05373776704072952, 0.020633498206734657, -0.005699374713003635)
MAGIC = 1.5 * 2.0**23  # x + MAGIC rounds x to an integer, and its lowest bits are that integer
# Sums whose first terms have so few bits that their products with the integers in question are exact.
PI_2 = (1.5703125, 0.0004837512969970703, 7.54978995489188e-08)
LN2 = (0.693359375, -0.00021219444)
FAR = 2.0**12  # |x| up to which 11-bit multiples of pi/2 are subtracted in float32
SQRT_HALF = 0x3F3504F3


# ---- elementary functions ------------------------------------------------------------------------------------------


@emitted(F32, F32)
def sincos_single(x: Value) -> tuple[Value, ...]:
    """Return sin x and cos x."""
    k = x * 0.6366197723675814 + MAGIC
    q, k = bits(k), k - MAGIC
    r = ((x - k * PI_2[0]) - k * PI_2[1]) - k * PI_2[2]
    y = r * r
    s, c = r + r * (y * polynomial(y, SIN)), 1.0 - (0.5 * y - y * y * polynomial(y, COS))
    odd = (q & 1) == 1
    sine, cosine = where(odd, c, s), where(odd, s, c)
    sine, cosine = floats(bits(sine) ^ ((q & 2) << 30)), floats(bits(cosine) ^ (((q + 1) & 2) << 30))

    # A cold branch for large arguments and near-zero results there: in float64.
    builder, before = x.builder, x.builder.block
    large = ~(absolute(x) < FAR)
    with builder.if_then(any_lane(large), likely=False):
        exact = [narrow(z) for z in elementary.sincos(widen(x))]
        exact = [where(large, z, usual) for z, usual in zip(exact, (sine, cosine), strict=True)]
        cold = builder.block
    merged = []
    for usual, other in zip((sine, cosine), exact, strict=True):
        phi = builder.phi(usual.ir.type)
        phi.add_incoming(usual.ir, before)
        phi.add_incoming(other.ir, cold)
        merged.append(Value(builder, phi))
    return tuple(merged)


@emitted(F32)
def exp_single(x: Value) -> Value:
    """Return e^x."""
    x = where(x > 89.0, 89.0, x)
    x = where(x < -104.0, -104.0, x)
    k = x * 1.4426950408889634 + (MAGIC + 254.0)  # the lowest bits are k + 254, whose halves make two exponents
    n, k = bits(k), k - (MAGIC + 254.0)
    r = (x - k * LN2[0]) - k * LN2[1]
    n = n & 0x1FF
    half = n >> 1
    e = (1.0 + (r + r * r * polynomial(r, EXP))) * floats(half << 23)
    return e * floats((n - half) << 23)


def _log_sum(n: Value, f: Value) -> Value:
    """Return n ln 2 + log(1 + f)."""
    y = f * f
    return n * LN2[0] + (f - (0.5 * y - (f * y * polynomial(f, LOG) + n * LN2[1])))


def _binary(x: Value) -> tuple[Value, Value]:
    """Return n + 127 and m with x = 2^n m, 1/sqrt(2) <= m < sqrt(2), for positive normal x."""
    shifted = bits(x) + (0x3F800000 - SQRT_HALF)
    return shifted >> 23, floats((shifted & 0x007FFFFF) + SQRT_HALF)


def _exponent(n: Value, bias: Any) -> Value:
    """Return n - bias as a float32, for n below 2^23."""
    return floats(n | 0x4B000000) - (2.0**23 + bias)


@emitted(F32)
def log_single(x: Value) -> Value:
    """Return the natural logarithm of x."""
    subnormal = x < 2.0**-126
    n, m = _binary(where(subnormal, x * 2.0**24, x))
    y = _log_sum(_exponent(n, where(subnormal, 127.0 + 24.0, 127.0)), m - 1.0)
    y = where(x < INF, y, x)
    return where(x > 0.0, y, where(x == 0.0, -INF, NAN))


@emitted(F32)
def tanh_single(x: Value) -> Value:
    """Return the hyperbolic tangent of x."""
    a = absolute(x)
    y = a * a
    near, far = a + a * (y * polynomial(y, TANH)), 1.0 - 2.0 / (exp_single(2.0 * a) + 1.0)
    return copysign(where(a > 0.625, far, near), x)


ELEMENTARY = {
    "sin": lambda x: sincos_single(x)[0],
    "cos": lambda x: sincos_single(x)[1],
    "exp": exp_single,
    "log": log_single,
    "tanh": tanh_single,
}
# These need no other text for float32.
GENERIC = ("sqrt", "absolute", "floor", "rint", "trunc", "copysign", "minimum", "maximum")


def version(name: str, function: Any) -> Callable[..., Any]:
    """Return what a function means where some of its arguments are float32 lanes; numbers of float64 stay what they are."""
    on_single = ELEMENTARY.get(name) or (function if name in GENERIC else None)

    def call(*arguments):
        if not any(isinstance(x, Value) and x.element == F32 for x in arguments):
            return function(*arguments)
        if on_single is not None:
            return on_single(*(narrow(x) if isinstance(x, Value) else x for x in arguments))
        return narrow(function(*(widen(x) if isinstance(x, Value) else x for x in arguments)))

    return call


# ---- noise -----------------------------------------------------------------------------------------------------------


def from_word() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the functions of a word that make two standard normals and a uniform number, as `noise.from_word` does."""
    return normal_pair, uniform


def normal_pair(word: Value) -> tuple[Value, Value]:
    """Return the two normals of a word, see `noise`: those of double precision up to 3e-7."""
    # u in double precision, rounded; near 1, where log u is small, u - 1 is rounded instead.
    builder, width = word.builder, word.width
    u = floats((word >> 12) & 0x000FFFFFFFFFF000 | 0x3FF0000000000000) - (1.0 - 2.0**-41)
    n, m = _binary(narrow(u))
    f = where(n == 127, narrow(u - 1.0), m - 1.0)
    r = sqrt(-2.0 * _log_sum(_exponent(n, 127.0), f))
    low = Value(builder, builder.trunc(word.ir, vector(U32, width)))
    angle = (floats((low >> 1) & 0x007FFFFF | 0x3F800000) - 1.5) + 2.0**-24
    r = floats(bits(r) ^ (low << 31))
    y = angle * angle
    return rounded(r * polynomial(y, COS_PI)), rounded(r * (angle * polynomial(y, SIN_PI)))


def uniform(word: Value) -> Value:
    """Return the uniform number of a word: that of double precision, rounded, below 1."""
    u = narrow(floats((word >> 12) | 0x3FF0000000000000) - (1.0 - 2.0**-53))
    return where(u < 1.0, u, 1.0 - 2.0**-24)
