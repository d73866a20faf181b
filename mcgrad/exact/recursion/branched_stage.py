"""One stage of the recursion where rollouts branch off, see `branched`.

The noise of a stage comes in three parts, each integrated given the ones before it: what the main rollout and branches on
common noise see, `outer`; what all branches in worlds of their own see, `inner`; and what those of one such world see, `apart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from .branches import MAIN, OWN
from .nodal_stage import CHUNK
from .ring import Array, Monomial
from .system import NumberTerms, ordered

# Means (K, monomials), covariances (K, pairs), the chance of leaving (K,), and Cov(V_a(s), Z(x)), (crossed, K, K).
BranchedFields: TypeAlias = tuple[Array, Array, Array, Array]
SELF: Monomial = (OWN,)


class BranchedStage:
    """Means, covariances and those of pairs of states, before a stage from after it.

    Parameters
    ----------
    space : Branched
    weights : tuple of (Q,) arrays
        Of the three parts of the noise, the same at all nodes.
    points : (K Q, n) array
        Where the main rollout goes to.
    branches : dict, optional
        Branch -> where it goes to, (K, Q or 1, inner, apart, n).
    """

    def __init__(
        self,
        space: Any,
        weights: tuple[Array, Array, Array],
        points: Array,
        branches: Mapping[str, Array] | None = None,
    ) -> None:
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        self.outer, self.inner, self.apart = weights
        self.worlds: dict[Monomial, str] = {(x,): world for x, world in space.worlds.items()}
        self.main = space.mesh.at(points)
        self.at: dict[Monomial, tuple[int, ...]] = {(x,): y.shape[:-1] for x, y in (branches or {}).items()}
        self.matrices: dict[Monomial, Any] = {
            (x,): space.mesh.at(y.reshape(-1, y.shape[-1])) for x, y in (branches or {}).items()
        }
        self.of = {a: k for k, a in enumerate(space.keys)}
        self.pairs = {x: k for k, x in enumerate(space.system.pairs)}
        self.crossed = {a: k for k, a in enumerate(space.crossed)}
        self.outside = space.mesh.outside(points)
        self.shape = K, Q = self.main.shape[1], len(self.outer)
        if self.crossed:  # the matrix that takes (noise, node) of x' to the x that it comes from
            entry = np.repeat(np.arange(K * Q), np.diff(self.main.indptr))
            places = entry % Q * K + self.main.indices, entry // Q
            self._across = sparse.csr_array((self.main.data, places), (Q * K, K))

    def __call__(
        self, fields: BranchedFields, terms: NumberTerms, rewards: Mapping[Monomial, Array] | None = None
    ) -> BranchedFields:
        """Return the fields before the stage; `rewards`: those of branches, which broadcast to their shapes."""
        means, covariances, left, crossed = fields
        K, Q = self.shape
        paid = self._paid(means[:, self.of[SELF]], rewards or {})
        later: dict[Monomial, Array] = {b: (self.main @ means[:, i]).reshape(K, Q) for b, i in self.of.items()} | {
            (): np.ones((1, 1))
        }
        inner = {g: _mean(x, self.apart) for g, x in paid.items()}
        later |= {g: _mean(x, self.inner) for g, x in inner.items()}
        mu = {a: np.broadcast_to(sum((c * later[b] for b, c in row.items()), 0.0), (K, Q)) for a, row in terms.items()}
        new = np.stack([mu[a] @ self.outer for a in self.of], axis=1)
        moved = {a: mu[a] - new[:, i : i + 1] for a, i in self.of.items()}
        joint: dict[Any, Any] = {}
        found = np.zeros((K, len(self.pairs)))
        for (a, g), k in self.pairs.items():
            total = moved[a] * moved[g]
            for x, c in terms[a].items():
                for y, d in terms[g].items():
                    pair = ordered(x, y)
                    if pair not in joint:
                        joint[pair] = self._given_outer(*pair, covariances, crossed, paid, inner)
                    if joint[pair] is not None:
                        total = total + c * d * joint[pair]
            found[:, k] = total @ self.outer
        chance = (self.outside + (1.0 - self.outside) * (self.main @ left)).reshape(K, Q) @ self.outer
        return new, found, chance, self._of_two(crossed, terms, moved)

    def _paid(self, Z: Array, rewards: Mapping[Monomial, Array]) -> dict[Monomial, Array]:
        """Return the mean return of each branch given all noise of the step, (K, Q or 1, inner, apart)."""
        return {g: rewards[g] + (matrix @ Z).reshape(self.at[g]) for g, matrix in self.matrices.items()}

    def _given_outer(
        self,
        x: Monomial,
        y: Monomial,
        covariances: Array,
        crossed: Array,
        paid: Mapping[Monomial, Array],
        inner: Mapping[Monomial, Array],
    ) -> Array | None:
        """Return the covariance of two later values given the outer noise, (K, Q or 1), or None where there is none."""
        if not x or not y:
            return None
        if x in self.of and y in self.of:
            return (self.main @ covariances[:, self.pairs[x, y]]).reshape(self.shape)
        if x in self.of or y in self.of:
            x, y = (x, y) if x in self.of else (y, x)
            if self.worlds[y] != MAIN:
                return None
            return self._at_both(self.main, crossed[self.crossed[x]], self.matrices[y]).reshape(self.shape)
        if MAIN in (self.worlds[x], self.worlds[y]) and self.worlds[x] != self.worlds[y]:
            return None
        total = _covariance(inner[x], inner[y], self.inner)
        if self.worlds[x] == self.worlds[y]:
            if x == y:
                own = self.matrices[x] @ covariances[:, self.pairs[SELF, SELF]]
            else:
                own = self._at_both(self.matrices[x], crossed[self.crossed[SELF]], self.matrices[y])
            given = _covariance(paid[x], paid[y], self.apart) + _mean(own.reshape(self.at[x]), self.apart)
            total = total + _mean(given, self.inner)
        return total

    def _at_both(self, first: Any, field: Array, second: Any) -> Array:
        """Return a function of two states at the points of two matrices, row by row."""
        found = np.empty(first.shape[0])
        size = max(1, CHUNK // field.shape[1])
        for k in range(0, len(found), size):
            part = slice(k, k + size)
            found[part] = second[part].multiply(first[part] @ field).sum(axis=1)
        return found

    def _of_two(self, crossed: Array, terms: NumberTerms, moved: Mapping[Monomial, Array]) -> Array:
        """Return K_a(s, x) before the stage."""
        K, Q = self.shape
        found = np.empty_like(crossed)
        for a, k in self.crossed.items():
            found[k] = (moved[a] * self.outer) @ moved[SELF].T
            rows = max(1, CHUNK // (K * Q))
            for first in range(0, K, rows):
                part = slice(first, min(first + rows, K))
                total = np.zeros((part.stop - part.start, Q, K))
                for x, c in terms[a].items():
                    if not x or self.worlds.get(x, MAIN) != MAIN:
                        continue
                    matrix, field = self.matrices.get(x, self.main), crossed[self.crossed[x if x in self.of else SELF]]
                    later = (matrix[part.start * Q : part.stop * Q] @ field).reshape(-1, Q, K)
                    total += (np.broadcast_to(c, (K, Q))[part] * self.outer)[:, :, None] * later
                found[k, part] += total.reshape(len(total), -1) @ self._across
        return found


def _mean(x: Array, weights: Array) -> Array:
    """Return E x over the last axis, which is one number where x does not vary."""
    return x[..., 0] if x.shape[-1] == 1 else x @ weights


def _covariance(x: Array, y: Array, weights: Array) -> Array:
    """Return Cov(x, y) over the last axis."""
    return _mean((x - _mean(x, weights)[..., None]) * (y - _mean(y, weights)[..., None]), weights)
