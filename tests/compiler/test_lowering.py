"""Loops as machine code do what Python does with the same text, and what is no loop of a kernel is refused."""

import inspect
import platform

import numpy as np
import pytest

from mcgrad.compiler import backends, lowering, native


def whole(x, out):
    """Whole numbers: how Python divides, ranges in all directions, what breaks and goes on."""
    rows, n = out.shape
    k = 0
    for a in range(-7, 8):
        for b in range(-3, 4, 2):
            out[0, k] = a // b
            out[1, k] = a % b
            k += 1
    for t in range(n - 1, -1, -1):
        if t > 5 and t % 3 == 0:
            out[2, t] = t
        elif t == 4 or t == 2:
            out[2, t] = -t
        else:
            out[2, t] = 0.5
    t = 0
    while t < n and x[t] < 3.0:
        t += 1
    out[3, 0] = t
    for t in range(n):
        if x[t] > 5.0:
            break
        out[3, t + 1] = max(t, 3)
    for k in range(3, 3):
        out[3, 0] = k + 1e9
    out[3, n - 1] = t


def numbers(x, out):
    """Numbers, arrays of one and two dimensions, rows and ends of them, conditions in expressions."""
    n = len(x)
    first, second = 0.0, 1.0
    for i in range(n):
        first += x[i] * x[i] - 2 * x[i]
        second = x[i] if x[i] > second else second
    out[0, 0] = first / n
    out[0, 1] = second
    row, rest = out[1], out[2:]
    row[:] = 7.5
    end = row[3:]
    end[0] = abs(x[0] - 2.5) + -n
    rest[0, 1] = n / x[5] if n > 0 else 0.0
    rest[1, 2] += x[3] * 3
    a, b = x[1], x[2]
    a, b = b, a
    rest[1, 3] = a - 2.0 * b
    rest[1, 4] = len(end) - (rest.shape[1] + rest.shape[0])


@pytest.mark.parametrize("function", [whole, numbers])
def test_machine_code_does_what_python_does(function):
    x = np.r_[np.arange(8.0), 1.5, -2.0, np.linspace(0.0, 1.0, 50)]
    expected, found = np.zeros((2, 4, 60))
    function(x, expected)
    native.link(*native.compile_text(inspect.getsource(function), {}, ("in1", "out2")))(x, found)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) >= 8


def test_products_are_not_fused_into_sums():
    text = "def f(x, out):\n    out[0] = x[0] * x[1] + x[2]\n"
    x, out = np.array([1.0 + 2.0**-30, 1.0 - 2.0**-30, -1.0]), np.zeros(1)
    native.link(*native.compile_text(text, {}, ("in1", "out1")))(x, out)
    assert out[0] == 0.0  # fused, it would be -2^-60


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="some processors have no fused multiply-add")
def test_products_are_fused_into_the_sums_in_which_they_are_written():
    text = """
def values(theta):
    x, y, one = theta[0], theta[1], theta[2]
    product = x * y
    return (product - one, x * y - one, one - x * y, one * one - x * y, -(x * y) + one,)

def deliver(out, b, values):
    for k in range(5):
        put(out, k, b, values[k])

def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    for b in range(blocks):
        deliver(out, b, values(theta))
"""
    functions = ("values", 1, 5), ("deliver", 3, None)
    kernel = backends.KernelText(text, functions, 0, 5, "products")
    out, none, numbers = np.zeros((5, 4)), np.zeros((0, 0)), np.array([1.0 + 2.0**-30, 1.0 - 2.0**-30, 1.0])
    stop, nothing = np.zeros(1, dtype=np.int64), np.zeros(0)
    loaded = backends.compiled(kernel, width=4)
    loaded(numbers, nothing, nothing, none, 0, 0, 1, 4, 1, none, np.zeros((1, 4)), out, stop)
    error = 2.0**-60
    assert np.array_equal(out, np.tile([[0.0], [-error], [error], [error], [0.0]], 4))


@pytest.mark.parametrize(
    "line",
    [
        "out[0] = x @ x",
        "out[0] = not x",
        "out[0] = [1.0]",
        "assert x",
        "out[0] = x.size",
        "out[0] = sin(x[0])",
        "out[0] = y",
        "k = 0\n    for i in range(3):\n        k = k + 0.5",
    ],
)
def test_what_kernels_do_not_say_is_refused(line):
    with pytest.raises((SyntaxError, AttributeError, KeyError)):
        lowering.lowered(f"def f(x, out):\n    {line}\n", {}, "f", [(lowering.F64, 1)] * 2)
