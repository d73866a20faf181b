"""Noise as nodes and weights: Gauss quadrature, broken into panels where the graphs say that something kinks or jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...compiler.emit import live_inputs
from .chain import Chain
from .edges import Edge, edges, flat
from .laws import ENDS, NORMAL, UNIFORM, density, gauss, probability
from .ring import Array, State, Values

SAME = 1e-10  # breaks that are closer are one
FINE = 64  # nodes that the Gauss quadrature of a normal between two breaks is made from: exact to rounding up to there


def tensor(names: Iterable[Any], rule: Callable[[Any], tuple[Array, Array]]) -> tuple[dict[Any, Array], Array]:
    """Return {name: (1, Q)} and weights (1, Q) of the tensor product of a rule, rule(name) -> nodes, weights."""
    parts = [rule(name) for name in names]
    grids = np.meshgrid(*(x for x, _ in parts), indexing="ij") if parts else []
    weights = np.ones(())
    for _, w in parts:
        weights = np.multiply.outer(weights, w)
    return {name: x.ravel()[None, :] for name, x in zip(names, grids, strict=True)}, weights.ravel()[None, :]


class Quadrature:
    """Nodes and weights of a step and of the start.

    Noise that nothing breaks is integrated by Gauss quadrature, as a tensor product. What is broken comes after that, one
    number at a time: at each node of state and other noise the places are found where a side changes, and the panels between
    them get Gauss-Legendre nodes of their own; a single one, if the noise does nothing but to choose.

    Parameters
    ----------
    count, panel, first : int
        Nodes of a noise that is smooth, of a panel, and of each noise of the start.
    points : int
        At how many points a side is looked at for changes.
    spend : callable, optional
        spend(operations, numbers in memory) is told what looking for sides takes, before it is done; it may raise.
    """

    def __init__(
        self,
        count: int,
        panel: int,
        first: int,
        points: int = 65,
        spend: Callable[[float, float], None] = lambda operations, memory: None,
    ) -> None:
        self.count, self.panel, self.first, self.points = count, panel, first, points
        self._known: dict[Any, Any] = {}
        self._spend = spend

    def size(self, chain: Chain, wanted: Sequence[str], state: State, apart: dict[str, Array]) -> int:
        """Return about how many nodes a state gets."""
        few = [x[:: max(1, len(x) // 32)] for x in state]
        return self.step(chain, wanted, few, apart)[1].shape[1]

    def normal(self, name: str) -> tuple[Array, Array]:
        """Return nodes and weights of a normal that only moves the state."""
        return gauss(NORMAL, self.count)

    def start(self, chain: Chain) -> tuple[dict[str, Array], Array]:
        """Return {name: (1, Q)} and weights (1, Q) of the start."""
        kinds = chain.noises(start=True)
        return tensor(kinds, lambda name: gauss(kinds[name], self.first))

    def step(
        self, chain: Chain, wanted: Sequence[str], state: State, apart: dict[str, Array]
    ) -> tuple[dict[str, Array], Array, None]:
        """Return {name: (K, Q)}, weights (K, Q) and None, at K states."""
        found, still = self._edges(chain, wanted)
        kinds = {k: kind for k, kind in chain.noises().items() if k not in apart}
        # A side that the state alone decides is looked at after the step: every noise that leads there may change it.
        apart_only = [x for x in found if not x.noises]
        broken = {k for x in found for k in x.noises}
        if apart_only:
            broken |= {k for k in kinds if self._moves_state(chain, k)}
        smooth = [k for k in kinds if k not in broken]
        noise, weights = tensor(smooth, lambda name: gauss(kinds[name], self.count))
        K, Q = len(state[0]), weights.shape[1]
        rows = {k: np.broadcast_to(x, (K, Q)).reshape(-1, 1) for k, x in noise.items()}
        weights = np.broadcast_to(weights, (K, Q)).reshape(-1, 1)
        order = sorted((k for k in kinds if k in broken), key=lambda k: (k not in still, k))
        for j, name in enumerate(order):
            known = {*smooth, *order[: j + 1]}
            relevant = [x for x in found if name in x.noises and x.noises <= known]
            if j == len(order) - 1:
                relevant += apart_only
            here = [np.repeat(x, len(weights) // K, axis=0) for x in state]
            rest = {k: np.zeros((1, 1)) for k in [*order[j + 1 :], *apart]}
            x, w = self._panels(chain, here, rows | rest, name, kinds[name], relevant, name in still)
            C = x.shape[1]
            rows = {k: np.repeat(y, C, axis=0) for k, y in rows.items()} | {name: x.reshape(-1, 1)}
            weights = (weights * w).reshape(-1, 1)
        return {k: x.reshape(K, -1) for k, x in rows.items()}, weights.reshape(K, -1), None

    def _edges(self, chain: Chain, wanted: Sequence[str]) -> tuple[list[Edge], set[str]]:
        key = id(chain), tuple(wanted)
        if key not in self._known:
            self._known[key] = edges(chain, wanted), flat(chain, wanted)
        return self._known[key]

    def _moves_state(self, chain: Chain, name: str) -> bool:
        key = id(chain), name, "moves"
        if key not in self._known:
            graphs = [(scan.step.graph, scan.step.s_next) for scan in chain.of.values()]
            self._known[key] = any(name in live_inputs(graph, s) for graph, s in graphs)
        return self._known[key]

    def _panels(
        self, chain: Chain, state: State, noise: Values, name: str, kind: str, relevant: list[Edge], flat: bool
    ) -> tuple[Array, Array]:
        """Return nodes and weights (R, C) of one noise, at R rows of state and other noise (R, 1)."""
        R = len(state[0])
        low, high = ENDS[kind]
        rows = chain.model.rows(0)
        grid = np.linspace(low, high, self.points)
        breaks = [np.broadcast_to([low, high], (R, 2))]
        for edge in relevant:
            nodes = len(edge.graph.nodes)
            self._spend(R * len(grid) * nodes, R * len(grid))

            def side(x: Array, edge: Edge = edge) -> Array:
                return np.broadcast_to(edge.side(chain, rows, state, noise | {name: x}), x.shape)

            y = side(np.broadcast_to(grid, (R, len(grid))))
            change = (y[:, 1:] != y[:, :-1]) & np.isfinite(y[:, 1:]) & np.isfinite(y[:, :-1])
            most = int(change.sum(axis=1).max(initial=0))
            self._spend(R * most * (42 * nodes + len(grid)), R * most)
            for r in range(most):
                at = np.argmax(np.cumsum(change, axis=1) == r + 1, axis=1)
                has = change.sum(axis=1) > r
                a, b, first = grid[at][:, None], grid[at + 1][:, None], y[np.arange(R), at][:, None]
                for _ in range(42):
                    middle = (a + b) / 2
                    same = side(middle) == first
                    a, b = np.where(same, middle, a), np.where(same, b, middle)
                breaks.append(np.where(has[:, None], (a + b) / 2, high))
        b = np.sort(np.concatenate(breaks, axis=1), axis=1)
        b[:, 1:][np.diff(b, axis=1) < SAME] = high  # several sides change at once
        b = np.sort(b, axis=1)
        b[:, -1] = high
        b = b[:, : max(2, int((b < high).sum(axis=1).max()) + 1)]
        middle, half = (b[:, 1:] + b[:, :-1]) / 2, np.diff(b, axis=1) / 2
        if flat:
            return middle, _probability(b, kind)
        x, w = np.polynomial.legendre.leggauss(self.panel if kind == UNIFORM else FINE)
        self._spend(8 * middle.size * len(x) * (1 if kind == UNIFORM else self.panel), middle.size * len(x))
        nodes = (middle[:, :, None] + half[:, :, None] * x).reshape(-1, len(x))
        weights = (half[:, :, None] * w).reshape(-1, len(x))
        if kind != UNIFORM:
            weights = weights * density(kind, nodes)
            nodes, weights = gauss_of(nodes, weights, self.panel)
        nodes, weights = nodes.reshape(R, -1), weights.reshape(R, -1)
        return nodes, weights / weights.sum(axis=1, keepdims=True)


def gauss_of(x: Array, w: Array, count: int) -> tuple[Array, Array]:
    """Return the Gauss quadratures of `count` nodes of discrete measures (R, M), by their orthogonal polynomials.

    Gautschi (2004), Orthogonal Polynomials: Computation and Approximation, section 2.2 (Stieltjes), 3.1 (Golub and Welsch).
    """
    mass = w.sum(axis=1, keepdims=True)
    empty = mass[:, 0] <= 0.0
    w = np.where(empty[:, None], 1.0, w) / np.where(empty[:, None], x.shape[1], mass)
    jacobi = np.zeros((len(x), count, count))
    before, now, root = np.zeros(x.shape), np.ones(x.shape), np.zeros((len(x), 1))
    for k in range(count):
        own = np.sum(w * x * now * now, axis=1, keepdims=True)
        jacobi[:, k, k] = own[:, 0]
        before, now = now, (x - own) * now - root * before
        root = np.sqrt(np.sum(w * now * now, axis=1, keepdims=True))
        now = now / np.where(root > 0, root, 1.0)
        if k + 1 < count:
            jacobi[:, k, k + 1] = jacobi[:, k + 1, k] = root[:, 0]
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, mass * vectors[:, 0] ** 2


def _probability(edges: Array, kind: str) -> Array:
    """Return the probabilities between edges, (R, C)."""
    ends = np.full((len(edges), 1), np.inf)
    return np.diff(probability(kind, np.concatenate([-ends, edges[:, 1:-1], ends], axis=1)), axis=1)
