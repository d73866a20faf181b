"""From the text of a function of loops to LLVM's language: the small part of Python that kernels are written in.

A kernel is a few loops around calls of straight-line functions. Numba would take most of its time to find out what these
loops mean; they mean little:

    numbers       whole ones (64 bits, signed) and float64, with Python's operators
    arrays        in C's order, of one or two dimensions: x[i], x[i, j], rows x[i] and ends x[i:] of them, x.shape, len(x)
    tuples        of lanes or numbers, as functions return them
    statements    =, several targets, +=, if, for over range, while, break, x[:] = number, calls
    functions     those that are given, called as f(builder, *arguments) while the text is translated: they write
                  instructions (see `memory.lanes_function`); int, abs, max of Python

Anything else is an error while a kernel is made. Nothing is checked at run time: texts are the library's own.

A variable is a place on the stack, which LLVM turns into registers. Float operations of the text itself are never fused.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from llvmlite import ir

from .memory import Memory
from .simd import F64, I32, U64, Value, absolute

Thing: TypeAlias = Any  # what an expression means: a Value, a tuple of Values, or a Memory

ARITHMETIC: dict[Any, tuple[str, str]] = {
    ast.Add: ("fadd", "add"),
    ast.Sub: ("fsub", "sub"),
    ast.Mult: ("fmul", "mul"),
    ast.Div: ("fdiv", ""),
}
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
BIT = ir.IntType(1)


def lowered(
    text: str, functions: Mapping[str, Callable[..., Any]], name: str, arguments: Sequence[tuple[ir.Type, int]]
) -> ir.Module:
    """Return the LLVM module of a function of arrays and numbers that returns nothing: its status, 0.

    Parameters
    ----------
    text : str
        Python source of the function, alone.
    functions : dict
        Name -> f(builder, *arguments), what the text may call.
    name : str
        What the function is called in the module. It takes an address and a number for each dimension in place of an array.
    arguments : sequence of (LLVM type, dimensions)
        Of each argument: the elements of an array, or a number (0 dimensions).
    """
    (tree,) = ast.parse(text).body
    assert isinstance(tree, ast.FunctionDef)
    module = ir.Module(name)
    taken = [x for element, n in arguments for x in ([element.as_pointer()] + [U64] * n if n else [element])]
    function = ir.Function(module, ir.FunctionType(I32, taken), name)
    # Lanes on the stack are aligned; inlined elsewhere, they would not be.
    function.attributes.alignstack = 64
    for attribute in ("nounwind", "noinline"):
        function.attributes.add(attribute)
    given, translator = iter(function.args), _Function(function, functions)
    for argument, (_, dimensions) in zip(tree.args.args, arguments, strict=True):
        first = next(given)
        if dimensions:
            shape = [next(given) for _ in range(dimensions)]
            translator.variables[argument.arg] = Memory(translator.builder, first, shape)
        else:
            translator.assign(argument.arg, Value(translator.builder, first))
    translator.block(tree.body)
    translator.end()
    return module


class _Loop(NamedTuple):
    """A loop under translation: where `break` goes, and the variables that a turn has written, and has read before that."""

    end: ir.Block
    written: set[str]
    carried: set[str]


class _Function:
    """A function under translation.

    Attributes
    ----------
    variables : dict
        Name -> an address on the stack, a tuple of such, or a Memory.
    loops : list of _Loop
        Those around, the innermost last.
    """

    def __init__(self, function: ir.Function, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.function, self.functions = function, functions
        self.places = ir.IRBuilder(function.append_basic_block("places"))
        self.builder = ir.IRBuilder(function.append_basic_block("begin"))
        self.variables: dict[str, Any] = {}
        self.loops: list[_Loop] = []

    def end(self) -> None:
        """Finish the function."""
        self.places.branch(self.function.blocks[1])
        self.builder.ret(ir.Constant(I32, 0))

    # ---- statements ------------------------------------------------------------------------------------------------

    def block(self, statements: Iterable[ast.stmt]) -> None:
        """Translate statements; what follows a `break` is dropped."""
        for statement in statements:
            getattr(self, f"_{type(statement).__name__}")(statement)
            if self.builder.block.is_terminated:
                return

    def _Expr(self, node: Any) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.value(node.value)

    def _Assign(self, node: Any) -> None:
        (target,) = node.targets
        self.bind(target, self.value(node.value))

    def bind(self, target: ast.expr, value: Thing) -> None:
        """Assign to names, to several of them, or to elements of an array."""
        if isinstance(target, ast.Name):
            self.assign(target.id, value)
        elif isinstance(target, ast.Tuple):
            for x, v in zip(target.elts, value, strict=True):
                self.bind(x, v)
        else:
            self.store(target, value)

    def _AugAssign(self, node: Any) -> None:
        old = self.value(node.target)
        self.bind(node.target, self.arithmetic(type(node.op), old, self.value(node.value)))

    def _If(self, node: Any) -> None:
        condition = self.truth(node.test)
        yes, no, after = (self.function.append_basic_block() for _ in range(3))
        self.builder.cbranch(condition, yes, no)
        for block, statements in ((yes, node.body), (no, node.orelse)):
            self.builder.position_at_end(block)
            self.block(statements)
            self.go(after)
        self.builder.position_at_end(after)

    def _For(self, node: Any) -> None:
        start, stop, step = self.range(node.iter)
        counter = self.place(U64)
        self.builder.store(start.ir, counter)
        sign = "<" if step.ir.constant > 0 else ">"

        def going_on():
            return self.builder.icmp_signed(sign, self.builder.load(counter), stop.ir)

        def after():
            self.builder.store(self.builder.add(self.builder.load(counter), step.ir), counter)

        self.loop(going_on, [lambda: self.assign(node.target.id, self.read(counter)), node.body, after])

    def _While(self, node: Any) -> None:
        self.loop(lambda: self.truth(node.test), [node.body])

    def loop(self, going_on: Callable[[], ir.Value], parts: Sequence[Any]) -> None:
        """Translate a loop: what comes before each turn, and the parts of a turn, statements or functions."""
        head, body, end = (self.function.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(going_on(), body, end)
        self.builder.position_at_end(body)
        self.loops.append(_Loop(end, set(), set()))
        for part in parts:
            if callable(part):
                part()
            else:
                self.block(part)
        self.loops.pop()
        self.go(head)
        self.builder.position_at_end(end)

    def _Break(self, node: Any) -> None:
        self.builder.branch(self.loops[-1].end)

    def go(self, block: ir.Block) -> None:
        """Go on at a block, unless a `break` went elsewhere."""
        if not self.builder.block.is_terminated:
            self.builder.branch(block)

    def range(self, node: Any) -> Sequence[Value]:
        """Return start, stop and step of a call of `range`."""
        values = [self.value(x) for x in node.args]
        if len(values) == 1:
            values.insert(0, self.number(0))
        return (*values, self.number(1)) if len(values) == 2 else values

    # ---- variables -------------------------------------------------------------------------------------------------

    def place(self, kind: ir.Type) -> Any:
        """Return a new place on the stack."""
        return self.places.alloca(kind)

    def assign(self, name: str, value: Thing) -> None:
        """Give a variable a value: in place, or in a new one where it is of another kind than before."""
        old: Any = self.variables.get(name)
        if _kind(old) != _kind(value) or isinstance(value, Memory):
            if any(name in loop.carried for loop in self.loops):
                raise SyntaxError(f"{name}: it becomes another kind of thing in a loop that has read it before")
            old = self.variables[name] = value if isinstance(value, Memory) else self.places_for(value)
        for loop in self.loops:
            loop.written.add(name)
        if isinstance(value, Value):
            self.builder.store(value.ir, old)
        elif isinstance(value, tuple):
            for x, address in zip(value, self.variables[name], strict=True):
                self.builder.store(x.ir, address)

    def places_for(self, value: Thing) -> Any:
        """Return places on the stack for a value, or for those of a tuple."""
        return tuple(map(self.places_for, value)) if isinstance(value, tuple) else self.place(value.ir.type)

    def read(self, address: ir.Value) -> Value:
        """Return what is in a place."""
        return Value(self.builder, self.builder.load(address))

    def store(self, target: Any, value: Thing) -> None:
        """Write a number to an element of an array, or to all of them."""
        array = self.value(target.value)
        if not isinstance(target.slice, ast.Slice):
            self.builder.store(self.as_kind(value, array.element).ir, self.address(array, target.slice))
            return
        counter = self.place(U64)
        self.builder.store(U64(0), counter)

        def fill():
            k = self.builder.load(counter)
            self.builder.store(value.ir, self.builder.gep(array.pointer, [k]))
            self.builder.store(self.builder.add(k, U64(1)), counter)

        self.loop(lambda: self.builder.icmp_signed("<", self.builder.load(counter), array.shape[0]), [fill])

    # ---- expressions -----------------------------------------------------------------------------------------------

    def value(self, node: Any) -> Thing:
        """Return what an expression means: a Value, a tuple of Values, or a Memory."""
        return getattr(self, f"_{type(node).__name__}")(node)

    def number(self, x: float) -> Value:
        """Return a constant."""
        return Value(self.builder, ir.Constant(F64 if isinstance(x, float) else U64, x))

    def _Constant(self, node: Any) -> Value:
        return self.number(node.value)

    def _Name(self, node: Any) -> Thing:
        found = self.variables[node.id]
        for loop in self.loops:
            if node.id not in loop.written:
                loop.carried.add(node.id)
        if isinstance(found, Memory):
            return found
        return tuple(map(self.read, found)) if isinstance(found, tuple) else self.read(found)

    def _Tuple(self, node: Any) -> Thing:
        return tuple(map(self.value, node.elts))

    def _Attribute(self, node: Any) -> Thing:
        if node.attr != "shape":
            raise SyntaxError(f"{ast.unparse(node)}: no kernel can do that")
        return tuple(Value(self.builder, n) for n in self.value(node.value).shape)

    def _UnaryOp(self, node: Any) -> Value:
        x = self.value(node.operand)
        if not isinstance(node.op, ast.USub):
            raise SyntaxError(f"{ast.unparse(node)}: no kernel can do that")
        if isinstance(x.ir, ir.Constant):
            return self.number(-x.ir.constant)
        return Value(self.builder, self.builder.fneg(x.ir) if x.element == F64 else self.builder.neg(x.ir))

    def _BinOp(self, node: Any) -> Value:
        return self.arithmetic(type(node.op), self.value(node.left), self.value(node.right))

    def arithmetic(self, kind: type, a: Value, b: Value) -> Value:
        """Return a op b, of two whole numbers or of two float64."""
        if kind in (ast.FloorDiv, ast.Mod):
            return self.divided(kind, a, b)
        a, b = self.alike(a, b, floats=kind is ast.Div)
        instruction = ARITHMETIC[kind][a.element != F64]
        return Value(self.builder, getattr(self.builder, instruction)(a.ir, b.ir))

    def divided(self, kind: type, a: Value, b: Value) -> Value:
        """Return a // b or a % b of whole numbers, as Python rounds."""
        builder = self.builder
        quotient, rest = builder.sdiv(a.ir, b.ir), builder.srem(a.ir, b.ir)
        apart = builder.icmp_signed("<", builder.xor(rest, b.ir), U64(0))  # of other signs
        below = builder.and_(apart, builder.icmp_signed("!=", rest, U64(0)))
        if kind is ast.FloorDiv:
            return Value(builder, builder.sub(quotient, builder.zext(below, U64)))
        return Value(builder, builder.add(rest, builder.select(below, b.ir, U64(0))))

    def alike(self, a: Value, b: Value, floats: bool = False) -> tuple[Value, ...]:
        """Return two numbers as whole ones if they both are, else as float64."""
        floats = floats or F64 in (a.element, b.element)
        return tuple(self.as_kind(x, F64 if floats else U64) for x in (a, b))

    def as_kind(self, x: Value, kind: ir.Type) -> Value:
        """Return a number as a float64 where that is wanted."""
        if x.element == kind:
            return x
        if isinstance(x.ir, ir.Constant):
            return self.number(float(x.ir.constant))
        return Value(self.builder, self.builder.sitofp(x.ir, kind))

    def _Compare(self, node: Any) -> Value:
        (op,), (right,) = node.ops, node.comparators
        a, b = self.alike(self.value(node.left), self.value(right))
        compare = self.builder.icmp_signed if a.element == U64 else self.builder.fcmp_ordered
        return Value(self.builder, compare(SIGNS[type(op)], a.ir, b.ir))

    def _BoolOp(self, node: Any) -> Value:
        join = self.builder.and_ if isinstance(node.op, ast.And) else self.builder.or_
        return Value(self.builder, functools.reduce(join, [self.truth(x) for x in node.values]))

    def truth(self, node: ast.expr) -> ir.Value:
        """Return a condition as one bit; nothing that is asked has effects, so all of it is evaluated."""
        x = self.value(node)
        if x.element != BIT:
            raise SyntaxError(f"{ast.unparse(node)}: expected a condition")
        return x.ir

    def _IfExp(self, node: Any) -> Value:
        a, b = self.alike(self.value(node.body), self.value(node.orelse))
        return Value(self.builder, self.builder.select(self.truth(node.test), a.ir, b.ir))

    def _Subscript(self, node: Any) -> Thing:
        array = self.value(node.value)
        if isinstance(array, tuple):
            return array[node.slice.value]
        if isinstance(node.slice, ast.Slice):  # an end of it
            start = self.value(node.slice.lower).ir
            length = [self.builder.sub(array.shape[0], start), *array.shape[1:]]
            return Memory(self.builder, self.row(array, start), length)
        if len(array.shape) == 2 and not isinstance(node.slice, ast.Tuple):
            return Memory(self.builder, self.row(array, self.value(node.slice).ir), array.shape[1:])
        return self.read(self.address(array, node.slice))

    def row(self, array: Memory, k: ir.Value) -> ir.Value:
        """Return the address of element or row k."""
        offset = self.builder.mul(k, array.shape[1]) if len(array.shape) == 2 else k
        return self.builder.gep(array.pointer, [offset])

    def address(self, array: Memory, index: Any) -> ir.Value:
        """Return the address of an element."""
        places = [self.value(x).ir for x in (index.elts if isinstance(index, ast.Tuple) else [index])]
        if len(places) != len(array.shape):
            raise SyntaxError("expected a number for each dimension")
        first = self.row(array, places[0])
        return first if len(places) == 1 else self.builder.gep(first, [places[1]])

    def _Call(self, node: Any) -> Thing:
        name = node.func.id
        values = [self.value(x) for x in node.args]
        if name in self.functions:
            return self.functions[name](self.builder, *values)
        return getattr(self, f"_call_{name}")(*values)

    def _call_len(self, array: Memory) -> Value:
        return Value(self.builder, array.shape[0])

    def _call_int(self, x: Value) -> Value:
        return Value(self.builder, self.builder.fptosi(x.ir, U64))

    def _call_abs(self, x: Value) -> Value:
        return absolute(x)

    def _call_max(self, a: Value, b: Value) -> Value:
        a, b = self.alike(a, b)
        larger = self.builder.icmp_signed if a.element == U64 else self.builder.fcmp_ordered
        return Value(self.builder, self.builder.select(larger(">", a.ir, b.ir), a.ir, b.ir))


def _kind(x: Any) -> Any:
    """Return the LLVM types of a value, or of what the places of a variable hold."""
    if isinstance(x, tuple):
        return tuple(map(_kind, x))
    return x.ir.type if isinstance(x, Value) else getattr(x, "allocated_type", None)
