"""Grids on a box of one or a few dimensions: functions are interpolated by piecewise polynomials on moving stencils.

An axis may be broken where functions kink or jump: no stencil reaches across. Points outside of the box are moved to its edge,
or by whole turns where the axis is that of an angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ring import Array

ORDER = 8  # points of a stencil in each dimension
OFF = 1e-12  # of an axis: what a break may be off
ROUGH = 4  # where functions jump: long stencils swing


class Axis:
    """Points along one axis, evenly spaced between its breaks. An angle begins at its first break, or goes round."""

    def __init__(
        self, low: float, high: float, count: int, breaks: Sequence[float], order: int, angle: bool = False
    ) -> None:
        inner = [x for x in sorted(breaks) if low < x < high]
        self.edges = np.array([low, *inner, high])
        share = np.diff(self.edges) / (high - low)
        self.counts = np.maximum(order, np.rint(count * share).astype(int))
        self.first = np.cumsum([0, *self.counts[:-1]])
        self.order, self.round = order, angle and not len(breaks)
        pieces = zip(self.edges, self.edges[1:], self.counts, strict=False)
        self.points = np.concatenate([np.linspace(*x, endpoint=not self.round) for x in pieces])
        # Points at a break belong to either side: they are moved by more than breaks may be off, and by less than matters.
        broken = angle and len(breaks) > 0
        first, last = self.first[0 if broken else 1 :], (self.first + self.counts - 1)[: None if broken else -1]
        by = np.minimum(OFF * (high - low), np.diff(self.edges) / 1000)
        self.points[first] += by[0 if broken else 1 :]
        self.points[last] -= by[: None if broken else -1]

    def stencils(self, x: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the points and the Lagrange weights, (N, order) both, of each position."""
        piece = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.counts) - 1)
        low, high, count, q = self.edges[piece], self.edges[piece + 1], self.counts[piece], self.order
        y = (x - low) / (high - low) * (count if self.round else count - 1)
        j = np.floor(y).astype(np.int64) - (q // 2 - 1)
        j = j if self.round else np.clip(j, 0, count - q)
        d = (y - j)[:, None] - np.arange(q)
        # Lagrange on 0, ..., q - 1 by products from the left and from the right.
        left = np.cumprod(np.concatenate([np.ones((len(y), 1)), d[:, :-1]], axis=1), axis=1)
        right = np.cumprod(np.concatenate([np.ones((len(y), 1)), d[:, :0:-1]], axis=1), axis=1)[:, ::-1]
        scale = np.array([np.prod([float(a - b) for b in range(q) if b != a]) for a in range(q)])
        index = self.first[piece][:, None] + j[:, None] + np.arange(q)
        return index % len(self.points) if self.round else index, left * right / scale


class Grid:
    """A tensor grid.

    Parameters
    ----------
    low, high : (n,) arrays
    counts : sequence of n int
    breaks : sequence of n sequences of floats
    order : int
    angles : sequence of n bool, optional
        Whether an axis is that of an angle, of which the box is one turn.
    """

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        counts: Sequence[int],
        breaks: Sequence[Sequence[float]] | None = None,
        order: int = ORDER,
        angles: Sequence[bool] | None = None,
    ) -> None:
        self.low, self.high = np.asarray(low, float), np.asarray(high, float)
        breaks = [()] * len(counts) if breaks is None else breaks
        self._angles = np.zeros(len(counts), bool) if angles is None else np.asarray(angles)
        sides = zip(self.low, self.high, counts, breaks, strict=True)
        self.axes = [Axis(*x, order, angle) for x, angle in zip(sides, self._angles, strict=True)]
        points = np.meshgrid(*(x.points for x in self.axes), indexing="ij")
        self.nodes = np.stack([x.ravel() for x in points], axis=1)
        self.width = order ** len(self.axes)

    def outside(self, points: Array) -> Array:
        """Return 1 for points outside of the box, else 0."""
        return (((points < self.low) | (points > self.high)) & ~self._angles).any(axis=1).astype(float)

    def passed(self, direction: Array) -> Array | None:
        """Return by how much of a direction each node is away from breaks of the axes, (K, M), or None if there are none."""
        found = []
        for i in np.flatnonzero(direction):
            breaks = self.axes[i].edges[1:-1]
            if self._angles[i] and not self.axes[i].round:
                turn = self.high[i] - self.low[i]
                breaks = np.concatenate([self.axes[i].edges[:-1] + m * turn for m in (-1, 0, 1, 2)])
            found.append((breaks - self.nodes[:, i : i + 1]) / direction[i])
        away = np.concatenate([np.zeros((len(self.nodes), 0)), *found], axis=1)
        return away if away.shape[1] else None

    def at(self, points: Array) -> Any:
        """Return the matrix that takes values at the nodes to values at points."""
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        points = np.nan_to_num(points)
        if self._angles.any():
            points = np.where(self._angles, self.low + np.mod(points - self.low, self.high - self.low), points)
        points = np.clip(points, self.low, self.high)
        index, weight = np.zeros((len(points), 1), np.int64), np.ones((len(points), 1))
        for i, axis in enumerate(self.axes):
            j, w = axis.stencils(points[:, i])
            size = len(axis.points)
            weight = (weight[:, :, None] * w[:, None, :]).reshape(len(points), -1)
            index = (index[:, :, None] * size + j[:, None, :]).reshape(len(points), -1)
        rows = np.arange(0, weight.size + 1, weight.shape[1])
        return sparse.csr_array((weight.ravel(), index.ravel(), rows), shape=(len(points), len(self.nodes)))
