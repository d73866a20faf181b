"""The loop of a kernel over the members of groups: each is simulated and scanned, and taken up by the groups it belongs to.

    group = begin(c)
    for member in range(16):
        ...                                    start, forward, last, backward: as for a single rollout
        group = add(c, carry, group)

Groups of several sizes share a loop; members beyond its size leave a group as it is.
"""

import itertools
from collections.abc import Sequence

from ..calls import attempt
from ..compiler.backends import Function
from ..compiler.emit import Arguments, function_text
from ..compiler.trace import Graph, Number, Numbers, same
from ..estimators.estimator import Members
from ..scan_types import Carry
from .carry_names import Structure
from .draws import MEMBER
from .inputs import Inputs, Tree
from .reverse_scan import ReverseScan
from .scatter_add import arguments as sums_in_memory
from .trees import fill, flatten


class MembersLoop:
    """The groups whose members are rollouts of one variation.

    Parameters
    ----------
    inputs : Inputs
    scan : ReverseScan
        That of the members; it scans the parts of the groups in the same order.
    groups : list of (Members, tree of names)
        Each with its data.
    """

    def __init__(self, inputs: Inputs, scan: ReverseScan, groups: Sequence[tuple[Members, Tree]]) -> None:
        self.inputs, self.scan, self.groups, self.graph = inputs, scan, [group for group, _ in groups], Graph()
        self.size = max(group.size for group in self.groups)
        self.structures: list[Structure] = []
        self.starts: list[list[Number]] = []
        self.fixed: list[dict[int, Number]] = []  # what no member changes
        self.names: list[list[str]] = []
        self.new: list[list[Number]] = []
        for k, ((group, tree), outcome) in enumerate(zip(groups, scan.finish(self.graph), strict=True)):
            start = attempt(f"begin of {type(group).__name__}", group.begin, (len(inputs.theta_names),))
            structure, leaves = flatten(start)
            self.structures.append(structure)
            self.fixed.append({})
            self.names.append([f"{self._name('group', k)}_{j}" for j in range(len(leaves))])
            new = self._added(k, group, tree, outcome)
            inputs_of = inputs.many(self.graph, self.names[k])
            self.fixed[k] = {j: leaves[j] for j, x in enumerate(inputs_of) if same(new[j], x)}
            changing = [j for j in range(len(leaves)) if j not in self.fixed[k]]
            self.names[k] = [self.names[k][j] for j in changing]
            self.starts.append([leaves[j] for j in changing])
            new = self._added(k, group, tree, outcome)
            self.new.append([new[j] for j in changing])

    def _added(self, k: int, group: Members, tree: Tree, outcome: Numbers) -> list[Number]:
        """Return the leaves of what group k becomes with one more member."""
        what = type(group).__name__
        c = self.inputs.data(self.graph, tree, per_step=False)
        found, new = flatten(attempt(f"add of {what}", group.add, (c, self.carry(self.graph, k), outcome)))
        if found != self.structures[k]:
            raise ValueError(f"add of {what}: it returned a carry of another shape than `begin`")
        return new

    def _name(self, what: str, k: int) -> str:
        return f"{what}{self.scan.suffix}_{k}"

    def carry(self, graph: Graph, k: int) -> Carry:
        """Return what group k has become, as inputs of a graph."""
        inputs, places = iter(self.inputs.many(graph, self.names[k])), itertools.count()
        fixed = self.fixed[k]
        return fill(self.structures[k], lambda: fixed[j] if (j := next(places)) in fixed else next(inputs))

    @property
    def outputs(self) -> list[Number]:
        """What the scan of a member is for."""
        return [x for new in self.new for x in new]

    @property
    def arguments(self) -> Arguments:
        """Return the arguments of `finish` that hold what the groups have become."""
        return {self._name("group", k): names for k, names in enumerate(self.names)}

    def write(self, lines: list[str]) -> tuple[list[str], list[str], list[Function]]:
        """Return (lines, texts, functions): the loop around the lines of one member, and what it calls."""
        texts, first, last = [], [], []
        functions: list[Function] = []
        for k, group in enumerate(self.groups):
            name, begin, add = (self._name(what, k) for what in ("group", "begin", "add"))
            texts.append(function_text(begin, self.inputs.arguments("c"), Graph(), self.starts[k]))
            functions.append((begin, 1, len(self.starts[k])))
            first.append(f"{name} = {begin}(c)")
            carry = f"carry{self.scan.suffix}"
            arguments = self.inputs.arguments("c") | {carry: self.scan.names, name: self.names[k]}
            arguments |= self.inputs.start_arguments([self.scan]) | sums_in_memory([self.scan])
            texts.append(function_text(add, arguments, self.graph, self.new[k]))
            functions.append((add, len(arguments), len(self.new[k])))
            call = f"{name} = {add}({', '.join(arguments)})"
            last += [call] if group.size == self.size else [f"if {MEMBER} < {group.size}:", f"    {call}"]
        if self.scan.scattered.used:
            clear, at = f"clear{self.scan.suffix}", sorted(self.scan.scattered.places.values())
            loop = f"    for k in range({at[0]}, {at[-1] + 1}):\n        give(totals, k, 0.0)\n"
            texts.append(f"def {clear}(totals):\n{loop}")
            functions.append((clear, 1, None))
            lines = [f"{clear}(totals)", *lines]
        lines = [*first, f"for {MEMBER} in range({self.size}):", *(f"    {x}" for x in [*lines, *last])]
        return lines, texts, functions
