"""Three machines for one kernel text: NumPy arrays, SIMD lanes, scalars.

A kernel text is a few straight-line functions and one function of loops, `kernel`, that calls them. The text refers to
names that it does not define; a machine is a meaning of these names:

    sin, exp, where, ...            elementary functions
    lookup(array, first, stride, size, index)    an element of a table, NaN out of range
    normal_pair(seed, i, t, block)  two standard normals
    uniform(seed, i, t, block)      a uniform number
    any_positive((x,))              whether x is positive for any trajectory of a block
    point(points, k, b)             number k of the given points of block b
    position(first, b, width)       trajectory number(s) of block b
    stream(i, k)                    the number under which they draw independent noise
    take(row, k), give(row, k, x)   read, write value k of the workspace of one time step
    tail(work, horizon)             the memory after the last time step, whose sums stay float64,
    total(totals, k)                its value k, and
    scatter(totals, first, size, index, x)    add x there at place first + index, nowhere for an index out of range
    put(out, q, b, x)               write output q of block b

| machine | a value is | who compiles | what for |
|---|---|---|---|
| `numpy` | an array, one element for each trajectory | nobody | the reference and the debugger |
| `simd` | W lanes of a vector register | `lowering`, LLVM | speed |
| `scalar` | a number | Numba, by its public interface alone | the portable fallback |

In single precision, which the first two know, all values are float32: noise, arithmetic, and what is kept of each time step.
The parameters that come in, and what goes out to be summed, are float64.
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import cache, on_numpy

MACHINES = ("simd", "scalar", "numpy")
PRECISIONS = ("double", "single")
OPERATION = re.compile(r" [-+*/&|<>=!]=? |\w\(")
LARGEST = 100_000  # operations of a kernel that is compiled
SMALL = 200  # operations of a kernel that is small

# theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop: see `kernel.loops`.
ARGUMENTS = ("in1", "in1", "in1", "in2", "uint64", "uint64", "int64", "int64", "int64", "in2", "out2", "out2", "stop")


Function: TypeAlias = tuple[str, int, int | None]  # its name, and how many arguments it takes and results it returns


@dataclasses.dataclass(frozen=True)
class KernelText:
    """The source of a kernel: all that another process or machine needs to compile it.

    Attributes
    ----------
    text : str
        Python source of the functions below and of `kernel`.
    functions : tuple of (name, arguments, results)
        The straight-line functions: how many arguments they take, how many values they return (None: nothing).
    workspace : int
        Values kept for each time step of each trajectory.
    outputs : int
        Values delivered for each trajectory.
    label : str
        What to call it in messages.
    totals : int
        Sums kept in memory for each trajectory.
    precision : str
        "double" or "single".
    """

    text: str
    functions: tuple[Function, ...]
    workspace: int
    outputs: int
    label: str
    totals: int = 0
    precision: str = "double"

    @functools.cached_property
    def operations(self) -> int:
        """How many operations the text has, about."""
        return len(OPERATION.findall(self.text))

    @functools.cached_property
    def digest(self) -> str:
        """What tells the text from others."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:20]

    @property
    def seconds(self) -> float:
        """How long it takes to compile the text, within a factor of two or three."""
        return 0.1 + 2e-5 * len(self.text)

    @property
    def waits(self) -> bool:
        """Whether trajectories that end early wait for the longest one of their block."""
        return "any_positive(" in self.text

    def memory(self, horizon: int, width: int) -> tuple[int, int]:
        """Return the shape of the workspace of one block: a row for each time step, and some for the sums."""
        row = max(self.workspace, 1)
        return horizon + -(-self.totals // row), row * width

    def width(self, machine: str = "simd") -> int:
        """Return how many trajectories one block holds (for `numpy`, any number: 0)."""
        check(machine)
        if machine == "simd":
            return self._lanes()
        return {"scalar": 1, "numpy": 0}[machine]

    def _lanes(self) -> int:
        """Return how many lanes a SIMD kernel has; its bits do not depend on that.

        Several registers for each value hide the latency of instructions, until too many values have to be spilled: two
        registers of AVX-512, four of AVX2; half of that for kernels that keep many values. With AVX-512, which has twice as
        many registers, small kernels take twice as many lanes, and so do all in single precision, whose lanes are half as
        wide; but not where trajectories end early, and wait for the longest one of their block.
        """
        small = wide_registers() and self.operations <= SMALL and not self.waits
        lanes = 8 if self.workspace > 16 else 32 if small else 16
        return 2 * lanes if self.precision == "single" and not self.waits else lanes


@functools.cache
def wide_registers() -> bool:
    """Tell whether this processor has registers of 512 bits, and 32 of them."""
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512f"))


def check(machine: object) -> None:
    """Raise a ValueError for what is none of the three machines."""
    if not isinstance(machine, str) or machine not in MACHINES:
        raise ValueError(f"machine: expected one of {', '.join(MACHINES)}, got {machine!r}")


def compiled(kernel: KernelText, machine: str = "simd", width: int | None = None) -> Callable[..., Any]:
    """Return the callable `kernel` of a KernelText on one of the three machines."""
    check(machine)
    return _compiled(kernel, machine, kernel.width(machine) if width is None else width)


# Loaded, a kernel takes a sixth of a megabyte; it goes when so many others have been used since.
@functools.lru_cache(maxsize=256)
def _compiled(kernel: KernelText, machine: str, width: int) -> Callable[..., Any]:
    if machine == "numpy":
        return on_numpy.made(kernel.text, [name for name, _, _ in kernel.functions], kernel.precision)
    if machine == "scalar" and kernel.precision != "double":
        raise ValueError("precision: expected 'double' on the scalar machine, got 'single'")
    if kernel.operations > LARGEST:
        raise ValueError(
            f"{kernel.label}: expected at most {LARGEST} operations, got {kernel.operations}, which would take about "
            f"{kernel.seconds:.0f} s to compile. Fewer states, actions, hidden units or estimators at once make a kernel "
            "smaller, and tables that are read by `lookup`; machine='numpy' runs it without compiling."
        )
    label = kernel.label if kernel.seconds < 10.0 else f"{kernel.label} (about {kernel.seconds:.0f} s)"
    build = functools.partial(_build, kernel, machine, width)
    return cache.load(kernel.text, _tag(kernel, machine, width), ARGUMENTS, build, label)


def is_compiled(kernel: KernelText, machine: str = "simd") -> bool:
    """Tell whether the cache on disk has the machine code of a kernel."""
    return cache.is_kept(kernel.text, _tag(kernel, machine, kernel.width(machine)), ARGUMENTS)


def _tag(kernel: KernelText, machine: str, width: int) -> str:
    return f"kernel {machine} {width} {kernel.precision}"


def _build(kernel: KernelText, machine: str, width: int) -> tuple[bytes, list[str]]:
    """Return the object file of a kernel for the SIMD or the scalar machine, see `cache.load`."""
    if machine == "simd":
        from . import on_lanes  # LLVM is heavy

        results = {name: n for name, _, n in kernel.functions}
        return on_lanes.built(kernel.text, results, width, kernel.precision, ARGUMENTS)
    from . import on_numbers  # Numba is heavy

    return on_numbers.built(kernel.text, [name for name, _, _ in kernel.functions], ARGUMENTS)


def workspace(kernel: KernelText, horizon: int, width: int) -> NDArray[np.float64]:
    """Return an uninitialised workspace for one block of the SIMD or the scalar machine."""
    return aligned(kernel.memory(horizon, width))


def aligned(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an uninitialised float64 array that starts at a cache line, as full SIMD loads like it."""
    count = int(np.prod(shape))
    memory = np.empty(count + 8)
    offset = -memory.ctypes.data // 8 % 8
    return memory[offset : offset + count].reshape(shape)
