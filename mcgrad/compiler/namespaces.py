"""Give a user's function new meanings of `math` and `np`, so that plain Python can be traced.

`math.sin(x)` would ask a tracer for its value. Instead of patching the `math` module for everybody, the user's function
is copied with a namespace of its own in which `math`, `numpy`, their functions, `min`, `max` and `pow` accept tracers.
The functions that it reaches are copied in the same way: those that it calls by name, in a module, as a method, through a
partial, a default argument or a list. The originals are left alone.
"""

import abc
import builtins
import datetime
import functools
import inspect
import math
import random
import re
import sys
import types
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from .errors import TRACED, TraceError, user_line
from .functions import on_arrays, where
from .known_functions import NAMES, OF_PYTHON, WHOLE, name_of_ufunc, of_ufunc, traceable
from .trace import Tracer

Known: TypeAlias = dict[int, tuple[object, object]]  # id of an original -> (original, copy)


def holds_tracer(x: object) -> bool:
    """Tell whether x is a tracer or an array, list or tuple with one inside."""
    if isinstance(x, Tracer):
        return True
    if isinstance(x, np.ndarray):
        return x.dtype == object and any(holds_tracer(y) for y in x.flat)
    return isinstance(x, (list, tuple)) and any(holds_tracer(y) for y in x)


def _dispatch(traced: Callable[..., Any], original: Any, label: str) -> Callable[..., Any]:
    """Return a function that is `traced` when an argument is or holds a tracer, `original` otherwise."""

    @functools.wraps(original)
    def call(*arguments, **options):
        # max(abs(x) for x in s): what is in a generator is seen by using it up.
        arguments = [list(x) if isinstance(x, types.GeneratorType) else x for x in arguments]
        if not any(map(holds_tracer, arguments)) and not any(map(holds_tracer, options.values())):
            return original(*arguments, **options)
        try:
            return traced(*arguments, **options)
        except TypeError as error:  # options and numbers of arguments that the traced function does not know
            raise TraceError(f"{user_line()}{label}: {re.sub(r'^[^ ]*[(][)] ', '', str(error))}") from None

    return call


def _refusing(original: Any, label: str) -> Callable[..., Any]:
    """Return a function that refuses tracers, by the name that the user knows it by."""

    def refuse(*arguments, **options):
        raise TraceError(f"{user_line()}{label} cannot be traced. What can: {traceable()}.")

    return _dispatch(refuse, original, label)


# How the functions of a package are called in messages
_LABELS = {"math": "math.", "numpy": "np.", "builtins": "", "scipy": "scipy.special."}


class _Module:
    """A stand-in for a module while a function is traced."""

    def __init__(self, module: ModuleType, known: Known) -> None:
        self._module, self._known = module, known

    def __getattr__(self, name: str) -> Any:
        return _rebound(getattr(self._module, name), name, self._known, _package(self._module.__name__))


_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


class _Outside:
    """A stand-in for what is not the same at every call: it would be read once, while tracing, and never again."""

    def __init__(self, what: str = "random numbers") -> None:
        self._what = what

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise TraceError(
            f"{user_line()}{self._what} come from outside: a function is run once to be compiled, so what it draws or "
            "reads itself would be the same on every trajectory. Use the standard normals that it is given (z, e, w); "
            "draw what is constant before, outside of the function."
        )

    def __getattr__(self, name: str) -> Any:
        self()


class _Partly:
    """A stand-in for something with some attributes that come from outside."""

    def __init__(self, original: Any, outside: tuple[str, ...], what: str, known: Known) -> None:
        self._original, self._outside, self._what, self._known = original, outside, what, known

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        result = self._original(*arguments, **options)
        return _outside(result, "", self._known) or result  # a frozen distribution

    def __getattr__(self, name: str) -> Any:
        if name in self._outside:
            return _Outside(self._what)
        return _rebound(getattr(self._original, name), name, self._known, "")


# What comes from outside, by module: whole modules, and parts of others
_CLOCK, _SYSTEM, _DRAWS = "times of the clock", "random numbers of the system", ("rvs", "random", "resample", "dataset")
_MODULES = {"time": _CLOCK, "secrets": _SYSTEM, "uuid": _SYSTEM, "_uuid": _SYSTEM, "random": "random numbers"}
_PARTS = {"os": ("urandom", "getrandom", "times", "getpid"), "datetime": ("now", "today", "utcnow")}


def _outside(value: Any, name: str, known: Known) -> Any:
    """Return the stand-in for a value that is, or has, what comes from outside; None for all others."""
    if value is np.random or isinstance(getattr(value, "__self__", value), _GENERATORS):
        return _Outside()
    if isinstance(value, types.ModuleType):
        if value.__name__ in _MODULES:
            return _Outside(_MODULES[value.__name__])
        if value.__name__ in _PARTS:
            return _Partly(value, _PARTS[value.__name__], _SYSTEM, known)
        return None
    home = getattr(value, "__module__", None) if callable(value) else None
    if isinstance(home, str):
        if home in _MODULES or home.startswith("numpy.random"):
            return _Outside(_MODULES.get(home, "random numbers"))
        if home in ("posix", "nt", "os") and getattr(value, "__name__", "") in _PARTS["os"]:
            return _Outside(_SYSTEM)
        if value is datetime.date or value is datetime.datetime:
            return _Partly(value, _PARTS["datetime"], _CLOCK, known)
    owner = getattr(value, "__self__", value)
    if (type(owner).__module__ or "").startswith("scipy.stats") and not isinstance(owner, types.ModuleType):
        if owner is value:
            return _Partly(value, _DRAWS, "random numbers", known)
        return _Outside() if name in _DRAWS or value.__name__ in _DRAWS else None
    return None


class _TypeOfTracers(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, type)

    def __subclasscheck__(cls, value: Any) -> bool:
        return issubclass(value, type)

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and type(arguments[0]) is Tracer:
            raise TraceError(
                f"{user_line()}type() of a number that is not known yet cannot be traced; isinstance(x, float) is True."
            )
        return type(*arguments, **options)


class _Type(metaclass=_TypeOfTracers):
    """A stand-in for `type`, which would tell a tracer from a float."""


def _print(*values: Any, **options: Any) -> None:
    """Print, with tracers as what they are: to look at a function while it is traced."""
    print(*(repr(x) if isinstance(x, Tracer) else x for x in values), **options)


def replacement(value: Any, name: str) -> Any:
    """Return what stands for a function of `math`, `numpy`, `scipy.special` or the builtins while a function is traced."""
    if value is np.where:
        return where
    home = getattr(value, "__module__", None)
    ufunc = isinstance(value, np.ufunc)
    if not ufunc and home != "math" and not f"{home}.".startswith(("numpy.", "builtins.", "scipy.special.")):
        return value
    if not callable(value) or isinstance(value, type):
        return value
    own_name = getattr(value, "__name__", name)
    label = name_of_ufunc(value) if ufunc else f"{_LABELS[_package(home)]}{own_name}"
    if home in ("builtins", "math") and own_name in OF_PYTHON:
        return _dispatch(OF_PYTHON[own_name], value, label)
    if own_name in WHOLE:
        return _dispatch(WHOLE[own_name], value, label)
    traced = of_ufunc(own_name) if ufunc else NAMES.get(own_name)
    if traced is not None and own_name != "abs":
        return _dispatch(on_arrays(traced), value, label)
    # What NumPy and `math` compute by the operators of the elements works on tracers as it is.
    by_operators = value.signature is not None if ufunc else home != "math" or own_name in ("prod", "sumprod")
    return value if by_operators else _refusing(value, label)


def rebind(function: Any) -> Any:
    """Return a copy of a function (method, partial, jitted function, callable) in which `math` and `np` accept tracers."""
    return _rebound(function, getattr(function, "__name__", ""), {}, _package(type(function).__module__))


def _rebound(value: Any, name: str, known: Known, home: str) -> Any:
    """Return what stands for a value that a traced function can reach.

    Parameters
    ----------
    name : str
        What the function calls it.
    known : dict
        id of an original -> (original, copy): each is copied once, and functions that call each other find their copies.
    home : str
        The package of the function; objects of its classes are copied with their methods, those of others are not.
    """
    if isinstance(value, types.FunctionType):
        value = vars(value).get("py_func", value)
    elif type(value) not in (types.BuiltinFunctionType, np.ufunc, float, int, str):
        value = inspect.getattr_static(value, "py_func", value)  # what Numba has jitted
    if id(value) in known:
        return known[id(value)][1]
    outside = _outside(value, name, known)
    if outside is not None:
        return outside
    if isinstance(value, types.FunctionType):
        return _function(value, known) if _is_of_a_user(value.__module__) else replacement(value, name)
    if isinstance(value, functools.partial):
        arguments = [_rebound(x, "", known, home) for x in value.args]
        options = {k: _rebound(x, k, known, home) for k, x in value.keywords.items()}
        return functools.partial(_rebound(value.func, name, known, home), *arguments, **options)
    if isinstance(value, types.MethodType) and _is_of_a_user(value.__func__.__module__):
        owner = _rebound(value.__self__, "", known, _package(type(value.__self__).__module__))
        return types.MethodType(_rebound(value.__func__, name, known, home), owner)
    if isinstance(value, types.ModuleType):
        traced = value is math or _package(value.__name__) in ("numpy", "scipy") or _is_of_a_user(value.__name__)
        return _Module(value, known) if traced else value
    if type(value) in (list, tuple) and any(map(callable, value)):
        return type(value)(_rebound(x, "", known, home) for x in value)
    if type(value) is dict and any(map(callable, value.values())):
        return {k: _rebound(x, "", known, home) for k, x in value.items()}
    if _package(type(value).__module__) == home and _is_of_a_user(home) and _can_be_copied(type(value)):
        return _instance(value, known, home)
    return replacement(value, name)


# Parts of this library that are written for tracers as they are, with `np` and the functions of `functions`, and need no copy.
OURS = ("mcgrad.compiler", "mcgrad.estimators", "mcgrad.baselines", "mcgrad.critics", "mcgrad.kernels", "mcgrad.calls")


def _package(module: str | None) -> str:
    return (module or "__main__").split(".")[0]


def _is_of_a_user(module: str | None) -> bool:
    """Tell whether functions of a module are to be copied: those of libraries keep the `math` that they know."""
    package = _package(module)
    if package in ("numpy", "scipy", "numba") or (package in sys.stdlib_module_names and package != "__main__"):
        return False
    return not (module or "").startswith(OURS)


def _function(function: FunctionType, known: Known) -> FunctionType:
    """Return a copy of a function with a namespace of its own."""
    home = _package(function.__module__)
    namespace = dict(function.__globals__)
    # A function takes note of its builtins when it is made, so that they have to be in place before.
    own = namespace.get("__builtins__", builtins)
    own = dict(own if isinstance(own, dict) else vars(own))
    own |= _of_builtins()
    own["__import__"] = lambda *arguments, **options: _rebound(
        builtins.__import__(*arguments, **options), "", known, home
    )
    namespace["__builtins__"] = own
    closure = function.__closure__ and tuple(types.CellType() for _ in function.__closure__)
    copy = types.FunctionType(function.__code__, namespace, function.__name__, None, closure)
    copy.__module__ = function.__module__
    known[id(function)] = (function, copy)
    for name in _names(function.__code__):
        if name in namespace:
            namespace[name] = _rebound(namespace[name], name, known, home)
    for old, new in zip(function.__closure__ or (), closure or (), strict=True):
        try:
            new.cell_contents = _rebound(old.cell_contents, "", known, home)
        except ValueError:  # a cell that is not filled yet
            pass
    copy.__defaults__ = function.__defaults__ and tuple(_rebound(x, "", known, home) for x in function.__defaults__)
    options = function.__kwdefaults__
    copy.__kwdefaults__ = options and {k: _rebound(x, k, known, home) for k, x in options.items()}
    return copy


@functools.cache
def _of_builtins() -> dict[str, Any]:
    """Return what stands for builtins: the same in all functions."""
    of_python = {x: replacement(getattr(builtins, x), x) for x in ("min", "max", "pow")}
    return of_python | {"type": _Type, "print": _print, "id": _refusing(id, "id()"), TRACED: True}


def _can_be_copied(cls) -> bool:
    """Tell whether an object of a class is no more than its `__dict__`."""
    plain = type(cls) in (type, abc.ABCMeta) and cls.__new__ is object.__new__ and cls.__dictoffset__ != 0
    return plain and not any({"__slots__", "__init_subclass__"} & set(vars(base)) for base in cls.__mro__[:-1])


def _instance(value: Any, known: Known, home: str) -> Any:
    """Return a copy of an object, of a class whose methods are copies."""
    cls = type(value)
    copy = object.__new__(type(cls)(cls.__name__, (cls,), {}))  # type: ignore[misc]
    known[id(value)] = (value, copy)
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        if isinstance(method, types.FunctionType):
            setattr(type(copy), name, _rebound(method, name, known, home))
        elif isinstance(method, staticmethod):
            setattr(type(copy), name, staticmethod(_rebound(method.__func__, name, known, home)))
        elif isinstance(method, property):
            setattr(type(copy), name, property(_rebound(method.fget, name, known, home)))
    copy.__dict__.update({k: _rebound(x, k, known, home) for k, x in vars(value).items()})
    return copy


def _names(code: CodeType) -> set[str]:
    """Return the global names that a code object and the functions inside it use."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names
