"""Emit: write a graph as the text of a Python function that a person can read.

The text is straight-line Python: names for the inputs that are used, one assignment for every shared expression, the
outputs under names of their own. Expressions that are used once are written where they are used. The text is run on NumPy
arrays, on SIMD lanes and on plain numbers alike; see `backends`.
"""

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .errors import TraceError
from .operations import COMPARISONS, SAME_VALUE
from .table import Names
from .trace import Graph, Number, Tracer, operands

# What an argument of a function holds: input names for a tuple, or their places {input name: index} in an array
Held: TypeAlias = Sequence[str] | dict[str, int]
Arguments: TypeAlias = dict[str, Held]  # by the argument's name
Text: TypeAlias = tuple[str, int]  # of an expression, and its precedence

LINE = 110  # longest line of generated text

_PRECEDENCE = {"where": 9, "neg": 5, "*": 4, "/": 4, "+": 3, "-": 3, "&": 2, "|": 1, "~": 5}
_PRECEDENCE |= dict.fromkeys(COMPARISONS, 0)
_ATOM = 9


class ByPlace(dict):
    """An argument whose values {input name: place} are sums in memory, to be read by `total`."""


def function_text(
    name: str,
    arguments: Mapping[str, Held],
    graph: Graph,
    outputs: Sequence[Number],
    names: Sequence[str] = (),
    given: dict[int, str] | None = None,
    aliases: Mapping[int, str] | None = None,
) -> str:
    """Return the source of a function `name` that evaluates `outputs` of a graph and returns them as a tuple.

    Parameters
    ----------
    arguments : dict
        Argument name -> what it holds: a list of input names for a tuple (unpacked in one line), a dict
        {input name: index} for an array (read by index), or a `ByPlace`.
    outputs : sequence of tracers or numbers
    names : sequence of str
        A name for each output; `v0, v1, ...` where there is none.
    given : dict, optional
        Node index -> name of an input that holds its value already.
    aliases : dict, optional
        Node index -> what a reader calls it, where it gets an assignment of its own.
    """
    given = given or {}
    live = live_nodes(graph, outputs, given)
    used = _inputs(graph, live, given)
    lines = [f"def {name}({', '.join(arguments)}):"]
    for argument, content in arguments.items():
        lines += _read(argument, content, used)
    arrays = {argument: held for argument, held in arguments.items() if isinstance(held, dict)}
    body = _Body(graph, outputs, names, live, used, given, arrays, aliases or {})
    lines += body.lines
    lines += (
        wrapped("    return (", [body.text(x)[0] + "," for x in outputs], " ", ")") if outputs else ["    return ()"]
    )
    return "\n".join(lines) + "\n"


def live_nodes(graph: Graph, outputs: Sequence[Number], given: Container[int] = ()) -> list[int]:
    """Return the indices of the nodes that the outputs depend on, in the order of evaluation; given ones end a path."""
    live, nodes = set(), graph.nodes
    waiting = [x.index for x in outputs if isinstance(x, Tracer)]
    while waiting:
        index = waiting.pop()
        if index not in live:
            live.add(index)
            if index not in given:
                waiting += [x.index for x in operands(nodes[index]) if x.index not in live]
    return sorted(live)


def live_inputs(graph: Graph, outputs: Sequence[Number], given: dict[int, str] | None = None) -> set[str]:
    """Return the names of the inputs that the outputs depend on."""
    given = given or {}
    return _inputs(graph, live_nodes(graph, outputs, given), given)


def _inputs(graph: Graph, live: Iterable[int], given: Mapping[int, str]) -> set[str]:
    return {given.get(i) or graph.nodes[i][1][0] for i in live if i in given or graph.nodes[i][0] == "input"}


def wrapped(start: str, items: Iterable[str], between: str, end: str) -> list[str]:
    """Return `start items end` broken into lines of at most LINE characters."""
    lines, line = [], start
    for item in items:
        if len(line) + len(item) + 1 > LINE and line.strip() != start.strip():
            lines.append(line.rstrip())
            line = " " * 8
        line += item + between
    return [*lines, line.rstrip() + end]


def _read(argument: str, content: Held, used: set[str]) -> list[str]:
    """Return the lines that give the components of an argument their names."""
    if isinstance(content, ByPlace):
        return [f"    {x} = total({argument}, {k})" for x, k in content.items() if x in used]
    if isinstance(content, dict):
        names = [x for x in content if x in used]
        lines = []
        for start in range(0, len(names), 6):
            part = names[start : start + 6]
            lines.append(f"    {', '.join(part)} = {', '.join(f'{argument}[{content[x]}]' for x in part)}")
        return lines
    if not used.intersection(content):
        return []
    names = [x if x in used else "_" for x in content]
    return wrapped("    (", [x + "," for x in names], " ", f") = {argument}")


class _Body:
    """The assignments of a function's body; remembers which node has got which name."""

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[Number],
        names: Sequence[str],
        live: Sequence[int],
        used: set[str],
        given: dict[int, str],
        arrays: dict[str, dict[str, int]],
        aliases: Mapping[int, str],
    ) -> None:
        self.graph, self.lines, self.named = graph, [], {i: (name, _ATOM) for i, name in given.items()}
        self.arrays = arrays
        taken = used | set(names)
        self.fresh = (x for x in (f"v{i}" for i in itertools.count()) if x not in taken)
        wanted: dict[int, str] = {}
        for output, name in zip(outputs, names, strict=False):
            if isinstance(output, Tracer):
                wanted.setdefault(self._resolve(output).index, name)
        uses = dict.fromkeys(live, 0)
        for index in live:
            if graph.nodes[index][0] not in SAME_VALUE and index not in given:
                for x in operands(graph.nodes[index]):
                    uses[self._resolve(x).index] += 1
        for output in outputs:
            if isinstance(output, Tracer):
                uses[self._resolve(output).index] += 1
        for index in live:
            operation, arguments = graph.nodes[index]
            if operation in SAME_VALUE or index in given:
                continue
            if operation == "input":
                self.named[index] = (arguments[0], _ATOM)
                continue
            text, precedence = self._expression(operation, arguments)
            if index not in wanted and uses[index] == 1 and len(text) < LINE - 50:
                self.named[index] = (text, precedence)
            else:
                name = wanted.get(index) or (aliases.get(index) if aliases.get(index) not in taken else None)
                name = name or next(self.fresh)
                taken.add(name)
                self.lines += self._assignment(name, text)
                self.named[index] = (name, _ATOM)

    def _resolve(self, x: Tracer) -> Tracer:
        while self.graph.nodes[x.index][0] in SAME_VALUE:
            x = self.graph.nodes[x.index][1][0]
        return x

    def _assignment(self, name: str, text: str) -> list[str]:
        line = f"    {name} = {text}"
        return [line] if len(line) <= LINE else wrapped(f"    {name} = (", text.split(" "), " ", ")")

    def text(self, x: Number) -> Text:
        """Return the text of an operand and its precedence."""
        if isinstance(x, Tracer):
            return self.named[self._resolve(x).index]
        number = float(x)
        text = {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(repr(number), repr(number))
        return text, _ATOM if number >= 0 else _PRECEDENCE["neg"]

    def _expression(self, operation: str, arguments: tuple[Any, ...]) -> Text:
        if operation == "lookup":
            return self._lookup(*arguments), _ATOM
        texts = [self.text(x) for x in arguments]
        level = _PRECEDENCE.get(operation, _ATOM)
        if level == _ATOM:
            return f"{operation}({', '.join(text for text, _ in texts)})", _ATOM
        if len(texts) == 1:
            sign = "-" if operation == "neg" else operation
            return sign + self._inside(texts[0], level + 1), level
        left, right = texts
        # Parentheses on the right keep the order of evaluation: a + (b + c) is not (a + b) + c in floating point.
        return f"{self._inside(left, level)} {operation} {self._inside(right, level + 1)}", level

    def _lookup(self, index: Number, *table: Any) -> str:
        """Read from the array that holds the elements of a table: `lookup(array, first, stride, size, index)`."""
        names = table[0].names if isinstance(table[0], Names) else [self.graph.nodes[x.index][1][0] for x in table]
        array, places = next((array, held) for array, held in self.arrays.items() if names[0] in held)
        first = places[names[0]]
        stride = places[names[1]] - first if len(names) > 1 else 1
        if [places.get(x) for x in names] != [first + k * stride for k in range(len(names))]:
            raise TraceError(f"lookup: the elements {names[0]}, {names[1]}, ... of a table do not lie evenly in memory")
        return f"lookup({array}, {first}, {stride}, {len(names)}, {self.text(index)[0]})"

    @staticmethod
    def _inside(operand: Text, level: int) -> str:
        text, precedence = operand
        return text if precedence >= level else f"({text})"
