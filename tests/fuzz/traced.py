"""Random functions of plain Python, traced and compiled, against the same functions on plain floats.

    python tests/fuzz/traced.py --count 2000 --seed 0

Each function is a text of random statements: arithmetic, functions of `math`, NumPy and SciPy, conditions, loops, tables,
arrays, helpers, closures, and odd things that people write (`isinstance`, `try`, f-strings, counters, clocks, ...). Python
itself runs it on floats; what the kernel's text computes has to be the same, or the function has to be refused with a
`TraceError`. Points where Python raises an exception say nothing. Rounding is told from error by moving the inputs a little:
a result that jumps within 1e-12 of a point may be on either side of it.

Prints how many functions agree, how many were refused and why, and each that is wrong; the exit status is their number.
"""

import argparse
import collections
import math
import re
import sys
import warnings

import numpy as np

from mcgrad.calls import call, number
from mcgrad.compiler import on_numpy
from mcgrad.compiler.emit import function_text
from mcgrad.compiler.errors import TraceError
from mcgrad.compiler.trace import Graph

INPUTS = 3

PRELUDE = """
import contextlib, copy, datetime, functools, itertools, math, operator, os, random, statistics, time
import numpy as np
import scipy.special
import scipy.special as special
import scipy.stats
from math import sin as sine
import mcgrad as mg
from mcgrad import where

TABLE = np.array([0.5, -1.25, 2.0, 0.0, 3.5])
MATRIX = np.array([[0.5, -1.0, 0.25], [2.0, 0.0, -0.5], [0.1, 0.3, 1.0]])
SPARSE = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
KEPT, COUNT, RNG = [], [0], np.random.default_rng(1)
RULES = {"up": lambda x: x + 1.0, "down": lambda x: -x}

def helper(x, k=2.0, f=math.tanh):
    return f(k * x)

def recursive(x, n):
    return x if n == 0 else recursive(0.5 * x + math.cos(x), n - 1)

def closure(k):
    def inside(x):
        return math.sin(k * x) - k
    return inside

WITH = closure(0.7)

class Car:
    def __init__(self, mass):
        self.mass = mass
    def force(self, x):
        return self.mass * math.atan(x)
    def __call__(self, x):
        return self.force(x) - x

CAR = Car(1.5)
"""

# Expressions of expressions a, b, c: nearly all are numbers for all numbers.
EXPRESSIONS = """
a + b ; a - b ; a * b ; -a ; +a ; a + 1 ; 2 - a ; a * 0.5 ; a / (1.5 + b * b) ; a / b ; 1 / a ; a - b * c
a ** 2 ; a ** 3 ; a ** -1 ; abs(a) ** 0.5 ; abs(a) ** 1.5 ; 2.0 ** (0.1 * a) ; abs(a) ** (0.3 * b) ; pow(a, 2)
a ** 0 ; a // 0.7 ; a % 0.7 ; a // b ; a % b ; 3.0 // a ; -7.5 % a ; divmod(a, 0.3)[0] ; divmod(a, b)[1]
a % -1.5 ; a // -0.1 ; math.fmod(a, 0.4) ; np.fmod(a, b) ; np.mod(a, 2 * math.pi) ; np.remainder(a, 0.37)
np.floor_divide(a, 0.1) ; math.sin(a) ; np.cos(a) ; math.tan(a) ; sine(a) ; math.exp(0.1 * a) ; np.exp(-a * a)
math.expm1(0.1 * a) ; np.exp2(0.2 * a) ; math.log(abs(a) + 0.1) ; np.log1p(a * a) ; math.log2(abs(a) + 1)
math.log(a * a + 1, 3) ; np.log10(2 + a * a) ; math.sqrt(abs(a)) ; np.sqrt(a * a + b * b) ; math.hypot(a, b)
np.hypot(a, 0.0) ; math.hypot(a, b, c) ; math.dist((a, b), (c, 1)) ; np.cbrt(a) ; math.tanh(a)
np.sinh(0.1 * a) ; math.cosh(0.1 * a) ; np.arctan(a) ; math.atan2(a, b) ; np.arctan2(a, 1 + b * b)
math.asinh(a) ; np.arcsinh(a) ; math.acosh(1 + a * a) ; math.atanh(0.9 * math.tanh(a))
math.asin(0.9 * math.sin(a)) ; np.arccos(0.9 * np.cos(a)) ; math.floor(a) ; np.floor(3 * a) ; math.ceil(a)
np.trunc(a) ; math.trunc(2 * a) ; round(a) ; np.round(a, 1) ; np.rint(a) ; np.fix(a) ; abs(a) ; math.fabs(a)
np.sign(a) ; math.copysign(a, b) ; np.heaviside(a, 0.5) ; math.degrees(a) ; np.deg2rad(a) ; np.sinc(a)
min(a, b) ; max(a, b, c) ; min(s) ; max([a, 0.5]) ; np.minimum(a, b) ; np.maximum(a, 0.0) ; np.fmin(a, b)
np.fmax(a, b) ; np.clip(a, -1, 1) ; np.clip(a, None, b) ; np.max(s) ; np.min([a, b]) ; max(x * x for x in s)
sum(s) ; sum(x for x in (a, b, c)) ; math.erf(a) ; math.erfc(a) ; special.erf(a) ; special.erfcx(abs(a))
special.ndtr(a) ; special.log_ndtr(a) ; special.expit(a) ; special.ndtri(0.1 + 0.8 * special.expit(a))
special.logit(0.1 + 0.8 * special.expit(a)) ; special.erfinv(0.9 * math.tanh(a)) ; np.logaddexp(a, b)
math.lgamma(abs(a) + 0.1) ; special.gammaln(1 + a * a) ; special.digamma(abs(a) + 0.5)
special.polygamma(1, abs(a) + 0.5) ; special.betaln(1 + a * a, 0.5) ; special.xlogy(abs(a), 1 + b * b)
special.logsumexp([a, b]) ; special.softmax([a, b, c])[1] ; where(a > b, a, c) ; np.where(a > 0, b, -c)
mg.where((a > 0) & (b < 1), a, b) ; where(a <= b, 1, a) ; where((a > 0) | (b > c), c, 2.0) ; (a > b) * c
1.0 * (a > 0) + (b > 0) ; 1.0 * (a == b) ; (a != a) * 1.0 ; where(a == a, a, 0.0)
np.where(a >= 0.0, a, 0.1 * a) ; np.where(np.isfinite(a), a, 0.0) ; np.where(np.isnan(a), 1.0, b)
where(np.isinf(a), 0.0, a) ; where(np.logical_and(a > 0, b > 0), a, b) ; np.argmax(s) ; np.argmin([a, b, c])
np.argmax([a, a, b]) ; np.interp(a, [-1.0, 0.0, 2.0], [1.0, -1.0, 0.5])
np.interp(a, TABLE.cumsum()[2:4], [a, b]) ; np.select([a > 1, a > 0], [b, c], default=-1.0)
mg.lookup(TABLE, 2) ; TABLE[1] * a ; TABLE @ np.array([a, b, c, a, b]) ; (MATRIX @ np.array(s))[1]
(SPARSE @ np.array([a, b, c]))[0] ; np.dot(np.array([a, b]), np.array([b, c])) ; np.sum(np.array([a, b]) ** 2)
np.mean(s) ; np.prod([a, b]) ; np.linalg.norm([a, b]) ; np.array([a, b, c]).sum() ; np.cumsum([a, b])[1]
np.outer(s, s)[0, 1] ; np.einsum("i,i", np.array(s), np.array([a, b, c])) ; np.linalg.norm(np.array(s) - 1.0)
(np.array(s) * 2)[0] ; np.tanh(np.array([a, b]))[1] ; np.concatenate([[a], [b, c]])[2]
np.trace(np.outer(s, s)) ; helper(a) ; helper(a, k=0.5) ; helper(a, f=math.sin) ; recursive(a, 2) ; WITH(a)
CAR.force(a) ; CAR(a) ; RULES["up"](a) ; RULES["down"](a) ; (lambda x: x * x + b)(a)
functools.reduce(lambda x, y: x + y, [a, b, c]) ; functools.partial(helper, f=math.atan)(a) ; operator.mul(a, b)
sum(x * y for x, y in zip(s, s[1:])) ; [a, b, c][1] ; (a, b)[-1] ; {"k": a}["k"] ; list(map(math.cos, s))[0]
sum(abs(x) for x in s) ; 0.0 * a ; 0 * a + b ; a - a ; 0.0 / a ; math.inf * a ; a * math.nan ; 1e200 * a * 1e200
math.exp(500 * a) - math.exp(500 * a) ; 1e308 * (1 + a * a) ; a.real ; a.imag + b ; a.conjugate() ; copy.copy(a)
a.__add__(b) ; float.__add__(1.0, 2.0) * a ; np.float64(2.0) * a ; np.int64(3) - a ; np.float64(0.5) ** a
np.square(a) ; np.reciprocal(a + 0.25) ; np.add(a, b) ; np.multiply(a, 2) ; np.subtract(1, a)
np.divide(a, 2.5) ; np.power(abs(a), 1.3) ; np.negative(a) ; np.abs(a)
""".replace("\n", ";")

# What people write and a kernel cannot do, or only just.
ODD = """
float(a) ; int(a) ; bool(a) * b ; (a if b > 0 else c) ; (a and b) ; (a or b) ; (not a) * b ; (a < b < c) * 1.0
a in (1.0, b) ; [1.0, 2.0][int(a > 0)] ; isinstance(a, float) * b ; isinstance(a, (int, float)) * a
isinstance(a, int) * b + a ; isinstance(a, np.ndarray) * b ; (type(a) is float) * b ; (type(a) == type(b)) * a
(a.__class__ is float) * b ; hasattr(a, "real") * b ; hasattr(a, "hex") * b ; hasattr(a, "shape") * b
hasattr(a, "__iter__") * b ; hasattr(a, "__len__") * b ; callable(a) * b ; len(str(a)) * b ; len(repr(a)) * b
len(f"{a}") * b ; float(f"{a:.3f}") ; len(f"{a!r}") ; float("%.2f" % b) ; len("{}".format(a)) ; hash(a) % 7 * b
{a: 1.0}[a] ; len({a, b}) ; sorted(s)[0] ; sorted(s, key=lambda x: -x)[0] ; max(s, key=lambda x: x * x)
min(s, default=0.0) ; s.index(a) ; (a == None) * b + c ; (a == "x") * b + c ; (a is None) * b + c ; round(a, 2)
round(a, -1) ; math.gamma(abs(a) + 1) ; math.modf(a)[0] ; math.frexp(a)[0] ; math.ldexp(a, 2)
a.is_integer() * b ; a.hex() and b ; a.as_integer_ratio()[0] ; math.isclose(a, b) * c ; np.isclose(a, b) * c
np.allclose(s, s) * a ; any(x > 0 for x in s) * a ; all(x < 9 for x in s) * a ; np.any(np.array(s) > 0) * a
np.sort(s)[0] ; np.median(s) ; np.std(s) ; np.var([a, b]) ; statistics.mean(s) ; statistics.fmean(s)
math.fsum(s) ; math.prod(s) ; random.random() * a ; np.random.normal() * a ; RNG.normal() + a
time.time() * 0 + a ; time.perf_counter() * a ; os.urandom(1)[0] * a ; datetime.datetime.now().second * a
id(a) % 3 * b ; scipy.stats.norm.rvs() * a ; scipy.stats.norm.cdf(a) ; np.float32(0.1) * a ; np.float16(2.0) * a
np.longdouble(0.1) * a ; (1j * a).real ; complex(a, 1.0).real ; abs(a + 1j) ; np.array(s, dtype=float)[0]
np.array(s, dtype=np.float32)[0] ; np.array(s).astype(int)[0] ; np.zeros(2).fill(a) or b ; np.full(2, a)[0]
np.linspace(0, a, 3)[1] ; np.diff(s)[0] ; KEPT.append(a) or a * len(KEPT) ; KEPT.append(a) or KEPT[0] + b
COUNT.append(1) or len(COUNT) * a ; next(itertools.count()) * a + b ; math.remainder(a, 0.7)
np.nextafter(a, 9.0) ; a ** 0.5 ; (-abs(a)) ** 0.3 ; math.log(a) ; math.sqrt(a) ; math.acos(a) ; np.log(a)
np.arctanh(a) ; special.ndtri(a) ; math.exp(1000 * a) ; math.factorial(3) * a ; math.comb(5, 2) * a
np.nan_to_num(a) ; np.polyval([1.0, 2.0, 3.0], a) ; np.cross(s, s)[0] ; np.roll(s, 1)[0]
np.array_equal(s, s) * a ; np.count_nonzero(s) * b ; np.unique(s)[0] ; np.ptp(s) ; np.all(s) * b
(a > 0) ^ (b > 0) ; (a > 0) == True ; ((a > 0) is True) * 0 + b ; operator.truth(a) * b ; np.bool_(True) * a
True + a ; bytes(1)[0] + a ; a.__float__() ; a.__round__()
""".replace("\n", ";")

STATEMENTS = [
    "for i in range({n}):\n        v = 0.5 * v + {e}",
    "for x in s:\n        v = v + 0.1 * x * {e}",
    "for i, x in enumerate(s):\n        v = v + i * x",
    "v, w = {e}, v",
    "w = {e}\n    v = w * 0.5 + v",
    "v += {e}",
    "v -= 0.5 * {e}",
    "v *= math.tanh({e})",
    "v = (w := {e}) + 0.1 * w",
    "if len(s) > {n}:\n        v = v + {e}",
    "k = {n}\n    def inner(x):\n        return x * k + {e}\n    v = inner(v)",
    "out = [0.0] * 3\n    out[1] = {e}\n    v = v + sum(out)",
    "grid = np.empty(2, dtype=object)\n    grid[0], grid[1] = v, {e}\n    v = grid[0] + grid[1]",
    "k = 0\n    while k < {n}:\n        v, k = math.sin(v) + {e}, k + 1",
    "x, *rest = s\n    v = v + x + len(rest)",
    "s = tuple(x + 0.1 * v for x in s)",
    "assert len(s) == 3",
    "v = where(v > 10.0, 10.0, where(v < -10.0, -10.0, v))",
]
ODD_STATEMENTS = [
    "if {e} > 0:\n        v = -v",
    "while v > 1.0:\n        v = v - 1.0",
    "assert v == v",
    "try:\n        v = v / {e}\n    except ZeroDivisionError:\n        v = 7.0",
    "try:\n        v = math.log({e})\n    except ValueError:\n        v = -1.0",
    "try:\n        v = math.exp(300 * {e})\n    except OverflowError:\n        v = 3.0",
    "try:\n        if {e} > 0:\n            v = v + 1\n    except Exception:\n        v = 5.0",
    "try:\n        v = float({e})\n    except (TypeError, ValueError):\n        v = 5.0",
    "try:\n        v = {o}\n    except Exception:\n        v = 5.0",
    "with contextlib.suppress(Exception):\n        v = v / {e}",
    "try:\n        v = s['a']\n    except TypeError:\n        v = v + {e}",
    "out = np.zeros(3)\n    out[0] = {e}\n    v = out[0]",
    "global COUNT\n    COUNT = [COUNT[0] + 1]\n    v = v + COUNT[0]",
    "KEPT.append(v)\n    v = v + KEPT[len(KEPT) // 2]",
    "print(end='')\n    v = v + 1.0",
    "match s[0]:\n        case float():\n            v = v + 1.0\n        case _:\n            v = v - 1.0",
    "match {e}:\n        case 0.0:\n            v = 1.0",
    "v = [x for x in s if x > 0] and v",
    "v = v + {o}",
    "v = {o} - v",
    "w = {o}\n    v = v + 0.5 * w",
]


PLAIN, STRANGE = ([x.strip() for x in text.split(";") if x.strip()] for text in (EXPRESSIONS, ODD))


class Writer:
    """Writes random functions."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, items):
        """Return one of some items."""
        return items[self.rng.integers(len(items))]

    def atom(self):
        """Return an input, the running value or a constant."""
        constants = ["0.5", "2", "-1.5", "1e-3", "0.0", "math.pi", "TABLE[2]"]
        return self.pick(["s[0]", "s[1]", "s[2]", "v"]) if self.rng.random() < 0.85 else self.pick(constants)

    def expression(self, depth, table=PLAIN):
        """Return a random expression."""
        if depth == 0:
            return self.atom()
        text = self.pick(table)
        inner = {x: f"({self.expression(self.rng.integers(depth))})" for x in "abc"}
        return re.sub(r"(?<![\w.'\"])[abc](?![\w'\"])", lambda found: inner[found[0]], text)

    def function(self, name):
        """Return the text of a random function of s."""
        lines = [f"def {name}(s):", "    v = s[0]", f"    v = {self.expression(2)}"]
        odd = self.rng.random() < 0.35
        for _ in range(self.rng.integers(0, 4)):
            lines.append("    " + self.statement(STATEMENTS))
        if odd:
            lines.append("    " + self.statement(ODD_STATEMENTS))
        lines.append(f"    return (v, {self.expression(2)}, {self.expression(3)})")
        return "\n".join(lines) + "\n"

    def statement(self, table):
        """Return a random statement."""
        return (
            self.pick(table)
            .replace("{n}", str(self.rng.integers(1, 4)))
            .replace("{e}", f"({self.expression(2)})")
            .replace("{o}", f"({self.expression(1, STRANGE)})")
        )


# ---- the two sides -----------------------------------------------------------------------------------------------


def points(rng, count=12):
    """Return inputs of all kinds: ordinary ones, whole and round numbers, zeros with signs, large and small ones."""
    special = np.array([0.0, -0.0, 1.0, -1.0, 0.1, 0.3, 2.0, -2.5, 1e-300, 30.0, -30.0, 1e60])
    ordinary = rng.normal(0.0, 1.5, (count, INPUTS))
    odd = rng.choice(special, (count, INPUTS))
    return np.concatenate([ordinary, np.where(rng.random((count, INPUTS)) < 0.5, odd, ordinary)])


def by_python(function, point):
    """Return what plain Python computes on floats, or None where it raises an exception."""
    try:
        results = function(tuple(float(x) for x in point))
        return None if any(map(np.iscomplexobj, results)) else [float(x) for x in results]
    except Exception:
        return None


def by_kernel(function, values):
    """Return what the emitted text computes, an array of one row for each result."""
    names = [f"s{i}" for i in range(INPUTS)]
    for _ in range(2):  # as a kernel does, for the way forward and the way back
        graph = Graph()
        results = call("step of fuzz", function, (tuple(graph.input(x) for x in names),), "any")
    outputs = [number(x) for x in results]
    namespace = on_numpy.names()
    exec(function_text("kernel", {"s": names}, graph, outputs), namespace)
    with np.errstate(all="ignore"):
        found = namespace["kernel"](tuple(np.ascontiguousarray(x) for x in values.T))
    return np.array([np.broadcast_to(x, len(values)) for x in found])


def agree(expected, found, nearby, size):
    """Tell whether a result is Python's, up to the rounding that a function multiplies or that decides a jump.

    What cancels among products of inputs of some size leaves an error of the square of that size.
    """
    if math.isnan(expected) or math.isnan(found):
        same = math.isnan(expected) and math.isnan(found)
    else:
        same = expected == found or abs(expected - found) <= 1e-9 * abs(expected) + 1e-12 * size**2
    if same:
        return True
    around = [expected, *nearby]
    if any(math.isnan(x) for x in around) and not math.isnan(expected):
        return True  # on the edge of where there is a result
    if math.isnan(found) or math.isnan(expected):
        return False
    low, high = min(around), max(around)
    slack = 20.0 * (high - low) if math.isfinite(high - low) else math.inf
    return low - slack <= found <= high + slack and high > low


def judge(text, name, rng):
    """Return ("agrees" | "refused" | "wrong", what) for one function."""
    namespace = {"__name__": "people"}
    exec(compile(PRELUDE, "<prelude>", "exec"), namespace)
    exec(compile(text, "<function>", "exec"), namespace)
    function, values = namespace[name], points(rng)
    try:
        found = by_kernel(function, values)
    except TraceError as error:
        return "refused", str(error).split("\n")[-1]
    for point, column in zip(values, found.T, strict=True):
        expected = by_python(function, point)
        if expected is None:
            continue
        if repr(by_python(function, point)) != repr(expected):
            return "wrong", f"Python itself returns something else each time at {point.tolist()}"
        moved = [by_python(function, point * (1.0 + move)) for move in (1e-12, -1e-12)]
        moved += [by_python(function, point + move) for move in (1e-13 * rng.choice([-1.0, 1.0], INPUTS),)]
        for k, (e, f) in enumerate(zip(expected, column.tolist(), strict=True)):
            if not agree(e, f, [x[k] if x else math.nan for x in moved], max(1.0, *np.abs(point))):
                return "wrong", f"result {k} at {point.tolist()}: Python {e!r}, kernel {f!r}"
    return "agrees", ""


def run(count, seed):
    """Return Counter of verdicts, Counter of reasons for refusals, and the list of (text, what) that are wrong."""
    verdicts, reasons, wrong = collections.Counter(), collections.Counter(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(count):
            rng = np.random.default_rng([seed, k])
            text = Writer(rng).function("f")
            try:
                verdict, what = judge(text, "f", rng)
            except Exception as error:
                verdict, what = "crashed", f"{type(error).__name__}: {error}"
            verdicts[verdict] += 1
            if verdict == "refused":
                reasons[what[:60]] += 1
            if verdict in ("wrong", "crashed"):
                wrong.append((text, f"{verdict} (function {k}): {what}"))
    return verdicts, reasons, wrong


def main():
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    verdicts, reasons, wrong = run(arguments.count, arguments.seed)
    for text, what in wrong:
        print(f"{text}\n{what}\n")
    print(dict(verdicts))
    for reason, times in reasons.most_common(12):
        print(f"{times:6d}  {reason}")
    sys.exit(min(len(wrong), 100))


if __name__ == "__main__":
    main()
