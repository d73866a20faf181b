"""Passes over a chunk of samples, in an order of additions that is part of the algorithm.

Element i of a row goes to lane i mod 8 (of a mean, or of products of whole rows: i mod 16); the sums of the lanes are added
in a tree, then what is left of a row that is no multiple of 8 (16), element by element. Products are rounded before they
are added. So the bits of all sums are the same on every processor, whatever its registers hold and whether or not it fuses
products into sums. The loops below, run by Python with NumPy's arrays as lanes, say what the machine code does to the last
bit, and the tests compare the two.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import cache, native

Lanes: TypeAlias = NDArray[np.float64]  # of one register

LANES = 8


# ---- what the names in the loops mean to Python ----------------------------------------------------------------


def _zeros() -> tuple[Lanes, ...]:
    return (np.zeros(LANES),)


def _add(row: Lanes, b: int, even: Lanes, odd: Lanes) -> tuple[Lanes, ...]:
    return even + row[LANES * b : LANES * (b + 1)], odd + row[LANES * (b + 1) : LANES * (b + 2)]


def _powers(
    row: Lanes, b: int, mean: float, squares: Lanes, m1: Lanes, m2: Lanes, m3: Lanes, m4: Lanes
) -> tuple[Lanes, ...]:
    d = row[LANES * b : LANES * (b + 1)] - mean
    s = d * d
    squares[LANES * b : LANES * (b + 1)] += s
    return m1 + d, m2 + s, m3 + s * d, m4 + s * s


def _products(
    first: Lanes, second: Lanes, b: int, mean: float, other: float, total: Lanes, squares: Lanes
) -> tuple[Lanes, ...]:
    product = (first[LANES * b : LANES * (b + 1)] - mean) * (second[LANES * b : LANES * (b + 1)] - other)
    return total + product, squares + product * product


def _multiply(first: Lanes, second: Lanes, b: int, even: Lanes, odd: Lanes) -> tuple[Lanes, ...]:
    this, following = slice(LANES * b, LANES * (b + 1)), slice(LANES * (b + 1), LANES * (b + 2))
    return even + first[this] * second[this], odd + first[following] * second[following]


def _tree(x: Lanes) -> float:
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))


# ---- the loops -------------------------------------------------------------------------------------------------


def central(x: NDArray[np.float64], P: int, out: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
    """Write mean, its rounding, M2, M3, M4 of each row of x, in two passes; the second finds what the mean lost.

    Of each group of P rows, write the sum of the squared deviations of each sample to a row of `squares`.
    """
    Q, N = x.shape
    whole = N // 8
    for q in range(Q):
        row, sums = x[q], squares[q // P]
        if q % P == 0:
            for i in range(N):
                sums[i] = 0.0
        (even,) = _zeros()
        (odd,) = _zeros()
        for b in range(0, whole - 1, 2):
            even, odd = _add(row, b, even, odd)
        total = _tree(even) + _tree(odd)
        for i in range(16 * (N // 16), N):
            total += row[i]
        mean = total / N if N > 0 else 0.0
        (l1,) = _zeros()
        (l2,) = _zeros()
        (l3,) = _zeros()
        (l4,) = _zeros()
        for b in range(whole):
            l1, l2, l3, l4 = _powers(row, b, mean, sums, l1, l2, l3, l4)
        m1, m2, m3, m4 = _tree(l1), _tree(l2), _tree(l3), _tree(l4)
        for i in range(8 * whole, N):
            d = row[i] - mean
            s = d * d
            sums[i] += s
            m1 += d
            m2 += s
            m3 += s * d
            m4 += s * s
        low = m1 / max(N, 1)
        out[0, q] = mean
        out[1, q] = low
        out[2, q] = m2 - m1 * low
        out[3, q] = m3 - 3.0 * low * m2
        out[4, q] = m4 - 4.0 * low * m3


def products(
    x: NDArray[np.float64],
    mean: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    total: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Write the sums over samples of the products of deviations of two rows, and of the squares of these products.

    For each k they are those of rows first[k] and second[k].
    """
    N = x.shape[1]
    whole = N // 8
    for k in range(len(first)):
        a, b = first[k], second[k]
        row, other = x[a], x[b]
        (l1,) = _zeros()
        (l2,) = _zeros()
        for i in range(whole):
            l1, l2 = _products(row, other, i, mean[a], mean[b], l1, l2)
        t, s = _tree(l1), _tree(l2)
        for i in range(8 * whole, N):
            product = (row[i] - mean[a]) * (other[i] - mean[b])
            t += product
            s += product * product
        total[k], squares[k] = t, s


def squares(
    powers: NDArray[np.float64],
    fourth: NDArray[np.float64],
    squared: NDArray[np.float64],
    firsts: NDArray[np.int64],
    seconds: NDArray[np.int64],
    out: NDArray[np.float64],
    E: int,
) -> None:
    """Write what variances have in common, `power_sums.PowerSums.squares`, of one chunk of each of B batch entries.

    Parameters
    ----------
    powers : (6 B, E P)
        Count and powers of deviations of the samples.
    fourth : (B K, P)
        Sums of squares of products of deviations of K pairs of estimators.
    squared : (B E, N)
        Squared deviations, summed over parameters.
    firsts, seconds : (E + K,)
        Numbers of estimators: 0, ..., E - 1 in both, then the pairs.
    """
    N = squared.shape[1]
    P = out.shape[1] - 1
    # Deviations from the mean of a chunk are smaller than those from the mean of all: the factor makes up for it.
    factor = N / (N - 2.0)
    factor = factor * factor
    K = len(firsts) - E
    for entry in range(len(squared) // E):
        second_power, fourth_power = 6 * entry + 3, 6 * entry + 5
        for k in range(E + K):
            a, b, here = firsts[k], seconds[k], entry * (E + K) + k
            first, second = 0.0, 0.0
            for p in range(P):
                of_a, of_b = powers[second_power, a * P + p], powers[second_power, b * P + p]
                first += of_a
                second += of_b
                both = powers[fourth_power, a * P + p] if k < E else fourth[entry * K + k - E, p]
                out[here, p] = factor * (both - of_a * of_b / N)
            if P > 1:
                row, other = squared[entry * E + a], squared[entry * E + b]
                (even,) = _zeros()
                (odd,) = _zeros()
                for i in range(0, N // 8 - 1, 2):
                    even, odd = _multiply(row, other, i, even, odd)
                both = _tree(even) + _tree(odd)
                for i in range(16 * (N // 16), N):
                    both += row[i] * other[i]
                out[here, P] = factor * (both - first * second / N)
            else:
                out[here, P] = out[here, 0]


def merge(sums: NDArray[np.float64], other: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
    """Merge counts, means and powers of deviations of `other` into `sums`; write what the means differ by to `shift`.

    Rows are those of `PowerSums.own`. Pebay (2008), equations 2.1 to 2.4 and 3.1. A mean is kept as an unevaluated sum of
    two numbers. The difference d of two means, which enters all higher moments, is then exact to its own size, not to that
    of the means.
    """
    rows, Q = sums.shape
    for q in range(Q):
        na, nb = sums[0, q], other[0, q]
        shift[q] = 0.0
        if na > 0.0 and nb > 0.0:
            fa, fb = na / (na + nb), nb / (na + nb)
            d = (other[1, q] - sums[1, q]) + (other[2, q] - sums[2, q])
            shift[q] = d
            if rows > 3:
                a2, a3, a4 = sums[3, q], sums[4, q], sums[5, q]
                b2, b3, b4 = other[3, q], other[4, q], other[5, q]
                between = d * d * na * fb
                sums[3, q] = a2 + b2 + between
                sums[4, q] = a3 + b3 + d * (between * (fa - fb) + 3.0 * (fa * b2 - fb * a2))
                quartic = between * (fa * fa - fa * fb + fb * fb) + 6.0 * (fa * fa * b2 + fb * fb * a2)
                sums[5, q] = a4 + b4 + d * d * quartic + 4.0 * d * (fa * b3 - fb * a3)
            # Fast two-sum (Dekker 1971): the new mean, and what the addition lost.
            step = d * fb
            old = sums[1, q]
            new = old + step
            sums[1, q] = new
            sums[2, q] += step - (new - old) if abs(old) > abs(step) else old - (new - step)
        elif nb > 0.0:
            for k in range(1, rows):
                sums[k, q] = other[k, q]
        sums[0, q] = na + nb


def between(
    cross: NDArray[np.float64],
    shift: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    scale: NDArray[np.float64],
) -> None:
    """Add to sums of products of deviations what the means of two sets differ by, `shift`, makes of them."""
    for k in range(len(cross)):
        cross[k] += scale[0] * shift[first[k]] * shift[second[k]]


# ---- what they mean to the machine -----------------------------------------------------------------------------


def _functions() -> dict[str, Any]:
    """Return the names of the loops as functions of SIMD lanes, without leave to fuse or to reorder."""
    from llvmlite import ir

    from .memory import lanes_function  # LLVM is heavy
    from .simd import F64, I32, Value, splat, vector  # LLVM is heavy

    def operate(name):
        return lambda a, b: Value(a.builder, getattr(a.builder, name)(a.ir, b.ir))

    plus, minus, times = operate("fadd"), operate("fsub"), operate("fmul")

    def deviations(row, b, mean):
        return minus(row.load(0, LANES, block=b), splat(mean.builder, mean.ir, LANES))

    def add(row, b, even, odd):
        return plus(even, row.load(0, LANES, block=b)), plus(odd, row.load(0, LANES, block=b + 1))

    def powers(row, b, mean, squares, m1, m2, m3, m4):
        d = deviations(row, b, mean)
        s = times(d, d)
        squares.store(0, plus(squares.load(0, LANES, block=b), s), LANES, block=b)
        return plus(m1, d), plus(m2, s), plus(m3, times(s, d)), plus(m4, times(s, s))

    def multiplied(first, second, b, mean, other, total, squares):
        product = times(deviations(first, b, mean), deviations(second, b, other))
        return plus(total, product), plus(squares, times(product, product))

    def multiply(first, second, b, even, odd):
        now, then = (times(first.load(0, LANES, block=k), second.load(0, LANES, block=k)) for k in (b, b + 1))
        return plus(even, now), plus(odd, then)

    def tree(builder, x):
        x = [builder.extract_element(x.ir, ir.Constant(I32, k)) for k in range(LANES)]
        for half in (4, 2, 1):
            x = [builder.fadd(x[k], x[k + half]) for k in range(half)]
        return Value(builder, x[0])

    def zeros(builder):
        return (Value(builder, ir.Constant(vector(F64, LANES), [0.0] * LANES)),)

    return {
        "_zeros": zeros,
        "_tree": tree,
        "_add": lanes_function(add, 2, LANES),
        "_powers": lanes_function(powers, 4, LANES),
        "_products": lanes_function(multiplied, 2, LANES),
        "_multiply": lanes_function(multiply, 2, LANES),
    }


class Passes(NamedTuple):
    """The loops, compiled."""

    central: Callable
    products: Callable
    squares: Callable
    merge: Callable
    between: Callable


# What the loops take, see `native.ARRAYS`.
_ARGUMENTS = {
    "central": ("in2", "int64", "out2", "out2"),
    "products": ("in2", "in1", "places", "places", "out1", "out1"),
    "squares": ("in2", "in2", "in2", "places", "places", "out2", "int64"),
    "merge": ("out2", "in2", "out1"),
    "between": ("out1", "in1", "places", "places", "in1"),
}


@functools.cache
def compiled() -> Passes:
    """Return the loops as machine code."""
    loops = (central, products, squares, merge, between)
    return Passes(*(cache.load(*_loop(inspect.getsource(f), f.__name__)) for f in loops))


def _loop(text: str, name: str) -> Any:
    """Return what `cache.load` takes to load a loop."""
    arguments = _ARGUMENTS[name]
    return text, f"passes {name}", arguments, lambda: native.compile_text(text, _functions(), arguments)
