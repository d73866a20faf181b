"""Machine code as bytes.

`compile_text` lets LLVM translate a function of arrays and integers to an object file, which lives in no process: it can be
kept on disk, or sent elsewhere. `link` makes an object file callable. That takes LLVM's linker alone, a millisecond, and
what was linked is unloaded with the last reference to it.

An object file defines one function for Python (`ENTRY`) in CPython's fast calling convention. It finds the memory of
arrays where NumPy's C interface has it, the same in all versions that there are, refuses what is not an array of the
expected type, and runs without the global interpreter lock: a call costs less than a microsecond.

It defines the same function once more in C's calling convention (`PLAIN`), for compiled code of others: an address and a
number for each dimension in place of an array, and nothing is checked.
"""

import ctypes
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

ENTRY, PLAIN = "mcgrad_entry", "mcgrad_plain"
_FASTCALL = 0x0080  # CPython's METH_FASTCALL

# Byte offsets in a Python object and in NumPy's PyArrayObject_fields (64 bits), and bits of its
# flags.
_HEAD = object.__basicsize__
TYPE = _HEAD - 8
OFFSETS = {"data": _HEAD, "ndim": _HEAD + 8, "shape": _HEAD + 16, "dtype": _HEAD + 40, "flags": _HEAD + 48}
DTYPE = {"order": _HEAD + 10, "number": _HEAD + 12}  # in its PyArray_Descr
_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x0001, 0x0100, 0x0400

# What a function may take: arrays (dtype, dimensions, whether it writes to them), in C's order, and integers.
ARRAYS = {
    "in1": (np.dtype(np.float64), 1, False),
    "in2": (np.dtype(np.float64), 2, False),
    "out1": (np.dtype(np.float64), 1, True),
    "out2": (np.dtype(np.float64), 2, True),
    "stop": (np.dtype(np.int64), 1, False),
    "places": (np.dtype(np.int64), 1, False),
}
INTEGERS = ("int64", "uint64")


# ---- making ----------------------------------------------------------------------------------------------------


def compile_text(
    text: str, functions: Mapping[str, Callable[..., Any]], arguments: Sequence[str]
) -> tuple[bytes, list[str]]:
    """Return (object file, names of functions that it needs from outside) of a function of loops that returns nothing.

    Parameters
    ----------
    text, functions
        As `lowering.lowered` takes them.
    arguments : tuple of str
        What it takes: a key of `ARRAYS`, or one of `INTEGERS`.
    """
    machine = _target_machine()
    return finished(optimised(text, functions, arguments, machine), machine, arguments)


def optimised(
    text: str, functions: Mapping[str, Callable[..., Any]], arguments: Sequence[str], machine: Any = None
) -> Any:
    """Return the LLVM module of the plain function."""
    import llvmlite.binding as llvm
    from llvmlite import ir

    from .lowering import lowered  # LLVM is heavy

    machine = machine or _target_machine()
    elements = {np.dtype(np.float64): ir.DoubleType(), np.dtype(np.int64): ir.IntType(64)}
    kinds = [(elements[ARRAYS[x][0]], ARRAYS[x][1]) if x in ARRAYS else (ir.IntType(64), 0) for x in arguments]
    module = llvm.parse_assembly(str(lowered(text, functions, PLAIN, kinds)))
    module.triple, module.data_layout = llvm.get_process_triple(), str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.slp_vectorization = options.loop_vectorization = False  # it is vectors already
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def finished(module: Any, machine: Any, arguments: Sequence[str]) -> tuple[bytes, list[str]]:
    """Return (object file, names of functions that it needs) of a module that has the plain function."""
    import llvmlite.binding as llvm

    entry = llvm.parse_assembly(str(_entry(arguments)))
    entry.triple, entry.data_layout = module.triple, module.data_layout
    module.link_in(entry)
    outside = sorted(f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm."))
    return machine.emit_object(module), outside


def _target_machine() -> Any:
    """Return LLVM's description of this processor, or of the one that Numba is told to take this one for."""
    import llvmlite.binding as llvm

    _initialise()
    name, features = (os.environ.get(f"NUMBA_CPU_{x}") for x in ("NAME", "FEATURES"))
    features = features or ("" if name else llvm.get_host_cpu_features().flatten())
    target = llvm.Target.from_triple(llvm.get_process_triple())
    reloc = "static" if target.name.startswith("x86") else "default"
    cpu = name or llvm.get_host_cpu_name()
    return target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _entry(arguments: Sequence[str]) -> Any:
    """Return the LLVM module of the function for Python, which unpacks its arguments and calls the plain one."""
    from llvmlite import ir

    module = ir.Module(ENTRY)
    i8, i32, whole = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    pointer = i8.as_pointer()
    function = ir.Function(module, ir.FunctionType(pointer, [pointer, pointer.as_pointer(), whole]), ENTRY)
    function.attributes.add("nounwind")

    def outside(name, result, *taken):
        return ir.Function(module, ir.FunctionType(result, taken), name)

    builder = ir.IRBuilder(function.append_basic_block())
    # Where NumPy's type is, is known where the code is linked, and comes with the function: see `link`.
    item = outside("PyTuple_GetItem", pointer, pointer, whole)
    ndarray = builder.call(item, [function.args[0], ir.Constant(whole, 0)])
    bad = function.append_basic_block("bad")

    def field(base, offset, kind):
        address = builder.gep(base, [ir.Constant(whole, offset)])
        return builder.load(builder.bitcast(address, kind.as_pointer()))

    def check(condition):
        good = function.append_basic_block()
        builder.cbranch(condition, good, bad)
        builder.position_at_end(good)

    def equal(x, y):
        return builder.icmp_unsigned("==", x, y)

    check(equal(function.args[2], ir.Constant(whole, len(arguments))))
    signed, unsigned = (
        outside(name, whole, pointer) for name in ("PyLong_AsLongLong", "PyLong_AsUnsignedLongLongMask")
    )
    values = []
    for k, name in enumerate(arguments):
        given = builder.load(builder.gep(function.args[1], [ir.Constant(whole, k)]))
        if name in INTEGERS:
            values.append(builder.call(signed if name == "int64" else unsigned, [given]))
            continue
        kind, dimensions, written = ARRAYS[name]
        check(equal(field(given, TYPE, pointer), ndarray))
        dtype = field(given, OFFSETS["dtype"], pointer)
        check(equal(field(dtype, DTYPE["order"], i8), ir.Constant(i8, ord("="))))
        check(equal(field(dtype, DTYPE["number"], i32), ir.Constant(i32, kind.num)))
        check(equal(field(given, OFFSETS["ndim"], i32), ir.Constant(i32, dimensions)))
        wanted = ir.Constant(i32, _CONTIGUOUS | _ALIGNED | (_WRITEABLE if written else 0))
        check(equal(builder.and_(field(given, OFFSETS["flags"], i32), wanted), wanted))
        values.append(field(given, OFFSETS["data"], pointer))
        sizes = builder.bitcast(field(given, OFFSETS["shape"], pointer), whole.as_pointer())
        values += [builder.load(builder.gep(sizes, [ir.Constant(whole, d)])) for d in range(dimensions)]
    occurred = outside("PyErr_Occurred", pointer)
    check(equal(builder.call(occurred, []), ir.Constant(pointer, None)))

    lock = builder.call(outside("PyEval_SaveThread", pointer), [])
    # Of pointers one is like the other.
    status = builder.call(outside(PLAIN, i32, *(x.type for x in values)), values)
    builder.call(outside("PyEval_RestoreThread", ir.VoidType(), pointer), [lock])
    failed = function.append_basic_block("failed")
    done = function.append_basic_block("done")
    builder.cbranch(builder.icmp_unsigned("!=", status, ir.Constant(i32, 0)), failed, done)
    for block, name in ((bad, "PyErr_BadArgument"), (failed, "PyErr_BadInternalCall")):
        builder.position_at_end(block)
        builder.call(outside(name, i32), [])
        builder.ret(ir.Constant(pointer, None))
    builder.position_at_end(done)
    nothing = ir.GlobalVariable(module, ir.ArrayType(i8, 1), "mcgrad_nothing")
    nothing.linkage, nothing.global_constant = "internal", True
    nothing.initializer = ir.Constant(nothing.value_type, bytearray(1))
    build = ir.Function(module, ir.FunctionType(pointer, [pointer], var_arg=True), "Py_BuildValue")
    builder.ret(builder.call(build, [builder.bitcast(nothing, pointer)]))  # of an empty format: None
    return module


# ---- running ---------------------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def link(code: bytes, outside: Sequence[str]) -> Callable[..., Any] | None:
    """Return the function of an object file; the code is unloaded with it. None where it needs what this process lacks."""
    import llvmlite.binding as llvm

    _initialise()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        opt=0, codemodel="jitdefault", jit=True
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)  # LLVM now sees the functions of this process
    if not all(map(llvm.address_of_symbol, outside)):
        from numba.core import registry

        registry.cpu_target.target_context.refresh()  # makes Numba's own functions known, too
        if not all(map(llvm.address_of_symbol, outside)):
            return None
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(ENTRY)
    if not address:
        return None
    method = _Method(b"kernel", address, _FASTCALL, None)
    # What the function refers to as its `self` lives as long as it does: the memory of its code, too.
    own = (np.ndarray, engine, method, engine.get_function_address(PLAIN))
    return _new_function()(ctypes.byref(method), own, None)


def plain_address(function: Any) -> int:
    """Return the address of a linked function for compiled code (see the module); it is good as long as the function lives."""
    return function.__self__[3]


def plain_types(arguments: Sequence[str]) -> list[Any]:
    """Return the types of ctypes that the function at `plain_address` takes; it returns an int."""
    whole = {"int64": ctypes.c_int64, "uint64": ctypes.c_uint64}
    return [
        x
        for name in arguments
        for x in ([whole[name]] if name in whole else [ctypes.c_void_p] + [ctypes.c_int64] * ARRAYS[name][1])
    ]


@functools.cache
def _initialise() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def _new_function() -> Any:
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.argtypes, new.restype = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p), ctypes.py_object
    return new
