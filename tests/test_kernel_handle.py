"""Kernels to import: what they return is what `measure` sees, from Python and from compiled code."""

import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import mcgrad as mg
from mcgrad import estimators as E

BOTH = {"SF": E.reward_to_go(), "PW": E.reparameterization()}
EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "train_in_a_jitted_loop.py"


@pytest.fixture(scope="module")
def problem():
    lq = mg.environments.linear_quadratic([[0.5, 0.1], [0.0, 0.4]], [[1.0], [0.5]], np.eye(2), [[0.1]])
    return mg.Problem(lq, mg.policies.linear_gaussian(2, 1, std=0.3), 5)


@pytest.fixture(scope="module")
def kernel(problem):
    return mg.kernel(problem, BOTH)


def test_samples_are_those_of_everybody(problem, kernel, seed):
    theta = np.array([0.1, -0.2])
    for count in (1, 16, 37):
        found = kernel.samples(theta, seed, 5, count)
        assert found.shape == (2, 2, count)
        expected = mg.sample(problem, theta, BOTH, count, seed, start=5)
        for e, name in enumerate(kernel.names):
            assert np.array_equal(found[e].T, expected[name])
    assert kernel.parameters == problem.parameters and "def kernel(" in kernel.text


def test_memory_is_used_again(kernel, seed):
    out = kernel.out(20)
    first = kernel.samples([0.1, -0.2], seed, 0, 20, out)
    assert np.shares_memory(first, out)
    kept = first.copy()
    again = kernel.samples([0.1, -0.2], seed, 0, 20, out=out)
    assert np.array_equal(again, kept) and np.shares_memory(again, out)
    assert not np.array_equal(kernel.samples([0.1, -0.2], seed, 20, 20, out), kept)


def test_memory_of_another_kind_is_refused_and_not_misread(kernel):
    """A slice with steps, and float32, would be read as if they were float64 side by side: other numbers, or beyond the end."""
    import numba

    gradients, out, work = kernel.function, kernel.out(kernel.lanes), kernel.work()
    assert "| argument | type |" in gradients.__doc__
    theta = np.array([0.1, -0.2])
    gradients(theta, 0, 0, out, work)
    spread = np.zeros(4)
    spread[::2] = theta
    for wrong in (spread[::2], theta.astype(np.float32), np.array([0, 1])):
        with pytest.raises(TypeError):
            gradients(wrong, 0, 0, out, work)
    with pytest.raises(TypeError):
        gradients(theta, 0, 0, out.astype(np.float32), work)

    @numba.njit
    def caller(theta, out, work):
        gradients(theta[::2], 0, 0, out, work)

    with pytest.raises(numba.TypingError):
        caller(spread, out, work)


def test_compiled_code_sees_the_same(kernel, seed):
    """Called from a jitted loop: the same bits, at any theta, for any range."""
    import numba

    gradients, lanes = kernel.function, kernel.lanes

    @numba.njit
    def means(theta, seed, steps, out, work):
        found = np.zeros((steps, out.shape[0]))
        for k in range(steps):
            gradients(theta, seed, k * out.shape[1], out, work)
            for q in range(out.shape[0]):
                found[k, q] = out[q].mean()
            theta[0] += 0.01
        return found

    out, work = kernel.out(2 * lanes), kernel.work()
    found = means(np.array([0.1, -0.2]), seed, 3, out, work)
    for k in range(3):
        theta = np.array([0.1, -0.2])
        for _ in range(k):
            theta[0] += 0.01
        expected = kernel.samples(theta, seed, k * out.shape[1], out.shape[1])
        np.testing.assert_allclose(found[k], expected.reshape(4, -1).mean(axis=1), rtol=1e-12)
    gradients(np.array([0.1, -0.2]), np.uint64(2**64 - 1), 3, out, work)  # from Python, too
    assert np.array_equal(out.reshape(2, 2, -1), kernel.samples([0.1, -0.2], 2**64 - 1, 3, out.shape[1]))
    for bad in (
        (np.zeros(3), out, work),
        (np.zeros(2), out[:, :-1].copy(), work),
        (np.zeros(2), out[:-1].copy(), work),
        (np.zeros(2), out, work[:-1].copy()),
    ):
        with pytest.raises(ValueError, match="expected"):
            gradients(bad[0], 0, 0, bad[1], bad[2])


def test_what_estimators_have_to_know_is_that_of_one_theta(problem, seed):
    chosen = {"V": E.reward_to_go(mg.baselines.value())}
    with pytest.raises(ValueError, match="theta: expected the parameters at which 'V' takes its data"):
        mg.kernel(problem, chosen)
    handle = mg.kernel(problem, chosen, theta=[0.1, -0.2])
    found = handle.samples([0.1, -0.2], seed, 0, 20)
    assert np.array_equal(found[0].T, mg.sample(problem, [0.1, -0.2], chosen, 20, seed)["V"])
    elsewhere = handle.samples([0.3, 0.0], seed, 0, 20)
    assert not np.array_equal(elsewhere[0].T, mg.sample(problem, [0.3, 0.0], chosen, 20, seed)["V"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1], 0, 0, 8), "theta: expected shape"),
        ((None, 0, 0, 8), "theta: expected"),
        (("abc", 0, 0, 8), "theta: expected"),
        ((np.array([0.1, np.nan]), 0, 0, 8), "theta: expected finite numbers"),
        ((np.array([0.1, np.inf]), 0, 0, 8), "theta: expected finite numbers"),
        (([0.1, 0.2], -1, 0, 8), "seed: expected"),
        (([0.1, 0.2], 2**64, 0, 8), "seed: expected"),
        (([0.1, 0.2], 1.5, 0, 8), "seed: expected"),
        (([0.1, 0.2], "1", 0, 8), "seed: expected"),
        (([0.1, 0.2], True, 0, 8), "seed: expected"),
        (([0.1, 0.2], 0, -1, 8), "first: expected"),
        (([0.1, 0.2], 0, 1.5, 8), "first: expected"),
        (([0.1, 0.2], 0, 2**59, 8), "first, count: expected"),
        (([0.1, 0.2], 0, 0, 0), "count: expected"),
        (([0.1, 0.2], 0, 0, 1.5), "count: expected"),
        (([0.1, 0.2], 0, 0, 8, [1]), "out: expected"),
        (([0.1, 0.2], 0, 0, 8, np.zeros((4, 3))), "out: expected a float64 array of shape"),
        (([0.1, 0.2], 0, 0, 8, np.zeros((4, 16), dtype=np.float32)), "out: expected"),
    ],
)
def test_samples_of_something_else(kernel, arguments, message):
    with pytest.raises(ValueError, match=message):
        kernel.samples(*arguments)


def test_memory_that_cannot_be_written_to_is_refused(kernel):
    still, apart = kernel.out(8), kernel.out(8)
    still.flags.writeable = False
    spread = np.zeros((apart.shape[0], apart.shape[1] + 1))[:, 1:]
    odd = np.zeros(apart.nbytes + 8, np.uint8)[1 : 1 + apart.nbytes].view(np.float64).reshape(apart.shape)
    for out in (still, spread, odd):
        with pytest.raises(ValueError, match="out: expected .* C contiguous, aligned and writeable"):
            kernel.samples([0.1, -0.2], 0, 0, 8, out)


def test_any_whole_numbers_and_any_array_will_do(kernel):
    plain = kernel.samples(np.array([0.1, -0.2]), 3, 5, 8)
    spread = np.zeros(4)
    spread[::2] = 0.1, -0.2
    for theta in ((0.1, -0.2), spread[::2], np.array([1e200, 1e200])):
        found = kernel.samples(theta, np.uint64(3), 5.0, np.int32(8))
        assert theta[0] == 1e200 or np.array_equal(found, plain)  # whose square overflows is finite all the same


def test_what_does_not_depend_on_theta_asks_for_none(problem):
    """Numbers that were given are the same everywhere; whatever asks theta for something is seen, deep inside, too."""
    B = mg.baselines
    given = {
        "groups": E.leave_one_out(4),
        "same batch": E.same_batch_mean(4),
        "evolution": E.evolution_strategies(0.1),
        "differences": E.finite_differences(0.1, 2),
        "constant": E.reward_to_go(-1.0),
        "state": E.reward_to_go(B.of_state(lambda p, s: p.k * s[0], k=2.0)),
        "own": E.custom(
            lambda c, x, later: (c.d * later + x.reward, x.score), lambda c, end: end.reward, data={"d": 0.5}
        ),
        "branches": E.measure_valued(),
        "fixed": E.control_variate(E.reward_to_go(), [E.score()], coefficients=[[0.5, 0.5]]),
        "natural": E.natural(E.reward_to_go(), np.eye(2)),
        "short": E.short_horizon(2, B.of_state(lambda p, s: s[0])),
    }
    for name, e in given.items():
        one, other = (mg.kernel(problem, {name: e}, theta).program for theta in (None, [0.1, -0.2]))
        assert np.array_equal(one.c, other.c) and np.array_equal(one.rows, other.rows), name
        assert one.kernel == other.kernel

    class Own(E.Estimator):
        def data(self, problem, theta):
            return {"d": 2.0 * theta[0]}

        def step(self, c, x, carry):
            return carry, tuple(c.d * z for z in x.score)

    exact = E.reward_to_go(B.value())
    for e in (exact, E.reward_to_go(B.fitted_value(64)), E.antithetic(exact), E.natural(exact, np.eye(2)), Own()):
        with pytest.raises(ValueError, match="theta: expected the parameters at which 'it' takes its data"):
            mg.kernel(problem, {"it": e})
    assert isinstance(mg.kernel(problem, {"it": Own()}, [0.1, -0.2]), mg.Kernel)


def test_kernels_of_something_else(problem):
    with pytest.raises(ValueError, match="problem: expected a Problem"):
        mg.kernel(None, BOTH)
    with pytest.raises(ValueError, match="estimators: expected"):
        mg.kernel(problem, [])
    with pytest.raises(ValueError, match="those of mixture are not fitted"):
        mg.kernel(problem, {"mixture": E.mixture(*BOTH.values())})


def test_the_example_trains():
    """Ten thousand steps in compiled code find the best gain, as far as the last step is long."""
    spec = importlib.util.spec_from_file_location("train_in_a_jitted_loop", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    theta = example.main(3000)
    objective = [mg.exact.objective(example.problem, x) for x in (np.zeros(2), theta)]
    assert objective[1] > objective[0] / 2.0
    assert np.abs(mg.exact.gradient(example.problem, theta)).max() < 0.3


def test_a_plain_import_loads_little():
    """Neither the compiler, nor exact values, nor comparisons, until somebody asks for them; and names stay functions."""
    code = (
        "import sys, mcgrad as mg\n"
        "heavy = ('numba', 'scipy', 'pandas', 'mcgrad.exact', 'mcgrad.checks', 'mcgrad.comparison', 'mcgrad.ascent')\n"
        "assert not [x for x in sys.modules if x.startswith(heavy)]\n"
        "import mcgrad.checks.findings as findings, mcgrad.kernels.program as program\n"
        "assert all(map(callable, (mg.check, mg.cost, mg.compare, mg.kernel))) and mg.exact.objective\n"
        "assert set(mg.__all__) <= set(dir(mg)) and all(hasattr(mg, x) for x in mg.__all__)\n"
        "assert not hasattr(mg, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
