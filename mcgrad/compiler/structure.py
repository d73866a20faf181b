"""What a Python function is made of, as something to be compared: equal structures trace to the same graph.

A function is traced by being run (see `namespaces`), so that what it made of its symbols depends on all that it can reach:
its code, the values that it captured, the globals that it names and what is inside of them, default arguments, methods,
attributes. `Walk.of` turns all of this into nested tuples. Numbers in them are exact; arrays are digests. An edited
function, a global that was set anew, a list that grew is another structure.

What may change without being seen here (files, the environment of the process, `globals()`, objects of C) makes a
function `Unknown`: it is traced every time. Functions of this library are known by their code and what they captured:
nobody sets the globals of its modules anew.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import inspect
import random
import sys
import types
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, NoReturn, TypeAlias

import numpy as np

Structure: TypeAlias = Any  # nested tuples of what can be compared, and hashed

LARGEST = 20_000  # values in one structure; beyond, tracing anew is as quick

# Packages whose functions and classes are what they are, wherever they are found.
INERT = {
    *(
        "mcgrad",
        "numpy",
        "scipy",
        "numba",
        "math",
        "cmath",
        "operator",
        "itertools",
        "functools",
        "collections",
        "typing",
    ),
    *("types", "numbers", "dataclasses", "enum", "abc", "builtins", "fractions", "statistics", "copy", "warnings"),
}
# Builtins and attributes through which a function reaches what its code does not name.
HIDDEN = {"eval", "exec", "compile", "globals", "locals", "vars", "open", "input", "__import__", "breakpoint"}
HIDDEN |= {"__dict__", "__globals__", "__code__", "__closure__", "__subclasses__", "f_globals", "f_locals", "environ"}
# The problem itself, as steps of a trajectory have it (`x.problem`): its numbers are no part of a structure.
HIDDEN_ATTRIBUTES = {"problem"}

_PLAIN = {type(None), bool, int, type(...), type(NotImplemented), range}
_OUTSIDE = (
    np.random.Generator,
    np.random.RandomState,
    random.Random,
)  # refused while tracing, whatever they would draw
_OF_EVERY_CLASS = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__firstlineno__"),
    *("__static_attributes__", "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__parameters__"),
    *(
        "__abstractmethods__",
        "_abc_impl",
        "__orig_bases__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
    ),
}
# What `namedtuple` makes besides; its `_fields` say it all.
_MADE = _OF_EVERY_CLASS | {
    "__new__",
    "_make",
    "_replace",
    "__replace__",
    "__repr__",
    "_asdict",
    "__getnewargs__",
    "__slots__",
}
_HEAP_TYPE = 1 << 9


class Unknown(Exception):
    """There is something of which nobody can tell whether it has changed."""


class Walk:
    """The structures of values that belong together: what they share is looked at once."""

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}  # by id
        self._kept: list[Any] = []

    def of(self, x: Any) -> Structure:
        """Return the structure of a value, hashable; Unknown where it cannot be known."""
        kind = type(x)
        if kind in _PLAIN:
            return kind, x
        if kind is float or kind is complex:
            return repr(x)  # 0.0 and -0.0 are two numbers
        if kind is str or kind is bytes:
            return kind, x if len(x) <= 256 else _digest(x if kind is bytes else x.encode("utf-8", "surrogatepass"))
        key = id(x)
        if key in self._seen:
            return "again", self._seen[key]
        if len(self._kept) >= LARGEST:
            raise Unknown
        self._seen[key] = len(self._kept)
        self._kept.append(x)  # or another object might get its id
        return self._within(x, kind)

    def _within(self, x: Any, kind: type) -> Structure:
        if kind is types.FunctionType:
            return self._function(x)
        if kind is tuple or kind is list:
            return kind, tuple([self.of(y) for y in x])
        if kind is dict:
            return kind, tuple([(self.of(k), self.of(y)) for k, y in x.items()])
        if kind is np.ndarray:
            if x.dtype.hasobject:
                return kind, x.shape, tuple([self.of(y) for y in x.flat])
            return kind, x.dtype.str, x.shape, _digest(np.ascontiguousarray(x).data if x.size else b"")
        if kind is set or kind is frozenset:
            # Its order is part of what a function sees.
            return kind, tuple([self.of(y) for y in x])
        if isinstance(x, np.generic):
            return kind, x.tobytes()
        if isinstance(x, type):
            return self._class(x)
        if kind is types.MethodType:
            return kind, self.of(x.__func__), self.of(x.__self__)
        if kind is functools.partial:
            return kind, self.of(x.func), self.of(x.args), self.of(x.keywords), self.of(vars(x))
        if kind is types.CellType:
            return self._cell(x)
        if kind is property:
            return kind, self.of(x.fget), self.of(x.fset)
        if kind is staticmethod or kind is classmethod:
            return kind, self.of(x.__func__)
        if kind is functools.cached_property:
            return kind, self.of(x.func)
        if isinstance(x, np.dtype):
            return "dtype", x.str, str(x)
        if isinstance(x, _OUTSIDE):
            return ("outside",)
        if kind is types.BuiltinFunctionType:
            owner = x.__self__
            if owner is None or isinstance(owner, types.ModuleType):
                return x if (x.__module__ or "").lstrip("_").partition(".")[0] in INERT else self._unknown()
            return kind, x.__name__, self.of(owner)
        if kind.__module__.startswith("numba.") and inspect.getattr_static(x, "py_func", None) is not None:
            return "jitted", self.of(x.py_func)
        if isinstance(x, np.ufunc):
            return x if _is_of_numpy(x) else self._unknown()
        if kind.__module__ == "numpy" and _is_of_numpy(x):  # functions that dispatch on their arguments
            return x
        if isinstance(x, tuple) and hasattr(kind, "_fields"):
            return self._class(kind), tuple([self.of(y) for y in x])
        return self._instance(x, kind)

    def _unknown(self) -> NoReturn:
        raise Unknown

    # ---- functions

    def _function(self, f: FunctionType) -> Structure:
        code, home = f.__code__, f.__module__ or "__main__"
        parts = [code, home.partition(".")[0]]
        cells = f.__closure__
        if cells:
            parts.append(tuple([self._cell(x) for x in cells]))
        for more in (f.__defaults__, f.__kwdefaults__, f.__dict__):
            parts.append(self.of(more) if more else None)
        if parts[1] not in INERT:
            facts = _facts(code)
            if facts.hidden:
                raise Unknown
            space = f.__globals__
            for name in facts.names:
                if name in space:
                    value = space[name]
                    is_module = isinstance(value, types.ModuleType)
                    parts.append((name, self._module(value, facts) if is_module else self.of(value)))
            own = space.get("__builtins__")
            own = vars(own) if isinstance(own, types.ModuleType) else own
            if own is not None and own is not _BUILTINS:
                raise Unknown
            for name in facts.imports:
                if name not in sys.modules:
                    raise Unknown
                parts.append((name, self._module(sys.modules[name], facts)))
        return tuple(parts)

    def _cell(self, cell: CellType) -> Structure:
        try:
            value = cell.cell_contents
        except ValueError:
            return ("empty",)
        # A module that was imported in the function around, say.
        return self._module(value, None) if isinstance(value, types.ModuleType) else self.of(value)

    def _module(self, module: ModuleType, facts: _Facts | None) -> Structure:
        """Return the structure of what a function can name in a module."""
        if module.__name__.partition(".")[0] in INERT:
            return module.__name__
        if facts is None or module.__name__.partition(".")[0] in sys.stdlib_module_names or "getattr" in facts.names:
            raise Unknown
        space = vars(module)
        if "__getattr__" in space:
            raise Unknown
        key = id(module), facts.names
        if key in self._seen:
            return "again", self._seen[key]
        self._seen[key] = len(self._kept)
        self._kept.append(module)
        found = []
        for name in facts.names:
            if name in space:
                value = space[name]
                is_module = isinstance(value, types.ModuleType)
                found.append((name, self._module(value, facts) if is_module else self.of(value)))
        return module.__name__, tuple(found)

    # ---- classes and objects

    def _class(self, cls) -> Structure:
        home = cls.__module__
        if not cls.__flags__ & _HEAP_TYPE:
            return cls
        if _is_library(home):
            # With its methods as they are now: tests plant errors in them.
            return cls, tuple([f for base in cls.__mro__ for f in vars(base).values() if type(f) is types.FunctionType])
        if home.partition(".")[0] in INERT:
            return cls
        if type(cls) not in (type, abc.ABCMeta):
            raise Unknown
        made = _MADE | set(cls._fields) if cls.__bases__ == (tuple,) and "_fields" in vars(cls) else _OF_EVERY_CLASS
        own = tuple([(k, self.of(v)) for k, v in vars(cls).items() if k not in made and not _is_slot(v)])
        return cls.__module__, cls.__qualname__, tuple([self.of(base) for base in cls.__bases__]), own

    def _instance(self, x: Any, kind: type) -> Structure:
        """Return the structure of an object that is no more than its class and its attributes."""
        slots = [name for base in kind.__mro__ for name in _slots(base)]
        plain = all(base is object or base.__flags__ & _HEAP_TYPE for base in kind.__mro__)
        if not plain or not (kind.__dictoffset__ or slots) or _has(kind, "__getattribute__"):
            raise Unknown
        held = getattr(x, "__dict__", {})
        if type(held) is not dict:
            raise Unknown
        fields = [(k, self.of(v)) for k, v in held.items()]
        fields += [(k, self.of(getattr(x, k)) if hasattr(x, k) else None) for k in slots]
        return "object", self._class(kind), tuple(fields)


class _Facts:
    """What the code of a function, and of the functions inside of it, names."""

    def __init__(self, code: CodeType) -> None:
        names: set[str] = set()
        attributes: set[str] = set()
        imports: set[str] = set()
        relative = False
        waiting = [code]
        while waiting:
            code = waiting.pop()
            names.update(code.co_names)
            waiting += [x for x in code.co_consts if isinstance(x, types.CodeType)]
            attributes, imports, relative = _instructions(code, attributes, imports, relative)
        self.names, self.imports = tuple(sorted(names)), tuple(sorted(imports))
        self.hidden = relative or not names.isdisjoint(HIDDEN) or not attributes.isdisjoint(HIDDEN_ATTRIBUTES)


def _instructions(
    code: CodeType, attributes: set[str], imports: set[str], relative: bool
) -> tuple[set[str], set[str], bool]:
    import dis  # takes a while to import, and is not needed where nobody has functions of their own

    for x in dis.get_instructions(code):
        if x.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(x.argval)
        elif x.opname == "IMPORT_NAME":
            imports.add(x.argval)
            relative = relative or not x.argval
        elif x.opname == "IMPORT_STAR":
            relative = True
    return attributes, imports, relative


@functools.lru_cache(maxsize=4096)
def _facts(code: CodeType) -> _Facts:
    return _Facts(code)


def _digest(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


_BUILTINS = vars(sys.modules["builtins"])


def _is_library(module: str) -> bool:
    return module == "mcgrad" or module.startswith("mcgrad.")


def _is_of_numpy(x: Any) -> bool:
    """Tell whether a function is one of NumPy's or SciPy's own, under the name that it has there."""
    name = getattr(x, "__name__", "")
    special = sys.modules.get("scipy.special")
    homes = (np, np.linalg, special, sys.modules.get(getattr(x, "__module__", None) or ""))
    return any(home is not None and getattr(home, name, None) is x for home in homes)


def _slots(cls) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else tuple(slots)
    return [x for x in slots if x not in ("__dict__", "__weakref__")]


def _is_slot(value: object) -> bool:
    return isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))


def _has(cls, name: str) -> bool:
    return any(name in vars(base) for base in cls.__mro__[:-1])
