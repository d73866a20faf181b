"""Memory of SIMD kernels: arrays that lanes are read from and written to, tables that they look up and add to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from .simd import F32, F64, I32, U64, Lane, Value, any_lane, declared, narrow, splat, vector, where, widen


class Memory:
    """A C-contiguous array of one or two dimensions in memory, read and written at constant rows.

    `p[3]` loads one number; it is broadcast where it meets lanes. `load` and `store` move all lanes at once.

    Parameters
    ----------
    builder, pointer
        Of LLVM.
    shape : sequence of LLVM numbers
    """

    def __init__(self, builder: ir.IRBuilder, pointer: ir.Value, shape: Sequence[ir.Value] = ()) -> None:
        self.builder, self.pointer, self.shape = builder, pointer, shape

    @property
    def element(self) -> ir.Type:
        """LLVM type of an element."""
        return self.pointer.type.pointee

    def __getitem__(self, index: int) -> Value:
        instruction = self.builder.load(self.builder.gep(self.pointer, [ir.Constant(U64, index)]))
        # Parameters do not change while a kernel runs: let LLVM share and hoist their loads across stores.
        instruction.set_metadata("invariant.load", self.builder.module.add_metadata([]))
        return Value(self.builder, instruction)

    def _lanes_at(self, offset: ir.Value, width: int, element: ir.Type) -> ir.Value:
        pointer = self.builder.bitcast(self.pointer, element.as_pointer())
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), vector(element, width).as_pointer())

    def load(self, row: int, width: int, block: Value | None = None, element: ir.Type = F64) -> Value:
        """Return the lanes at element row * width, or at column block * width of that row of a two-dimensional array."""
        instruction = self.builder.load(self._lanes_at(self._offset(row, width, block), width, element))
        instruction.align = 4 if element == F32 else 8
        return Value(self.builder, instruction)

    def store(self, row: int, value: Value, width: int, block: Value | None = None) -> None:
        """Write lanes to where `load` reads them."""
        place = self._lanes_at(self._offset(row, width, block), width, value.element)
        self.builder.store(value.ir, place).align = 4 if value.element == F32 else 8

    def _offset(self, row: int, width: int, block: Value | None) -> ir.Value:
        if block is None:
            return ir.Constant(U64, row * width)
        column = self.builder.mul(block.ir, ir.Constant(U64, width))
        return self.builder.add(self.builder.mul(self.shape[-1], ir.Constant(U64, row)), column)


def to_lanes(builder: ir.IRBuilder, x: Lane, width: int, element: ir.Type = F64) -> Value:
    """Return a number, a single lane or lanes as a value of `width` lanes, float64 or float32."""
    if isinstance(x, Value):
        x = narrow(x) if element == F32 else widen(x)
        return splat(builder, x.ir, width) if x.width < width else x
    return Value(builder, ir.Constant(vector(element, width), float(x) if width == 1 else [float(x)] * width))


def lanes_function(
    function: Callable[..., Any], results: int | None, width: int, element: ir.Type = F64
) -> Callable[..., Any]:
    """Return a plain Python function of values as a text of loops calls it: f(builder, *arguments), see `lowering`.

    It takes arrays (as `Memory`), tuples of lanes (as tuples of `Value`) and numbers (as `Value`), and returns a tuple of
    `results` values or numbers. Python loops inside it are unrolled.

    Parameters
    ----------
    function : callable
    results : int
        How many it returns; None for a function that returns nothing.
    width : int
        Lanes of each returned value.
    element : LLVM type
        Of its lanes.
    """

    def call(builder, *arguments):
        values = function(*arguments)
        if results is None:
            return None
        if len(values) != results:
            raise AssertionError(f"{function.__name__} returned {len(values)} values, not {results}")
        return tuple(to_lanes(builder, x, width, element) for x in values)

    return call


def lookup(array: Any, first: int, stride: int, size: int, index: Value) -> Value:
    """Gather array[first + stride * index] for lanes of whole numbers; NaN where an index is not one of 0 ... size - 1.

    Lanes that are out of range are masked: nothing is read there. Of a tuple (parameters that differ between lanes) the
    element is chosen.
    """
    builder, width = index.builder, index.width
    inside = (index >= 0.0) & (index < float(size))
    if isinstance(array, tuple):
        chosen = array[first]
        for k in range(1, size):
            chosen = where(index >= float(k), array[first + stride * k], chosen)
        return where(inside, chosen, float("nan"))
    index = widen(index)
    safe = where(inside, index, 0.0) if width == 1 else index  # a single lane has no mask
    whole = Value(builder, builder.fptosi(safe.ir, vector(U64, width)))
    start = builder.add(builder.ptrtoint(array.pointer, U64), ir.Constant(U64, 8 * first))
    address = whole * (8 * stride) + splat(builder, start, width)
    if width == 1:
        read = Value(builder, builder.load(builder.inttoptr(address.ir, F64.as_pointer())))
        return where(inside, read, float("nan"))
    pointers = builder.inttoptr(address.ir, ir.VectorType(F64.as_pointer(), width))
    otherwise = index.constant(float("nan")).ir
    name = f"llvm.masked.gather.v{width}f64.v{width}p0"
    return _masked(builder, name, otherwise.type, [pointers, ir.Constant(I32, 8), inside.ir, otherwise])


def scatter(array: Memory, first: int, size: int, index: Value, x: Lane) -> None:
    """Add lanes x to array[first + index], where each lane has a column of its own; not where an index is out of range."""
    index = widen(index)
    builder, width = index.builder, index.width
    x = to_lanes(builder, x, width)
    inside = (index >= 0.0) & (index < float(size))
    safe = where(inside, index, 0.0) if width == 1 else index
    whole = Value(builder, builder.fptosi(safe.ir, vector(U64, width)))
    start = splat(
        builder, builder.add(builder.ptrtoint(array.pointer, U64), ir.Constant(U64, 8 * first * width)), width
    )
    address = whole * (8 * width) + start
    if width == 1:
        pointer = builder.inttoptr(address.ir, F64.as_pointer())
        old = Value(builder, builder.load(pointer))
        builder.store(where(inside, old + x, old).ir, pointer)
        return
    address = address + Value(builder, ir.Constant(ir.VectorType(U64, width), [8 * lane for lane in range(width)]))
    pointers, align = builder.inttoptr(address.ir, ir.VectorType(F64.as_pointer(), width)), ir.Constant(I32, 8)
    gather, masked = f"llvm.masked.gather.v{width}f64.v{width}p0", f"llvm.masked.scatter.v{width}f64.v{width}p0"
    old = _masked(builder, gather, x.ir.type, [pointers, align, inside.ir, x.constant(0.0).ir])
    _masked(builder, masked, ir.VoidType(), [(old + x).ir, pointers, align, inside.ir])


def _masked(builder: ir.IRBuilder, name: str, returned: ir.Type, arguments: Sequence[ir.Value]) -> Value:
    signature = ir.FunctionType(returned, [x.type for x in arguments])
    function = declared(builder.module, signature, name)
    return Value(builder, builder.call(function, arguments))


def any_positive(width: int, element: ir.Type = F64) -> Callable[..., Any]:
    """Return a function for kernels: whether the one value of a tuple is positive in any lane."""

    def call(builder, values):
        (x,) = values
        return Value(builder, any_lane(to_lanes(builder, x, width, element) > 0.0))

    return call
