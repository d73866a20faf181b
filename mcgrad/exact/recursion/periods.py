"""Angles: components of the state in which a problem and its estimators are periodic, by a proof on their graphs.

A component is an angle of period L if L added to it adds a multiple of L to itself in the next state and changes nothing else:
no other component, no coefficient of what is carried back, nothing after the last step. Then all moments given the state have
that period. To prove it, each node is followed: it moves by a number that is the same for all states, or is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...compiler.emit import live_nodes
from ...compiler.operations import COMPARISONS, OPERATIONS, SAME_VALUE
from ...compiler.trace import Graph, Tracer
from .chain import Chain
from .edges import outputs

MULTIPLES = (1, 2, 3)  # of the period of one node, which others may need
SAME = 1e-12
WAVES = {"sin": 2 * np.pi, "cos": 2 * np.pi, "tan": np.pi, "floor": 1.0}
DIVISIONS = {"remainder", "floor_divide"}


def periods(chain: Chain) -> list[float | None]:
    """Return the period of each component of the states of a chain, None for those that are no angle."""
    found: list[float | None] = []
    for k in range(len(chain.trajectories)):
        known = chain.model.constants({}, chain.trajectories[k])
        graphs = _graphs(chain, k)
        for i, name in enumerate(chain.inputs.s_names):
            seen: set[float] = set()
            for graph, roots, _ in graphs:
                _moves(graph, roots, {name: 1.0}, known, seen)
            candidates = sorted({x * m for x in seen for m in MULTIPLES})
            found.append(next((L for L in candidates if _is_period(graphs, i, name, L, known)), None))
    return found


def _graphs(chain: Chain, k: int) -> list[tuple[Any, list[Any], int]]:
    """Return the graphs of a trajectory, what is wanted of each, and how many of the first of these are the next state."""
    steps: dict[int, tuple[Any, list[Any], int]] = {}
    last: dict[int, tuple[Any, list[Any], int]] = {}
    scans = [chain.of[k], *(x.scan for x in chain.carries.values() if x.trajectory == k)]
    for scan in scans:
        step = scan.step
        steps.setdefault(id(step.graph), (step.graph, list(step.s_next), len(step.s_next)))
    for carry in (x for x in chain.carries.values() if x.trajectory == k):
        steps[id(carry.scan.step.graph)][1].extend(outputs(carry))
        if carry.recurrence:
            graph = carry.recurrence.last_graph
            last.setdefault(id(graph), (graph, [], 0))[1].append(carry.recurrence.initial)
    if chain.branches:  # whose returns are those of other states
        step, end = chain.of[k].step, chain.inputs.end(graph := Graph())
        steps[id(step.graph)][1].append(step.reward)
        last[id(graph)] = (graph, [end.reward], 0)
    return [*steps.values(), *last.values()]


def _is_period(graphs: Iterable[Any], i: int, name: str, period: float, known: Mapping[str, float]) -> bool:
    for graph, roots, states in graphs:
        moved = _moves(graph, roots, {name: period}, known)
        own = moved.pop(i) if states else 0.0
        if own is None or not _divides(period, own) or any(x != 0.0 for x in moved):
            return False
    return True


def _moves(
    graph: Any, roots: list[Any], shift: Mapping[str, float], known: Mapping[str, float], seen: set[float] | None = None
) -> list[float | None]:
    """Return by how much roots move with some inputs, None where it depends on the state; note periods on the way in `seen`."""
    values: dict[int, float | None] = {}  # numbers that are the same for all states and times
    moved: dict[int, float | None] = {}

    def of(x: Any) -> tuple[float | None, float | None]:
        return (moved[x.index], values[x.index]) if isinstance(x, Tracer) else (0.0, float(x))

    with np.errstate(all="ignore"):
        for n in live_nodes(graph, roots):
            operation, arguments = graph.nodes[n]
            if operation == "input":
                moved[n], values[n] = shift.get(arguments[0], 0.0), known.get(arguments[0])
                continue
            if operation == "lookup":  # a table, whose elements have to stand still, too, is read where it lies
                still = _moves(graph, [x for x in arguments[1:] if isinstance(x, Tracer)], shift, known, seen)
                moved[n], values[n] = (
                    0.0 if of(arguments[0])[0] == 0.0 and not any(x != 0.0 for x in still) else None,
                    None,
                )
                continue
            d, v = zip(*map(of, arguments[:1] if operation in SAME_VALUE else arguments), strict=True)
            moved[n], values[n] = _move(operation, d, v, seen), None
            if operation in OPERATIONS and moved[n] == 0.0 and all(x is not None for x in v):
                values[n] = float(OPERATIONS[operation](*v))
    return [of(x)[0] for x in roots]


def _move(operation: str, d: Any, v: Any, seen: set[float] | None) -> float | None:
    """Return by how much an operation moves whose arguments, of the values v where these are known, move by d."""
    if any(x is None for x in d):
        return None
    if not any(d):
        return 0.0
    first, second = d[0], d[1] if len(d) > 1 else 0.0
    if operation in ("+", "-"):
        return float(first + second if operation == "+" else first - second)
    if operation == "neg" or operation in SAME_VALUE:
        return float(-first if operation == "neg" else first)
    if operation in "*/" and second == 0.0 and v[1] is not None:
        return float(first * v[1] if operation == "*" else first / v[1])
    if operation == "*" and first == 0.0 and v[0] is not None:
        return float(v[0] * second)
    if operation in WAVES or (operation in DIVISIONS and second == 0.0 and v[1]):
        period = WAVES[operation] if operation in WAVES else abs(v[1])
        if seen is not None:
            seen.add(float(period / abs(first)))
        if not _divides(period, first):
            return None
        return float(np.rint(first / (v[1] if len(d) > 1 else 1.0))) if operation.startswith("floor") else 0.0
    if operation == "where" and first == 0.0 and d[1] == d[2]:
        return float(d[1])
    if (operation in COMPARISONS or operation in ("minimum", "maximum")) and first == second:
        return 0.0 if operation in COMPARISONS else float(first)
    return None


def _divides(period: float, x: float) -> bool:
    turns = x / period
    return bool(abs(turns - np.rint(turns)) <= SAME * max(1.0, abs(turns)))
