"""What a sample costs: nanoseconds of one thread, measured, for each estimator alone and for all of them together."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate
from .compiler import backends
from .estimators.estimator import Estimator, rollouts
from .kernels.program import Program, checked, gradient_program
from .pilots import fitted
from .precompile import compile_ahead
from .prepare import prepare
from .problem import Problem
from .run import default_chunk, own_memory, run_kernel

REPEATS = 9


@dataclasses.dataclass(frozen=True, repr=False)
class Cost:
    """CPU time of one sample (all its rollouts) on one thread, without compilation, moments and fits.

    Attributes
    ----------
    nanoseconds : dict
        Name -> median over repeats, each estimator alone in its kernel.
    spread : dict
        Name -> half the distance between the quartiles of the repeats, in ns: how far to trust the median.
    rollouts : dict
        Name -> rollouts that one sample takes.
    together, together_spread : float
        The same for one sample of every estimator from one kernel, which simulates what they share once.
    """

    nanoseconds: Mapping[str, float]
    spread: Mapping[str, float]
    rollouts: Mapping[str, int]
    together: float
    together_spread: float

    def __getitem__(self, name: str) -> Any:
        return self.nanoseconds[name]

    def __str__(self) -> str:
        wide = max(map(len, [*self.nanoseconds, "together"]))
        lines = [f"{'':<{wide}}  ns per sample   rollouts"]
        for name, ns in self.nanoseconds.items():
            lines.append(f"{name:<{wide}}  {ns:9.4g} +- {self.spread[name]:<8.2g}{self.rollouts[name]:>4}")
        return "\n".join([*lines, f"{'together':<{wide}}  {self.together:9.4g} +- {self.together_spread:.2g}"])

    __repr__ = __str__  # a table is what one wants to see at a prompt

    def table(self) -> Any:
        """Return a pandas DataFrame: a row for each estimator, and one for all of them together."""
        import pandas

        rows = [
            {"estimator": name, "nanoseconds": ns, "spread": self.spread[name], "rollouts": self.rollouts[name]}
            for name, ns in self.nanoseconds.items()
        ]
        together = {"estimator": "together", "nanoseconds": self.together, "spread": self.together_spread}
        return pandas.DataFrame([*rows, together]).astype({"rollouts": "Int64"})  # of all together there is no number

    def _repr_html_(self) -> str:
        html: str = self.table()._repr_html_()
        return html


def cost(
    problem: Problem,
    theta: ArrayLike,
    estimators: dict[str, Estimator],
    seconds: float = 0.1,
    *,
    seed: int = 0,
    machine: str = "simd",
) -> Cost:
    """Return what a sample of each estimator costs, alone and all together.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict
        Name -> estimator. Coefficients that are still to be fitted cost what any others would.
    seconds : float
        How long each is timed, in repeats that take turns: what disturbs one disturbs all.
    seed : int
        Of the trajectories that are simulated while the clock runs.
    machine : str
        "simd", "scalar" or "numpy", as for `measure`.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        For an argument out of its range, named; and where an estimator does not exist for the problem.
    """
    estimators = prepare(estimators)
    theta, seconds = checked(problem, theta), validate.number("seconds", seconds, above=0.0)
    seed = validate.integer("seed", seed, 0, 2**64 - 1)
    # Coefficients of a hasty fit: what they are makes no difference to the clock.
    ready = fitted(problem, theta, estimators, 64)
    programs = [gradient_program(problem, theta, x) for x in (*({name: e} for name, e in ready.items()), ready)]
    compile_ahead([p.kernel for p in programs], machine=machine)
    times = timed(programs, seconds, seed, machine)
    medians, spreads = (dict(zip(estimators, x, strict=False)) for x in zip(*times, strict=True))
    number = {name: rollouts(e, problem) for name, e in estimators.items()}
    return Cost(medians, spreads, number, *times[-1])


def timed(
    programs: Sequence[Program], seconds: float, seed: int = 0, machine: str = "simd"
) -> list[tuple[float, float]]:
    """Return (median, half the distance of the quartiles) of the ns per sample of each program, run in turns."""
    for program in programs:
        backends.compiled(program.kernel, machine)
    runs = [_Run(program, seconds / REPEATS, seed, machine) for program in programs]
    found = np.array([[run.once() for run in runs] for _ in range(REPEATS)])
    low, median, high = np.percentile(found, [25, 50, 75], axis=0)
    return [(float(m), float(h - low) / 2) for low, m, h in zip(low, median, high, strict=True)]


class _Run:
    """Calls of a kernel that together take about so many seconds."""

    def __init__(self, program: Program, seconds: float, seed: int, machine: str) -> None:
        self.call = lambda first, count: run_kernel(program, seed, first, count, machine)
        self.memory: dict[str, NDArray[np.float64]] = {}  # of its own: the others' have other shapes
        self.count, self.calls = 16, 1
        most = default_chunk(program.kernel.outputs)
        with own_memory(self.memory):
            self.call(0, self.count)
        while (taken := self._seconds()) < seconds / 4 and self.count < most:
            self.count = min(self.count * 2 ** max(int(math.log2(seconds / (2 * taken))), 1), most)
            with own_memory(self.memory):
                self.call(0, self.count)  # memory of this shape
        self.calls = max(round(seconds / taken), 1)

    def _seconds(self) -> float:
        with own_memory(self.memory):
            began = time.thread_time()
            for k in range(self.calls):
                self.call(k * self.count, self.count)
            return max(time.thread_time() - began, 1e-9)

    def once(self) -> float:
        """Return nanoseconds per sample."""
        return 1e9 * self._seconds() / (self.calls * self.count)
