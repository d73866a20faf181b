"""Where the graphs of a step kink or jump: comparisons, |x|, minima, floors.

A side that the state alone decides breaks the functions of the next state, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ...compiler.emit import live_inputs, live_nodes
from ...compiler.operations import COMPARISONS
from ...compiler.reach import RANDOM, reach
from ...compiler.trace import Tracer
from .chain import Carry, Chain
from .spans import DIVISIONS, STEPS

KINKS = {*COMPARISONS, *STEPS, *DIVISIONS, "minimum", "maximum", "absolute", "copysign"}


@dataclasses.dataclass(frozen=True)
class Edge:
    """One place in the graphs of a trajectory: `operation` on `arguments`; the noise and the states that it reads.

    `moves` are the noises that the arguments have a derivative in.
    """

    trajectory: int
    graph: Any
    operation: str
    arguments: tuple
    noises: frozenset
    states: frozenset
    moves: frozenset


def start_edges(chain: Chain) -> list[Edge]:
    """Return the `Edge`s of the start."""
    graph, kinds = chain.model.traced.start.graph, set(chain.noises(start=True))
    found = []
    for i in live_nodes(graph, chain.model.traced.start.s):
        operation, arguments = graph.nodes[i]
        if is_edge(operation):
            noises = live_inputs(graph, [x for x in arguments if isinstance(x, Tracer)]) & kinds
            if noises:
                args = tuple(arguments)
                own = moves(graph, args, sorted(noises))
                found += [
                    Edge(k, graph, operation, args, frozenset(noises), frozenset(), own)
                    for k in range(len(chain.trajectories))
                ]
    return found


def is_edge(operation: str) -> bool:
    """Tell whether an operation kinks or jumps somewhere."""
    return operation in KINKS


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
                    edge = Edge(
                        k,
                        graph,
                        operation,
                        tuple(arguments),
                        frozenset(noises),
                        frozenset(states),
                        moves(graph, arguments, sorted(noises)),
                    )
                    found.setdefault((k, id(graph), operation, _places(arguments)), edge)
    return list(found.values())


def outputs(carry: Carry) -> list[Any]:
    """Return the nodes that a carry's new value is made of."""
    return [carry.slot.index, carry.slot.share] if carry.slot else [carry.recurrence.new]


def _places(arguments: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(x.index if isinstance(x, Tracer) else x for x in arguments)


def flat(chain: Chain, wanted: Sequence[str]) -> set[str]:
    """Return the noises that nothing moves with: what they change, they change by jumps alone."""
    moving: set[str] = set()
    for k, scan in chain.of.items():
        roots = {id(scan.step.graph): (scan.step.graph, list(scan.step.s_next))}
        for c in wanted:
            carry = chain.carries[c]
            if carry.trajectory == k:
                graph = carry.scan.step.graph
                roots.setdefault(id(graph), (graph, []))[1].extend(outputs(carry))
        for graph, nodes in roots.values():
            moving |= moves(graph, nodes, chain.noises(), chain.branches.products)
    return set(chain.noises()) - moving


def moves(
    graph: Any,
    nodes: Iterable[Any],
    names: Iterable[str],
    products: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> frozenset[str]:
    """Return the inputs among some names that nodes have a derivative in; some inputs are products of others."""
    bit = {x: 2 << j for j, x in enumerate(names)}
    seeds = {graph.input(x).index: b | RANDOM for x, b in bit.items()}
    for x, parts in products.items():
        seeds[graph.input(x).index] = RANDOM | sum(bit[y] for y in parts)
    _, found, _ = reach(graph, seeds)
    bits = 0
    for x in nodes:
        bits |= found[x.index] if isinstance(x, Tracer) else 0
    return frozenset(x for x, b in bit.items() if bits & b)
