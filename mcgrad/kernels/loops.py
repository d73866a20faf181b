"""The function of a kernel's loops over trajectories and time, as text."""

from collections.abc import Iterable
from typing import NamedTuple

from ..compiler.backends import Function
from ..compiler.noise import PARAMETERS
from ..estimators.estimator import RolloutVariant
from ..problem import Problem
from .draws import MEMBER, Random, flip_text
from .inputs import Inputs
from .reverse_scan import ReverseScan


def kernel_text(what: str, lines: Iterable[str]) -> str:
    """Return the function of loops around the lines that belong to one block of trajectories."""
    body = "\n".join(" " * 8 + line for line in lines)
    return f'''
def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    """Write {what} of blocks * width trajectories from number `first` on to the columns of `out`."""
    for b in range(blocks):
        if stop[0] != 0:
            break
        i = position(first, b, width)
{body}
'''


def scan_lines(
    problem: Problem,
    inputs: Inputs,
    draws: Random,
    variation: RolloutVariant,
    k: int,
    scan: ReverseScan,
    texts: list[str],
    functions: list[Function],
) -> list[str]:
    """Return the lines that simulate one variation and scan it backwards; what they call is added to the texts.

    Where episodes may end, the loops end with the last episode of a block. Steps after the end change nothing, so that a
    trajectory is the same whatever its neighbours do.
    """
    suffix, branching = scan.suffix, scan.branching
    start, step = _noise(problem, draws, variation, suffix, texts, functions)
    texts += branching.texts
    functions += branching.functions
    theta, moved = "theta", _Moved([], [], [])
    if variation.shift:
        theta = f"theta{suffix or '_v0'}"
        moved = _moved(inputs, draws, variation, theta, k)
    forward = [
        *moved.forward,
        f"z = {step}",
        f"x = forward{suffix}({theta}, p, s, z)",
        f"store{suffix}(work[t], s, z, x)",
        *branching.lines("forward", draws),
        f"s = next_state{suffix}(x)",
    ]
    arguments = ", ".join([theta, "p", "c", "rows[t]", "kept", f"carry{suffix}", *scan.extra])
    backward = [
        *moved.backward,
        f"kept = load{suffix}(work[t])",
        *branching.lines("backward", draws),
        *scan.scattered.lines(f"carry{suffix}", f"backward{suffix}({arguments})"),
    ]
    lines = [*moved.first, f"s = start({theta}, p, {start})", *branching.lines("first", draws)]
    if problem.design:  # what the start depends on is needed once more at the end
        lines[len(moved.first)] = f"z_start{suffix} = {start}"
        lines.insert(len(moved.first) + 1, f"s = start({theta}, p, z_start{suffix})")
    # Lone branches of an episode may outlive it.
    ends = problem.environment.done is not None and not branching.lone
    if ends:
        lines += ["t = 0", f"while t < horizon and any_positive(running({theta}, p, s)):"]
        forward.append("t += 1")
    else:
        lines.append("for t in range(horizon):")
    lines += [f"    {line}" for line in forward]
    if ends:
        lines.append("steps = t")
    lines += branching.lines("turning", draws)
    lines += [
        f"carry{suffix} = last{suffix}({theta}, p, c, rows[horizon], s)",
        f"for t in range({'steps' if ends else 'horizon'} - 1, -1, -1):",
    ]
    return lines + [f"    {line}" for line in backward]


def _noise(
    problem: Problem, draws: Random, variation: RolloutVariant, suffix: str, texts: list[str], functions: list[Function]
) -> tuple[str, str]:
    """Return the calls that draw the noise of the start and of a step, mirrored where the variation says so."""
    policy = problem.policy
    stream = MEMBER if variation.members else variation.stream
    start, step = draws.start(stream), draws.step(stream)
    flips = []
    if variation.initial < 0:
        start = f"flip_start{suffix}({start})"
        flips.append((f"flip_start{suffix}", [(-1, kind) for kind in draws.of_start]))
    if variation.action < 0 or variation.process < 0:
        step = f"flip_step{suffix}({step})"
        actions = policy.noises + policy.uniforms
        signs = [variation.action if j < actions else variation.process for j in range(len(draws.of_step))]
        flips.append((f"flip_step{suffix}", list(zip(signs, draws.of_step, strict=True))))
    texts += [flip_text(*x) for x in flips]
    functions += [(name, 1, len(signs)) for name, signs in flips]
    return start, step


class _Moved(NamedTuple):
    """The lines that move theta: before the rollout, and at time t on the ways forward and back."""

    first: list[str]
    forward: list[str]
    backward: list[str]


def _moved(inputs: Inputs, draws: Random, variation: RolloutVariant, theta: str, k: int) -> _Moved:
    if not variation.unroll:
        return _Moved([f"{theta} = perturb_{k}(theta, c, z_theta)"], [], [])
    unroll = inputs.c_index[inputs.constant("unroll", variation.unroll, k)]
    new = [
        f"z_block = noise_theta(seed, i, {PARAMETERS} - t // unroll)",
        f"{theta} = perturb_{k}(theta, c, z_block)",
    ]
    first = [f"unroll = int(c[{unroll}])", *(line.replace(" - t // unroll", "") for line in new)]
    forward = ["if t > 0 and t % unroll == 0:", *(f"    {line}" for line in new)]
    backward = ["if t == horizon - 1 or (t + 1) % unroll == 0:", *(f"    {line}" for line in new)]
    return _Moved(first, forward, backward)
