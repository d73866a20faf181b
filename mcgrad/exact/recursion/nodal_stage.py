"""One stage of the recursion on values at nodes: means, covariances and the chance of leaving, before it from after it."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .ring import Array, Fields, Monomial, Pair, State, Value
from .system import NumberTerms, System, ordered
from .work import Spend, free

Key: TypeAlias = tuple[str, float]  # of a coefficient: two that are equal have the same
ProductKey: TypeAlias = tuple[Key, Key]

CHUNK = 4_000_000  # numbers at once
MANY = 8  # pairs with one first monomial
DENSE = 4096  # elements of a matrix that is kept in full
SUMMED = 4  # operations that an element of a sparse matrix takes in a product with another one


class NodalStage:
    """One stage at some of the nodes: V_a = sum_b c_ab V'_b, from (K, Q) points with weights."""

    def __init__(
        self,
        terms: NumberTerms | None,
        pairs: Iterable[Pair],
        later: System,
        mesh: Any,
        points: NDArray[Any],
        weights: Array,
        source: Any = None,
        spend: Spend = free,
    ) -> None:
        self.weights, self.source, self.pairs, self.spend = weights, source, list(pairs), spend
        self.shape = weights.shape
        self.of = {b: i for i, b in enumerate(later.terms)}
        self.pair_of = {x: i for i, x in enumerate(later.pairs)}
        self.matrix = mesh.at(points)
        outside = mesh.outside(points)
        self.outside = None if outside is None or not outside.any() else outside.reshape(self.shape)
        self.terms: NumberTerms | None = None
        if terms is not None:
            self.update(terms)

    def update(self, terms: NumberTerms) -> None:
        """Take other coefficients; what is folded over the noise is kept where none of those that it is made of changed."""
        before, self.terms = self.terms, terms
        if before is None or not _alike(before, terms):
            self._fold(terms)
        self._combination = _Combination(terms, self.of, self.shape)
        places = {a: i for i, a in enumerate(terms)}
        self._products = _products([(places[a], places[g]) for a, g in self.pairs], max(1, CHUNK // self.weights.size))

    def _fold(self, terms: NumberTerms) -> None:
        """Sum the weights of E c c^T C'(s_next) over the noise: one matrix for each different product of coefficients."""
        entries: list[tuple[ProductKey, int, int]] = []
        products: dict[ProductKey, tuple[Value, Value]] = {}
        for k, (a, g) in enumerate(self.pairs):
            for x, c in terms[a].items():
                for y, d in terms[g].items():
                    if x and y:
                        key = ordered(_key(c), _key(d))
                        products.setdefault(key, (c, d))
                        entries.append((key, k, self.pair_of[ordered(x, y)]))
        self.spend(SUMMED * len(products) * self.matrix.nnz, 0.0)
        self._folded = _Folded(entries, {k: self._summed(c * d) for k, (c, d) in products.items()}, len(self.pairs))
        self._inside = None if self.outside is None else self._summed(1.0 - self.outside)

    def _summed(self, c: Value) -> Any:
        K, Q = self.shape
        weights = np.broadcast_to(self.weights * c, self.shape).ravel()
        size = self.matrix.shape[1]
        if K * size <= DENSE:
            width = np.diff(self.matrix.indptr)
            at = np.repeat(np.repeat(np.arange(K) * size, Q), width) + self.matrix.indices
            found = np.bincount(at, weights=np.repeat(weights, width) * self.matrix.data, minlength=K * size)
            return found.reshape(K, size)
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        sums = sparse.csr_array((weights, np.arange(K * Q), np.arange(0, K * Q + 1, Q)), shape=(K, K * Q))
        return sums @ self.matrix

    def __call__(self, fields: Fields) -> Fields:
        means, covariances, left = fields
        K, Q = self.shape
        later = np.ascontiguousarray((self.matrix @ means).T).reshape(-1, K, Q)
        values = self._combination(later)
        new = np.einsum("akq,kq->ka", values, self.weights)
        values -= new.T[:, :, None]
        found = self._folded(covariances, K)
        for at, first, second in self._products:
            found[:, at] += np.einsum("akq,akq,kq->ka", values[first], values[second], self.weights)
        if self.outside is None or self._inside is None:
            chance = self._summed(1.0) @ left if left.any() else np.zeros(K)
        else:
            chance = np.sum(self.weights * self.outside, axis=1) + self._inside @ left
        return new, found, chance


class _Combination:
    """The map from the values of what comes later, (B, K, Q), to V_a = sum_b c_ab V'_b, (A, K, Q).

    Coefficients that are equal are dealt with at once, those that vanish in most of the rows, as scores of tables do, in the
    others alone.
    """

    def __init__(self, terms: NumberTerms, of: dict[Monomial, int], shape: tuple[int, int]) -> None:
        self._shape = (len(terms), *shape)
        self._constants: list[tuple[int, Value]] = []
        grouped: dict[Key, tuple[Value, list[tuple[int, int]]]] = {}
        for i, (_, row) in enumerate(terms.items()):
            for b, c in row.items():
                if not b:
                    self._constants.append((i, c))
                    continue
                grouped.setdefault(_key(c), (c, []))[1].append((i, of[b]))
        self._groups = []
        for c, places in grouped.values():
            rows = _rows(c, shape[0])
            c = c if rows is None else c[rows]
            rounds: dict[int, list[tuple[int, int]]] = {}
            seen: collections.Counter[int] = collections.Counter()  # adding in place takes different outputs at a time
            for i, b in places:
                rounds.setdefault(seen[i], []).append((i, b))
                seen[i] += 1
            self._groups += [(c, rows, *map(_slice, zip(*x, strict=True))) for x in rounds.values()]

    def __call__(self, later: Array) -> Array:
        values = np.zeros(self._shape)
        for i, c in self._constants:
            values[i] += c
        for c, rows, out, at in self._groups:
            x = later[at] if rows is None else later[at, rows]
            x = x if np.ndim(c) == 0 and c == 1.0 else c * x
            if rows is None:
                values[out] += x
            else:
                values[out, rows] += x
        return values


def _rows(c: Value, count: int) -> slice | None:
    """Return the slice of rows outside of which a coefficient vanishes, if it leaves out most of them."""
    if np.ndim(c) < 2 or len(c) != count:
        return None
    there = np.flatnonzero(np.any(c != 0.0, axis=1))
    if not len(there) or there[-1] - there[0] >= count // 2:
        return None
    return slice(there[0], there[-1] + 1)


def _slice(numbers: Any) -> Any:
    """Return numbers as a slice where they follow one another."""
    numbers = np.array(numbers, dtype=np.int64)
    if (np.diff(numbers) == 1).all():
        return slice(numbers[0], numbers[-1] + 1)
    return numbers


def _products(pairs: Sequence[tuple[int, int]], most: int) -> list[tuple[Any, Any, Any]]:
    """Return [(places of pairs, first, second)], firsts and seconds as slices where they can be, else at `most` so many."""
    firsts = collections.Counter(i for i, _ in pairs)
    grouped: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
    for n, (i, j) in enumerate(pairs):
        grouped.setdefault(("first", i) if firsts[i] > MANY else ("apart", j - i), []).append((j, i, n))
    found = []
    for (kind, _), x in grouped.items():
        second, first, at = (np.array(y) for y in zip(*sorted(x), strict=True))
        size = len(at) if isinstance(_slice(second), slice) else most
        for k in range(0, len(at), size):
            part = slice(k, k + size)
            one = slice(first[0], first[0] + 1) if kind == "first" else _slice(first[part])
            found.append((at[part], one, _slice(second[part])))
    return found


class _Folded:
    """The map from covariances after a stage to their part of those before it."""

    def __init__(self, entries: list[tuple[ProductKey, int, int]], matrices: dict[ProductKey, Any], pairs: int) -> None:
        self._pairs, self._matrices = pairs, matrices
        self._dense = all(isinstance(x, np.ndarray) for x in matrices.values())
        if self._dense and entries:
            self._stack = np.stack([matrices[key] for key, _, _ in entries])
            self._outputs = np.array([out for _, out, _ in entries])
            self._inputs = np.array([at for _, _, at in entries])
            return
        grouped: dict[ProductKey, list[tuple[int, int]]] = {}
        for key, out, at in entries:
            grouped.setdefault(key, []).append((out, at))
        self._groups = [(matrices[key], *np.array(x).T) for key, x in grouped.items()]

    def __call__(self, covariances: Array, nodes: int) -> Array:
        out = np.zeros((self._pairs, nodes))
        if self._dense and hasattr(self, "_stack"):
            np.add.at(out, self._outputs, np.einsum("nij,jn->ni", self._stack, covariances[:, self._inputs]))
        elif not self._dense:
            for matrix, outputs, inputs in self._groups:
                for at, column in zip(outputs, (matrix @ covariances[:, inputs]).T, strict=True):
                    out[at] += column
        return out.T.copy()


def points_of(values: State, K: int, Q: int) -> Array:
    """Return states that are given component by component as points, (K Q, n)."""
    return np.stack([np.broadcast_to(x, (K, Q)).ravel() for x in values], axis=1)


def _key(c: Value) -> Key:
    return ("number", float(c)) if np.ndim(c) == 0 else ("array", id(c))


def _alike(before: NumberTerms, terms: NumberTerms) -> bool:
    """Tell whether the coefficients of what is carried, () apart, are the same numbers."""
    for a, row in terms.items():
        old = {b: c for b, c in before[a].items() if b}
        if old.keys() != {b for b in row if b}:
            return False
        if any(not np.array_equal(old[b], c) for b, c in row.items() if b):
            return False
    return True
