"""An executor that does not do its work is said to be at fault, and nothing of it ends up in a number."""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import re
import signal
import time

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad import engines, executors

PW = {"PW": mg.estimators.reparameterization()}


def measure(executor, **options):
    problem, theta = w1(horizon=5)
    return mg.measure(problem, theta, PW, 1000, executor=executor, chunk=100, **options)


class Own(concurrent.futures.Executor):
    """Work is done at once, and what comes back is changed."""

    def __init__(self, change, after=0):
        self.change, self.left, self.futures = change, after, []

    def submit(self, function, /, *arguments, **options):
        future = concurrent.futures.Future()
        future.set_result(function(*arguments, **options))
        self.left -= 1
        future = future if self.left >= 0 else self.change(future)
        self.futures.append(future)
        return future


def changed(change):
    """Return what replaces a future by one with another result."""

    def other(future):
        new = concurrent.futures.Future()
        new.set_result(change(future.result()))
        return new

    return other


def test_an_executor_of_a_users_own_will_do():
    assert (measure(Own(lambda future: future))["PW"].mean == measure(None)["PW"].mean).all()


@pytest.mark.parametrize("after", [0, 7])
@pytest.mark.parametrize(
    "change, got",
    [
        (lambda future: None, "to return futures, got None"),
        (lambda future: future.result(), "to return futures, got PowerSums"),
        (changed(lambda sums: None), "to return the sums of 100 samples, got None"),
        (changed(lambda sums: [1.0]), r"to return the sums of 100 samples, got list"),
        (
            changed(lambda sums: dataclasses.replace(sums, own=sums.own[:, :, :3])),
            "to return the sums of 100 samples, got PowerSums",
        ),
        (
            changed(lambda sums: dataclasses.replace(sums, own=2 * sums.own)),
            "to return the sums of 100 samples, got PowerSums",
        ),
    ],
    ids=["None", "no future", "nothing", "list", "shape", "count"],
)
def test_what_returns_something_else_is_refused(change, got, after):
    with pytest.raises(ValueError, match=f"^executor: expected Own {got}"):
        measure(Own(change, after))


def test_a_pool_that_is_shut_down_is_refused():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    what = "executor: expected one that takes work, but ThreadPoolExecutor says: cannot schedule new futures after shutdown"
    with pytest.raises(ValueError, match=f"^{re.escape(what)}$"):
        measure(pool)


def test_a_pool_that_is_shut_down_meanwhile_is_refused():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        progress = lambda done, total: pool.shutdown(wait=False, cancel_futures=True)  # noqa: E731
        with pytest.raises(ValueError, match="^executor: expected (one that takes work|ThreadPoolExecutor to finish)"):
            measure(pool, progress=progress, threads=1)


def test_a_pool_whose_process_dies_is_refused():
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        died = pool.submit(os._exit, 1)
        assert isinstance(died.exception(), concurrent.futures.BrokenExecutor)
        with pytest.raises(ValueError, match="^executor: expected one that takes work, but ProcessPoolExecutor says"):
            measure(pool)


def test_errors_of_the_work_itself_are_passed_on_and_the_rest_is_not_done():
    class Bad(Exception):
        pass

    def fail(future):
        new = concurrent.futures.Future()
        new.set_exception(Bad("of a worker"))
        return new

    own = Own(fail, 2)
    with pytest.raises(Bad, match="of a worker"):
        measure(own)


# ---- how much is in flight, and in which pieces ----------------------------------------------------------------


class Counting(concurrent.futures.Executor):
    """Work is done when its result is asked for; what is waiting is counted."""

    def __init__(self, workers=None):
        self.num_workers, self.pieces, self.waiting, self.most = workers, 0, 0, 0

    def submit(self, function, /, *arguments, **options):
        counting = self

        class Later(concurrent.futures.Future):
            def result(self, timeout=None):
                counting.waiting -= 1
                return function(*arguments, **options)

        self.pieces, self.waiting = self.pieces + 1, self.waiting + 1
        self.most = max(self.most, self.waiting)
        return Later()


def same(a, b):
    arrays = [name for name, x in vars(a.sums).items() if isinstance(x, np.ndarray)]
    assert "own" in arrays
    for name in arrays:
        np.testing.assert_array_equal(getattr(a.sums, name), getattr(b.sums, name))


@pytest.mark.parametrize("workers, most", [(1, 2), (3, 6), (17, 34), (None, 2 * executors.UNKNOWN)])
def test_twice_as_many_pieces_are_in_flight_as_there_are_workers(workers, most):
    problem, theta = w1(horizon=5)
    found = []
    for pool in (None, Counting(workers)):
        found.append(mg.measure(problem, theta, PW, 30_011, executor=pool, chunk=100))
    same(*found)
    assert pool.most == most and pool.pieces >= min(4 * (workers or executors.UNKNOWN), 301)
    batch = Counting(workers)
    mg.measure(problem, np.tile(theta, (200, 1)), PW, 4, executor=batch)
    assert batch.most == most


def test_far_workers_get_large_pieces():
    """A million chunks are no million messages; each of 8 workers has four pieces and more."""
    problem, theta = w1(horizon=1)
    pool = Counting(8)
    found = mg.measure(problem, theta, PW, 2**16, executor=pool, chunk=16)
    assert pool.pieces == 32 and pool.most == 16
    same(found, mg.measure(problem, theta, PW, 2**16, threads=1, chunk=16))


def test_workers_are_counted_where_an_executor_says_it():
    class Client:
        def nthreads(self):
            return {"tcp://one": 4, "tcp://two": 12}

    dask = Counting()
    dask._client = Client()
    assert executors.workers(dask) == 16
    dask._client.nthreads = dict  # none has come yet
    assert executors.workers(dask) == executors.workers(object()) == executors.UNKNOWN
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert executors.workers(pool) == 3
    assert executors.workers(engines.ProcessPool(5)) == 5


def test_what_is_finished_before_an_error_is_not_lost():
    def work(x):
        if x == 2:
            raise KeyError("two")
        time.sleep(0.1 * (x == 0))
        return x

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = []
        with pytest.raises(KeyError, match="two"):
            for number, x in executors.as_finished(pool, work, [(k,) for k in (1, 3, 2, 5, 6)]):
                time.sleep(0.2)  # the others have ended by now
                found.append((number, x))
    assert (0, 1) in found and (1, 3) in found


# ---- processes that die ----------------------------------------------------------------------------------------


def die_once(path, x):
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_a_process_that_dies_costs_its_pieces_and_no_more(tmp_path, monkeypatch):
    """The piece that kills its process is done again, and so is what broke with it; one that always kills is an error."""
    monkeypatch.setattr(engines, "LIVES", 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with engines.executor("processes", 1) as pool:
        assert (
            pool.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "1" and "OMP_NUM_THREADS" not in os.environ
        )
        found = [pool.submit(die_once, tmp_path / "died", x) for x in range(7)]
        assert [future.result(timeout=60) for future in found] == list(range(7))
        same(measure(pool), measure(None))
        dying = pool.submit(os._exit, 1)
        assert "has lost its process 2 times" in str(dying.exception(timeout=60))
    with pytest.raises(ValueError, match="executor: expected one that takes work, but ProcessPool says"):
        measure(pool)


def test_processes_end_when_nobody_waits_for_them():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), engines.executor("processes", 1) as pool:
        assert pool.submit(abs, -1).result(timeout=60) == 1
        (process,) = pool._pool._processes.values()
        pool.submit(time.sleep, 1000)
        raise KeyboardInterrupt
    assert not process.is_alive() and time.monotonic() - began < 60


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("cluster", {}, "engine: expected 'threads', 'processes', 'dask' or 'mpi', got str 'cluster'"),
        ("processes", {"workers": 0}, "workers: expected"),
        ("threads", {"workers": 2}, "workers: expected None with threads; threads= says how many there are"),
        ("dask", {"workers": 2, "scheduler": "tcp://x:1"}, "workers: expected None with dask; the scheduler has them"),
        ("processes", {"scheduler": "tcp://x:1"}, "scheduler: expected None with processes"),
    ],
)
def test_engines_refuse_what_does_not_go_together(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)), engines.executor(name, **options):
        pass


def test_an_engine_whose_library_is_missing_says_what_to_install(monkeypatch):
    for name, library in (("dask", "distributed"), ("mpi", "mpi4py")):
        monkeypatch.setitem(__import__("sys").modules, library, None)
        with pytest.raises(engines.Refused) as error, engines.executor(name):
            pass
        assert str(error.value) == f'engine: {name} needs {library}: pip install "mcgrad-study[{name}]"'
