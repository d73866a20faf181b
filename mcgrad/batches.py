"""Many measurements by one call: a kernel at B thetas, on B systems, or with B seeds.

Each entry of a batch has trajectories of its own number, a few hundred, say; the loop around the kernel and the sums of powers
take two microseconds an entry, where a call of `measure` takes half a millisecond. Entries are spread over threads in pieces
whose gradients fit in a processor's cache. An entry has the bits that it would have alone: the same kernel, the same sums.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import executors, validate
from .compiler import backends, passes
from .kernels.program import Program, checked
from .power_sums import Covariances, PowerSums, concatenated, of_chunks
from .problem import Problem
from .run import Run, default_chunk, kernel_memory, run_kernel
from .source import Source, facts

PIECE = 2**17  # numbers of gradients that are in memory at once, per thread: 1 MB


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
        """Return the program of each entry; `made(problem, theta)` returns it."""
        first = made(self.problems[0], self.thetas[0])
        if self.same and without_data(first):
            return [at(first, theta) for theta in self.thetas]
        rest = zip(self.problems[1:], self.thetas[1:], strict=True)
        return [first, *(made(problem, theta) for problem, theta in rest)]


def without_data(program: Program) -> bool:
    """Tell whether a program has no numbers of estimators: nothing in it but theta depends on theta."""
    return not program.data[0] and program.data[1] == program.data[2]


def at(program: Program, theta: NDArray[np.float64]) -> Program:
    """Return a program at another theta: `dataclasses.replace` would take longer than the kernel."""
    other = object.__new__(type(program))
    other.__dict__.update(program.__dict__)
    other.__dict__["theta"] = theta
    return other


def of(problem: Any, theta: Any, seed: Any, start: int, count: int, noise: str) -> Batch | None:
    """Return the `Batch` that the arguments of a measurement describe, checked; None where they describe no batch.

    Parameters
    ----------
    problem : Problem or sequence of B Problem
    theta : (P,) or (B, P) array
    seed : int or sequence of B int
    noise : str
        "common" or "own".
    """
    validate.one_of("noise", noise, ("common", "own"))
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
    seeds: Sequence[int],
    firsts: Sequence[int],
    count: int,
    covariances: Covariances,
    run: Run,
    bar: Any,
) -> PowerSums:
    """Return the sums of `count` trajectories of each entry."""
    kernel, began = programs[0].kernel, time.monotonic()
    for text in {p.kernel for p in programs}:
        backends.compiled(text, run.machine)
    passes.compiled()
    bar.pause(time.monotonic() - began)
    stop = np.zeros(1, dtype=np.int64)
    shared = () if run.executor is not None else (stop,)
    own_pool = concurrent.futures.ThreadPoolExecutor(run.threads) if run.executor is None else None
    pool = own_pool or run.executor
    size = max(PIECE // (kernel.outputs * count), 1)
    # Several pieces for each worker, so that none waits long for another.
    size = max(min(size, -(-len(programs) // (4 * executors.workers(pool)))), 1)
    slices = [slice(k, k + size) for k in range(0, len(programs), size)]
    pieces = ((programs[k], seeds[k], firsts[k], count, covariances, run.machine, *shared) for k in slices)
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


def _piece(
    programs: Sequence[Program],
    seeds: Sequence[int],
    firsts: Sequence[int],
    count: int,
    covariances: Covariances,
    machine: str,
    stop: NDArray[np.int64] | None = None,
) -> PowerSums:
    """Return the sums of some entries: one piece of work for a thread or a process."""
    return of_chunks(samples(programs, seeds, firsts, count, machine, stop), len(programs[0].names), covariances)


def samples(
    programs: Sequence[Program],
    seeds: Sequence[int],
    firsts: Sequence[int],
    count: int,
    machine: str = "simd",
    stop: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the samples of `count` trajectories of each entry, (B, outputs, count)."""
    if machine == "numpy":
        entries = zip(programs, seeds, firsts, strict=True)
        return np.stack([run_kernel(p, seed, first, count, machine) for p, seed, first in entries])
    kernel = programs[0].kernel
    stop = np.zeros(1, dtype=np.int64) if stop is None else stop
    width = kernel.width(machine)
    blocks = -(-count // width)
    gradients = np.empty((len(programs), kernel.outputs, blocks * width))
    nothing, horizon = np.zeros((0, 0)), None
    loaded: Any = None
    work: Any = None
    for b, p in enumerate(programs):
        if p.kernel.width(machine) != width:  # a kernel of another structure
            gradients[b, :, :count], horizon = run_kernel(p, seeds[b], firsts[b], count, machine, stop), None
            continue
        if p.kernel is not kernel or p.horizon != horizon:
            kernel, horizon = p.kernel, p.horizon
            loaded, work = backends.compiled(kernel, machine), kernel_memory(p, machine)
        seed, first = np.uint64(seeds[b]), np.uint64(firsts[b])
        loaded(p.theta, p.p, p.c, p.rows, seed, first, blocks, width, horizon, nothing, work, gradients[b], stop)
    return gradients[:, :, :count]
