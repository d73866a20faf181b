"""Grids on a box of one or a few dimensions: functions are interpolated by piecewise polynomials on moving stencils.

An axis may be broken where functions kink or jump: no stencil reaches across. Points outside of the box are moved to its edge.
"""

import numpy as np

ORDER = 8  # points of a stencil in each dimension
ROUGH = 4  # where functions jump: long stencils swing


class Axis:
    """Points along one axis, evenly spaced between its breaks."""

    def __init__(self, low, high, count, breaks, order):
        inner = [x for x in sorted(breaks) if low < x < high]
        self.edges = np.array([low, *inner, high])
        share = np.diff(self.edges) / (high - low)
        self.counts = np.maximum(order, np.rint(count * share).astype(int))
        self.first = np.cumsum([0, *self.counts[:-1]])
        self.order = order
        pieces = zip(self.edges[:-1], self.edges[1:], self.counts, strict=True)
        # Points at a break belong to either side: they are moved by less than rounding would see.
        self.points = np.concatenate([_inside(a, b, k, i, len(self.counts)) for i, (a, b, k) in enumerate(pieces)])

    def stencils(self, x):
        """Return the first point and the Lagrange weights (N, order) of each position."""
        piece = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.counts) - 1)
        low, high, count, q = self.edges[piece], self.edges[piece + 1], self.counts[piece], self.order
        y = (x - low) / (high - low) * (count - 1)
        j = np.clip(np.floor(y).astype(np.int64) - (q // 2 - 1), 0, count - q)
        d = (y - j)[:, None] - np.arange(q)
        # Lagrange on 0, ..., q - 1 by products from the left and from the right.
        left = np.cumprod(np.concatenate([np.ones((len(y), 1)), d[:, :-1]], axis=1), axis=1)
        right = np.cumprod(np.concatenate([np.ones((len(y), 1)), d[:, :0:-1]], axis=1), axis=1)[:, ::-1]
        scale = np.array([np.prod([float(a - b) for b in range(q) if b != a]) for a in range(q)])
        return self.first[piece] + j, left * right / scale


def _inside(low, high, count, piece, pieces):
    x = np.linspace(low, high, count)
    if piece:
        x[0] = np.nextafter(low, np.inf)
    if piece < pieces - 1:
        x[-1] = np.nextafter(high, -np.inf)
    return x


class Grid:
    """A tensor grid.

    Parameters
    ----------
    low, high : (n,) arrays
    counts : sequence of n int
    breaks : sequence of n sequences of floats
    order : int
    """

    def __init__(self, low, high, counts, breaks=None, order=ORDER):
        self.low, self.high = np.asarray(low, float), np.asarray(high, float)
        breaks = [()] * len(counts) if breaks is None else breaks
        self.axes = [Axis(*x, order) for x in zip(self.low, self.high, counts, breaks, strict=True)]
        points = np.meshgrid(*(x.points for x in self.axes), indexing="ij")
        self.nodes = np.stack([x.ravel() for x in points], axis=1)
        self.width = order ** len(self.axes)

    def outside(self, points):
        """Return 1 for points outside of the box, else 0."""
        return ((points < self.low) | (points > self.high)).any(axis=1).astype(float)

    def at(self, points):
        """Return the matrix that takes values at the nodes to values at points."""
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        points = np.clip(np.nan_to_num(points), self.low, self.high)
        index, weight = np.zeros((len(points), 1), np.int64), np.ones((len(points), 1))
        for i, axis in enumerate(self.axes):
            j, w = axis.stencils(points[:, i])
            q, size = w.shape[1], len(axis.points)
            weight = (weight[:, :, None] * w[:, None, :]).reshape(len(points), -1)
            index = (index[:, :, None] * size + (j[:, None] + np.arange(q))[:, None, :]).reshape(len(points), -1)
        rows = np.arange(0, weight.size + 1, weight.shape[1])
        return sparse.csr_array((weight.ravel(), index.ravel(), rows), shape=(len(points), len(self.nodes)))
