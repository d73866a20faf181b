"""The kernel that draws the points of others: noise that many runs of one kernel have in common, drawn once for all of them.

What a kernel reads (`draws.Given`) has the bits of what it would have drawn itself (`draws.Random`): the texts of noise are
the same, and a value that comes from a function is rounded, see `backends`.
"""

import dataclasses
import functools

import numpy as np

from ..compiler.backends import KernelText
from .draws import MEMBER, Given, Kinds, Random, first_row
from .loops import kernel_text
from .program import Program, deliver_text


def points_program(program: Program) -> Program:
    """Return the program whose outputs are the points that a program with `Given` noise reads."""
    draws = program.draws
    assert isinstance(draws, Given)
    random = Random(draws.of_start, draws.of_step, draws.parameters)
    kernel = _kernel(draws.of_start, draws.of_step, draws.parameters if draws.directions else 0, draws.rows)
    kernel = dataclasses.replace(kernel, precision=program.kernel.precision)
    nothing, streams = np.zeros(0), np.array(draws.streams, dtype=np.float64)
    return Program(kernel, nothing, streams, nothing, np.zeros((0, 0)), draws.horizon, (), random)


@functools.lru_cache(maxsize=256)
def _kernel(of_start: Kinds, of_step: Kinds, parameters: int, rows: int) -> KernelText:
    """Return the kernel that writes the noise of the streams whose numbers are in `p`, then that of a perturbed theta."""
    draws = Random(of_start, of_step, parameters)
    texts, functions = draws.texts(parameters > 0)
    first = first_row("k", of_start, of_step)
    lines = [
        "for k in range(len(p)):",
        f"    {MEMBER} = int(p[k])",
        f"    deliver_start(out[{first} :], b, {draws.start(MEMBER)})",
        "    for t in range(horizon):",
        f"        deliver_step(out[{first} + {len(of_start)} + t * {len(of_step)} :], b, {draws.step(MEMBER)})",
    ]
    counts = {"deliver_start": len(of_start), "deliver_step": len(of_step)}
    if parameters:
        lines.append(f"deliver_theta(out[{first_row('len(p)', of_start, of_step)} :], b, {draws.direction()})")
        counts["deliver_theta"] = parameters
    texts += [deliver_text(count, name) for name, count in counts.items()]
    functions += [(name, 3, None) for name in counts]
    text = "\n\n".join([*texts, kernel_text("the noise", lines)])
    return KernelText(text, tuple(functions), 0, rows, "common noise")
