"""What is no array of real numbers, in every place that takes one: a ValueError names what is wrong, and what came."""

import numpy as np
import pytest
from refusals import (
    INF,
    NAN,
    PW,
    TWO,
    B,
    E,
    environment,
    lq,
    policy,
    problem,
    refused,
)

import mcgrad as mg


class Odd:
    def __repr__(self):
        return "an odd thing"


# What is no array of real numbers, whatever is asked for.
NO_NUMBERS = [
    ("abc", "got str 'abc'"),
    ("1.5", "got str '1.5'"),
    (["1", "2"], "got list"),
    (None, "got NoneType None"),
    (1j, "got complex 1j"),
    (np.array([1j]), "got ndarray"),
    (np.ma.masked_array([1.0, 2.0], mask=[True, False]), "got MaskedArray"),
    (np.array([1.0, 2.0], dtype=object), "got ndarray"),
    (np.array(["2020-01-01"], dtype="datetime64[D]"), "got ndarray"),
    ([[1.0, 2.0], [3.0]], "got list"),
    ({"a": 1}, "got dict"),
    ({1.0}, "got set"),
    (Odd(), "got Odd an odd thing"),
    (Odd, "got type"),
    ([[None, 1.0], [1.0, 1.0]], "got list"),
    (np.array(["2020-01-01"], dtype="datetime64[D]"), "got ndarray"),
    (10**400, "got int 1000"),
    (lambda: 1.0, "got function"),
    ((x for x in [1.0]), "got generator"),
]


@pytest.mark.parametrize(("value", "came"), NO_NUMBERS, ids=[str(i) for i in range(len(NO_NUMBERS))])
def test_what_is_no_array_of_numbers(value, came):
    refused(f"^A: expected real numbers, {came}", lq, A=value)
    refused(f"^theta: expected real numbers, {came}", mg.sample, problem(), value, {"PW": PW}, 10)
    if value is not None:
        refused(f"^std: expected real numbers, {came}", policy, std=value)
        refused(f"^initial_mean: expected real numbers, {came}", lq, initial_mean=value)
    refused(rf"^params\['g'\]: expected real numbers, {came}", environment, params={"g": value})
    refused(f"^discount: expected real numbers, {came}", problem, discount=value)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_numbers_that_are_not_finite(value):
    matrix = np.array([[1.0, value], [value, 1.0]])
    for name in ("A", "B", "Q", "terminal_cost", "process_noise", "initial_cov"):
        refused(f"^{name}: expected finite numbers, got ndarray", lq, **{name: matrix})
    refused("^R: expected finite numbers", lq, R=[[value]])
    refused("^initial_mean: expected finite numbers, got list", lq, initial_mean=[0.0, value])
    refused("^std: expected finite numbers", policy, std=value)
    refused("^cov: expected finite numbers", policy, cov=[[value]])
    refused("^theta: expected finite numbers", mg.rollout, problem(), [0.0, value], 10)
    refused("^discount: expected finite numbers", problem, discount=value)
    refused("^horizon: expected a whole number", problem, horizon=value)
    refused(r"^params\['g'\]: expected finite numbers", environment, params={"g": [1.0, value]})
    refused("^baseline: expected finite numbers", E.score_function, value)
    refused("^k: expected finite numbers", B.of_state, lambda p, s: 0.0, k=value)


LQ = [
    ({"A": 1.0}, r"A: expected shape \(any, any\), got \(\)"),
    ({"A": [1.0, 2.0]}, r"A: expected shape \(any, any\), got \(2,\)"),
    ({"A": np.ones((2, 3))}, r"A: expected shape \(2, 2\), got \(2, 3\)"),
    ({"A": np.ones((2, 2, 2))}, r"A: expected shape \(any, any\), got \(2, 2, 2\)"),
    ({"A": np.zeros((0, 0)), "B": np.zeros((0, 1))}, "A, B: expected at least one state and one action, got n = 0"),
    ({"B": np.zeros((2, 0))}, "A, B: expected at least one state and one action, got n = 2, m = 0"),
    ({"B": [0.0, 1.0]}, r"B: expected shape \(2, any\), got \(2,\)"),
    ({"B": np.ones((3, 1))}, r"B: expected shape \(2, any\), got \(3, 1\)"),
    ({"Q": np.eye(3)}, r"Q: expected shape \(2, 2\), got \(3, 3\)"),
    ({"Q": 1.0}, r"Q: expected shape \(2, 2\), got \(\)"),
    ({"Q": [[1.0, 1.0], [0.0, 1.0]]}, "Q: expected a symmetric matrix, got one that differs from its transpose by 1"),
    ({"R": TWO}, r"R: expected shape \(1, 1\), got \(2, 2\)"),
    ({"terminal_cost": np.eye(3)}, r"terminal_cost: expected shape \(2, 2\), got \(3, 3\)"),
    ({"terminal_cost": [[1, 0.5], [0.1, 1]]}, "terminal_cost: expected a symmetric matrix"),
    ({"process_noise": 0.1}, r"process_noise: expected shape \(2, 2\), got \(\)"),
    ({"process_noise": [0.1, 0.1]}, r"process_noise: expected shape \(2, 2\), got \(2,\)"),
    ({"process_noise": -TWO}, "process_noise: expected a positive semidefinite matrix, got one with eigenvalue -1"),
    ({"process_noise": [[1, 2], [2, 1]]}, "process_noise: expected a positive semidefinite matrix.*eigenvalue -1"),
    ({"process_noise": [[1, 0.1], [0, 1]]}, "process_noise: expected a symmetric matrix"),
    ({"initial_mean": 0.0}, r"initial_mean: expected shape \(2,\), got \(\)"),
    ({"initial_mean": np.zeros(3)}, r"initial_mean: expected shape \(2,\), got \(3,\)"),
    ({"initial_mean": np.zeros((2, 1))}, r"initial_mean: expected shape \(2,\), got \(2, 1\)"),
    ({"initial_cov": [[1, 2], [2, 1]]}, "initial_cov: expected a positive semidefinite matrix"),
    ({"initial_cov": [[0, 1], [1, 0]]}, "initial_cov: expected a positive semidefinite matrix"),
    ({"initial_cov": np.eye(3)}, r"initial_cov: expected shape \(2, 2\), got \(3, 3\)"),
    ({"A": lambda s: s}, "A: expected real numbers, got function"),
]


@pytest.mark.parametrize(("changes", "message"), LQ)
def test_linear_quadratic(changes, message):
    refused("^" + message, lq, **changes)


GAUSSIAN = [
    ({}, "std, cov: expected exactly one of them, got std=None and cov=None"),
    ({"std": 0.1, "cov": [[1.0]]}, "std, cov: expected exactly one of them, got std=0.1 and cov="),
    ({"std": -0.1}, r"std: expected standard deviations >= 0, got \[-0.1\]"),
    ({"std": [0.1, 0.2]}, r"std: expected shape \(1,\), got \(2,\)"),
    ({"std": [[0.1]]}, r"std: expected shape \(1,\), got \(1, 1\)"),
    ({"std": 0.0, "learn_std": True}, r"std: expected standard deviations > 0 to learn their logarithms, got \[0.0\]"),
    ({"cov": [[-1.0]]}, "cov: expected a positive semidefinite matrix, got one with eigenvalue -1"),
    ({"cov": 1.0}, r"cov: expected shape \(1, 1\), got \(\)"),
    ({"cov": TWO}, r"cov: expected shape \(1, 1\), got \(2, 2\)"),
    ({"m": 2, "cov": [[1.0, 0.5], [0.2, 1.0]]}, "cov: expected a symmetric matrix"),
    ({"m": 2, "cov": [[1.0, 2.0], [2.0, 1.0]]}, "cov: expected a positive semidefinite matrix"),
    ({"n": 0, "std": 0.1}, "n: expected a whole number >= 1, got 0"),
    ({"n": 1.5, "std": 0.1}, "n: expected a whole number, got float 1.5"),
    ({"n": "2", "std": 0.1}, "n: expected a whole number, got str '2'"),
    ({"m": -1, "std": 0.1}, "m: expected a whole number >= 1, got -1"),
    ({"m": True, "std": 0.1}, "m: expected a whole number, got bool True"),
]


@pytest.mark.parametrize(("changes", "message"), GAUSSIAN)
def test_linear_gaussian(changes, message):
    refused("^" + message, mg.policies.linear_gaussian, **({"n": 2, "m": 1} | changes))


def test_gain_of_another_size():
    refused("^gain: expected 2 numbers, got 3", policy().theta, [1.0, 2.0, 3.0])
    refused("^gain: expected real numbers, got str 'K'", policy().theta, "K")


def test_input_is_copied():
    A = np.eye(2)
    kept = lq(A=A)
    A[0, 0] = 7.0
    assert kept.params["A"][0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        kept.params["A"][0, 0] = 7.0
