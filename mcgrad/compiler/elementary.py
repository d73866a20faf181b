"""Elementary functions of `Value`s: sine, exponential, logarithm, ... as LLVM vector instructions.

Every function is an argument reduction, a polynomial and a reconstruction, made of operations that IEEE 754
defines. No C library is called, so the bits depend neither on it nor on the number of lanes; they depend on
the machine only through its having fused multiply-add (FMA) or not.

Special values (infinities, NaN, signed zeros, overflow, underflow) are those of C99, Annex F. The largest
errors that were found over all float64 arguments, in units in the last place of the exact result (about 10^7
random arguments for each function against extended precision, and difficult ones against mpmath):

| function      | with FMA | without FMA | a test asserts |
|---------------|----------|-------------|----------------|
| sin, cos      | 1.20     | 1.45        | 1.5            |
| tan           | 2.37     | 2.78        | 2.9            |
| exp           | 1.03     | 0.99        | 1.1            |
| expm1         | 1.24     | 1.16        | 1.3            |
| log           | 0.83     | 0.83        | 0.9            |
| log1p         | 0.84     | 0.82        | 0.9            |
| tanh          | 2.50     | 2.50        | 2.6            |
| arctan2       | 2.35     | 2.33        | 2.5            |
| power         | 1.10     | 1.08        | 1.2            |
| log_unit      | 1.23     | 1.51        | 1.6            |

The absolute error of `sincospi_half` is below 3.5e-16.

The polynomials minimise the largest relative error of the function over its reduced range (Remez exchange in
120 digits; the leading coefficient is rounded to float64 before the others are fitted).
"""

from typing import Any

from llvmlite import ir

from .building import emitted, fast_two_sum, two_product, two_sum
from .gamma import SIN_PI
from .polynomials import polynomial
from .reduction import payne_hanek
from .simd import F64, U64, Value, absolute, any_lane, bits, floats, floor, llvm_function, rounded, vector, where

INF, NAN = float("inf"), float("nan")
MAGIC = 1.5 * 2.0**52  # x + MAGIC rounds x to an integer, and its lowest bits are that integer
copysign = llvm_function("copysign")


# ---- sine, cosine, tangent ---------------------------------------------------------------------------------

# sin r = r + r y S(y),  cos r = 1 - y/2 + y^2 C(y)  with  y = r^2,  |r| <= pi/4.
# The leading zero is that of 0 + y S(y), which is +0 for y = 0: this keeps the sign of r = -0.
SIN = (
    0.0, -0.1666666666666663, 0.00833333333332184, -0.00019841269829358514, 2.7557313538502604e-06,
    -2.5050734386237655e-08, 1.589543304386128e-10,
)  # fmt: skip
COS = (
    1.0, -0.5, 0.041666666666666595, -0.0013888888888873338, 2.480158728899748e-05,
    -2.7557314215297774e-07, 2.0875705114598626e-09, -1.1358732742104723e-11,
)  # fmt: skip

# pi/2 as a sum. The first two terms have so few bits that their products with integers k < 2^18 are exact.
# For each such k, k times the error of the sum is below 2^-58 of the distance of k pi/2 to any float64.
PI_2 = (1.5707963267923333, 2.5633441515839558e-12, 1.0562999066987428e-23)
TWO_PI = 0.6366197723675814  # 2/pi
LARGEST = 2.0**18


@emitted(F64, F64, U64)
def _quadrant(x: Value) -> tuple[Value, ...]:
    """Return r, e, q with x = r - e + q pi/2 (mod 2 pi), |r| <= pi/4, |e| <= ulp(r)/2; q counts modulo 4."""
    # x - k pi/2 term by term. The first difference is exact; what the others lose goes into the next term.
    k = x * TWO_PI + MAGIC
    q, k = bits(k), k - MAGIC
    first = x - k * PI_2[0]
    second = first - k * PI_2[1]
    rest = k * PI_2[2] - ((first - second) - k * PI_2[1])
    r = second - rest
    e = rest - (second - r)

    # A cold branch for huge arguments: every lane is reduced anew, the huge ones take the result.
    # (For infinity, r is NaN already.)
    builder = x.builder
    huge = absolute(x) >= LARGEST
    before = builder.block
    with builder.if_then(any_lane(huge), likely=False):
        huge = huge & (absolute(x) < INF)
        mixed = [where(huge, a, b) for a, b in zip(_quadrant_huge(x), (r, e, q), strict=True)]
        cold = builder.block
    merged = []
    for usual, other in zip((r, e, q), mixed, strict=True):
        phi = builder.phi(usual.ir.type)
        phi.add_incoming(usual.ir, before)
        phi.add_incoming(other.ir, cold)
        merged.append(Value(builder, phi))
    return tuple(merged)


@emitted(F64, F64)
def sincos(x: Value) -> tuple[Value, Value]:
    """Return sin x and cos x."""
    # To first order in e:  sin(r - e) = sin r - e,  cos(r - e) = cos r + r e.
    r, e, q = _quadrant(x)
    y = r * r
    s, c = r + (r * polynomial(y, SIN) - e), polynomial(y, COS) + r * e
    odd = (q & 1) == 1
    sine, cosine = where(odd, c, s), where(odd, s, c)
    return floats(bits(sine) ^ ((q & 2) << 62)), floats(bits(cosine) ^ (((q + 1) & 2) << 62))


def sin(x: Value) -> Value:
    """Return the sine of x."""
    return sincos(x)[0]


def cos(x: Value) -> Value:
    """Return the cosine of x."""
    return sincos(x)[1]


def tan(x: Value) -> Value:
    """Return the tangent of x."""
    sine, cosine = sincos(x)
    return sine / cosine


COLD = ("noinline", "cold")
_payne_hanek = emitted(F64, F64, U64, hints=COLD)(payne_hanek)


@emitted(F64, F64, U64, hints=COLD)
def _quadrant_huge(x: Value) -> tuple[Value, ...]:
    """Return r, e, q of `_quadrant` for finite |x| >= 2^18, lane by lane; the other lanes get any numbers."""
    if x.width == 1:
        return _payne_hanek(x)
    builder = x.builder
    columns = [ir.Constant(vector(element, x.width), ir.Undefined) for element in (F64, F64, U64)]
    for lane in range(x.width):
        lane = ir.IntType(32)(lane)
        numbers = _payne_hanek(Value(builder, builder.extract_element(x.ir, lane)))
        columns = [builder.insert_element(c, n.ir, lane) for c, n in zip(columns, numbers, strict=True)]
    return tuple(Value(builder, column) for column in columns)


# ---- exponential functions ---------------------------------------------------------------------------------

# exp r = 1 + r + r^2 E(r),  |r| <= ln(2)/2
EXP = (
    0.5, 0.16666666666666602, 0.04166666666662, 0.008333333333388423, 0.0013888888920500823,
    0.00019841269709276984, 2.4801516359673012e-05, 2.755742511820331e-06, 2.762222189793176e-07,
    2.5045892822815124e-08,
)  # fmt: skip
LOG2_E = 1.4426950408889634
LN2 = (0.6931471804855391, 7.440617110012397e-11)  # a sum; 20-bit multiples of the first term are exact


def _ln2_multiple(x: Value, offset: float) -> tuple[Value, Value, Value]:
    """Return a, b, n with x = a - b + k ln 2, |a - b| <= ln(2)/2; the lowest bits of n are k + offset."""
    k = x * LOG2_E + (MAGIC + offset)
    n, k = bits(k), k - (MAGIC + offset)
    return x - k * LN2[0], k * LN2[1], n


def _exp_sum(x: Value, low: Value | None = None) -> Value:
    """Return exp(x + low) for -746 <= x <= 710 and |low| <= ulp(x)."""
    # 2^k = 2^floor(k/2) 2^ceil(k/2): only the last product can overflow or become subnormal.
    a, b, n = _ln2_multiple(x, 2 * 1023)
    r = a - b if low is None else a - (b - low)
    half = n >> 1
    e = (1.0 + (r + r * r * polynomial(r, EXP))) * floats(half << 52)
    return e * floats((n - half) << 52)


@emitted(F64)
def exp(x: Value) -> Value:
    """Return e^x."""
    x = where(x > 710.0, 710.0, x)
    return _exp_sum(where(x < -746.0, -746.0, x))


def _half_expm1(x: Value) -> Value:
    """Return (e^x - 1) / 2 for -45 <= x <= 710."""
    # x = r + low + k ln 2;  w + v = 1 + r;  s + t = 2^(k-1) w - 1/2, all without an error.
    # (e^x - 1) / 2 = s + t + 2^(k-1) (v + low + r^2 E(r))
    a, b, n = _ln2_multiple(x, 1022)
    scale = floats(n << 52)
    r, low = fast_two_sum(a, -b)
    w, v = fast_two_sum(r.constant(1.0), r)
    s, t = two_sum(scale * w, scale.constant(-0.5))
    return s + (t + scale * ((v + low) + r * r * polynomial(r, EXP)))


@emitted(F64)
def expm1(x: Value) -> Value:
    """Return e^x - 1."""
    y = where(x > 710.0, 710.0, x)
    y = _half_expm1(where(y < -45.0, -45.0, y))
    return where(absolute(x) < 2.0**-53, x, 2.0 * y)


@emitted(F64)
def tanh(x: Value) -> Value:
    """Return the hyperbolic tangent of x."""
    # tanh a = -h / (1 + h)  with  h = (e^(-2a) - 1) / 2
    a = absolute(x)
    h = _half_expm1(where(a > 22.0, 22.0, a) * -2.0)
    return copysign(h / (1.0 + h), x)


# ---- logarithms --------------------------------------------------------------------------------------------

# log m = 2 s + s y L(y)  with  s = f / (2 + f),  f = m - 1,  y = s^2,  1/sqrt(2) <= m < sqrt(2)
LOG = (
    0.6666666666666734, 0.3999999999941653, 0.2857142874206975, 0.22222198599499676, 0.18183563195143954,
    0.1531407482227958, 0.14795744543994116,
)  # fmt: skip
# 1 / (1 + f) = 1 + f I(f), to one percent
INVERSE = (-1.0017857476427294, 1.0883122174106268, -0.9705623534453984)
LN2_ROUNDED = 0.6931471805599453
SQRT_HALF = 0x3FE6A09E667F3BCD


def _binary(x: Value) -> tuple[Value, Value]:
    """Return n + 1023 and f with x = 2^n (1 + f), 1/sqrt(2) <= 1 + f < sqrt(2), for positive normal x."""
    shifted = bits(x) + (0x3FF0000000000000 - SQRT_HALF)
    return shifted >> 52, floats((shifted & 0x000FFFFFFFFFFFFF) + SQRT_HALF) - 1.0


def _binary_any(x: Value) -> tuple[Value, Value]:
    """Return n (as a float64) and f of `_binary` for all positive x."""
    subnormal = x < 2.0**-1022
    n, f = _binary(where(subnormal, x * 2.0**54, x))
    return _exponent(n, where(subnormal, 1023.0 + 54.0, 1023.0)), f


def _exponent(n: Value, bias: Any = 1023.0) -> Value:
    """Return n - bias as a float64, for uint64 n below 2^52."""
    return floats(n | 0x4330000000000000) - (2.0**52 + bias)


def _log_sum(n: Value, f: Value, low: Any = 0.0) -> Value:
    """Return log(2^n (1 + f)) + low."""
    # log(1 + f) = f - (h - s (h + y L))  with  h = f^2 / 2
    s = f / (2.0 + f)
    y = s * s
    h = 0.5 * f * f
    return n * LN2[0] + (f - (h - (s * (h + y * polynomial(y, LOG)) + (n * LN2[1] + low))))


@emitted(F64)
def log(x: Value) -> Value:
    """Return the natural logarithm of x."""
    y = where(x < INF, _log_sum(*_binary_any(x)), x)
    return where(x > 0.0, y, where(x == 0.0, -INF, NAN))


@emitted(F64)
def log1p(x: Value) -> Value:
    """Return log(1 + x)."""
    # With u + v = 1 + x exactly, u = 2^n (1 + f):  log(u + v) = log u + v / u,  v / u = 2^-n v (1 + f I(f)).
    u, v = two_sum(x, x.constant(1.0))
    n, f = _binary(u)
    low = 0.5 * v * floats((2047 - n) << 52) * (1.0 + f * polynomial(f, INVERSE))
    y = where(x < INF, _log_sum(_exponent(n), f, low), x)
    y = where(x > -1.0, y, where(x == -1.0, -INF, NAN))
    return where(absolute(x) < 2.0**-53, x, y)


# ---- inverse tangent ---------------------------------------------------------------------------------------

# arctan t = t + t y A(y)  with  y = t^2,  |t| <= tan(pi/8)
ATAN = (
    -0.333333333333332, 0.19999999999953819, -0.14285714280223555, 0.11111110784986837,
    -0.09090897805862704, 0.0769206113100893, -0.06663114992967413, 0.05847971903989936,
    -0.05039687173649505, 0.038074480630106704, -0.017918245339916917,
)  # fmt: skip
TAN_PI_8 = 0.41421356237309503
PI_4 = (0.7853981633974456, 2.6951514290790595e-15)  # a sum; small multiples of the first term are exact


@emitted(F64)
def arctan2(y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y), between -pi and pi."""
    # With 0 <= low/high <= 1:  arctan(low/high) = arctan t,  t = low/high,  or, if this is steep,
    # arctan(low/high) = pi/4 + arctan t,  t = (low - high) / (low + high).
    # The scale keeps sums finite and products normal.
    px, py = absolute(x), absolute(y)
    swapped, left = py > px, bits(x) >> 63 == 1
    low, high = where(swapped, px, py), where(swapped, py, px)
    scale = where(high > 2.0**1000, 2.0**-4, where(high < 2.0**-900, 2.0**100, 1.0))
    low, high = low * scale, where(high == 0.0, 1.0, high * scale)
    steep = low >= high * TAN_PI_8
    difference = where(low == high, 0.0, low - high)  # of two infinities, too
    t = where(steep, difference, low) / where(steep, low + high, high)
    z = t * t
    angle = t + t * (z * polynomial(z, ATAN))

    # Mirror at the diagonal (pi/2 - angle) and the vertical (pi - angle): eighths of the circle, +-angle.
    sign = where(swapped ^ left, -1.0, 1.0)
    eighths = where(swapped, 2.0, where(left, 4.0, 0.0)) + where(steep, sign, 0.0)
    return copysign(eighths * PI_4[0] + (sign * angle + eighths * PI_4[1]), y)


# ---- powers ------------------------------------------------------------------------------------------------

# log m = 2 s + s y (2/3 + y T(y)), as above
LOG_TAIL = (
    0.40000000000002256, 0.2857142857009956, 0.2222222251992967, 0.18181784366265902, 0.1538675737966136,
    0.13256816455180842, 0.13196341943058584,
)  # fmt: skip
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def _log_pair(x: Value) -> tuple[Value, Value]:
    """Return log x as the sum of two float64, for positive finite x."""
    n, f = _binary_any(x)
    # s = f / d with d = 2 + f; the remainder of the division gives the second part of s.
    d, d_low = fast_two_sum(f.constant(2.0), f)
    inverse = 1.0 / d
    s = rounded(f * inverse)
    product, error = two_product(s, d)
    s_low = (((f - product) - error) - s * d_low) * inverse
    # rest = s y L  with  L = 2/3 + y T(y)
    y, error = two_product(s, s)
    y_low = error + 2.0 * s * s_low
    tail = polynomial(y, LOG_TAIL)
    factor, error = fast_two_sum(y.constant(TWO_THIRDS[0]), y * tail)
    factor_low = error + (y_low * tail + TWO_THIRDS[1])
    cube, error = two_product(s, y)
    cube_low = error + (s * y_low + s_low * y)
    rest, error = two_product(cube, factor)
    rest_low = error + (cube * factor_low + cube_low * factor)
    # n ln 2 + 2 s + rest, from the largest to the smallest
    high, low1 = fast_two_sum(n * LN2[0], s + s)
    high, low2 = fast_two_sum(high, rest)
    low = low1 + (low2 + (2.0 * s_low + (n * LN2[1] + rest_low)))
    return fast_two_sum(high, low)


@emitted(F64)
def power(x: Value, y: Value) -> Value:
    """Return x to the power y."""
    # |x|^y = e^(y log |x|), which is 0, 1 or infinity for all |y| beyond 2^65.
    a = absolute(x)
    bounded = where(absolute(y) > 2.0**65, copysign(y.constant(2.0**65), y), y)
    high, low = _log_pair(a)
    p, error = two_product(high, bounded)
    clipped = where(p > 710.0, 710.0, p)
    clipped = where(clipped < -746.0, -746.0, clipped)
    z = _exp_sum(clipped, where(clipped == p, error + low * bounded, 0.0))
    z = where((a == 0.0) | (a == INF), where((a == 0.0) ^ (y > 0.0), INF, 0.0), z)

    # Negative numbers have integer powers only; the odd ones are negative. So are odd powers of -0.
    half = 0.5 * y
    integer = floor(y) == y
    z = where(integer & (floor(half) != half), copysign(z, x), z)
    z = where((x < 0.0) & (x > -INF) & ~integer, NAN, z)
    z = where((x != x) | (y != y), NAN, z)
    return where((x == 1.0) | (y == 0.0), 1.0, z)


# ---- for normal random numbers -----------------------------------------------------------------------------

# cos(pi f) = C0 + C1 f^2 + ...; the sine is that of `special`
COS_PI = (
    1.0, -4.934802200544677, 4.058712126416504, -1.3352627688431513, 0.2353306301195135,
    -0.025806888616989085, 0.001929555573668186, -0.00010456456222754104, 4.147341221588789e-06,
)  # fmt: skip


@emitted(F64)
def log_unit(u: Value) -> Value:
    """Return log u for normal numbers 0 < u < 1."""
    n, f = _binary(u)
    s = f / (2.0 + f)
    y = s * s
    h = 0.5 * f * f
    return _exponent(n) * LN2_ROUNDED + (f - (h - s * (h + y * polynomial(y, LOG))))


@emitted(F64, F64)
def sincospi_half(f: Value) -> tuple[Value, Value]:
    """Return sin(pi f) and cos(pi f) for |f| <= 1/2."""
    y = f * f
    return f * polynomial(y, SIN_PI), polynomial(y, COS_PI)
