"""Ranges of trajectories -> kernel -> moments, on threads or on any executor.

Trajectory i depends on (seed, i) alone. A measurement cuts its range of trajectories into chunks, which are simulated
and reduced to moments wherever there is a free core, and merged in a fixed tree: the result has the same bits for any
number of threads.
"""

import collections
import concurrent.futures
import dataclasses
import os
import threading
import warnings
from typing import NamedTuple

import numpy as np

from . import validate
from .compiler import machines
from .estimators.estimator import Estimator, rollouts
from .estimators.fitted import is_unfitted
from .inputs import Inputs
from .moments import Moments
from .points import Points
from .program import checked, gradient_program, rollout_program
from .progress import Progress
from .sums import Accumulator, merge, of_chunk, tree

CHUNK = 8192  # trajectories whose gradients are in memory at once, per thread; fewer where each has many gradients
POINTS = 2**18  # numbers of small replicates that are made at once
END = 2**59  # measurements end before this trajectory; the numbers beyond are used as independent noise
PILOT = 2**59  # where the pilot ranges of fitted coefficients begin


def measure(
    problem,
    theta,
    estimators,
    count,
    seed=0,
    *,
    threads=None,
    executor=None,
    progress=None,
    start=0,
    points=None,
    full_covariance=False,
    chunk=None,
    machine="simd",
):
    """Return the moments of gradient estimators over `count` trajectories, all on the same noise.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict
        Name -> estimator.
    count : int
        Number of trajectories (of an estimator that takes several rollouts: of samples); memory does not grow with it.
    seed : int
        From 0 to 2^64 - 1.
    threads : int, optional
        By default, as many as there are cores to run on.
    executor : concurrent.futures.Executor, optional
        Runs the pieces instead of threads of our own; processes and other machines will do, they are sent text.
    progress : None, bool or callable, optional
        None: a line on stderr after two seconds. False: nothing. A callable gets (done, total).
    start : int
        First trajectory: continue a measurement of n trajectories with start=n, and merge.
    points : Points, optional
        A sampling design in place of random noise, see `mcgrad.points`; `count` and `start` are multiples of its size.
        One sample is then a replicate, the mean gradient over points.size trajectories: all moments are those of
        replicates, of which there are count / points.size, and `rollouts` counts all that a replicate takes. So
        variance x rollouts compares with random noise. Coefficients that are cross-fitted minimise the variance of
        replicates. Pilots stay random, and so does what `measure_valued` puts in place of noise, the futures of its
        independent branches, and the directions of persistent evolution strategies.
    full_covariance : bool
        Keep the joint covariance matrix of all parameters of all estimators.
    chunk : int, optional
        Trajectories per chunk, chosen by the number of gradients; results agree to rounding between chunk sizes, bit for
        bit at the same one.
    machine : str
        "simd", "scalar" (portable) or "numpy" (no compiler): see `mcgrad.compiler.machines`.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        For an argument out of its range, named; and where an estimator does not exist for the problem.
    """
    estimators = _checked_estimators(estimators)
    count = validate.integer("count", count, 1)
    start = validate.integer("start", start, 0)
    _check_range(start, count)
    run = _Run(
        validate.integer("seed", seed, 0, 2**64 - 1),
        _thread_count(threads),
        executor,
        None if chunk is None else validate.integer("chunk", chunk, 1, 2**24),
        machine,
        _checked_points(points, count, start),
    )
    theta = checked(problem, theta)
    if executor is not None and not isinstance(executor, concurrent.futures.Executor):
        raise ValueError(f"executor: expected a concurrent.futures.Executor, got {validate.describe(executor)}")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise ValueError(f"progress: expected None, a bool or a function, got {validate.describe(progress)}")
    names, parameters = tuple(estimators), problem.parameters
    ready = _fit_on_pilots(problem, theta, estimators, run)
    sums = None
    bar = Progress(count, progress)
    try:
        for first, number, fitted in _folds(problem, theta, ready, start, count, run):
            program = run.program(problem, theta, fitted)
            part = run.sums(program, first, number, full_covariance, bar)
            sums = part if sums is None else merge(sums, part)
    finally:
        bar.close()
    found = Moments(names, parameters, sums, tuple(run.unit * rollouts(e, problem) for e in estimators.values()))
    lost = {name: k for name, k in found.nonfinite.items() if k}
    if lost:
        what = ", ".join(f"{k} of {name}" for name, k in lost.items())
        samples = f"{count} trajectories" if points is None else f"{count // points.size} replicates"
        warnings.warn(f"of {samples} some had a gradient that was not finite: {what}", stacklevel=2)
    return found


def sample(problem, theta, estimators, count, seed=0, *, start=0, points=None, machine="simd"):
    """Return {name: (N, P) array}, the gradients of single trajectories `start`, ..., `start + count - 1`.

    With `points` it is (N / points.size, P), the mean gradients of replicates; see `measure`.

    Raises
    ------
    ValueError
        As `measure`.
    """
    estimators = _checked_estimators(estimators)
    count, start = validate.integer("count", count, 1), validate.integer("start", start, 0)
    _check_range(start, count)
    points = _checked_points(points, count, start)
    run = _Run(validate.integer("seed", seed, 0, 2**64 - 1), _thread_count(None), None, None, machine, points)
    theta = checked(problem, theta)
    P = len(problem.parameters)
    out = np.empty((count // run.unit, len(estimators), P))
    ready = _fit_on_pilots(problem, theta, estimators, run)
    for first, number, fitted in _folds(problem, theta, ready, start, count, run):
        program = run.program(problem, theta, fitted)
        size = max(CHUNK // run.unit, 1) * run.unit
        for k in range(first, first + number, size):
            columns = samples(program, run.seed, k, min(size, first + number - k), machine, points=points).T
            at = (k - start) // run.unit
            out[at : at + len(columns)] = columns.reshape(-1, len(estimators), P)
    return {name: np.ascontiguousarray(out[:, e]) for e, name in enumerate(estimators)}


class Noise(NamedTuple):
    """The noise behind a rollout, normals before uniform numbers: initial (N, .), action (N, T, .), process (N, T, k)."""

    initial: np.ndarray
    action: np.ndarray
    process: np.ndarray


class Rollout(NamedTuple):
    """Trajectories: states (N, T + 1, n), actions (N, T, m), rewards (N, T) and terminal reward (N,), not discounted.

    `lengths` (N,) counts the steps until an episode ended: T where it did not. States stay where they were from then on.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminal: np.ndarray
    lengths: np.ndarray
    noise: Noise


def rollout(problem, theta, count, seed=0, *, start=0, machine="simd"):
    """Return trajectories `start`, ..., `start + count - 1`, to be looked at: the same that estimators see."""
    count, start = validate.integer("count", count, 1), validate.integer("start", start, 0)
    _check_range(start, count)
    return _rollout(problem, theta, count, validate.integer("seed", seed, 0, 2**64 - 1), start, machine)


def _rollout(problem, theta, count, seed, start, machine):
    program = rollout_program(problem, theta)
    environment, policy, T = problem.environment, problem.policy, problem.horizon
    n = environment.states
    noises = (policy.noises + policy.uniforms, environment.noises + environment.uniforms)
    at = np.cumsum((0, n, environment.actions, 1, *noises, 1))
    size = max(1, min(CHUNK, 2**23 // program.kernel.outputs))
    steps, ends = np.empty((count, T, at[-1])), np.empty((count, program.kernel.outputs - T * at[-1]))
    for k in range(0, count, size):
        number = min(size, count - k)
        rows = run_kernel(program, seed, start + k, number, machine).T
        steps[k : k + number] = rows[:, : T * at[-1]].reshape(number, T, at[-1])
        ends[k : k + number] = rows[:, T * at[-1] :]
    s, a, r, e, w, alive = (steps[:, :, i:j] for i, j in zip(at[:-1], at[1:], strict=True))
    states = np.concatenate([s, ends[:, None, :n]], axis=1)
    noise = Noise(ends[:, n + 1 :].copy(), e.copy(), w.copy())
    lengths = alive[:, :, 0].sum(axis=1).astype(int)
    return Rollout(states, a.copy(), r[:, :, 0].copy(), ends[:, n].copy(), lengths, noise)


# ---- running a kernel ------------------------------------------------------------------------------------------

_memory = threading.local()


def run_kernel(program, seed, first, count, machine="simd", stop=None, points=None):
    """Return the outputs of trajectories first, ..., first + count - 1 as an (outputs, count) array.

    The array is overwritten by the next call from the same thread.

    Parameters
    ----------
    points : (program.draws.rows, count) array, optional
        The noise of a program that is given it.
    """
    kernel = machines.compiled(program.kernel, machine)
    width = program.kernel.width(machine) or count
    blocks = -(-count // width)
    T = program.horizon
    stop = np.zeros(1, dtype=np.int64) if stop is None else stop
    arrays = (program.theta, program.p, program.c, program.rows)
    padded = np.zeros((0, 0)) if points is None else np.ascontiguousarray(points)
    if blocks * width > count and points is not None:
        padded = np.zeros((len(points), blocks * width))
        padded[:, :count] = points
    if machine == "numpy":
        rows, row = program.kernel.memory(T, 1)
        work, out = np.empty((rows, row, count)), np.empty((program.kernel.outputs, count))
        with np.errstate(all="ignore"):
            kernel(*arrays, seed, np.uint64(first), 1, count, T, padded, work, out, stop)
        return out
    work = _buffer("work", program.kernel.memory(T, width))
    out = _buffer("out", (program.kernel.outputs, blocks * width))
    kernel(*arrays, np.uint64(seed), np.uint64(first), blocks, width, T, padded, work, out, stop)
    return out[:, :count]


def _buffer(name, shape):
    """Return an array of this thread, the same one as long as the shape stays the same."""
    kept = getattr(_memory, name, None)
    if kept is None or kept.shape != shape:
        kept = machines.aligned(shape)
        setattr(_memory, name, kept)
    return kept


def samples(program, seed, first, count, machine="simd", stop=None, points=None):
    """Return samples in columns: what `run_kernel` returns, or its means over the replicates of a sampling design."""
    if points is None:
        return run_kernel(program, seed, first, count, machine, stop)
    size, kinds, outputs = points.size, program.draws.kinds, program.kernel.outputs
    piece = default_chunk(outputs)
    together = max(min(piece, POINTS // max(len(kinds), 1)) // size, 1)  # small replicates share a call
    means = np.zeros((outputs, count // size))
    for k in range(0, count // size, together):
        number = min(together, count // size - k)
        noise = points.noise(kinds, seed, first // size + k, number)
        for at in range(0, number * size, piece):
            here = noise[:, at : at + piece]
            out = run_kernel(program, seed, first + k * size + at, here.shape[1], machine, stop, here)
            with np.errstate(invalid="ignore", over="ignore"):
                means[:, k : k + number] += out.reshape(outputs, number, -1).sum(axis=2)
        if stop is not None and stop[0]:
            break
    return means / size


def group_sums(program, seed, first, count, chunk, full, machine, points=None, stop=None):
    """Return the sums of consecutive chunks of trajectories: one piece of work for a thread or a process."""
    parts = []
    for k in range(first, first + count, chunk):
        out = samples(program, seed, k, min(chunk, first + count - k), machine, stop, points)
        if stop is not None and stop[0]:
            return None
        parts.append(of_chunk(out, len(program.names), full))
    return tree(parts)


class _Run(NamedTuple):
    """How to run, as opposed to what."""

    seed: int
    threads: int
    executor: object
    chunk: int | None
    machine: str
    points: Points | None = None

    @property
    def unit(self):
        """Number of trajectories of a sample."""
        return 1 if self.points is None else self.points.size

    def program(self, problem, theta, estimators):
        """Return the program that samples the gradients of named estimators."""
        if self.points is None:
            return gradient_program(problem, theta, estimators)
        program = gradient_program(problem, theta, estimators, self.points.given)
        self.points.check(program.draws.rows)
        return program

    def sums(self, program, first, count, full=False, bar=None):
        """Return the sums of a range of trajectories."""
        if self.executor is not None:
            return self._collect(self.executor, program, first, count, full, bar, None)
        # Compile before the threads start, so that they do not wait for each other.
        machines.compiled(program.kernel, self.machine)
        stop = np.zeros(1, dtype=np.int64)
        with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
            try:
                return self._collect(pool, program, first, count, full, bar, stop)
            except BaseException:
                # Running kernels look at `stop` before each block of trajectories: Ctrl-C takes effect at once.
                stop[0] = 1
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _collect(self, pool, program, first, count, full, bar, stop):
        """Submit groups of chunks, a few ahead of what has been merged, and merge them in order."""
        chunk = self.chunk or default_chunk(program.kernel.outputs)
        chunk = max(chunk // self.unit, 1) * self.unit
        group = chunk * _group_size(count, chunk, self.threads)
        waiting, merged = collections.deque(), Accumulator()
        starts = iter(range(first, first + count, group))
        ended = False
        while waiting or not ended:
            while not ended and len(waiting) < 2 * self.threads + 2:
                k = next(starts, None)
                if k is None:
                    ended = True
                    break
                number = min(group, first + count - k)
                arguments = (program, self.seed, k, number, chunk, full, self.machine, self.points)
                arguments += (stop,) if stop is not None else ()
                waiting.append((number, pool.submit(group_sums, *arguments)))
            if waiting:
                number, future = waiting.popleft()
                merged.add(future.result())
                if bar is not None:
                    bar.add(number)
        return merged.result()


def default_chunk(outputs):
    """Return how many trajectories make a chunk: a power of two, 4 MB of gradients at most."""
    return 2 ** int(np.clip(np.floor(np.log2(2**19 / outputs)), 6, np.log2(CHUNK)))


def _group_size(count, chunk, threads):
    """Return how many chunks make one piece of work: a power of two, so that the tree of merges stays the same."""
    pieces = count / chunk / (4 * threads)
    return 2 ** int(np.clip(np.floor(np.log2(max(pieces, 1))), 0, 4))


def _check_range(start, count):
    if start + count > END:
        raise ValueError(f"start, count: expected start + count <= 2^59, got {start + count}")


def _thread_count(threads):
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return validate.integer("threads", threads, 1, 4096)


def _checked_points(points, count, start):
    """Return a sampling design that divides a range of trajectories, or None."""
    if points is None:
        return None
    if not isinstance(points, Points):
        raise ValueError(f"points: expected a design such as points.sobol(1024), got {validate.describe(points)}")
    for name, value in (("count", count), ("start", start)):
        if value % points.size:
            raise ValueError(f"{name}: expected a multiple of points.size = {points.size}, got {value}")
    return points


def _checked_estimators(estimators):
    if isinstance(estimators, Estimator):
        raise ValueError('estimators: expected a dict such as {"SF": score_function()}, got one estimator')
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(f"estimators: expected a dict of name -> estimator, got {validate.describe(estimators)}")
    for name, e in estimators.items():
        if not isinstance(name, str) or not isinstance(e, Estimator):
            raise ValueError(f"estimators: expected name -> estimator, got {name!r} -> {validate.describe(e)}")
    return estimators


# ---- coefficients of control variates --------------------------------------------------------------------------


def _fit_on_pilots(problem, theta, estimators, run):
    """Return the estimators with the coefficients of those that have a pilot range fitted on it."""
    return {
        name: e.fit(_Range(problem, theta, run._replace(points=None), PILOT, e.pilot))
        if is_unfitted(e) and e.pilot is not None
        else e
        for name, e in estimators.items()
    }


def _folds(problem, theta, estimators, start, count, run):
    """Yield (first, count, estimators) for ranges with fixed coefficients: all, or two halves that are cross-fitted."""
    if not any(map(is_unfitted, estimators.values())):
        yield start, count, estimators
        return
    half = count // run.unit // 2 * run.unit
    folds = ((start, half), (start + half, count - half))
    if half < 16 * run.unit:
        what = "trajectories" if run.points is None else f"replicates of {run.unit}"
        raise ValueError(
            f"count: expected at least 32 {what} for a cross-fitted control variate, got {count // run.unit}"
        )
    for this, other in (folds, folds[::-1]):
        trajectories = _Range(problem, theta, run, *other)
        yield *this, {n: e.fit(trajectories) if is_unfitted(e) else e for n, e in estimators.items()}


class _Range(NamedTuple):
    """Trajectories that coefficients are fitted on, see `Fitted.fit`."""

    problem: object
    theta: np.ndarray
    run: _Run
    first: int
    count: int

    def moments(self, estimators, full=False):
        """Return the moments of named estimators."""
        return self._moments(self.run.program(self.problem, self.theta, estimators), full)

    def moments_of_each(self, variants):
        """Yield the moments of each of several dicts of estimators that differ in their data alone, with one kernel."""
        program = None
        for estimators in variants:
            if program is None:
                program = self.run.program(self.problem, self.theta, estimators)
            else:
                data = Inputs(self.problem, [e.data(self.problem, self.theta) for e in estimators.values()])
                program = dataclasses.replace(program, c=data.c, rows=data.rows(self.problem))
            yield self._moments(program, False)

    def _moments(self, program, full):
        sums = self.run.sums(program, self.first, self.count, full)
        return Moments(program.names, self.problem.parameters, sums)
