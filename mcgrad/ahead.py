"""Compile many kernels at the same time, in processes of their own, into the cache on disk.

Numba compiles one function at a time in a process, whatever the number of threads. A kernel is text, so that another
process can compile it; this one then loads the machine code in a few milliseconds.
"""

import concurrent.futures
import contextlib
import gc
import hashlib
import os
import pickle
import queue
import subprocess
import sys

from .compiler import cache, machines

WORTH = 120  # lines of text that take about as long to compile as a process takes to start


class Crew:
    """Processes that compile, started when there is something to do; a context, at whose end they are gone.

    Whatever goes wrong is no error: a kernel that is not in the cache is compiled when it is first used.

    Parameters
    ----------
    workers : int, optional
        Processes; one for each core by default.
    """

    def __init__(self, workers=None, machine="simd"):
        self.workers, self.machine = workers or cores(), machine
        self.pool, self.children, self.idle = None, [], queue.SimpleQueue()
        self.known, self.waiting = set(), []

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        for child in self.children:
            child.kill()
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        for child in self.children:
            with contextlib.suppress(OSError):  # it may have gone with something left to read
                child.stdin.close()
            child.stdout.close()
            child.wait()

    def submit(self, kernels):
        """Begin to compile those of the kernels that are not in the cache, the longest first."""
        missing = {k.text: k for k in kernels if k.text not in self.known and not is_compiled(k, self.machine)}
        if self.pool is None and sum(map(_lines, missing.values())) < 2 * WORTH:
            return
        if self.machine == "numpy" or self.workers < 2 or cache.folder() is None:
            return
        self.known |= set(missing)
        if self.pool is None:
            self.pool = concurrent.futures.ThreadPoolExecutor(self.workers)
            self.children = [_start(self.machine) for _ in range(self.workers)]
            for child in self.children:
                self.idle.put(child)
        self.waiting += [self.pool.submit(self._compile, k) for k in sorted(missing.values(), key=_lines, reverse=True)]

    def wait(self):
        """Return when all of them are in the cache."""
        concurrent.futures.wait(self.waiting)

    def _compile(self, kernel):
        child = self.idle.get()
        with contextlib.suppress(OSError):
            pickle.dump(kernel, child.stdin)
            child.stdin.flush()
            child.stdout.read(1)
        self.idle.put(child)


def compile_ahead(kernels, workers=None, machine="simd"):
    """Compile those of the kernels that are not in the cache yet."""
    with Crew(workers, machine) as crew:
        crew.submit(kernels)
        crew.wait()


def cores():
    """Return the number of cores to run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_compiled(kernel, machine="simd"):
    """Tell whether the cache on disk has the machine code of a kernel."""
    folder = cache.folder()
    tag = f"{machine} {kernel.width(machine)}"
    name = "k_" + hashlib.sha256(f"{cache.library_hash()}|{tag}|{kernel.text}".encode()).hexdigest()[:20]
    return folder is not None and cache._is_compiled(folder / f"{name}.py")


def _lines(kernel):
    return kernel.text.count("\n")


def _start(machine):
    """Start a process that compiles the kernels it is sent; it finds this package where this process found it."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from mcgrad.ahead import _child; _child({machine!r})"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", code], **pipes)


def _child(machine):
    gc.disable()  # it would take a fifth of the time, and the process soon ends
    with contextlib.suppress(EOFError):
        while True:
            machines.compiled(pickle.load(sys.stdin.buffer), machine)
            sys.stdout.write(".")
            sys.stdout.flush()
