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

import ast
import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import cache, noise, special
from .operations import FUNCTIONS

Names: TypeAlias = dict[str, Any]  # what the names of a kernel's text mean on a machine

# Fused multiply-add is allowed, nothing else.
OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}

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
        return _numpy_kernel(kernel)
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
        return _build_lanes(kernel, width)
    import numba

    from .with_numba import compile_function

    namespace = dict(_scalar_names())
    namespace["__name__"] = __name__
    exec(compile(kernel.text, "<kernel>", "exec"), namespace)
    inline = numba.njit(forceinline=True, **OPTIONS)
    for name, _, _ in kernel.functions:
        namespace[name] = inline(namespace[name])
    return compile_function(namespace["kernel"], OPTIONS, ARGUMENTS)


def _build_lanes(kernel: KernelText, width: int) -> tuple[bytes, list[str]]:
    from . import native, simd

    element = simd.F64 if kernel.precision == "double" else simd.F32
    namespace = _simd_names(width, element) | {"rounded": simd.rounded}
    tree = ast.fix_missing_locations(_Rounded().visit(ast.parse(kernel.text)))
    exec(compile(tree, "<kernel>", "exec"), namespace)
    functions = {
        name: simd.lanes_function(namespace[name], results, width, element) for name, _, results in kernel.functions
    }
    functions |= _loop_names(width, element)
    loops = kernel.text[kernel.text.rindex("def kernel(") :]
    return native.compile_text(loops, functions, ARGUMENTS)


class _Rounded(ast.NodeTransformer):
    """What has a name is rounded: products are fused into the sums in which they are written, no others."""

    def visit_Assign(self, node):
        if isinstance(node.targets[0], ast.Name):
            node.value = ast.Call(ast.Name("rounded", ast.Load()), [node.value], [])
        return node


def workspace(kernel: KernelText, horizon: int, width: int) -> NDArray[np.float64]:
    """Return an uninitialised workspace for one block of the SIMD or the scalar machine."""
    return aligned(kernel.memory(horizon, width))


def aligned(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an uninitialised float64 array that starts at a cache line, as full SIMD loads like it."""
    count = int(np.prod(shape))
    memory = np.empty(count + 8)
    offset = -memory.ctypes.data // 8 % 8
    return memory[offset : offset + count].reshape(shape)


# ---- what the names mean ---------------------------------------------------------------------------------------

_CONSTANTS = {"inf": np.inf, "nan": np.nan}


def _numpy_kernel(kernel: KernelText) -> Callable[..., Any]:
    names, number = _numpy_names(), np.float64
    if kernel.precision == "single":
        names, number = {k: _rounded(f) if callable(f) and k not in MEMORY else f for k, f in names.items()}, np.float32
    exec(compile(kernel.text, "<kernel>", "exec"), names)
    for name, _, _ in kernel.functions:
        names[name] = _numpy_results(names[name], number)
    if kernel.precision == "double":
        return names["kernel"]

    def rounded(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
        arrays = (x.astype(np.float32) for x in (theta, p, c, rows))
        points, work = points.astype(np.float32), np.empty(work.shape, np.float32)
        names["kernel"](*arrays, seed, first, blocks, width, horizon, points, work, out, stop)

    return rounded


# What moves numbers as they are; all else that the kernels of NumPy call is computed in float64 and rounded.
MEMORY = ("position", "stream", "take", "give", "put", "point", "scatter", "tail", "total", "any_positive")


def _rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function return float32 for float64."""

    def single(x):
        return x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x

    def call(*arguments):
        results = function(*arguments)
        return tuple(map(single, results)) if isinstance(results, tuple) else single(results)

    return call


def _numpy_names() -> Names:
    def position(first, b, width):
        return first + np.uint64(b * width) + np.arange(width, dtype=np.uint64)

    def give(row, k, value):
        row[k] = value

    def put(out, q, b, value):
        out[q] = value

    def lookup(array, first, stride, size, index):
        inside = (index >= 0) & (index < size)
        if isinstance(array, tuple):  # parameters that differ between trajectories
            table = np.stack(np.broadcast_arrays(*array[first : first + stride * size : stride], index)[:-1])
            return np.where(inside, table[np.where(inside, index, 0).astype(np.int64), np.arange(len(index))], np.nan)
        return np.where(inside, array[first + stride * np.where(inside, index, 0).astype(np.int64)], np.nan)

    names = {"where": np.where, "normal_pair": noise.normal_pair_numpy, "position": position, "stream": noise.stream}
    names |= {
        "take": lambda row, k: row[k],
        "total": lambda totals, k: totals[k],
        "give": give,
        "put": put,
        "point": lambda points, k, b: points[k],
    }

    def scatter(totals, first, size, index, x):
        lanes = np.nonzero(np.broadcast_to((index >= 0) & (index < size), totals.shape[1:]))[0]
        index, x = (np.broadcast_to(y, totals.shape[1:])[lanes] for y in (index, x))
        np.add.at(totals, (first + index.astype(np.int64), lanes), x)

    names |= {"scatter": scatter, "tail": lambda work, horizon: work[horizon:].reshape(-1, work.shape[2])}
    names |= {"lookup": lookup, "uniform": noise.uniform_numpy, "any_positive": lambda x: np.any(x[0] > 0)}
    return FUNCTIONS | _CONSTANTS | names


def _numpy_results(function: Callable[..., Any], number: type[np.floating]) -> Callable[..., Any]:
    """Let a function return NumPy numbers for Python's, whose division by zero is an error."""

    def call(*arguments):
        results = function(*arguments)
        return results and tuple(number(x) if isinstance(x, float) else x for x in results)

    return call


def _simd_names(width: int, element: Any) -> Names:
    from . import division, elementary, simd, single

    own = [name for name in FUNCTIONS if name not in special.BODIES]
    names = {name: getattr(elementary, name, None) or getattr(simd, name, None) for name in own}
    names["fmod"] = division.fmod
    names |= special.on_machine(names | {"where": simd.where}, elementary.emitted(simd.F64), lambda helper: helper)
    if element == simd.F32:
        names = {name: single.version(name, function) for name, function in names.items()}
    names = {name: _also_numbers(function, FUNCTIONS[name]) for name, function in names.items()}

    def give(row, k, value):
        row.store(k, simd.to_lanes(row.builder, value, width, element), width)

    def put(out, q, b, value):
        out.store(q, simd.to_lanes(out.builder, value, width), width, block=b)

    def scatter(totals, first, size, index, x):
        simd.scatter(totals, first, size, simd.to_lanes(totals.builder, index, width), x)

    names |= {"scatter": scatter, "total": lambda totals, k: totals.load(k, width), "where": simd.where}
    words = noise.word_lanes(width)
    pair, uniform = (noise, single)[element == simd.F32].from_word()
    names |= {
        "normal_pair": lambda *x: pair(words(*x)),
        "uniform": lambda *x: uniform(words(*x)),
        "lookup": simd.lookup,
    }
    names |= {"take": lambda row, k: row.load(k, width, element=element), "give": give, "put": put}
    names |= {"point": lambda points, k, b: points.load(k, width, block=b)}
    return names | _CONSTANTS


def _loop_names(width: int, element: Any) -> Names:
    """Return what the loops of a kernel call besides its own functions, as `lowering` calls it."""
    from . import simd

    def tail(builder, work, horizon):
        rows, row = work.shape
        size = builder.mul(builder.sub(rows, horizon.ir), row)
        start = builder.gep(work.pointer, [builder.mul(horizon.ir, row)])
        return simd.Memory(builder, start, [size])

    return {
        "position": lambda builder, first, b, width: first + b * width,
        "stream": lambda builder, i, k: i + (k << int(noise.STREAM)),
        "tail": tail,
        "any_positive": simd.any_positive(width, element),
    }


def _also_numbers(function: Any, on_numbers: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of values take plain numbers alone, too."""
    from .simd import Value

    def call(*arguments):
        if any(isinstance(x, Value) for x in arguments):
            return function(*arguments)
        return float(on_numbers(*arguments))

    return call


def _position(first: Any, b: Any, width: Any) -> Any:
    return first + np.uint64(b * width)


def _where(condition: Any, a: Any, b: Any) -> Any:
    return a if condition else b


def _take(row: Any, k: Any) -> Any:
    return row[k]


def _total(totals: Any, k: Any) -> Any:
    return totals[k]


def _give(row: Any, k: Any, value: Any) -> Any:
    row[k] = value


def _put(out: Any, q: Any, b: Any, value: Any) -> Any:
    out[q, b] = value


def _lookup(array: Any, first: Any, stride: Any, size: Any, index: Any) -> Any:
    inside = (index >= 0.0) & (index < size)
    return array[first + stride * int(index)] if inside else np.nan


def _scatter(totals: Any, first: Any, size: Any, index: Any, x: Any) -> Any:
    if index >= 0.0 and index < size:
        totals[first + int(index)] += x


def _tail(work: Any, horizon: Any) -> Any:
    return work[horizon:].reshape(-1)


def _point(points: Any, k: Any, b: Any) -> Any:
    return points[k, b]


def _any_positive(x: Any) -> Any:
    return x[0] > 0.0


@functools.cache
def _inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    return numba.njit(forceinline=True, **OPTIONS)(function)


@functools.cache
def _spelled_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose text is put where it is called: one that returns an array, which code without memory may not."""
    import numba

    return numba.njit(inline="always", **OPTIONS)(function)


@functools.cache
def _scalar_names() -> Names:
    import numba

    # `normal_pair` calls `word`, which calls `mix`: compile copies that refer to compiled callees.
    inline = numba.njit(forceinline=True, **OPTIONS)
    words = {**vars(noise), "mix": inline(noise.mix)}
    words["word"] = inline(_with_globals(noise.word, words))
    numbers = {"normal_pair": noise.normal_pair_scalar, "uniform": noise.uniform_scalar}
    numbers = {name: inline(_with_globals(function, words)) for name, function in numbers.items()}
    numbers |= special.on_machine({"where": _inlined(_where)}, numba.njit(**OPTIONS), inline)
    own = {"where": _where, "position": _position, "stream": noise.stream, "take": _take, "give": _give, "put": _put}
    own |= {"scatter": _scatter, "total": _total, "lookup": _lookup, "point": _point, "any_positive": _any_positive}
    own = {k: _inlined(f) for k, f in own.items()} | {"tail": _spelled_out(_tail)}
    return FUNCTIONS | _CONSTANTS | numbers | own


def _with_globals(function: Any, namespace: Names) -> Any:
    return type(function)(function.__code__, namespace, function.__name__)
