"""Single precision: functions and noise against double precision, gradients by workload, moments against exact ones."""

import csv
import dataclasses
import math
import pathlib
import warnings

import numpy as np
import pytest
from support import standard_errors, w1

import mcgrad as mg
from mcgrad.compiler import backends, operations
from mcgrad.compiler.backends import KernelText
from mcgrad.kernels.program import gradient_program
from mcgrad.run import run_kernel
from studies import workloads

BOTH = {"SF": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}
UNARY = ("sin", "cos", "exp", "log", "tanh", "tan", "expm1", "log1p", "sqrt", "floor", "erf")
OUTPUTS = ("x", *UNARY, "arctan2", "z0", "z1", "u")
VALUES = ", ".join(["x[0]", *(f"{f}(x[0])" for f in UNARY), "arctan2(x[0], x[1])", "z0", "z1", "u"])
PUT = "\n".join(f"    put(out, {k}, b, values[{k}])" for k in range(len(OUTPUTS)))
TEXT = f"""
def read(points, b):
    return (point(points, 0, b), point(points, 1, b),)


def values(x, seed, i, t):
    z0, z1 = normal_pair(seed, i, t, 0)
    u = uniform(seed, i, t, 1)
    return ({VALUES},)


def deliver(out, b, values):
{PUT}


def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    for b in range(blocks):
        deliver(out, b, values(read(points, b), seed, position(first, b, width), horizon))
"""
FUNCTIONS = (("read", 2, 2), ("values", 4, len(OUTPUTS)), ("deliver", 3, None))
KERNEL = KernelText(TEXT, FUNCTIONS, 1, len(OUTPUTS), "functions")


def evaluate(x, precision="single", width=16):
    """Return {name: values} of all functions at x, a multiple of `width` numbers, and of noise."""
    kernel = backends.compiled(dataclasses.replace(KERNEL, precision=precision), "simd", width)
    none, table, out = np.zeros(1), np.zeros((1, 1)), np.empty((len(OUTPUTS), len(x)))
    points = np.stack([x, x[::-1]])
    stop = np.zeros(1, dtype=np.int64)
    kernel(none, none, none, table, np.uint64(3), np.uint64(0), len(x) // width, width, 1, points, table, out, stop)
    return dict(zip(OUTPUTS, out, strict=True))


def arguments():
    rng = np.random.default_rng(5)
    sizes = rng.choice([-1.0, 1.0], 60_000) * np.exp2(rng.uniform(-149, 128, 60_000))
    edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        0.625,
        math.inf,
        -math.inf,
        math.nan,
        88.8,
        89.1,
        -87.4,
        -103.9,
        -105.0,
        4096.0,
        1e38,
    ]
    x = np.r_[rng.uniform(-10, 10, 60_000), rng.uniform(-110, 90, 30_000), rng.uniform(0.5, 2, 10_000), sizes, edges]
    return x[: len(x) // 16 * 16].astype(np.float32)


def test_functions_of_float32_are_those_of_float64_rounded():
    x = arguments()
    found = evaluate(x.astype(np.float64))
    exact = {}
    with np.errstate(all="ignore"):
        for name in UNARY:
            exact[name] = operations.FUNCTIONS[name](x.astype(np.float64))
        exact["arctan2"] = np.arctan2(x.astype(np.float64), x[::-1].astype(np.float64))
        for name, expected in exact.items():
            got, rounded = found[name], expected.astype(np.float32)
            special = ~np.isfinite(rounded)
            np.testing.assert_array_equal(got[special], rounded[special], err_msg=name)
            unit = np.spacing(np.abs(np.where(special, 1, rounded)))
            errors = np.abs(np.where(special, 0, got - expected)) / unit
            bound = 2.0 if name in ("sin", "cos", "exp", "log", "tanh") else 0.6
            assert errors.max() < bound, (name, x[errors.argmax()], errors.max())


def test_noise_is_that_of_double_precision():
    """200,000 normals: 5e-7 is eight units in the last place at 1; and uniform numbers."""
    x = np.zeros(100_000)
    single, double = evaluate(x), evaluate(x, "double")
    for name in ("z0", "z1"):
        assert 1e-8 < np.abs(single[name] - double[name]).max() < 1e-6
        assert np.abs(single[name] - double[name]).mean() < 5e-8
        assert not np.array_equal(double[name], double[name].astype(np.float32))
    assert np.abs(single["u"] - double["u"]).max() <= 2.0**-24 and single["u"].max() < 1 and single["u"].min() > 0


def test_widths_give_the_same_bits():
    x = arguments()[:640].astype(np.float64)
    expected = evaluate(x)
    for width in (1, 8, 32, 64):
        found = evaluate(x, width=width)
        for name in OUTPUTS:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name} {width}")


ROOT = pathlib.Path(__file__).parent.parent


def told():
    """Return {workload: (steps, times as fast, root mean square, largest)} of the table in the recipes.

    The last two are differences of gradients from double precision, in standard deviations.
    """
    page = (ROOT / "docs" / "recipes.md").read_text().partition("## Single precision")[2].partition("\n## ")[0]
    rows = [[x.strip() for x in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| W")]
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}


TOLD = told()


def test_the_page_says_how_much_faster_it_is():
    with open(ROOT / "studies" / "results" / "throughput.csv") as file:
        times = {(r["workload"], r["code"]): r for r in csv.DictReader(file) if r["estimators"] == "both"}
    assert set(TOLD) == {name for name in workloads.WORKLOADS if name.startswith("W")}
    for name, (steps, faster, *_) in TOLD.items():
        double, single = times[name, "mcgrad"], times[name, "mcgrad single"]
        assert int(double["horizon"]) == steps
        assert abs(float(double["ns_per_trajectory"]) / float(single["ns_per_trajectory"]) / faster - 1.0) < 0.2


@pytest.mark.parametrize("name", TOLD)
def test_gradients_of_workloads(name):
    problem, theta, _ = workloads.WORKLOADS[name]()
    double = mg.sample(problem, theta, BOTH, 16384, 4)
    single = mg.sample(problem, theta, BOTH, 16384, 4, precision="single")
    errors = np.concatenate([np.abs(single[k] - double[k]) / double[k].std(axis=0) for k in BOTH])
    *_, typical, largest = TOLD[name]
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(typical, rel=0.1)
    assert errors.max() == pytest.approx(largest, rel=0.1)
    reference = mg.sample(problem, theta, BOTH, 512, 4, precision="single", machine="numpy")
    for k in BOTH:
        assert np.max(np.abs(reference[k] - single[k][:512]) / double[k].std(axis=0)) < 2.0 * largest


def test_moments_of_lq_are_exact_ones(seed):
    problem, theta = w1(horizon=20)
    found = mg.measure(problem, theta, BOTH, 400_000, seed, precision="single")
    for name, e in BOTH.items():
        assert standard_errors(found[name], mg.exact.gradient(problem, theta), mg.exact.variance(problem, theta, e)) < 5


def test_threads_and_ranges_give_the_same_bits():
    problem, theta = w1(horizon=5)
    one, two = (mg.measure(problem, theta, BOTH, 9000, 2, precision="single", threads=k, chunk=1024) for k in (1, 2))
    alone = mg.sample(problem, theta, BOTH, 3, 2, start=7000, precision="single")
    for name in BOTH:
        np.testing.assert_array_equal(one[name].variance, two[name].variance)
        many = mg.sample(problem, theta, BOTH, 7003, 2, precision="single")[name]
        np.testing.assert_array_equal(alone[name], many[7000:])


def close(problem, theta, estimators, worst, count=4096):
    """Assert that gradients of single precision are those of double precision, but for rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mg.DiscontinuityWarning)
        double = mg.sample(problem, theta, estimators, count, 4)
        single = mg.sample(problem, theta, estimators, count, 4, precision="single")
    for name in estimators:
        spread = double[name].std(axis=0)
        errors = np.abs(single[name] - double[name]) / np.where(spread > 0, spread, 1)
        # A trajectory may turn elsewhere where a choice hangs on the last bit.
        assert np.mean(errors.max(axis=1) > worst) < 1e-3, name
        assert np.sqrt(np.median(errors**2)) < worst


def test_tables_episodes_and_branches():
    """Look-ups, sums in memory, ends of episodes, groups and branches, each in float32."""
    rng = np.random.default_rng(3)
    environment = mg.environments.tabular(
        rng.dirichlet(np.ones(5), size=(5, 3)), rng.normal(size=(5, 3)), np.full(5, 0.2)
    )
    problem = mg.Problem(environment, mg.policies.softmax(5, 3), 10)
    close(problem, 0.5 * rng.normal(size=15), {"SF": mg.estimators.reward_to_go()}, 1e-4)
    problem, theta, _ = workloads.lq_1x1()
    ending = dataclasses.replace(problem.environment, done=lambda p, s: abs(s[0]) > 1.2, closed_form=None)
    close(dataclasses.replace(problem, environment=ending), theta, BOTH, 1e-4)
    estimators = {"MV": mg.estimators.measure_valued(), "ES": mg.estimators.evolution_strategies(0.1)}
    close(problem, theta, estimators, 1e-3, 1024)


def test_design_and_fitted_estimators():
    problem, theta = w1(horizon=3)
    design = mg.designs.sobol(256)
    single, double = (
        mg.measure(problem, theta, BOTH, 2048, 1, design=design, precision=x, threads=1) for x in ("single", "double")
    )
    for name in BOTH:
        np.testing.assert_allclose(
            single[name].mean, double[name].mean, rtol=1e-4, atol=1e-4 * np.abs(double[name].mean).max()
        )
    fitted = {"SF": mg.estimators.reward_to_go(mg.baselines.mean_to_go())}
    single, double = (mg.measure(problem, theta, fitted, 4096, 1, precision=x)["SF"].mean for x in ("single", "double"))
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-3 * np.abs(double).max())


def test_what_is_no_precision_is_said():
    problem, theta = w1(horizon=2)
    with pytest.raises(ValueError, match="precision: expected one of double, single, got str 'half'"):
        mg.measure(problem, theta, BOTH, 16, precision="half")
    with pytest.raises(ValueError, match="precision: expected 'double' on the scalar machine"):
        mg.sample(problem, theta, BOTH, 16, precision="single", machine="scalar")


def test_program_keeps_its_precision():
    problem, theta = w1(horizon=2)
    program = gradient_program(problem, theta, BOTH)
    single = dataclasses.replace(program, kernel=dataclasses.replace(program.kernel, precision="single"))
    assert not np.array_equal(run_kernel(program, 1, 0, 64).copy(), run_kernel(single, 1, 0, 64))


def test_batches_are_single_calls():
    problem, theta = w1(horizon=3)
    thetas = np.stack([theta, 0.9 * theta])
    batch = mg.measure(problem, thetas, BOTH, 200, 3, precision="single")
    for b, own in enumerate(thetas):
        alone = mg.measure(problem, own, BOTH, 200, 3, precision="single")
        for name in BOTH:
            np.testing.assert_array_equal(batch.entry(b)[name].mean, alone[name].mean)
            np.testing.assert_array_equal(batch.entry(b)[name].variance, alone[name].variance)
