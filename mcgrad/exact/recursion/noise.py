"""Noise as nodes and weights: Gauss quadrature, broken into panels where the graphs say that something kinks or jumps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.emit import live_inputs
from .chain import Chain
from .cuts import WIDTHS, Look, constants, cut
from .edges import Edge, edges, flat, start_edges
from .laws import ENDS, NORMAL, REACH, UNIFORM, between, density, gauss
from .ring import Array, State, Values
from .spans import VARIES, Span, Spans, named, point, together
from .work import Spend, free

PANEL = 32  # nodes of a piece at most: beyond, it is cut
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
    spend : callable, optional
        spend(operations, numbers in memory) is told what looking for sides takes, before it is done; it may raise.
    """

    def __init__(
        self,
        count: int,
        panel: int,
        first: int,
        spend: Spend = free,
    ) -> None:
        self.count, self.panel, self.first = count, panel, first
        self._known: dict[Any, Any] = {}
        self.spend = spend

    def size(self, chain: Chain, wanted: Sequence[str], state: State, apart: dict[str, Array]) -> int:
        """Return about how many nodes a state gets."""
        few = [x[:: max(1, len(x) // 32)] for x in state]
        return self.step(chain, wanted, few, apart)[1].shape[1]

    def normal(self, breaks: Array | None) -> tuple[Array, Array]:
        """Return nodes and weights of a normal that only moves the state, past breaks (K, M) if there are some."""
        if breaks is None:
            x, w = gauss(NORMAL, self.count)
            return x[None], w[None]
        b = np.sort(np.clip(breaks, -REACH, REACH), axis=1)
        used = ((b > -REACH) & (b < REACH)).any(axis=0)
        ends = np.full((len(b), 1), REACH)
        b = np.concatenate([-ends, b[:, used], ends], axis=1)
        count = self.panel + 4
        self.spend(10.0 * b.size * count**3, 0.0)
        x, w = panel_nodes(np.stack([b[:, :-1], b[:, 1:]], axis=-1).reshape(-1, 2), NORMAL, count, self.spend)
        x, w = x.reshape(len(b), -1), w.reshape(len(b), -1)
        return x, w / w.sum(axis=1, keepdims=True)

    def start(self, chain: Chain) -> tuple[dict[str, Array], Array]:
        """Return {name: (1, Q)} and weights (1, Q) of the start."""
        kinds, names = chain.noises(start=True), chain.inputs.z0_names
        found = [*start_edges(chain), *(x for x in edges(chain, list(chain.carries)) if not x.noises)]
        if not kinds or not found:
            return tensor(kinds, lambda name: gauss(kinds[name], self.first))
        graph, s = chain.model.traced.start.graph, chain.model.traced.start.s

        def look(noise: Values, name: str, rows: Any, low: Array, high: Array) -> tuple[Any, Any, Array]:
            own = {name: Span(low, high, np.full(len(low), VARIES), named(name))}
            given = {k: point(x[rows, 0] if len(x) > 1 else x[0]) for k, x in noise.items()} | own
            known = self._constants(chain)
            spans = {
                k: Spans(known[k] | chain.signed(names, v.initial, given, start=True))
                for k, v in enumerate(chain.trajectories)
            }
            begin = [x for spans_k in spans.values() for x in spans_k.run(graph, s)]
            later = {k: Spans(chain.read(k, known[k], begin, {})) for k in spans}
            sides = [
                read.decided(x.operation, read.run(x.graph, x.arguments))
                for x in found
                for read in [(spans if x.noises else later)[x.trajectory]]
            ]
            return together(sides, [*spans.values(), *later.values()])

        noise: dict[str, Array] = {}
        weights, size = np.ones((1, 1)), len(graph.nodes) + sum(len(x.graph.nodes) for x in found)
        for j, (name, kind) in enumerate(kinds.items()):
            if j < len(kinds) - 1:  # all decisions are looked at along the last number
                x, w = (np.broadcast_to(y, (len(weights), self.first)) for y in gauss(kind, self.first))
            else:
                x, w = self._panels(functools.partial(look, noise, name), len(weights), kind, size, self.first)
            noise = {k: np.repeat(y, x.shape[1], axis=0) for k, y in noise.items()} | {name: x.reshape(-1, 1)}
            weights = (weights * w).reshape(-1, 1)
        return {k: x.reshape(1, -1) for k, x in noise.items()}, weights.reshape(1, -1)

    def step(
        self, chain: Chain, wanted: Sequence[str], state: State, apart: dict[str, Array]
    ) -> tuple[dict[str, Array], Array, None]:
        """Return {name: (K, Q)}, weights (K, Q) and None, at K states."""
        found, still = self._edges(chain, wanted)
        kinds = {k: kind for k, kind in chain.noises().items() if k not in apart}
        # A side that the state alone decides is looked at after the step: every noise that leads there may change it.
        of_state = [x for x in found if not x.noises]
        movers = {k for k in kinds if self._moves_state(chain, k)} if of_state else set()
        broken = movers.union(*(x.noises for x in found))
        smooth = [k for k in kinds if k not in broken]
        noise, weights = tensor(smooth, lambda name: gauss(kinds[name], self.count))
        K, Q = len(state[0]), weights.shape[1]
        rows = {k: np.broadcast_to(x, (K, Q)).reshape(-1, 1) for k, x in noise.items()}
        weights = np.broadcast_to(weights, (K, Q)).reshape(-1, 1)
        order = sorted((k for k in kinds if k in broken), key=lambda k: (k not in still, k))
        for j, name in enumerate(order):
            known = {*smooth, *order[: j + 1]}
            relevant = [x for x in found if name in x.noises and x.noises <= known]
            if name in movers and not movers & {*order[j + 1 :]}:
                relevant += of_state
            here = [np.repeat(x, len(weights) // K, axis=0) for x in state]
            rest = {k: np.zeros((1, 1)) for k in [*order[j + 1 :], *apart]}
            # A noise that moves a side which one to come decides is more than a choice: it moves the chances of that.
            choice = name in still and not any(name in x.moves and not x.noises <= known for x in found)
            look = functools.partial(self._look, chain, here, rows | rest, name, relevant)
            size = sum(len(x.graph.nodes) for x in relevant)
            x, w = self._panels(look, len(weights), kinds[name], size, 0 if choice else self.panel)
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

    def _panels(self, look: Look, R: int, kind: str, size: int, count: int) -> tuple[Array, Array]:
        """Return nodes and weights (R, C) of one noise in R rows, so many in each piece; one each if `count` is 0."""
        low, high = ENDS[kind]
        b = cut(low, high, WIDTHS[kind], R, look, lambda rows: self.spend(12.0 * rows * size, rows)).edges(R, high)
        if not count:
            return (b[:, 1:] + b[:, :-1]) / 2, between(kind, b[:, :-1], b[:, 1:])
        if count > PANEL:
            parts = -(-count // PANEL)
            inner = b[:, :-1, None] + np.diff(b, axis=1)[:, :, None] * (np.arange(parts) / parts)
            b, count = np.concatenate([inner.reshape(R, -1), b[:, -1:]], axis=1), PANEL
        between_ = np.stack([b[:, :-1], b[:, 1:]], axis=-1).reshape(-1, 2)
        nodes, weights = panel_nodes(between_, kind, count, self.spend)
        nodes, weights = nodes.reshape(R, -1), weights.reshape(R, -1)
        return nodes, weights / weights.sum(axis=1, keepdims=True)

    def _constants(self, chain: Chain) -> list[Values]:
        if id(chain) not in self._known:
            self._known[id(chain)] = constants(chain)
        return self._known[id(chain)]

    def _look(
        self,
        chain: Chain,
        state: State,
        noise: Values,
        name: str,
        relevant: list[Edge],
        rows: NDArray[np.int64],
        low: Array,
        high: Array,
    ) -> tuple[Any, Any, Array]:
        """Return what `cut` wants to know of some rows: which sides of edges are open."""
        own = {name: Span(low, high, np.full(len(low), VARIES), named(name))}
        given = {k: point(x[rows, 0] if len(x) > 1 else x[0]) for k, x in noise.items()} | own
        here, spans, later, found = [point(x[rows, 0]) for x in state], {}, {}, []
        for k, values in enumerate(self._constants(chain)):
            spans[k] = Spans(chain.read(k, values, here, given))
        if any(not x.noises for x in relevant):
            after = [x for k, scan in chain.of.items() for x in spans[k].run(scan.step.graph, scan.step.s_next)]
            later = {k: Spans(chain.read(k, x.values, after, {})) for k, x in spans.items()}
        for edge in relevant:
            read = (spans if edge.noises else later)[edge.trajectory]
            found.append(read.decided(edge.operation, read.run(edge.graph, edge.arguments)))
        return together(found, [*spans.values(), *later.values()])


def panel_nodes(edges: Array, kind: str, count: int, spend: Spend) -> tuple[Array, Array]:
    """Return nodes and weights (M, count) of Gauss quadratures between edges (M, 2)."""
    x, w = np.polynomial.legendre.leggauss(count if kind == UNIFORM else FINE)
    spend(8 * len(edges) * len(x) * (1 if kind == UNIFORM else count), len(edges) * len(x))
    middle, half = edges.mean(axis=1, keepdims=True), np.diff(edges, axis=1) / 2
    nodes, weights = middle + half * x, half * w
    if kind != UNIFORM:
        nodes, weights = gauss_of(nodes, weights * density(kind, nodes), count)
    return nodes, weights


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
