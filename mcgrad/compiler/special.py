"""Special functions, written once for all machines: each body runs on NumPy arrays, on SIMD lanes and on plain numbers.

A body is straight-line Python in terms of a few names (`where`, `exp`, `log`, ...); a machine is a meaning of these names
(`on_machine`). Hence the machines agree up to the rounding of `exp` and `log`. Every function is an argument reduction and
a polynomial, near the best one of its degree (Chebyshev, 40 to 80 digits).

Largest errors over all float64 arguments; e is the unit roundoff, 1.1e-16, and a test asserts each line against mpmath:

| function | error below |
|---|---|
| erf, erfc, erfcx, ndtr, ndtri, log_ndtr, erfinv | 14 e, relative, down to the smallest normal number |
| expit, logit, arctanh, arcsinh, arccosh, cbrt, hypot | 6 e, relative |
| logaddexp(a, b) | 4 e max(1, abs(max(a, b))) |
| lgamma | 10 e, relative, for x > 0; 10 e max(1, lgamma(abs(x))) for x < 0, where it has zeros |
| betaln | 40 e max(1, abs(y)) for a, b > 0 |
| digamma, trigamma, tetragamma | 20 e max(1, abs(y), log(abs(x)))  |
| fmod, remainder, floor_divide | exact, as Python's |

Special values (infinities, NaN, poles, ends of domains) are those of `math` and `scipy.special`; NaN outside of a domain.
"""

import functools
import types
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy import absolute, copysign, exp, floor, fmod, log, log1p, maximum, minimum, rint, sqrt, where

from . import gamma
from .gamma import betaln, digamma, lgamma, sine_of_pi, tetragamma, trigamma
from .polynomials import polynomial

Machine: TypeAlias = Any  # a number of a machine: a NumPy array, SIMD lanes, or a float

INF, NAN = float("inf"), float("nan")
SQRT_HALF = 0.7071067811865476
LOG_4 = 1.3862943611198906
SQRT_2_PI = 0.7978845608028654  # sqrt(2 / pi)


# ---- whole numbers -----------------------------------------------------------------------------------------------


def remainder(a: Machine, b: Machine) -> Machine:
    """Return a % b, as Python has it: exact up to one rounding, with the sign of b."""
    r = fmod(a, b)
    r = where((r != 0.0) & ((r < 0.0) != (b < 0.0)), r + b, r)
    return where(r == 0.0, copysign(r, b), r)


def floor_divide(a: Machine, b: Machine) -> Machine:
    """Return a // b, as Python has it: from the exact remainder, so that 1.0 // 0.1 is 9."""
    r = fmod(a, b)
    quotient = (a - r) / b
    quotient = where((r != 0.0) & ((r < 0.0) != (b < 0.0)), quotient - 1.0, quotient)
    whole = floor(quotient)
    whole = where(quotient - whole > 0.5, whole + 1.0, whole)
    return where(b == 0.0, a / b, where(quotient == 0.0, copysign(quotient * 0.0, a / b), whole))


# ---- roots and inverse hyperbolic functions ----------------------------------------------------------------------


def hypot(x: Machine, y: Machine) -> Machine:
    """Return sqrt(x^2 + y^2), without overflow or underflow on the way."""
    x, y = absolute(x), absolute(y)
    largest = maximum(x, y)
    scale = where(largest > 2.0**500, 2.0**-600, where(largest < 2.0**-450, 2.0**600, 1.0))
    a, b = x * scale, y * scale
    return where((x == INF) | (y == INF), INF, sqrt(a * a + b * b) / scale)


def cbrt(x: Machine) -> Machine:
    """Return the real cube root of x."""
    a = absolute(x)
    y = exp(log(a) * 0.3333333333333333)
    y = y - (y - a / (y * y)) * 0.3333333333333333
    return where((a > 0.0) & (a < INF), copysign(y, x), x)


def arctanh(x: Machine) -> Machine:
    """Return the inverse hyperbolic tangent of x."""
    a = absolute(x)
    return copysign(0.5 * log1p((a + a) / (1.0 - a)), x)


def arcsinh(x: Machine) -> Machine:
    """Return the inverse hyperbolic sine of x."""
    a = absolute(x)
    large = a > 2.0**28
    b = where(large, 1.0, a)
    square = b * b
    y = log1p(where(large, a - 1.0, b + square / (1.0 + sqrt(1.0 + square))))
    return copysign(where(large, y + 0.6931471805599453, y), x)


def arccosh(x: Machine) -> Machine:
    """Return the inverse hyperbolic cosine of x; NaN for x < 1."""
    large = x > 2.0**28
    t = where(large, 1.0, x) - 1.0
    y = log1p(where(large, x - 1.0, t + sqrt(t * (t + 2.0))))
    return where(x >= 1.0, where(large, y + 0.6931471805599453, y), NAN)


# ---- logistic functions ------------------------------------------------------------------------------------------


def expit(x: Machine) -> Machine:
    """Return 1 / (1 + e^-x)."""
    e = exp(-absolute(x))
    return where(x < 0.0, e, 1.0) / (1.0 + e)


def logit(p: Machine) -> Machine:
    """Return log(p / (1 - p)), the inverse of `expit`; NaN outside of [0, 1]."""
    q = 1.0 - p
    # Where p / q is near 1, its distance from 1 is known better than p / q.
    near = (p > 0.25) & (p < 0.75)
    return where(near, log1p((p + p - 1.0) / q), log(p / q))


def logaddexp(a: Machine, b: Machine) -> Machine:
    """Return log(e^a + e^b)."""
    high, low = maximum(a, b), minimum(a, b)
    return high + log1p(exp(where(high == low, 0.0, low - high)))


# ---- error functions ---------------------------------------------------------------------------------------------

# erf x = x E(x^2),  |x| <= 1
ERF = (
    1.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792, 0.0052239776248180145,
    -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05, 1.6461000484121368e-06,
    -1.6350312701054695e-07, 1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11,
)  # fmt: skip
# e^(t^2) erfc t = C(s) / (1 + 2 t)  with  s = (t - 3) / (t + 3),  t >= 0: the substitution of Shepherd and Laframboise
# (1981), Chebyshev approximation of (1 + 2x) exp(x^2) erfc x. Mathematics of Computation 36, 249-253.
ERFCX = (
    1.2530080582697296, -0.13562110612458117, -0.04756229435345087, 0.1296451587027606, -0.11927366341530699,
    0.06830802734397848, -0.023770514918645888, 0.002529391816066239, 0.0018886903591561553, -0.0007798322721083991,
    -0.00010515979981501177, 0.00012509935235563107, 4.949484992570595e-06, -2.0100567931289227e-05,
    -7.315105164159062e-07, 3.472414602875686e-06, 3.5683839153992204e-07, -6.166496077604353e-07,
    -1.4160064940265987e-07, 1.0187000600072885e-07, 4.180784698845582e-08, -1.3326364813003834e-08,
    -8.500397929772615e-09, 9.885798831139365e-10, 8.864219016427092e-10,
)  # fmt: skip


def scaled_erfc(t: Machine) -> Machine:
    """Return e^(t^2) erfc t for t >= 0."""
    return polynomial(1.0 - 6.0 / (t + 3.0), ERFCX) / (1.0 + 2.0 * t)


def exp_square(t: Machine, factor: Machine) -> Machine:
    """Return exp(factor t^2) for |t| <= 64 and factor = +-1 or +-1/2, although t^2 has more digits than a float64."""
    # t = h + l with so few digits in h that h^2 is exact;  t^2 = h^2 + l (t + h)
    h = rint(t * 2.0**20) * 2.0**-20
    z = factor * ((t - h) * (t + h))
    return exp(factor * (h * h)) * (1.0 + z * (1.0 + z * (0.5 + z * 0.16666666666666666)))


def erf(x: Machine) -> Machine:
    """Return 2/sqrt(pi) times the integral of e^(-u^2) from 0 to x."""
    t = minimum(absolute(x), 28.0)
    far = copysign(1.0 - exp_square(t, -1.0) * scaled_erfc(t), x)
    near = where(t < 1.0, x, 0.0)
    return where(t < 1.0, near * polynomial(near * near, ERF), where(x == x, far, x))


def erfc(x: Machine) -> Machine:
    """Return 1 - erf x."""
    t = minimum(absolute(x), 28.0)
    y = exp_square(t, -1.0) * scaled_erfc(t)
    near = where(t < 0.5, x, 0.0)
    return where(t < 0.5, 1.0 - near * polynomial(near * near, ERF), where(x < 0.0, 2.0 - y, y))


def erfcx(x: Machine) -> Machine:
    """Return e^(x^2) erfc x."""
    t = absolute(x)
    y = scaled_erfc(t)
    return where(x < 0.0, 2.0 * exp_square(minimum(t, 28.0), 1.0) - y, y)


def ndtr(x: Machine) -> Machine:
    """Return the probability that a standard normal is below x."""
    t = minimum(absolute(x), 40.0)
    y = 0.5 * (exp_square(t, -0.5) * scaled_erfc(t * SQRT_HALF))
    return where(x < 0.0, y, 1.0 - y)


def log_ndtr(x: Machine) -> Machine:
    """Return log `ndtr`(x), also where that underflows."""
    t = absolute(x)
    y = 0.5 * scaled_erfc(t * SQRT_HALF)
    return where(x < 0.0, log(y) - 0.5 * t * t, log1p(-(exp_square(minimum(t, 40.0), -0.5) * y)))


# x = (2 p - 1) N(w - 5/2)  with  w = -log(4 p (1 - p)) < 5:  the variable of Giles (2012), Approximating the erfinv function.
NORMAL_CENTRE = (
    2.12331346701467, 0.34880202439905444, -0.005907619380163793, -0.0017715965129182088, 0.0003086524838202352,
    -7.065523527997019e-06, -4.831829754381931e-06, 6.770196976409107e-07, 1.8974204701303758e-08,
    -1.5360013240911848e-08, 1.2831368726961076e-09, 1.6915025410822527e-10, -4.399329856891935e-11,
    1.289008962418514e-12, 7.596844612567403e-13, -1.0763051257153743e-13, -4.493066208251816e-15,
    2.6787264386924898e-15, -1.4337418990416418e-16, -3.768263792500738e-17, 3.589562335389115e-18,
    2.326859306239138e-19,
)  # fmt: skip
# |x| = |2 p - 1| (1 + r) T((r - 6) / (r + 6)),  r = sqrt(w) >= sqrt(5),  to 2e-6: a start for one step of Halley's
NORMAL_TAIL = (
    1.1838818146088594, 0.4181245139391745, -0.31258096405889174, 0.19661876017626087, -0.08740112212688737,
    -0.06727604892482558, 0.05776262311417684, 0.9352303034429086, -1.250851813518008, -5.073708584455417,
    12.641287477160901, -2.699789078237605, -14.003747508144857, 9.959076895775308,
)  # fmt: skip


def normal_quantile(u: Machine, q: Machine) -> Machine:
    """Return x with Phi(x) - Phi(-x) = u, where q = (1 - |u|) / 2 is the smaller tail."""
    w = -log(4.0 * q * (1.0 - q))
    centre = u * polynomial(minimum(w, 5.0) - 2.5, NORMAL_CENTRE)
    r = sqrt(maximum(w, 5.0))
    x = absolute(u) * (1.0 + r) * polynomial(1.0 - 12.0 / (r + 6.0), NORMAL_TAIL)
    # Solve log Q(x) = log q for the upper tail Q: its derivatives are -m and -m (m - x) with m = phi / Q.
    e = scaled_erfc(x * SQRT_HALF)
    small = minimum(q, 0.002)
    log_q = -(w + LOG_4) + small * (1.0 + small * (0.5 + small * (0.3333333333333333 + small * (0.25 + small * 0.2))))
    m = SQRT_2_PI / e
    step = (log(0.5 * e) - 0.5 * x * x - log_q) / m
    x = x + step / (1.0 + 0.5 * step * (m - x))
    x = where(q > 0.0, x, INF)
    return where(w < 5.0, centre, where(q >= 0.0, copysign(x, u), NAN))


def ndtri(p: Machine) -> Machine:
    """Return the x below which a standard normal is with probability p; NaN outside of [0, 1]."""
    return normal_quantile((p - 0.5) * 2.0, minimum(p, 1.0 - p))


def erfinv(y: Machine) -> Machine:
    """Return the inverse of `erf`; NaN outside of [-1, 1]."""
    return SQRT_HALF * normal_quantile(y, 0.5 * (1.0 - absolute(y)))


# ---- machines ----------------------------------------------------------------------------------------------------

# The ones that a graph may hold, besides those that every machine has of its own; the others help them.
BODIES = {
    f.__name__: f
    for f in (remainder, floor_divide, hypot, cbrt, arctanh, arcsinh, arccosh, expit, logit, logaddexp)
    + (erf, erfc, erfcx, ndtr, log_ndtr, ndtri, erfinv, lgamma, betaln, digamma, trigamma, tetragamma)
}
_HELPERS = (polynomial, sine_of_pi, scaled_erfc, exp_square, normal_quantile)


def on_machine(
    names: dict[str, Any], compile_one: Callable[..., Any], compile_helper: Callable[..., Any]
) -> dict[str, Callable[..., Any]]:
    """Return {name: function} for a machine.

    Parameters
    ----------
    names : dict
        What `where`, `exp`, `log`, `log1p`, `sqrt`, `floor`, `rint`, `fmod`, `absolute`, `copysign`, `minimum`, `maximum`
        mean there.
    compile_one, compile_helper : callable
        Make what the machine calls out of a plain function whose globals are these.
    """
    namespace = vars(gamma) | globals() | names
    functions = {}
    for f in (*_HELPERS, *BODIES.values()):
        copy = types.FunctionType(f.__code__, namespace, f.__name__)
        copy.__doc__ = f.__doc__
        namespace[f.__name__] = (compile_one if f.__name__ in BODIES else compile_helper)(copy)
        functions[f.__name__] = namespace[f.__name__]
    return {name: functions[name] for name in BODIES}


def _on_numpy(function: Any) -> Callable[..., Any]:
    """Let a body take numbers and arrays alike, without warnings about the branch that is not taken."""

    @functools.wraps(function)
    def call(*arguments):
        with np.errstate(all="ignore"):
            return function(*(np.asarray(x, dtype=np.float64)[()] for x in arguments))[()]

    call.nin = function.__code__.co_argcount  # type: ignore[attr-defined]  # as NumPy's functions have it
    return call


FUNCTIONS = {name: _on_numpy(function) for name, function in BODIES.items()}
