"""Wrong input of every kind: a ValueError that names what is wrong, what was expected and what came instead.

And right input with wrong luck: trajectories that overflow are counted and left out, never averaged and never a crash.
"""

import math
import re
import warnings

import numpy as np
import pytest

import mcgrad as mg

E, B = mg.estimators, mg.baselines
NAN, INF = math.nan, math.inf
TWO = np.eye(2)


def lq(**changes):
    return mg.environments.linear_quadratic(**({"A": TWO, "B": [[0.0], [1.0]], "Q": TWO, "R": [[0.1]]} | changes))


def policy(n=2, m=1, **options):
    return mg.policies.linear_gaussian(n, m, **(options or {"std": 0.3}))


def problem(horizon=3, discount=1.0, **options):
    return mg.Problem(lq(), policy(**options), horizon, discount)


THETA = [-0.5, -0.5]
PW = E.reparameterization()
SF = E.score_function()


def refused(message, function, *arguments, **options):
    """Check that a call raises a ValueError with a message that matches, and says something."""
    with pytest.raises(ValueError, match=f"(?s){message}") as caught:
        function(*arguments, **options)
    assert len(str(caught.value)) > 25


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


# ---- Environment, Policy, Problem ------------------------------------------------------------------------------


def init(p, z):
    return (z[0], 1.0)


def step(p, s, a, w):
    return (s[0] + 0.1 * s[1], s[1] + 0.1 * a[0])


def reward(p, s, a, s_next, w):
    return -(s[0] ** 2) - a[0] ** 2


def environment(**changes):
    defaults = {"states": 2, "actions": 1, "initial_noises": 1, "init": init, "step": step, "reward": reward}
    return mg.Environment(**(defaults | changes))


def eta(p, theta, s):
    return (theta[0] * s[0] + theta[1] * s[1],)


def sample(p, eta, e):
    return (eta[0] + 0.3 * e[0],)


def log_prob(p, eta, a):
    return -0.5 * ((a[0] - eta[0]) / 0.3) ** 2


def own_policy(**changes):
    defaults = {"states": 2, "actions": 1, "noises": 1, "parameters": ("a", "b"), "eta": eta, "sample": sample}
    return mg.Policy(**(defaults | changes))


ENVIRONMENTS = [
    ({"states": 0}, "states: expected a whole number >= 1, got 0"),
    ({"states": -2}, "states: expected a whole number >= 1, got -2"),
    ({"states": 2.5}, "states: expected a whole number, got float 2.5"),
    ({"states": None}, "states: expected a whole number, got NoneType None"),
    ({"states": "2"}, "states: expected a whole number, got str '2'"),
    ({"states": [2]}, "states: expected a whole number, got list"),
    ({"actions": -1}, "actions: expected a whole number >= 0, got -1"),
    ({"noises": -1}, "noises: expected a whole number >= 0, got -1"),
    ({"initial_noises": NAN}, "initial_noises: expected a whole number, got float nan"),
    ({"init": None}, "init: expected a function, got NoneType None"),
    ({"step": (1.0, 2.0)}, "step: expected a function, got tuple"),
    ({"reward": 5.0}, "reward: expected a function, got float 5.0"),
    ({"terminal": "t"}, "terminal: expected a function, got str 't'"),
    ({"params": [1.0]}, "params: expected a dict of numbers and arrays, got list"),
    ({"params": None}, "params: expected a dict of numbers and arrays, got NoneType"),
    ({"params": {1: 2.0}}, "params: expected names that can be written as p.name.*got 1"),
    ({"params": {"a b": 2.0}}, "params: expected names that can be written as p.name.*got 'a b'"),
    ({"params": {"lambda": 2.0}}, "params: expected names that can be written as p.name.*got 'lambda'"),
    ({"params": {"_owner": 2.0}}, "params: expected names that can be written as p.name.*got '_owner'"),
    ({"params": {"g": "9.8"}}, r"params\['g'\]: expected real numbers, got str '9.8'"),
]


@pytest.mark.parametrize(("changes", "message"), ENVIRONMENTS)
def test_environment(changes, message):
    refused("^" + message, environment, **changes)


POLICIES = [
    ({"states": 0}, "states: expected a whole number >= 1, got 0"),
    ({"noises": 1.5}, "noises: expected a whole number, got float 1.5"),
    ({"parameters": ()}, "parameters: expected a name for each component of theta, all different, got tuple"),
    ({"parameters": "ab"}, "parameters: expected a name for each component of theta, all different, got str 'ab'"),
    ({"parameters": 2}, "parameters: expected a name for each component of theta, all different, got int 2"),
    ({"parameters": None}, "parameters: expected a name for each component of theta, all different, got NoneType"),
    ({"parameters": ("a", "a")}, r"parameters: expected a name .* all different, got tuple \('a', 'a'\)"),
    ({"eta": None}, "eta: expected a function, got NoneType None"),
    ({"sample": 1.0}, "sample: expected a function, got float 1.0"),
    ({"score": 1.0}, "score: expected a function, got float 1.0"),
    ({"log_prob": "p"}, "log_prob: expected a function, got str 'p'"),
    ({"params": 3}, "params: expected a dict of numbers and arrays, got int 3"),
    ({"start": [1.0, 2.0, 3.0]}, "start: expected at most 2 numbers, one for each parameter, got 3"),
    ({"start": 1.0}, r"start: expected shape \(any,\), got \(\)"),
    ({"start": ["a"]}, "start: expected real numbers, got list"),
]


@pytest.mark.parametrize(("changes", "message"), POLICIES)
def test_policy(changes, message):
    refused("^" + message, own_policy, **changes)


PROBLEMS = [
    ({"horizon": 0}, "horizon: expected a whole number from 1 to .*, got 0"),
    ({"horizon": -5}, "horizon: expected a whole number from 1 to .*, got -5"),
    ({"horizon": 10.5}, "horizon: expected a whole number, got float 10.5"),
    ({"horizon": None}, "horizon: expected a whole number, got NoneType None"),
    ({"horizon": 10**12}, "horizon: expected a whole number from 1 to .*, got 1000000000000"),
    ({"horizon": True}, "horizon: expected a whole number, got bool True"),
    ({"discount": 0}, "discount: expected a number <= 1.0 and > 0.0, got 0.0"),
    ({"discount": -0.5}, "discount: expected a number <= 1.0 and > 0.0, got -0.5"),
    ({"discount": 1.01}, "discount: expected a number <= 1.0 and > 0.0, got 1.01"),
    ({"discount": [0.9]}, r"discount: expected a number or shape \(5,\), one for each step, got \(1,\)"),
    ({"environment": policy()}, "environment: expected an Environment, got Policy"),
    ({"environment": mg.Environment}, "environment: expected an Environment, got type"),
    ({"environment": None}, "environment: expected an Environment, got NoneType None"),
    ({"policy": lq()}, "policy: expected a Policy, got Environment"),
    ({"policy": mg.policies.linear_gaussian}, "policy: expected a Policy, got function"),
    ({"policy": policy(3, 1)}, "policy: expected one for 2 states, as the environment has, got one for 3"),
    ({"policy": policy(2, 2)}, "policy: expected one for 1 actions, as the environment has, got one for 2"),
]


@pytest.mark.parametrize(("changes", "message"), PROBLEMS)
def test_problem(changes, message):
    refused("^" + message, mg.Problem, **({"environment": lq(), "policy": policy(), "horizon": 5} | changes))


# ---- measure, sample, rollout ----------------------------------------------------------------------------------

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
    ({"PW": E.Reparameterization}, "estimators: expected name -> estimator, got 'PW' -> type"),
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


def names(table):
    """Names without addresses in memory: workers that run the tests side by side have to agree on them."""
    return [re.sub(r" at 0x\w+", "", str(x))[:60] for x, _ in table]


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


# ---- baselines, estimators -------------------------------------------------------------------------------------

BASELINES = [
    (B.value, "baseline: expected a baseline, got function .*; write value"),
    (B.Value, "baseline: expected a baseline, got type .*; write value"),
    (lambda s: 0.0, "baseline: expected a baseline, got function"),
    ("value", "baseline: expected real numbers, got str 'value'"),
    (PW, "baseline: expected real numbers, got Reparameterization"),
    (np.ones((3, 2)), r"baseline: expected a number or one number for each time step, got shape \(3, 2\)"),
    (NAN, "baseline: expected finite numbers, got float nan"),
    ({"b": 1.0}, "baseline: expected real numbers, got dict"),
]


@pytest.mark.parametrize("kind", [E.score_function, E.reward_to_go])
@pytest.mark.parametrize(("baseline", "message"), BASELINES, ids=names(BASELINES))
def test_baselines(kind, baseline, message):
    refused("^" + message, kind, baseline)


def once(estimator, of=None, theta=THETA, count=4):
    """Sample one estimator."""
    return mg.sample(of or problem(), theta, {"mine": estimator}, count, machine="numpy")["mine"]


def test_baseline_of_another_length():
    refused(r"^baseline: expected shape \(3,\), got \(4,\)", once, E.reward_to_go([1.0, 2.0, 3.0, 4.0]))


def test_other_baselines():
    refused("^function: expected a function, got float 1.0", B.of_state, 1.0)
    refused("^pilot: expected a whole number >= 16, got 3", B.optimal_constant, 3)
    refused("^pilot: expected a whole number, got float 16.5", B.optimal_constant, 16.5)
    refused("baseline.*: expected one number, got a tuple of 2; write x.0.", once, E.reward_to_go(B.of_state(pair)))
    refused(
        "in needs_k, .*test_bad_input.py:.*no parameter 'k'; it has: q", once, E.reward_to_go(B.of_state(needs_k, q=1))
    )
    refused(r"baseline: TypeError .*; it is called as baseline\(p, s\)", once, E.reward_to_go(B.of_state(eta)))


def pair(p, s):
    return (s[0], s[1])


def needs_k(p, s):
    return p.k * s[0]


def test_value_baseline_without_matrices():
    own = mg.Problem(environment(), policy(), 3)
    refused("linear-quadratic", once, E.reward_to_go(B.value()), own)


CONTROLS = [
    (lambda: E.control_variate(PW, []), "controls: expected at least one estimator of zero, got none"),
    (lambda: E.control_variate("PW", E.score()), "estimator: expected an estimator, got str 'PW'"),
    (lambda: E.control_variate(PW, "score"), "controls: expected an estimator, got str"),
    (lambda: E.control_variate(PW, [E.score]), "controls: expected an estimator, got function"),
    (lambda: E.control_variate(PW, 5), "controls: expected an estimator.*, got int 5"),
    (lambda: E.control_variate(PW, None), "controls: expected an estimator.*, got NoneType None"),
    (lambda: E.control_variate(PW, E.score(), "best"), "coefficients: expected real numbers, got str 'best'"),
    (lambda: E.control_variate(PW, E.score(), [1.0]), r"coefficients: expected shape \(1, any\), got \(1,\)"),
    (lambda: E.control_variate(PW, E.score(), [[NAN]]), "coefficients: expected finite numbers"),
    (lambda: E.control_variate(PW, E.score(), [[1, 2]], full=True), r"coefficients: expected shape \(1, any, any\)"),
    (lambda: E.control_variate(PW, E.score(), pilot=3), "pilot: expected a whole number >= 16, got 3"),
    (lambda: E.control_variate(PW, E.score(), pilot="all"), "pilot: expected a whole number, got str 'all'"),
    (
        lambda: E.control_variate(E.mixture(SF, PW), E.score()),
        "estimator: a control variate inside of a control variate",
    ),
    (lambda: E.mixture(PW), "mixture: expected two or more estimators, got one"),
    (lambda: E.mixture(PW, "SF"), "expected an estimator, got str 'SF'"),
    (lambda: E.mixture("PW", SF), "expected an estimator, got str 'PW'"),
    (lambda: E.mixture(PW, SF, pilot=-1), "pilot: expected a whole number >= 16, got -1"),
    (lambda: E.difference(PW, E.Score), "expected an estimator, got type"),
    (lambda: E.difference(1.0, PW), "expected an estimator, got float 1.0"),
    (lambda: E.difference(E.mixture(SF, PW), PW), "needs fixed coefficients"),
    (lambda: E.mixture(E.reward_to_go(B.optimal_constant()), PW), "needs fixed coefficients"),
    (lambda: E.custom(None), "step: expected a function, got NoneType None"),
    (lambda: E.custom("step"), "step: expected a function, got str 'step'"),
    (lambda: E.custom(lambda c, x, k: (k, x.score), last=1.0), "last: expected a function, got float 1.0"),
    (lambda: E.custom(lambda c, x, k: (k, x.score), finish="f"), "finish: expected a function, got str 'f'"),
    (lambda: E.custom(lambda c, x, k: (k, x.score), data=[1.0]), "data: expected a dict.*, got list"),
]


@pytest.mark.parametrize(("make", "message"), CONTROLS, ids=[str(i) for i in range(len(CONTROLS))])
def test_making_estimators(make, message):
    refused(message, make)


def test_coefficients_for_another_number_of_parameters():
    refused(
        r"^coefficients: expected shape \(1, 2\), got \(1, 3\)", once, E.control_variate(PW, E.score(), [[1, 2, 3]])
    )


def test_too_few_trajectories_to_fit_coefficients():
    refused("^count: expected at least 32 trajectories for a cross-fitted", once, E.mixture(SF, PW), count=31)
    assert once(E.mixture(SF, PW), count=32).shape == (32, 2)


def scores(c, x, carry):
    return carry, x.score


CUSTOM = [
    (E.custom(lambda c, x, carry: x.score), "step of .*: expected .carry, etabar., got"),
    (E.custom(lambda c, x, carry: None), "step of .*: expected .carry, etabar., got NoneType None"),
    (E.custom(lambda c, x, carry: (carry, 1.0, 2.0)), "step of .*: expected .carry, etabar., got tuple"),
    (E.custom(lambda c, x, carry: ((1.0,), x.score)), "step of .*: .* carry of another shape"),
    (E.custom(lambda c, x, carry: (carry + (0.0,), x.score), last=lambda c, end: (0.0,)), "carry of another shape"),
    (E.custom(lambda c, x, carry: ((carry,), x.score), last=lambda c, end: 0.0), "carry of another shape"),
    (E.custom(lambda c, x, carry: (carry, x.score + (0.0,))), "expected a cotangent of 1 numbers, like eta, got 2"),
    (E.custom(lambda c, x, carry: (carry, ())), "expected a cotangent of 1 numbers, like eta, got 0"),
    (
        E.custom(lambda c, x, carry: (carry, 0.0)),
        "etabar: expected a tuple like eta, or a list of such tuples, got float",
    ),
    (E.custom(lambda c, x, carry: (carry, None)), "etabar: expected a tuple like eta.*got NoneType None"),
    (E.custom(lambda c, x, carry: (carry, "z")), "etabar: expected a tuple like eta.*got str 'z'"),
    (E.custom(lambda c, x, carry: (carry, ("z",))), "etabar of .*: expected a number, got str 'z'"),
    (E.custom(scores, finish=lambda c, sums, carry: sums[:1]), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: sums + (0.0,)), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: None), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: 1.0), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: ("a", "b")), "finish of .*: expected a number, got str 'a'"),
    (E.custom(scores, last=lambda c, end: "carry"), "carry: expected numbers or tuples of numbers, got str 'carry'"),
    (E.custom(scores, last=lambda c, end: 1j), "carry: expected numbers or tuples of numbers, got complex 1j"),
    (E.custom(lambda c, x: (x.score,)), "step of .*: TypeError.*positional argument"),
    (E.custom(scores, last=lambda c: ()), "last of .*: TypeError.*positional argument"),
    (E.custom(lambda c, x, carry: (carry, x.nothing)), "in <lambda>, .*test_bad_input.py.*no attribute 'nothing'"),
    (E.custom(lambda c, x, carry: (carry, (c.b,))), "in <lambda>, .*test_bad_input.py.*no parameter 'b'; it has: none"),
    (E.custom(lambda c, x, carry: (carry, (c.b,)), data={"a": 1.0}), "no parameter 'b'; it has: a"),
    (E.custom(scores, data={"b": "x"}), "b: expected real numbers, got str 'x'"),
    (E.custom(scores, data={"b": [NAN]}), "b: expected finite numbers"),
    (E.custom(scores, data={"b": E.PerStep([1.0, 2.0])}), r"b: expected data for 4 times \(0 to T\), got 2"),
    (E.custom(scores, data={"b": E.PerStep(1.0)}), r"b: expected data for 4 times \(0 to T\), got"),
    (E.custom(lambda c, x, carry: (carry, (x.s[0] if x.s[0] > 0 else 0.0,))), "where.condition, a, b. instead of `if`"),
]


@pytest.mark.parametrize(("estimator", "message"), CUSTOM, ids=[str(i) for i in range(len(CUSTOM))])
def test_custom_estimators(estimator, message):
    refused(message, once, estimator)


def test_custom_estimators_may_use_math():
    ours = once(E.custom(lambda c, x, carry: (carry, (math.exp(x.s[0]) * x.score[0],))))
    assert ours.shape == (4, 2) and np.isfinite(ours).all()


def test_there_is_no_score_function_without_a_density():
    for estimator in (SF, E.reward_to_go(1.0), E.score(), E.difference(SF, PW), E.custom(scores)):
        refused(
            "no score function here: .*a standard deviation of 0.*reparameterization",
            once,
            estimator,
            problem(std=0.0),
        )
    without = mg.Problem(environment(), own_policy(), 3)
    refused("no score function here: policy has neither `score` nor `log_prob`", once, SF, without)


# ---- what users write ------------------------------------------------------------------------------------------


def rollout_of(**changes):
    own = environment(**({"params": {"g": 9.8, "M": TWO}, "noises": 1} | changes))
    return mg.rollout(mg.Problem(own, policy(), 3), THETA, 4, machine="numpy")


RESULTS = [
    ("init", lambda p, z: [1.0, 2.0], "expected a tuple of 2 numbers, got a list of 2; write `return .x, y"),
    ("init", lambda p, z: (1.0,), "expected a tuple of 2 numbers, got 1 of them"),
    ("init", lambda p, z: 1.0, r"expected a tuple of 2 numbers, got float 1.0; write `return \(x,\)`"),
    ("init", lambda p, z: None, r"expected a tuple of 2 numbers, got None \(is there a `return`\?\)"),
    ("init", lambda p, z: "ab", "expected a tuple of 2 numbers, got str 'ab'"),
    ("init", lambda p, z: ("a", "b"), "expected numbers, got str 'a' as number 0 of its result"),
    ("init", lambda p, z: (1.0, 1j), "expected numbers, got complex 1j as number 1 of its result"),
    ("init", lambda p, z: (1.0, None), "expected numbers, got None .* as number 1 of its result"),
    ("init", lambda p, z: {1.0, 2.0}, "expected a tuple of 2 numbers, got set"),
    ("init", lambda p, z: (x for x in z), "expected a tuple of 2 numbers, got generator"),
    ("step", lambda p, s, a, w: ((s[0], s[1]),), "expected a tuple of 2 numbers, got 1 of them"),
    ("step", lambda p, s, a, w: (s, s), "expected numbers, got a tuple of 2 as number 0 of its result"),
    ("step", lambda p, s, a, w: s + a, "expected a tuple of 2 numbers, got 3 of them"),
    ("step", lambda p, s, a, w: 2 * s, "expected a tuple of 2 numbers, got 4 of them"),
    ("step", lambda p, s, a, w: np.outer(s, s), r"expected a tuple of 2 numbers, got an array of shape \(2, 2\)"),
    (
        "step",
        lambda p, s, a, w: (s[0], np.array([s[1]])),
        r"expected numbers, got an array of shape \(1,\) as number 1",
    ),
    ("step", lambda p, s, a, w: s[0], r"expected a tuple of 2 numbers, got Tracer .*; write `return \(x,\)`"),
    ("reward", lambda p, s, a, s_next, w: (s[0],), r"expected one number, got a tuple of 1; write x\[0\] instead of x"),
    ("reward", lambda p, s, a, s_next, w: p.M @ s, r"expected one number, got an array of shape \(2,\)"),
    ("reward", lambda p, s, a, s_next, w: None, r"expected one number, got None \(is there a `return`\?\)"),
    ("reward", lambda p, s, a, s_next, w: "r", "expected one number, got str 'r'"),
    ("reward", lambda p, s, a, s_next, w: 1j, "expected one number, got complex 1j"),
    ("terminal", lambda p, s: s, r"expected one number, got a tuple of 2; write x\[0\] instead of x"),
]


@pytest.mark.parametrize(("name", "function", "message"), RESULTS, ids=[str(i) for i in range(len(RESULTS))])
def test_results_of_a_users_functions(name, function, message):
    refused(
        rf"^{name} of environment \(<lambda>, .*test_bad_input.py:[0-9]+\): {message}", rollout_of, **{name: function}
    )


ARGUMENTS = [
    ("init", lambda z: (1.0, 2.0), r"it is called as init\(p, z\)"),
    ("step", lambda s, a, w: s, r"it is called as step\(p, s, a, w\)"),
    (
        "step",
        lambda p, s, a, w, t: s,
        r"missing 1 required positional argument: 't'; it is called as step\(p, s, a, w\)",
    ),
    (
        "reward",
        lambda p, s, a: 0.0,
        r"takes 3 positional .* 5 were given; it is called as reward\(p, s, a, s_next, w\)",
    ),
    ("terminal", lambda s: 0.0, r"it is called as terminal\(p, s\)"),
]


@pytest.mark.parametrize(("name", "function", "message"), ARGUMENTS, ids=[str(i) for i in range(len(ARGUMENTS))])
def test_arguments_of_a_users_functions(name, function, message):
    refused(f"^{name} of environment: TypeError while tracing it: .*{message}", rollout_of, **{name: function})


def uses_if(p, s, a, w):
    if s[0] > 0:
        return s
    return (-s[0], s[1])


def fills_a_float_array(p, s, a, w):
    out = np.zeros(2)
    out[0] = s[0]
    return tuple(out)


def asserts(p, s, a, w):
    assert s[0] < 100
    return s


def changes_a_state(p, s, a, w):
    s[0] = 1.0
    return s


def changes_a_parameter(p, s, a, w):
    p.g = 5.0
    return s


def changes_a_matrix(p, s, a, w):
    p.M[0, 0] = s[0]
    return p.M @ s


def wrong_name(p, s, a, w):
    return (s[0], undefined_name)  # noqa: F821


BODIES = [
    (uses_if, "Write where.condition, a, b. instead of `if`"),
    (fills_a_float_array, "build a tuple or a list instead of filling an array"),
    (asserts, "`assert` cannot depend on it"),
    (changes_a_state, "'tuple' object does not support item assignment"),
    (changes_a_parameter, "the parameters of environment cannot be changed: p.g"),
    (changes_a_matrix, "assignment destination is read-only"),
    (wrong_name, "NameError while tracing it: name 'undefined_name' is not defined"),
    (lambda p, s, a, w: (s[0] and s[1], s[1]), "& | ~ instead of and, or, not"),
    (lambda p, s, a, w: (sum(s[0] for _ in range(int(s[0]))), s[1]), "no integer value yet"),
    (lambda p, s, a, w: (float(s[0]), s[1]), "no numerical value yet"),
    (lambda p, s, a, w: (math.gamma(s[0]), s[1]), "a function of `math` that is not in this list"),
    (lambda p, s, a, w: np.linalg.inv(np.outer(s, s)) @ s, "UFuncTypeError while tracing it: .*what can be traced"),
    (lambda p, s, a, w: (s[s[0]], s[1]), "no integer value yet"),
    (lambda p, s, a, w: (s[5], s[1]), "step of environment: IndexError while tracing it: tuple index out of range"),
    (lambda p, s, a, w: (p.M[5, 0], s[1]), "IndexError while tracing it: index 5 is out of bounds"),
    (lambda p, s, a, w: (p.h * s[0], s[1]), "environment has no parameter 'h'; it has: g, M"),
    (lambda p, s, a, w: (p["g"] * s[0], s[1]), "TypeError while tracing it: 'Named' object is not subscriptable"),
    (lambda p, s, a, w: (s[0] / (1 - 1), s[1] / 0), "division by the constant 0"),
    (lambda p, s, a, w: (1 / 0, s[1]), "ZeroDivisionError while tracing it"),
    (lambda p, s, a, w: (s[0] + "a", s[1]), "TypeError while tracing it: unsupported operand"),
    (lambda p, s, a, w: -s, "TypeError while tracing it: bad operand type for unary -: 'tuple'"),
    (lambda p, s, a, w: s @ s, "TypeError while tracing it: unsupported operand type.* for @"),
    (lambda p, s, a, w: np.ones((3, 3)) @ s, "ValueError while tracing it: matmul"),
    (lambda p, s, a, w: (s[0] + np.random.normal(), s[1]), "Use the standard normals that it is given"),  # noqa: NPY002
    (lambda p, s, a, w: (w[1], s[1]), "IndexError while tracing it: tuple index out of range"),
    (lambda p, s, a, w: (s.x, s[1]), "AttributeError while tracing it: 'tuple' object has no attribute 'x'"),
    (lambda p, s, a, w: (s[0] * 10**400, s[1]), "OverflowError while tracing it: int too large"),
    (lambda p, s, a, w: s[0].copy(), "AttributeError while tracing it: 'Tracer' object has no attribute 'copy'"),
]


@pytest.mark.parametrize(("function", "message"), BODIES, ids=[str(i) for i in range(len(BODIES))])
def test_bodies_of_a_users_functions(function, message):
    refused(f"^in {function.__name__}, .*test_bad_input.py:[0-9]+: .*{message}", rollout_of, step=function)


OWN_POLICIES = [
    (
        {"eta": lambda p, theta, s: [s[0]]},
        r"^eta of policy \(<lambda>, .*\): expected a tuple of numbers, got a list of 1",
    ),
    ({"eta": lambda p, theta, s: s[0]}, r"^eta of policy \(.*\): expected a tuple of numbers, got Tracer"),
    ({"eta": lambda p, theta, s: (None,)}, r"^eta of policy \(.*\): expected numbers, got None"),
    ({"eta": lambda theta, s: (s[0],)}, r"^eta of policy: TypeError .*; it is called as eta\(p, theta, s\)"),
    ({"eta": lambda p, theta, s: (theta[2],)}, "^in <lambda>, .*eta of policy: IndexError"),
    ({"eta": lambda p, theta, s: (p.k,)}, "^in <lambda>, .*policy has no parameter 'k'; it has: none"),
    ({"sample": lambda p, eta, e: (eta[0], e[0])}, r"^sample of policy \(.*\): expected a tuple of 1 numbers, got 2"),
    ({"sample": lambda p, eta, e: eta[0]}, r"^sample of policy \(.*\): expected a tuple of 1 .* write `return \(x,\)`"),
    ({"sample": lambda eta, e: eta}, r"^sample of policy: TypeError .*; it is called as sample\(p, eta, e\)"),
    ({"score": lambda p, eta, a, e: (e[0], e[0])}, r"^score of policy \(.*\): expected a tuple of 1 numbers, got 2"),
    ({"score": lambda p, eta, a: e}, r"^score of policy: TypeError .*; it is called as score\(p, eta, a, e\)"),  # noqa: F821
    ({"log_prob": lambda p, eta, a: a}, r"^log_prob of policy \(.*\): expected one number, got a tuple of 1"),
    ({"log_prob": lambda p, eta: 0.0}, r"^log_prob of policy: TypeError .*; it is called as log_prob\(p, eta, a\)"),
]


@pytest.mark.parametrize(("changes", "message"), OWN_POLICIES, ids=[str(i) for i in range(len(OWN_POLICIES))])
def test_policies_of_users(changes, message):
    own = mg.Problem(environment(), own_policy(**({"log_prob": log_prob} | changes)), 3)
    refused(message, once, SF, own)


def test_what_is_unusual_but_right():
    """Integers, booleans, NumPy's numbers, 0-d arrays and arrays as results; callables that are no functions."""

    class Reward:
        def __call__(self, p, s, a, s_next, w):
            return np.array(s[0] > 0) * 1

    out = rollout_of(
        init=lambda p, z: (0, True), step=lambda p, s, a, w: np.array([s[0] + 1, np.int64(3)]), reward=Reward()
    )
    np.testing.assert_array_equal(out.states[0], [[0, 1], [1, 3], [2, 3], [3, 3]])
    np.testing.assert_array_equal(out.rewards[0], [0, 1, 1])


RESERVED = ("s0", "z0", "e0", "w0", "v0", "theta0", "carry0", "theta", "p", "c", "row", "s", "kept", "carry", "weight")
RESERVED += ("sin", "where", "exp", "inf", "nan", "take", "s0_next", "x_0")


@pytest.mark.parametrize("name", RESERVED)
def test_parameters_may_have_any_name(name):
    """A parameter called s0, or exp, does not get mixed up with what a kernel calls so."""

    def sin_of(p, s, a, w):
        v = s[1] + 0.1 * getattr(p, name) * math.sin(s[0]) + math.exp(-(s[0] ** 2)) + p.x[0] * w[0]
        return (s[0] + 0.1 * v, np.where(v > 0, v, 0.5 * v) + a[0])

    def of(k):
        own = environment(step=sin_of, noises=1, params={k: 2.5, "x": [0.3]} if k == name else {name: 2.5, "x": [0.3]})
        return mg.Problem(own, policy(), 3, 0.9)

    def plain_step(p, s, a, w):
        v = s[1] + 0.1 * p.constant * math.sin(s[0]) + math.exp(-(s[0] ** 2)) + 0.3 * w[0]
        return (s[0] + 0.1 * v, np.where(v > 0, v, 0.5 * v) + a[0])

    plain = mg.Problem(environment(step=plain_step, noises=1, params={"constant": 2.5}), policy(), 3, 0.9)
    for estimator in (PW, E.reward_to_go()):
        np.testing.assert_allclose(once(estimator, of(name)), once(estimator, plain), rtol=1e-13)


@pytest.mark.parametrize("name", [r"$\sigma$", r"\N \u \x", 'a"""b', "two\nlines", "ends in \\", "a'b", "", "é {x} %s"])
def test_estimators_and_environments_may_have_any_name(name):
    own = mg.Problem(environment(name=name), own_policy(name=name), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mg.sample(own, THETA, {name: PW}, 4, machine="numpy")
        mg.rollout(own, THETA, 4, machine="numpy")
    assert list(found) == [name] and np.isfinite(found[name]).all()


# ---- trajectories that overflow --------------------------------------------------------------------------------


def both(of, theta, count=3000, machine="numpy", **options):
    """Return (moments, samples) of the score function and the pathwise gradient, and check that they agree."""
    estimators = {"SF": SF, "PW": PW, "score": E.score()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = mg.measure(of, theta, estimators, count, 1, machine=machine, chunk=500, progress=False, **options)
        samples = mg.sample(of, theta, estimators, count, 1, machine=machine)
    finite = {name: np.isfinite(x).all(axis=1) for name, x in samples.items()}
    lost = {name: int((~x).sum()) for name, x in finite.items()}
    assert found.nonfinite == lost
    expected = [f"of {count} trajectories some had a gradient that was not finite: "] if any(lost.values()) else []
    expected = [x + ", ".join(f"{k} of {n}" for n, k in lost.items() if k) for x in expected]
    said = [str(w.message) for w in caught]
    assert said[: len(expected)] == expected
    assert ["figures overflow" in x for x in said[len(expected) :]] == (
        [True] if any(found.overflowed.values()) else []
    )
    assert all(w.category is UserWarning for w in caught)
    for name, x in samples.items():
        rest = x[finite[name]]
        assert found[name].count == len(rest) and found[name].nonfinite == lost[name]
        if len(rest) > 1:
            with np.errstate(over="ignore"):
                np.testing.assert_allclose(found[name].mean, rest.mean(axis=0), rtol=1e-10)
                np.testing.assert_allclose(found[name].variance, rest.var(axis=0, ddof=1), rtol=1e-9)
    together = np.all(list(finite.values()), axis=0)
    if together.sum() > 1:
        for a, b in (("SF", "PW"), ("PW", "score")):
            x, y = samples[a][together], samples[b][together]
            with np.errstate(over="ignore"):
                expected = ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).sum(axis=0) / (len(x) - 1)
            np.testing.assert_allclose(found.covariance(a, b), expected, rtol=1e-8)
    return found, samples, lost


def scalar_environment(step=None, reward=None, **changes):
    return mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_noises=1,
        init=changes.pop("init", lambda p, z: (z[0],)),
        step=step or (lambda p, s, a, w: (0.5 * s[0] + a[0] + 0.1 * w[0],)),
        reward=reward or (lambda p, s, a, s_next, w: -(s[0] ** 2)),
        **changes,
    )


def scalar_problem(horizon=4, std=0.5, **changes):
    return mg.Problem(scalar_environment(**changes), policy(1, 1, std=std), horizon)


# Rewards of the next state, which depends on theta: then no derivative can miss what has no value.
PARTIAL = {
    "log of a negative": {"reward": lambda p, s, a, s_next, w: math.log(s_next[0] + 1.0)},
    "log1p below -1": {"reward": lambda p, s, a, s_next, w: math.log1p(s_next[0])},
    "root of a negative": {"reward": lambda p, s, a, s_next, w: math.sqrt(s_next[0] + 1.0)},
    "power of a negative": {"reward": lambda p, s, a, s_next, w: (s_next[0] + 1.0) ** 0.3},
    "asin beyond 1": {"reward": lambda p, s, a, s_next, w: math.asin(s_next[0])},
    "0 / 0": {"reward": lambda p, s, a, s_next, w: math.exp(-700 * s_next[0]) / math.exp(-800 * s_next[0]) * 1e-300},
    "overflow of exp": {"reward": lambda p, s, a, s_next, w: 1e-200 * math.exp(150.0 * s_next[0] + 600.0)},
    "unstable": {"step": lambda p, s, a, w: (s[0] ** 9 + a[0],), "horizon": 8},
    "infinity - infinity": {
        "step": lambda p, s, a, w: (1e-250 * (math.exp(400 * s[0]) - math.exp(800 * s[0])) + a[0],)
    },
}


@pytest.mark.parametrize("name", PARTIAL)
def test_some_trajectories_that_are_not_finite_are_counted_and_left_out(name):
    """Of every estimator that uses rewards; the sum of scores, which uses none, only where the states overflow, too."""
    found, samples, lost = both(scalar_problem(**PARTIAL[name]), [-0.4])
    assert 20 < lost["SF"] < 2950 and 20 < lost["PW"] < 2950
    assert lost["score"] <= lost["SF"]
    if "step" not in PARTIAL[name]:
        assert lost["score"] == 0


@pytest.mark.parametrize("machine", ["simd", "scalar"])
def test_compiled_machines_count_them_too(machine):
    of = scalar_problem(**PARTIAL["log of a negative"])
    _, samples, lost = both(of, [-0.4], 300, machine)
    _, expected, lost_by_numpy = both(of, [-0.4], 300)
    assert lost == lost_by_numpy
    for name in samples:
        np.testing.assert_allclose(samples[name], expected[name], rtol=1e-11)


def test_a_gradient_of_an_undefined_return_is_not_averaged():
    """The derivative of log(s) is a number for s < 0, where the return is none."""
    of = scalar_problem(horizon=1, reward=lambda p, s, a, s_next, w: math.log(s_next[0]))
    _, samples, lost = both(of, [-0.4])
    returns = mg.rollout(of, [-0.4], 3000, 1, machine="numpy").rewards[:, 0]
    np.testing.assert_array_equal(np.isnan(samples["PW"][:, 0]), np.isnan(returns))
    assert lost["PW"] == lost["SF"] == np.isnan(returns).sum() > 1000


def test_all_trajectories_not_finite():
    of = mg.Problem(lq(A=1e200 * TWO, initial_mean=[1.0, 1.0]), policy(), 10)
    found, samples, lost = both(of, [0.0, 0.0])
    assert lost["SF"] == lost["PW"] == 3000
    for name in ("SF", "PW"):
        it = found[name]
        assert it.count == 0 and it.nonfinite == 3000
        for figures in (it.mean, it.stderr, it.variance, it.variance_stderr, it.skewness, it.kurtosis):
            assert np.isnan(figures).all()
    assert np.isnan(found.covariance("SF", "PW")).all()
    assert found.table()["count"].tolist()[:4] == [0] * 4


def test_an_unstable_system_overflows_late():
    """A = 1e30: finite up to T = 4, infinite at T = 12."""
    for horizon, lost in ((4, 0), (12, 200)):
        of = mg.Problem(lq(A=1e30 * TWO), policy(), horizon)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = mg.measure(of, THETA, {"SF": SF, "PW": PW}, 200, machine="numpy")
        assert found.nonfinite == {"SF": lost, "PW": lost}
        assert np.isfinite(found["PW"].mean).all() == (lost == 0)


def test_gradients_whose_moments_overflow():
    """Samples near 1e200 are finite, their squares are not: no crash, a warning, and the mean is right."""
    of = scalar_problem(horizon=1, reward=lambda p, s, a, s_next, w: 1e200 * s_next[0])
    estimators = {"SF": SF, "PW": PW}
    with pytest.warns(
        UserWarning, match="gradients are finite, but so large that figures overflow: .* 1 of SF, 1 of PW"
    ):
        found = mg.measure(of, [-0.4], estimators, 1000, 1, machine="numpy", chunk=100)
    samples = mg.sample(of, [-0.4], estimators, 1000, 1, machine="numpy")
    for name, x in samples.items():
        assert found[name].count == 1000 and found[name].nonfinite == 0
        np.testing.assert_allclose(found[name].mean, x.mean(axis=0), rtol=1e-12)
        assert not (found[name].variance < 1e300).any()
    found.covariance("SF", "PW"), found.table()


def test_control_variates_of_trajectories_that_are_not_finite():
    """Coefficients are fitted on what is finite; where nothing is, there is no crash."""
    some = scalar_problem(**PARTIAL["log of a negative"])
    none = scalar_problem(reward=lambda p, s, a, s_next, w: math.log(-1.0 - s[0] ** 2))
    for of, expected in ((some, True), (none, False)):
        estimators = {"mix": E.mixture(SF, PW), "fitted": E.score_function(B.optimal_constant(pilot=500)), "SF": SF}
        with pytest.warns(UserWarning, match="not finite"):
            found = mg.measure(of, [-0.4], estimators, 1000, machine="numpy")
        for name in estimators:
            assert np.isfinite(found[name].mean).all() == expected
            assert (found[name].count > 0) == expected


ZERO_TIMES = {
    "0 * inf": lambda x: 0.0 * (1e200 * x) ** 2,
    "0 * nan": lambda x: 0.0 * math.log(-1.0 - x**2),
    "inf - inf": lambda x: (1e200 * x) ** 2 - (1e200 * x) ** 2,
    "0 / nan": lambda x: 0.0 / math.log(-1.0 - x**2),
    "a matrix": lambda x: np.diag([0.0, 1.0])[0] @ np.array([(1e200 * x) ** 2, x]),
}


@pytest.mark.parametrize("name", ZERO_TIMES)
def test_zero_times_what_is_not_finite_is_not_zero(name):
    """Python's 0 * inf is NaN, and so is the reward: trajectories that ran off are counted, not hidden."""
    of = scalar_problem(reward=lambda p, s, a, s_next, w: s[0] + ZERO_TIMES[name](s[0]))
    with pytest.warns(UserWarning, match="not finite"):
        found = mg.measure(of, [-0.4], {"SF": SF}, 50, machine="numpy")
    assert found["SF"].nonfinite == 50


def test_constants_of_users_that_are_not_finite():
    of = scalar_problem(reward=lambda p, s, a, s_next, w: math.nan)
    _, _, lost = both(of, [-0.4], 50)
    assert lost["SF"] == 50


# ---- one trajectory, no noise ----------------------------------------------------------------------------------


def test_one_trajectory():
    """Means are its gradient; there are no variances, and no warnings, either."""
    estimators = {"SF": SF, "PW": PW}
    for full in (False, True):
        found = mg.measure(problem(), THETA, estimators, 1, machine="numpy", full_covariance=full)
        samples = mg.sample(problem(), THETA, estimators, 1, machine="numpy")
        for name in estimators:
            it = found[name]
            assert it.count == 1 and it.nonfinite == 0
            np.testing.assert_array_equal(it.mean, samples[name][0])
            for figures in (it.variance, it.stderr, it.variance_stderr):
                assert np.isnan(figures).all()
        assert np.isnan(found.covariance("SF", "PW")).all()
        assert len(found.table()) == 4


def test_two_trajectories():
    found = mg.measure(problem(), THETA, {"PW": PW}, 2, machine="numpy", chunk=1)["PW"]
    x = mg.sample(problem(), THETA, {"PW": PW}, 2, machine="numpy")["PW"]
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.variance, x.var(axis=0, ddof=1), rtol=1e-12)


def test_without_action_noise_the_pathwise_gradient_is_that_of_backpropagation():
    of = mg.Problem(lq(A=[[1.0, 0.1], [0.2, 0.9]], process_noise=0.01 * TWO), policy(std=0.0), 6, 0.9)
    gradients = once(PW, of, count=20)

    def returns(theta):
        out = mg.rollout(of, theta, 20, machine="numpy")
        return out.rewards @ of.weights()[:-1]

    h = 1e-4
    for i in range(2):
        ahead, behind = np.array(THETA), np.array(THETA)
        ahead[i] += h
        behind[i] -= h
        expected = (returns(ahead) - returns(behind)) / (2 * h)
        np.testing.assert_allclose(gradients[:, i], expected, rtol=1e-6, atol=1e-7)
    singular = mg.Problem(lq(B=TWO, R=TWO), policy(2, 2, cov=[[1.0, 1.0], [1.0, 1.0]]), 3)
    assert np.isfinite(once(PW, singular, np.zeros(4))).all()
    refused("no score function here: .*singular", once, SF, singular, np.zeros(4))


def test_states_that_are_constants_on_every_machine():
    """An initial state that is a plain number behaves like any other: 1 / 0 is infinite, ~ is `not`."""
    of = mg.Problem(
        scalar_environment(
            init=lambda p, z: (0.0,),
            step=lambda p, s, a, w: (mg.where(~(s[0] > 0.5), 1.0, 3.0) + a[0],),
            reward=lambda p, s, a, s_next, w: mg.where(s[0] == 0.0, s_next[0], 1.0 / s[0]),
        ),
        policy(1, 1, std=0.5),
        2,
    )
    expected = mg.rollout(of, [-0.4], 16, machine="simd")
    assert (expected.states[:, 1] > -1.5).all() and abs(expected.states[:, 1].mean() - 1.0) < 1
    for machine in ("numpy", "scalar"):
        found = mg.rollout(of, [-0.4], 16, machine=machine)
        np.testing.assert_allclose(found.states, expected.states, rtol=1e-13)
        np.testing.assert_allclose(found.rewards, expected.rewards, rtol=1e-13)
    for machine in ("numpy", "simd"):
        assert np.isfinite(mg.sample(of, [-0.4], {"PW": PW, "SF": SF}, 16, machine=machine)["PW"]).all()


def test_a_gradient_that_does_not_see_what_is_undefined():
    """Of a return that is NaN whatever theta is, the pathwise derivative is a number, and must not be averaged."""
    of = scalar_problem(horizon=2, reward=lambda p, s, a, s_next, w: math.log(s[0] + 2.0))
    _, samples, lost = both(of, [-0.4])
    assert lost["PW"] == lost["SF"] > 20
