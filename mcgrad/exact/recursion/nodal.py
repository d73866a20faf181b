"""The recursion on values at nodes: the states of a table, or the points of a grid that functions are interpolated on.

What a mesh has to offer: `nodes` (K, n); `at(points)`, the matrix that takes values at the nodes to values at points; and
`outside(points)`, which points it does not cover, or None. Noise comes as nodes and weights from a rule (see `noise`).
"""

import collections

import numpy as np

from .ring import EXP, UNKNOWN, Lost, Poly, lift, variable
from .system import coefficients, last_values, ordered, system

CHUNK = 4_000_000  # numbers at once
MANY = 8  # pairs with one first monomial
DENSE = 4096  # elements of a matrix that is kept in full


class Nodal:
    """A space of functions by their values at nodes, for one chain and what is asked of it.

    Parameters
    ----------
    chain : Chain
    first, pairs
        See `system`.
    mesh, rule
        See the module.
    apart : bool
        Whether normal noises that only move the next state are integrated one by one.
    """

    def __init__(self, chain, first, pairs, mesh, rule, apart=True):
        self.chain, self.mesh, self.rule, self.horizon = chain, mesh, rule, chain.problem.horizon
        self.carries = list(chain.carries)
        unknown = dict.fromkeys(chain.model.rows(0), UNKNOWN)
        state, noise = [UNKNOWN] * chain.states, dict.fromkeys(chain.noises(), UNKNOWN)
        self.system = system(first, pairs, chain.step(unknown, state, noise, self.carries), chain.carries)
        self.wanted = sorted({c.removeprefix(EXP) for a in self.system.terms for c in a})
        self.apart = additive(chain, self.wanted) if apart else {}
        self.keys = list(self.system.terms)
        self._stages, self._rows = None, None
        self.left = 0.0

    def size(self):
        """Return how many numbers the matrices of a step hold, and about how many operations it takes."""
        K, Q = len(self.mesh.nodes), self.rule.size(self.chain, self.wanted, self._state(slice(None)), self.apart)
        terms = sum(map(len, self.system.terms.values()))
        operations = 2 * terms + 2 * len(self.system.pairs) + (1 + len(self.keys)) * self.mesh.width
        return K * Q * self.mesh.width, K * Q * operations

    def last(self):
        """Return the fields after the last step: means (K, monomials), covariances (K, pairs), the chance of leaving (K,)."""
        chain, K = self.chain, len(self.mesh.nodes)
        state = self._state(slice(None))
        values = last_values(self.keys, chain.last(chain.model.rows(self.horizon), state, self.wanted))
        columns = [np.broadcast_to(x.get((), 0.0), (K, 1))[:, 0] for x in values.values()]
        means = np.stack([np.zeros(K), *columns], axis=1)[:, 1:]
        return means, np.zeros((K, len(self.system.pairs))), np.zeros(K)

    def back(self, t, fields):
        """Return the fields before step t, given those after it."""
        rows = self.chain.model.rows(t)
        if self._stages is None:
            self._stages = self._blocks(rows)
            self._blurs = [self._blur(*x) for x in self.apart.items()]
        elif rows != self._rows:
            for stage in self._stages:
                stage.update(self._terms(rows, stage))
        self._rows = rows
        for stages in (*self._blurs, self._stages):
            parts = [stage(fields) for stage in stages]
            fields = tuple(np.concatenate(x) for x in zip(*parts, strict=True))
        return fields

    def start(self, fields, outputs, pairs):
        """Return {output: mean}, {pair: covariance} of outputs {name: {monomial: polynomial in the noise of the start}}."""
        noise, weights = self.rule.start(self.chain)
        Q = weights.shape[1]
        points = points_of(self.chain.start(noise), 1, Q)
        terms = {a: {b: _evaluated(c, noise) for b, c in row.items()} for a, row in outputs.items()}
        pairs = [ordered(*x) for x in pairs]
        stage = NodalStage(terms, pairs, self.system, self.mesh, points, weights)
        means, covariances, left = stage(fields)
        self.left = float(left[0])
        return dict(zip(terms, map(float, means[0]), strict=True)), dict(
            zip(pairs, map(float, covariances[0]), strict=True)
        )

    def evaluate(self, fields, a, s):
        """Return the conditional mean of a monomial at states (N, n); NaN outside of a box."""
        found, outside = self.mesh.at(s) @ fields[0][:, self.keys.index(a)], self.mesh.outside(s)
        return found if outside is None else np.where(outside > 0, np.nan, found)

    # ---- stages

    def _state(self, part):
        return [self.mesh.nodes[part, i : i + 1] for i in range(self.chain.states)]

    def _blocks(self, rows):
        """Return the stages of the step, for some of the nodes each."""
        K = len(self.mesh.nodes)
        width = len(self.keys) + self.mesh.width + sum(len(x) for x in self.system.terms.values())
        states = self._state(slice(None))
        size = max(1, CHUNK // (self.rule.size(self.chain, self.wanted, states, self.apart) * width))
        found = []
        for first in range(0, K, size):
            part = slice(first, min(first + size, K))
            state = self._state(part)
            noise, weights, given = self.rule.step(self.chain, self.wanted, state, self.apart)
            noise |= {k: np.zeros((1, 1)) for k in self.apart}
            count = part.stop - part.start
            weights = np.broadcast_to(weights, (count, weights.shape[1]))
            points = points_of(self.chain.next_states(rows, state, noise, given), *weights.shape)
            stage = NodalStage(None, self.system.pairs, self.system, self.mesh, points, weights, (part, noise, given))
            stage.update(self._terms(rows, stage))
            found.append(stage)
        return found

    def _terms(self, rows, stage):
        part, noise, given = stage.source
        new = self.chain.step(rows, self._state(part), noise, self.wanted, given)
        found = coefficients(self.keys, new, self.chain.carries)
        return {a: {b: _number(c) for b, c in row.items()} for a, row in found.items()}

    def _blur(self, name, direction):
        """Return the stage in which one normal moves the state along a direction, and nothing else."""
        x, w = self.rule.normal(name)
        points = self.mesh.nodes[:, None, :] + x[None, :, None] * direction
        weights = np.broadcast_to(w[None], (len(points), len(w)))
        terms = {a: {a: 1.0} for a in self.keys}
        return [
            NodalStage(terms, self.system.pairs, self.system, self.mesh, points.reshape(-1, self.chain.states), weights)
        ]


class NodalStage:
    """One stage at some of the nodes: V_a = sum_b c_ab V'_b, from (K, Q) points with weights."""

    def __init__(self, terms, pairs, later, mesh, points, weights, source=None):
        self.weights, self.source, self.pairs = weights, source, list(pairs)
        self.shape = weights.shape
        self.of = {b: i for i, b in enumerate(later.terms)}
        self.pair_of = {x: i for i, x in enumerate(later.pairs)}
        self.matrix = mesh.at(points)
        outside = mesh.outside(points)
        self.outside = None if outside is None or not outside.any() else outside.reshape(self.shape)
        self.terms = None
        if terms is not None:
            self.update(terms)

    def update(self, terms):
        """Take other coefficients; what is folded over the noise is kept where none of those that it is made of changed."""
        before, self.terms = self.terms, terms
        if before is None or not _alike(before, terms):
            self._fold()
        self._combination = _Combination(terms, self.of, self.shape)
        places = {a: i for i, a in enumerate(terms)}
        self._products = _products([(places[a], places[g]) for a, g in self.pairs], max(1, CHUNK // self.weights.size))

    def _fold(self):
        """Sum the weights of E c c' C'(s') over the noise: one matrix for each different product of coefficients."""
        entries, products = [], {}
        for k, (a, g) in enumerate(self.pairs):
            for x, c in self.terms[a].items():
                for y, d in self.terms[g].items():
                    if x and y:
                        key = tuple(sorted((_key(c), _key(d))))
                        products.setdefault(key, (c, d))
                        entries.append((key, k, self.pair_of[ordered(x, y)]))
        self._folded = _Folded(entries, {k: self._summed(c * d) for k, (c, d) in products.items()}, len(self.pairs))
        self._inside = (
            self._summed(1.0 if self.outside is None else 1.0 - self.outside) if self.outside is not None else None
        )

    def _summed(self, c):
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

    def __call__(self, fields):
        means, covariances, left = fields
        K, Q = self.shape
        later = np.ascontiguousarray((self.matrix @ means).T).reshape(-1, K, Q)
        values = self._combination(later)
        new = np.einsum("akq,kq->ka", values, self.weights)
        values -= new.T[:, :, None]
        found = self._folded(covariances, K)
        for at, first, second in self._products:
            found[:, at] += np.einsum("akq,akq,kq->ka", values[first], values[second], self.weights)
        if self.outside is None:
            chance = self._summed(1.0) @ left if left.any() else np.zeros(K)
        else:
            chance = np.sum(self.weights * self.outside, axis=1) + self._inside @ left
        return new, found, chance


class _Combination:
    """The map from the values of what comes later, (B, K, Q), to V_a = sum_b c_ab V'_b, (A, K, Q).

    Coefficients that are equal are dealt with at once, those that vanish in most of the rows, as scores of tables do, in the
    others alone.
    """

    def __init__(self, terms, of, shape):
        self._shape = (len(terms), *shape)
        self._constants, grouped = [], {}
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
            rounds, seen = {}, collections.Counter()  # adding in place takes different outputs at a time
            for i, b in places:
                rounds.setdefault(seen[i], []).append((i, b))
                seen[i] += 1
            self._groups += [(c, rows, *map(_slice, zip(*x, strict=True))) for x in rounds.values()]

    def __call__(self, later):
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


def _rows(c, count):
    """Return the slice of rows outside of which a coefficient vanishes, if it leaves out most of them."""
    if np.ndim(c) < 2 or len(c) != count:
        return None
    there = np.flatnonzero(np.any(c != 0.0, axis=1))
    if not len(there) or there[-1] - there[0] >= count // 2:
        return None
    return slice(there[0], there[-1] + 1)


def _slice(numbers):
    """Return numbers as a slice where they follow one another."""
    numbers = np.array(numbers, dtype=np.int64)
    if (np.diff(numbers) == 1).all():
        return slice(numbers[0], numbers[-1] + 1)
    return numbers


def _products(pairs, most):
    """Return [(places of pairs, first, second)], firsts and seconds as slices where they can be, else at `most` so many."""
    firsts = collections.Counter(i for i, _ in pairs)
    grouped = {}
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

    def __init__(self, entries, matrices, pairs):
        self._pairs, self._matrices = pairs, matrices
        self._dense = all(isinstance(x, np.ndarray) for x in matrices.values())
        if self._dense and entries:
            self._stack = np.stack([matrices[key] for key, _, _ in entries])
            self._outputs = np.array([out for _, out, _ in entries])
            self._inputs = np.array([at for _, _, at in entries])
            return
        grouped = {}
        for key, out, at in entries:
            grouped.setdefault(key, []).append((out, at))
        self._groups = [(matrices[key], *np.array(x).T) for key, x in grouped.items()]

    def __call__(self, covariances, nodes):
        out = np.zeros((self._pairs, nodes))
        if self._dense and hasattr(self, "_stack"):
            np.add.at(out, self._outputs, np.einsum("nij,jn->ni", self._stack, covariances[:, self._inputs]))
        elif not self._dense:
            for matrix, outputs, inputs in self._groups:
                for at, column in zip(outputs, (matrix @ covariances[:, inputs]).T, strict=True):
                    out[at] += column
        return out.T.copy()


def additive(chain, wanted):
    """Return {noise: direction} of the process's normals that move the next state by a fixed vector, and nothing else."""
    found, kinds = {}, chain.noises()
    rows = dict.fromkeys(chain.model.rows(0), UNKNOWN)
    for name in chain.inputs.w_names[: chain.problem.environment.noises]:
        state = [UNKNOWN] * chain.states
        noise = dict.fromkeys(kinds, UNKNOWN) | {name: variable(name)}
        moved = [x if isinstance(x, Lost) else lift(x) for x in chain.next_states(rows, state, noise)]
        seen = chain.step(rows, state, noise, wanted).values()
        sees = any(isinstance(x, Lost) or (isinstance(x, Poly) and any(name in k for k in x)) for x in seen)
        if sees or any(isinstance(x, Lost) or any(k not in ((), (name,)) for k in x) for x in moved):
            continue
        direction = np.array([x.get((name,), 0.0) for x in moved], dtype=float)
        if np.isfinite(direction).all():
            found[name] = direction
    return found


def points_of(values, K, Q):
    """Return states that are given component by component as points, (K Q, n)."""
    return np.stack([np.broadcast_to(x, (K, Q)).ravel() for x in values], axis=1)


def _number(poly):
    """Return the coefficient that a polynomial without variables is."""
    return poly.get((), 0.0)


def _evaluated(poly, values):
    total = 0.0
    for names, c in poly.items():
        for x in names:
            c = c * values[x]
        total = total + c
    return total


def _key(c):
    return ("number", float(c)) if np.ndim(c) == 0 else ("array", id(c))


def _alike(before, terms):
    """Tell whether the coefficients of what is carried, () apart, are the same numbers."""
    for a, row in terms.items():
        old = {b: c for b, c in before[a].items() if b}
        if old.keys() != {b for b in row if b}:
            return False
        if any(not np.array_equal(old[b], c) for b, c in row.items() if b):
            return False
    return True
