"""Noise where all of what it does to the state is to choose: cells in which every decision is made, found without a gap.

At each state the range of one number after the other is cut until every comparison, floor, ... of the graphs is decided in each
piece, which is proved by intervals (see `spans`); neighbours in which everything is the same function of the noise are one
cell. A number that does nothing but to choose gets one node in a cell, whose weight is the probability of the cell: so sums over
cells are exact. One that moves rewards or scores as well gets a Gauss quadrature in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...compiler.emit import live_inputs, live_nodes
from ...compiler.reach import RANDOM, reach
from ...compiler.trace import Tracer
from ..theory import NoClosedForm
from .chain import NORMAL, Chain
from .edges import flat, outputs
from .noise import REACH, Spend, between, gauss, panel_nodes
from .ring import Array, State, Values
from .spans import JOINT, LATER, OPEN, VARIES, Span, Spans, mixed, named, point, unknown

WIDTH = 2.5e-15  # of what is left between two cells, in units of a uniform number
DEPTH = 80  # of cuts within cuts
LOST = 1e-11  # the most probability that may be left between cells
CHUNK = 20_000  # rows at once
Root: TypeAlias = tuple[int, Any, list[Any]]  # a trajectory, a graph and nodes of it
Look: TypeAlias = Callable[[NDArray[np.int64], Array, Array], tuple[Any, Any, Array]]


class Pieces(NamedTuple):
    """Cells of several rows: the row of each, and its bounds."""

    row: NDArray[np.int64]
    low: Array
    high: Array


def moving(chain: Chain, start: bool = False) -> set[str]:
    """Return the noises that the state moves with, other than by jumps."""
    if start:
        traced = chain.model.traced.start
        graphs = [(traced.graph, list(traced.s))]
    else:
        graphs = [(scan.step.graph, list(scan.step.s_next)) for scan in chain.of.values()]
    found, kinds = set(), chain.noises(start)
    for graph, roots in graphs:
        names = {x: 2 << j for j, x in enumerate(kinds)}
        _, moves, _ = reach(graph, {graph.input(x).index: bit | RANDOM for x, bit in names.items()})
        bits = 0
        for x in roots:
            bits |= moves[x.index] if isinstance(x, Tracer) else 0
        found |= {x for x, bit in names.items() if bits & bit}
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
            self._known[key] = _roots(chain, wanted), flat(chain, wanted), _constants(chain)
        roots, still, constants = self._known[key]
        size = sum(len(live_nodes(graph, x)) for _, graph, x in roots)

        def values(k: int, rows: NDArray[np.int64], noise: Values) -> Values:
            found = dict(constants[k])
            n = chain.n
            found |= zip(chain.inputs.s_names, (point(x[rows, 0]) for x in state[k * n : (k + 1) * n]), strict=True)
            v, x = chain.trajectories[k], chain.inputs
            return found | chain.signed(x.e_names, v.action, noise) | chain.signed(x.w_names, v.process, noise)

        return self._all(chain, chain.noises(), still, self.panel, roots, values, len(state[0]), size, "noise")

    def start(self, chain: Chain, seen: Iterable[str] = ()) -> tuple[dict[str, Array], Array]:
        """Return {name: (1, Q)} and weights (1, Q) of the start; some numbers are seen by what is asked for, too."""
        traced = chain.model.traced.start
        roots = [(k, traced.graph, list(traced.s)) for k in range(len(chain.trajectories))]
        constants, kinds = _constants(chain), chain.noises(start=True)
        still = set(kinds) - moving(chain, start=True) - set(seen)

        def values(k: int, rows: NDArray[np.int64], noise: Values) -> Values:
            names = chain.inputs.z0_names
            return constants[k] | chain.signed(names, chain.trajectories[k].initial, noise, start=True)

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

            def look(rows: NDArray[np.int64], low: Array, high: Array, name: str = name, later: Any = later) -> Any:
                own = Span(low, high, np.full(len(low), VARIES), named(name))
                given = {k: point(x[rows]) for k, x in noise.items()} | later | {name: own}
                return self._look(chain, roots, lambda k: values(k, of[rows], given))

            pieces = cut(kind, len(of), look, lambda rows: self.spend(12.0 * rows * size, 0.0))
            self.approximate |= set() if name in still else {what}
            row, x, w = nodes_of(pieces, kind, 0 if name in still else count, self.spend)
            of, weights = of[row], weights[row] * w
            noise = {k: y[row] for k, y in noise.items()} | {name: x}
        return _padded(of, noise, weights, K)

    def _look(
        self, chain: Chain, roots: list[Root], values: Callable[[int], Values]
    ) -> tuple[Any, Any, Array]:
        """Return the flags, the marks and a place where something may change sides, of what is wanted."""
        flags, marks, places = np.zeros(1, np.uint8), [], []
        read: dict[int, Spans] = {}
        for k, graph, outputs_ in roots:
            spans = read.setdefault(k, Spans(values(k), self._tables.setdefault((id(chain), k), {})))
            for x in spans.run(graph, outputs_):
                flags = flags | x.flags
                marks.append(x.mark)
            places += spans.places
        place = np.full(1, np.nan)
        for x in places:
            place = np.where(np.isnan(place), x, place)
        return flags, mixed("all", marks), place


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


def _constants(chain: Chain) -> list[Values]:
    """Return for each trajectory what no state or noise is: numbers, what is carried back, and what differs by time."""
    model, found = chain.model, []
    rows = {
        k: point(x) if np.ndim(x) == 0 else unknown(k, flags=LATER) for k, x in model.all_rows().items()
    }
    for v in chain.trajectories:
        numbers = {k: x if isinstance(x, Span) else point(x) for k, x in model.constants(rows, v).items()}
        found.append(numbers | {c: unknown(c) for c in chain.carries})
    return found


def _whole(name: str, kind: str) -> Span:
    low, high = (-np.inf, np.inf) if kind == NORMAL else (0.0, 1.0)
    return unknown(name, low, high, LATER)


def cut(kind: str, count: int, look: Look, spend: Callable[[int], None]) -> Pieces:
    """Return cells of one number in which all is decided, for several rows.

    Parameters
    ----------
    look : callable
        look(rows, low, high) -> flags, marks and guesses where something changes, as parts of the intervals.
    spend : callable
        spend(rows) is told how many rows are looked at.
    """
    low, high = (-REACH, REACH) if kind == NORMAL else (0.0, 1.0)
    scale = 4.0 if kind == NORMAL else 1.0
    row, a, b = np.arange(count), np.full(count, low), np.full(count, high)
    done: list[tuple[Any, ...]] = []
    for _ in range(DEPTH):
        spend(len(row))
        parts = [slice(i, i + CHUNK) for i in range(0, len(row), CHUNK)]
        seen = [tuple(np.broadcast_to(x, len(row[p])) for x in look(row[p], a[p], b[p])) for p in parts]
        flags, mark, place = (np.concatenate(x) for x in zip(*seen, strict=True))
        open_ = flags & OPEN > 0
        if np.any((flags & JOINT > 0) & ~open_):
            raise NoClosedForm("no table of states: two random numbers that are no choices decide something together")
        done.append((row[~open_], a[~open_], b[~open_], mark[~open_]))
        rest = open_ & (b - a > WIDTH * scale)
        if not rest.any():
            break
        row, a, b, place = row[rest], a[rest], b[rest], place[rest]
        w, middle = 0.4 * WIDTH * scale, (a + b) / 2
        x = np.where(np.isnan(place), middle, a + place * (b - a))
        y = a + b - x
        edges = np.sort(np.clip([a, x - w, x + w, y - w, y + w, middle, b], a, b), axis=0)
        row, a, b = np.tile(row, len(edges) - 1), edges[:-1].ravel(), edges[1:].ravel()
        there = b > a
        row, a, b = row[there], a[there], b[there]
    row, a, b, mark = (np.concatenate(x) for x in zip(*done, strict=True))
    order = np.lexsort((a, row))
    return _joined(row[order], a[order], b[order], mark[order], count, low, high, kind)


def _joined(row: Any, a: Array, b: Array, mark: Any, count: int, low: float, high: float, kind: str) -> Pieces:
    """Return cells from pieces that are in order: they meet in the middle of what was left between them."""
    first = np.concatenate([[True], row[1:] != row[:-1]])
    last = np.concatenate([first[1:], [True]])
    end = np.concatenate([(b[:-1] + a[1:]) / 2, [high]])
    left = np.where(first, low, np.concatenate([[low], end[:-1]]))
    right = np.where(last, high, end)
    lost = np.maximum(a - left, 0.0) + np.maximum(right - b, 0.0)
    if first.sum() < count or np.bincount(row, weights=lost, minlength=count).max(initial=0.0) > LOST:
        raise NoClosedForm("no table of states: a condition on a random number is not decided almost everywhere")
    new = first | np.concatenate([[True], mark[1:] != mark[:-1]])
    ends = np.concatenate([new[1:], [True]])
    return Pieces(row[new], left[new], right[ends])


def nodes_of(pieces: Pieces, kind: str, count: int, spend: Spend) -> tuple[NDArray[np.int64], Array, Array]:
    """Return (row, node, weight) of quadratures in cells: of one node if `count` is 0."""
    row, low, high = pieces
    if not count:
        return row, (low + high) / 2, between(low, high, kind)
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
