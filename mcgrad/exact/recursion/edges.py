"""Where the graphs of a step kink or jump: comparisons, |x|, minima, floors, and on which side of each a point is.

A side that the state alone decides breaks the functions of the next state, too: it is looked at there, where the noise leads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...compiler.emit import live_inputs, live_nodes
from ...compiler.operations import COMPARISONS
from ...compiler.reach import RANDOM, reach
from ...compiler.trace import Tracer
from .chain import Carry, Chain
from .ring import Array, Lost, Poly, Rows, State, Values, run

BESIDE = {"minimum", "maximum"}
LABELS = {"floor": np.floor, "rint": np.rint, "trunc": np.trunc}
DIVISIONS = {"remainder", "floor_divide", "fmod"}


@dataclasses.dataclass(frozen=True)
class Edge:
    """One place in the graphs of a trajectory: `operation` on `arguments`; the noise and the states that it reads."""

    trajectory: int
    graph: Any
    operation: str
    arguments: tuple
    noises: frozenset
    states: frozenset

    def side(self, chain: Chain, rows: Rows, state: State, noise: Values) -> Any:
        """Return on which side points are, an array of numbers; those of an edge of the state alone at the next state."""
        if not self.noises:
            state = chain.next_states(rows, state, noise)
        return self.here(chain, rows, state, noise)

    def here(self, chain: Chain, rows: Rows, state: State, noise: Values) -> Any:
        """Return on which side points are, at a state."""
        values = chain.values(self.trajectory, rows, state, noise)
        found = run(self.graph, self.arguments, values)
        if any(isinstance(x, (Lost, Poly)) for x in found):
            return np.zeros(())
        a, b = (*found, 0.0)[:2]
        with np.errstate(all="ignore"):
            if self.operation in LABELS:
                return LABELS[self.operation](a)
            if self.operation in DIVISIONS:
                return np.floor(a / b)
            return np.sign(b if self.operation == "copysign" else a - b)


def is_edge(operation: str) -> bool:
    """Tell whether an operation kinks or jumps somewhere."""
    return operation in COMPARISONS or operation in {*BESIDE, *LABELS, *DIVISIONS, "absolute", "copysign"}


def edges(chain: Chain, wanted: Sequence[str]) -> list[Edge]:
    """Return the `Edge`s of a step that depend on noise or state, and on nothing that is carried back."""
    found: dict[Any, Edge] = {}
    for k, scan in chain.of.items():
        mine = [c for c in wanted if chain.carries[c].trajectory == k]
        graphs = {id(scan.step.graph): (scan.step.graph, list(scan.step.s_next))}
        for c in mine:
            carry = chain.carries[c]
            graph = carry.scan.step.graph
            graphs.setdefault(id(graph), (graph, []))[1].extend(outputs(carry))
        for graph, roots in graphs.values():
            for i in live_nodes(graph, roots):
                operation, arguments = graph.nodes[i]
                if not is_edge(operation):
                    continue
                read = chain.branches.sources(live_inputs(graph, [x for x in arguments if isinstance(x, Tracer)]))
                noises, states = read & set(chain.noises()), read & set(chain.inputs.s_names)
                if (noises or states) and not any(x in chain.carries for x in read):
                    edge = Edge(k, graph, operation, tuple(arguments), frozenset(noises), frozenset(states))
                    found.setdefault((k, id(graph), operation, _places(arguments)), edge)
    return list(found.values())


def outputs(carry: Carry) -> list[Any]:
    """Return the nodes that a carry's new value is made of."""
    return [carry.slot.index, carry.slot.share] if carry.slot else [carry.recurrence.new]


def _places(arguments: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(x.index if isinstance(x, Tracer) else x for x in arguments)


def flat(chain: Chain, wanted: Sequence[str]) -> set[str]:
    """Return the noises that nothing moves with: what they change, they change by jumps alone."""
    moving = set()
    for k, scan in chain.of.items():
        roots = {id(scan.step.graph): (scan.step.graph, list(scan.step.s_next))}
        for c in wanted:
            carry = chain.carries[c]
            if carry.trajectory == k:
                graph = carry.scan.step.graph
                roots.setdefault(id(graph), (graph, []))[1].extend(outputs(carry))
        for graph, nodes in roots.values():
            names = {x: 2 << j for j, x in enumerate(chain.noises())}
            seeds = {graph.input(x).index: bit | RANDOM for x, bit in names.items()}
            for x, parts in chain.branches.products.items():
                seeds[graph.input(x).index] = RANDOM | sum(names[y] for y in parts)
            _, moves, _ = reach(graph, seeds)
            bits = 0
            for x in nodes:
                bits |= moves[x.index] if isinstance(x, Tracer) else 0
            moving |= {x for x, bit in names.items() if bits & bit}
    return set(chain.noises()) - moving


def axis_breaks(chain: Chain, found: Iterable[Edge], low: Array, high: Array, points: int = 4001) -> list[list[float]]:
    """Return, for each component of the state, where edges that it alone decides are."""
    breaks: list[set[float]] = [set() for _ in range(chain.states)]
    rows = chain.model.rows(0)
    for edge in found:
        if edge.noises or len(edge.states) != 1:
            continue
        i = edge.trajectory * chain.n + chain.inputs.s_names.index(next(iter(edge.states)))
        x = np.linspace(low[i], high[i], points)

        def side(x: Array, edge: Edge = edge, i: int = i) -> Array:
            state = [np.zeros(1)] * chain.states
            state[i] = x
            return np.broadcast_to(edge.here(chain, rows, state, {}), x.shape)

        y = side(x)
        change = np.flatnonzero((y[1:] != y[:-1]) & np.isfinite(y[1:]) & np.isfinite(y[:-1]))
        a, b = x[change], x[change + 1]
        first = y[change]
        for _ in range(60):
            middle = (a + b) / 2
            same = side(middle) == first
            a, b = np.where(same, middle, a), np.where(same, b, middle)
        for z in (a + b) / 2:
            if all(abs(z - other) > 1e-9 * (high[i] - low[i]) for other in breaks[i]):
                breaks[i].add(float(z))
    return [sorted(x) for x in breaks]
