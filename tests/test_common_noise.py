"""Noise that the entries of a batch have in common is drawn once, and they have the bits that they have alone."""

import dataclasses
import pickle

import numpy as np
import pytest
from support import stopped, w1

import mcgrad as mg
from mcgrad import batches, run
from mcgrad.compiler import backends
from mcgrad.kernels.points import points_program
from mcgrad.kernels.program import gradient_program
from mcgrad.power_sums import ARRAYS

e = mg.estimators
BOTH = {"SF": e.reward_to_go(), "PW": e.reparameterization()}
VARIED = {
    "antithetic": e.antithetic(e.reward_to_go(), "actions"),
    "groups": e.leave_one_out(18),  # its last members draw the noise of far-away times
    "evolution strategies": e.evolution_strategies(0.1),
    "persistent": e.persistent_evolution_strategies(0.1, 2),
    "measure-valued": e.measure_valued(),
}
COUNT = 100  # in blocks of 8 to 32, the last of which is not full


@pytest.fixture
def shared(monkeypatch):
    """Let noise be shared however small the batch; return the list of ranges that were drawn, as (first, count)."""
    drawn = []

    def spy(program, seed, first, count, *more):
        if program.kernel.label == "common noise":
            drawn.append((first, count))
        return run.run_kernel(program, seed, first, count, *more)

    monkeypatch.setattr(batches, "WORTH", 0)
    monkeypatch.setattr(batches, "run_kernel", spy)
    return drawn


def thetas(theta, B=5):
    return theta + 0.1 * np.random.default_rng(2).normal(size=(B, len(theta)))


def equal(found, alone):
    """Tell which entries of a batch have the sums of the measurements alone(b), to the last bit."""
    pairs = [(found.entry(b).sums, alone(b).sums) for b in range(found.batch)]
    return [all(np.array_equal(getattr(x, k), getattr(y, k)) for k in ARRAYS) for x, y in pairs]


def scalar(T):
    lq = mg.environments.linear_quadratic([[0.9]], [[1.0]], [[1.0]], [[0.1]], process_noise=[[0.01]])
    return mg.Problem(lq, mg.policies.linear_gaussian(1, 1, std=0.5), T), np.array([-0.4])


def tables():
    return mg.Problem(mg.environments.random_walk(), mg.policies.softmax(7, 2), 4), np.linspace(-1.0, 1.0, 14)


@pytest.mark.parametrize(
    "problem, theta, estimators, precision",
    [
        (*w1(6, learn_std=True, discount=0.9), BOTH, "double"),
        (*w1(6, learn_std=True, discount=0.9), BOTH, "single"),
        (*scalar(4), VARIED, "double"),
        (*tables(), {"SF": e.reward_to_go()}, "double"),
    ],
)
def test_what_is_read_has_the_bits_of_what_is_drawn(problem, theta, estimators, precision, seed):
    """Of single trajectories: whatever a kernel does with noise, and whatever stands around it."""

    def at(given):
        program = gradient_program(problem, theta, estimators, given)
        return dataclasses.replace(program, kernel=dataclasses.replace(program.kernel, precision=precision))

    def samples(program):
        return batches.samples([program], theta[None], [seed], [5], COUNT).copy()

    drawn, given = at(None), pickle.loads(pickle.dumps(at("all")))
    expected = samples(drawn)
    assert np.isfinite(expected).all() and np.array_equal(samples(given), expected)


def test_widths_give_the_same_bits(seed, shared, monkeypatch):
    problem, theta = scalar(6)
    expected = mg.measure(problem, theta, BOTH, COUNT, seed)
    for width in (4, 8, 16, 32):
        monkeypatch.setattr(backends.KernelText, "_lanes", lambda self, width=width: width)
        found = mg.measure(problem, np.tile(theta, (2, 1)), BOTH, COUNT, seed, threads=1)
        assert equal(found, lambda b: expected) == [True, True] and shared
        shared.clear()


@pytest.mark.parametrize("threads", [1, 2])
def test_noise_is_drawn_once(threads, seed, shared):
    problem, theta = w1(6)
    many = thetas(theta, 4)
    found = mg.measure(problem, many, BOTH, COUNT, seed, threads=threads, start=3)
    assert len(shared) == threads and {first for first, _ in shared} == {3}
    assert equal(found, lambda b: mg.measure(problem, many[b], BOTH, COUNT, seed, start=3)) == [True] * 4


def test_noise_that_no_cache_holds_is_drawn_in_parts(seed, shared, monkeypatch):
    """Also of problems of one structure; and a part that is one block too far is seen."""
    problem, theta = w1(6)
    others = [dataclasses.replace(problem, discount=x) for x in (0.95, 0.9, 0.8)]
    width = problem_width(problem, theta)
    monkeypatch.setattr(batches, "CACHED", 2 * 40 * width)  # 4 + 6 x 6 numbers of noise: two blocks

    def right():
        return equal(
            mg.measure(others, theta, BOTH, COUNT, seed, threads=1),
            lambda b: mg.measure(others[b], theta, BOTH, COUNT, seed),
        )

    assert right() == [True] * 3
    assert shared == [(k, 2 * width) for k in range(0, COUNT, 2 * width)]
    draw = batches.run_kernel
    monkeypatch.setattr(
        batches, "run_kernel", lambda p, seed, first, *x: draw(p, seed, first + width * (first > 0), *x)
    )
    assert right() == [False] * 3


def problem_width(problem, theta):
    return gradient_program(problem, theta, BOTH, "all").kernel.width()


def test_it_is_drawn_anew_where_that_is_no_slower(seed, shared, monkeypatch):
    problem, theta = w1(6)
    many = thetas(theta)

    def alone(where, of=problem, **options):
        mg.measure(of, where, BOTH, COUNT, **{"seed": seed} | options)
        return not shared

    assert alone(many, seed=[1, 2, 3, 4, 5]) and alone(many, noise="independent") and alone(many, machine="numpy")
    assert alone(theta, [problem, dataclasses.replace(problem, horizon=5)])
    episodes, at = stopped(6)
    assert alone(thetas(at), episodes)
    for name, value in (("LONGEST", 40 * problem_width(problem, theta) - 1), ("WORTH", 10**12)):
        with monkeypatch.context() as patch:
            patch.setattr(batches, name, value)
            assert alone(many)
    assert not alone(many)


def test_memory_is_bounded():
    """Gradients of a piece and noise, in numbers: however many entries, trajectories, gradients and steps there are."""
    for entries in (2, 8, 4096):
        for numbers in (1, 1000, batches.PIECE, 3 * batches.PIECE, batches.MOST):
            for workers in (1, 2, 32):
                size = batches._size(entries, numbers, workers, shared=True)
                assert 1 <= size <= entries and (size == 1 or size * numbers <= batches.MOST)
                assert size * workers >= min(entries, batches.SHARING) or size * numbers > batches.PIECE / 2
    problem, theta = w1(200)
    given = gradient_program(problem, theta, BOTH, "all")
    kernel, width = points_program(given).kernel, given.kernel.width()
    assert kernel.outputs == given.draws.rows == 4 + 200 * 6
    assert batches.CACHED < kernel.outputs * width * 2 < batches.LONGEST
    assert given.kernel == gradient_program(w1(6)[0], theta, BOTH, "all").kernel  # nothing is compiled for a horizon
