"""Derivatives: of every operation against mpmath, of random expressions against finite differences of their text."""

import math

import graphs
import mpmath
import numpy as np
import pytest
import scipy.special

from mcgrad.compiler.derive import FLAT, PARTIALS, pull_back
from mcgrad.compiler.functions import power, where
from mcgrad.compiler.operations import BOOLEAN, OPERATIONS
from mcgrad.compiler.trace import Graph, TraceError, Tracer, apply


def jacobian(function, values):
    """Return (outputs, inputs, N): derivatives by reverse sweeps, evaluated by the emitted text."""
    values = np.asarray(values, dtype=float)
    graph, s, outputs = graphs.traced(function, len(values))
    rows = []
    for k in range(len(outputs)):
        rows += pull_back(graph, outputs, [float(j == k) for j in range(len(outputs))], s)
    return graphs.run(graph, rows, values).reshape(len(outputs), len(values), -1)


def derivatives(function, *values):
    """Return the derivatives of function(*s) at one point."""
    return jacobian(lambda s: function(*s), np.reshape(values, (-1, 1)))[0, :, 0]


# ---- every operation -------------------------------------------------------------------------------------------

mp = mpmath.mp
MEANINGS = {
    "+": (lambda a, b: a + b, "real", "real"),
    "-": (lambda a, b: a - b, "real", "real"),
    "*": (lambda a, b: a * b, "real", "real"),
    "/": (lambda a, b: a / b, "real", "real"),
    "neg": (lambda a: -a, "real"),
    "sin": (mpmath.sin, "real"),
    "cos": (mpmath.cos, "real"),
    "tan": (mpmath.tan, "real"),
    "exp": (mpmath.exp, "real"),
    "expm1": (mpmath.expm1, "real"),
    "log": (mpmath.log, "positive"),
    "log1p": (mpmath.log1p, "above -1"),
    "sqrt": (mpmath.sqrt, "positive"),
    "tanh": (mpmath.tanh, "real"),
    "arctan2": (mpmath.atan2, "real", "real"),
    "power": (lambda a, b: a**b, "positive", "real"),
    "absolute": (abs, "real"),
    "minimum": (min, "real", "real"),
    "maximum": (max, "real", "real"),
    "where": (lambda c, a, b: a if c > 0 else b, "real", "real", "real"),
    "alias": (lambda a: a, "real"),
    "copysign": (lambda a, b: abs(a) * mpmath.sign(b), "real", "real"),
    "fmod": (lambda a, b: a - b * int(a / b), "real", "real"),
    "remainder": (lambda a, b: a - b * mpmath.floor(a / b), "real", "real"),
    "hypot": (mpmath.hypot, "real", "real"),
    "cbrt": (lambda a: mpmath.sign(a) * mpmath.cbrt(abs(a)), "real"),
    "arcsinh": (mpmath.asinh, "real"),
    "arccosh": (mpmath.acosh, "above 1"),
    "arctanh": (mpmath.atanh, "within 1"),
    "expit": (lambda a: 1 / (1 + mpmath.exp(-a)), "real"),
    "logit": (lambda a: mpmath.log(a / (1 - a)), "probability"),
    "logaddexp": (lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)), "real", "real"),
    "erf": (mpmath.erf, "real"),
    "erfc": (mpmath.erfc, "real"),
    "erfcx": (lambda a: mpmath.exp(a * a) * mpmath.erfc(a), "real"),
    "erfinv": (mpmath.erfinv, "within 1"),
    "ndtr": (mpmath.ncdf, "real"),
    "log_ndtr": (lambda a: mpmath.log(mpmath.ncdf(a)), "real"),
    "ndtri": (lambda a: mpmath.sqrt(2) * mpmath.erfinv(2 * a - 1), "probability"),
    "lgamma": (lambda a: mpmath.loggamma(a).real, "positive"),
    "betaln": (lambda a, b: mpmath.log(mpmath.beta(a, b)), "positive", "positive"),
    "digamma": (mpmath.digamma, "positive"),
    "trigamma": (lambda a: mpmath.psi(1, a), "positive"),
    "floor": (mpmath.floor, "real"),
    "rint": (mpmath.nint, "real"),
    "trunc": (int, "real"),
    "floor_divide": (lambda a, b: mpmath.floor(a / b), "real", "real"),
}
UNKNOWN = {"tetragamma"}  # operations whose derivative is refused
DOMAINS = {
    "real": lambda rng: rng.normal(0, 2),
    "positive": lambda rng: rng.lognormal(0, 1.5),
    "above -1": lambda rng: rng.lognormal(0, 1) - 1,
    "above 1": lambda rng: rng.lognormal(0, 1) + 1,
    "within 1": lambda rng: rng.uniform(-1, 1),
    "probability": lambda rng: rng.uniform(0, 1),
}


def test_every_operation_is_in_the_table():
    assert set(MEANINGS) == set(OPERATIONS) - BOOLEAN - UNKNOWN
    assert set(PARTIALS) - {"given_slopes"} | FLAT == set(OPERATIONS) and not set(PARTIALS) & FLAT


def test_a_derivative_that_is_not_known_is_refused():
    graph, s, outputs = graphs.traced(lambda s: scipy.special.polygamma(2, s[0]), 1)
    with pytest.raises(TraceError, match="the derivative of tetragamma was asked for"):
        pull_back(graph, outputs, [1.0], s)


@pytest.mark.parametrize("operation", MEANINGS)
def test_derivatives_of_every_operation(operation):
    """At random points, within a few roundings of 30 digits of mpmath; a wrong sign or factor is far outside."""
    meaning, *domains = MEANINGS[operation]
    rng = np.random.default_rng(len(operation))

    def function(*s):
        return apply("where", s[0] > 0.0, *s[1:]) if operation == "where" else apply(operation, *s)

    with mpmath.workdps(40):
        for _ in range(15):
            point = [DOMAINS[d](rng) for d in domains]
            found = derivatives(function, *point)
            for i in range(len(point)):
                order = tuple(int(i == j) for j in range(len(point)))
                expected = float(mpmath.diff(meaning, tuple(map(mpmath.mpf, point)), order))
                assert found[i] == pytest.approx(expected, rel=1e-12, abs=1e-14), (point, i)


@pytest.mark.parametrize("operation", [x for x in MEANINGS if len(MEANINGS[x]) == 3 and x != "power"])
def test_an_argument_used_twice_counts_twice(operation):
    assert derivatives(lambda x: apply(operation, x, 3.0 * x), 0.7)[0] == pytest.approx(
        derivatives(lambda x, y: apply(operation, x, y), 0.7, 2.1) @ [1.0, 3.0], rel=1e-14
    )


SPELLINGS = {
    "x**2": (lambda x: x**2, lambda x: 2 * x),
    "x**-1": (lambda x: x**-1, lambda x: -1 / x**2),
    "x**5": (lambda x: x**5, lambda x: 5 * x**4),
    "x**0.5": (lambda x: x**0.5, lambda x: 0.5 / math.sqrt(x)),
    "x**-1.5": (lambda x: x**-1.5, lambda x: -1.5 * x**-2.5),
    "x**0.3": (lambda x: x**0.3, lambda x: 0.3 * x**-0.7),
    "2**x": (lambda x: 2.0**x, lambda x: math.log(2) * 2**x),
    "x**x": (lambda x: x**x, lambda x: (math.log(x) + 1) * x**x),
    "asin": (lambda x: math.asin(x / 9), lambda x: 1 / math.sqrt(81 - x * x)),
    "acos": (lambda x: math.acos(x / 9), lambda x: -1 / math.sqrt(81 - x * x)),
    "atan": (math.atan, lambda x: 1 / (1 + x * x)),
    "sinh": (math.sinh, math.cosh),
    "cosh": (math.cosh, math.sinh),
    "log2": (math.log2, lambda x: 1 / (x * math.log(2))),
    "log10": (np.log10, lambda x: 1 / (x * math.log(10))),
    "log to a base": (lambda x: math.log(3, x), lambda x: -math.log(3) / (x * math.log(x) ** 2)),
    "exp2": (np.exp2, lambda x: math.log(2) * 2**x),
    "hypot": (lambda x: np.hypot(x, 2.0), lambda x: x / math.hypot(x, 2)),
    "clip": (lambda x: np.clip(x, 0.5, 2.0), lambda x: float(0.5 < x < 2)),
    "sign": (lambda x: x * np.sign(1 - x), lambda x: 1.0 if x < 1 else -1.0),
    "x % 0.7": (lambda x: x % 0.7, lambda x: 1.0),
    "7 % x": (lambda x: 7 % x, lambda x: -(7 // x)),
    "x // 0.7": (lambda x: x // 0.7, lambda x: 0.0),
    "condition as a number": (lambda x: (x > 1) * x * x, lambda x: 2 * x if x > 1 else 0.0),
    "max of three": (lambda x: max(x, 1.0, 2 - x), lambda x: 1.0 if x > 1 else -1.0),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_derivatives_of_what_users_write(name):
    function, derivative = SPELLINGS[name]
    points = np.array([0.11, 0.45, 0.83, 1.27, 1.9, 3.3])
    found = jacobian(lambda s: function(s[0]), [points])[0, 0]
    np.testing.assert_allclose(found, [derivative(x) for x in points], rtol=2e-14)


# ---- special points --------------------------------------------------------------------------------------------

INF, NAN = math.inf, math.nan
POINTS = [
    ("sinh at 0", np.sinh, [0.0], [1.0]),
    ("sinh of small", np.sinh, [1e-9], [1.0]),
    ("cosh at 0", np.cosh, [0.0], [0.0]),
    ("abs at 0", abs, [0.0], [0.0]),
    ("abs of -0", abs, [-0.0], [0.0]),
    ("tanh far out", np.tanh, [400.0], [0.0]),
    ("sqrt at 0", np.sqrt, [0.0], [INF]),
    ("asin at 0", np.arcsin, [0.0], [1.0]),
    ("x**2 at 0", lambda x: x**2, [0.0], [0.0]),
    ("x**1.5 at 0", lambda x: apply("power", x, 1.5), [0.0], [0.0]),
    ("x**y at x = 0", lambda x, y: x**y, [0.0, 2.0], [0.0, 0.0]),
    ("x**1 at 0", lambda x, y: x**y, [0.0, 1.0], [1.0, 0.0]),
    ("arctan2 on the axes", np.arctan2, [0.0, -2.0], [-0.5, 0.0]),
    ("arctan2 above", np.arctan2, [3.0, 0.0], [0.0, -1 / 3]),
    ("minimum of equals", lambda x: np.minimum(x, x), [1.0], [1.0]),
    ("maximum of equals", lambda x: np.maximum(x, x), [1.0], [1.0]),
    ("minimum of equal inputs", lambda x, y: np.minimum(x, y), [1.0, 1.0], [0.0, 1.0]),
    ("maximum of equal inputs", lambda x, y: np.maximum(x, y), [1.0, 1.0], [0.0, 1.0]),
    ("exp of minus infinity", np.exp, [-INF], [0.0]),
    ("log1p at 0", np.log1p, [0.0], [1.0]),
    ("expm1 of small", np.expm1, [1e-12], [1.0]),
    # Where the function is not a number, neither is its derivative.
    ("log of a negative", np.log, [-1.0], [NAN]),
    ("log1p below -1", np.log1p, [-2.0], [NAN]),
    ("sqrt of a negative", np.sqrt, [-1.0], [NAN]),
    ("negative**0.3", lambda x: x**0.3, [-1.0], [NAN]),
    ("asin above 1", np.arcsin, [2.0], [NAN]),
    ("abs of NaN", abs, [NAN], [NAN]),
    ("log at 0", np.log, [0.0], [INF]),
]


@pytest.mark.parametrize(("name", "function", "point", "expected"), POINTS, ids=[x[0] for x in POINTS])
def test_special_points(name, function, point, expected):
    np.testing.assert_allclose(derivatives(function, *point), expected, rtol=1e-11, atol=0)


GUARDED = [
    ("sqrt", lambda x: where(x > 0, np.sqrt(x), 0.0), 0.0),
    ("sqrt of a negative", lambda x: where(x > 0, np.sqrt(x), x), -1.0),
    ("other branch", lambda x: where(x <= 0, 0.0, np.log(x)), -0.5),
    ("log below", lambda x: where(x > 0, x * np.log(x), 0.0), 0.0),
    ("division", lambda x: where(x != 0, np.sin(x) / x, 1.0), 0.0),
    ("power", lambda x: where(x > 0, x**0.3, 0.0), -2.0),
    ("square of a root", lambda x: where(x > 0, np.sqrt(x) ** 2, 0.0), 0.0),
    ("through min", lambda x: where(x > 0, np.minimum(np.sqrt(x), 5.0), 0.0), 0.0),
    ("through max", lambda x: where(x > 0, np.maximum(1.0, 1 / x), 0.0), 0.0),
    ("through abs and tanh", lambda x: where(x > 0, abs(np.tanh(3 * np.log(x))), 0.0), -1.0),
    ("where in where", lambda x: where(x > -1, where(x > 0, np.sqrt(x), 0.0), -1.0), 0.0),
    ("a product of conditions", lambda x: where((x > 0) & (x < 5), 1 / x, 0.0), 0.0),
    ("two uses, one condition", lambda x: where(x > 0, np.sqrt(x), 0.0) + where(x > 0, 2 * np.sqrt(x), 0.0), 0.0),
    ("two conditions", lambda x: where(x > 0, np.sqrt(x), 0.0) + where(x > 0.5, 3 * np.sqrt(x), 0.0), -1.0),
    ("two sides", lambda x: where(x > 0, np.log(x), 0.0) - where(x <= 0.5, 0.0, np.log(x) ** 2), 0.0),
    ("three", lambda x: sum(where(x > c, c * np.sqrt(2.0 * x), 0.0) for c in (0.5, 1.5, 2.5)), -1.0),
    ("a sum, scaled", lambda x: 3 * -(where(x > 0, 1 / x, 0.0) + where(x > 1, 2 / x, 0.0)), 0.0),
]


@pytest.mark.parametrize(("name", "function", "at"), GUARDED, ids=[x[0] for x in GUARDED])
def test_a_branch_that_is_not_taken_leaves_no_trace(name, function, at):
    """At the singular point the derivative is that of the branch taken: 0, or 1 for `x` itself; elsewhere, that of both."""
    expected = 1.0 if name == "sqrt of a negative" else 0.0
    assert derivatives(function, at)[0] == expected
    for x in (0.7, 2.3):
        assert derivatives(function, x)[0] == pytest.approx(difference(function, x), rel=1e-8, abs=1e-10)


def difference(function, x, h=1e-3):
    """Return a central difference of order six of the emitted text."""
    graph, _, outputs = graphs.traced(lambda s: function(s[0]), 1)
    values = graphs.run(graph, outputs, x + h * np.array([[-3.0, -2, -1, 1, 2, 3]]))[0]
    return values @ [-1, 9, -45, 45, -9, 1] / (60 * h)


# ---- the sweep -------------------------------------------------------------------------------------------------


def test_the_sweep_stops_at_its_inputs():
    """An action that is a function of the state is an input of its own: only the direct path counts for the state."""
    graph = Graph()
    s = (graph.input("s0"),)
    a = graph.alias((2.0 * s[0], s[0], 3.0))
    assert a[2] == 3.0
    y = s[0] * a[0] + a[1] * a[2]
    bars = pull_back(graph, [y], [1.0], s + a)
    found = graphs.run(graph, bars, np.array([[5.0]]))[:, 0]
    np.testing.assert_array_equal(found, [10.0, 5.0, 3.0, 0.0])


def test_numbers_and_outputs_that_are_inputs():
    graph = Graph()
    x, y = graph.input("s0"), graph.input("s1")
    assert pull_back(graph, [3.0], [1.0], (x, y)) == (0.0, 0.0)
    assert pull_back(graph, [x, x, 2.0], [1.0, 4.0, 9.0], (x, 7.0, y)) == (5.0, 0.0, 0.0)
    assert pull_back(graph, [], [], (x,)) == (0.0,)


def test_what_is_never_differentiated():
    """Comparisons, floor and conditions pass no derivative on, and do not spoil that of others."""
    found = derivatives(lambda x, y: x * (y > 0) + np.floor(y) + where(y > x, 2.0, 3.0) * x, 0.5, 1.5)
    np.testing.assert_array_equal(found, [3.0, 0.0])


def test_the_work_of_a_sweep_is_a_small_multiple_of_that_of_the_graph():
    def chain(s):
        x = s[0]
        for _ in range(200):
            x = x * np.sin(x) + s[1]
        return x

    graph, s, outputs = graphs.traced(chain, 2)
    before = len(graph.nodes)
    pull_back(graph, outputs, [1.0], s)
    assert len(graph.nodes) < 5 * before


@pytest.mark.parametrize("seed", range(150))
def test_random_expressions_against_finite_differences(seed):
    """Every derivative within 1e-7 of differences of order six; an error of 1e-6 in one derivative would be seen.

    Points where differences of two step sizes disagree lie next to a kink; at most a quarter may.
    """
    rng = np.random.default_rng(seed)
    graph = Graph()
    s = tuple(graph.input(f"s{i}") for i in range(3))
    outputs = graphs.random_expression(rng, s, int(rng.integers(3, 25)))
    cotangents = rng.normal(size=3)
    bars = pull_back(graph, outputs, cotangents, s)
    N = 24
    x = rng.normal(size=(3, N))
    found = graphs.run(graph, bars, x)
    assert np.isfinite(found).all()

    def differences(h):
        steps = np.array([-3.0, -2, -1, 1, 2, 3])
        result = []
        for i in range(3):
            moved = np.repeat(x[:, :, None], 6, axis=2)
            moved[i] += h * steps
            values = cotangents @ graphs.run(graph, outputs, moved.reshape(3, -1))
            result.append(values.reshape(N, 6) @ [-1, 9, -45, 45, -9, 1] / (60 * h))
        return np.array(result)

    fine, coarse = differences(2e-4), differences(4e-4)
    scale = 1.0 + np.abs(fine) + np.abs(graphs.run(graph, outputs, x)).sum(axis=0)
    settled = np.abs(fine - coarse) < 1e-8 * scale
    assert settled.mean() > 0.75
    assert (np.abs(found - fine) < 1e-7 * scale)[settled].all()


def test_the_comparison_with_differences_sees_a_wrong_derivative(monkeypatch):
    monkeypatch.setitem(PARTIALS, "sin", lambda y, a: (apply("cos", a) * (1 + 1e-6),))
    with pytest.raises(AssertionError):
        for seed in range(3):
            test_random_expressions_against_finite_differences(seed)


def test_second_derivatives():
    """A sweep adds ordinary nodes, so a sweep of a sweep is a second derivative."""
    graph, s, outputs = graphs.traced(lambda s: np.sin(s[0]) * s[1] ** 3 + np.exp(s[0] * s[1]), 2)
    first = pull_back(graph, outputs, [1.0], s)
    second = [y for bar in first for y in pull_back(graph, [bar], [1.0], s)]
    x, y = 0.4, -0.7
    e = math.exp(x * y)
    mixed = 3 * math.cos(x) * y**2 + e + x * y * e
    expected = [-math.sin(x) * y**3 + y * y * e, mixed, mixed, 6 * math.sin(x) * y + x * x * e]
    np.testing.assert_allclose(graphs.run(graph, second, np.array([[x], [y]]))[:, 0], expected, rtol=1e-14)


def test_powers_agree_with_the_power_function():
    for y in (-2.5, -1, 0.5, 3, 7.5):
        found = derivatives(lambda x, y=y: power(x, y), 1.3)
        np.testing.assert_allclose(found, derivatives(lambda x, y=y: apply("power", x, y), 1.3), rtol=1e-14)


def test_tracers_come_out():
    graph, s, outputs = graphs.traced(lambda s: s[0] * s[1], 2)
    bars = pull_back(graph, outputs, [1.0], s)
    assert all(isinstance(x, Tracer) for x in bars) and [x.index for x in bars] == [1, 0]
