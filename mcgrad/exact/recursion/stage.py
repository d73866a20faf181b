"""One step back of the recursion on coefficients: everything that does not change with time is prepared once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..theory import NoClosedForm
from .basis import Basis, TooSmall, basis
from .degrees import Degrees
from .powers import StepPowers, powers_of
from .ring import Array, Monomial, Pair, Places, Poly, Value, times
from .system import System, ordered

LARGEST = 20_000_000  # products of two coefficients in one step


class Layout:
    """Where the coefficients of all fields stand: `mean[a]` and `covariance[pair]` are index arrays."""

    def __init__(self, space: Basis, degrees: Degrees) -> None:
        self.space = space
        self.mean, self.means = _numbered({a: space.size(d) for a, d in degrees.mean.items()})
        self.covariance, self.covariances = _numbered({x: space.size(d) for x, d in degrees.covariance.items()})

    def filled(self, polys: Mapping[Monomial, Poly], states: Sequence[str]) -> Array:
        """Return the array of means that are given as polynomials."""
        out = np.zeros(self.means)
        for a, poly in polys.items():
            for names, c in poly.items():
                beta, _ = powers_of(names, states)
                out[self.mean[a][self.space.places(beta)]] = c
        return out


def _numbered(sizes: dict[Any, int]) -> tuple[dict[Any, Places], int]:
    found, total = {}, 0
    for key, size in sizes.items():
        found[key] = np.arange(total, total + size)
        total += size
    return found, total


class Stage:
    """The map from the fields after a step to those before it.

    Parameters
    ----------
    system : System
    after : list of Poly
        The next state.
    later, now : Degrees
        Of the fields after the step and before it.
    states : list of names
        The variables of the fields before the step.
    kinds : dict
        Noise name -> kind.
    """

    def __init__(
        self,
        system: System,
        after: Sequence[Poly],
        later: Degrees,
        now: Degrees,
        states: Sequence[str],
        kinds: Mapping[str, str],
    ) -> None:
        self.system, self.states = system, list(states)
        for x in after:
            if any(np.ndim(c) for c in x.values()):
                raise NoClosedForm("no recursion on polynomials: the dynamics differ from step to step")
        full = {a for pair in system.pairs for a in pair}
        products = self._products()
        of_mean, of_pair = self._orders(after, later, full, products)
        requests = {(later.mean[b], k) for b, k in of_mean.items()}
        requests |= {(later.covariance[x], k) for x, k in of_pair.items()}
        extra = max((len(g) for rows in self._all(products) for _, g, _ in rows), default=0)
        self.powers = StepPowers(after, self.states, kinds, requests or {(0, 0)}, extra)
        degree = max([0, *later.mean.values(), *later.covariance.values()])
        self.layout_in = Layout(basis(len(after), degree), later)
        degree = max([0, *now.value.values(), *now.covariance.values()])
        self.space = basis(len(self.states), degree)
        self.layout_out = Layout(self.space, now)
        self._mean_gather = _Composition(
            self.powers, {b: (later.mean[b], k) for b, k in of_mean.items()}, self.layout_in.mean
        )
        self._pair_gather = _Composition(
            self.powers, {x: (later.covariance[x], k) for x, k in of_pair.items()}, self.layout_in.covariance
        )
        self._value_operator(now, full)
        self._carried_operator(products)

    # ---- what is needed

    def _products(self) -> dict[Pair, dict[Pair, list[Any]]]:
        """Return {pair: {later pair: [terms of c_ab c_gb', as powers of the state, noises, coefficient]}}."""
        found: dict[Pair, dict[Pair, list[Any]]] = {}
        for a, g in self.system.pairs:
            row = found.setdefault((a, g), {})
            for x, c in self.system.terms[a].items():
                for y, d in self.system.terms[g].items():
                    if x and y:
                        terms = [(*powers_of(names, self.states), k) for names, k in times(c, d).items()]
                        row.setdefault(ordered(x, y), []).extend(terms)
        return found

    def _all(self, products: dict[Pair, dict[Pair, list[Any]]]) -> Iterator[list[Any]]:
        """Yield the terms of all coefficients."""
        for row in self.system.terms.values():
            for poly in row.values():
                yield [(*powers_of(names, self.states), c) for names, c in poly.items()]
        for row in products.values():
            yield from row.values()

    def _orders(
        self, after: Sequence[Poly], later: Degrees, full: set[Monomial], products: dict[Pair, dict[Pair, list[Any]]]
    ) -> tuple[dict[Monomial, int], dict[Pair, int]]:
        """Return up to which order in the noise each later field is needed: {b: order}, {pair: order}."""
        noisy = max((len(powers_of(names, self.states)[1]) for x in after for names in x), default=0)
        of_mean: dict[Monomial, int] = {}
        of_pair: dict[Pair, int] = {}
        for a, row in self.system.terms.items():
            for b, c in row.items():
                if b:
                    own = max(len(powers_of(names, self.states)[1]) for names in c)
                    of_mean[b] = max(of_mean.get(b, 0), later.mean[b] * noisy if a in full else own)
        for row in products.values():
            for pair, terms in row.items():
                if later.covariance[pair] >= 0:
                    own = max(len(gamma) for _, gamma, _ in terms)
                    of_pair[pair] = max(of_pair.get(pair, 0), min(own, later.covariance[pair] * noisy))
        return of_mean, of_pair

    # ---- mu_a = sum_b c_ab m_b(s_next)

    def _value_operator(self, now: Degrees, full: set[Monomial]) -> None:
        space, noise = self.space, self.powers.noise
        shapes = {
            a: (noise.basis.size(now.noise[a] if a in full else 0), space.size(now.value[a])) for a in self.system.terms
        }
        places, total = _numbered({a: k * n for a, (k, n) in shapes.items()})
        apply_, constant = _Operator(total), _Operator(total)
        for a, row in self.system.terms.items():
            K, N = shapes[a]
            for b, c in row.items():
                for names, coefficient in c.items():
                    beta, gamma = powers_of(names, self.states)
                    if b:
                        size_k, size_n, first = self._mean_gather.shape(b)
                    else:
                        size_k, size_n, first = 1, 1, 0
                    rows, columns, values = noise.matrix(gamma, K, size_k, cut=a not in full)
                    shifted = space.places(space.powers[:size_n] + np.array(beta, dtype=np.int64))
                    to = places[a][0] + rows[:, None] * N + shifted
                    at = first + columns[:, None] * size_n + np.arange(size_n)
                    (apply_ if b else constant).add(to, at, np.broadcast_to(values[:, None], to.shape), coefficient)
        self._value, self._constant = apply_.done(), constant.done()
        width = {a: space.size(now.mean[a]) for a in shapes}
        self._mean_at = [(self.layout_out.mean[a], places[a][: width[a]]) for a in shapes]
        self._shapes, self._places = shapes, places

    def prepare(self, fields: Array, steps: int) -> None:
        """Choose which products of coefficients covariances are made of: those that are ever nonzero in so many steps.

        `fields` are the last means; 1 step is one stage alone, whose fields are others than those after it.
        """
        support = (fields != 0.0).astype(float)
        for k in range(steps):
            mu = self._value.structure(self._mean_gather.structure(support)) + self._constant.structure(np.ones(1))
            if k == steps - 1:
                break
            new = support.copy()
            for out, at in self._mean_at:
                new[out] += mu[at] > 0
            new = (new > 0).astype(float)
            if (new == support).all():
                break
            support = new
        self._choose(mu > 0)

    def _choose(self, support: NDArray[np.bool_]) -> None:
        first, second, target = [], [], []
        total = 0
        for a, g in self.system.pairs:
            out = self.layout_out.covariance[a, g]
            (_, n_a), (_, n_g) = self._shapes[a], self._shapes[g]
            mine, other = (np.flatnonzero(support[self._places[x]]) for x in (a, g))
            mine, other = mine[mine >= n_a], other[other >= n_g]  # order 0 is the mean
            k_a, k_g = mine // n_a, other // n_g
            left, right = np.searchsorted(k_g, k_a, "left"), np.searchsorted(k_g, k_a, "right")
            counts = right - left
            total += counts.sum()
            if total > LARGEST:
                raise NoClosedForm(
                    f"no recursion on polynomials: more than {LARGEST} products of coefficients in a step"
                )
            i = np.repeat(np.arange(len(mine)), counts)
            j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(left, counts)
            powers = self.space.powers[mine[i] % n_a] + self.space.powers[other[j] % n_g]
            first.append(self._places[a][0] + mine[i])
            second.append(self._places[g][0] + other[j])
            target.append(out[_within(self.space.places(powers), len(out))])
        self._pairs = [np.concatenate([np.zeros(0, np.int64), *x]) for x in (first, second, target)]

    # ---- E c c^T C'(s_next)

    def _carried_operator(self, products: dict[Pair, dict[Pair, list[Any]]]) -> None:
        space, noise = self.space, self.powers.noise
        operator = _Operator(self.layout_out.covariances)
        for pair, row in products.items():
            out = self.layout_out.covariance[pair]
            for later, terms in row.items():
                if not self._pair_gather.has(later):
                    continue
                size_k, size_n, first = self._pair_gather.shape(later)
                for beta, gamma, coefficient in terms:
                    # E xi^gamma f = sum_k <xi^gamma, h_k> f_k
                    k, _, values = noise.matrix(gamma, size_k, 1, cut=True)
                    shifted = space.places(space.powers[:size_n] + np.array(beta, dtype=np.int64))
                    to = np.broadcast_to(out[_within(shifted, len(out))], (len(k), size_n))
                    at = first + k[:, None] * size_n + np.arange(size_n)
                    operator.add(to, at, np.broadcast_to(values[:, None], to.shape), coefficient)
        self._carried = operator.done()

    # ---- the step

    def back(self, t: int, fields: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return (means, covariances) before step t, given those after it."""
        means, covariances = fields
        mu = self._constant.apply(t, np.ones(1)) + self._value.apply(t, self._mean_gather(means))
        new = np.zeros(self.layout_out.means)
        for out, at in self._mean_at:
            new[out] = mu[at]
        i, j, target = self._pairs
        total = np.bincount(target, weights=mu[i] * mu[j], minlength=self.layout_out.covariances)
        return new, total + self._carried.apply(t, self._pair_gather(covariances))


def _within(places: Places, size: int) -> Places:
    if places.size and places.max() >= size:
        raise TooSmall("degree: a term of a covariance is of a higher degree than its field")
    return places


class _Composition:
    """Fields composed with a step: stacked coefficients in noise and state, field by field."""

    def __init__(self, powers: StepPowers, wanted: dict[Any, tuple[int, int]], places: dict[Any, Places]) -> None:
        self._groups, self._shapes, self._matrices, first = [], {}, powers.matrices, 0
        for request in dict.fromkeys(wanted.values()):
            mine = [b for b, r in wanted.items() if r == request]
            degree, order = request
            if degree < 0:
                continue
            size_k, size_n = powers.noise.basis.size(order), powers.outside.size(degree * powers.up)
            for b in mine:
                self._shapes[b] = size_k, size_n, first
                first += size_k * size_n
            self._groups.append((request, np.stack([places[b] for b in mine], axis=1)))

    def has(self, b: Any) -> bool:
        return b in self._shapes

    def shape(self, b: Any) -> tuple[int, int, int]:
        """Return (orders, powers, first place) of a composed field."""
        return self._shapes[b]

    def __call__(self, fields: Array) -> Array:
        return np.concatenate([np.zeros(0), *((self._matrices[r] @ fields[at]).T.ravel() for r, at in self._groups)])

    def structure(self, support: Array) -> Array:
        found = [((self._matrices[r] != 0.0).astype(float) @ support[at] > 0).T.ravel() for r, at in self._groups]
        return np.concatenate([np.zeros(0), *found]).astype(float)


class _Operator:
    """A sparse matrix whose entries are numbers times coefficients that may differ from step to step."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._parts: list[tuple[Places, Places, Array, Places]] = []
        self._coefficients: list[Value] = []

    def add(self, to: Places, at: Places, values: Array, coefficient: Value) -> None:
        self._parts.append((to.ravel(), at.ravel(), values.ravel(), np.full(to.size, len(self._coefficients))))
        self._coefficients.append(coefficient)

    def done(self) -> _Operator:
        empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
        self.to, self.at, values, self._term = (np.concatenate(x) for x in zip(empty, *self._parts, strict=True))
        self._varies = any(np.ndim(c) for c in self._coefficients)
        steps = max((len(c) for c in self._coefficients if np.ndim(c)), default=1)
        table = np.array([np.broadcast_to(c, steps) for c in self._coefficients]).reshape(-1, steps)
        self._values: Array = values if self._varies else values * table[self._term, 0]
        self._table = table.T if self._varies else table[:0]
        self._parts.clear()
        return self

    def apply(self, t: int, x: Array) -> Array:
        values = self._values * self._table[t][self._term] if self._varies else self._values
        return self._summed(values * x[self.at])

    def structure(self, x: Array) -> Array:
        return self._summed((x[self.at] > 0).astype(float))

    def _summed(self, values: Array) -> Array:
        return np.asarray(np.bincount(self.to, weights=values, minlength=self.rows), float)
