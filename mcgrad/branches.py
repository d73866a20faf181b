"""Rollouts that branch off another one: for each time t and action i, two that take u_ti = +-sigma_i W instead.

The branches of one time advance together as one tuple: for each action and sign, a state and the return since t.
"""

from .compiler.emit import function_text
from .compiler.trace import Graph

NAMES = {False: "branch", True: "apart"}  # common noise, independent noise
RAYLEIGH, SHARED, PLUS, MINUS = 12, 13, 14, 15  # streams of independent noise


class Branches:
    """The texts and the lines that give `backward` the differences G_t^+ - G_t^- of all actions.

    Parameters
    ----------
    problem : Problem
    inputs : Inputs
    independent : bool
        Whether the futures of the branches have noise of their own.
    kept : sequence of str
        What the workspace keeps at each step; all components of the state must be among it.
    """

    def __init__(self, problem, inputs, independent, kept):
        self.problem, self.inputs, self.independent = problem, inputs, independent
        self.name = NAMES[independent]
        n, m = problem.environment.states, problem.environment.actions
        pairs = [(i, sign) for i in range(m) for sign in (1, -1)]
        names = [f"{self.name}{k}_{j}" for k in range(len(pairs)) for j in range(n + 1)]
        noise = {x: inputs.noise_names(x) for x in ("", "a", "b")}
        rayleigh = [f"r{i}" for i in range(m)]

        graph = Graph()
        state = inputs.many(graph, inputs.s_names)
        started = []
        for i, sign in pairs:
            e = [graph.input(x) for x in noise[""][0]]
            e[i] = sign * graph.input(rayleigh[i])
            step = self._step(graph, state, e, noise["a" if sign > 0 else "b"][1])
            started += [*step.s_next, step.reward]
        arguments = inputs.arguments("theta", "p", "row", "s") | {"z": sum(noise[""], [])}
        arguments |= {"za": sum(noise["a"], []), "zb": sum(noise["b"], []), "r": rayleigh}
        start = function_text(f"{self.name}_start", arguments, graph, started)

        graph = Graph()
        moved = []
        for k, (_, sign) in enumerate(pairs):
            *s, later = (graph.input(x) for x in names[k * (n + 1) : (k + 1) * (n + 1)])
            e, w = noise["a" if sign > 0 else "b"]
            step = self._step(graph, tuple(s), [graph.input(x) for x in e], w)
            moved += [*step.s_next, later + step.reward]
        arguments = inputs.arguments("theta", "p", "row") | {"branch": names}
        arguments |= {"za": sum(noise["a"], []), "zb": sum(noise["b"], [])}
        advance = function_text(f"{self.name}_step", arguments, graph, moved)

        graph = Graph()
        totals = []
        for k in range(len(pairs)):
            *s, later = (graph.input(x) for x in names[k * (n + 1) : (k + 1) * (n + 1)])
            totals.append(later + inputs.end(graph, s=tuple(s)).reward)
        differences = [totals[2 * i] - totals[2 * i + 1] for i in range(m)]
        end = function_text(f"{self.name}_end", inputs.arguments("p", "row") | {"branch": names}, graph, differences)

        self.texts = [start, advance, end, self._rayleigh_text(m), self._state_text(kept)]
        self.functions = [
            (f"{self.name}_start", 8, len(names)),
            (f"{self.name}_step", 6, len(names)),
            (f"{self.name}_end", 3, m),
            (f"{self.name}_rayleigh", 3, m),
            (f"{self.name}_state", 1, n),
        ]

    def _step(self, graph, s, e, w_names):
        return self.inputs.step(graph, s=s, e=tuple(e), w=tuple(graph.input(x) for x in w_names))

    def _rayleigh_text(self, m):
        """W = sqrt(z^2 + z'^2) for two standard normals z and z'."""
        lines = [f"    z{2 * i}, z{2 * i + 1} = normal_pair(seed, i, t, {i})" for i in range(m)]
        values = " ".join(f"sqrt(z{2 * i} * z{2 * i} + z{2 * i + 1} * z{2 * i + 1})," for i in range(m))
        return f"def {self.name}_rayleigh(seed, i, t):\n" + "\n".join(lines) + f"\n    return ({values})\n"

    def _state_text(self, kept):
        values = " ".join(f"kept[{kept.index(x)}]," for x in self.inputs.s_names)
        return f"def {self.name}_state(kept):\n    return ({values})\n"

    def lines(self):
        """Return the lines that come before `backward` at time t."""
        name = self.name
        if self.independent:
            own = [f"z{x} = noise_step(seed, stream(i, {k}), t * 65536 + {{}})" for x, k in (("a", PLUS), ("b", MINUS))]
            first = [f"z = noise_step(seed, stream(i, {SHARED}), t)", *(x.format("t") for x in own)]
            later = [x.format("k") for x in own]
        else:
            first = ["z = noise_step(seed, i, t)", "za = z", "zb = z"]
            later = ["za = noise_step(seed, i, k)", "zb = za"]
        return [
            *first,
            f"r = {name}_rayleigh(seed, stream(i, {RAYLEIGH}), t)",
            f"{name} = {name}_start(theta, p, rows[t], {name}_state(kept), z, za, zb, r)",
            "for k in range(t + 1, horizon):",
            *(f"    {line}" for line in later),
            f"    {name} = {name}_step(theta, p, rows[k], {name}, za, zb)",
            f"{name}_difference = {name}_end(p, rows[horizon], {name})",
        ]
