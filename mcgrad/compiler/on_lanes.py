"""The text of a kernel on SIMD lanes, W trajectories in a vector register: for speed."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import division, elementary, memory, native, noise, simd, single, special
from .building import emitted
from .operations import CONSTANTS, FUNCTIONS


def built(
    text: str, results: Mapping[str, int | None], width: int, precision: str, arguments: Sequence[str]
) -> tuple[bytes, list[str]]:
    """Return the object file of a kernel, see `cache.load`; {name: results} of the functions of its text."""
    element = simd.F64 if precision == "double" else simd.F32
    namespace = names(width, element) | {"rounded": simd.rounded}
    tree = ast.fix_missing_locations(_Rounded().visit(ast.parse(text)))
    exec(compile(tree, "<kernel>", "exec"), namespace)
    functions = {name: memory.lanes_function(namespace[name], n, width, element) for name, n in results.items()}
    functions |= _loop_names(width, element)
    return native.compile_text(text[text.rindex("def kernel(") :], functions, arguments)


class _Rounded(ast.NodeTransformer):
    """What has a name is rounded: products are fused into the sums in which they are written, no others."""

    def visit_Assign(self, node):
        if isinstance(node.targets[0], ast.Name):
            node.value = ast.Call(ast.Name("rounded", ast.Load()), [node.value], [])
        return node


def names(width: int, element: Any) -> dict[str, Any]:
    """Return what the names of a kernel's text mean, see `backends`."""
    own = [name for name in FUNCTIONS if name not in special.BODIES]
    found = {name: getattr(elementary, name, None) or getattr(simd, name, None) for name in own}
    found["fmod"] = division.fmod
    found |= special.on_machine(found | {"where": simd.where}, emitted(simd.F64), lambda helper: helper)
    if element == simd.F32:
        found = {name: single.version(name, function) for name, function in found.items()}
    found = {name: _also_numbers(function, FUNCTIONS[name]) for name, function in found.items()}

    def give(row, k, value):
        row.store(k, memory.to_lanes(row.builder, value, width, element), width)

    def put(out, q, b, value):
        out.store(q, memory.to_lanes(out.builder, value, width), width, block=b)

    def scatter(totals, first, size, index, x):
        memory.scatter(totals, first, size, memory.to_lanes(totals.builder, index, width), x)

    found |= {"scatter": scatter, "total": lambda totals, k: totals.load(k, width), "where": simd.where}
    words = noise.word_lanes(width)
    pair, uniform = (noise, single)[element == simd.F32].from_word()
    found |= {
        "normal_pair": lambda *x: pair(words(*x)),
        "uniform": lambda *x: uniform(words(*x)),
        "lookup": memory.lookup,
    }
    found |= {"take": lambda row, k: row.load(k, width, element=element), "give": give, "put": put}
    found |= {"point": lambda points, k, b: points.load(k, width, block=b)}
    return found | CONSTANTS


def _loop_names(width: int, element: Any) -> dict[str, Any]:
    """Return what the loops of a kernel call besides its own functions, as `lowering` calls it."""

    def tail(builder, work, horizon):
        rows, row = work.shape
        size = builder.mul(builder.sub(rows, horizon.ir), row)
        start = builder.gep(work.pointer, [builder.mul(horizon.ir, row)])
        return memory.Memory(builder, start, [size])

    return {
        "position": lambda builder, first, b, width: first + b * width,
        "stream": lambda builder, i, k: i + (k << int(noise.STREAM)),
        "tail": tail,
        "any_positive": memory.any_positive(width, element),
    }


def _also_numbers(function: Any, on_numbers: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of values take plain numbers alone, too."""

    def call(*arguments):
        if any(isinstance(x, simd.Value) for x in arguments):
            return function(*arguments)
        return float(on_numbers(*arguments))

    return call
