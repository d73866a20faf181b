"""Sums of powers of gradient samples: what is left of millions of trajectories, mergeable in any grouping.

For every estimator and parameter: count, mean and the second to fourth central moments; between estimators, covariances
per parameter (or the full joint matrix). Computed in two passes over a chunk, merged pairwise in a fixed tree, so that
neither the number of threads nor the order in which chunks finish can change a bit, and nothing cancels however large the
mean is against the spread.

A trajectory whose gradient is not finite is counted in `nonfinite` and left out of that estimator's moments, and of
all covariances.

References
----------
Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances;
Pebay (2008), Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from .compiler import cache


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """Mergeable sums of E estimators with P parameters each.

    Attributes
    ----------
    own : (6, E, P)
        Count, mean, what the mean lost to rounding, and sums of the second, third and fourth powers of the deviations.
    joint : (3, E, P)
        Count, mean and its rounding over the trajectories on which all estimators are finite.
    cross : (E (E - 1) / 2, P) or (E P, E P)
        Sums of products of deviations on these trajectories: pairs (a, b < a) of estimators, or everything.
    nonfinite : (E,)
        Trajectories left out.
    """

    own: np.ndarray
    joint: np.ndarray
    cross: np.ndarray
    nonfinite: np.ndarray

    def map(self, function):
        """Return the sums with a function applied to each array."""
        return Sums(*(function(getattr(self, f.name)) for f in dataclasses.fields(self)))


def prepare():
    """Compile what is needed here, or load it, before the clock runs and threads wait for each other."""
    for function in _ARGUMENTS:
        _compiled(function)


def merge(a, b):
    """Return the sums of two disjoint sets of trajectories."""
    out = a.map(np.copy)
    E, P = a.own.shape[1:]
    merge_powers = _compiled(_merge_powers)
    shift = np.empty(E * P)
    merge_powers(out.own.reshape(6, -1), b.own.reshape(6, -1), shift)
    merge_powers(out.joint.reshape(3, -1), b.joint.reshape(3, -1), shift)
    na, nb = a.joint[0, 0, 0], b.joint[0, 0, 0]
    scale = na * nb / max(na + nb, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        if a.cross.shape == (E * P, E * P):
            between = np.outer(shift, shift)
        else:
            first, second = pairs(E)
            shift = shift.reshape(E, P)
            between = shift[first] * shift[second]
        cross = a.cross + b.cross + scale * between
    return dataclasses.replace(out, cross=cross, nonfinite=a.nonfinite + b.nonfinite)


def tree(many):
    """Merge the sums of consecutive chunks: pairs of neighbours, then pairs of pairs; a remainder goes up unmerged.

    The tree over the first 2^k chunks is the same whatever follows them, so groups of 2^k chunks can be merged elsewhere
    and their results be merged here.
    """
    merged = Accumulator()
    for sums in many:
        merged.add(sums)
    return merged.result()


class Accumulator:
    """Merge the sums of groups of chunks as they come in order, keeping one for each level of the tree."""

    def __init__(self):
        self.levels = []  # (number of groups, sums), sizes falling

    def add(self, sums):
        """Take the next group."""
        size = 1
        while self.levels and self.levels[-1][0] == size:
            sums = merge(self.levels.pop()[1], sums)
            size *= 2
        self.levels.append((size, sums))

    def result(self):
        """Return the sums of all groups so far."""
        sums = self.levels[-1][1]
        for _, earlier in self.levels[-2::-1]:
            sums = merge(earlier, sums)
        return sums


def of_chunk(gradients, E, full=False):
    """Return the sums of one chunk of samples.

    Parameters
    ----------
    gradients : (E P, N) array
        Samples in its rows; the outputs of a kernel.
    E : int
        Number of estimators.
    full : bool
        Keep the full joint matrix instead of pairs of estimators per parameter.
    """
    gradients = np.ascontiguousarray(gradients)  # the last chunk has room for whole blocks of trajectories
    Q, N = gradients.shape
    P = Q // E
    own = np.empty((6, Q))
    central = _compiled(_central)
    central(gradients, own[1:])
    own[0] = N
    nonfinite = np.zeros(E, dtype=np.int64)
    common = gradients
    if not np.isfinite(own[1]).all():
        finite = np.isfinite(gradients).reshape(E, P, N).all(axis=1)
        nonfinite = N - finite.sum(axis=1)
        for e in np.flatnonzero(nonfinite):
            rows = slice(e * P, (e + 1) * P)
            own[0, rows] = N - nonfinite[e]
            part = np.empty((5, P))
            central(np.ascontiguousarray(gradients[rows, finite[e]]), part)
            own[1:, rows] = part
        common = np.ascontiguousarray(gradients[:, finite.all(axis=0)])
    joint = own[:3].copy()
    if common is not gradients:
        again = np.empty((5, Q))
        central(common, again)
        joint[0], joint[1:] = common.shape[1], again[:2]
    if full:
        deviations = common - joint[1][:, None]
        cross = deviations @ deviations.T
    else:
        cross = np.empty((E * (E - 1) // 2, P))
        _compiled(_cross)(common, joint[1], E, P, cross)
    return Sums(own.reshape(6, E, P), joint.reshape(3, E, P), cross, nonfinite)


@functools.cache
def pairs(E):
    """Return the numbers (a, b) of all pairs of estimators b < a, in the order of `Sums.cross`."""
    return np.tril_indices(E, -1)


def _central(x, out):
    """Write mean, its rounding, M2, M3, M4 of each row of x, in two passes; the second finds what the mean lost."""
    Q, N = x.shape
    for q in range(Q):
        total = 0.0
        for i in range(N):
            total += x[q, i]
        mean = total / N if N > 0 else 0.0
        m1 = 0.0
        m2 = 0.0
        m3 = 0.0
        m4 = 0.0
        for i in range(N):
            d = x[q, i] - mean
            square = d * d
            m1 += d
            m2 += square
            m3 += square * d
            m4 += square * square
        low = m1 / max(N, 1)
        out[0, q] = mean
        out[1, q] = low
        out[2, q] = m2 - m1 * low
        out[3, q] = m3 - 3.0 * low * m2
        out[4, q] = m4 - 4.0 * low * m3


def _cross(x, mean, E, P, out):
    """Write the sums of products of deviations of each pair of estimators, parameter by parameter."""
    N = x.shape[1]
    k = 0
    for a in range(E):
        for b in range(a):
            for p in range(P):
                row, other = a * P + p, b * P + p
                total = 0.0
                for i in range(N):
                    total += (x[row, i] - mean[row]) * (x[other, i] - mean[other])
                out[k, p] = total
            k += 1


def _merge_powers(sums, other, shift):
    """Merge counts, means and powers of deviations (rows, see `Sums`) of `other` into `sums`; write what the means differ by.

    Pebay (2008), equations 2.1 to 2.4 and 3.1. A mean is kept as an unevaluated sum of two numbers. The difference d of two
    means, which enters all higher moments, is then exact to its own size, not to that of the means.
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


# What they take, and what Numba may do: sums may be reordered in the passes over a chunk (and only there), which is what
# lets LLVM vectorise them.
_ARGUMENTS = {
    _central: ("in2", "out2"),
    _cross: ("in2", "in1", "int64", "int64", "out2"),
    _merge_powers: ("out2", "in2", "out1"),
}
_FLAGS = {_central: {"contract", "reassoc"}, _cross: {"contract", "reassoc"}, _merge_powers: False}


@functools.cache
def _compiled(function):
    options = {"error_model": "numpy", "fastmath": _FLAGS[function]}
    text = pathlib.Path(__file__).read_text(encoding="utf-8")
    return cache.load(text, function.__name__, _ARGUMENTS[function], lambda: (function, options))
