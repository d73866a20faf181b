"""From a problem and its estimators to one kernel text and the numbers that it reads.

    start, forward                the trajectory: s_0, then one step from (s, noise)
    last, backward, finish        all estimators at once, newest step first
    noise_start, noise_step       standard normals
    load, store, deliver          memory
    kernel                        the loops over trajectories and time

Everything but `kernel` is straight-line code traced from plain Python functions (see `compiler.trace`). Estimators that
compare rollouts (antithetic noise, perturbed parameters) have one set of these functions for each variation.
"""

import dataclasses
import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..calls import number
from ..compiler.backends import KernelText
from ..compiler.emit import function_text
from ..compiler.functions import where
from ..compiler.trace import Graph
from ..estimators.estimator import PLAIN, Estimator
from ..problem import Problem
from .draws import Given, Random, of_problem
from .inputs import Inputs
from .loops import kernel_text, scan_lines
from .memo import key_of, remembered
from .numbers import Data, Source, arrays, variations
from .scatter_add import arguments as sums_in_memory
from .simulation import Perturbation, Simulation, common_texts
from .step_view import DiscontinuityWarning, warn_of_jumps
from .support import Support
from .tracing import Traced, checked, data_of, traced


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A kernel and the arrays that it reads; everything in it can be pickled.

    Attributes
    ----------
    kernel : KernelText
    theta, p, c : 1-d arrays
        Parameters, those of the environment and the policy, constants of the estimators.
    rows : (T + 1, .) array
        What differs from step to step: the discount and `PerStep` data.
    horizon : int
    names : tuple of str
        Names of the estimators, whose outputs follow one another, P for each.
    draws : Random or Given
        Where the noise comes from.
    data : tuple of 3 int
        Where the data of the estimators lie: c[: data[0]] and rows[:, data[1] : data[2]].
    """

    kernel: KernelText
    theta: np.ndarray
    p: np.ndarray
    c: np.ndarray
    rows: np.ndarray
    horizon: int
    names: tuple[str, ...]
    draws: Random
    data: tuple[int, int, int] = (0, 0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class Written:
    """What problems and estimators of one structure share: a kernel without its numbers.

    Attributes
    ----------
    kernel, draws, data
        As of `Program`.
    sources : tuple
        Where constants of the kernel's own come from, see `numbers`.
    supports : tuple of Support
        What is asked of every policy.
    flat : tuple of str
        Warnings that derivatives do not see all that matters.
    follows : bool
        Whether jumps of the environment would spoil it.
    outputs : (int, int)
        Of a kernel that records, those of a step and those of the end.
    """

    kernel: KernelText
    draws: Random
    data: tuple[int, int, int]
    sources: tuple[Source, ...] = ()
    supports: tuple[Support, ...] = ()
    flat: tuple[str, ...] = ()
    follows: bool = False
    outputs: tuple[int, int] = (0, 0)


def gradient_program(
    problem: Problem, theta: NDArray[np.float64], estimators: Mapping[str, Estimator], given: str | None = None
) -> Program:
    """Return the program that samples the gradients of named estimators on common noise.

    Parameters
    ----------
    given : None, "all" or "start"
        None: random numbers. Otherwise all noise, or that of the start, is read from points that the kernel is given.
    """
    theta = checked(problem, theta)
    data, varied = data_of(problem, theta, estimators), variations(estimators.values())
    horizon = None if given is None else problem.horizon
    key = key_of(
        "gradients", problem, estimators.values(), data.structure, data.shared(problem, varied), given, horizon
    )
    found = remembered(key, lambda: _written(problem, traced(problem, theta, estimators, data), estimators, given))
    if found.follows:
        warn_of_jumps(problem.environment)
    for message in found.flat:
        warnings.warn(message, DiscontinuityWarning, stacklevel=2)
    numbers = arrays(problem, data, found.sources, varied)
    for support in found.supports:
        support.check(problem.policy, theta, numbers[0], numbers[2])
    return Program(found.kernel, theta, *numbers, problem.horizon, tuple(estimators), found.draws, found.data)


def _written(problem: Problem, graphs: Traced, estimators: Mapping[str, Estimator], given: str | None) -> Written:
    """Return the kernel of `gradient_program`, written anew, as `Written`."""
    inputs, rollouts, loops, graph, gradients = graphs[4:9]
    perturbations = [Perturbation(inputs, variation, k) for k, variation in enumerate(rollouts) if variation.shift]
    directions = any(variation.shift and not variation.unroll for variation in rollouts)
    draws = Random(*of_problem(problem))
    if given is not None:
        sizes = [loop.size for loop in loops.values()]
        streams = tuple(sorted({variation.stream for variation in rollouts} | set(range(max(sizes, default=0)))))
        draws = Given(*of_problem(problem), problem.horizon, streams, directions, given == "start")
    texts, functions = common_texts(problem, inputs, draws, perturbations)
    lines: list[str] = []
    workspace = totals = 0
    for k, (variation, (scan, _)) in enumerate(rollouts.items()):
        loop = loops.get(variation)
        scan.name_carry(loop.graph if loop else graph)
        scan.write(*((loop.graph, loop.outputs) if loop else (graph, gradients)), totals)
        totals += len(scan.scattered.places)
        simulation = Simulation(inputs, scan.step, scan.kept, scan.known, scan.suffix)
        texts += [*simulation.texts, *scan.texts]
        functions += [*simulation.functions, *scan.functions]
        workspace = max(workspace, simulation.workspace)
        if scan.branching and variation != PLAIN:
            raise ValueError("measure-valued derivatives of antithetic or perturbed rollouts are not supported")
        own = scan_lines(problem, inputs, draws, variation, k, scan, texts, functions)
        if loop:
            own, *new = loop.write(own)
            texts += new[0]
            functions += new[1]
        lines += own
    single = [scan for variation, (scan, _) in rollouts.items() if variation not in loops]
    arguments = inputs.arguments("c") | {f"carry{scan.suffix}": scan.names for scan in single}
    arguments |= inputs.start_arguments(single)
    for loop in loops.values():
        arguments |= loop.arguments
    if directions:
        arguments["z_theta"] = inputs.direction_names
        lines.insert(0, f"z_theta = {draws.direction()}")
    arguments |= sums_in_memory(single)
    if totals:
        lines[:0] = ["totals = tail(work, horizon)", "totals[:] = 0.0"]
    texts.append(function_text("finish", arguments, graph, gradients))
    functions.append(("finish", len(arguments), len(gradients)))
    texts.append(deliver_text(len(gradients)))
    functions.append(("deliver", 3, None))
    lines.append(f"deliver(out, b, finish({', '.join(arguments)}))")
    kinds = ", ".join(dict.fromkeys(type(e).__name__ for e in estimators.values()))
    label = _label(problem, kinds)
    text = _module_text(label, inputs, [*texts, kernel_text("the gradients", lines)])
    kernel = KernelText(text, tuple(functions), workspace, len(gradients), f"a kernel for {label}", totals)
    flat = tuple(x for x in inputs.flat.values() if x)
    return Written(kernel, draws, inputs.data_places, tuple(inputs.sources), graphs.supports, flat, graphs.follows)


def rollout_program(problem: Problem, theta: ArrayLike) -> Program:
    """Return the program that records trajectories: for each time s_t, a_t, r_t, e_t, w_t; then s_T, r_T and z."""
    theta, T = checked(problem, theta), problem.horizon
    found = remembered(key_of("rollout", problem), lambda: _written_rollout(problem))
    steps, ending = found.outputs
    kernel = dataclasses.replace(found.kernel, outputs=steps * T + ending)
    return Program(kernel, theta, *arrays(problem, Data(problem, ()), (), ()), T, (), found.draws)


def _written_rollout(problem: Problem) -> Written:
    """Return the kernel of `rollout_program`, its outputs those of one step and the end."""
    inputs = Inputs(problem)
    simulation = Simulation(inputs, inputs.step(Graph()))
    graph = Graph()
    step = inputs.step(graph, discounted=False)
    record = (*step.s, *step.a, step.reward, *step.e, *step.w, where(step.alive, 1.0, 0.0))
    arguments = inputs.arguments("theta", "p", "row", "s", "z")
    record_text = function_text("record", arguments, graph, record, [f"record{k}" for k in range(len(record))])
    graph = Graph()
    end = inputs.end(graph, discounted=False)
    ending = (*end.s, number(end.reward), *inputs.many(graph, inputs.z0_names))
    end_text = function_text("record_end", inputs.arguments("theta", "p", "row", "s", "z_start"), graph, ending)
    draws = Random(*of_problem(problem))
    texts, functions = common_texts(problem, inputs, draws, [])
    texts += [
        *simulation.texts,
        record_text,
        end_text,
        deliver_text(len(record)),
        deliver_text(len(ending), "deliver_end"),
    ]
    functions += [
        *simulation.functions,
        ("record", 5, len(record)),
        ("record_end", 5, len(ending)),
        ("deliver", 3, None),
        ("deliver_end", 3, None),
    ]
    lines = [
        f"z_start = {draws.start()}",
        "s = start(theta, p, z_start)",
        "for t in range(horizon):",
        f"    z = {draws.step()}",
        f"    deliver(out[t * {len(record)} :], b, record(theta, p, rows[t], s, z))",
        "    s = next_state(forward(theta, p, s, z))",
        f"deliver_end(out[horizon * {len(record)} :], b, record_end(theta, p, rows[horizon], s, z_start))",
    ]
    label = _label(problem, "rollout")
    text = _module_text(label, inputs, [*texts, kernel_text("states, actions, rewards and noise", lines)])
    outputs = len(record), len(ending)
    kernel = KernelText(text, tuple(functions), simulation.workspace, sum(outputs), f"a kernel for {label}")
    return Written(kernel, draws, inputs.data_places, outputs=outputs)


def _module_text(label: str, inputs: Inputs, texts: list[str]) -> str:
    header = "\n".join(f"# {line}" for line in [label, *inputs.legend().splitlines()])
    return header + "\n\n\n" + "\n\n".join(texts)


def _label(problem: Problem, what: str) -> str:
    """Return a name for a kernel that fits on one line of a comment, whatever users call their things."""
    line = " ".join(f"{problem.environment.name}, {problem.policy.name}: {what}".split())
    return "".join(x if x.isprintable() else "?" for x in line)


def deliver_text(count: int, name: str = "deliver") -> str:
    """Return a function that writes values to the first rows of `out`."""
    lines = [f"    put(out, {q}, b, values[{q}])" for q in range(count)] or ["    pass"]
    return f"def {name}(out, b, values):\n" + "\n".join(lines) + "\n"
