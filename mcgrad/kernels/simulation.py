"""The texts that simulate a rollout: its start, one step of it, and what is kept of each step in the workspace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..compiler.backends import Function
from ..compiler.emit import function_text
from ..compiler.functions import where
from ..compiler.trace import Graph, Tracer
from ..estimators.estimator import RolloutVariant
from ..problem import Problem
from .draws import Random
from .inputs import Inputs
from .step_view import Step, alive


def common_texts(
    problem: Problem, inputs: Inputs, draws: Random, perturbations: Sequence[Perturbation]
) -> tuple[list[str], list[Function]]:
    """Return the texts and the functions that all rollouts of a kernel share: noise, s_0, perturbations of theta."""
    environment = problem.environment
    graph = Graph()
    s = inputs.start(graph).s
    start = function_text("start", inputs.arguments("theta", "p", "z_start"), graph, s, inputs.s_names)
    texts, functions = draws.texts(bool(perturbations))
    texts.append(start)
    functions.append(("start", 3, environment.states))
    if environment.done is not None:
        graph = Graph()
        going = where(alive(environment, inputs.environment(graph), inputs.many(graph, inputs.s_names)), 1.0, 0.0)
        texts.append(function_text("running", inputs.arguments("theta", "p", "s"), graph, [going]))
        functions.append(("running", 3, 1))
    for x in perturbations:
        texts.append(x.text)
        functions.append((x.name, 3, len(problem.parameters)))
    return texts, functions


class Perturbation:
    """The text that moves theta along the direction of a variation."""

    def __init__(self, inputs: Inputs, variation: RolloutVariant, k: int) -> None:
        self.name = f"perturb_{k}"
        graph = Graph()
        theta = inputs.many(graph, inputs.theta_names)
        direction = inputs.perturbation(variation.direction, inputs.many(graph, inputs.direction_names))
        names = inputs.constants("width", variation.width, k)
        widths = map(graph.input, np.broadcast_to(names, len(theta)))
        moved = [x + variation.shift * h * d for x, h, d in zip(theta, widths, direction, strict=True)]
        arguments = inputs.arguments("theta", "c") | {"z_theta": inputs.direction_names}
        self.text = function_text(self.name, arguments, graph, moved)


class Simulation:
    """The texts that simulate, and keep what is needed later of (s, e, w) and of what `forward` computes.

    Parameters
    ----------
    inputs : Inputs
    step : Step
    kept : sequence of str
        Names among (s, e, w) that go to the workspace at each step.
    known : sequence of int
        Nodes of the step's graph whose values go there, too.
    suffix : str
        Tells the names of this rollout from those of others in the same kernel.
    """

    def __init__(
        self, inputs: Inputs, step: Step, kept: Sequence[str] = (), known: Sequence[int] = (), suffix: str = ""
    ) -> None:
        n = len(step.s)
        results = (*step.s_next, *(Tracer(step.graph, index) for index in known))
        names = [f"s{i}_next" for i in range(n)] + [f"known{k}" for k in range(len(known))]
        arguments = inputs.arguments("theta", "p", "s", "z")
        self.workspace = len(kept) + len(known)
        next_state = f"def next_state{suffix}(x):\n    return ({' '.join(f'x[{i}],' for i in range(n))})\n"
        self.texts = [
            function_text(f"forward{suffix}", arguments, step.graph, results, names, aliases=step.aliases),
            next_state,
            _store_text(f"store{suffix}", inputs, kept, n, len(known)),
            _load_text(f"load{suffix}", self.workspace),
        ]
        self.functions = [
            (f"forward{suffix}", 4, len(results)),
            (f"next_state{suffix}", 1, n),
            (f"store{suffix}", 4, None),
            (f"load{suffix}", 1, self.workspace),
        ]


def _store_text(name: str, inputs: Inputs, kept: Sequence[str], n: int, known: int) -> str:
    at = {x: f"s[{i}]" for i, x in enumerate(inputs.s_names)}
    at |= {x: f"z[{i}]" for i, x in enumerate(inputs.e_names + inputs.w_names)}
    values = [at[x] for x in kept] + [f"x[{n + k}]" for k in range(known)]
    lines = [f"    give(row, {k}, {value})" for k, value in enumerate(values)] or ["    pass"]
    return f"def {name}(row, s, z, x):\n" + "\n".join(lines) + "\n"


def _load_text(name: str, count: int) -> str:
    values = " ".join(f"take(row, {k})," for k in range(count))
    return f"def {name}(row):\n    return ({values})\n"
