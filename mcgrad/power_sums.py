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

import numpy as np

from .compiler import passes

FEW = 64  # so many samples tell the covariance of their squared deviations to some percent


@dataclasses.dataclass(frozen=True, eq=False)
class PowerSums:
    """Mergeable sums of E estimators with P parameters each; of a batch, with a leading axis in every array.

    Attributes
    ----------
    own : (6, E, P)
        Count, mean, what the mean lost to rounding, and sums of the second, third and fourth powers of the deviations.
    joint : (3, E, P)
        Count, mean and its rounding over the trajectories on which all estimators are finite.
    cross : (E (E - 1) / 2, P) or (E P, E P)
        Sums of products of deviations on these trajectories: pairs (a, b < a) of estimators, or everything.
    squares : (E (E + 1) / 2, P + 1)
        What variances have in common: sums of products of what two squared deviations, of estimators a and b <= a, differ
        by from their means; for each parameter and, last, for squared deviations summed over all parameters. Taken within
        chunks, so that they simply add up; their degrees of freedom are `degrees`.
    degrees : (1,)
    few : (E P, less than 64)
        Samples of chunks that are too short for `squares`, kept until there are enough of them.
    nonfinite : (E,)
        Trajectories left out.
    """

    own: np.ndarray
    joint: np.ndarray
    cross: np.ndarray
    squares: np.ndarray
    degrees: np.ndarray
    few: np.ndarray
    nonfinite: np.ndarray


def merge(a, b):
    """Return the sums of two disjoint sets of trajectories."""
    if a.own.ndim == 4:
        return together([merge(entry(a, k), entry(b, k)) for k in range(len(a.own))])
    _, E, P = a.own.shape
    own, joint = a.own.copy(), a.joint.copy()
    compiled = passes.compiled()
    shift = np.empty(E * P)
    compiled.merge(own.reshape(6, -1), b.own.reshape(6, -1), shift)
    compiled.merge(joint.reshape(3, -1), b.joint.reshape(3, -1), shift)
    na, nb = float(a.joint[0, 0, 0]), float(b.joint[0, 0, 0])
    scale = na * nb / max(na + nb, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        cross, squares = a.cross + b.cross, a.squares + b.squares
        if cross.shape == (E * P, E * P):
            cross += scale * np.outer(shift, shift)
        else:
            compiled.between(cross.reshape(-1), shift, *_rows(E, P, False), np.array([scale]))
    degrees, few = a.degrees + b.degrees, a.few
    if b.few.size:
        few = np.concatenate([few, b.few], axis=1)
    if few.shape[1] >= FEW:
        enough = of_chunk(few, E)
        squares, degrees, few = squares + enough.squares, degrees + enough.degrees, enough.few
    return PowerSums(own, joint, cross, squares, degrees, few, a.nonfinite + b.nonfinite)


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


def of_chunk(gradients, E, full=False, few=FEW):
    """Return the sums of one chunk of samples.

    Parameters
    ----------
    gradients : (E P, N) array
        Samples in its rows; the outputs of a kernel.
    E : int
        Number of estimators.
    full : bool
        Keep the full joint matrix instead of pairs of estimators per parameter.
    few : int
        Of fewer samples, which are kept, no `squares` are taken.
    """
    return entry(of_chunks(gradients[None], E, full, few), 0)


def of_chunks(gradients, E, full=False, few=FEW):
    """Return the sums of one chunk of samples of each entry of a batch, (B, E P, N): every array with a leading axis.

    The bits of an entry do not depend on the others.
    """
    B, Q, N = gradients.shape
    P = Q // E
    gradients = np.ascontiguousarray(gradients)  # the last chunk has room for whole blocks of trajectories
    powers, squared = np.empty((5, B * Q)), np.empty((B * E, N))
    compiled = passes.compiled()
    compiled.central(gradients.reshape(B * Q, N), P, powers, squared)
    own = np.empty((B, 6, Q))
    own[:, 0], own[:, 1:] = N, powers.reshape(5, B, Q).swapaxes(0, 1)
    cross, fourth = _products(gradients, powers[0], E, full)
    squares, degrees = np.zeros((B, E * (E + 1) // 2, P + 1)), np.zeros((B, 1))
    kept = gradients[:, :, : N if N < few else 0].copy()
    if N >= few:
        compiled.squares(own.reshape(6 * B, Q), fourth.reshape(-1, P), squared, squares.reshape(-1, P + 1), E)
        degrees[:] = N - 1
    found = PowerSums(
        own.reshape(B, 6, E, P),
        own[:, :3].reshape(B, 3, E, P).copy(),
        cross,
        squares,
        degrees,
        kept,
        np.zeros((B, E), dtype=np.int64),
    )
    bad = np.flatnonzero(~np.isfinite(own[:, 1]).all(axis=1))
    if not bad.size:
        return found
    each = [entry(found, b) for b in range(B)]
    for b in bad:
        each[b] = _without_nonfinite(each[b], gradients[b], E, full, few)
    return together(each)


def _without_nonfinite(found, gradients, E, full, few):
    """Return the sums of one entry without the samples that are not finite."""
    Q, N = gradients.shape
    P = Q // E
    finite = np.isfinite(gradients).reshape(E, P, N).all(axis=1)
    if finite.all():  # it is the sum that overflows
        return found
    lost, own = N - finite.sum(axis=1), found.own.copy()
    for e in np.flatnonzero(lost):
        part, number = np.empty((5, P)), N - lost[e]
        columns = np.ascontiguousarray(gradients[e * P : (e + 1) * P, finite[e]])
        passes.compiled().central(columns, P, part, np.empty((1, number)))
        own[0, e], own[1:, e] = number, part
    common = of_chunk(gradients[:, finite.all(axis=0)], E, full, few)
    return dataclasses.replace(common, own=own.reshape(6, E, P), nonfinite=lost)


def entry(sums, b):
    """Return the sums of one entry of a batch; samples that were filled up with NaN are left out."""
    few = sums.few[b]
    if few.size and not np.isfinite(few).all():
        few = few[:, np.isfinite(few).all(axis=0)]
    return PowerSums(
        sums.own[b], sums.joint[b], sums.cross[b], sums.squares[b], sums.degrees[b], few, sums.nonfinite[b]
    )


def together(many):
    """Return the sums of a batch from those of its entries."""
    width = max(x.few.shape[1] for x in many)
    padded = [np.pad(x.few, ((0, 0), (0, width - x.few.shape[1])), constant_values=np.nan) for x in many]
    fields = {
        f.name: np.stack([getattr(x, f.name) for x in many]) for f in dataclasses.fields(PowerSums) if f.name != "few"
    }
    return PowerSums(**fields, few=np.stack(padded))


def _products(x, mean, E, full):
    """Return `PowerSums.cross` of a batch, and the sums of squares of what it sums for pairs of estimators."""
    B, Q, N = x.shape
    P = Q // E
    first, second = _rows(E, P, full)
    total, square = np.empty(B * len(first)), np.empty(B * len(first))
    places = [(k + Q * np.arange(B)[:, None]).ravel() for k in (first, second)]
    passes.compiled().products(x.reshape(B * Q, N), mean, *places, total, square)
    total, square = total.reshape(B, -1), square.reshape(B, -1)
    if not full:
        return total.reshape(B, -1, P), square.reshape(B, -1, P)
    cross, square = np.empty((B, Q, Q)), np.ascontiguousarray(square[:, place(*_rows(E, P, False))])
    cross[:, first, second] = cross[:, second, first] = total
    return cross, square.reshape(B, -1, P)


@functools.cache
def pairs(E):
    """Return the numbers (a, b) of all pairs of estimators b < a, in the order of `PowerSums.cross`."""
    return np.tril_indices(E, -1)


@functools.cache
def _rows(E, P, full):
    """Return the rows of samples whose products make `PowerSums.cross`."""
    if full:
        return np.tril_indices(E * P)
    return tuple((P * k[:, None] + np.arange(P)).ravel() for k in pairs(E))


def place(a, b):
    """Return the place of a pair b <= a among all such pairs in order."""
    return a * (a + 1) // 2 + b
