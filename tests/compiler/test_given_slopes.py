"""Values that are computed in one way and differentiated in another."""

import graphs
import numpy as np
import pytest

import mcgrad as mg
from mcgrad.compiler.derive import pull_back, push_forward
from mcgrad.compiler.emit import function_text
from mcgrad.compiler.trace import TraceError


def root(s):
    """Return the root x of x^3 + y x = z by Newton's method, and its slopes by the implicit function theorem."""
    y, z = s
    x = z
    for _ in range(30):
        x = x - (x**3 + y * x - z) / (3.0 * x**2 + y)
    f = 3.0 * x**2 + y
    return (mg.with_derivative(x, (y, z), (-x / f, 1.0 / f)) * y,)


POINTS = np.array([[0.5, 1.0, 2.0, 3.0], [0.3, -1.0, 2.0, 0.1]])  # y, z


def of_numpy(y, z):
    """Return y times the real root, by NumPy's polynomials."""
    roots = (np.roots([1.0, 0.0, a, -b]) for a, b in zip(y, z, strict=True))
    return y * np.array([x[np.abs(x.imag) < 1e-9][0].real for x in roots])


def expected():
    h = 1e-5
    y, z = POINTS
    return np.array([of_numpy(y + h, z) - of_numpy(y - h, z), of_numpy(y, z + h) - of_numpy(y, z - h)]) / (2 * h)


def test_reverse_and_forward_sweeps_take_the_slopes():
    graph, s, outputs = graphs.traced(root, 2)
    backward = pull_back(graph, outputs, [1.0], s)
    forward = [push_forward(graph, outputs, s, tangent)[0] for tangent in ((1.0, 0.0), (0.0, 1.0))]
    for found in (backward, forward):
        np.testing.assert_allclose(graphs.run(graph, found, POINTS), expected(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(graphs.run(graph, outputs, POINTS)[0], of_numpy(*POINTS), rtol=1e-12)


def test_slopes_are_not_computed_for_the_value():
    graph, s, outputs = graphs.traced(lambda s: (mg.with_derivative(np.exp(s[0]), s, (np.sin(s[0]),)),), 1)
    assert "sin" not in function_text("f", {"s": ["s0"]}, graph, outputs)
    assert "sin" in function_text("f", {"s": ["s0"]}, graph, pull_back(graph, outputs, [1.0], s))


def test_what_slopes_depend_on_is_followed_in_second_derivatives():
    def function(s):
        return (mg.with_derivative(3.0 * s[0], s, (s[0] ** 2,)),)

    graph, s, outputs = graphs.traced(function, 1)
    (slope,) = pull_back(graph, outputs, [1.0], s)
    (second,) = pull_back(graph, [slope], [1.0], s)
    x = np.array([[0.5, -2.0]])
    np.testing.assert_allclose(graphs.run(graph, [*outputs, slope, second], x), np.concatenate([3 * x, x**2, 2 * x]))


def test_without_slopes_a_value_is_a_constant():
    graph, s, outputs = graphs.traced(lambda s: (s[0] * mg.stop_gradient(s[0]),), 1)
    x = np.array([[0.5, -2.0]])
    np.testing.assert_allclose(
        graphs.run(graph, [*outputs, *pull_back(graph, outputs, [1.0], s)], x), np.concatenate([x**2, x])
    )


def test_a_constant_may_have_slopes():
    """The value 1 with the slope of a log density: what makes score functions of a surrogate loss."""
    graph, s, outputs = graphs.traced(lambda s: (mg.with_derivative(1.0, s, (np.cos(s[0]),)) * s[0],), 1)
    x = np.array([[0.5, -2.0]])
    found = graphs.run(graph, [*outputs, *pull_back(graph, outputs, [1.0], s)], x)
    np.testing.assert_allclose(found, np.concatenate([x, 1.0 + x * np.cos(x)]))


def test_on_numbers_it_is_the_value():
    assert mg.with_derivative(2.0, (1.0,), (7.0,)) == 2.0 and mg.stop_gradient(3.0) == 3.0
    with pytest.raises(TraceError, match="expected a slope for each of 1 inputs, got 2"):
        mg.with_derivative(2.0, (1.0,), (7.0, 8.0))
