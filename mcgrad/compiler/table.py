"""Large arrays of parameters while they are traced: their elements become nodes of a graph when they are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Table(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of inputs of a graph by their names. It behaves like the array of tracers, which is made on demand.

    Parameters
    ----------
    graph : Graph
    names : array of str
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, graph: Any, names: NDArray[np.object_]) -> None:
        self.graph, self.names = graph, names

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return self.names.shape

    @property
    def ndim(self) -> int:
        """As of an array."""
        return self.names.ndim

    @property
    def size(self) -> int:
        """As of an array."""
        return self.names.size

    @property
    def T(self) -> Table:
        """As of an array."""
        return Table(self.graph, self.names.T)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        found = self.names[index]
        return Table(self.graph, found) if isinstance(found, np.ndarray) else self.graph.element(found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__array__(), name)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[np.object_]:
        return np.frompyfunc(self.graph.element, 1, 1)(self.names)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*(np.asarray(x) if isinstance(x, Table) else x for x in inputs), **options)


class Names:
    """The names of the elements of a table, as an argument of a node: they are not computed, but read where they lie."""

    def __init__(self, names: NDArray[np.object_]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Names({self.names[0]}, {self.names[1] if len(self.names) > 1 else ''}, {len(self.names)})"
