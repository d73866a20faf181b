"""SIMD: `Value`, W numbers held by W trajectories, which writes their instructions.

A straight-line function of the kernel text (`forward`, `backward`, ...) is run once as ordinary Python while the loops of
the kernel are translated (`lowering`); its arguments are `Value` objects, whose operators append LLVM vector instructions.
So a kernel of thousands of statements compiles in a fraction of the time that a compiler of Python would take, and
nothing is left to the heuristics of a loop vectoriser. With one lane a `Value` is a plain double.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir

Lane: TypeAlias = "Value | float"  # what a `Value` meets in an expression

F64 = ir.DoubleType()
U64 = ir.IntType(64)
I32 = ir.IntType(32)
# Single precision: lanes of float32, and words of their size.
F32, U32 = ir.FloatType(), I32
FLOATS = (F64, F32)


def vector(element: ir.Type, width: int) -> ir.Type:
    """Return the LLVM type of `width` elements (the element type itself for one lane)."""
    return element if width == 1 else ir.VectorType(element, width)


class Value:
    """An LLVM value of W lanes with Python's operators: float64, float32, uint64, uint32 or a mask (one bit per lane).

    Operators emit instructions through the builder that the value carries. Python and NumPy numbers are broadcast to
    the type of the other operand; where float64 meets float32, it is rounded. Comparisons are ordered (false for NaN),
    except `!=`, which is true for NaN.

    A product is fused into the sum that it enters (fma, where the processor has it; of two products the right one), unless
    it was `rounded` before. So the text alone decides what is fused. LLVM may not: which of two products it takes hangs on
    the order in which its passes have left the sum, and nothing promises that this is the same in two kernels whose noise
    alone comes from elsewhere. Nor may it change floats otherwise: reassociation would make bits depend on the SIMD width,
    and `nnan` would remove the tests for NaN that non-finite trajectories are counted with.

    Attributes
    ----------
    factors : None or tuple of two Value
        Of a product that is not rounded yet.
    """

    __slots__ = ("builder", "factors", "ir")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder: ir.IRBuilder, ir_value: ir.Value, factors: tuple[Value, Value] | None = None) -> None:
        self.builder, self.ir, self.factors = builder, ir_value, factors

    # ---- types -------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Number of lanes."""
        return self.ir.type.count if isinstance(self.ir.type, ir.VectorType) else 1

    @property
    def element(self) -> ir.Type:
        """LLVM type of one lane."""
        return self.ir.type.element if isinstance(self.ir.type, ir.VectorType) else self.ir.type

    def constant(self, number: float, element: ir.Type | None = None) -> Value:
        """Broadcast a number to the lanes of this value, as `element` or as this value's own element type."""
        element = element or self.element
        number = float(number) if element in FLOATS else int(number)
        if self.width == 1:
            return Value(self.builder, ir.Constant(element, number))
        return Value(self.builder, ir.Constant(vector(element, self.width), [number] * self.width))

    def lift(self, other: Lane) -> Value:
        """Return `other` as a value of this value's type: constants are broadcast, one lane is splatted."""
        if not isinstance(other, Value):
            return self.constant(other)
        if other.ir.type == self.ir.type:
            return other
        if other.width == 1 and other.element == self.element:
            return splat(self.builder, other.ir, self.width)
        raise TypeError(f"cannot combine {self.ir.type} and {other.ir.type}")

    def _pair(self, other: Lane) -> tuple[Value, Value]:
        """Bring two operands to one type; a single lane gives way to the wider operand, float64 to float32."""
        if isinstance(other, Value) and other.element != self.element and self.element in FLOATS:
            return narrow(self)._pair(narrow(other))
        if isinstance(other, Value) and other.width > self.width:
            return other.lift(self), other
        return self, self.lift(other)

    def _binary(self, other: Lane, on_float: str | None, on_int: str | None, swap: bool = False) -> Value:
        a, b = self._pair(other)
        if swap:
            a, b = b, a
        instruction = on_float if a.element in FLOATS else on_int
        assert instruction is not None, f"there is no such operation on {a.element}"
        if instruction in ("fadd", "fsub") and (a.factors or b.factors):
            return _fused(a, b, instruction == "fsub")
        result = Value(self.builder, getattr(self.builder, instruction)(a.ir, b.ir))
        return Value(self.builder, result.ir, (a, b)) if instruction == "fmul" else result

    # ---- arithmetic --------------------------------------------------------------------------------------------

    def __add__(self, other: Lane) -> Value:
        return self._binary(other, "fadd", "add")

    __radd__ = __add__

    def __sub__(self, other: Lane) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: Lane) -> Value:
        return self._binary(other, "fsub", "sub", swap=True)

    def __mul__(self, other: Lane) -> Value:
        return self._binary(other, "fmul", "mul")

    __rmul__ = __mul__

    def __truediv__(self, other: Lane) -> Value:
        return self._binary(other, "fdiv", None)

    def __rtruediv__(self, other: Lane) -> Value:
        return self._binary(other, "fdiv", None, swap=True)

    def __neg__(self) -> Value:
        return Value(self.builder, self.builder.fneg(self.ir))

    # ---- bits and masks ----------------------------------------------------------------------------------------

    def __and__(self, other: Lane) -> Value:
        return self._binary(other, None, "and_")

    __rand__ = __and__

    def __or__(self, other: Lane) -> Value:
        return self._binary(other, None, "or_")

    __ror__ = __or__

    def __xor__(self, other: Lane) -> Value:
        return self._binary(other, None, "xor")

    __rxor__ = __xor__

    def __lshift__(self, other: Lane) -> Value:
        return self._binary(other, None, "shl")

    def __rshift__(self, other: Lane) -> Value:
        return self._binary(other, None, "lshr")

    def __invert__(self) -> Value:
        return Value(self.builder, self.builder.not_(self.ir))

    # ---- comparisons -------------------------------------------------------------------------------------------

    def _compare(self, other: Lane, sign: str) -> Value:
        a, b = self._pair(other)
        if a.element in FLOATS:
            compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        else:
            compare = self.builder.icmp_unsigned
        return Value(self.builder, compare(sign, a.ir, b.ir))

    def __lt__(self, other: Lane) -> Value:
        return self._compare(other, "<")

    def __le__(self, other: Lane) -> Value:
        return self._compare(other, "<=")

    def __gt__(self, other: Lane) -> Value:
        return self._compare(other, ">")

    def __ge__(self, other: Lane) -> Value:
        return self._compare(other, ">=")

    def __eq__(self, other: Lane) -> Value:  # type: ignore[override]
        return self._compare(other, "==")

    def __ne__(self, other: Lane) -> Value:  # type: ignore[override]
        return self._compare(other, "!=")


# ---- functions of values ---------------------------------------------------------------------------------------


def splat(builder: ir.IRBuilder, scalar: ir.Value, width: int) -> Value:
    """Broadcast one LLVM scalar to `width` lanes."""
    if width == 1:
        return Value(builder, scalar)
    undefined = ir.Constant(ir.VectorType(scalar.type, width), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return Value(builder, builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, width), [0] * width)))


def where(condition: Value, a: Lane, b: Lane) -> Value:
    """Select lane by lane: `a` where the condition holds, else `b`. Both are evaluated."""
    a, b = (x if isinstance(x, Value) else condition.constant(x, F64) for x in (a, b))
    a, b = a._pair(b)
    if condition.width > a.width:
        a, b = (splat(x.builder, x.ir, condition.width) for x in (a, b))
    elif condition.width < a.width:
        condition = splat(condition.builder, condition.ir, a.width)
    return Value(condition.builder, condition.builder.select(condition.ir, a.ir, b.ir))


def bits(x: Value) -> Value:
    """Reinterpret float64 lanes as uint64, float32 lanes as uint32."""
    return Value(x.builder, x.builder.bitcast(x.ir, vector(U32 if x.element == F32 else U64, x.width)))


def floats(x: Value) -> Value:
    """Reinterpret uint64 lanes as float64, uint32 lanes as float32."""
    return Value(x.builder, x.builder.bitcast(x.ir, vector(F32 if x.element == U32 else F64, x.width)))


def narrow(x: Value) -> Value:
    """Return float64 lanes rounded to float32; others as they are."""
    return Value(x.builder, x.builder.fptrunc(x.ir, vector(F32, x.width))) if x.element == F64 else x


def widen(x: Value) -> Value:
    """Return float32 lanes as float64; others as they are."""
    return Value(x.builder, x.builder.fpext(x.ir, vector(F64, x.width))) if x.element == F32 else x


def declared(module: ir.Module, signature: ir.FunctionType, name: str) -> ir.Function:
    """Return a function from outside of the module."""
    return module.globals.get(name) or ir.Function(module, signature, name)


def llvm_function(name: str) -> Callable[..., Value]:
    """Return a function that applies the LLVM intrinsic `name` (`sqrt`, `fabs`, `floor`, `fma`, ...) lane by lane."""

    def apply(x, *others):
        values = [x, *(x.lift(y) for y in others)]
        kind = "f32" if x.element == F32 else "f64"
        suffix = kind if x.width == 1 else f"v{x.width}{kind}"
        signature = ir.FunctionType(x.ir.type, [v.ir.type for v in values])
        function = declared(x.builder.module, signature, f"llvm.{name}.{suffix}")
        return Value(x.builder, x.builder.call(function, [v.ir for v in values]))

    apply.__name__ = name
    return apply


fmuladd = llvm_function("fmuladd")
sqrt = llvm_function("sqrt")
absolute = llvm_function("fabs")
floor = llvm_function("floor")
trunc = llvm_function("trunc")
rint = llvm_function("rint")


def _fused(a: Value, b: Value, minus: bool) -> Value:
    """Return a + b or a - b, of which one is a product, the right one if both are."""
    if b.factors:
        x, y = b.factors
        return fmuladd(-x if minus else x, y, a)
    assert a.factors is not None
    return fmuladd(*a.factors, -b if minus else b)


def rounded(x: Any) -> Any:
    """Return a value that is not fused into a sum, though it be a product."""
    return Value(x.builder, x.ir) if isinstance(x, Value) else x


def minimum(a: Any, b: Any) -> Value:
    """Return the smaller of two values; NaN if either is NaN."""
    a, b = (a, a.lift(b)) if isinstance(a, Value) else (b.lift(a), b)
    return where((a < b) | (a != a), a, b)


def maximum(a: Any, b: Any) -> Value:
    """Return the larger of two values; NaN if either is NaN."""
    a, b = (a, a.lift(b)) if isinstance(a, Value) else (b.lift(a), b)
    return where((a > b) | (a != a), a, b)


def any_lane(mask: Value) -> ir.Value:
    """Return the LLVM bit that tells whether the mask holds in any lane."""
    builder, bit_string = mask.builder, ir.IntType(mask.width)
    return builder.icmp_unsigned("!=", builder.bitcast(mask.ir, bit_string), bit_string(0))


def consecutive(first: Value, width: int) -> Value:
    """Return the uint64 lanes first, first + 1, ..., first + width - 1 for a single lane `first`."""
    lanes = splat(first.builder, first.ir, width)
    if width == 1:
        return lanes
    return lanes + Value(first.builder, ir.Constant(ir.VectorType(U64, width), list(range(width))))
