"""Give a user's function new meanings of `math` and `np`, so that plain Python can be traced.

`math.sin(x)` would ask a tracer for its value. Instead of patching the `math` module for everybody, the user's function
is copied with a namespace of its own in which `math`, `numpy`, their functions, `min`, `max` and `pow` accept tracers.
Functions that it calls are copied in the same way. The original function is left alone.
"""

import functools
import math
import types

import numpy as np

from .trace import NAMES, Tracer, _fold, on_arrays, where


def holds_tracer(x):
    """Tell whether x is a tracer or an array, list or tuple with one inside."""
    if isinstance(x, Tracer):
        return True
    if isinstance(x, np.ndarray):
        return x.dtype == object and any(holds_tracer(y) for y in x.flat)
    return isinstance(x, (list, tuple)) and any(holds_tracer(y) for y in x)


def _dispatch(traced, original):
    """Return a function that is `traced` when an argument is or holds a tracer, `original` otherwise."""

    @functools.wraps(original)
    def call(*arguments, **options):
        if any(map(holds_tracer, arguments)):
            return traced(*arguments, **options)
        return original(*arguments, **options)

    return call


_FOLDS = {"min": "minimum", "max": "maximum", "amin": "minimum", "amax": "maximum"}


class _Module:
    """A stand-in for the `math` or `numpy` module while a function is traced."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return replacement(getattr(self._module, name), name)


def replacement(value, name):
    """Return what stands for a global, builtin or module attribute while a function is traced."""
    if value is math or value is np:
        return _Module(value)
    if value is np.where:
        return where
    home = getattr(value, "__module__", None)
    known = isinstance(value, (np.ufunc, types.BuiltinFunctionType)) or home in ("math", "numpy", "builtins")
    if known and callable(value) and not isinstance(value, type):
        own_name = getattr(value, "__name__", name)
        if own_name in _FOLDS:
            return _dispatch(_fold(_FOLDS[own_name]), value)
        if own_name in NAMES and own_name != "abs":
            return _dispatch(on_arrays(NAMES[own_name]), value)
    return value


def rebind(function, known=None):
    """Return a copy of a function (method, partial, jitted function) in which `math` and `np` accept tracers."""
    known = {} if known is None else known
    if isinstance(function, functools.partial):
        return functools.partial(rebind(function.func, known), *function.args, **function.keywords)
    if isinstance(function, types.MethodType):
        return types.MethodType(rebind(function.__func__, known), function.__self__)
    if hasattr(function, "py_func"):
        function = function.py_func
    if not isinstance(function, types.FunctionType):
        call = getattr(type(function), "__call__", None)
        if isinstance(call, types.FunctionType):
            return types.MethodType(rebind(call, known), function)
        return replacement(function, getattr(function, "__name__", ""))
    if function.__module__ and function.__module__.startswith("mcgrad.compiler"):
        return function
    if id(function) in known:
        return known[id(function)]
    namespace = dict(function.__globals__)
    closure = function.__closure__ and tuple(types.CellType() for _ in function.__closure__)
    copy = types.FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = function.__module__
    known[id(function)] = copy
    builtins = namespace.get("__builtins__", {})
    builtins = builtins if isinstance(builtins, dict) else vars(builtins)
    for name in _names(function.__code__):
        if name in namespace:
            namespace[name] = _rebound(namespace[name], name, known)
        elif name in _FOLDS or name == "pow":
            namespace[name] = replacement(builtins.get(name), name)
    for old, new in zip(function.__closure__ or (), closure or (), strict=True):
        try:
            new.cell_contents = _rebound(old.cell_contents, "", known)
        except ValueError:  # a cell that is not filled yet
            pass
    return copy


def _rebound(value, name, known):
    if isinstance(value, types.FunctionType) or hasattr(value, "py_func"):
        if not (value.__module__ or "").startswith("numpy"):
            return rebind(value, known)
    return replacement(value, name)


def _names(code):
    """Return the global names that a code object and the functions inside it use."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names
