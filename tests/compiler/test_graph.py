"""The graph of a trace: what is known is simplified, and values of other calls are refused."""

import math

import graphs
import numpy as np
import pytest

from mcgrad.compiler.trace import TraceError


def operations(function, inputs=3):
    graph, _, outputs = graphs.traced(function, inputs)
    return [operation for operation, _ in graph.nodes if operation != "input"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda s: s[1] * 1.0 + 0.0, []),
        (lambda s: (s[0] * 0.0, 0.0 / s[0], s[0] - s[0]), ["*", "/", "-"]),
        (lambda s: 2.0 * 3.0 + math.sin(1.0), []),
        (lambda s: (s[0] + s[1]) * (s[1] + s[0]), ["+", "*"]),
        (lambda s: -(1.0 * -s[0]), ["neg"]),
        (lambda s: s[0] ** 4, ["*", "*"]),
        (lambda s: np.where(s[0] > 0, s[1], s[1]), [">"]),
        (lambda s: np.where(True, s[0], s[1] * s[2]), ["*"]),
        (lambda s: (s[0] > 0) & True, [">", "where"]),
        (lambda s: np.where(~~(s[0] > 0) & (s[0] > 0) | (s[0] > 0), 1.0, 2.0), [">", "~", "where"]),
    ],
)
def test_what_is_known_is_simplified(function, expected):
    assert operations(function) == expected


def test_a_tracer_of_another_function_is_refused():
    memory = []

    def first(s):
        memory.append(s[0])
        return s[0]

    graphs.traced(first, 1)
    with pytest.raises(TraceError, match=r"(?s)test_graph.py.*a value of another call.*component of the state"):
        graphs.traced(lambda s: s[0] + memory[0], 1)

    def known(s):
        return math.sin(s[0]) + math.sin(memory[0])  # what is kept has the number of a value of this call

    with pytest.raises(TraceError, match="a value of another call"):
        graphs.traced(known, 1)
