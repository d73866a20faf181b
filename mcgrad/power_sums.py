"""Sums of powers of gradient samples: what is left of millions of trajectories, mergeable in any grouping.

For every estimator and parameter: count, mean and the second to fourth central moments; between pairs of estimators, those
that are wanted, covariances per parameter (or the full joint matrix). Computed in two passes over a chunk, merged pairwise in
a fixed tree, so that neither the number of threads nor the order in which chunks finish can change a bit, and nothing cancels
however large the mean is against the spread.

A trajectory whose gradient is not finite is counted in `nonfinite` and left out of that estimator's moments, and of
all covariances.

References
----------
Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances;
Pebay (2008), Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiler import passes

FEW = 64  # so many samples tell the covariance of their squared deviations to some percent


class Covariances(NamedTuple):
    """Which covariances are formed.

    Attributes
    ----------
    pairs : tuple of (a, b)
        Numbers b < a of estimators.
    full : bool
        The joint matrix of all parameters of all estimators; then the pairs are all that there are.
    """

    pairs: tuple
    full: bool = False


@functools.cache
def between_all(E: int, full: bool = False) -> Covariances:
    """Return the `Covariances` between all of E estimators."""
    return Covariances(tuple((a, b) for a in range(E) for b in range(a)), full)


@dataclasses.dataclass(frozen=True, eq=False)
class PowerSums:
    """Mergeable sums of E estimators with P parameters each; of a batch, with a leading axis in every array.

    Attributes
    ----------
    own : (6, E, P)
        Count, mean, what the mean lost to rounding, and sums of the second, third and fourth powers of the deviations.
    joint : (3, E, P)
        Count, mean and its rounding over the trajectories on which all estimators are finite.
    cross : (K, P) or (E P, E P)
        Sums of products of deviations on these trajectories, of the K pairs of `covariances`, or of everything.
    squares : (E + K, P + 1)
        What variances have in common: sums of products of what two squared deviations, of an estimator and itself and of the
        pairs, differ by from their means; for each parameter and, last, for squared deviations summed over all parameters.
        Taken within chunks, so that they simply add up; their degrees of freedom are `degrees`.
    degrees : (1,)
    few : (E P, less than 64)
        Samples of chunks that are too short for `squares`, kept until there are enough of them.
    nonfinite : (E,)
        Trajectories left out.
    covariances : Covariances
        Of a batch, the same for all entries.
    """

    own: np.ndarray
    joint: np.ndarray
    cross: np.ndarray
    squares: np.ndarray
    degrees: np.ndarray
    few: np.ndarray
    nonfinite: np.ndarray
    covariances: Covariances


ARRAYS = tuple(f.name for f in dataclasses.fields(PowerSums) if f.name != "covariances")


def merge(a: PowerSums, b: PowerSums) -> PowerSums:
    """Return the sums of two disjoint sets of trajectories, with the same covariances in both."""
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
        if a.covariances.full:
            cross += scale * np.outer(shift, shift)
        else:
            compiled.between(cross.reshape(-1), shift, *_rows(a.covariances.pairs, P), np.array([scale]))
    degrees, few = a.degrees + b.degrees, a.few
    if b.few.size:
        few = np.concatenate([few, b.few], axis=1)
    if few.shape[1] >= FEW:
        enough = of_chunk(few, E, a.covariances)
        squares, degrees, few = squares + enough.squares, degrees + enough.degrees, enough.few
    return PowerSums(own, joint, cross, squares, degrees, few, a.nonfinite + b.nonfinite, a.covariances)


def tree(many: Iterable[PowerSums]) -> PowerSums:
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

    def __init__(self) -> None:
        self.levels: list[tuple[int, PowerSums]] = []  # (number of groups, sums), sizes falling

    def add(self, sums: PowerSums) -> None:
        """Take the next group."""
        size = 1
        while self.levels and self.levels[-1][0] == size:
            sums = merge(self.levels.pop()[1], sums)
            size *= 2
        self.levels.append((size, sums))

    def result(self) -> PowerSums:
        """Return the sums of all groups so far."""
        sums = self.levels[-1][1]
        for _, earlier in self.levels[-2::-1]:
            sums = merge(earlier, sums)
        return sums


def of_chunk(
    gradients: NDArray[np.float64], E: int, covariances: Covariances | None = None, few: int = FEW
) -> PowerSums:
    """Return the sums of one chunk of samples.

    Parameters
    ----------
    gradients : (E P, N) array
        Samples in its rows; the outputs of a kernel.
    E : int
        Number of estimators.
    covariances : Covariances, optional
        By default between all estimators.
    few : int
        Of fewer samples, which are kept, no `squares` are taken.
    """
    return entry(of_chunks(gradients[None], E, covariances, few), 0)


def of_chunks(
    gradients: NDArray[np.float64], E: int, covariances: Covariances | None = None, few: int = FEW
) -> PowerSums:
    """Return the sums of one chunk of samples of each entry of a batch, (B, E P, N): every array with a leading axis.

    The bits of an entry do not depend on the others.
    """
    B, Q, N = gradients.shape
    P = Q // E
    covariances = between_all(E) if covariances is None else covariances
    gradients = np.ascontiguousarray(gradients)  # the last chunk has room for whole blocks of trajectories
    powers, squared = np.empty((5, B * Q)), np.empty((B * E, N))
    compiled = passes.compiled()
    compiled.central(gradients.reshape(B * Q, N), P, powers, squared)
    own = np.empty((B, 6, Q))
    own[:, 0], own[:, 1:] = N, powers.reshape(5, B, Q).swapaxes(0, 1)
    cross, fourth = _products(gradients, powers[0], E, covariances)
    squares, degrees = np.zeros((B, E + len(covariances.pairs), P + 1)), np.zeros((B, 1))
    kept = gradients[:, :, : N if N < few else 0].copy()
    if N >= few:
        places = _estimators(E, covariances.pairs)
        compiled.squares(own.reshape(6 * B, Q), fourth.reshape(-1, P), squared, *places, squares.reshape(-1, P + 1), E)
        degrees[:] = N - 1
    found = PowerSums(
        own.reshape(B, 6, E, P),
        own[:, :3].reshape(B, 3, E, P).copy(),
        cross,
        squares,
        degrees,
        kept,
        np.zeros((B, E), dtype=np.int64),
        covariances,
    )
    bad = np.flatnonzero(~np.isfinite(own[:, 1]).all(axis=1))
    if not bad.size:
        return found
    each = [entry(found, b) for b in range(B)]
    for b in bad:
        each[b] = _without_nonfinite(each[b], gradients[b], E, few)
    return together(each)


def _without_nonfinite(found: PowerSums, gradients: NDArray[np.float64], E: int, few: int) -> PowerSums:
    """Return the sums of one entry without the samples that are not finite."""
    Q, N = gradients.shape
    P = Q // E
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(gradients).reshape(E, P, N).all(axis=1))
    if finite.all():  # it is the sum that overflows
        return found
    lost, own = N - finite.sum(axis=1), found.own.copy()
    for e in np.flatnonzero(lost):
        part, number = np.empty((5, P)), N - lost[e]
        columns = np.ascontiguousarray(gradients[e * P : (e + 1) * P, finite[e]])
        passes.compiled().central(columns, P, part, np.empty((1, number)))
        own[0, e], own[1:, e] = number, part
    common = of_chunk(gradients[:, finite.all(axis=0)], E, found.covariances, few)
    return dataclasses.replace(common, own=own.reshape(6, E, P), nonfinite=lost)


def entry(sums: PowerSums, b: int) -> PowerSums:
    """Return the sums of one entry of a batch; samples that were filled up with NaN are left out."""
    few = sums.few[b]
    if few.size and not np.isfinite(few).all():
        few = few[:, np.isfinite(few).all(axis=0)]
    arrays = {name: getattr(sums, name)[b] for name in ARRAYS}
    return PowerSums(**arrays | {"few": few}, covariances=sums.covariances)


def together(many: Sequence[PowerSums]) -> PowerSums:
    """Return the sums of a batch from those of its entries."""
    return _joined(np.stack, many)


def concatenated(batches: Sequence[PowerSums]) -> PowerSums:
    """Return the sums of one batch from those of consecutive parts of it."""
    return _joined(np.concatenate, batches)


def _joined(how: Callable[[list[NDArray[Any]]], NDArray[Any]], many: Sequence[PowerSums]) -> PowerSums:
    wide = max(x.few.shape[-1] for x in many)
    arrays = {name: how([getattr(x, name) for x in many]) for name in ARRAYS if name != "few"}
    return PowerSums(**arrays, few=how([_padded(x.few, wide) for x in many]), covariances=many[0].covariances)


def _padded(few: NDArray[np.float64], wide: int) -> NDArray[np.float64]:
    """Return kept samples with room for as many of them."""
    room = [(0, 0)] * (few.ndim - 1) + [(0, wide - few.shape[-1])]
    return np.pad(few, room, constant_values=np.nan)


def _products(
    x: NDArray[np.float64], mean: NDArray[np.float64], E: int, covariances: Covariances
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `PowerSums.cross` of a batch, and the sums of squares of what it sums for pairs of estimators."""
    B, Q, N = x.shape
    P, pairs = Q // E, _rows(covariances.pairs, Q // E)
    first, second = np.tril_indices(Q) if covariances.full else pairs
    total, square = np.empty(B * len(first)), np.empty(B * len(first))
    places = [(k + Q * np.arange(B)[:, None]).ravel() for k in (first, second)]
    passes.compiled().products(x.reshape(B * Q, N), mean, *places, total, square)
    total, square = total.reshape(B, -1), square.reshape(B, -1)
    if not covariances.full:
        return total.reshape(B, len(covariances.pairs), P), square
    cross, square = np.empty((B, Q, Q)), np.ascontiguousarray(square[:, pairs[0] * (pairs[0] + 1) // 2 + pairs[1]])
    cross[:, first, second] = cross[:, second, first] = total
    return cross, square


@functools.cache
def _rows(pairs: tuple[tuple[int, int], ...], P: int) -> tuple[NDArray[np.int64], ...]:
    """Return the rows of samples whose products make the covariances of pairs of estimators, parameter by parameter."""
    return tuple((P * k[:, None] + np.arange(P)).ravel() for k in _columns(pairs))


@functools.cache
def _estimators(E: int, pairs: tuple[tuple[int, int], ...]) -> tuple[NDArray[np.int64], ...]:
    """Return what the rows of `PowerSums.squares` belong to: each estimator and itself, then the pairs."""
    return tuple(np.concatenate([np.arange(E), k]) for k in _columns(pairs))


def _columns(pairs: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T
