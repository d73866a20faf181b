"""Elementary functions of lanes against mpmath (errors) and NumPy (special values), and across widths."""

import itertools
import re

import mpmath
import numpy as np
import pytest

from mcgrad.compiler import elementary, memory, native, simd

UNARY = ("sin", "cos", "tan", "exp", "expm1", "log", "log1p", "tanh")
BINARY = ("arctan2", "power")
INTERNAL = ("log_unit",)

# Units in the last place. The docstring of `elementary` has the errors that were found, with and without FMA.
BOUNDS = {
    "sin": 1.5,
    "cos": 1.5,
    "tan": 2.9,
    "exp": 1.1,
    "expm1": 1.3,
    "log": 0.9,
    "log1p": 0.9,
    "tanh": 2.6,
    "arctan2": 2.5,
    "power": 1.2,
    "log_unit": 1.6,
}
EXACT = {"arctan2": mpmath.atan2, "power": mpmath.power, "log_unit": mpmath.log}  # else by the same name
TINY, HUGE = 5e-324, np.finfo(float).max
SPECIAL = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        2.5,
        -2.5,
        1e3,
        -1e3,
        1e5,
        -1e5,
        np.pi,
        1e19,
        -1e19,
    ]
    + [2.0**53, 2.0**53 - 1, -(2.0**53 - 1), 1.0 - 2.0**-53, 1.0 + 2.0**-52, 1e-20, -1e-20, 2.0**-1022]
    + [TINY, -TINY, 1e-310, -1e-310, HUGE, -HUGE, np.inf, -np.inf, np.nan, 750.0, -750.0, 7e2, -7e2, -1e-323]
)


# ---- a kernel that applies functions of values to arrays ---------------------------------------------------


def lanes_at(array, block, width):
    """Return the lanes of a block of a one-dimensional array."""
    builder = array.builder
    address = builder.gep(array.pointer, [builder.mul(block.ir, simd.U64(width))])
    instruction = builder.load(builder.bitcast(address, simd.vector(simd.F64, width).as_pointer()))
    instruction.align = 8
    return simd.Value(builder, instruction)


LOOP = """
def kernel(x, y, out, width):
    for block in range(len(x) // width):
        step(x, y, out, block)
"""


def compiled(function, results, width):
    """Return what `native` makes the kernel of `function` on `width` lanes of, and (x, y) -> rows of results."""

    def step(x, y, out, block):
        values = function(lanes_at(x, block, width), lanes_at(y, block, width))
        for row, value in enumerate(values):
            out.store(row, value, width, block=block)

    translated = LOOP, {"step": memory.lanes_function(step, None, width)}, ("in1", "in1", "out2", "int64")
    kernel = native.link(*native.compile_text(*translated))

    def evaluate(x, y=1.0):
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        padded = np.ones((2, -(-x.size // 16) * 16))
        padded[:, : x.size] = x, y
        out = np.empty((results, padded.shape[1]))
        kernel(*padded, out, width)
        return out[:, : x.size]

    return translated, evaluate


def all_functions(x, y):
    """Apply every function."""
    values = [getattr(elementary, name)(x) for name in UNARY + INTERNAL]
    values += [getattr(elementary, name)(x, y) for name in BINARY]
    return *values, *elementary.sincospi_half(x)


NAMES = UNARY + INTERNAL + BINARY + ("sinpi", "cospi")


@pytest.fixture(scope="module")
def evaluate():
    """Return x, y -> {name: values}, eight lanes at a time."""
    _, function = compiled(all_functions, len(NAMES), 8)
    return lambda x, y=1.0: dict(zip(NAMES, function(x, y), strict=True))


# ---- errors ------------------------------------------------------------------------------------------------


def ulps(got, exact):
    """Return the error of a float64 in units in the last place of the exact value; infinity means 2^1024."""
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
    points = [6381956970095103.0 * 2.0**797]
    points += [float(k * mpmath.pi / 2) for k in (1, 2, 3, 4, 29327, 58285, 166886, 166887, 204551)]
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

    def uniform(low, high, n=1500):
        return rng.uniform(low, high, n)

    everywhere = sizes(-1074, 1024)
    near_one = np.r_[uniform(0.5, 2.0), 1 + sizes(-52, -2)]
    edges = neighbours(1.0, 0.5, 2.0, 2.0**0.5, 0.5**0.5, 2.0**-53, 2.0**-54, 2.0**-27, 2.0**18, 2.0**-1022)
    edges = np.r_[edges, TINY, -TINY, 3e-320, HUGE, -HUGE]

    if name in ("sin", "cos", "tan"):
        multiples = neighbours(*near_multiples_of_half_pi(), *(np.arange(1, 100) * np.pi / 4))
        return (np.r_[uniform(-10, 10), uniform(-3e5, 3e5), everywhere, edges, multiples],)
    if name in ("exp", "expm1"):
        limits = neighbours(709.782712893384, 708.3964, 745.1332191019412, 744.44, 710.0, 0.3466)
        x = np.r_[uniform(-1.5, 1.5), uniform(-746, 710), uniform(-746, -708), sizes(-1074, 10), edges, limits]
        return (x[np.abs(x) < 1e5],)
    if name == "log":
        return (np.abs(np.r_[everywhere, near_one, sizes(-1074, -1021), edges]),)
    if name == "log_unit":
        x = np.abs(np.r_[uniform(0, 1), everywhere, near_one, edges])
        return (x[(x < 1) & (x >= 2.0**-1022)],)
    if name == "log1p":
        x = np.r_[uniform(-0.5, 1), everywhere, -1 + np.abs(sizes(-53, -1)), sizes(-54, 2), edges]
        return (x[x > -1],)
    if name == "tanh":
        return (np.r_[uniform(-1, 1), uniform(-23, 23), everywhere, edges],)
    if name == "arctan2":
        grid = np.array(list(itertools.product(edges[::2], edges[::2])))
        y = np.r_[rng.normal(size=1500), everywhere, sizes(-1074, -1000), sizes(1000, 1024), grid[:, 0]]
        x = np.r_[rng.normal(size=1500), rng.permutation(everywhere), sizes(-1074, -1000), sizes(1000, 1024)]
        return np.r_[y, uniform(0.41, 0.43)], np.r_[x, grid[:, 1], np.ones(1500)]
    # power: by the binary logarithm of the result, over all exponents and dense at overflow and underflow
    result = np.r_[uniform(-1080, 1028, 6600), uniform(1023, 1025, 450), uniform(-1076, -1020, 450)]
    x = np.abs(np.r_[rng.lognormal(size=1500), everywhere, near_one, 1 + sizes(-3, -1)])
    return x, rng.permutation(result) / np.log2(x)


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
        assert max(errors) < 3.5e-16


def test_the_error_check_has_power(monkeypatch):
    """A coefficient that is wrong by one part in 10^12 is found."""
    monkeypatch.setattr(elementary, "EXP", (0.5 * (1 + 1e-12), *elementary.EXP[1:]))
    _, wrong = compiled(lambda x, y: (elementary.exp(x),), 1, 8)
    (x,) = points("exp")
    error, _ = largest_error("exp", wrong(x)[0], x)
    assert error > 100 * BOUNDS["exp"]


# ---- special values ----------------------------------------------------------------------------------------


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

    _, evaluate = compiled(function, 6, 4)
    x = np.linspace(0.1, 9.7, 32)
    expected = [np.arctan2(1.0, x), np.arctan2(x, -1.0), x**2, 2.0**x, np.sqrt(x), np.where(x < 1, np.inf, 0)]
    np.testing.assert_allclose(evaluate(x), expected, rtol=1e-15)


# ---- machine code ------------------------------------------------------------------------------------------


def test_bits_do_not_depend_on_the_width(evaluate):
    """One lane, 4, 8 or 16: the same bits, also where a huge argument sits among ordinary ones."""
    rng = np.random.default_rng(11)
    x = np.r_[rng.normal(size=3000), 10 * rng.normal(size=3000), np.exp2(rng.uniform(-1074, 1024, 500)), SPECIAL]
    x = rng.permutation(x)
    y = rng.permutation(x)
    expected = np.array(list(evaluate(x, y).values()))
    for width in (1, 4, 16):
        _, function = compiled(all_functions, len(NAMES), width)
        got = function(x, y)
        equal = (got.view(np.uint64) == expected.view(np.uint64)) | (np.isnan(got) & np.isnan(expected))
        assert equal.all(), [name for name, row in zip(NAMES, equal, strict=True) if not row.all()]


def test_sine_cosine_and_tangent_share_their_work():
    """LLVM keeps one argument reduction for three functions of one argument."""

    def function(x, y):
        del y
        return elementary.sin(x), elementary.cos(x), elementary.tan(x)

    translated, _ = compiled(function, 3, 8)
    code = str(native.optimised(*translated))
    assert len(re.findall(r"call [^\n]*@mcgrad\._quadrant_huge\.8\(", code)) == 1
