"""Where work is done: threads, processes of this machine, Dask on many, MPI; executors for `measure` and for studies.

    with mg.engines.executor("processes", workers=8) as pool:
        found = mg.measure(problem, theta, estimators, 10**9, executor=pool)

Numbers do not depend on it, bit for bit. A worker does one piece of work at a time, on one thread. When one dies, what it was
at is done again by another: by `ProcessPool` and by Dask; MPI ends the whole job.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from . import validate
from .run import thread_count

__all__ = ["Refused", "ProcessPool", "executor"]

Future: TypeAlias = concurrent.futures.Future[Any]
# open(workers, scheduler), a context
Open: TypeAlias = Callable[
    [int | None, str | None], contextlib.AbstractContextManager[concurrent.futures.Executor | None]
]

NAMES = ("threads", "processes", "dask", "mpi")
LIVES = 3  # times that a piece of work may lose its process
BEGIN = 10.0  # seconds that a scheduler has to answer


class Refused(ValueError):
    """An engine that cannot be had: options do not go with it, its library is missing, or it was started in another way."""


@contextlib.contextmanager
def executor(
    name: str, workers: int | None = None, scheduler: str | None = None
) -> Iterator[concurrent.futures.Executor | None]:
    """Open an engine; a context, whose value is what `measure(executor=)` takes, and at whose end its workers are gone.

    Parameters
    ----------
    name : str
        "threads": those of this process, and None for its value. "processes": see `ProcessPool`. "dask": Dask's workers, on
        this machine or wherever the scheduler has them; the extra `dask`. "mpi": the ranks of a program that was started with
        `mpiexec -n RANKS python -m mpi4py.futures ...`, the first of which hands out the work; the extra `mpi`.
    workers : int, optional
        Of processes, and of Dask on this machine: by default, as many as there are cores.
    scheduler : str, optional
        Address of a running Dask scheduler, such as "tcp://10.0.0.1:8786".

    Raises
    ------
    ValueError
        For another name.
    Refused
        If options do not go with it, its library is missing (it says what to install), or the ranks of MPI are not there.
    OSError
        If a scheduler does not answer.
    """
    validate.one_of("engine", name, NAMES)
    if workers is not None:
        workers = validate.integer("workers", workers, 1, 2**16)
    if scheduler is not None and name != "dask":
        raise Refused(f"scheduler: expected None with {name}; it is Dask that has one")
    if workers is not None and (name in ("threads", "mpi") or scheduler is not None):
        other = {"threads": "threads= says how many there are", "mpi": "mpiexec -n says how many there are"}
        raise Refused(f"workers: expected None with {name}; {other.get(name, 'the scheduler has them')}")
    with _OPEN[name](workers, scheduler) as pool:
        yield pool


@contextlib.contextmanager
def _threads(workers: int | None, scheduler: str | None) -> Iterator[None]:
    yield None


@contextlib.contextmanager
def _processes(workers: int | None, scheduler: str | None) -> Iterator[ProcessPool]:
    pool = ProcessPool(workers)
    try:
        yield pool
    except BaseException:
        pool.kill()  # what is wanted no longer is not waited for
        raise
    pool.shutdown()


@contextlib.contextmanager
def _dask(workers: int | None, scheduler: str | None) -> Iterator[concurrent.futures.Executor]:
    distributed = _library("distributed", "dask")
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            quiet = {"dashboard_address": None, "silence_logs": "ERROR"}
            with _deaf():
                number = workers or thread_count(None)
                cluster = distributed.LocalCluster(n_workers=number, threads_per_worker=1, **quiet)
            scheduler = stack.enter_context(cluster)
        client = stack.enter_context(distributed.Client(scheduler, timeout=BEGIN, set_as_default=False))
        yield client.get_executor(pure=False)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Have the processes that are started here leave Ctrl-C to this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _mpi(workers: int | None, scheduler: str | None) -> Iterator[concurrent.futures.Executor]:
    _library("mpi4py", "mpi")
    if not any(word.startswith("mpi4py.futures") for word in sys.orig_argv):
        raise Refused(
            "engine: mpi works in a program that was started as `mpiexec -n RANKS python -m mpi4py.futures ...`, "
            "such as `... -m mpi4py.futures -m studies horizon --engine mpi`"
        )
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor
    except (ImportError, RuntimeError) as error:
        message = f"engine: mpi needs an MPI library, that of your cluster or `pip install mpich`: {error}"
        raise Refused(message.splitlines()[0]) from None

    if MPI.COMM_WORLD.size < 2:
        raise Refused("engine: mpi needs two ranks or more, one to hand out the work: mpiexec -n 3, say; there is one")
    with MPIPoolExecutor() as pool:
        yield pool


_OPEN: dict[str, Open] = {"threads": _threads, "processes": _processes, "dask": _dask, "mpi": _mpi}


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise Refused(f'engine: {extra} needs {name}: pip install "mcgrad-study[{extra}]"') from None


# ---- processes ---------------------------------------------------------------------------------------------------


class ProcessPool(concurrent.futures.Executor):
    """Processes of this machine. When one dies, killed or out of memory, others are started, and what was lost is done again.

    They end with the process that has started them, however that ends, and leave Ctrl-C to it. Who uses one in a script of its
    own begins it under `if __name__ == "__main__":`, as for all of Python's processes.

    Parameters
    ----------
    workers : int, optional
        By default, as many as there are cores.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.num_workers = thread_count(workers)
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        self._closed = False
        self._lock = threading.Lock()  # never held while a pool of Python's is asked for something: it may call back

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future:
        """Return the future of a piece of work, which is done again up to twice when its process dies."""
        future = _Piece(lambda pool: pool.submit(function, *arguments, **options))
        self._send(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and end the processes when they have done what they have."""
        with self._lock:
            self._closed, pool = True, self._pool
        if pool is not None:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """End the processes at once, whatever they are at."""
        with self._lock:
            self._closed, pool = True, self._pool
        if pool is not None:
            processes = list((pool._processes or {}).values())  # Python 3.14 has a method for this
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()

    def _send(self, future: _Piece) -> None:
        """Have a piece of work done by the pool that there is, or by a new one in place of one that has broken."""
        while True:
            with self._lock:
                if self._closed:
                    raise RuntimeError("cannot schedule new futures after shutdown")
                pool = self._pool = self._pool or _new_pool(self.num_workers)
            try:
                with _one_thread_each():
                    inner = future.begin(pool)
                break
            except concurrent.futures.BrokenExecutor:
                self._discard(pool)
        future.inner = inner
        inner.add_done_callback(lambda done: self._ended(future, pool, done))

    def _ended(self, future: _Piece, pool: concurrent.futures.Executor, inner: Future) -> None:
        if future.cancelled() or inner.cancelled():
            future.cancel()
            future.set_running_or_notify_cancel()
            return
        error = inner.exception()
        if isinstance(error, concurrent.futures.BrokenExecutor) and not self._closed:
            self._discard(pool)
            future.lives -= 1
            if future.lives:
                with contextlib.suppress(RuntimeError):  # closed meanwhile
                    self._send(future)
                    return
            else:
                error = type(error)(f"a piece of work has lost its process {LIVES} times: killed, or out of memory?")
        if future.set_running_or_notify_cancel():
            if error is None:
                future.set_result(inner.result())
            else:
                future.set_exception(error)

    def _discard(self, pool: concurrent.futures.Executor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None


class _Piece(concurrent.futures.Future[Any]):
    """The future of a piece of work, whichever process does it in the end."""

    def __init__(self, begin: Callable[[concurrent.futures.Executor], Future]) -> None:
        super().__init__()
        self.begin, self.lives = begin, LIVES
        self.inner: Future | None = None

    def cancel(self) -> bool:
        if self.inner is not None:
            self.inner.cancel()
        return super().cancel()


def _new_pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    # Spawned, since a copy of a process with threads would wait for locks that nobody holds.
    spawn = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have the processes that are started here do their linear algebra on one thread: there is one for each core."""
    names = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} - set(os.environ)
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


def _begin() -> None:
    """Begin a process: Ctrl-C is for the one that has started it, with which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
