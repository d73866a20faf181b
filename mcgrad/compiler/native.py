"""Machine code as bytes: made by Numba, run without it.

`compile_function` lets Numba translate a function of arrays and integers to an object file, which lives in no process:
it can be kept on disk, or sent elsewhere. `link` makes an object file callable. That takes LLVM's linker alone, a
millisecond instead of the import of a compiler, and what was linked is unloaded with the last reference to it, whereas
Numba keeps whatever it has compiled until the process ends.

An object file defines one function for Python (`ENTRY`) in CPython's fast calling convention. It finds the memory of
arrays where NumPy's C interface has it, the same in all versions that there are, refuses what is not an array of the
expected type, and runs without the global interpreter lock: a call costs less than a microsecond.

It defines the same function once more in C's calling convention (`PLAIN`), for compiled code of others: an address and a
number for each dimension in place of an array, and nothing is checked.
"""

import ctypes
import functools

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


def compile_function(function, options, arguments):
    """Return (object file, names of functions that it needs from outside) of a function that returns nothing.

    Parameters
    ----------
    function : function
        As `numba.njit` takes it.
    options : dict
        As of `numba.njit`.
    arguments : tuple of str
        What it takes: a key of `ARRAYS`, or one of `INTEGERS`.
    """
    from numba.core import compiler, registry, types
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler_lock import global_compiler_lock

    class Library(JITCodeLibrary):
        """Code that is never loaded: an engine of Numba's would keep it for good."""

        def _finalize_final_module(self):
            self._finalize_dynamic_globals()
            self._finalized = True

    target = registry.cpu_target
    context = target.target_context
    flags = compiler.Flags()
    target.options.parse_as_flags(flags, {"nopython": True, **options})
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.nrt = False  # nothing is allocated, and arrays belong to Python
    signature = tuple(_numba_type(types, x) for x in arguments)
    with global_compiler_lock:
        target.typing_context.refresh()
        context.refresh()
        library = Library(context.codegen(), function.__name__)
        made = compiler.compile_extra(target.typing_context, context, function, signature, None, flags, {}, library)
        library.add_ir_module(_entry(context, made.fndesc, signature, arguments))
        library.add_ir_module(_plain(context, made.fndesc, signature))
        library.finalize()
        if library.has_dynamic_globals:
            raise AssertionError(f"{function.__name__} refers to addresses of this process")
        module = library._final_module
        outside = sorted(f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm."))
        return context.codegen()._tm.emit_object(module), outside


def _numba_type(types, name):
    if name in INTEGERS:
        return getattr(types, name)
    dtype, dimensions, _ = ARRAYS[name]
    return types.Array(getattr(types, dtype.name), dimensions, "C")


def _entry(context, described, signature, arguments):
    """Return the LLVM module of the function for Python, which unpacks its arguments and calls the compiled one."""
    from llvmlite import ir
    from numba.core import types

    module = context.create_module(ENTRY)
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
    for k, (name, kind) in enumerate(zip(arguments, signature, strict=True)):
        given = builder.load(builder.gep(function.args[1], [ir.Constant(whole, k)]))
        if name in INTEGERS:
            values.append(builder.call(signed if name == "int64" else unsigned, [given]))
            continue
        check(equal(field(given, TYPE, pointer), ndarray))
        dtype = field(given, OFFSETS["dtype"], pointer)
        check(equal(field(dtype, DTYPE["order"], i8), ir.Constant(i8, ord("="))))
        check(equal(field(dtype, DTYPE["number"], i32), ir.Constant(i32, ARRAYS[name][0].num)))
        check(equal(field(given, OFFSETS["ndim"], i32), ir.Constant(i32, kind.ndim)))
        wanted = ir.Constant(i32, _CONTIGUOUS | _ALIGNED | (_WRITEABLE if ARRAYS[name][2] else 0))
        check(equal(builder.and_(field(given, OFFSETS["flags"], i32), wanted), wanted))
        sizes = builder.bitcast(field(given, OFFSETS["shape"], pointer), whole.as_pointer())
        shape = [builder.load(builder.gep(sizes, [ir.Constant(whole, d)])) for d in range(kind.ndim)]
        values.append(_view(context, builder, kind, field(given, OFFSETS["data"], pointer), shape))
    occurred = outside("PyErr_Occurred", pointer)
    check(equal(builder.call(occurred, []), ir.Constant(pointer, None)))

    lock = builder.call(outside("PyEval_SaveThread", pointer), [])
    callee = context.declare_function(module, described)
    # A function of its own, as Numba makes it: inlined it would lose the alignment of its stack.
    called = {"attrs": ("noinline",)}
    status, _ = context.call_conv.call_function(builder, callee, types.none, signature, values, **called)
    builder.call(outside("PyEval_RestoreThread", ir.VoidType(), pointer), [lock])
    failed = function.append_basic_block("failed")
    done = function.append_basic_block("done")
    builder.cbranch(status.is_error, failed, done)
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


def _plain(context, described, signature):
    """Return the LLVM module of the function for compiled code: 0, or another number if it failed."""
    from llvmlite import ir
    from numba.core import types

    module = context.create_module(PLAIN)
    whole, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
    taken = [
        x
        for kind in signature
        for x in ([pointer] + [whole] * getattr(kind, "ndim", 0) if _is_array(kind) else [whole])
    ]
    function = ir.Function(module, ir.FunctionType(ir.IntType(32), taken), PLAIN)
    function.attributes.add("nounwind")
    builder, given, values = ir.IRBuilder(function.append_basic_block()), iter(function.args), []
    for kind in signature:
        if _is_array(kind):
            data = next(given)
            values.append(_view(context, builder, kind, data, [next(given) for _ in range(kind.ndim)]))
        else:
            values.append(next(given))
    callee = context.declare_function(module, described)
    called = {"attrs": ("noinline",)}
    status, _ = context.call_conv.call_function(builder, callee, types.none, signature, values, **called)
    builder.ret(builder.zext(status.is_error, ir.IntType(32)))
    return module


def _is_array(kind):
    return hasattr(kind, "ndim")


def _view(context, builder, kind, data, shape):
    """Return Numba's array of some memory."""
    from llvmlite import ir
    from numba.np.arrayobj import make_array, populate_array

    size = ir.Constant(ir.IntType(64), kind.dtype.bitwidth // 8)
    strides = [size]
    for n in reversed(shape[1:]):
        strides.insert(0, builder.mul(n, strides[0]))
    view = make_array(kind)(context, builder)
    data = builder.bitcast(data, context.get_data_type(kind.dtype).as_pointer())
    populate_array(view, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return view._getvalue()


# ---- running ---------------------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def link(code, outside):
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


def plain_address(function):
    """Return the address of a linked function for compiled code (see the module); it is good as long as the function lives."""
    return function.__self__[3]


def plain_types(arguments):
    """Return the types of ctypes that the function at `plain_address` takes; it returns an int."""
    whole = {"int64": ctypes.c_int64, "uint64": ctypes.c_uint64}
    return [
        x
        for name in arguments
        for x in ([whole[name]] if name in whole else [ctypes.c_void_p] + [ctypes.c_int64] * ARRAYS[name][1])
    ]


@functools.cache
def _initialise():
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def _new_function():
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.argtypes, new.restype = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p), ctypes.py_object
    return new
