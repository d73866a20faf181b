"""Emit: write a graph as the text of a Python function that a person can read.

The text is straight-line Python: names for the inputs that are used, one assignment for every shared expression, the
outputs under names of their own. Expressions that are used once are written where they are used. The text is run on NumPy
arrays, on SIMD lanes and on plain numbers alike; see `machines`.
"""

import itertools

from .trace import COMPARISONS, Tracer

LINE = 110  # longest line of generated text

_PRECEDENCE = {"where": 9, "neg": 5, "*": 4, "/": 4, "+": 3, "-": 3, "&": 2, "|": 1, "~": 5}
_PRECEDENCE |= dict.fromkeys(COMPARISONS, 0)
_ATOM = 9


def function_text(name, arguments, graph, outputs, names=(), comment=""):
    """Return the source of a function `name` that evaluates `outputs` of a graph and returns them as a tuple.

    Parameters
    ----------
    arguments : dict
        Argument name -> what it holds: a list of input names for a tuple (unpacked in one line), or a dict
        {input name: index} for an array (read by index).
    outputs : sequence of tracers or numbers
    names : sequence of str
        A name for each output; `v0, v1, ...` where there is none.
    """
    live = live_nodes(graph, outputs)
    used = {graph.nodes[i][1][0] for i in live if graph.nodes[i][0] == "input"}
    lines = [f"def {name}({', '.join(arguments)}):"]
    if comment:
        lines.append(f'    """{comment}"""')
    for argument, content in arguments.items():
        lines += _read(argument, content, used)
    body = _Body(graph, outputs, names, live)
    lines += body.lines
    lines += wrapped("    return (", [body.text(x)[0] + "," for x in outputs], " ", ")") if outputs else ["    return ()"]
    return "\n".join(lines) + "\n"


def live_nodes(graph, outputs):
    """Return the indices of the nodes that the outputs depend on, in the order of evaluation."""
    live, waiting = set(), [x.index for x in outputs if isinstance(x, Tracer)]
    while waiting:
        index = waiting.pop()
        if index not in live:
            live.add(index)
            waiting += [x.index for x in graph.nodes[index][1] if isinstance(x, Tracer)]
    return sorted(live)


def live_inputs(graph, outputs):
    """Return the names of the inputs that the outputs depend on."""
    return {graph.nodes[i][1][0] for i in live_nodes(graph, outputs) if graph.nodes[i][0] == "input"}


def wrapped(start, items, between, end):
    """Return `start items end` broken into lines of at most LINE characters."""
    lines, line = [], start
    for item in items:
        if len(line) + len(item) + 1 > LINE and line.strip() != start.strip():
            lines.append(line.rstrip())
            line = " " * 8
        line += item + between
    return [*lines, line.rstrip() + end]


def _read(argument, content, used):
    """Return the lines that give the components of an argument their names."""
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

    def __init__(self, graph, outputs, names, live):
        self.graph, self.lines, self.named = graph, [], {}
        self.fresh = (f"v{i}" for i in itertools.count())
        wanted = {}
        for output, name in zip(outputs, names, strict=False):
            if isinstance(output, Tracer):
                wanted.setdefault(self._resolve(output).index, name)
        uses = dict.fromkeys(live, 0)
        for index in live:
            if graph.nodes[index][0] != "alias":
                for x in graph.nodes[index][1]:
                    if isinstance(x, Tracer):
                        uses[self._resolve(x).index] += 1
        for output in outputs:
            if isinstance(output, Tracer):
                uses[self._resolve(output).index] += 1
        for index in live:
            operation, arguments = graph.nodes[index]
            if operation == "alias":
                continue
            if operation == "input":
                self.named[index] = (arguments[0], _ATOM)
                continue
            text, precedence = self._expression(operation, arguments)
            if index not in wanted and uses[index] == 1 and len(text) < LINE - 50:
                self.named[index] = (text, precedence)
            else:
                name = wanted.get(index) or next(self.fresh)
                self.lines += self._assignment(name, text)
                self.named[index] = (name, _ATOM)

    def _resolve(self, x):
        while self.graph.nodes[x.index][0] == "alias":
            x = self.graph.nodes[x.index][1][0]
        return x

    def _assignment(self, name, text):
        line = f"    {name} = {text}"
        return [line] if len(line) <= LINE else wrapped(f"    {name} = (", text.split(" "), " ", ")")

    def text(self, x):
        """Return the text of an operand and its precedence."""
        if isinstance(x, Tracer):
            return self.named[self._resolve(x).index]
        number = float(x)
        text = {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(repr(number), repr(number))
        return text, _ATOM if number >= 0 else _PRECEDENCE["neg"]

    def _expression(self, operation, arguments):
        operands = [self.text(x) for x in arguments]
        level = _PRECEDENCE.get(operation, _ATOM)
        if level == _ATOM:
            return f"{operation}({', '.join(text for text, _ in operands)})", _ATOM
        if len(operands) == 1:
            sign = "-" if operation == "neg" else operation
            return sign + self._inside(operands[0], level + 1), level
        left, right = operands
        # Parentheses on the right keep the order of evaluation: a + (b + c) is not (a + b) + c in floating point.
        return f"{self._inside(left, level)} {operation} {self._inside(right, level + 1)}", level

    @staticmethod
    def _inside(operand, level):
        text, precedence = operand
        return text if precedence >= level else f"({text})"
