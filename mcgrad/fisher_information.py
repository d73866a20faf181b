"""The Fisher matrix of a trajectory by Monte Carlo, every entry with its standard error."""

from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate
from .estimators.estimator import Estimator
from .estimators.natural import ScoreSquare
from .kernels.program import checked
from .measurement import measure
from .printing import counted
from .problem import Problem


class Fisher(NamedTuple):
    """E[Z Z^T] with standard errors, (P, P) both, from so many trajectories, of parameters with names."""

    mean: NDArray[np.float64]
    stderr: NDArray[np.float64]
    count: int  # type: ignore[assignment]  # what a tuple has by that name is not wanted
    parameters: tuple[str, ...] = ()

    def table(self) -> Any:
        """Return a tidy pandas DataFrame, a row for each pair of parameters."""
        import pandas

        P = len(self.mean)
        names = np.array(self.parameters or range(P))
        columns = {"parameter": np.repeat(names, P), "with": np.tile(names, P)}
        return pandas.DataFrame(columns | {"mean": self.mean.ravel(), "stderr": self.stderr.ravel()})

    def __repr__(self) -> str:
        P = len(self.mean)
        largest = (
            f"largest eigenvalue {np.linalg.eigvalsh(self.mean)[-1]:.4g}, " if np.isfinite(self.mean).all() else ""
        )
        return (
            f"Fisher matrix of {counted(P, 'parameter')} from {counted(self.count, 'trajectory')}: trace "
            f"{np.trace(self.mean):.4g}, {largest}largest standard error {self.stderr.max():.2g}"
        )


def fisher(
    problem: Problem,
    theta: ArrayLike,
    count: int,
    seed: int = 0,
    *,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: Any = None,
    start: int = 0,
    machine: str = "simd",
) -> Fisher:
    """Return the mean and the standard error of Z Z^T, Z = sum_t d log p(a_t | s_t) / dtheta, over `count` trajectories.

    It is the Fisher matrix of the distribution of trajectories under theta: T steps that all count alike, with discounting,
    too. A kernel has P^2 outputs.

    Parameters
    ----------
    problem, theta, count, seed, threads, executor, progress, start, machine
        As for `measure`; no batch.

    Returns
    -------
    Fisher
        With `mean` and `stderr`, (P, P), and `count`.

    Raises
    ------
    ValueError
        As `measure`; and where the policy has no score.
    """
    checked(problem, theta)
    rows: dict[str, Estimator] = {str(p): ScoreSquare(p) for p in range(len(problem.parameters))}
    seed = validate.integer("seed", seed, 0, 2**64 - 1)
    how: dict[str, Any] = {"threads": threads, "executor": executor, "progress": progress, "start": start}
    found = measure(problem, theta, rows, count, seed, machine=machine, **how)
    mean, stderr = (np.array([getattr(found[x], what) for x in rows]) for what in ("mean", "stderr"))
    return Fisher(mean, stderr, found["0"].count, problem.parameters)
