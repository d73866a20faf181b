"""An executor that does not do its work is said to be at fault, and nothing of it ends up in a number."""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import re

import pytest
from support import w1

import mcgrad as mg

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
