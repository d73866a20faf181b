"""How a measurement behaves: interruption, memory, messages, compiled kernels on disk."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad.compiler import backends, cache
from mcgrad.kernels.program import gradient_program

BOTH = {"SF": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}
ROOT = pathlib.Path(__file__).parent.parent


def run(code, **environment):
    """Run Python code in a process of its own."""
    code = textwrap.dedent(code)
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, timeout=120)


MEASURE = """
    import mcgrad as mg
    from support import w1
    problem, theta = w1(horizon=5)
    found = mg.measure(problem, theta, {"PW": mg.estimators.reparameterization()}, 1000)
    print(repr(found["PW"].mean.tolist()), repr(found["PW"].variance.tolist()))
"""


def test_a_kernel_is_compiled_once_and_loaded_by_the_next_process(tmp_path):
    first = run(MEASURE, MCGRAD_CACHE_DIR=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("\n") == 1
    assert "mcgrad: compiling a kernel for linear-quadratic n=4 m=2" in first.stderr
    second = run(MEASURE, MCGRAD_CACHE_DIR=str(tmp_path))
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert len(list(tmp_path.glob("k_*.code"))) == 6  # and five loops over chunks


def test_no_folder_for_kernels_is_no_obstacle(tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    result = run(MEASURE, MCGRAD_CACHE_DIR=str(nowhere / "below"))
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("compiled kernels are not kept in") == 1
    assert result.stdout == run(MEASURE, MCGRAD_CACHE_DIR=str(tmp_path)).stdout


def test_a_kernel_file_is_named_after_its_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("MCGRAD_CACHE_DIR", str(tmp_path))
    problem, theta = w1(horizon=5)
    kernel = gradient_program(problem, theta, {"PW": mg.estimators.reparameterization()}).kernel
    backends._compiled.__wrapped__(kernel, "simd", 8)
    backends._compiled.__wrapped__(kernel, "simd", 8)
    assert len(list(tmp_path.glob("k_*.code"))) == 1
    backends._compiled.__wrapped__(kernel, "simd", 4)
    monkeypatch.setattr(cache, "library_hash", lambda: "another version of the library")
    backends._compiled.__wrapped__(kernel, "simd", 8)
    assert len(list(tmp_path.glob("k_*.code"))) == 3


def test_a_thousand_systems_of_one_size_share_a_kernel():
    rng = np.random.default_rng(0)
    texts = set()
    for k in range(1000 // 50):
        A, B = rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
        A[0, 0] = 0.0 if k == 3 else A[0, 0]
        C = rng.normal(size=(3, 3))
        environment = mg.environments.linear_quadratic(A, B, C @ C.T, np.eye(2), process_noise=C.T @ C)
        policy = mg.policies.linear_gaussian(3, 2, std=rng.uniform(0.1, 1.0))
        problem = mg.Problem(environment, policy, int(rng.integers(2, 50)), 0.9)
        texts.add(gradient_program(problem, rng.normal(size=6), BOTH).kernel)
    assert len(texts) == 1


def test_ctrl_c_takes_effect_at_once():
    """A measurement of minutes, with chunks of seconds, ends within a second of SIGINT and leaves no threads behind."""
    code = """
        import signal
        import threading
        import mcgrad as mg
        from support import w1
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell start with it ignored
        signal.alarm(120)
        problem, theta = w1(horizon=5000)
        estimators = {"PW": mg.estimators.reparameterization()}
        mg.measure(problem, theta, estimators, 16, progress=False)
        print("ready", flush=True)
        try:
            mg.measure(problem, theta, estimators, 10**8, progress=False)
        except KeyboardInterrupt:
            print("interrupted", threading.active_count(), flush=True)
    """
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert process.stdout.readline() == "interrupted 1\n"
        assert time.monotonic() - sent < 1.0
        assert process.wait(timeout=5) == 0


def test_progress_can_be_watched_or_silenced(capsys):
    problem, theta = w1(horizon=5)
    calls = []
    mg.measure(problem, theta, BOTH, 10_000, progress=lambda done, total: calls.append((done, total)), machine="numpy")
    assert calls[-1] == (10_000, 10_000)
    assert calls == sorted(calls)
    mg.measure(problem, theta, BOTH, 10_000, progress=False, machine="numpy")
    assert capsys.readouterr().err == ""


def test_progress_speaks_after_two_seconds(capsys, monkeypatch):
    from mcgrad import progress

    clock = iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    bar = progress.Progress(100)
    bar.add(10)
    bar.add(10)
    assert capsys.readouterr().err == ""
    bar.add(10)
    bar.close()
    assert " 30% of 100 trajectories" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_count():
    """Merging 40 times as many chunks costs no memory: nothing is kept but one sum for each level of the tree."""
    code = """
        import resource
        import mcgrad as mg
        from support import w1
        problem, theta = w1(horizon=1)
        estimators = {"PW": mg.estimators.reparameterization()}
        mg.measure(problem, theta, estimators, 10**5, chunk=64, progress=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mg.measure(problem, theta, estimators, 4 * 10**6, chunk=64, progress=False)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 20_000  # kB


def test_sizes_up_to_twenty_states_compile_and_agree():
    rng = np.random.default_rng(1)
    n, m = 20, 6
    A, B = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0], rng.normal(size=(n, m))
    C = rng.normal(size=(n, n)) / n
    environment = mg.environments.linear_quadratic(A, B, np.eye(n) + C @ C.T, np.eye(m), process_noise=C @ C.T)
    policy = mg.policies.linear_gaussian(n, m, cov=0.1 * np.eye(m) + 0.05, learn_std=True)
    problem, theta = mg.Problem(environment, policy, 6), policy.theta(0.02 * rng.normal(size=(m, n)))
    chosen = {**BOTH, "V": mg.estimators.reward_to_go(mg.baselines.value())}
    fast = mg.sample(problem, theta, chosen, 20, seed=1)
    slow = mg.sample(problem, theta, chosen, 20, seed=1, machine="numpy")
    for name in chosen:
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-11, atol=1e-12 * np.abs(slow[name]).max())


def test_kernels_do_not_read_out_of_bounds_when_parameters_are_few():
    """The workspace and outputs of a kernel are as large as its text says, whatever the problem needs of them."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (s[0],),
        reward=lambda p, s, a, s_next, w: 1.0,
    )
    policy = mg.Policy(
        states=1, actions=1, noises=0, parameters=("x",), eta=lambda p, th, s: (th[0],), sample=lambda p, eta, e: eta
    )
    problem = mg.Problem(environment, policy, 3)
    for machine in ("simd", "scalar", "numpy"):
        found = mg.sample(problem, [2.0], {"PW": mg.estimators.reparameterization()}, 5, machine=machine)
        np.testing.assert_array_equal(found["PW"], np.zeros((5, 1)))
        path = mg.rollout(problem, [2.0], 5, machine=machine)
        np.testing.assert_array_equal(path.actions, np.full((5, 3, 1), 2.0))


def test_unknown_names_are_explained():
    problem, theta = w1(horizon=2)
    found = mg.measure(problem, theta, BOTH, 10, machine="numpy")
    assert list(found) == ["SF", "PW"]
    with pytest.raises(KeyError, match="no estimator called 'pw' was measured; there are 'SF', 'PW'"):
        found["pw"]
