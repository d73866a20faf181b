"""The loop of a kernel over the members of groups: each is simulated and scanned, and taken up by the groups it belongs to.

    group = begin(c)
    for member in range(16):
        ...                                    start, forward, last, backward: as for a single rollout
        group = add(c, carry, group)

Groups of several sizes share a loop; members beyond its size leave a group as it is.
"""

from ..compiler.emit import function_text
from ..compiler.trace import Graph
from .calls import attempt
from .draws import MEMBER
from .reverse_scan import fill, flatten
from .scattered import arguments as sums_in_memory


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

    def __init__(self, inputs, scan, groups):
        self.inputs, self.scan, self.groups, self.graph = inputs, scan, [group for group, _ in groups], Graph()
        self.size = max(group.size for group in self.groups)
        self.structures, self.starts, self.names, self.new = [], [], [], []
        for k, ((group, tree), outcome) in enumerate(zip(groups, scan.finish(self.graph), strict=True)):
            what = type(group).__name__
            start = attempt(f"begin of {what}", group.begin, (len(inputs.theta_names),))
            structure, leaves = flatten(start)
            self.structures.append(structure)
            self.starts.append(leaves)
            self.names.append([f"{self._name('group', k)}_{j}" for j in range(len(leaves))])
            c = inputs.data(self.graph, tree, per_step=False)
            carry = self.carry(self.graph, k)
            found, new = flatten(attempt(f"add of {what}", group.add, (c, carry, outcome)))
            if found != structure:
                raise ValueError(f"add of {what}: it returned a carry of another shape than `begin`")
            self.new.append(new)

    def _name(self, what, k):
        return f"{what}{self.scan.suffix}_{k}"

    def carry(self, graph, k):
        """Return what group k has become, as inputs of a graph."""
        inputs = iter(self.inputs.many(graph, self.names[k]))
        return fill(self.structures[k], lambda: next(inputs))

    @property
    def outputs(self):
        """What the scan of a member is for."""
        return [x for new in self.new for x in new]

    @property
    def arguments(self):
        """Return the arguments of `finish` that hold what the groups have become."""
        return {self._name("group", k): names for k, names in enumerate(self.names)}

    def write(self, lines):
        """Return (lines, texts, functions): the loop around the lines of one member, and what it calls."""
        texts, functions, first, last = [], [], [], []
        for k, group in enumerate(self.groups):
            name, begin, add = (self._name(what, k) for what in ("group", "begin", "add"))
            texts.append(function_text(begin, self.inputs.arguments("c"), Graph(), self.starts[k]))
            functions.append((begin, 1, len(self.starts[k])))
            first.append(f"{name} = {begin}(c)")
            carry = f"carry{self.scan.suffix}"
            arguments = self.inputs.arguments("c") | {carry: self.scan.names, name: self.names[k]}
            arguments |= sums_in_memory([self.scan])
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
