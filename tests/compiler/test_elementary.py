"""Elementary functions of lanes against mpmath (errors) and NumPy (special values), and across widths."""

import itertools
import re

import mpmath
import numba
import numpy as np
import pytest

from mcgrad.compiler import elementary, simd

UNARY = ("sin", "cos", "tan", "exp", "expm1", "log", "log1p", "tanh")
BINARY = ("arctan2", "power")
INTERNAL = ("log_unit",)

# Units in the last place. The docstring of `elementary` has the errors that were found, with and without FMA.
BOUNDS = {
    "sin": 1.5,
    "cos": 1.5,
    "tan": 2.8,
    "exp": 1.1,
    "expm1": 1.3,
    "log": 0.9,
    "log1p": 0.9,
    "tanh": 2.6,
    "arctan2": 2.4,
    "power": 1.3,
    "log_unit": 1.5,
}
EXACT = {
    "arctan2": mpmath.atan2,
    "power": mpmath.power,
    "log_unit": mpmath.log,
}
TINY, HUGE = 5e-324, np.finfo(float).max
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, 1e3, -1e3, 1e5, -1e5, np.pi, 1e19, -1e19]
    + [2.0**53, 2.0**53 - 1, -(2.0**53 - 1), 1.0 - 2.0**-53, 1.0 + 2.0**-52, 1e-20, -1e-20, 2.0**-1022]
    + [TINY, -TINY, 1e-310, -1e-310, HUGE, -HUGE, np.inf, -np.inf, np.nan, 750.0, -750.0, 7e2, -7e2, -1e-323]
)


# ---- a kernel that applies functions of values to arrays ---------------------------------------------------------


def lanes_at(memory, block, width):
    """Return the lanes of a block of a one-dimensional array."""
    builder = memory.builder
    address = builder.gep(memory.pointer, [builder.mul(block.ir, simd.U64(width))])
    instruction = builder.load(builder.bitcast(address, simd.vector(simd.F64, width).as_pointer()))
    instruction.align = 8
    return simd.Value(builder, instruction)


def compiled(function, results, width):
    """Return (x, y) -> rows of results of `function(x, y)`, evaluated `width` lanes at a time; and the kernel."""

    def step(x, y, out, block):
        values = function(lanes_at(x, block, width), lanes_at(y, block, width))
        for row, value in enumerate(values):
            out.store(row, value, width, block=block)

    step = simd.lanes_function(step, 4, None, width)

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def kernel(x, y, out):
        for block in range(x.size // width):
            step(x, y, out, block)

    def evaluate(x, y=1.0):
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        padded = np.ones((2, -(-x.size // 16) * 16))
        padded[:, : x.size] = x, y
        out = np.empty((results, padded.shape[1]))
        kernel(*padded, out)
        return out[:, : x.size]

    return evaluate, kernel


def all_functions(x, y):
    """Apply every function."""
    values = [getattr(elementary, name)(x) for name in UNARY + INTERNAL]
    values += [getattr(elementary, name)(x, y) for name in BINARY]
    return *values, *elementary.sincospi_half(x)


NAMES = UNARY + INTERNAL + BINARY + ("sinpi", "cospi")


@pytest.fixture(scope="module")
def evaluate():
    """Return x, y -> {name: values}, eight lanes at a time."""
    function, _ = compiled(all_functions, len(NAMES), 8)
    return lambda x, y=1.0: dict(zip(NAMES, function(x, y), strict=True))


# ---- errors ------------------------------------------------------------------------------------------------------


def ulps(got, exact):
    """Return the error of a float64 in units in the last place of the exact value; infinity stands for 2^1024."""
    got = mpmath.mpf(2) ** 1024 * int(np.sign(got)) if np.isinf(got) else mpmath.mpf(float(got))
    if abs(exact) >= mpmath.mpf(2) ** 1024:
        exact = mpmath.sign(exact) * mpmath.mpf(2) ** 1024
    exponent = mpmath.frexp(exact)[1] if exact else -1074
    return float(abs(got - exact) / mpmath.mpf(2) ** max(exponent - 53, -1074))


def largest_error(name, got, *arguments):
    """Return the largest error and where it is."""
    function = EXACT.get(name) or getattr(mpmath, name)
    with mpmath.workprec(160):
        errors = [ulps(g, function(*map(float, a))) for g, *a in zip(got, *arguments, strict=True)]
    worst = int(np.argmax(errors))
    return errors[worst], tuple(float(a[worst]) for a in arguments)


def neighbours(*points):
    """Return points, the float64 next to them, and all of these with the other sign."""
    points = np.array(points, dtype=float)
    points = np.concatenate([points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)])
    return np.concatenate([points, -points])


def near_multiples_of_half_pi():
    """Return float64 that are very close to multiples of pi/2: convergents of 2/pi 2^e with 53 bits."""
    points = [6381956970095103.0 * 2.0**797, 6411027962775774.0 * 2.0**-48]
    points += [float(mpmath.mpf(k) * mpmath.pi / 2) for k in (1, 2, 3, 4, 29327, 58285, 166886, 166887, 204551)]
    with mpmath.workprec(2400):
        for e in range(-50, 971, 12):
            # continued fraction of the ratio; its denominators m make m 2^e close to a multiple of pi/2
            ratio = mpmath.mpf(2) ** e * 2 / mpmath.pi
            before, m = 0, 1
            while m < 2**53:
                last = m
                ratio = 1 / (ratio - mpmath.floor(ratio))
                before, m = m, int(mpmath.floor(ratio)) * m + before
            points.append(float(last) * 2.0**e)
    return points


def points(name):
    """Return some thousand arguments: of every size, and where the function is difficult."""
    rng = np.random.default_rng(7)

    def sizes(low, high, n=1500):
        return rng.choice([-1.0, 1.0], n) * np.exp2(rng.uniform(low, high, n))

    edges = neighbours(1.0, 0.5, 2.0, np.sqrt(2.0), np.sqrt(0.5), 2.0**-53, 2.0**-54, 2.0**-27, 2.0**18, 2.0**-1022)
    edges = np.concatenate([edges, [TINY, -TINY, 3e-320, HUGE, -HUGE]])
    if name in ("sin", "cos", "tan"):
        angles = [rng.uniform(-10, 10, 1500), rng.uniform(-3e5, 3e5, 1500), sizes(-1074, 1024)]
        multiples = neighbours(*near_multiples_of_half_pi(), *(np.arange(1, 100) * np.pi / 4))
        return (np.concatenate([*angles, multiples, edges]),)
    if name in ("exp", "expm1"):
        edges = np.concatenate([edges, neighbours(709.782712893384, 708.3964, 745.1332191019412, 744.44, 710.0, 0.3466)])
        parts = [rng.uniform(-1.5, 1.5, 1500), rng.uniform(-746, 710, 1500), rng.uniform(-746, -708, 300)]
        return (np.concatenate([*parts, sizes(-1074, 10), edges[np.abs(edges) < 1e5]]),)
    if name in ("log", "log_unit"):
        x = np.concatenate([rng.uniform(0.5, 2, 1500), 1 + sizes(-52, -2), sizes(-1074, 1024), sizes(-1074, -1021), edges])
        x = np.abs(x)
        return (x[(x < 1) & (x >= 2.0**-1022)],) if name == "log_unit" else (x,)
    if name == "log1p":
        x = np.concatenate([rng.uniform(-0.5, 1, 1500), sizes(-1074, 1024), -1 + np.abs(sizes(-53, -1)), sizes(-54, 2)])
        return (np.concatenate([x, edges])[np.concatenate([x, edges]) > -1],)
    if name == "tanh":
        return (np.concatenate([rng.uniform(-1, 1, 1500), rng.uniform(-23, 23, 1500), sizes(-1074, 1024), edges]),)
    if name == "arctan2":
        y = np.concatenate([rng.normal(size=1500), sizes(-1074, 1024), sizes(-1074, -1000), sizes(1000, 1024)])
        x = np.concatenate([rng.normal(size=1500), sizes(-1074, 1024), sizes(-1074, -1000), sizes(1000, 1024)])
        grid = np.array(list(itertools.product(edges[::2], edges[::2]))).T
        slopes = rng.uniform(0.41, 0.43, 500)
        return np.concatenate([y, slopes, grid[0]]), np.concatenate([x, np.ones(500), grid[1]])
    bases = np.abs(np.concatenate([rng.lognormal(size=1500), sizes(-1074, 1024), 1 + sizes(-50, -1), 1 + sizes(-3, -1)]))
    # log2 of the result: uniform over all exponents, and dense at overflow and underflow
    size = np.concatenate([rng.uniform(-1080, 1028, bases.size - 900), rng.uniform(1023, 1025, 300)])
    size = np.concatenate([size, rng.uniform(-1076, -1020, 300), rng.uniform(-3, 3, 300)])
    return bases, rng.permutation(size) / np.log2(bases)


@pytest.mark.parametrize("name", BOUNDS)
def test_error_is_below_its_bound(evaluate, name):
    """The largest error over ordinary, huge, tiny and difficult arguments."""
    arguments = points(name)
    error, where = largest_error(name, evaluate(*arguments)[name], *arguments)
    assert error < BOUNDS[name], f"{name}{where}: {error:.3f} ulp"


def test_sine_and_cosine_of_half_a_circle(evaluate):
    """The absolute error of sincospi_half."""
    f = np.concatenate([np.random.default_rng(3).uniform(-0.5, 0.5, 2000), [0.0, 0.25, 0.5, -0.5, TINY]])
    values = evaluate(f)
    for name in ("sinpi", "cospi"):
        errors = [abs(v - getattr(mpmath, name)(a)) for v, a in zip(values[name], f, strict=True)]
        assert max(errors) < 3e-16


def test_the_error_check_has_power(monkeypatch):
    """A coefficient that is wrong by one part in 10^12 is found."""
    monkeypatch.setattr(elementary, "EXP", (0.5 * (1 + 1e-12), *elementary.EXP[1:]))
    wrong, _ = compiled(lambda x, y: (elementary.exp(x),), 1, 8)
    (x,) = points("exp")
    error, _ = largest_error("exp", wrong(x)[0], x)
    assert error > 100 * BOUNDS["exp"]


# ---- special values ----------------------------------------------------------------------------------------------


def same_special_values(got, expected):
    """Compare NaN, infinities and zeros with their signs exactly, other values roughly."""
    exact = ~np.isfinite(expected) | (expected == 0)
    np.testing.assert_array_equal(got[exact], expected[exact])
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))
    np.testing.assert_allclose(got, expected, rtol=1e-15, atol=1e-323)


@pytest.mark.parametrize("name", UNARY)
def test_special_values(evaluate, name):
    """Infinities, NaN, signed zeros, overflow and underflow, as NumPy has them."""
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(SPECIAL)
    same_special_values(evaluate(SPECIAL)[name], expected)


@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_two_arguments(evaluate, name):
    """All pairs of special values."""
    x, y = np.array(list(itertools.product(SPECIAL, SPECIAL))).T
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, y)
    same_special_values(evaluate(x, y)[name], expected)


def test_numbers_as_arguments():
    """One of two arguments may be a plain number."""

    def function(x, y):
        del y
        atan2, power = elementary.arctan2, elementary.power
        return atan2(1.0, x), atan2(x, -1), power(x, 2), power(2.0, x), power(x, 0.5), power(x, -np.inf)

    evaluate, _ = compiled(function, 6, 4)
    x = np.linspace(0.1, 9.7, 32)
    expected = [np.arctan2(1.0, x), np.arctan2(x, -1.0), x**2, 2.0**x, np.sqrt(x), np.where(x < 1, np.inf, 0.0)]
    np.testing.assert_allclose(evaluate(x), expected, rtol=1e-15)


# ---- machine code ------------------------------------------------------------------------------------------------


def test_bits_do_not_depend_on_the_width(evaluate):
    """One lane, 4, 8 or 16: the same bits, also where a lane with a huge argument sits among ordinary ones."""
    rng = np.random.default_rng(11)
    x = np.concatenate([rng.normal(size=3000) * 10, rng.uniform(-1, 1, 1000), SPECIAL, np.exp2(rng.uniform(-1074, 1024, 500))])
    x = rng.permutation(x)
    y = rng.permutation(x)
    expected = np.array(list(evaluate(x, y).values()))
    for width in (1, 4, 16):
        function, _ = compiled(all_functions, len(NAMES), width)
        got = function(x, y)
        equal = (got.view(np.uint64) == expected.view(np.uint64)) | (np.isnan(got) & np.isnan(expected))
        assert equal.all(), [name for name, row in zip(NAMES, equal, strict=True) if not row.all()]


def test_sine_cosine_and_tangent_share_their_work():
    """LLVM keeps one argument reduction for three functions of one argument, and calls nothing else."""

    def function(x, y):
        return elementary.sin(x), elementary.cos(x), elementary.tan(x), elementary.exp(y), elementary.power(x, y)

    evaluate, kernel = compiled(function, 5, 8)
    evaluate(np.ones(8))
    (code,) = kernel.inspect_llvm().values()
    calls = re.findall(r"call [^@\n]*@([^(\n]*)\(", code)
    own = [call for call in calls if not call.startswith('"_ZN') and not call.startswith(("_ZN", "llvm."))]
    assert own.count("mcgrad._quadrant_huge.8") == 1
    assert set(own) <= {"mcgrad._quadrant_huge.8", "mcgrad.payne_hanek.1"}
