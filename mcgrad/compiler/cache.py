"""Content-addressed cache: a kernel's text lives in a file named after everything that its machine code depends on.

The name is a hash of the text, of this package's own source files, of the versions of Numba, llvmlite and NumPy, and of
the machine that it is compiled for. Numba's disk cache, which notices neither edited callees nor changed globals, is then
always right, and the next process loads machine code instead of compiling. Where no folder can be written, kernels are
compiled in memory: slower to start, otherwise the same.
"""

import contextlib
import functools
import gc
import hashlib
import os
import pathlib
import sys
import tempfile
import threading
import time

LOCK = threading.RLock()  # Numba compiles one function at a time; so do we, with one message each


def folder():
    """Return the folder for compiled kernels, or None if none can be written.

    `MCGRAD_CACHE_DIR` if it is set, else `mcgrad` below `XDG_CACHE_HOME` or `~/.cache`.
    """
    chosen = os.environ.get("MCGRAD_CACHE_DIR")
    if not chosen:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        chosen = os.path.join(base, "mcgrad")
    path = pathlib.Path(chosen)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError:
        return None


@functools.cache
def library_hash():
    """Return a hash of the compiler's own sources and of the versions of what it stands on."""
    import llvmlite
    import numba
    import numpy

    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {numpy.__version__}".encode())
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load(text, namespace, build, tag, label):
    """Execute the text of a kernel in `namespace`, let `build` compile it, and return what `build` returns.

    Parameters
    ----------
    text : str
        Source of the kernel; executed under its real path, so that tracebacks and debuggers show it.
    namespace : dict
        The names that the text refers to.
    build : callable
        build(namespace, cache) compiles; `cache` tells whether Numba may keep the machine code beside the text.
    tag : str
        Whatever else the machine code depends on (machine, SIMD width).
    label : str
        What to call the kernel in the message that it is being compiled; None for no message.
    """
    with LOCK:
        name, path = place(text, tag)
        if path and not path.exists():
            _write(path, text)
        namespace["__name__"] = __name__  # Numba imports the module of a function that it loads from disk
        exec(compile(text, str(path) if path else f"<{name}>", "exec"), namespace)
        with _announced(f"compiling {label}", label is None or is_compiled(path)), uncollected():
            return build(namespace, path is not None)


def place(text, tag):
    """Return the name of a kernel and the path of its text, None where no folder can be written; see `load`."""
    name = "k_" + hashlib.sha256(f"{library_hash()}|{tag}|{text}".encode()).hexdigest()[:20]
    where = folder()
    return name, where / f"{name}.py" if where else None


@contextlib.contextmanager
def uncollected():
    """Compile without garbage collection, which would take a fifth of the time and finds next to nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _write(path, text):
    """Write a file so that no other process ever sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(temporary, path)


def is_compiled(path):
    """Tell whether the machine code of a kernel is on disk beside its text."""
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    where = os.environ.get("NUMBA_CACHE_DIR")
    root = pathlib.Path(where) if where else (path.parent if path else None)
    return root is not None and path is not None and any(root.glob(f"**/{path.stem}*{python}*.nbi"))


class _announced:
    """Say on stderr what takes its time, and how long it took; nothing if it is already done."""

    def __init__(self, what, silent):
        self.what, self.silent = what, silent

    def __enter__(self):
        self.started = time.perf_counter()
        if not self.silent:
            print(f"mcgrad: {self.what} ...", end="", file=sys.stderr, flush=True)

    def __exit__(self, *failure):
        if not self.silent:
            print(f" {time.perf_counter() - self.started:.1f} s", file=sys.stderr, flush=True)
