"""Content-addressed cache of machine code: its name is a hash of everything that it depends on.

That is the text of the kernel, this package's own source files, the versions of Python, Numba, llvmlite and NumPy, what
Numba is told by its environment, and the processor. An edited callee or another machine is then another name, and the
next process links machine code (`native.link`) instead of compiling. What is found under a name is checked by `store`.
"""

import contextlib
import functools
import gc
import hashlib
import importlib.util
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from . import native, store

LOCK = threading.RLock()  # one function at a time, with one message each

# What Numba is told of threads and folders leaves no trace in machine code.
_IMMATERIAL = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"}
Build: TypeAlias = Callable[[], tuple[Any, Any]]  # makes what a function is compiled from


def load(text: str, tag: str, arguments: Sequence[str], build: Build, label: str | None = None) -> Callable[..., Any]:
    """Return the compiled function of a text: linked from what is kept on disk, or compiled, and kept.

    Parameters
    ----------
    text : str
        Source; it names the machine code.
    tag : str
        Whatever else the machine code depends on (which function, its SIMD width).
    arguments : tuple of str
        What the function takes, see `native.ARRAYS`.
    build : callable
        build() -> (object file, functions it needs), as of `native.compile_text`; only called if there is something to
        compile.
    label : str, optional
        What to call the kernel in the message that it is being compiled; without one there is no message.
    """
    with LOCK:
        name = place(text, tag, arguments)
        kept = store.read(name)
        function = None if kept is None else native.link(*_unpacked(kept))
        if function is None:
            with _announced(f"compiling {label}", label is None), _uncollected():
                made = build()
            store.write(name, _packed(*made))
            function = native.link(*made)
        if function is None:
            raise RuntimeError(f"{label or tag}: machine code refers to functions that this process does not have")
        return function


def place(text: str, tag: str, arguments: Sequence[str]) -> str:
    """Return the name of machine code; see `load`."""
    return "k_" + hashlib.sha256(f"{_surroundings()}|{tag}|{arguments}|{text}".encode()).hexdigest()[:20]


def is_kept(text: str, tag: str, arguments: Sequence[str]) -> bool:
    """Tell whether machine code is on disk, whole."""
    return store.read(place(text, tag, arguments)) is not None


def _packed(code: bytes, outside: Sequence[str]) -> bytes:
    return "\n".join(outside).encode() + b"\0" + code


def _unpacked(data: bytes) -> tuple[bytes, list[str]]:
    outside, _, code = data.partition(b"\0")
    return code, outside.decode().split()


def _surroundings() -> str:
    """Return a hash of all that machine code depends on besides its text."""
    told = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in _IMMATERIAL)
    return f"{library_hash()} {_processor()} {told}"


@functools.cache
def library_hash() -> str:
    """Return a hash of the compiler's own sources and of the versions of what it stands on."""
    import llvmlite
    import numpy

    about = f"{sys.implementation.cache_tag} {llvmlite.__version__} {numpy.__version__}"
    digest = hashlib.sha256(about.encode())
    # Numba says which version it is without being imported, which would take longer than all the rest.
    found = importlib.util.find_spec("numba")
    assert found is not None and found.origin is not None
    numba = pathlib.Path(found.origin).with_name("_version.py")
    told = pathlib.Path(".numba_config.yaml")
    for path in (*sorted(pathlib.Path(__file__).parent.glob("*.py")), numba, told):
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


@functools.cache
def _processor() -> str:
    import llvmlite.binding as llvm

    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


_waited = [0.0]


def compiling() -> float:
    """Return how many seconds this process has waited for the compiler: what no estimate of a time left should count."""
    return _waited[0]


def waited(seconds: float) -> None:
    """Count seconds of waiting for the compiler, or for other processes that compile."""
    _waited[0] += seconds


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Compile without garbage collection, which would take a fifth of the time and finds next to nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _announced:
    """Say on stderr what takes its time, and how long it took."""

    def __init__(self, what: str, silent: bool) -> None:
        self.what, self.silent = what, silent

    def __enter__(self) -> None:
        self.started = time.perf_counter()
        if not self.silent:
            print(f"mcgrad: {self.what} ...", end="", file=sys.stderr, flush=True)

    def __exit__(self, *failure: object) -> None:
        seconds = time.perf_counter() - self.started
        waited(seconds)
        if not self.silent:
            print(f" {seconds:.1f} s", file=sys.stderr, flush=True)
