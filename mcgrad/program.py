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

import numpy as np

from .branches import Branches
from .compiler.emit import function_text
from .compiler.machines import KernelText
from .compiler.noise import INITIAL, PARAMETERS
from .compiler.trace import Graph, TraceError, Tracer
from .estimators.estimator import PLAIN, Estimator, Together, scans
from .inputs import Inputs
from .problem import Problem
from .reverse_scan import ReverseScan
from .scan import call, number
from .validate import describe


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
    """

    kernel: KernelText
    theta: np.ndarray
    p: np.ndarray
    c: np.ndarray
    rows: np.ndarray
    horizon: int
    names: tuple


def gradient_program(problem, theta, estimators):
    """Return the program that samples the gradients of named estimators on common noise."""
    theta = checked(problem, theta)
    inputs = Inputs(problem, [e.data(problem, theta) for e in estimators.values()])
    rollouts = _rollouts(problem, inputs, estimators)
    graph = Graph()
    gradients = _combined(problem, inputs, estimators, rollouts, graph)
    perturbations = [_Perturbation(inputs, variation, k) for k, variation in enumerate(rollouts) if variation.shift]
    texts, functions = _common_texts(problem, inputs, perturbations)
    workspace, lines = 0, []
    for k, (variation, (scan, _)) in enumerate(rollouts.items()):
        scan.write(graph, gradients)
        simulation = _Simulation(inputs, scan.step, scan.kept, scan.known, scan.suffix)
        texts += [*simulation.texts, *scan.texts]
        functions += [*simulation.functions, *scan.functions]
        workspace = max(workspace, simulation.workspace)
        branches = [Branches(problem, inputs, kind, scan.kept) for kind in scan.branches]
        if branches and variation != PLAIN:
            raise ValueError("measure-valued derivatives of antithetic or perturbed rollouts are not supported")
        texts += [text for x in branches for text in x.texts]
        functions += [function for x in branches for function in x.functions]
        lines += _rollout_lines(problem, inputs, variation, k, scan.suffix, branches, texts, functions)
    carries = {f"carry{scan.suffix}": scan.names for scan, _ in rollouts.values()}
    arguments = inputs.arguments("c") | carries
    if perturbations:
        arguments["z_theta"] = inputs.direction_names
        lines.insert(0, f"z_theta = noise_theta(seed, i, {PARAMETERS})")
    texts.append(function_text("finish", arguments, graph, gradients))
    functions.append(("finish", len(arguments), len(gradients)))
    texts.append(_deliver_text(len(gradients)))
    functions.append(("deliver", 3, None))
    lines.append(f"deliver(out, b, finish({', '.join(arguments)}))")
    kinds = ", ".join(dict.fromkeys(type(e).__name__ for e in estimators.values()))
    label = _label(problem, kinds)
    text = _module_text(label, inputs, [*texts, _kernel_text("the gradients", lines)])
    kernel = KernelText(text, tuple(functions), workspace, len(gradients), f"a kernel for {label}")
    return Program(kernel, theta, inputs.p, inputs.c, inputs.rows(problem), problem.horizon, tuple(estimators))


def _rollouts(problem, inputs, estimators):
    """Return {variation: (ReverseScan, numbers of its estimators)}; the numbers count all scans of all estimators."""
    grouped = {}
    number_of_scan = 0
    for e in estimators.values():
        if not isinstance(e, Estimator):
            raise ValueError(f"estimators: expected estimators, got {describe(e)}")
        for scan, variation in scans(e):
            grouped.setdefault(variation, []).append((scan, number_of_scan))
            number_of_scan += 1
    trees = [t for e, tree in zip(estimators.values(), inputs.estimator_c, strict=True) for t in _scan_trees(e, tree)]
    result = {}
    for k, (variation, members) in enumerate(grouped.items()):
        pairs = [(scan, trees[n]) for scan, n in members]
        result[variation] = (ReverseScan(problem, inputs, pairs, f"_v{k}" if k else ""), [n for _, n in members])
    return result


def _scan_trees(estimator, tree):
    """Return the data of each scan of an estimator, in the order of `scans`."""
    if not isinstance(estimator, Together):
        return [tree]
    return [t for i, part in enumerate(estimator.parts) for t in _scan_trees(part, tree[f"part{i}"])]


def _combined(problem, inputs, estimators, rollouts, graph):
    """Return the P components of each estimator, one after the other, traced in the graph of `finish`."""
    finished = {}
    for scan, members in rollouts.values():
        finished |= dict(zip(members, scan.finish(graph), strict=True))
    results = iter([finished[n] for n in sorted(finished)])

    def direction(kind):
        normal = inputs.many(graph, inputs.direction_names)
        return inputs.perturbation(kind, normal)

    def value(e, tree):
        if not isinstance(e, Together):
            return next(results)
        parts = [value(part, tree[f"part{i}"]) for i, part in enumerate(e.parts)]
        return e.combine(inputs.data(graph, tree, per_step=False), parts, direction)

    P = len(problem.parameters)
    gradients = []
    for e, tree in zip(estimators.values(), inputs.estimator_c, strict=True):
        gradient = value(e, tree)
        if len(gradient) != P:
            raise TraceError(
                f"finish of {type(e).__name__}: expected {P} numbers, one for each parameter, got {len(gradient)}"
            )
        gradients += map(number, gradient)
    return gradients


def rollout_program(problem, theta):
    """Return the program that records trajectories: for each time s_t, a_t, r_t, e_t, w_t; then s_T, r_T and z."""
    theta = checked(problem, theta)
    inputs = Inputs(problem, [])
    simulation = _Simulation(inputs, inputs.step(Graph()))
    graph = Graph()
    step = inputs.step(graph, discounted=False)
    record = (*step.s, *step.a, step.reward, *step.e, *step.w)
    arguments = inputs.arguments("theta", "p", "row", "s", "z")
    record_text = function_text("record", arguments, graph, record, [f"record{k}" for k in range(len(record))])
    graph = Graph()
    end = inputs.end(graph, discounted=False)
    ending = (*end.s, number(end.reward), *inputs.many(graph, inputs.z0_names))
    end_text = function_text("record_end", inputs.arguments("p", "row", "s", "z_start"), graph, ending)
    texts, functions = _common_texts(problem, inputs, [])
    texts += [
        *simulation.texts,
        record_text,
        end_text,
        _deliver_text(len(record)),
        _deliver_text(len(ending), "deliver_end"),
    ]
    functions += [
        *simulation.functions,
        ("record", 5, len(record)),
        ("record_end", 4, len(ending)),
        ("deliver", 3, None),
        ("deliver_end", 3, None),
    ]
    lines = [
        f"z_start = noise_start(seed, i, {INITIAL})",
        "s = start(p, z_start)",
        "for t in range(horizon):",
        "    z = noise_step(seed, i, t)",
        f"    deliver(out[t * {len(record)} :], b, record(theta, p, rows[t], s, z))",
        "    s = next_state(forward(theta, p, s, z))",
        f"deliver_end(out[horizon * {len(record)} :], b, record_end(p, rows[horizon], s, z_start))",
    ]
    label = _label(problem, "rollout")
    text = _module_text(label, inputs, [*texts, _kernel_text("states, actions, rewards and noise", lines)])
    outputs = len(record) * problem.horizon + len(ending)
    kernel = KernelText(text, tuple(functions), simulation.workspace, outputs, f"a kernel for {label}")
    return Program(kernel, theta, inputs.p, inputs.c, inputs.rows(problem), problem.horizon, ())


def checked(problem, theta):
    """Return theta as an array for a problem, both checked."""
    if not isinstance(problem, Problem):
        raise ValueError(f"problem: expected a Problem, got {describe(problem)}")
    return problem.theta(theta)


# ---- the loops -------------------------------------------------------------------------------------------------


def _kernel_text(what, lines):
    """Return the function of loops around the lines that belong to one block of trajectories."""
    body = "\n".join(" " * 8 + line for line in lines)
    return f'''
def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, work, out, stop):
    """Write {what} of blocks * width trajectories from number `first` on to the columns of `out`."""
    for b in range(blocks):
        if stop[0] != 0:
            break
        i = position(first, b, width)
{body}
'''


def _rollout_lines(problem, inputs, variation, k, suffix, branches, texts, functions):
    """Return the lines that simulate one variation and scan it backwards; what they call is added to the texts."""
    stream = f"stream(i, {variation.stream})" if variation.stream else "i"
    start, step = f"noise_start(seed, {stream}, {INITIAL})", f"noise_step(seed, {stream}, t)"
    environment, policy = problem.environment, problem.policy
    if variation.initial < 0:
        start = f"flip_start{suffix}({start})"
        signs = [-1] * environment.initial_noises
        texts.append(_flip_text(f"flip_start{suffix}", signs))
        functions.append((f"flip_start{suffix}", 1, len(signs)))
    if variation.action < 0 or variation.process < 0:
        step = f"flip_step{suffix}({step})"
        signs = [variation.action] * policy.noises + [variation.process] * environment.noises
        texts.append(_flip_text(f"flip_step{suffix}", signs))
        functions.append((f"flip_step{suffix}", 1, len(signs)))
    theta = "theta"
    lines = []
    differences = [f"carry{suffix}", *(f"{x.name}_difference" for x in branches)]
    if variation.shift:
        theta = f"theta{suffix or '_v0'}"
        lines.append(f"{theta} = perturb_{k}(theta, c, z_theta)")
    return lines + [
        f"s = start(p, {start})",
        "for t in range(horizon):",
        f"    z = {step}",
        f"    x = forward{suffix}({theta}, p, s, z)",
        f"    store{suffix}(work[t], s, z, x)",
        f"    s = next_state{suffix}(x)",
        f"carry{suffix} = last{suffix}(p, c, rows[horizon], s)",
        "for t in range(horizon - 1, -1, -1):",
        f"    kept = load{suffix}(work[t])",
        *(f"    {line}" for x in branches for line in x.lines()),
        f"    carry{suffix} = backward{suffix}({', '.join([theta, 'p', 'c', 'rows[t]', 'kept', *differences])})",
    ]


def _flip_text(name, signs):
    values = " ".join(f"{'-' if sign < 0 else ''}z[{k}]," for k, sign in enumerate(signs))
    return f"def {name}(z):\n    return ({values})\n"


def _module_text(label, inputs, texts):
    header = "\n".join(f"# {line}" for line in [label, *inputs.legend().splitlines()])
    return header + "\n\n\n" + "\n\n".join(texts)


def _label(problem, what):
    """Return a name for a kernel that fits on one line of a comment, whatever users call their things."""
    return " ".join(f"{problem.environment.name}, {problem.policy.name}: {what}".split())


def _deliver_text(count, name="deliver"):
    lines = [f"    put(out, {q}, b, values[{q}])" for q in range(count)]
    return f"def {name}(out, b, values):\n" + "\n".join(lines) + "\n"


def _noise_text(name, count):
    if not count:
        return f"def {name}(seed, i, t):\n    return ()\n"
    lines = [f"    z{2 * k}, z{2 * k + 1} = normal_pair(seed, i, t, {k})" for k in range((count + 1) // 2)]
    names = ", ".join(f"z{k}" for k in range(count))
    return f"def {name}(seed, i, t):\n" + "\n".join(lines) + f"\n    return ({names},)\n"


# ---- the trajectory --------------------------------------------------------------------------------------------


def _common_texts(problem, inputs, perturbations):
    """Return the texts and the functions that all rollouts of a kernel share: noise, s_0, perturbations of theta."""
    environment, policy = problem.environment, problem.policy
    graph = Graph()
    z = inputs.many(graph, inputs.z0_names)
    what = f"init of {environment.name}"
    s = tuple(map(number, call(what, environment.init, (inputs.environment(graph), z), environment.states)))
    start = function_text("start", inputs.arguments("p", "z_start"), graph, s, inputs.s_names)
    noises = policy.noises + environment.noises
    texts = [_noise_text("noise_start", environment.initial_noises), _noise_text("noise_step", noises), start]
    functions = [
        ("noise_start", 3, environment.initial_noises),
        ("noise_step", 3, noises),
        ("start", 2, environment.states),
    ]
    if perturbations:
        P = len(problem.parameters)
        texts += [_noise_text("noise_theta", P), *(x.text for x in perturbations)]
        functions += [("noise_theta", 3, P), *((x.name, 3, P) for x in perturbations)]
    return texts, functions


class _Perturbation:
    """The text that moves theta along the direction of a variation."""

    def __init__(self, inputs, variation, k):
        self.name = f"perturb_{k}"
        graph = Graph()
        theta = inputs.many(graph, inputs.theta_names)
        direction = inputs.perturbation(variation.direction, inputs.many(graph, inputs.direction_names))
        step = variation.shift * graph.input(inputs.width(variation.width))
        moved = [x + step * d for x, d in zip(theta, direction, strict=True)]
        arguments = inputs.arguments("theta", "c") | {"z_theta": inputs.direction_names}
        self.text = function_text(self.name, arguments, graph, moved)


class _Simulation:
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

    def __init__(self, inputs, step, kept=(), known=(), suffix=""):
        n = len(step.s)
        results = (*step.s_next, *(Tracer(step.graph, index) for index in known))
        names = [f"s{i}_next" for i in range(n)] + [f"known{k}" for k in range(len(known))]
        arguments = inputs.arguments("theta", "p", "s", "z")
        self.workspace = len(kept) + len(known)
        next_state = f"def next_state{suffix}(x):\n    return ({' '.join(f'x[{i}],' for i in range(n))})\n"
        self.texts = [
            function_text(f"forward{suffix}", arguments, step.graph, results, names),
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


def _store_text(name, inputs, kept, n, known):
    at = {x: f"s[{i}]" for i, x in enumerate(inputs.s_names)}
    at |= {x: f"z[{i}]" for i, x in enumerate(inputs.e_names + inputs.w_names)}
    values = [at[x] for x in kept] + [f"x[{n + k}]" for k in range(known)]
    lines = [f"    give(row, {k}, {value})" for k, value in enumerate(values)] or ["    pass"]
    return f"def {name}(row, s, z, x):\n" + "\n".join(lines) + "\n"


def _load_text(name, count):
    values = " ".join(f"take(row, {k})," for k in range(count))
    return f"def {name}(row):\n    return ({values})\n"
