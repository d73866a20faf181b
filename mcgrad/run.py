"""Running a kernel over ranges of trajectories, on threads or on any executor.

Trajectory i depends on (seed, i) alone. A range of trajectories is cut into chunks, which are simulated and reduced to
sums wherever there is a free core, and merged in a fixed tree: the result has the same bits for any number of threads, and
on every x86 processor with fused multiply-add (all since 2013; others differ by rounding). That holds for given numbers:
exact values and fitted coefficients come from NumPy's linear algebra, whose last bits depend on the processor.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import executors, validate
from .compiler import backends, passes
from .designs import Design
from .estimators.estimator import Estimator
from .kernels.program import Program, gradient_program
from .power_sums import Accumulator, Covariances, PowerSums, between_all, of_chunk, tree
from .problem import Problem

CHUNK = 8192  # trajectories whose gradients are in memory at once, per thread; fewer where each has many gradients
POINTS = 2**18  # numbers of small replicates that are made at once
QUICK = 10**9  # trajectories times steps times letters of text that are done before threads have started
# log2 of the chunks in a piece of work, at most: a thread of ours takes 40 ms for it, others seconds
THREADS, FAR = 4, 10
END = 2**59  # ranges end before this trajectory; the numbers beyond are used as independent noise

_memory = threading.local()


def run_kernel(
    program: Program,
    seed: int,
    first: int,
    count: int,
    machine: str = "simd",
    stop: NDArray[np.int64] | None = None,
    points: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the outputs of trajectories first, ..., first + count - 1 as an (outputs, count) array.

    The array is overwritten by the next call from the same thread.

    Parameters
    ----------
    points : (program.draws.rows, count) array, optional
        The noise of a program that is given it.
    """
    kernel = backends.compiled(program.kernel, machine)
    width = program.kernel.width(machine) or count
    blocks = -(-count // width)
    T = program.horizon
    stop = np.zeros(1, dtype=np.int64) if stop is None else stop
    arrays = (program.theta, program.p, program.c, program.rows)
    if (0 if points is None else len(points)) != program.draws.rows:
        raise ValueError(
            f"points: expected {program.draws.rows} rows of noise, got {() if points is None else points.shape}"
        )
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
    work = kernel_memory(program, machine)
    out = buffer("out", (program.kernel.outputs, blocks * width))
    kernel(*arrays, np.uint64(seed), np.uint64(first), blocks, width, T, padded, work, out, stop)
    return out[:, :count]


def kernel_memory(program: Program, machine: str) -> NDArray[np.float64]:
    """Return the workspace of a program on this thread."""
    return buffer("work", program.kernel.memory(program.horizon, program.kernel.width(machine)))


def buffer(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an array of this thread, with any contents: the same one as long as the shape stays the same."""
    kept = getattr(_memory, name, None)
    if kept is None or kept.shape != shape:
        kept = backends.aligned(shape)
        setattr(_memory, name, kept)
    return kept


@contextlib.contextmanager
def own_memory(kept: dict[str, NDArray[np.float64]]) -> Iterator[None]:
    """Let kernels on this thread use these arrays, and leave those here that they make: who takes turns allocates once."""
    here = vars(_memory)
    before = dict(here)
    here.clear()
    here.update(kept)
    try:
        yield
    finally:
        kept.update(here)
        here.clear()
        here.update(before)


def samples(
    program: Program,
    seed: int,
    first: int,
    count: int,
    machine: str = "simd",
    stop: NDArray[np.int64] | None = None,
    design: Design | None = None,
) -> NDArray[np.float64]:
    """Return samples in columns: what `run_kernel` returns, or its means over the replicates of a sampling design."""
    if design is None:
        return run_kernel(program, seed, first, count, machine, stop)
    size, kinds, outputs = design.size, program.draws.kinds, program.kernel.outputs
    piece = default_chunk(outputs)
    together = max(min(piece, POINTS // max(len(kinds), 1)) // size, 1)  # small replicates share a call
    means = np.zeros((outputs, count // size))
    for k in range(0, count // size, together):
        number = min(together, count // size - k)
        noise = design.noise(kinds, seed, first // size + k, number)
        for at in range(0, number * size, piece):
            here = noise[:, at : at + piece]
            out = run_kernel(program, seed, first + k * size + at, here.shape[1], machine, stop, here)
            with np.errstate(invalid="ignore", over="ignore"):
                means[:, k : k + number] += out.reshape(outputs, number, -1).sum(axis=2)
        if stop is not None and stop[0]:
            break
    return means / size


def group_sums(
    program: Program,
    seed: int,
    first: int,
    count: int,
    chunk: int,
    covariances: Covariances,
    machine: str,
    design: Design | None = None,
    stop: NDArray[np.int64] | None = None,
) -> PowerSums:
    """Return the sums of consecutive chunks of trajectories: one piece of work for a thread or a process."""

    def sums() -> Iterator[PowerSums]:
        for k in range(first, first + count, chunk):
            out = samples(program, seed, k, min(chunk, first + count - k), machine, stop, design)
            if stop is not None and stop[0]:
                raise concurrent.futures.CancelledError
            yield of_chunk(out, len(program.names), covariances)

    return tree(sums())


class Run(NamedTuple):
    """How to run, as opposed to what."""

    seed: int
    threads: int
    executor: object
    chunk: int | None
    machine: str
    design: Design | None = None
    precision: str = "double"

    @property
    def unit(self) -> int:
        """Number of trajectories of a sample."""
        return 1 if self.design is None else self.design.size

    def program(self, problem: Problem, theta: NDArray[np.float64], estimators: Mapping[str, Estimator]) -> Program:
        """Return the program that samples the gradients of named estimators."""
        if self.design is None:
            return self.precise(gradient_program(problem, theta, estimators))
        program = gradient_program(problem, theta, estimators, self.design.given)
        self.design.check(program.draws.rows)
        return self.precise(program)

    def precise(self, program: Program) -> Program:
        """Return a program whose kernel computes in the precision of this run."""
        if program.kernel.precision == self.precision:
            return program
        return dataclasses.replace(program, kernel=dataclasses.replace(program.kernel, precision=self.precision))

    def sums(
        self, program: Program, first: int, count: int, covariances: Covariances | None = None, bar: Any = None
    ) -> PowerSums:
        """Return the sums of a range of trajectories; by default, with the covariances between all estimators."""
        covariances = covariances or between_all(len(program.names))
        if self.executor is not None:
            return self._collect(self.executor, program, first, count, covariances, bar, None)
        # Compile before the threads start, so that they do not wait for each other.
        started = time.monotonic()
        backends.compiled(program.kernel, self.machine)
        passes.compiled()
        if bar is not None:
            bar.pause(time.monotonic() - started)
        stop = np.zeros(1, dtype=np.int64)
        if count * program.horizon * len(program.kernel.text) < QUICK:
            chunk = self.chunk_of(program.kernel.outputs)
            found = group_sums(program, self.seed, first, count, chunk, covariances, self.machine, self.design)
            if bar is not None:
                bar.add(count)
            return found
        with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
            try:
                return self._collect(pool, program, first, count, covariances, bar, stop)
            except BaseException:
                # Running kernels look at `stop` before each block of trajectories: Ctrl-C takes effect at once.
                stop[0] = 1
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def few_samples(self, program: Program, first: int, count: int) -> NDArray[np.float64]:
        """Return the samples of a few trajectories in columns, made by the executor if there is one."""
        arguments = (program, self.seed, first, count, self.machine, None, self.design)
        if self.executor is None:
            return samples(*arguments).copy()
        return executors.finished(self.executor, executors.submitted(self.executor, samples, *arguments))

    def chunk_of(self, outputs: int) -> int:
        """Return how many trajectories with so many gradients make a chunk: a multiple of those of a sample."""
        chunk = self.chunk or default_chunk(outputs)
        return max(chunk // self.unit, 1) * self.unit

    def _collect(
        self,
        pool: Any,
        program: Program,
        first: int,
        count: int,
        covariances: Covariances,
        bar: Any,
        stop: NDArray[np.int64] | None,
    ) -> PowerSums:
        """Have groups of chunks reduced to sums by an executor, and merge them in order."""
        chunk = self.chunk_of(program.kernel.outputs)
        group = chunk * _group_size(count, chunk, executors.workers(pool), THREADS if stop is not None else FAR)
        end, shared = first + count, () if stop is None else (stop,)
        starts = range(first, end, group)
        how = (chunk, covariances, self.machine, self.design, *shared)
        pieces = ((program, self.seed, k, min(group, end - k), *how) for k in starts)
        merged = Accumulator()
        with contextlib.closing(executors.in_order(pool, group_sums, pieces)) as found:
            for k, sums in zip(starts, found, strict=True):
                number = min(group, end - k)
                merged.add(_checked(pool, sums, program, number // self.unit, covariances))
                if bar is not None:
                    bar.add(number)
        return merged.result()


def _checked(pool: Any, found: Any, program: Program, number: int, covariances: Covariances) -> PowerSums:
    """Return the sums of a piece of work; ValueError if the executor returned something else."""
    E, P = len(program.names), program.kernel.outputs // len(program.names)
    cross = (E * P, E * P) if covariances.full else (len(covariances.pairs), P)
    shapes = {"own": (6, E, P), "joint": (3, E, P), "cross": cross, "nonfinite": (E,)}
    good = (
        isinstance(found, PowerSums)
        and found.covariances == covariances
        and all(np.shape(getattr(found, k)) == shape for k, shape in shapes.items())
    )
    if not (good and np.array_equal(found.own[0], np.broadcast_to(number - found.nonfinite[:, None], (E, P)))):
        what = f"{executors.called(pool)} to return the sums of {number} samples"
        raise ValueError(f"executor: expected {what}, got {validate.describe(found)}")
    return found


def default_chunk(outputs: int) -> int:
    """Return how many trajectories make a chunk: a power of two, and a function of the number of gradients alone.

    As many as fill 1 MB with gradients, which a cache holds, so that short kernels are not called too often; 8192 where they
    then fit into 4 MB, and as many as do otherwise.
    """
    most = max(2**17 / outputs, min(CHUNK, 2**19 / outputs), 64)
    return 2 ** int(np.log2(most))


def _group_size(count: int, chunk: int, workers: int, levels: int) -> int:
    """Return how many chunks make one piece of work: a power of two, so that the tree of merges stays the same.

    At least four pieces for each worker, of no more than 2^levels chunks.
    """
    pieces = count / chunk / (4 * workers)
    return 2 ** int(np.clip(np.floor(np.log2(max(pieces, 1))), 0, levels))


def check_range(start: int, count: int) -> None:
    """Raise ValueError for a range of trajectories that goes too far."""
    if start + count > END:
        raise ValueError(f"start, count: expected start + count <= 2^59, got {start + count}")


def thread_count(threads: int | None) -> int:
    """Return how many threads to run on: by default, as many as there are cores."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return validate.integer("threads", threads, 1, 4096)
