"""Functions that Numba translates: those of the scalar machine, by its public interface alone but for the object file.

Numba keeps whatever it has compiled until the process ends; what comes out of here is bytes, as of `native.compile_text`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from .native import ARRAYS, INTEGERS, PLAIN, finished


def compile_function(
    function: Callable[..., Any], options: Mapping[str, Any], arguments: Sequence[str]
) -> tuple[bytes, list[str]]:
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
        library.add_ir_module(_plain(context, made.fndesc, signature))
        library.finalize()
        if library.has_dynamic_globals:
            raise AssertionError(f"{function.__name__} refers to addresses of this process")
        return finished(library._final_module, context.codegen()._tm, arguments)


def _numba_type(types: ModuleType, name: str) -> Any:
    if name in INTEGERS:
        return getattr(types, name)
    dtype, dimensions, _ = ARRAYS[name]
    return types.Array(getattr(types, dtype.name), dimensions, "C")


def _plain(context: Any, described: Any, signature: tuple[Any, ...]) -> Any:
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


def _is_array(kind: Any) -> bool:
    return hasattr(kind, "ndim")


def _view(context: Any, builder: Any, kind: Any, data: Any, shape: Sequence[Any]) -> Any:
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
