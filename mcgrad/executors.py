"""Pieces of work on any executor: twice as many in flight as it has workers, results in order or as they come.

What a piece is worth is decided elsewhere: a range of trajectories, some entries of a batch, a setting of a study. An executor
that does not do its work is a ValueError that names it, and nothing of it ends up in a number.
"""

import collections
import concurrent.futures
import itertools
import queue
import time
from collections.abc import Callable, Generator, Iterable, Sized
from typing import Any

from . import validate

AHEAD = 2  # pieces in flight for each worker: the next one is there when it has done one
UNKNOWN = 32  # workers of an executor that does not say how many it has
PATIENCE = 1.0  # seconds until workers are counted again: clusters grow and shrink


def workers(pool: Any) -> int:
    """Return how many pieces of work an executor does at once; 32 for one that does not say.

    Pools of threads and processes say it, those of MPI, and Dask's, whose threads on all machines are counted.
    """
    for name in ("num_workers", "_max_workers"):
        number = getattr(pool, name, None)
        if isinstance(number, int) and number > 0:
            return number
    threads = getattr(getattr(pool, "_client", None), "nthreads", None)
    counted = threads() if callable(threads) else None
    return (sum(counted.values()) if isinstance(counted, dict) else 0) or UNKNOWN


class Failed(ValueError):
    """An executor did not do its work; what was finished before is whole."""


class _Room:
    """How many more pieces an executor is given."""

    def __init__(self, pool: Any) -> None:
        self.pool, self.counted, self.most = pool, -PATIENCE, 0

    def left(self, waiting: Sized) -> int:
        now = time.monotonic()
        if now - self.counted > PATIENCE:
            self.counted, self.most = now, AHEAD * workers(self.pool)
        return max(self.most - len(waiting), 0)


def in_order(pool: Any, function: Callable[..., Any], pieces: Iterable[tuple[Any, ...]]) -> Generator[Any, None, None]:
    """Yield function(*piece) for each of the pieces, in their order. Close it: what is in flight is then cancelled."""
    room, pieces = _Room(pool), iter(pieces)
    waiting: collections.deque[Any] = collections.deque()  # futures
    try:
        while True:
            for piece in itertools.islice(pieces, room.left(waiting)):
                waiting.append(submitted(pool, function, *piece))
            if not waiting:
                return
            found = finished(pool, waiting[0])
            waiting.popleft()
            yield found
    finally:
        for future in waiting:
            future.cancel()


def as_finished(
    pool: Any, function: Callable[..., Any], pieces: Iterable[tuple[Any, ...]]
) -> Generator[tuple[int, Any], None, None]:
    """Yield (number, function(*piece)) for each of the pieces, as they are finished. Close it, as `in_order`.

    After an error no more are begun; those that are finished by then come before it.
    """
    room, numbered = _Room(pool), enumerate(pieces)
    waiting: dict[Any, int] = {}  # future -> number of the piece
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    failure: Exception | None = None
    try:
        while True:
            try:
                for number, piece in itertools.islice(numbered, 0 if failure else room.left(waiting)):
                    future = submitted(pool, function, *piece)
                    waiting[future] = number
                    future.add_done_callback(done.put)
            except Failed as error:
                failure = error
            if not waiting:
                break
            try:
                future = done.get(block=failure is None)
            except queue.Empty:
                break
            number = waiting.pop(future)
            try:
                found = finished(pool, future)
            except Exception as error:
                failure = failure or error
                continue
            yield number, found
    finally:
        for future in waiting:
            future.cancel()
    if failure:
        raise failure


def submitted(pool: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the future of a piece of work; `Failed` for an executor that does not take work."""
    try:
        future = pool.submit(function, *arguments)
    except (RuntimeError, concurrent.futures.BrokenExecutor) as error:
        raise Failed(f"executor: expected one that takes work, but {called(pool)} says: {error}") from error
    if not (callable(getattr(future, "result", None)) and callable(getattr(future, "cancel", None))):
        raise Failed(f"executor: expected {called(pool)} to return futures, got {validate.describe(future)}")
    return future


def finished(pool: Any, future: Any) -> Any:
    """Return what a piece of work came to; `Failed` if the executor gave it up."""
    try:
        return future.result()
    except BaseException as error:
        own = isinstance(error, (concurrent.futures.CancelledError, concurrent.futures.BrokenExecutor))
        if not own and type(error).__module__.partition(".")[0] != "distributed":  # the scheduler's, not of the work
            raise
        how = f": {error}" if str(error) else " (cancelled)"
        raise Failed(f"executor: expected {called(pool)} to finish its work, but it gave up{how}") from error


def called(pool: Any) -> str:
    """Return what an executor is called in messages."""
    return type(pool).__name__
