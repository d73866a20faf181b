"""Special functions on the three machines against mpmath (errors), SciPy (special values) and Python (// and %)."""

import itertools
import math

import mpmath
import numba
import numpy as np
import pytest
import scipy.special
from test_elementary import SPECIAL, compiled

from mcgrad.compiler import gamma, on_numbers, special
from mcgrad.compiler import on_lanes as machine
from mcgrad.compiler.operations import FUNCTIONS
from mcgrad.compiler.simd import F64

ROUNDOFF = 2.0**-53
UNARY = [name for name, f in special.FUNCTIONS.items() if f.nin == 1]
BINARY = [name for name, f in special.FUNCTIONS.items() if f.nin == 2] + ["fmod"]


def all_functions(names):
    """Return a function that applies every function of a machine."""
    return lambda x, y: tuple([names[f](x) for f in UNARY] + [names[f](x, y) for f in BINARY])


def on_numpy(x, y):
    return dict(zip(UNARY + BINARY, all_functions(FUNCTIONS)(x, y), strict=True))


@pytest.fixture(scope="module")
def on_lanes():
    """Return x, y -> {name: values}, eight lanes at a time."""
    _, evaluate = compiled(all_functions(machine.names(8, F64)), len(UNARY + BINARY), 8)
    return lambda x, y: dict(zip(UNARY + BINARY, evaluate(x, y), strict=True))


# ---- errors ------------------------------------------------------------------------------------------------------


def sizes(rng, low, high, count=60):
    return np.exp2(rng.uniform(low, high, count))


def points(name):
    """Return some hundred arguments: of every size, and where the function is difficult."""
    rng = np.random.default_rng(len(name))
    small = np.r_[sizes(rng, -60, 3), -sizes(rng, -60, 3)]
    real = np.r_[small, rng.uniform(-9, 9, 120)]
    probability = np.r_[rng.uniform(0, 1, 120), sizes(rng, -1073, -1), 1 - sizes(rng, -53, -1), 0.5 + small / 40]
    positive = np.r_[sizes(rng, -1073, 900), rng.uniform(0, 12, 120), 1 + small / 20, 2 + small / 20, 8 + small / 20]
    return {
        "erf": real,
        "erfc": np.r_[small, rng.uniform(-6, 26.5, 120)],
        "erfcx": np.r_[small, rng.uniform(-26.6, 40, 120), sizes(rng, 3, 500)],
        "erfinv": np.r_[1 - sizes(rng, -52, -1), small / 9, sizes(rng, -1000, -60)],
        "ndtr": np.r_[small, rng.uniform(-37.5, 9, 120)],
        "log_ndtr": np.r_[small, rng.uniform(-60, 37, 120), -sizes(rng, 4, 60)],
        "ndtri": probability,
        "expit": np.r_[small, rng.uniform(-708, 40, 120)],
        "logit": probability,
        "cbrt": np.r_[sizes(rng, -1074, 1023), -sizes(rng, -1074, 1023), real],
        "arcsinh": np.r_[sizes(rng, -1000, 1023), -sizes(rng, 26, 30), real],
        "arccosh": np.r_[1 + sizes(rng, -52, 2), sizes(rng, 1, 1023), sizes(rng, 26, 30)],
        "arctanh": np.r_[1 - sizes(rng, -52, -1), small / 9],
        "lgamma": np.r_[positive, -rng.uniform(0, 30, 120), -sizes(rng, -100, 6)],
        "digamma": np.r_[positive, -rng.uniform(0, 30, 120), -sizes(rng, -100, 6)],
        "trigamma": np.r_[positive[positive > 1e-150], -rng.uniform(0, 30, 120)],
        "tetragamma": np.r_[positive[positive > 1e-100], -rng.uniform(0, 30, 120)],
    }[name]


def newton(x, f, slope):
    """Return the root of f near x, in the present precision."""
    for _ in range(5):
        x = x - f(x) / slope(x)
    return x


def quantile(q):
    """Return the upper quantile of the normal distribution for a small probability."""

    def log_of_ratio(x):
        return mpmath.log(mpmath.ncdf(-x) / q)

    return newton(-mpmath.mpf(scipy.special.ndtri(float(q))), log_of_ratio, lambda x: -mpmath.npdf(x) / mpmath.ncdf(-x))


def erfinv(y):
    if abs(y) > 0.1:
        return mpmath.sign(y) * quantile((1 - abs(y)) / 2) / mpmath.sqrt(2)
    start = y * mpmath.sqrt(mpmath.pi) / 2
    return newton(start, lambda x: mpmath.erf(x) - y, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x))


EXACT = {
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "erfcx": lambda x: mpmath.exp(x * x) * mpmath.erfc(x) if x < 1e4 else 1 / (mpmath.sqrt(mpmath.pi) * (x + 0.5 / x)),
    "erfinv": erfinv,
    "ndtr": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "log_ndtr": lambda x: mpmath.log(mpmath.ncdf(x)) if x < 0 else mpmath.log1p(-mpmath.ncdf(-x)),
    "ndtri": lambda p: (
        erfinv(2 * p - 1) * mpmath.sqrt(2) if 0.4 < p < 0.6 else quantile(min(p, 1 - p)) * (-1) ** (p < 0.5)
    ),
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
    "logit": lambda p: mpmath.log(p / (1 - p)),
    "cbrt": lambda x: mpmath.sign(x) * abs(x) ** (mpmath.mpf(1) / 3),
    "arcsinh": mpmath.asinh,
    "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh,
    "lgamma": lambda x: mpmath.loggamma(x).real,
    "digamma": mpmath.digamma,
    "trigamma": lambda x: mpmath.psi(1, x),
    "tetragamma": lambda x: mpmath.psi(2, x),
}


def bound(name, x, y):
    """Return the largest error that the docstring of `special` allows."""
    if name == "lgamma":
        return 10 * (abs(y) if x > 0 else max(1, mpmath.loggamma(abs(x))))
    if name in ("digamma", "trigamma", "tetragamma"):
        return 20 * max(1, abs(y), abs(mpmath.log(abs(x))))
    return (14 if name.startswith(("erf", "ndtr", "log_ndtr")) else 6) * abs(y)


def excess(name, x, *machines):
    """Return the largest error on some machines as a part of the bound, and where it is; over normal numbers."""
    worst, where = 0.0, None
    with mpmath.workdps(40):
        for a, *results in zip(x, *machines, strict=True):
            a = mpmath.mpf(float(a))
            if a == 0 or (a < 0 and a == mpmath.floor(a) and name.endswith("gamma")):
                continue
            y = EXACT[name](a)
            if abs(y) < 2.0**-1022 or abs(y) > 1.7e308:
                continue
            assert np.isfinite(results).all(), (name, float(a), results)
            error = max(abs(mpmath.mpf(float(found)) - y) for found in results)
            error = float(error / (ROUNDOFF * bound(name, a, y)))
            worst, where = max((worst, where), (error, float(a)), key=lambda pair: pair[0])
    return worst, where


@pytest.mark.parametrize("name", UNARY)
def test_errors_are_below_their_bounds(name, on_lanes):
    """On SIMD lanes and on NumPy, over every region of every function."""
    x = points(name)
    worst, where = excess(name, x, on_lanes(x, 1.0)[name], special.FUNCTIONS[name](x))
    assert worst < 1.0, f"{name}({where!r}): {worst:.2f} times the bound"


def test_the_error_check_has_power(monkeypatch):
    """A coefficient that is wrong by one part in 10^13 is found, in every table."""
    tables = {"ERF": "erf", "ERFCX": "erfc", "NORMAL_CENTRE": "ndtri", "LGAMMA": "lgamma", "SIN_PI": "trigamma"}
    for table, name in tables.items():
        home = special if hasattr(special, table) else gamma
        wrong = getattr(home, table)
        monkeypatch.setattr(home, table, (wrong[0] * (1 + 1e-13 * 30), *wrong[1:]))
        x = points(name)[::3]
        assert excess(name, x, special.FUNCTIONS[name](x))[0] > 1.0, table
        monkeypatch.undo()


def test_betaln(on_lanes):
    rng = np.random.default_rng(6)
    a, b = np.r_[sizes(rng, -10, 4, 90), sizes(rng, 3, 50)], np.r_[sizes(rng, -10, 60, 90), sizes(rng, -3, 50)]
    for found in (on_lanes(a, b)["betaln"], on_numpy(a, b)["betaln"]):
        for i in range(len(a)):
            with mpmath.workdps(60):
                x, y = mpmath.mpf(a[i]), mpmath.mpf(b[i])
                expected = mpmath.loggamma(x) + mpmath.loggamma(y) - mpmath.loggamma(x + y)
            assert abs(found[i] - expected) < 40 * ROUNDOFF * max(1, abs(expected)), (a[i], b[i])


def test_logaddexp_and_hypot(on_lanes):
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 3, 60), rng.normal(0, 3, 60)
    big, other = sizes(rng, -1060, 1020), sizes(rng, -3, 3)
    sums = (on_lanes(a, b)["logaddexp"], on_numpy(a, b)["logaddexp"])
    roots = (on_lanes(big, big * other)["hypot"], on_numpy(big, big * other)["hypot"])
    for i in range(60):
        expected = mpmath.log(mpmath.exp(a[i]) + mpmath.exp(b[i]))
        root = mpmath.hypot(big[i], big[i] * other[i])
        for found in sums:
            assert abs(found[i] - expected) < 4 * ROUNDOFF * max(1, abs(a[i]), abs(b[i]))
        for found in roots:
            assert abs(found[i] - root) <= 6 * ROUNDOFF * root + 5e-324


# ---- special values and machines ---------------------------------------------------------------------------------


def lgamma_of_python(x):
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # poles
        return math.inf


WITNESS = {
    "lgamma": np.vectorize(lgamma_of_python),
    "digamma": scipy.special.digamma,
    "trigamma": None,
    "tetragamma": None,
    "remainder": np.remainder,
    "floor_divide": np.floor_divide,
    "fmod": np.fmod,
}
POLES = np.array([-1.0, -2.0, -3.0, -1e3, -1e5, -1e19, -1e300])


@pytest.mark.parametrize("name", [x for x in UNARY if WITNESS.get(x, True)])
def test_special_values(name, on_lanes):
    """Infinities, NaN, signed zeros, ends of domains, overflow and underflow, as NumPy and SciPy have them."""
    witness = WITNESS.get(name) or getattr(np, name, None) or getattr(scipy.special, name)
    x = np.r_[SPECIAL, 0.25, 0.75, 1.0 + 2.0**-52, 30.0, -30.0, 38.0, -38.0, -40.0]
    if name == "digamma":
        x = x[(x > 0) | (x != np.floor(x)) | (x == 0)]  # at its poles it is not finite
    with np.errstate(all="ignore"):
        expected = witness(x)
    for got in (on_lanes(x, 1.0)[name], special.FUNCTIONS[name](x)):
        same = ~np.isfinite(expected) | ((expected == 0) & ~(np.abs(got) < 1e-307))
        np.testing.assert_array_equal(got[same], expected[same])
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15 if name.endswith("gamma") else 1e-307)
    if name == "digamma":
        assert not np.isfinite(special.FUNCTIONS[name](POLES)).any()


def on_numpy_division(a, b):
    with np.errstate(all="ignore"):
        return np.float64(a) / np.float64(b)


def test_division_is_that_of_python(on_lanes):
    """Every pair of special values, and multiples: 1.0 // 0.1 is 9, (3 * 0.1) % 0.1 is not 0."""
    rng = np.random.default_rng(2)
    pairs = [(1.0, 0.1), (-1.0, 0.1), (0.3, 0.1), (1e300, 0.7), (-1e300, 0.7), (5e-324, 1e300), (-5e-324, 1e300)]
    pairs += [(k * b, b * s) for b in (0.1, 0.7, 1 / 3, 1e-310, 1e305) for k in range(1, 40) for s in (1, -1)]
    pairs += list(zip(rng.normal(size=2000) * sizes(rng, 0, 60, 2000), rng.normal(size=2000), strict=True))
    pairs += list(itertools.product(SPECIAL, SPECIAL))
    x, y = np.array(pairs).T
    with np.errstate(all="ignore"):
        lanes, arrays = on_lanes(x, y), on_numpy(x, y)
    for i, (a, b) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        if b == 0.0:
            expected = {"fmod": math.nan, "remainder": math.nan, "floor_divide": on_numpy_division(a, b)}
        else:
            expected = {"remainder": a % b, "floor_divide": a // b}
            expected["fmod"] = math.fmod(a, b) if math.isfinite(a) else math.nan
        for name, value in expected.items():
            for found in (lanes[name][i], arrays[name][i]):
                assert (found == value and math.copysign(1, found) == math.copysign(1, value)) or (
                    math.isnan(found) and math.isnan(value)
                ), (name, a, b, found, value)


def test_bits_do_not_depend_on_the_width(on_lanes):
    rng = np.random.default_rng(11)
    x, y = np.r_[rng.normal(size=600), 40 * rng.normal(size=600), SPECIAL], rng.permutation(1200 + len(SPECIAL)) / 1e3
    expected = np.array(list(on_lanes(x, y).values()))
    _, one = compiled(all_functions(machine.names(1, F64)), len(UNARY + BINARY), 1)
    got = one(x, y)
    equal = (got.view(np.uint64) == expected.view(np.uint64)) | (np.isnan(got) & np.isnan(expected))
    assert equal.all(), [f for f, row in zip(UNARY + BINARY, equal, strict=True) if not row.all()]


def test_the_scalar_machine_agrees():
    """Compiled by Numba from the same bodies."""
    names = on_numbers.names()
    chosen = ("lgamma", "floor_divide")
    functions = tuple(names[f] for f in chosen)
    two = tuple(special.FUNCTIONS[f].nin == 2 for f in chosen)
    for function, name, binary in zip(functions, chosen, two, strict=True):
        x = np.random.default_rng(3).uniform(0.0, 1.0, 50)
        y = x[::-1].copy()
        kernel = numba.njit(
            (lambda f: lambda a, b: f(a, b))(function) if binary else (lambda f: lambda a, b: f(a))(function)
        )
        found = [kernel(a, b) for a, b in zip(x, y, strict=True)]
        np.testing.assert_allclose(found, special.FUNCTIONS[name](*((x, y) if binary else (x,))), rtol=3e-14)
