"""Compile many kernels at the same time, in processes of their own, into the cache on disk.

What makes a kernel is Python, most of it, which threads do not speed up. A kernel is text, so that another process can
compile it; this one then loads the machine code in a few milliseconds.
"""

import contextlib
import io
import itertools
import math
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import IO, Self

from .compiler import backends, cache, store
from .compiler.backends import KernelText
from .run import thread_count

WORTH = 350  # lines of text that take about as long to compile as a process takes to start


class CompilerPool:
    """Processes that compile, started when there is something to do; a context, at whose end they are gone.

    Whatever goes wrong in them is no error: a kernel that is not in the cache is compiled when it is first used.

    Parameters
    ----------
    workers : int, optional
        Processes at work, this one included; by default one for each core, up to eight.
    """

    def __init__(self, workers: int | None = None, machine: str = "simd") -> None:
        self.workers, self.machine = workers or min(thread_count(None), 8), machine
        self.children: list[subprocess.Popen[bytes]] = []
        self.threads: list[threading.Thread] = []
        self.seen: set[str] = set()
        self.missing: list[KernelText] = []
        # (the sooner, the less; a number of its own; a kernel, or None: there is no more)
        self.waiting: queue.PriorityQueue[tuple[float, int, KernelText | None]] = queue.PriorityQueue()
        self.numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for child in self.children:
            child.kill()
            self.waiting.put((-math.inf, next(self.numbers), None))
        for thread in self.threads:
            thread.join()
        for child in self.children:
            with contextlib.suppress(OSError):  # it may have gone with something left to read
                _ends(child)[0].close()
            _ends(child)[1].close()
            child.wait()

    def submit(self, kernels: Iterable[KernelText]) -> None:
        """Begin to compile those of the kernels that are not in the cache, the longest first."""
        new = {k.text: k for k in kernels if k.text not in self.seen}
        self.seen |= set(new)
        self.missing += [k for k in new.values() if not backends.is_compiled(k, self.machine)]
        if not self.children and sum(map(_lines, self.missing)) < 2 * WORTH:
            return
        if self.machine == "numpy" or self.workers < 2 or store.folder() is None:
            return
        for kernel in self.missing:
            self.waiting.put((-_lines(kernel), next(self.numbers), kernel))
        self.missing = []
        if not self.children:
            self.children = [_start(self.machine) for _ in range(self.workers - 1)]
            self.threads = [threading.Thread(target=self._feed, args=(x,), daemon=True) for x in self.children]
            for thread in self.threads:
                thread.start()

    def wait(self) -> None:
        """Work, too, and return when all of the kernels are in the cache."""
        # Whoever waits is told elsewhere what for.
        with contextlib.suppress(queue.Empty), contextlib.redirect_stderr(io.StringIO()):
            while self.children:
                if (kernel := self.waiting.get_nowait()[2]) is not None:
                    backends.compiled(kernel, self.machine)
        for _ in self.children:
            self.waiting.put((math.inf, next(self.numbers), None))
        began = time.perf_counter()
        for thread in self.threads:
            thread.join()
        cache.waited(time.perf_counter() - began)

    def _feed(self, child: subprocess.Popen[bytes]) -> None:
        """Send one kernel after the other to a process."""
        to, back = _ends(child)
        with contextlib.suppress(OSError):
            while (kernel := self.waiting.get()[2]) is not None:
                pickle.dump(kernel, to)
                to.flush()
                if not back.read(1):
                    return


def compile_ahead(kernels: Iterable[KernelText], workers: int | None = None, machine: str = "simd") -> None:
    """Compile those of the kernels that are not in the cache yet."""
    with CompilerPool(workers, machine) as pool:
        pool.submit(kernels)
        pool.wait()


def _lines(kernel: KernelText) -> int:
    return kernel.text.count("\n")


def _ends(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return where a process reads and where it writes."""
    assert child.stdin is not None and child.stdout is not None
    return child.stdin, child.stdout


def _start(machine: str) -> subprocess.Popen[bytes]:
    """Start a process that compiles the kernels it is sent; it finds this package where this process found it."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from mcgrad.precompile import _child; _child({machine!r})"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def _child(machine: str) -> None:
    with contextlib.suppress(EOFError):
        while True:
            backends.compiled(pickle.load(sys.stdin.buffer), machine)
            sys.stdout.write(".")
            sys.stdout.flush()
