"""Emitted text: what it computes, how it reads."""

import ast
import copy
import os
import pathlib
import subprocess
import sys

import graphs
import numpy as np
import pytest

import mcgrad as mg
from mcgrad.compiler.emit import LINE, function_text, live_inputs, wrapped
from mcgrad.compiler.functions import where
from mcgrad.compiler.operations import OPERATIONS
from mcgrad.compiler.trace import Graph, apply

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.parametrize("seed", range(200))
def test_text_and_graph_compute_the_same_bits(seed):
    rng = np.random.default_rng(seed)
    graph = Graph()
    s = tuple(graph.input(f"s{i}") for i in range(3))
    outputs = graphs.random_expression(rng, s, int(rng.integers(2, 60)))
    values = rng.normal(size=(3, 50))
    values[:, :8] = np.round(values[:, :8])  # ties and zeros
    np.testing.assert_array_equal(graphs.run(graph, outputs, values), graphs.direct(graph, outputs, values))


ARITHMETIC = "+-*/"


@pytest.mark.parametrize("first", ARITHMETIC)
@pytest.mark.parametrize("second", ARITHMETIC)
def test_parentheses_keep_the_order_of_evaluation(first, second):
    graph = Graph()
    s = tuple(graph.input(f"s{i}") for i in range(3))

    def node(operation, a, b):
        return graph.node(operation, a, b)  # as it is, without simplification

    outputs = (
        node(second, node(first, s[0], s[1]), s[2]),
        node(second, s[2], node(first, s[0], s[1])),
        node(second, graph.node("neg", s[0]), s[1]),
        node(second, s[1], graph.node("neg", s[0])),
        graph.node("neg", node(first, s[0], s[1])),
        graph.node("neg", graph.node("neg", node(first, s[0], -3.0))),
        node(second, -0.7, node(first, -0.3, s[0])),
        node(second, node(first, s[0], -0.3), -0.7),
    )
    values = np.random.default_rng(1).normal(size=(3, 200)) * 10.0 ** np.random.default_rng(2).integers(-8, 8, (3, 200))
    np.testing.assert_array_equal(graphs.run(graph, outputs, values), graphs.direct(graph, outputs, values))


CONDITIONS = [
    lambda x, y, z: x < y,
    lambda x, y, z: ~(x < y),
    lambda x, y, z: (x < y) & (y < z),
    lambda x, y, z: (x < y) | (y < z),
    lambda x, y, z: ~((x < y) & (y >= z)),
    lambda x, y, z: ~((x < y) | (y >= z)),
    lambda x, y, z: ~(x == y) | (y != z),
    lambda x, y, z: ((x < y) | (y < z)) & (x <= z),
    lambda x, y, z: (x <= z) & ((x < y) | (y < z)),
    lambda x, y, z: (x < y) | ((y < z) & (x <= z)),
    lambda x, y, z: ((y < z) & (x <= z)) | (x < y),
    lambda x, y, z: (x + y < z) & (-x > y * z),
    lambda x, y, z: (x < y) == (y < z),
    lambda x, y, z: ~(x < y) & ~(y < z),
]


@pytest.mark.parametrize("k", range(len(CONDITIONS)))
def test_parentheses_of_conditions(k):
    graph = Graph()
    outputs = [where(CONDITIONS[k](*(graph.input(f"s{i}") for i in range(3))), 1.0, 0.0)]
    values = np.random.default_rng(1).integers(-2, 3, (3, 300)).astype(float)
    found = graphs.run(graph, outputs, values)
    np.testing.assert_array_equal(found, graphs.direct(graph, outputs, values))
    assert 0.05 < found.mean() < 0.95


def test_every_operation_can_be_written():
    graph = Graph()
    x, y = graph.input("s0"), graph.input("s1")
    outputs = []
    for operation in OPERATIONS:
        if operation in ("&", "|"):
            outputs.append(where(apply(operation, x > 1.0, y > 1.0), x, y))
        elif operation in ("where", "~"):
            outputs.append(where(~(x > y), x, y))
        else:
            count = OPERATIONS[operation].nin
            result = graph.node(operation, *(x, y)[:count])
            outputs.append(where(result, 1.0, 0.0) if operation in ("<", "<=", ">", ">=", "==", "!=") else result)
    values = np.random.default_rng(3).lognormal(size=(2, 40))
    np.testing.assert_array_equal(graphs.run(graph, outputs, values), graphs.direct(graph, outputs, values))


def test_numbers_are_written_to_the_last_bit():
    graph = Graph()
    x = graph.input("s0")
    numbers = [0.1, -0.1, 1e300, -1e-300, 5e-324, 2.0**53 + 2, 1 / 3, -0.0, np.inf, -np.inf, np.nan]
    outputs = [graph.node("+", x, c) for c in numbers] + [graph.node("-", x, c) for c in numbers] + numbers
    found = graphs.run(graph, outputs, np.array([[0.0]]))[:, 0]
    np.testing.assert_array_equal(found, [c + 0.0 for c in numbers] + [0.0 - c for c in numbers] + numbers)
    assert np.signbit(found[-4]) and np.copysign(1.0, found[-4]) == -1.0


def test_the_three_machines_agree_on_random_expressions():
    """Nine random expressions of all operations, as one step of an environment with nine states.

    Where a value lands on the other side of a floor or a comparison by its last bit, whole expressions differ; that may
    happen to one in a thousand.
    """

    generators = [np.random.default_rng(seed) for seed in (5, 6, 7)]

    def step(p, s, a, w):
        return sum((graphs.random_expression(rng, s, 25) for rng in copy.deepcopy(generators)), ())

    environment = mg.Environment(
        states=9, actions=1, initial_noises=9, init=lambda p, z: z, step=step, reward=lambda p, s, a, s_next, w: 0.0
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(9, 1, std=1.0), 1)
    found = {m: mg.rollout(problem, np.zeros(9), 2000, 1, machine=m).states[:, 1] for m in ("numpy", "simd", "scalar")}
    assert np.isfinite(found["numpy"]).all() and found["numpy"].std(axis=0).min() > 0.01
    for machine in ("simd", "scalar"):
        assert (np.abs(found[machine] - found["numpy"]) > 1e-12 * (1 + np.abs(found["numpy"]))).mean() < 1e-3


# ---- how it reads ----------------------------------------------------------------------------------------------


def test_a_text_reads_like_what_a_person_would_write():
    graph, _, outputs = graphs.traced(lambda s: (s[0] + 0.1 * s[1], np.sin(s[0]) - (s[0] - s[1]) * s[0]), 3)
    assert graphs.text_of(graph, outputs, 3, ("position", "velocity")) == (
        "def f(s):\n"
        "    (s0, s1, _,) = s\n"
        "    position = s0 + 0.1 * s1\n"
        "    velocity = sin(s0) - s0 * (s0 - s1)\n"
        "    return (position, velocity,)\n"
    )


def test_what_is_shared_is_computed_once():
    graph, _, outputs = graphs.traced(lambda s: (np.exp(s[0]) + 1.0, np.exp(s[0]) * 2.0, np.exp(s[0])), 1)
    text = graphs.text_of(graph, outputs, 1)
    assert text.count("exp(") == 1


def test_what_is_not_used_is_neither_read_nor_computed():
    graph, s, outputs = graphs.traced(lambda s: s[1] * 2.0, 3)
    apply("sin", s[0])
    contents = {"theta": {"theta0": 0, "theta1": 1}, "s": ["s0", "s1", "s2"], "z": ["z0"]}
    text = function_text("f", contents, graph, outputs)
    assert "theta0" not in text and "sin" not in text and "= z" not in text
    assert "(_, s1, _,) = s" in text
    assert live_inputs(graph, outputs) == {"s1"}
    assert function_text("f", contents, graph, [0.0, 1.5]) == "def f(theta, s, z):\n    return (0.0, 1.5,)\n"
    assert function_text("f", contents, graph, []) == "def f(theta, s, z):\n    return ()\n"


def test_arrays_are_read_by_index():
    graph = Graph()
    names = {f"p{i}": 2 * i for i in range(20)}
    total = sum(graph.input(x) for x in names if x != "p3")
    text = function_text("f", {"p": names}, graph, [total])
    namespace = {}
    exec(text, namespace)
    assert namespace["f"](np.arange(40.0)) == (sum(range(0, 40, 2)) - 6,)
    assert "p3 " not in text and "p[6]" not in text


def test_names_of_a_user_are_not_used_twice():
    """An initial velocity called v0, as a parameter or as an output, is not the name of an intermediate result."""
    graph = Graph()
    v0, v1 = graph.input("v0"), graph.input("v1")
    shared = v0 * v1 + v0
    outputs = [shared * shared, shared + v0, v1 * shared]
    text = function_text("f", {"s": ["v0", "v1"]}, graph, outputs, ["v3", "v2", "v4"])
    namespace = {}
    exec(text, namespace)
    assert namespace["f"]((2.0, 3.0)) == (64.0, 10.0, 24.0)


def test_an_output_may_come_twice_or_be_an_input():
    graph = Graph()
    x = graph.input("s0")
    y = x * x
    outputs = [y, x, y, graph.alias((y,))[0], 2.0]
    assert graphs.run(graph, outputs, np.array([[3.0]]))[:, 0].tolist() == [9.0, 3.0, 9.0, 9.0, 2.0]
    namespace = {}
    exec(graphs.text_of(graph, outputs, 1, ["a", "b", "c", "d", "e"]), namespace)
    assert namespace["f"]((3.0,)) == (9.0, 3.0, 9.0, 9.0, 2.0)


@pytest.mark.parametrize("seed", range(10))
def test_lines_are_not_long(seed):
    rng = np.random.default_rng(seed)
    graph = Graph()
    s = tuple(graph.input(f"s{i}") for i in range(40))
    outputs = [sum(float(rng.normal()) * x for x in s) for _ in range(12)]
    outputs += graphs.random_expression(rng, s, 300)
    text = graphs.text_of(graph, outputs, 40, [f"a_rather_long_name_of_an_output_{i}" for i in range(15)])
    assert max(map(len, text.splitlines())) <= LINE
    ast.parse(text)
    values = rng.normal(size=(40, 5))
    np.testing.assert_array_equal(graphs.run(graph, outputs, values), graphs.direct(graph, outputs, values))


def test_wrapped():
    lines = wrapped("    (", [f"name{i}," for i in range(60)], " ", ") = s")
    assert len(lines) > 3 and max(map(len, lines)) <= LINE
    assert " ".join(x.strip() for x in lines) == "(" + " ".join(f"name{i}," for i in range(60)) + ") = s"


SOURCE = """
import mcgrad as mg
from environments_of_tests import zoo
from mcgrad.kernels.program import gradient_program, rollout_program
from support import w1
for problem, theta in (w1(), zoo()):
    estimators = {"SF": mg.estimators.score_function(1.0), "PW": mg.estimators.reparameterization()}
    estimators["mix"] = mg.estimators.difference(mg.estimators.reward_to_go(), estimators["PW"])
    print(gradient_program(problem, theta, estimators).kernel.text)
    print(rollout_program(problem, theta).kernel.text)
"""


def test_the_text_of_a_problem_is_the_same_in_every_process():
    texts = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        done = subprocess.run(
            [sys.executable, "-c", SOURCE], capture_output=True, text=True, env=environment, check=True
        )
        texts.add(done.stdout)
    (text,) = texts
    assert text.count("def kernel(") == 4
