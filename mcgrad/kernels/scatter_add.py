"""Gradients with respect to large tables of parameters: sums in memory, at the places that were looked up.

    sum_t (d theta[i_t] / d theta)^T x_t = sum_t [i_t = j] x_t    for each element j of the table

A step changes one element of each such sum, whatever the size of the table. In registers, as other sums are kept, it would
cost an instruction for every element.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..calls import number
from ..compiler.backends import Function
from ..compiler.derive import LookedUp
from ..compiler.emit import ByPlace, live_inputs
from ..compiler.functions import where
from ..compiler.trace import Graph, Number, Tracer


class Scattered:
    """The sums in memory of one reverse scan.

    Parameters
    ----------
    parameters : int
        P.
    suffix : str
        Tells the names of this scan from those of others in the same kernel.
    """

    def __init__(self, parameters: int, suffix: str) -> None:
        self.parameters, self.suffix = parameters, suffix
        self.sums: list[list[_Slot]] = []  # of each cotangent that was pulled back
        self.slots: dict[tuple[Any, ...], _Slot] = {}

    def add(self, graph: Graph, looked_up: Sequence[LookedUp], alive: Number) -> None:
        """Note the look-ups (index, positions in theta, what to add) of one pulled-back cotangent."""
        found = []
        for index, positions, share in looked_up:
            share = where(alive, number(share), 0.0)
            # Estimators that add the same at the same place share a sum.
            key = index.index, positions, getattr(share, "index", None) or repr(share)
            found.append(self.slots.setdefault(key, _Slot(len(self.slots), index, positions, share)))
        self.sums.append(found)

    def taken(self, graph: Graph, take: Callable[[], Number]) -> Callable[[], Number]:
        """Return `take` for the leaves of the sums of `finish`: what is in memory is added to what is in the carry."""
        leaves = iter([(k, p) for k in range(len(self.sums)) for p in range(self.parameters)])

        def with_memory() -> Number:
            k, p = next(leaves)
            value = take()
            for slot in self.sums[k]:
                if p in slot.positions:
                    value = value + graph.input(slot.name(self.suffix, slot.positions.index(p)))
            return value

        return with_memory

    def choose(self, graph: Graph, gradients: Sequence[Number], first: int) -> None:
        """Keep the sums that the gradients depend on; they lie in memory from place `first` on."""
        live = live_inputs(graph, gradients)
        self.used: list[tuple[_Slot, int]] = []
        self.places: dict[str, int] = {}
        for slot in self.slots.values():
            names = [slot.name(self.suffix, k) for k in range(len(slot.positions))]
            if not live.isdisjoint(names):
                self.used.append((slot, first + len(self.places)))
                self.places |= {x: first + len(self.places) + k for k, x in enumerate(names)}
        self.outputs = [x for slot, _ in self.used for x in (slot.index, slot.share)]

    def lines(self, carry: str, call: str) -> list[str]:
        """Return the lines of a step back; `call` gives the new carry, followed by the places and what is added there."""
        if not self.used:
            return [f"{carry} = {call}"]
        return [f"x = {call}", f"collect{self.suffix}(totals, x)", f"{carry} = carried{self.suffix}(x)"]

    def texts(self, carried: int) -> tuple[list[str], list[Function]]:
        """Return texts and functions for a carry of so many numbers."""
        if not self.used:
            return [], []
        collect = [
            f"    scatter(totals, {first}, {len(slot.positions)}, x[{carried + 2 * k}], x[{carried + 2 * k + 1}])"
            for k, (slot, first) in enumerate(self.used)
        ]
        values = " ".join(f"x[{k}]," for k in range(carried))
        texts = [
            f"def collect{self.suffix}(totals, x):\n" + "\n".join(collect) + "\n",
            f"def carried{self.suffix}(x):\n    return ({values})\n",
        ]
        return texts, [(f"collect{self.suffix}", 2, None), (f"carried{self.suffix}", 1, carried)]


def arguments(scans: Iterable[Any]) -> dict[str, ByPlace]:
    """Return the argument of `finish` that holds the sums of all scans, if there are any."""
    places = ByPlace({x: k for scan in scans for x, k in scan.scattered.places.items()})
    return {"totals": places} if places else {}


class _Slot:
    """One sum: where it is added to (a look-up's index and the positions of its table in theta), and what."""

    def __init__(self, number_of_slot: int, index: Tracer, positions: tuple[int, ...], share: Number) -> None:
        self.number, self.index, self.positions, self.share = number_of_slot, index, positions, share

    def name(self, suffix: str, k: int) -> str:
        """Return the name of element k as an input of `finish`."""
        return f"total{suffix}_{self.number}_{k}"
