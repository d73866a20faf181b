"""Tracing: every spelling of a function gives a text that computes what the function computes."""

import copy
import functools
import math
import math as mathematics
import numbers
from collections.abc import Iterable
from math import cos as cosine
from math import sin

import graphs
import numba
import numpy
import numpy as np
import numpy as whatever
import pytest
import scipy.special
import scipy.stats
from numpy import exp as exponential

import mcgrad as mg
from mcgrad.compiler.functions import where
from mcgrad.compiler.known_functions import NAMES
from mcgrad.compiler.namespaces import rebind

A = np.array([[0.5, -1.0, 0.25], [2.0, 0.0, -0.5], [0.1, 0.3, 1.0]])
GRAVITY = 9.8


# ---- helpers of "users" ----------------------------------------------------------------------------------------


def helper(x):
    return math.sin(x) + inner(x)


def inner(x):
    return np.cos(x) * GRAVITY


@numba.njit
def jitted(x):
    return math.sin(x) + jitted_inner(x)


@numba.njit
def jitted_inner(x):
    return math.exp(-x * x)


def make_closure(k):
    def of_power(x):
        return math.tanh(k * x)

    def step(s):
        return of_power(s[0]) + k

    return step


def with_default(s, f=math.sin, *, g=cosine):
    return f(s[0]) + g(s[1])


def countdown(x, n):
    return x if n == 0 else math.sin(countdown(x, n - 1))


class Car:
    mass = 2.0

    def __init__(self, k):
        self.k = k
        self.own = math.tanh

    @property
    def scaled(self):
        return self.k / self.mass

    @staticmethod
    def drag(v):
        return math.exp(-v * v)

    def force(self, x):
        return math.sin(self.scaled * x) - self.drag(x)

    def step(self, s):
        return (self.force(s[0]), self.own(s[1]))

    def __call__(self, s):
        return math.cos(s[0]) + self.force(s[1])


CAR = Car(3.0)
PARTIAL = functools.partial(lambda k, x: math.sin(k * x), 2.0)
FUNCTIONS_IN_A_LIST = [math.sin, math.cos]
FUNCTIONS_IN_A_DICT = {"tanh": math.tanh}


def imports_inside(s):
    import math
    from math import exp

    import numpy as np
    from numpy import cos

    return math.sin(s[0]) + cos(s[1]) + np.tanh(s[2]) + exp(-(s[0] ** 2))


def nested(s):
    def local(x, f=math.cos):
        return f(x) * s[1]

    return local(s[0]) + (lambda x: math.sin(x))(s[2])


def statements(s):
    total = 0.0
    for i, x in enumerate(s):
        if i % 2 == 0:
            total += x
        else:
            total -= 2 * x
    rest = [x * y for x, y in zip(s[:-1], s[1:], strict=True)]
    while len(rest) > 1:
        rest.append(rest.pop() + rest.pop())
    x, *others = s
    return total + rest[0] + x * sum(others)


def in_a_list(s):
    out = [0.0] * 3
    for i in range(3):
        out[i] = s[i] * s[(i + 1) % 3]
    return tuple(out)


def in_an_array_of_objects(s):
    out = np.zeros(3, dtype=object)
    out[1] = s[0] * 2
    out[2:] = s[1]
    return out


def positive(x):
    return abs(x) + 0.1


def special_imported_inside(s):
    import scipy.special as special
    from scipy.special import gammaln

    return gammaln(positive(s[0])) + special.log_ndtr(s[1])


def what_a_float_is(s):
    x = s[0]
    kind = isinstance(x, float) + 2 * isinstance(x, (int, np.ndarray)) + 4 * isinstance(x, numbers.Real)
    kind += 8 * np.isscalar(x) + 16 * isinstance(x, Iterable) + 32 * hasattr(x, "shape") + 64 * (x.__class__ is float)
    match x:
        case float():
            kind += 128
    return kind * x + isinstance(kind, type) + isinstance(int, type)


def catches_other_exceptions(s):
    try:
        return s["a"]
    except (TypeError, KeyError):
        return s[0] / s[1]


SPELLINGS = {
    # names of modules and functions
    "math": lambda s: math.sin(s[0]) + mathematics.cos(s[1]),
    "from math import": lambda s: sin(s[0]) + cosine(s[1]),
    "numpy": lambda s: np.sin(s[0]) + numpy.cos(s[1]) + whatever.tanh(s[2]) + exponential(s[0]),
    "imports inside": imports_inside,
    # how functions come
    "helper": lambda s: helper(s[0]),
    "recursion": lambda s: countdown(s[0], 3),
    "nested": nested,
    "closure": make_closure(0.7),
    "lambda": lambda s: (lambda x: math.exp(x))(s[0]),
    "partial": functools.partial(lambda k, s: math.sin(k * s[0]), 2.0),
    "partial of a keyword": functools.partial(with_default, f=math.cos),
    "partial as a helper": lambda s: PARTIAL(s[0]),
    "default arguments": with_default,
    "bound method": CAR.step,
    "callable object": CAR,
    "object as a helper": lambda s: CAR.force(s[0]) + CAR(s),
    "list of functions": lambda s: FUNCTIONS_IN_A_LIST[0](s[0]) + FUNCTIONS_IN_A_DICT["tanh"](s[1]),
    "loop over functions": lambda s: sum(f(x) for f, x in zip((math.sin, math.cos, np.exp), s, strict=True)),
    "jitted helper": lambda s: jitted(s[0]),
    "module attribute": lambda s: np.linalg.norm(s) + np.linalg.norm(np.array(s) - 1.0),
    # structures
    "comprehension": lambda s: tuple(2 * x for x in s),
    "generator": lambda s: sum(x * x for x in s),
    "statements": statements,
    "list": in_a_list,
    "object array": in_an_array_of_objects,
    "star": lambda s: max(*s) + math.hypot(*s[:2]),
    # arrays
    "A @ s": lambda s: A @ s,
    "s @ A": lambda s: s @ A,
    "np.dot": lambda s: np.dot(A, s),
    "quadratic form": lambda s: np.array(s) @ A @ np.array(s),
    "array times": lambda s: (A * s[0] + s[1]) @ np.array(s) / (1.0 + s[2] ** 2),
    "array comes first": lambda s: A[0] - s[0] + A[1] * s[1] - A[2] / (2.0 + np.cos(s[2])),
    "array power": lambda s: np.array([1.0, 2.0, 3.0]) ** s[0] + np.array(s) ** 2 + np.array(s) ** [1, 2, 3],
    "float64 first": lambda s: np.float64(2.0) * s[0] - np.float64(1.5) / (s[1] * s[1] + 1) + np.float64(2.0) ** s[2],
    "float32 in arrays": lambda s: np.array([0.1, 0.2, 0.3], dtype=np.float32) @ np.array(s),
    "what a float is": what_a_float_is,
    "copies": lambda s: copy.copy(s[0]) + sum(copy.deepcopy(s)) + s[1].real + s[1].imag + s[2].conjugate(),
    "an exception that is caught": catches_other_exceptions,
    "fmin of NaN": lambda s: (
        np.fmin(math.nan * s[0], s[1]),
        np.fmax(s[1], math.nan * s[0]),
        min(1.0, math.nan * s[0]),
    ),
    "np.sum": lambda s: np.sum(s) + np.sum(np.array(s) ** 2) + np.mean(s) + np.prod(s) + math.prod(s),
    "np.sum over an axis": lambda s: np.sum(np.outer(s, s), axis=0),
    "np.array": lambda s: np.array([[s[0], 1.0], [2.0, s[1]]]) @ np.array([s[2], 3.0]),
    "einsum": lambda s: np.einsum("i,ij,j", np.array(s), A, np.array(s)),
    "cumsum, trace, concatenate": lambda s: np.concatenate([np.cumsum(s), [np.trace(np.outer(s, s))]]),
    "np.full": lambda s: np.full(2, s[0]),
    "functions of arrays": lambda s: np.sin(np.array(s)) + np.tanh(list(s)) + np.exp(s),
    "functions of nested lists": lambda s: np.sum(np.sin([[s[0], s[1]], [s[2], 1.0]])),
    "0-d array": lambda s: np.array(s[0]) * 2.0,
    "np.power of a list": lambda s: np.power([2, positive(s[0])], -1),
    # where, min, max
    "np.where": lambda s: np.where(s[0] > 0, s[1], -s[2]),
    "mg.where": lambda s: mg.where(s[0] > 0, s[1], 2) + where(s[1] <= s[2], 1, s[0]),
    "np.where of lists": lambda s: np.where(s[0] > 0, [1.0, s[1]], [s[2], 3.0]),
    "np.where of constants": lambda s: np.where(A > 0.2, A, 0.0) @ s,
    "minimum, maximum": lambda s: np.minimum(s[0], s[1]) - np.maximum(s[1], 0.5) + np.fmin(s[0], 1) + np.fmax(0, s[2]),
    "minimum of arrays": lambda s: np.minimum(np.array(s), 0.1) + np.maximum(0.2, s),
    "clip": lambda s: np.clip(s[0], -0.5, 0.5) + np.clip(s[1], None, 0.2) + np.clip(s[2], min=-0.1, max=s[0] + 9),
    "clip of arrays": lambda s: np.clip(np.array(s), -0.5, a_max=0.5),
    "min, max": lambda s: min(s) - max(s[0], s[1], 0.3) + min(list(s)) + np.max(s) + np.amin(np.outer(s, s)),
    "max of a generator": lambda s: max(abs(x) for x in s) + min(x * x for x in s),
    "abs": lambda s: abs(s[0]) + np.abs(s[1]) + math.fabs(s[2]) + np.absolute(s[0]) + np.sum(np.abs(np.array(s))),
    "sign": lambda s: np.sign(s[0]) * s[1] + np.sign(0.0 * s[1]),
    "pow": lambda s: pow(s[0], 2) + math.pow(positive(s[1]), 1.7) + np.power(positive(s[1]), s[2]),
    # operators
    "powers": lambda s: (s[0] ** 0, s[0] ** 1, s[0] ** 2, s[0] ** 3, s[0] ** 7, s[0] ** -1, s[0] ** -4, s[0] ** 2.0),
    "half powers": lambda s: (positive(s[0]) ** 0.5, positive(s[0]) ** 1.5, positive(s[1]) ** -2.5),
    "other powers": lambda s: (positive(s[0]) ** 0.3, 2.0 ** s[1], 2 ** s[1], positive(s[0]) ** s[1], abs(s[2]) ** 65),
    "// %": lambda s: (s[0] // 0.7, s[0] % 0.7, 3.0 // positive(s[1]), 3.0 % positive(s[1]), s[0] // s[1], s[0] % s[1]),
    "float64 // %": lambda s: (np.float64(3.0) // s[0], np.float64(3.0) % s[0], np.mod(s[0], 2 * np.pi)),
    "+x -x": lambda s: (+s[0], -s[0], -(1 * -s[0]), -(s[0] - s[1]), +np.array(s)[1]),
    "bool as a number": lambda s: ((s[0] > 0) * 2.0, (s[0] > 0) + (s[1] > 0), 1 - (s[1] < 0), True + s[0], s[2] > 0),
    "bool arithmetic": lambda s: (-(1 * (s[0] > 0)), abs(s[0] > 0), (s[0] > 0) / 2, (s[0] > 0) == (s[1] > 0)),
    "& |": lambda s: np.where((s[0] > 0) & (s[1] < 0.5) | (s[2] == s[1]), 1.0, s[2]),
    "~": lambda s: np.where(~((np.float64(1.0) > s[0]) | (s[1] > 0)), 1.0, s[2]),
    "logical_and": lambda s: np.where(np.logical_and(s[0] > 0, np.logical_not(s[1] != 0.5)), 1.0, s[2]),
    "constants in logic": lambda s: np.where((s[0] > 0) & True & (np.bool_(True) | (s[1] > 0)), 1.0, s[2]),
    "comparisons": lambda s: tuple(
        1.0 * c for c in (s[0] < s[1], 0 <= s[1], s[1] > 0, 0.3 >= s[2], s[0] == s[0], s[0] != 1, s[0] == 0.5)
    ),
    "number as a condition": lambda s: np.where(np.floor(s[0]), s[1], s[2]),
    # functions
    "exp, log": lambda s: (math.exp(s[0]), math.expm1(s[0]), math.log(positive(s[0])), math.log1p(positive(s[1]))),
    "log to a base": lambda s: (math.log(positive(s[0]), 3), math.log2(positive(s[0])), np.log10(positive(s[1]))),
    "exp2": lambda s: np.exp2(s[0]),
    "trigonometry": lambda s: (math.tan(s[0]), math.atan(s[0]), math.atan2(s[0], s[1]), np.arctan2(1.0, s[2])),
    "inverse trigonometry": lambda s: (math.asin(math.sin(s[0])), np.arccos(np.cos(s[1])), np.arctan(s[2])),
    "hyperbolic": lambda s: (math.sinh(s[0]), math.cosh(s[1]), math.tanh(s[2]), np.sinh(3 * s[0]), np.cosh(3 * s[1])),
    "sinh of small": lambda s: (math.sinh(1e-9 * s[0]), math.sinh(1e-3 * s[0])),
    "rest": lambda s: (math.sqrt(positive(s[0])), np.square(s[1]), np.reciprocal(s[2]), math.hypot(s[0], s[1])),
    "rounding": lambda s: (math.floor(s[0]), np.floor(s[1] * 3), np.ceil(2 * s[0]), math.ceil(s[1])),
    "rounding to the nearest": lambda s: (
        round(3 * s[0]),
        np.round(s[1], 2),
        np.rint(9 * s[0]),
        np.around(90 * s[2], -1),
    ),
    "rounding to zero": lambda s: (math.trunc(3 * s[0]), np.trunc(s[1]), np.fix(3 * s[2]), np.round(np.array(s), 1)[1]),
    "fmod": lambda s: (math.fmod(s[0], 0.3), np.fmod(s[1], s[2]), *divmod(s[0], 0.3), *divmod(2.0, s[1])),
    "heaviside": lambda s: (np.heaviside(s[0], 0.5), np.heaviside(0 * s[0], 0.5), math.copysign(s[0], s[1])),
    "hypot of three": lambda s: math.hypot(*s) + math.dist(s[:2], (0.0, 1.0)),
    "isfinite": lambda s: np.where(np.isfinite(s[0]) & ~np.isnan(s[1]) & ~np.isinf(s[2]), s[0], s[1]),
    "argmax": lambda s: (np.argmax(s), np.argmin(s), np.argmax([0.5, *s]), np.argmin(np.array(s))),
    "interp": lambda s: np.interp(s[0], [-1, 0, 0.5, 1], [1, -1, 2, 0]) + np.interp(s, [0, 1], [1, 3], left=9),
    "select": lambda s: np.select([s[0] > 1, s[0] > 0], [s[1], s[2] ** 2], default=0.5),
    "select of arrays": lambda s: np.select([np.array([True, False])], [np.array([s[0], s[1]])], s[2]),
    "special": lambda s: (
        math.erf(s[0]),
        math.lgamma(positive(s[1])),
        scipy.special.ndtr(s[2]),
        scipy.special.psi(9.5),
    ),
    "special of arrays": lambda s: scipy.special.erf(np.array(s)) + scipy.special.expit(list(s)),
    "special imported inside": special_imported_inside,
    "softmax": lambda s: scipy.special.softmax(s) + scipy.special.log_softmax(s) + scipy.special.logsumexp(s),
    "polygamma": lambda s: tuple(scipy.special.polygamma(n, positive(s[0])) for n in (0, 1, 2)),
    "sinc": lambda s: (np.sinc(s[0]), np.degrees(s[1]), math.radians(s[2]), scipy.special.xlogy(0.0 * s[0], s[1])),
    # simplifications
    "zeros and ones": lambda s: (0 * s[0] + 1 * s[1], s[0] * 0 + 0, s[0] - 0, 0 - s[0], s[0] / 1, s[0] * -1, -1 * s[1]),
    "differences": lambda s: (s[0] - s[0], s[0] + -s[1], -s[0] + s[1], s[0] - -s[1], -s[0] - s[1], 0 / s[0], s[0] / -1),
    "shared": lambda s: ((s[0] + s[1]) * (s[1] + s[0]), s[0] * s[1] - s[1] * s[0], math.sin(s[0]) / math.sin(s[0])),
    "signs of zero": lambda s: (np.arctan2(0.0, s[0]), np.arctan2(-0.0, s[0]), np.arctan2(0.0, s[0])),
    "left to right": lambda s: (s[0] - (s[1] - s[2]), s[0] - s[1] - s[2], s[0] / (s[1] / s[2]), s[0] / s[1] / s[2]),
    "constants": lambda s: (1.0, 2, True, np.float64(3.0), np.pi, 1e300, -1e-300, s[0] * 1e-300 * 1e300),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_text_computes_what_the_function_computes(name):
    function = SPELLINGS[name]
    values = np.random.default_rng(len(name)).normal(0.0, 1.2, (3, 40))
    expected = np.array([reference(function, column) for column in values.T], dtype=float).T
    graph, _, outputs = graphs.traced(function, 3)
    found = graphs.run(graph, outputs, values)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=4e-15, atol=4e-15)
    assert np.isfinite(expected).all()


def reference(function, column):
    """Call a user's function on plain floats."""
    result = function(tuple(map(float, column)))
    return np.concatenate([np.ravel(x) for x in np.atleast_1d(np.array(result, dtype=object))])


# Names that take more than one number, or numbers that are not in (0, 1)
SECOND = {"arctan2", "atan2", "pow", "power", "hypot", "minimum", "maximum", "fmin", "fmax", "copysign", "fmod"}
SECOND |= {"logaddexp", "logaddexp2", "heaviside", "betaln", "xlogy"}
ABOVE_1 = {"arccosh", "acosh"}


@pytest.mark.parametrize("module", [math, np, scipy.special])
def test_every_name_is_what_the_module_says(module):
    points = np.linspace(0.05, 0.95, 7)
    names = {name for name in NAMES if hasattr(module, name)} - {"where", "clip", "polygamma", "abs"}
    for name in names:
        original, count = getattr(module, name), 2 if name in SECOND else 1
        columns = [points + (name in ABOVE_1), points[::-1]][:count]

        def call(s, original=original):
            return original(*s)

        graph, _, outputs = graphs.traced(call, count)
        found = graphs.run(graph, outputs, np.array(columns))[0]
        expected = [original(*x) for x in zip(*columns, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-14, err_msg=f"{module.__name__}.{name}")
    assert len(names) > 15


def test_integers_of_a_traced_function_are_those_of_python():
    graph, _, outputs = graphs.traced(lambda s: tuple(s[i] for i in range(len(s)) if i > 0), 3)
    assert [x.index for x in outputs] == [1, 2]


def test_special_values_pass_through():
    inf, nan = float("inf"), float("nan")
    values = np.array([[inf, -inf, nan, 0.0, -0.0, 710.0, 1e300]])

    def function(s):
        x = s[0]
        return (
            x * x,
            1.0 / x,
            math.exp(x),
            np.minimum(x, 1.0),
            abs(x),
            np.where(x > 0, 1.0, 2.0),
            math.sinh(x),
            np.sign(x),
        )

    graph, _, outputs = graphs.traced(function, 1)
    with np.errstate(all="ignore"):
        x = values[0]
        expected = np.array(
            [x * x, 1 / x, np.exp(x), np.minimum(x, 1), abs(x), np.where(x > 0, 1, 2), np.sinh(x), np.sign(x)]
        )
    # sinh(710) is 1.1e308, out of reach of exp(710) / 2.
    expected[6, 5] = inf
    np.testing.assert_array_equal(graphs.run(graph, outputs, values), expected)


def test_infinite_and_not_a_number_as_constants():
    graph, _, outputs = graphs.traced(
        lambda s: (np.minimum(s[0], math.inf), s[0] * math.nan, s[0] ** math.inf, -math.inf), 1
    )
    found = graphs.run(graph, outputs, np.array([[0.5, 3.0]]))
    np.testing.assert_array_equal(found, [[0.5, 3.0], [np.nan, np.nan], [0.0, np.inf], [-np.inf, -np.inf]])


def test_the_original_function_is_left_alone():
    before = with_default.__globals__["math"]
    graphs.traced(SPELLINGS["helper"], 3)
    graphs.traced(CAR.step, 3)
    assert with_default.__globals__["math"] is before is math
    assert math.sin is with_default.__defaults__[0]
    assert helper(0.5) == math.sin(0.5) + np.cos(0.5) * GRAVITY
    assert type(CAR) is Car and CAR.own is math.tanh and CAR.step((0.1, 0.2)) == (CAR.force(0.1), math.tanh(0.2))


def test_min_and_max_of_plain_numbers_are_those_of_python():
    for function in (lambda s: max([2, 1], key=lambda x: -x), lambda s: min([], default=3), lambda s: max("ab")):
        assert rebind(function)(()) == function(())
