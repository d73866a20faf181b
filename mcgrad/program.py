"""From a problem and its estimators to one kernel text and the numbers that it reads.

    start, forward                the trajectory: s_0, then one step from (s, noise)
    last, backward, finish        all estimators at once, newest step first
    noise_start, noise_step       standard normals
    load, store, deliver          memory
    kernel                        the loops over trajectories and time

Everything but `kernel` is straight-line code traced from plain Python functions (see `compiler.trace`).
"""

import dataclasses

import numpy as np

from .compiler.emit import function_text
from .compiler.machines import KernelText
from .compiler.noise import INITIAL
from .compiler.trace import Graph, Tracer
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
    theta = _checked(problem, theta)
    inputs = Inputs(problem, [e.data(problem, theta) for e in estimators.values()])
    scans = ReverseScan(problem, inputs, list(estimators.values()))
    simulation = _Simulation(problem, inputs, scans.step, scans.kept, scans.known)
    P = len(problem.parameters)
    outputs = P * len(estimators)
    texts = [
        *simulation.texts,
        scans.last_text,
        scans.backward_text,
        scans.finish_text,
        _deliver_text(outputs),
        _GRADIENT_KERNEL,
    ]
    functions = (
        *simulation.functions,
        ("last", 4, scans.size),
        ("backward", 6, scans.size),
        ("finish", 2, outputs),
        ("deliver", 3, None),
    )
    label = f"{problem.environment.name}, {problem.policy.name}: {', '.join(estimators)}"
    header = f'"""{label}\n\n{inputs.legend()}\n"""\n'
    kernel = KernelText(
        header + "\n\n" + "\n\n".join(texts), functions, simulation.workspace, outputs, f"a kernel for {label}"
    )
    return Program(kernel, theta, inputs.p, inputs.c, inputs.rows(problem), problem.horizon, tuple(estimators))


def rollout_program(problem, theta):
    """Return the program that records trajectories: for each time s_t, a_t, r_t, e_t, w_t in this order."""
    theta = _checked(problem, theta)
    inputs = Inputs(problem, [])
    simulation = _Simulation(problem, inputs, inputs.step(Graph()))
    environment, policy = problem.environment, problem.policy
    graph = Graph()
    step = inputs.step(graph, discounted=False)
    record = (*step.s, *step.a, step.reward, *step.e, *step.w)
    n, width = environment.states, len(record)
    names = [f"record{i}" for i in range(width)]
    record_text = function_text("record", inputs.arguments("theta", "p", "row", "s", "z"), graph, record, names)
    graph = Graph()
    end = inputs.end(graph, discounted=False)
    end_text = function_text("record_end", inputs.arguments("p", "row", "s"), graph, (*end.s, number(end.reward)), ())
    texts = [*simulation.texts, record_text, end_text, _deliver_text(width), _deliver_text(n + 1, "deliver_end")]
    functions = (
        *simulation.functions,
        ("record", 5, width),
        ("record_end", 3, n + 1),
        ("deliver", 3, None),
        ("deliver_end", 3, None),
    )
    label = f"{environment.name}, {policy.name}: rollout"
    text = f'"""{label}\n\n{inputs.legend()}\n"""\n\n\n' + "\n\n".join([*texts, _rollout_kernel(width)])
    kernel = KernelText(text, functions, simulation.workspace, width * problem.horizon + n + 1, f"a kernel for {label}")
    return Program(kernel, theta, inputs.p, inputs.c, inputs.rows(problem), problem.horizon, ())


def _checked(problem, theta):
    if not isinstance(problem, Problem):
        raise ValueError(f"problem: expected a Problem, got {describe(problem)}")
    return problem.theta(theta)


# ---- the loops -------------------------------------------------------------------------------------------------

_GRADIENT_KERNEL = f'''
def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, work, out, stop):
    """Write the gradients of blocks * width trajectories from number `first` on to the columns of `out`."""
    for b in range(blocks):
        if stop[0] != 0:
            break
        i = position(first, b, width)
        s = start(p, noise_start(seed, i, {INITIAL}))
        for t in range(horizon):
            z = noise_step(seed, i, t)
            x = forward(theta, p, s, z)
            store(work[t], s, z, x)
            s = next_state(x)
        carry = last(p, c, rows[horizon], s)
        for t in range(horizon - 1, -1, -1):
            carry = backward(theta, p, c, rows[t], load(work[t]), carry)
        deliver(out, b, finish(c, carry))
'''


def _rollout_kernel(width):
    return f'''
def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, work, out, stop):
    """Write the trajectories of blocks * width trajectories from number `first` on to the columns of `out`."""
    for b in range(blocks):
        if stop[0] != 0:
            break
        i = position(first, b, width)
        s = start(p, noise_start(seed, i, {INITIAL}))
        for t in range(horizon):
            z = noise_step(seed, i, t)
            deliver(out[t * {width} :], b, record(theta, p, rows[t], s, z))
            s = next_state(forward(theta, p, s, z))
        deliver_end(out[horizon * {width} :], b, record_end(p, rows[horizon], s))
'''


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


class _Simulation:
    """The texts that draw noise, simulate, and keep of (s, e, w) and of what `forward` computes what is needed later.

    Parameters
    ----------
    step : Step
    kept : sequence of str
        Names among (s, e, w) that go to the workspace at each step.
    known : sequence of int
        Nodes of the step's graph whose values go there, too.
    """

    def __init__(self, problem, inputs, step, kept=(), known=()):
        environment, policy = problem.environment, problem.policy
        graph = Graph()
        z = inputs.many(graph, inputs.z0_names)
        what = f"init of {environment.name}"
        s = tuple(map(number, call(what, environment.init, (inputs.environment(graph), z), environment.states)))
        n, noises = environment.states, policy.noises + environment.noises
        names = [f"s{i}" for i in range(n)]
        start = function_text("start", inputs.arguments("p", "z_start"), graph, s, names)
        results = (*step.s_next, *(Tracer(step.graph, index) for index in known))
        names = [f"s{i}_next" for i in range(n)] + [f"known{k}" for k in range(len(known))]
        forward = function_text("forward", inputs.arguments("theta", "p", "s", "z"), step.graph, results, names)
        self.workspace = len(kept) + len(known)
        self.texts = [
            _noise_text("noise_start", environment.initial_noises),
            _noise_text("noise_step", noises),
            start,
            forward,
            f"def next_state(x):\n    return ({' '.join(f'x[{i}],' for i in range(n))})\n",
            _store_text(inputs, kept, n, len(known)),
            _load_text(self.workspace),
        ]
        self.functions = [
            ("noise_start", 3, environment.initial_noises),
            ("noise_step", 3, noises),
            ("start", 2, n),
            ("forward", 4, len(results)),
            ("next_state", 1, n),
            ("store", 4, None),
            ("load", 1, self.workspace),
        ]


def _store_text(inputs, kept, n, known):
    at = {x: f"s[{i}]" for i, x in enumerate(inputs.s_names)}
    at |= {x: f"z[{i}]" for i, x in enumerate(inputs.e_names + inputs.w_names)}
    values = [at[x] for x in kept] + [f"x[{n + k}]" for k in range(known)]
    lines = [f"    give(row, {k}, {value})" for k, value in enumerate(values)] or ["    pass"]
    return "def store(row, s, z, x):\n" + "\n".join(lines) + "\n"


def _load_text(count):
    values = " ".join(f"take(row, {k})," for k in range(count))
    return f"def load(row):\n    return ({values})\n"
