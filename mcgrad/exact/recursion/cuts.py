"""Where decisions change along one number of noise: its range is cut until each of them is made in every piece.

Nothing is sampled: that a decision is made in a whole piece is proved by intervals (see `spans`), so no change is missed.
Pieces that are left over are so short that nothing is lost with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..theory import NoClosedForm
from .chain import Chain
from .edges import Edge
from .laws import MAXWELL, NORMAL, RAYLEIGH, UNIFORM
from .ring import Array, Values
from .spans import JOINT, LATER, OPEN, VARIES, Span, Spans, named, point, together, unknown

WIDTHS = {UNIFORM: 2.5e-15, NORMAL: 1e-14, RAYLEIGH: 1e-14, MAXWELL: 1e-14}  # of what may be left between two pieces
DEPTH, SOON = 80, 10  # of cuts within cuts, and how deep at most half of the range may still be open
LOST = 1e-11  # the most probability that may be left between pieces
CHUNK = 20_000  # rows at once
# look(rows, low, high) -> flags, marks, and a guess where something changes, as a part of each interval
Look: TypeAlias = Callable[[NDArray[np.int64], Array, Array], tuple[Any, Any, Array]]


class Undecided(NoClosedForm):
    """Intervals cannot tell where something changes sides."""


class Pieces(NamedTuple):
    """Pieces of the ranges of several rows: the row of each, in order, and its bounds."""

    row: NDArray[np.int64]
    low: Array
    high: Array

    def edges(self, count: int, last: float) -> Array:
        """Return the bounds of `count` rows, (count, C + 1); rows of fewer pieces have empty ones at the end."""
        sizes = np.bincount(self.row, minlength=count)
        found = np.full((count, int(sizes.max()) + 1), last)
        found[self.row, np.arange(len(self.row)) - (np.cumsum(sizes) - sizes)[self.row]] = self.low
        return found


def constants(chain: Chain) -> list[Values]:
    """Return for each trajectory what no state or noise is: numbers, what is carried back, and what differs by time."""
    model, found = chain.model, []
    rows = {k: point(x) if np.ndim(x) == 0 else unknown(k, flags=LATER) for k, x in model.all_rows().items()}
    for v in chain.trajectories:
        numbers = {k: x if isinstance(x, Span) else point(x) for k, x in model.constants(rows, v).items()}
        found.append(numbers | {c: unknown(c) for c in chain.carries})
    return found


def cut(low: float, high: float, width: float, count: int, look: Look, spend: Callable[[int], None]) -> Pieces:
    """Return the pieces of the range of one number in which all is decided, for several rows.

    Parameters
    ----------
    low, high : float
    width : float
        Of what may be left between two pieces.
    count : int
        The number of rows.
    look : callable
        look(rows, low, high) -> flags, marks and guesses where something changes, as parts of the intervals.
    spend : callable
        spend(rows) is told how many rows are looked at.
    """
    row, a, b = np.arange(count), np.full(count, low), np.full(count, high)
    done: list[tuple[Any, ...]] = []
    for depth in range(DEPTH):
        spend(len(row))
        parts = [slice(i, i + CHUNK) for i in range(0, len(row), CHUNK)]
        seen = [tuple(np.broadcast_to(x, len(row[p])) for x in look(row[p], a[p], b[p])) for p in parts]
        flags, mark, place = (np.concatenate(x) for x in zip(*seen, strict=True))
        open_ = flags & OPEN > 0
        if np.any((flags & JOINT > 0) & ~open_):
            raise Undecided("two random numbers that are no choices decide something together")
        done.append((row[~open_], a[~open_], b[~open_], mark[~open_]))
        rest = open_ & (b - a > width)
        if not rest.any():
            break
        row, a, b, place = row[rest], a[rest], b[rest], place[rest]
        if depth >= SOON and np.bincount(row, weights=b - a).max() > (high - low) / 2:
            raise Undecided("a condition is decided almost nowhere by intervals")
        w, middle = 0.4 * width, (a + b) / 2
        x = np.where(np.isnan(place), middle, a + place * (b - a))
        y = a + b - x
        edges = np.sort(np.clip([a, x - w, x + w, y - w, y + w, middle, b], a, b), axis=0)
        row, a, b = np.tile(row, len(edges) - 1), edges[:-1].ravel(), edges[1:].ravel()
        there = b > a
        row, a, b = row[there], a[there], b[there]
    row, a, b, mark = (np.concatenate(x) for x in zip(*done, strict=True))
    order = np.lexsort((a, row))
    return _joined(row[order], a[order], b[order], mark[order], count, low, high)


def _joined(row: Any, a: Array, b: Array, mark: Any, count: int, low: float, high: float) -> Pieces:
    """Return cells from pieces that are in order: they meet in the middle of what was left between them."""
    first = np.concatenate([[True], row[1:] != row[:-1]])
    last = np.concatenate([first[1:], [True]])
    end = np.concatenate([(b[:-1] + a[1:]) / 2, [high]])
    left = np.where(first, low, np.concatenate([[low], end[:-1]]))
    right = np.where(last, high, end)
    lost = np.maximum(a - left, 0.0) + np.maximum(right - b, 0.0)
    if first.sum() < count or np.bincount(row, weights=lost, minlength=count).max(initial=0.0) > LOST * (high - low):
        raise Undecided("a condition is not decided almost everywhere by intervals")
    new = first | np.concatenate([[True], mark[1:] != mark[:-1]])
    ends = np.concatenate([new[1:], [True]])
    return Pieces(row[new], left[new], right[ends])


def axis_breaks(chain: Chain, found: Iterable[Edge], low: Array, high: Array) -> list[list[float]]:
    """Return, for each component of the state, where edges that it alone decides are."""
    breaks: list[list[float]] = [[] for _ in range(chain.states)]
    known = constants(chain)
    for i in range(chain.states):
        k, own = divmod(i, chain.n)
        name = chain.inputs.s_names[own]
        mine = [x for x in found if not x.noises and x.states == {name} and x.trajectory == k]
        if not mine:
            continue

        def look(rows: Any, a: Array, b: Array, k: int = k, name: str = name, mine: list[Edge] = mine) -> Any:
            spans = Spans(known[k] | {name: Span(a, b, np.full(len(a), VARIES), named(name))})
            return together([spans.decided(x.operation, spans.run(x.graph, x.arguments)) for x in mine], [spans])

        width = 1e-13 * (high[i] - low[i])
        breaks[i] = cut(low[i], high[i], width, 1, look, lambda rows: None).low[1:].tolist()
    return breaks
