"""Many measurements by one call: a kernel at B thetas, on B systems, or with B seeds.

Each entry of a batch has trajectories of its own number, a few hundred, say; the loop around the kernel and the sums of powers
take two microseconds an entry, where a call of `measure` takes half a millisecond. Entries are spread over threads in pieces
whose gradients fit in a processor's cache. An entry has the bits that it would have alone: the same kernel, the same sums.

Noise takes half of a kernel's time and more. Where all entries see the same trajectories, it is drawn once for those of a
piece, for as many trajectories at a time as fit in the cache: a kernel that is given its noise (as those of sampling designs
are) reads it at each entry.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import executors, validate
from .compiler import backends, passes
from .estimators.estimator import Estimator
from .kernels.points import points_program
from .kernels.program import Program, checked, gradient_program
from .power_sums import Covariances, PowerSums, concatenated, of_chunks
from .problem import Problem
from .run import Run, buffer, default_chunk, kernel_memory, run_kernel
from .source import Source, facts

PIECE = 2**17  # numbers of gradients that are in memory at once, per thread: 1 MB
# To share noise, the gradients of so many entries may be in memory at once, as long as that is so much: 4 MB.
SHARING, MOST = 4, 2**19
CACHED = 2**15  # numbers of noise that are read at each entry: 256 KB
LONGEST = 2**18  # numbers of noise of one block, beyond which reading is no faster than drawing
# Trajectories times steps times letters of text (some 10 ms) from which on another kernel is compiled for it.
WORTH = 10**10


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """What the entries of a batch are.

    Attributes
    ----------
    problems : tuple of Problem
        One for each entry; the same one B times where there is but one.
    thetas : (B, P) array
    seeds, firsts : tuples of B int
        The first trajectory of each entry, and of which seed.
    """

    problems: tuple
    thetas: np.ndarray
    seeds: tuple
    firsts: tuple

    def __len__(self) -> int:
        return len(self.problems)

    @functools.cached_property
    def same(self) -> bool:
        """Whether there is but one problem."""
        return all(x is self.problems[0] for x in self.problems)

    def source(self, count: int, programs: Sequence[Program], design: Any) -> Source:
        """Return what the moments of a measurement come from; `programs` as of `facts`."""
        of: Any
        if self.same and without_data(programs[0]):
            of = facts(programs[0], self.problems[0], design)
        else:
            of = tuple(facts(p, problem, design) for p, problem in zip(programs, self.problems, strict=True))
        problem = self.problems[0] if self.same else self.problems
        return Source(problem, self.thetas, self.seeds, self.firsts, count, of)

    def programs(self, made: Callable[[Problem, NDArray[np.float64]], Program]) -> list[Program]:
        """Return the program of each entry, at its theta or at any where that is no matter; made(problem, theta) is one."""
        first = made(self.problems[0], self.thetas[0])
        if self.same and without_data(first):
            return [first] * len(self)
        rest = zip(self.problems[1:], self.thetas[1:], strict=True)
        return [first, *(made(problem, theta) for problem, theta in rest)]

    def sharing(
        self, programs: Sequence[Program], estimators: Mapping[str, Estimator], run: Run, count: int
    ) -> list[Program]:
        """Return programs that are given their noise, where that is common and reading it saves time; else, as they are."""
        first, each = programs[0], {id(p): p for p in programs}
        common = len(set(self.seeds)) == len(set(self.firsts)) == 1
        alike = all(p.kernel == first.kernel and p.horizon == first.horizon for p in each.values())
        work = len(programs) * count * first.horizon * len(first.kernel.text)
        workers = run.threads if run.executor is None else executors.workers(run.executor)
        size = _size(len(programs), first.kernel.outputs * count, workers, shared=True)
        # How much noise episodes need depends on theta, where they end early.
        if common and alike and work >= WORTH and size > 1 and run.machine == "simd" and not first.kernel.waits:
            like = run.precise(gradient_program(self.problems[0], self.thetas[0], estimators, "all"))
            if 0 < like.draws.rows * like.kernel.width() <= LONGEST:
                each = {k: dataclasses.replace(p, kernel=like.kernel, draws=like.draws) for k, p in each.items()}
        return [each[id(p)] for p in programs]


def without_data(program: Program) -> bool:
    """Tell whether a program has no numbers of estimators: nothing in it but theta depends on theta."""
    return not program.data[0] and program.data[1] == program.data[2]


def of(problem: Any, theta: Any, seed: Any, start: int, count: int, noise: str) -> Batch | None:
    """Return the `Batch` that the arguments of a measurement describe, checked; None where they describe no batch.

    Parameters
    ----------
    problem : Problem or sequence of B Problem
    theta : (P,) or (B, P) array
    seed : int or sequence of B int
    noise : str
        "common" or "independent".
    """
    validate.one_of("noise", noise, ("common", "independent"))
    several = isinstance(problem, Sequence) and not isinstance(problem, (str, bytes))
    shapes = {"problem": (len(problem),) if several else (), "seed": validate.shape(seed)}
    shapes["theta"] = validate.shape(theta)[:-1]
    sizes = {name: shape[0] for name, shape in shapes.items() if len(shape) == 1}
    if not sizes:
        return None
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        told = ", ".join(f"{n} of {name}" for name, n in sizes.items())
        raise ValueError(f"theta, problem, seed: expected batches of one size, not empty, got {told}")
    B = next(iter(sizes.values()))
    problems = tuple(problem) if several else (problem,) * B
    for x in problems if several else problems[:1]:
        if not isinstance(x, Problem):
            raise ValueError(f"problem: expected Problems, got {validate.describe(x)}")
        if x.parameters != problems[0].parameters:
            raise ValueError(
                f"problem: expected the same parameters in each, {problems[0].parameters}, got {x.parameters}"
            )
    if "theta" in sizes:
        thetas = validate.array("theta", theta, (B, len(problems[0].parameters)))
    else:
        thetas = np.tile(checked(problems[0], theta), (B, 1))
    seeds = tuple(validate.integer("seed", x, 0, 2**64 - 1) for x in seed) if "seed" in sizes else (seed,) * B
    firsts = (start,) * B if noise == "common" else tuple(start + b * count for b in range(B))
    return Batch(problems, thetas, seeds, firsts)


def fits(programs: Sequence[Program], run: Run, count: int) -> bool:
    """Tell whether the entries of a batch are measured side by side, a chunk of each at once."""
    chunk = run.chunk or default_chunk(programs[0].kernel.outputs)
    return run.design is None and count <= chunk


def sums(
    programs: Sequence[Program],
    thetas: NDArray[np.float64],
    seeds: Sequence[int],
    firsts: Sequence[int],
    count: int,
    covariances: Covariances,
    run: Run,
    bar: Any,
) -> PowerSums:
    """Return the sums of `count` trajectories of each entry: a program at its theta, and first trajectories of seeds."""
    kernel, began = programs[0].kernel, time.monotonic()
    shared = programs[0].draws.rows > 0
    for text in {p.kernel for p in programs} | ({points_program(programs[0]).kernel} if shared else set()):
        backends.compiled(text, run.machine)
    passes.compiled()
    bar.pause(time.monotonic() - began)
    stop = np.zeros(1, dtype=np.int64)
    ours = () if run.executor is not None else (stop,)
    own_pool = concurrent.futures.ThreadPoolExecutor(run.threads) if run.executor is None else None
    pool = own_pool or run.executor
    size = _size(len(programs), kernel.outputs * count, executors.workers(pool), shared)
    slices = [slice(k, k + size) for k in range(0, len(programs), size)]
    pieces = ((programs[k], thetas[k], seeds[k], firsts[k], count, covariances, run.machine, *ours) for k in slices)
    found = []
    try:
        with contextlib.closing(executors.in_order(pool, _piece, pieces)) as results:
            for k, sums in zip(slices, results, strict=True):
                if not isinstance(sums, PowerSums):
                    what = f"{executors.called(pool)} to return the sums of samples, got {validate.describe(sums)}"
                    raise ValueError(f"executor: expected {what}")
                found.append(sums)
                bar.add(count * len(programs[k]))
    except BaseException:
        stop[0] = 1
        raise
    finally:
        if own_pool:
            own_pool.shutdown(wait=True, cancel_futures=True)
    return concatenated(found)


def _size(entries: int, numbers: int, workers: int, shared: bool) -> int:
    """Return how many entries, with so many numbers of gradients each, make a piece of work.

    Several pieces for each worker, so that none waits long for another.
    """
    fit, few = PIECE // numbers, -(-entries // (4 * workers))
    if shared:
        fit = max(fit, min(SHARING, MOST // numbers))
        few = max(few, min(SHARING, -(-entries // workers)))
    return max(min(fit, few), 1)


def _piece(
    programs: Sequence[Program],
    thetas: NDArray[np.float64],
    seeds: Sequence[int],
    firsts: Sequence[int],
    count: int,
    covariances: Covariances,
    machine: str,
    stop: NDArray[np.int64] | None = None,
) -> PowerSums:
    """Return the sums of some entries: one piece of work for a thread or a process."""
    return of_chunks(
        samples(programs, thetas, seeds, firsts, count, machine, stop), len(programs[0].names), covariances
    )


def samples(
    programs: Sequence[Program],
    thetas: NDArray[np.float64],
    seeds: Sequence[int],
    firsts: Sequence[int],
    count: int,
    machine: str = "simd",
    stop: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the samples of `count` trajectories of each entry, (B, outputs, count).

    The array is overwritten by the next call from the same thread.
    """
    if machine == "numpy":
        entries = zip(programs, thetas, seeds, firsts, strict=True)
        return np.stack([run_kernel(_at(p, theta), seed, first, count, machine) for p, theta, seed, first in entries])
    kernel = programs[0].kernel
    stop = np.zeros(1, dtype=np.int64) if stop is None else stop
    width = kernel.width(machine)
    blocks = -(-count // width)
    gradients = buffer("gradients", (len(programs), kernel.outputs, blocks * width))
    if programs[0].draws.rows:
        _on_common_noise(programs, thetas, seeds[0], firsts[0], stop, gradients)
        return gradients[:, :, :count]
    nothing, horizon = np.zeros((0, 0)), None
    loaded: Any = None
    work: Any = None
    for b, (p, theta) in enumerate(zip(programs, thetas, strict=True)):
        if p.kernel.width(machine) != width:  # a kernel of another structure
            found = run_kernel(_at(p, theta), seeds[b], firsts[b], count, machine, stop)
            gradients[b, :, :count], horizon = found, None
            continue
        if p.kernel is not kernel or p.horizon != horizon:
            kernel, horizon = p.kernel, p.horizon
            loaded, work = backends.compiled(kernel, machine), kernel_memory(p, machine)
        seed, first = np.uint64(seeds[b]), np.uint64(firsts[b])
        loaded(theta, p.p, p.c, p.rows, seed, first, blocks, width, horizon, nothing, work, gradients[b], stop)
    return gradients[:, :, :count]


def _at(program: Program, theta: NDArray[np.float64]) -> Program:
    return dataclasses.replace(program, theta=theta)


def _on_common_noise(
    programs: Sequence[Program],
    thetas: NDArray[np.float64],
    seed: int,
    first: int,
    stop: NDArray[np.int64],
    gradients: NDArray[np.float64],
) -> None:
    """Write the samples of whole blocks of trajectories at each entry, for as many at a time as have their noise in cache."""
    program, noise = programs[0], points_program(programs[0])
    kernel, horizon, rows = program.kernel, program.horizon, program.draws.rows
    width, loaded, work = kernel.width(), backends.compiled(kernel), kernel_memory(program, "simd")
    blocks = gradients.shape[2] // width
    parts = -(-blocks // max(CACHED // (rows * width), 1))
    size = -(-blocks // parts)
    part = buffer("part", (kernel.outputs, size * width))
    unit = max(noise.kernel.width(), width)  # both are powers of two
    drawn = -(-size * width // unit) * unit
    for start in range(0, blocks, size):
        here, begin = min(size, blocks - start), first + start * width
        points = run_kernel(noise, seed, begin, drawn, "simd", stop)
        at = np.uint64(seed), np.uint64(begin), here, width, horizon, points, work
        for p, theta, own in zip(programs, thetas, gradients, strict=True):
            loaded(theta, p.p, p.c, p.rows, *at, own if parts == 1 else part, stop)
            if parts > 1:
                own[:, start * width : (start + here) * width] = part[:, : here * width]
