"""Whether a grid, and the nodes of noise, can have seen all that there is: what is as narrow as a gap is seen by no refinement.

Two grids that both miss a bump agree about it. So what the traced functions do between two nodes is bounded by intervals (see
`spans`): sharp functions (exp, sin, tanh, quotients, ...) may not leave the range of their values at the nodes by more than a
part of their range. That is looked at along each component of the state and of the noise, from a few points of trajectories.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...compiler.emit import live_inputs, live_nodes
from ...compiler.trace import Tracer
from .chain import Chain
from .cuts import constants
from .edges import outputs
from .laws import ENDS, NORMAL
from .ring import Array, Values
from .spans import DECREASING, INCREASING, VARIES, Span, Spans, named, point

SHARP = INCREASING | DECREASING | {"sin", "cos", "tan", "/", "power", "arctan2", "hypot", "logaddexp"}
POINTS, STEPS, SEED = 12, 64, 3  # of trajectories from which is looked
PIECES = 32  # in the beginning
FINER = 6  # halvings of a gap: what intervals bound too widely in a whole gap they do in its parts
HIDDEN, FLOOR = 0.1, 1e-9  # how much of a function's range may be hidden, and what is nothing
MOST = 20_000  # pieces at once; of more, some are looked at
CENTRE = 4.5  # of a normal: further out is little


def unseen(chain: Chain, low: Array, high: Array, counts: int, nodes: int) -> str | None:
    """Return what may be hidden between the points of a grid, or between the nodes of a noise, or None.

    Parameters
    ----------
    low, high : (chain.states,) arrays
    counts, nodes : int
        Points along an axis of the grid, and nodes of a noise.
    """
    graphs = _graphs(chain)
    state, noise = _points(chain)
    known = constants(chain)
    inputs = [(k, x, low[k * chain.n + i], high[k * chain.n + i], counts) for k in range(len(chain.trajectories))
              for i, x in enumerate(chain.inputs.s_names)]  # fmt: skip
    for name, kind in chain.noises().items():
        a, b = np.clip(ENDS[kind], -CENTRE, CENTRE)
        inputs += [(k, name, a, b, nodes) for k in range(len(chain.trajectories))]
    for k, name, a, b, count in inputs:
        mine = [(graph, _reading(graph, roots, name)) for graph, roots in graphs[k]]
        mine = [(graph, sharp) for graph, sharp in mine if sharp]
        if not mine:
            continue
        here = chain.read(k, known[k], [point(x) for x in state], {x: point(y) for x, y in noise.items()})
        at = _hidden(mine, here, name, a, b, (b - a) / count)
        if at is not None:
            return f"something between the points at {name} = {at[0]:.6g}, as narrow as {at[1]:.1e}, which none of them sees"
    return None


def _graphs(chain: Chain) -> list[list[tuple[Any, list[Any]]]]:
    """Return for each trajectory its graphs and what is wanted of them."""
    found: list[dict[int, tuple[Any, list[Any]]]] = []
    for k, scan in chain.of.items():
        found.append({id(scan.step.graph): (scan.step.graph, list(scan.step.s_next))})
        for carry in (x for x in chain.carries.values() if x.trajectory == k):
            graph = carry.scan.step.graph
            found[-1].setdefault(id(graph), (graph, []))[1].extend(outputs(carry))
            if carry.recurrence:
                graph = carry.recurrence.last_graph
                found[-1].setdefault(id(graph), (graph, []))[1].append(carry.recurrence.initial)
    return [list(x.values()) for x in found]


def _reading(graph: Any, roots: list[Any], name: str) -> list[Tracer]:
    """Return the sharp functions that a graph has of an input."""
    sharp = [Tracer(graph, i) for i in live_nodes(graph, roots) if graph.nodes[i][0] in SHARP]
    return [x for x in sharp if name in live_inputs(graph, [x])]


def _points(chain: Chain) -> tuple[list[Array], Values]:
    """Return states on trajectories, and noise."""
    random = np.random.default_rng(SEED)

    def draw(kinds: Iterable[tuple[str, str]]) -> Values:
        return {k: random.standard_normal(POINTS) if x == NORMAL else random.random(POINTS) for k, x in kinds}

    kinds = chain.noises()
    state = [np.broadcast_to(x, POINTS) for x in chain.start(draw(chain.noises(start=True).items()))]
    last = random.integers(0, min(chain.problem.horizon, STEPS), POINTS)
    for t in range(int(last.max())):
        after = chain.next_states(chain.model.rows(t), state, draw(kinds.items()))
        state = [np.where(t < last, x, y) for x, y in zip(after, state, strict=True)]
    return [np.nan_to_num(x) for x in state], draw(kinds.items())


def _hidden(
    graphs: list[tuple[Any, list[Tracer]]], here: Values, name: str, low: float, high: float, gap: float
) -> tuple[float, float] | None:
    """Return where something is hidden in a gap, and how narrow it may be; None if nothing is."""
    edges = np.linspace(low, high, PIECES + 1)
    row, a, b = np.repeat(np.arange(POINTS), PIECES), np.tile(edges[:-1], POINTS), np.tile(edges[1:], POINTS)
    least, most = np.full(1, np.inf), np.full(1, -np.inf)

    def of(row: Any, x: Any) -> list[Span]:
        values = {k: _at(y, row) for k, y in here.items()} | {name: x}
        return [y for graph, sharp in graphs for y in Spans(values).run(graph, sharp)]

    def points(row: Any, x: Array) -> Array:
        return np.array([np.broadcast_to(y.low, len(x)) for y in of(row, point(x))])

    def between(row: Any, a: Array, b: Array) -> tuple[Array, Array]:
        bounds = of(row, Span(a, b, np.full(len(a), VARIES), named(name)))
        lows, highs = (
            [np.broadcast_to(y, len(a)) for y in x] for x in ([z.low for z in bounds], [z.high for z in bounds])
        )
        return np.array(lows), np.array(highs)

    while len(row):
        y = points(row, (a + b) / 2)
        least = np.minimum(least, np.where(np.isfinite(y), y, np.inf).min(axis=1))
        most = np.maximum(most, np.where(np.isfinite(y), y, -np.inf).max(axis=1))
        scale = np.maximum(most - least, FLOOR)[:, None]
        lows, highs = between(row, a, b)
        wide = (highs - lows > HIDDEN * scale).any(axis=0)
        row, a, b = row[wide], a[wide], b[wide]
        last = not len(row) or b[0] - a[0] <= gap
        if len(row) > (MOST >> FINER if last else MOST):
            some = np.random.default_rng(SEED).choice(len(row), MOST >> FINER if last else MOST, replace=False)
            row, a, b = row[some], a[some], b[some]
        if last:
            break
        middle = (a + b) / 2
        row, a, b = np.tile(row, 2), np.concatenate([a, middle]), np.concatenate([middle, b])
    if not len(row):
        return None
    ends = np.array([points(row, x) for x in (a, b)])
    parts = 2**FINER
    inner = a[:, None] + (b - a)[:, None] * (np.arange(parts + 1) / parts)
    lows, highs = between(np.repeat(row, parts), inner[:, :-1].ravel(), inner[:, 1:].ravel())
    lows = lows.reshape(len(lows), -1, parts).min(axis=2)
    highs = highs.reshape(len(highs), -1, parts).max(axis=2)
    scale = np.maximum(np.maximum(most, ends.max(axis=(0, 2))) - np.minimum(least, ends.min(axis=(0, 2))), FLOOR)[
        :, None
    ]
    beyond = np.maximum(highs - ends.max(axis=0), ends.min(axis=0) - lows) > HIDDEN * scale
    worst = np.flatnonzero(beyond.any(axis=0))
    if not len(worst):
        return None
    return float((a[worst[0]] + b[worst[0]]) / 2), float(b[worst[0]] - a[worst[0]])


def _at(x: Span, row: Any) -> Span:
    return x if len(x.low) == 1 else Span(x.low[row], x.low[row]) if x.low is x.high else x
