"""Wrong counts, seeds, machines, thetas: `measure`, `sample` and `rollout` refuse them by name."""

import numpy as np
import pytest
from refusals import (
    INF,
    NAN,
    PW,
    THETA,
    B,
    E,
    lq,
    names,
    problem,
    refused,
)

import mcgrad as mg
from mcgrad.estimators import kinds

COUNTS = [
    (0, "count: expected a whole number >= 1, got 0"),
    (-3, "count: expected a whole number >= 1, got -3"),
    (1.5, "count: expected a whole number, got float 1.5"),
    (NAN, "count: expected a whole number, got float nan"),
    (INF, "count: expected a whole number, got float inf"),
    ("10", "count: expected a whole number, got str '10'"),
    (None, "count: expected a whole number, got NoneType None"),
    (True, "count: expected a whole number, got bool True"),
    (2**64, "(start, )?count: expected .*got 18446744073709551616"),
]
SEEDS = [
    (-1, "seed: expected a whole number from 0 to 18446744073709551615, got -1"),
    (2**64, "seed: expected a whole number from 0 to 18446744073709551615, got 18446744073709551616"),
    (0.5, "seed: expected a whole number, got float 0.5"),
    (None, "seed: expected a whole number, got NoneType None"),
    ("seed", "seed: expected a whole number, got str 'seed'"),
]
RUNS = COUNTS and [({"count": x}, m) for x, m in COUNTS] + [({"seed": x}, m) for x, m in SEEDS]
RUNS += [
    ({"start": -1}, "start: expected a whole number >= 0, got -1"),
    ({"start": 0.5}, "start: expected a whole number, got float 0.5"),
    ({"start": 2**63}, "start, count: expected start . count <= 2.[0-9]+, got"),
    ({"theta": [1.0]}, r"theta: expected shape \(2,\), got \(1,\)"),
    ({"theta": [1.0, 2.0, 3.0]}, r"theta: expected shape \(2,\), got \(3,\)"),
    ({"theta": [[[1.0, 2.0]]]}, r"theta: expected shape \(2,\), got \(1, 1, 2\)"),
    ({"theta": 1.0}, r"theta: expected shape \(2,\), got \(\)"),
    ({"theta": [1.0, NAN]}, "theta: expected finite numbers, got list"),
    ({"machine": "gpu"}, "machine: expected one of simd, scalar, numpy, got 'gpu'"),
    ({"machine": None}, "machine: expected one of simd, scalar, numpy, got None"),
    ({"problem": lq()}, "problem: expected a Problem, got Environment"),
    ({"problem": mg.Problem}, "problem: expected a Problem, got type"),
    ({"problem": None}, "problem: expected a Problem, got NoneType None"),
]
ESTIMATORS = [
    (PW, "estimators: expected a dict such as .*got one estimator"),
    ({}, "estimators: expected a dict of name -> estimator, got dict {}"),
    (None, "estimators: expected a dict of name -> estimator, got NoneType None"),
    ([PW], "estimators: expected a dict of name -> estimator, got list"),
    ({"PW": None}, "estimators: expected name -> estimator, got 'PW' -> NoneType None"),
    ({"PW": "PW"}, "estimators: expected name -> estimator, got 'PW' -> str 'PW'"),
    ({1: PW}, "estimators: expected name -> estimator, got 1 -> Reparameterization"),
    ({"PW": kinds.Reparameterization}, "estimators: expected name -> estimator, got 'PW' -> type"),
    ({"PW": E.reparameterization}, "estimators: expected name -> estimator, got 'PW' -> function"),
    ({"b": B.value()}, "estimators: expected name -> estimator, got 'b' -> Value"),
]
MEASUREMENTS = [
    *[({"estimators": x}, m) for x, m in ESTIMATORS],
    ({"threads": 0}, "threads: expected a whole number from 1 to 4096, got 0"),
    ({"threads": -1}, "threads: expected a whole number from 1 to 4096, got -1"),
    ({"threads": 1.5}, "threads: expected a whole number, got float 1.5"),
    ({"chunk": 0}, "chunk: expected a whole number from 1 to .*, got 0"),
    ({"chunk": "all"}, "chunk: expected a whole number, got str 'all'"),
    ({"executor": "threads"}, "executor: expected .*, got str 'threads'"),
    ({"progress": 7}, "progress: expected .*, got int 7"),
    ({"covariances": "PW"}, "covariances: expected 'all', or pairs of names among 'PW', got str 'PW'"),
    ({"covariances": True}, "covariances: expected 'all', or pairs of names among 'PW', got bool True"),
    ({"covariances": ("PW", "PW")}, "covariances: expected 'all', or pairs of names .*, got str 'PW'"),
    ({"covariances": [("PW", "SF")]}, r"covariances: expected 'all', or pairs of names .*, got tuple"),
    ({"covariances": [("PW", [])]}, r"covariances: expected 'all', or pairs of names .*, got tuple"),
    ({"covariances": [], "full_covariance": True}, "covariances: expected none beside full_covariance=True"),
]


@pytest.mark.parametrize(("changes", "message"), RUNS + MEASUREMENTS, ids=names(RUNS + MEASUREMENTS))
def test_measure(changes, message):
    arguments = {"problem": problem(), "theta": THETA, "estimators": {"PW": PW}, "count": 10, "machine": "numpy"}
    refused("^" + message, mg.measure, **(arguments | changes))


@pytest.mark.parametrize(("changes", "message"), RUNS + MEASUREMENTS[:10], ids=names(RUNS + MEASUREMENTS[:10]))
def test_sample(changes, message):
    arguments = {"problem": problem(), "theta": THETA, "estimators": {"PW": PW}, "count": 10, "machine": "numpy"}
    refused("^" + message, mg.sample, **(arguments | changes))


@pytest.mark.parametrize(("changes", "message"), RUNS, ids=names(RUNS))
def test_rollout(changes, message):
    arguments = {"problem": problem(), "theta": THETA, "count": 10, "machine": "numpy"}
    refused("^" + message, mg.rollout, **(arguments | changes))


def test_numbers_that_are_whole_will_do():
    found = mg.measure(problem(), THETA, {"PW": PW}, 1e2, np.float64(3.0), chunk=np.int32(10), machine="numpy")
    again = mg.measure(problem(), np.array(THETA), {"PW": PW}, 100, 3, chunk=10, machine="numpy")
    assert found["PW"].mean.tolist() == again["PW"].mean.tolist() and found["PW"].count == 100
