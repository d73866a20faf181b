"""The values of a graph's nodes, by NumPy and without a compiler: for questions that are asked once, at a few points."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .emit import live_nodes
from .operations import OPERATIONS, SAME_VALUE
from .table import Names
from .trace import Graph, Number, Tracer


def evaluate(graph: Graph, outputs: Sequence[Number], values: Mapping[str, Any]) -> list[NDArray[np.float64]]:
    """Return the values of outputs of a graph.

    Parameters
    ----------
    outputs : sequence of tracers or numbers
    values : dict
        Input name -> number or (N,) array.
    """
    known: dict[int, Any] = {}

    def value(x):
        return known[x.index] if isinstance(x, Tracer) else x

    with np.errstate(all="ignore"):
        for index in live_nodes(graph, outputs):
            operation, arguments = graph.nodes[index]
            if operation == "input":
                known[index] = np.asarray(values[arguments[0]], dtype=float)
            elif operation == "lookup":
                table = arguments[1:]
                # Elements are no operands: a table is read where it lies.
                named = isinstance(table[0], Names)
                elements = [values[x] for x in table[0].names] if named else evaluate(graph, table, values)
                known[index] = _read(np.stack(np.broadcast_arrays(*elements)), value(arguments[0]))
            elif operation in SAME_VALUE:
                known[index] = value(arguments[0])
            else:
                known[index] = OPERATIONS[operation](*map(value, arguments))
    return [np.asarray(value(x), dtype=float) for x in outputs]


def _read(table: NDArray[np.float64], index: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return table[index], element by element."""
    index = np.clip(np.nan_to_num(index), 0, len(table) - 1).astype(int)
    shape = np.broadcast_shapes(index.shape, table.shape[1:])
    rows = [np.broadcast_to(row, shape) for row in table]
    return np.take_along_axis(np.stack(rows), np.broadcast_to(index, shape)[None], axis=0)[0]
