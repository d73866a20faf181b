"""Trajectory i depends on (seed, i) alone; moments on nothing but the range and the chunk size."""

import os
import pathlib
import platform
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad.compiler import backends
from mcgrad.kernels.program import gradient_program
from mcgrad.power_sums import ARRAYS
from mcgrad.run import run_kernel

BOTH = {"SF": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}


def run(code, **environment):
    """Run Python code in a process of its own."""
    here = pathlib.Path(__file__).parent
    variables = {**os.environ, "PYTHONPATH": f"{here.parent}:{here}", **environment}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300)


def gradients(machine, width=None, count=500, first=0, problem=None):
    problem, theta = problem or w1(horizon=12, learn_std=True, discount=0.97)
    program = gradient_program(problem, theta, BOTH)
    if machine == "numpy":
        return run_kernel(program, 7, first, count, "numpy")
    width = width or program.kernel.width(machine)
    kernel = backends.compiled(program.kernel, machine, width)
    blocks = -(-count // width)
    out = backends.aligned((program.kernel.outputs, blocks * width))
    work = backends.workspace(program.kernel, problem.horizon, width)
    arrays = (program.theta, program.p, program.c, program.rows)
    stop = np.zeros(1, dtype=np.int64)
    kernel(*arrays, np.uint64(7), np.uint64(first), blocks, width, problem.horizon, np.zeros((0, 0)), work, out, stop)
    return out[:, :count]


def test_three_machines_agree():
    expected = gradients("numpy")
    scale = np.abs(expected).max(axis=1, keepdims=True)
    for machine in ("simd", "scalar"):
        assert np.max(np.abs(gradients(machine) - expected) / scale) < 1e-12


def test_simd_widths_give_the_same_bits():
    expected = gradients("simd", 8)
    for width in (4, 16, 32):
        np.testing.assert_array_equal(gradients("simd", width), expected)


def test_a_trajectory_can_be_replayed_alone():
    expected = gradients("simd", count=500)
    np.testing.assert_array_equal(gradients("simd", count=1, first=313)[:, 0], expected[:, 313])
    np.testing.assert_array_equal(gradients("simd", count=37, first=100), expected[:, 100:137])


def test_samples_are_a_prefix_of_a_longer_run():
    problem, theta = w1(horizon=12)
    long = mg.sample(problem, theta, BOTH, 5001, seed=3)
    short = mg.sample(problem, theta, BOTH, 997, seed=3)
    late = mg.sample(problem, theta, BOTH, 1000, seed=3, start=4001)
    for name in BOTH:
        assert short[name].shape == (997, 8)
        np.testing.assert_array_equal(short[name], long[name][:997])
        np.testing.assert_array_equal(late[name], long[name][4001:])


def measured(**options):
    problem, theta = w1(horizon=12)
    return mg.measure(problem, theta, BOTH, 10_007, seed=3, **options).sums


def test_threads_do_not_change_a_bit():
    one = measured(threads=1, chunk=256)
    for threads in (2, 5):
        same(measured(threads=threads, chunk=256), one)


@pytest.mark.parametrize("chunk", [100, 2048, 10_007])
def test_chunk_sizes_agree_to_rounding(chunk):
    reference, other = measured(chunk=1000), measured(chunk=chunk)
    n, mean, _, m2, m3, m4 = reference.own
    # Sums of terms of both signs are measured against sums of their sizes: n std, and sqrt(m2 m4).
    assert np.max(np.abs(other.own[1] - mean) / np.sqrt(m2 / n)) < 1e-13
    assert np.max(np.abs(other.own[3] / m2 - 1)) < 1e-13
    assert np.max(np.abs(other.own[4] - m3) / np.sqrt(m2 * m4)) < 1e-13
    assert np.max(np.abs(other.own[5] / m4 - 1)) < 1e-13
    assert np.max(np.abs(other.cross - reference.cross) / np.sqrt(m2[0] * m2[1])) < 1e-13


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="processors are named as x86 has them")
def test_other_processors_do_not_change_a_bit():
    """Of samples and of sums: not the width of registers, not the kernels of OpenBLAS, not what NumPy has for the processor.

    Code for the oldest processor with fused multiply-add, and for one with AVX-512 where this one runs it.
    """
    code = """
        import numpy as np
        from mcgrad.power_sums import ARRAYS
        from test_determinism import measured
        for full in (False, True):
            found = measured(chunk=256, full_covariance=full)
            print(*(bytes(np.ascontiguousarray(getattr(found, x))).hex() for x in ARRAYS))
    """
    here = [measured(chunk=256, full_covariance=full) for full in (False, True)]
    expected = [
        " ".join(bytes(np.ascontiguousarray(x)).hex() for x in (getattr(sums, k) for k in ARRAYS)) for sums in here
    ]
    info = pathlib.Path("/proc/cpuinfo")
    wide = info.exists() and "avx512vl" in info.read_text()
    other = {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 AVX512F"}
    for name in ["haswell"] + ["skylake-avx512"] * wide:
        result = run(code, NUMBA_CPU_NAME=name, **other)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == expected, name


def test_a_measurement_can_be_continued():
    problem, theta = w1(horizon=12)
    whole = mg.measure(problem, theta, BOTH, 4096, seed=3, chunk=512)
    first = mg.measure(problem, theta, BOTH, 2048, seed=3, chunk=512)
    rest = mg.measure(problem, theta, BOTH, 2048, seed=3, chunk=512, start=2048)
    same(first.merge(rest).sums, whole.sums)


def test_full_covariance_agrees_with_numpy():
    problem, theta = w1(horizon=12)
    found = mg.measure(problem, theta, BOTH, 3000, seed=3, full_covariance=True, chunk=512)
    pairs = mg.measure(problem, theta, BOTH, 3000, seed=3, chunk=512)
    samples = mg.sample(problem, theta, BOTH, 3000, seed=3)
    expected = np.cov(samples["SF"].T, samples["PW"].T)[:8, 8:]
    matrix = found.covariance_matrix("SF", "PW")
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(pairs.covariance("SF", "PW"), np.diag(expected), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pairs.covariance("PW", "SF"), pairs.covariance("SF", "PW"))


def same(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_rollouts_are_what_estimators_see():
    problem, theta = w1(horizon=12, discount=0.9)
    path = mg.rollout(problem, theta, 300, seed=3)
    assert path.states.shape == (300, 13, 4)
    assert path.actions.shape == (300, 12, 2)
    assert path.rewards.shape == (300, 12)
    assert path.noise.process.shape == (300, 12, 4)
    K = theta.reshape(2, 4)
    u = path.actions - path.states[:, :-1] @ K.T
    np.testing.assert_allclose(u, 0.3 * path.noise.action, atol=1e-13)
    # The score function from the rollout, in the order of its formula.
    weighted = path.rewards * 0.9 ** np.arange(12)
    to_go = np.cumsum(weighted[:, ::-1], axis=1)[:, ::-1]
    expected = np.einsum("nt,ntm,nts->nms", to_go, u / 0.3**2, path.states[:, :-1]).reshape(300, 8)
    found = mg.sample(problem, theta, BOTH, 300, seed=3)["SF"]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    for machine in ("scalar", "numpy"):
        other = mg.rollout(problem, theta, 300, seed=3, machine=machine)
        np.testing.assert_allclose(other.states, path.states, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(other.noise.initial, path.noise.initial, rtol=1e-12, atol=1e-14)
