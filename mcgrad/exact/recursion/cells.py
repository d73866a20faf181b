"""Noise where all of what it does to the state is to choose: cells in which every decision is made, found without a gap.

At each state the range of one number after the other is cut until every comparison, floor, ... of the graphs is decided in
each piece (see `cuts`); neighbours in which everything is the same function of the noise are one cell. A number that does
nothing but to choose gets one node in a cell, whose weight is the probability of the cell: so sums over cells are exact. One
that moves rewards or scores as well gets a Gauss quadrature in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...compiler.emit import live_inputs, live_nodes
from .chain import Chain
from .cuts import WIDTHS, Pieces, constants, cut
from .edges import flat, moves, outputs
from .laws import ENDS, NORMAL, between, gauss
from .noise import panel_nodes
from .ring import Array, State, Values
from .spans import LATER, VARIES, Span, Spans, named, point, together, unknown
from .work import Spend

Root: TypeAlias = tuple[int, Any, list[Any]]  # a trajectory, a graph and nodes of it


def moving(chain: Chain, start: bool = False) -> set[str]:
    """Return the noises that the state moves with, other than by jumps."""
    if start:
        traced = chain.model.traced.start
        graphs = [(traced.graph, list(traced.s))]
    else:
        graphs = [(scan.step.graph, list(scan.step.s_next)) for scan in chain.of.values()]
    found: set[str] = set()
    for graph, roots in graphs:
        found |= moves(graph, roots, chain.noises(start))
    return found


class Cells:
    """Nodes and weights of a step and of the start, all decisions of which are made; see `noise.Quadrature`.

    Parameters
    ----------
    panel, first : int
        Nodes in a cell of a noise that does more than to choose, of a step and of the start.
    spend : callable
        As of `noise.Quadrature`.

    Attributes
    ----------
    approximate : set of str
        Where such nodes were used: "noise", "start".
    """

    def __init__(self, panel: int, first: int, spend: Spend) -> None:
        self.panel, self.first, self.spend = panel, first, spend
        self.approximate: set[str] = set()
        self._tables: dict[tuple[int, int], dict[tuple[int, int], Array]] = {}
        self._known: dict[Any, Any] = {}

    def step(self, chain: Chain, wanted: Sequence[str], state: State) -> tuple[dict[str, Array], Array]:
        """Return {name: (K, Q)} and weights (K, Q) at K states, components (K, 1)."""
        key = id(chain), tuple(wanted)
        if key not in self._known:
            self._known[key] = _roots(chain, wanted), flat(chain, wanted), constants(chain)
        roots, still, known = self._known[key]
        size = sum(len(live_nodes(graph, x)) for _, graph, x in roots)

        def values(k: int, rows: NDArray[np.int64], noise: Values) -> Values:
            return chain.read(k, known[k], [point(x[rows, 0]) for x in state], noise)

        return self._all(chain, chain.noises(), still, self.panel, roots, values, len(state[0]), size, "noise")

    def start(self, chain: Chain, seen: Iterable[str] = ()) -> tuple[dict[str, Array], Array]:
        """Return {name: (1, Q)} and weights (1, Q) of the start; some numbers are seen by what is asked for, too."""
        traced = chain.model.traced.start
        roots = [(k, traced.graph, list(traced.s)) for k in range(len(chain.trajectories))]
        known, kinds = constants(chain), chain.noises(start=True)
        still = set(kinds) - moving(chain, start=True) - set(seen)

        def values(k: int, rows: NDArray[np.int64], noise: Values) -> Values:
            names = chain.inputs.z0_names
            return known[k] | chain.signed(names, chain.trajectories[k].initial, noise, start=True)

        size = len(live_nodes(traced.graph, traced.s))
        return self._all(chain, kinds, still, self.first, roots, values, 1, size, "start")

    def _all(
        self,
        chain: Chain,
        kinds: dict[str, str],
        still: set[str],
        count: int,
        roots: list[Root],
        values: Callable[[int, NDArray[np.int64], Values], Values],
        K: int,
        size: int,
        what: str,
    ) -> tuple[dict[str, Array], Array]:
        """Return nodes (K, Q) of all noises, and weights."""
        of, weights = np.arange(K), np.ones(K)
        noise: dict[str, Array] = {}
        used = {x for _, graph, y in roots for x in live_inputs(graph, y)}
        for name, kind in kinds.items():
            if name not in used:
                noise[name] = np.full(len(of), 0.5)
                continue
            later = {k: _whole(k, x) for k, x in kinds.items() if k not in noise and k != name}

            def look(
                rows: NDArray[np.int64],
                low: Array,
                high: Array,
                name: str = name,
                later: Values = later,
                of: NDArray[np.int64] = of,
                noise: Values = noise,
            ) -> Any:
                own = Span(low, high, np.full(len(low), VARIES), named(name))
                given = {k: point(x[rows]) for k, x in noise.items()} | later | {name: own}
                return self._look(chain, roots, lambda k: values(k, of[rows], given))

            pieces = cut(*ENDS[kind], WIDTHS[kind], len(of), look, lambda rows: self.spend(12.0 * rows * size, 0.0))
            self.approximate |= set() if name in still else {what}
            row, x, w = nodes_of(pieces, kind, 0 if name in still else count, self.spend)
            of, weights = of[row], weights[row] * w
            noise = {k: y[row] for k, y in noise.items()} | {name: x}
        return _padded(of, noise, weights, K)

    def _look(self, chain: Chain, roots: list[Root], values: Callable[[int], Values]) -> tuple[Any, Any, Array]:
        """Return the flags, the marks and a place where something may change sides, of what is wanted."""
        read: dict[int, Spans] = {}
        found = []
        for k, graph, nodes in roots:
            spans = read.setdefault(k, Spans(values(k), self._tables.setdefault((id(chain), k), {})))
            found += spans.run(graph, nodes)
        return together(found, read.values())


def _roots(chain: Chain, wanted: Sequence[str]) -> list[Root]:
    """Return (trajectory, graph, nodes) of the next state and of what is carried back."""
    found = {}
    for k, scan in chain.of.items():
        found[k, id(scan.step.graph)] = (k, scan.step.graph, list(scan.step.s_next))
    for c in wanted:
        carry = chain.carries[c]
        graph = carry.scan.step.graph
        found.setdefault((carry.trajectory, id(graph)), (carry.trajectory, graph, []))[2].extend(outputs(carry))
    return list(found.values())


def _whole(name: str, kind: str) -> Span:
    low, high = (-np.inf, np.inf) if kind == NORMAL else (0.0, 1.0)
    return unknown(name, low, high, LATER)


def nodes_of(pieces: Pieces, kind: str, count: int, spend: Spend) -> tuple[NDArray[np.int64], Array, Array]:
    """Return (row, node, weight) of quadratures in cells: of one node if `count` is 0."""
    row, low, high = pieces
    if not count:
        return row, (low + high) / 2, between(kind, low, high)
    if len(row) == len(np.unique(row)):  # nothing is decided
        x, w = gauss(kind, count)
        return np.repeat(row, count), np.tile(x, len(row)), np.tile(w, len(row))
    x, w = panel_nodes(np.stack([low, high], axis=1), kind, count, spend)
    row, w = np.repeat(row, x.shape[1]), w.ravel()
    return row, x.ravel(), w / np.bincount(row, weights=w)[row]


def _padded(of: Any, noise: dict[str, Array], weights: Array, K: int) -> tuple[dict[str, Array], Array]:
    """Return ragged nodes as (K, Q) arrays; what is added has no weight."""
    counts = np.bincount(of, minlength=K)
    starts = np.cumsum(counts) - counts
    at = np.arange(counts.max())[None, :]
    there = at < counts[:, None]
    at = starts[:, None] + np.where(there, at, 0)
    return {k: x[at] for k, x in noise.items()}, np.where(there, weights[at], 0.0)
