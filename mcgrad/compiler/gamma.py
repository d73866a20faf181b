"""The gamma function and its derivatives, written once for all machines; see `special`."""

from typing import Any, TypeAlias

from numpy import absolute, log, log1p, maximum, minimum, rint, where

from .polynomials import polynomial

Machine: TypeAlias = Any  # a number of a machine: a NumPy array, SIMD lanes, or a float

INF = float("inf")
PI = 3.141592653589793
HALF_LOG_2PI = 0.9189385332046728

# log Gamma(2 + w) = w (w + 1) G(w),  |w| <= 1/2
LGAMMA = (
    0.42278433509846713, -0.10031730167435392, 0.03296500062115359, -0.012384192193370211, 0.0049986411649353725,
    -0.002108130834069472, 0.0009153769125087831, -0.00040570739285611585, 0.0001825528383907226,
    -8.309522146915126e-05, 3.816660593339992e-05, -1.7660586231652296e-05, 8.23747667463625e-06,
    -3.854622136251583e-06, 1.749054030806819e-06, -8.247688082905913e-07, 5.236568534841362e-07,
    -2.489029529650396e-07,
)  # fmt: skip
# Stirling's series and its derivatives as polynomials of u = 1/x^2 for x >= 8:
#   log Gamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + S(u)/x,   psi(x) = log x - 1/(2x) - u S1(u),
#   psi'(x) = 1/x + u/2 + (u/x) S2(u),   psi''(x) = -u - u/x - u^2 S3(u)
STIRLING = (
    0.08333333333333333, -0.002777777777773988, 0.0007936507897524059, -0.0005952365845057042, 0.0008414700852502405,
    -0.0018903829938839239, 0.005065905360081594,
)  # fmt: skip
STIRLING_1 = (
    0.08333333333333333, -0.008333333333278636, 0.0039682539119537084, -0.00416664482304969, 0.007571689620282833,
    -0.020697987372315912, 0.06362150587527063,
)  # fmt: skip
STIRLING_2 = (
    0.16666666666666666, -0.03333333333330476, 0.023809523770911365, -0.03333331335581845, 0.07575246348177381,
    -0.2523946862732885, 1.1093601965524131, -4.5753041419894345,
)  # fmt: skip
STIRLING_3 = (
    0.49999999999999994, -0.16666666666615132, 0.1666666659699264, -0.2999996391358887, 0.8332408223665413,
    -3.277428468305641, 16.454226363275726, -74.12259415261428,
)  # fmt: skip
# sin(pi f) = f (P0 + P1 f^2 + ...),  |f| <= 1/2
SIN_PI = (
    3.141592653589793, -5.167712780049946, 2.550164039875999, -0.5992645292864064, 0.08214588614203597,
    -0.007370427268800769, 0.0004662859796452104, -2.1872130471476728e-05, 7.405149734252965e-07,
)  # fmt: skip


def sine_of_pi(f: Machine) -> Machine:
    """Return sin(pi f) for |f| <= 1/2."""
    return f * polynomial(f * f, SIN_PI)


def lgamma(x: Machine) -> Machine:
    """Return log |Gamma(x)|."""
    reflected = x <= -0.5
    y = where(reflected, -x, x)
    # Gamma(y) = Gamma(2 + w) / product below 3/2, Gamma(2 + w) product above 5/2, Stirling's series from 8 on
    z, product = y, 1.0
    for _ in range(6):
        above = z > 2.5
        z = where(above, z - 1.0, z)
        product = where(above, product * z, product)
    below, low, high = y < 1.5, y < 0.5, y >= 8.0
    w = where(low, y, where(below, y - 1.0, z - 2.0))
    w = where(high, 0.0, w)
    product = where(low, absolute(y * (y + 1.0)), where(below, y, product))
    logarithm = log(where(high, y, product))
    near = w * (w + 1.0) * polynomial(w, LGAMMA) + where(below, -logarithm, logarithm)
    inverse = 1.0 / where(high, y, 8.0)
    far = (y - 0.5) * (logarithm - 1.0) + (inverse * polynomial(inverse * inverse, STIRLING) + (HALF_LOG_2PI - 0.5))
    result = where(high, far, near)
    # Gamma(-y) Gamma(y) = -pi / (y sin(pi y))
    f = y - rint(y)
    f = where(reflected & (y < 2.0**52), f, 0.25)
    reflection = log(PI / (y * absolute(sine_of_pi(f)))) - result
    return where(reflected, where(y < 2.0**52, reflection, INF), result)


def betaln(a: Machine, b: Machine) -> Machine:
    """Return log Gamma(a) + log Gamma(b) - log Gamma(a + b), where a > 0 and b > 0."""
    high, low = maximum(a, b), minimum(a, b)
    # For large a, Stirling's series of log Gamma(a) - log Gamma(a + b), in which the large terms have cancelled
    large = high >= 8.0
    x = where(large, high, 8.0)
    y = x + low
    u, v = 1.0 / x, 1.0 / y
    series = u * polynomial(u * u, STIRLING) - v * polynomial(v * v, STIRLING)
    difference = series + low * (1.0 - log(y)) - (minimum(x, 1e300) - 0.5) * log1p(low * u)
    return lgamma(low) + where(large, difference, lgamma(high) - lgamma(high + low))


def digamma(x: Machine) -> Machine:
    """Return the derivative of log Gamma(x)."""
    reflected = x <= -0.5
    y = where(reflected, -x, x)
    # The sum of 1/y, 1/(y + 1), ... up to 8 as one fraction
    z, above, below = y, 0.0, 1.0
    for _ in range(9):
        small = z < 8.0
        above = where(small, above * z + below, above)
        below = where(small, below * z, below)
        z = where(small, z + 1.0, z)
    inverse = 1.0 / z
    square = inverse * inverse
    result = log(z) - (0.5 * inverse + square * polynomial(square, STIRLING_1)) - above / below
    f = y - rint(y)
    cotangent = sine_of_pi(0.5 - absolute(f)) / sine_of_pi(f)
    return where(reflected, result + (1.0 / y + PI * cotangent), result)


def trigamma(x: Machine) -> Machine:
    """Return the derivative of `digamma`."""
    reflected = x <= -0.5
    y = where(reflected, -x, x)
    z, above, below = y, 0.0, 1.0
    for _ in range(9):
        small, square = z < 8.0, z * z
        above = where(small, above * square + below, above)
        below = where(small, below * square, below)
        z = where(small, z + 1.0, z)
    inverse = 1.0 / z
    square = inverse * inverse
    result = above / below + (inverse + square * (0.5 + inverse * polynomial(square, STIRLING_2)))
    f = y - rint(y)
    s = sine_of_pi(f) * 0.3183098861837907
    return where(reflected, 1.0 / (s * s) + (1.0 / (y * y) - result), result)


def tetragamma(x: Machine) -> Machine:
    """Return the derivative of `trigamma`."""
    reflected = x <= -0.5
    y = where(reflected, -x, x)
    z, above, below = y, 0.0, 1.0
    for _ in range(9):
        small, cube = z < 8.0, z * z * z
        above = where(small, above * cube + below, above)
        below = where(small, below * cube, below)
        z = where(small, z + 1.0, z)
    inverse = 1.0 / z
    square = inverse * inverse
    result = -2.0 * (above / below) - square * (1.0 + inverse + square * polynomial(square, STIRLING_3))
    f = y - rint(y)
    s = sine_of_pi(f) * 0.3183098861837907
    cosine = sine_of_pi(0.5 - absolute(f))
    return where(reflected, result + 2.0 * (1.0 / (y * y * y) + cosine / (s * s * s)), result)
