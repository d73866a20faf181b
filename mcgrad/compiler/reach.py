"""Which inputs a number depends on, and which of them its derivatives see: sets of bits, in one sweep over a graph."""

from collections.abc import Iterable, Mapping, Sequence

from .derive import FLAT
from .trace import Graph, Tracer

RANDOM = 1  # the bit of whatever varies between trajectories
JUMPS = {"fmod", "remainder", "arctan2", "copysign", "lookup"}  # besides what is flat


def reach(graph: Graph, seeds: Mapping[int, int]) -> tuple[list[int], list[int], list[int]]:
    """Return (depends, moves, jumps): the bits that each node depends on, has a derivative in, and may jump in.

    A comparison that nothing random has a part in is a constant near theta, and depends on nothing. What is given its
    slopes depends on what they are slopes in.

    Parameters
    ----------
    graph : Graph
    seeds : dict
        Node index -> bits; what a seed was computed from does not count.
    """
    depends, moves, jumps = [], [], []
    for index, (operation, arguments) in enumerate(graph.nodes):
        if index in seeds:
            depends.append(seeds[index])
            moves.append(seeds[index])
            jumps.append(0)
            continue
        if operation == "given_slopes":
            arguments = arguments[1 : 1 + len(arguments) // 2]
        seen = _union(depends, arguments)
        jumps.append(_union(jumps, arguments) | (seen if operation in JUMPS else 0))
        if operation in FLAT:
            depends.append(seen if seen & RANDOM else 0)
            moves.append(0)
            jumps[-1] |= depends[-1]
            continue
        if operation in ("where", "lookup"):  # the first argument says which
            arguments = arguments[1:]
        elif operation == "copysign":
            arguments = arguments[:1]
        depends.append(seen)
        moves.append(_union(moves, arguments))
    return depends, moves, jumps


def _union(bits: Sequence[int], arguments: Iterable[object]) -> int:
    result = 0
    for x in arguments:
        if isinstance(x, Tracer):
            result |= bits[x.index]
    return result
