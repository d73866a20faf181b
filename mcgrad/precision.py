"""How many digits survive: rounding errors of what estimators subtract, against the spread of what is left.

A baseline, a critic or a control variate is subtracted from something of about its size. In an unstable loop both grow like
the return, and their difference does not: at some horizon it is made of rounding errors, with a variance of its own and a
tight error bar. So a few trajectories are run again with every number that an estimator subtracts (its data: coefficients
of baselines and critics) moved by a relative 2^-20, each up or down at random. Gradients are all but linear in these
numbers: what they move by, times 2^-32, is what one rounding error of 2^-52 in each does to them.

Of single precision, in which so small a move would be lost, the same is seen in double precision, with its rounding error.

What is not seen: differences between rollouts (evolution strategies), and between an action and its mean in a critic.
"""

import dataclasses
import warnings

import numpy as np
from numpy.typing import NDArray

from . import validate
from .compiler.backends import PRECISIONS
from .kernels.program import Program
from .run import Run

SIZE = 2.0**-20  # of the move: large against rounding, small against everything else
TRAJECTORIES = 64
ROUNDING = {"double": 2.0**-52, "single": 2.0**-23}
WORST = 0.01  # of a standard deviation may be one rounding error; sums of many terms make several


class PrecisionWarning(UserWarning):
    """Too few digits are left for a figure to mean what it says."""


def checked_precision(precision: object, machine: str) -> str:
    """Return a precision that a machine has."""
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {validate.describe(precision)}")
    if precision == "single" and machine == "scalar":
        raise ValueError("precision: expected 'double' on the scalar machine, got 'single'")
    return precision


def moved(program: Program) -> Program | None:
    """Return a program whose estimators have their data moved by a relative 2^-20, or None if they have none."""
    constants, first, last = program.data
    if not constants and first == last:
        return None
    rng = np.random.default_rng(0)
    c, rows = program.c.copy(), program.rows.copy()
    for x in (c[:constants], rows[:, first:last]):
        x *= 1.0 + SIZE * rng.choice([-1.0, 1.0], x.shape)
    return dataclasses.replace(program, c=c, rows=rows)


def rounding(program: Program, run: Run, first: int, count: int) -> NDArray[np.float64]:
    """Return, for each estimator, a rounding error of its gradient in standard deviations: of the worst parameter.

    Parameters
    ----------
    program : Program
    run : Run
    first, count : int
        Trajectories; the first few of them are run.
    """
    E = len(program.names)
    other = moved(program)
    count = min(count, max(TRAJECTORIES // run.unit, 2) * run.unit)
    if other is None or count < 2 * run.unit:
        return np.zeros(E)
    error = ROUNDING[program.kernel.precision]
    both = [dataclasses.replace(p, kernel=dataclasses.replace(p.kernel, precision="double")) for p in (program, other)]
    gradients, others = (run.few_samples(p, first, count) for p in both)
    with np.errstate(all="ignore"):
        finite = np.isfinite(gradients) & np.isfinite(others)
        gradients, others = (np.where(finite, x, np.nan) for x in (gradients, others))
        number = np.maximum(finite.sum(axis=1), 1)
        moves = np.sqrt(np.nansum((others - gradients) ** 2, axis=1) / number) / SIZE
        center = np.nansum(gradients, axis=1) / number
        spread = np.sqrt(np.nansum((gradients - center[:, None]) ** 2, axis=1) / number)
        # A spread of zero, or of rounding alone, is no loss: it is measured against the gradient, too.
        sizes = moves * error / np.maximum(spread, 2.0**-40 * np.abs(center))
    return np.nan_to_num(sizes, nan=0.0, posinf=0.0).reshape(E, -1).max(axis=1)


def warn_of_rounding(sizes: dict[str, float], stacklevel: int) -> None:
    """Warn of estimators, {name: rounding error in standard deviations}, whose figures are made of rounding errors."""
    for name, size in sizes.items():
        if size > WORST:
            warnings.warn(
                f"{name}: too few digits are left. What it subtracts (a baseline, a critic, a control variate) is so much "
                f"larger than what remains that one rounding error makes {size:.1g} standard deviations: its mean and "
                "variance are not to be trusted, nor are their error bars. Shorten the horizon, or take an estimator that "
                "subtracts nothing",
                PrecisionWarning,
                stacklevel=stacklevel,
            )
