"""Rollouts that branch off another one: for each pair two that take another number in place of a component of e_t.

    the mean of action i       e_ti = +W and -W,     W Rayleigh
    the scale of action i      e_ti = M and U M,     M double-sided Maxwell, U uniform: then U M is normal

`Branches` branch off at every time, and those of one time advance together as one tuple: for each branch, a state and the
return since t. `LoneBranches` branch off at one random time of each trajectory: all of them advance along with the main
rollout, whose state they take up to that time.
"""

from collections.abc import Iterator, Sequence

from ..compiler.emit import function_text
from ..compiler.functions import where
from ..compiler.trace import Graph, Number, Numbers
from ..estimators.branch_request import BranchRequest, replacements_count
from ..problem import Problem
from .draws import Random
from .inputs import Inputs

REPLACEMENTS, SHARED, PLUS, MINUS = 12, 13, 14, 15  # streams of independent noise
LONE = 0xFFFFFFFD  # the "time" at which is drawn what belongs to the one random time


def replacements_text(m: int, scales: bool) -> str:
    """Return the function that draws the replacements: W, the length of two normals, then M, that of three, and U M."""
    lines = [f"    z{2 * i}, z{2 * i + 1} = normal_pair(seed, i, t, {i})" for i in range(m)]
    values = [f"sqrt(z{2 * i} * z{2 * i} + z{2 * i + 1} * z{2 * i + 1})" for i in range(m)]
    for i in range(m if scales else 0):
        block = m + 3 * i
        lines += [
            f"    x, y = normal_pair(seed, i, t, {block})",
            f"    z, _ = normal_pair(seed, i, t, {block + 1})",
            f"    u = uniform(seed, i, t, {block + 2})",
            "    v = sqrt(x * x + y * y + z * z)",
            f"    v{i} = where(x < 0.0, -v, v)",
            f"    w{i} = u * v{i}",
        ]
        values += [f"v{i}", f"w{i}"]
    return (
        "def replacements(seed, i, t):\n" + "\n".join(lines) + f"\n    return ({' '.join(f'{x},' for x in values)})\n"
    )


class Branches:
    """The texts and the lines that give `backward` the differences G_t^+ - G_t^- of all pairs.

    Parameters
    ----------
    problem : Problem
    inputs : Inputs
    kind : BranchRequest
    kept : sequence of str
        What the workspace keeps at each step; all components of the state must be among it.
    """

    def __init__(self, problem: Problem, inputs: Inputs, kind: BranchRequest, kept: Sequence[str]) -> None:
        self.inputs, self.kind, self.name = inputs, kind, kind.name
        n, count = problem.environment.states, 2 * len(kind.pairs)
        self.names = [f"{self.name}{k}_{j}" for k in range(count) for j in range(n + 1)]
        self.noise = {x: inputs.noise_names(x) for x in ("", "a", "b", "c")}
        self.drawn = [f"r{k}" for k in range(replacements_count(kind.actions, kind.scales))]
        self.texts, self.functions = [self._end_text(n, count)], [(f"{self.name}_end", 4, count // 2)]
        for name, text, arguments, results in self._texts(n, count, kept):
            self.texts.append(text)
            self.functions.append((f"{self.name}_{name}", arguments, results))

    def _texts(self, n: int, count: int, kept: Sequence[str]) -> Iterator[tuple[str, str, int, int]]:
        """Yield (name, text, arguments, results) of the functions of its own."""
        inputs, noise = self.inputs, self.noise
        graph = Graph()
        state = inputs.many(graph, inputs.s_names)
        started = []
        for k, (i, e_i) in enumerate(self.kind.replaced(inputs.many(graph, self.drawn))):
            e: list[Number] = [graph.input(x) for x in noise[""][0]]
            e[i] = e_i
            step = inputs.step(graph, s=state, e=tuple(e), w=inputs.many(graph, noise["b" if k % 2 else "a"][1]))
            started += [*step.s_next, step.reward]
        arguments = inputs.arguments("theta", "p", "row", "s") | {"z": sum(noise[""], [])}
        arguments |= {"za": sum(noise["a"], []), "zb": sum(noise["b"], []), "r": self.drawn}
        yield "start", function_text(f"{self.name}_start", arguments, graph, started), 8, len(self.names)

        graph = Graph()
        moved = []
        for k in range(count):
            s, later = self._state(graph, k, n)
            others, w = (inputs.many(graph, x) for x in noise["b" if k % 2 else "a"])
            step = inputs.step(graph, s=s, e=others, w=w)
            moved += [*step.s_next, later + step.reward]
        arguments = inputs.arguments("theta", "p", "row") | {"branch": self.names}
        arguments |= {"za": sum(noise["a"], []), "zb": sum(noise["b"], [])}
        yield "step", function_text(f"{self.name}_step", arguments, graph, moved), 6, len(self.names)

        values = " ".join(f"kept[{kept.index(x)}]," for x in inputs.s_names)
        yield "state", f"def {self.name}_state(kept):\n    return ({values})\n", 1, n

    def _state(self, graph: Graph, k: int, n: int) -> tuple[Numbers, Number]:
        """Return the state of a branch and its return so far."""
        *s, later = inputs_of(graph, self.names[k * (n + 1) : (k + 1) * (n + 1)])
        return tuple(s), later

    def _end_text(self, n: int, count: int) -> str:
        graph = Graph()
        ends = (self._state(graph, k, n) for k in range(count))
        totals = [later + self.inputs.end(graph, s=s).reward for s, later in ends]
        differences = [plus - minus for plus, minus in zip(totals[::2], totals[1::2], strict=True)]
        arguments = self.inputs.arguments("theta", "p", "row") | {"branch": self.names}
        return function_text(f"{self.name}_end", arguments, graph, differences)

    def first_lines(self, draws: Random) -> list[str]:
        """Return the lines that come before the trajectory, whose noise comes from `draws`."""
        return []

    def forward_lines(self, draws: Random) -> list[str]:
        """Return the lines of time t on the way forward."""
        return []

    def turning_lines(self, draws: Random) -> list[str]:
        """Return the lines that come between the ways forward and back."""
        return []

    def backward_lines(self, draws: Random) -> list[str]:
        """Return the lines that come before `backward` at time t."""
        name = self.name
        if self.kind.independent:
            own = [f"z{x} = noise_step(seed, stream(i, {k}), t * 65536 + {{}})" for x, k in (("a", PLUS), ("b", MINUS))]
            first = [f"z = noise_step(seed, stream(i, {SHARED}), t)", *(x.format("t") for x in own)]
            later = [x.format("k") for x in own]
        else:
            first = [f"z = {draws.step()}", "za = z", "zb = z"]
            later = [f"za = {draws.step(time='k')}", "zb = za"]
        return [
            *first,
            f"{name} = {name}_start(theta, p, rows[t], {name}_state(kept), z, za, zb, r)",
            "for k in range(t + 1, horizon):",
            *(f"    {line}" for line in later),
            f"    {name} = {name}_step(theta, p, rows[k], {name}, za, zb)",
            f"{name}_difference = {name}_end(theta, p, rows[horizon], {name})",
        ]


class LoneBranches(Branches):
    """Branches at one random time of each trajectory, floor(T u) for a uniform number u."""

    def _texts(self, n: int, count: int, kept: Sequence[str]) -> Iterator[tuple[str, str, int, int]]:
        inputs, noise = self.inputs, self.noise
        graph = Graph()
        yield "begin", function_text(f"{self.name}_begin", {}, graph, [0.0] * len(self.names)), 0, len(self.names)

        graph = Graph()
        time, tau = graph.input(inputs.time()), graph.input("tau")
        main = inputs.many(graph, inputs.s_names)
        replaced = self.kind.replaced(inputs.many(graph, self.drawn))
        moved = []
        for k, (i, e_i) in enumerate(replaced):
            s, later = self._state(graph, k, n)
            s = tuple(where(time <= tau, x, y) for x, y in zip(main, s, strict=True))
            e, w = (inputs.many(graph, x) for x in noise["b" if k % 2 else "a"])
            others = inputs.many(graph, noise["c"][0]) if self.kind.independent else e
            e = [where(time == tau, x, y) for x, y in zip((*others[:i], e_i, *others[i + 1 :]), e, strict=True)]
            step = inputs.step(graph, s=s, e=tuple(e), w=w)
            moved += [*step.s_next, where(time >= tau, later + step.reward, 0.0)]
        arguments = inputs.arguments("theta", "p", "row", "s") | {"branch": self.names}
        arguments |= {f"z{x}": sum(noise[x], []) for x in "abc"} | {"r": self.drawn, "tau": ["tau"]}
        yield "step", function_text(f"{self.name}_step", arguments, graph, moved), 10, len(self.names)

    def first_lines(self, draws: Random) -> list[str]:
        shared = [f"zc = noise_step(seed, stream(i, {SHARED}), {LONE})"] if self.kind.independent else []
        return [*shared, f"{self.name} = {self.name}_begin()"]

    def forward_lines(self, draws: Random) -> list[str]:
        name = self.name
        own = ["za = z", "zb = z"]
        if self.kind.independent:
            own = [f"z{x} = noise_step(seed, stream(i, {k}), t)" for x, k in (("a", PLUS), ("b", MINUS))]
        shared = "zc" if self.kind.independent else "z"
        r = "replacements_once"
        return [*own, f"{name} = {name}_step(theta, p, rows[t], s, {name}, za, zb, {shared}, {r}, tau)"]

    def turning_lines(self, draws: Random) -> list[str]:
        return [f"{self.name}_difference = {self.name}_end(theta, p, rows[horizon], {self.name})"]

    def backward_lines(self, draws: Random) -> list[str]:
        return []


def inputs_of(graph: Graph, names: Sequence[str]) -> Numbers:
    """Return inputs of a graph."""
    return tuple(graph.input(x) for x in names)


class Branching:
    """All that the estimators of one reverse scan want of measure-valued noise: texts, functions, lines, arguments.

    Parameters
    ----------
    problem : Problem
    inputs : Inputs
    kinds : sequence of BranchRequest
    reads : set of str
        The names that `backward` reads.
    kept : sequence of str
        What the workspace keeps at each step.
    """

    def __init__(
        self, problem: Problem, inputs: Inputs, kinds: Sequence[BranchRequest], reads: set[str], kept: Sequence[str]
    ) -> None:
        m = problem.environment.actions
        self.branches = [(LoneBranches if x.once else Branches)(problem, inputs, x, kept) for x in kinds]
        self.lone = any(x.once for x in kinds)
        count = max((k for k in range(1, 3 * m + 1) if f"r{k - 1}" in reads), default=0)
        self.scales = count > m or any(x.scales for x in kinds)
        self.each = bool(count) or any(not x.once for x in kinds)
        self.arguments = {f"{x.name}_difference": x.differences for x in kinds}
        if count:
            self.arguments["r"] = [f"r{k}" for k in range(replacements_count(m, self.scales))]
        if self.lone:
            self.arguments["tau"] = ["tau"]
        self.texts = [text for x in self.branches for text in x.texts]
        self.functions = [function for x in self.branches for function in x.functions]
        if self.each or self.lone:
            self.texts.append(replacements_text(m, self.scales))
            self.functions.append(("replacements", 3, replacements_count(m, self.scales)))
        if self.lone:
            steps = inputs.c_index[inputs.constant("steps", problem.horizon)]
            text = f"    u = uniform(seed, i, t, {4 * m})\n    return (floor(c[{steps}] * u),)\n"
            self.texts.append("def branch_time(c, seed, i, t):\n" + text)
            self.functions.append(("branch_time", 4, 1))

    def __bool__(self) -> bool:
        return self.each or self.lone

    def lines(self, where_in_the_loops: str, draws: Random) -> list[str]:
        """Return the lines of one place: "first", "forward", "turning" or "backward"."""
        lines = [line for x in self.branches for line in getattr(x, f"{where_in_the_loops}_lines")(draws)]
        if where_in_the_loops == "first" and self.lone:
            drawn = f"seed, stream(i, {REPLACEMENTS}), {LONE})"
            lines = [f"tau = branch_time(c, {drawn}", f"replacements_once = replacements({drawn}", *lines]
        if where_in_the_loops == "backward" and self.each:
            lines.insert(0, f"r = replacements(seed, stream(i, {REPLACEMENTS}), t)")
        return lines
