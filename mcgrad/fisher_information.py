"""The Fisher matrix of a trajectory by Monte Carlo, every entry with its standard error."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .estimators.estimator import Estimator
from .estimators.natural import ScoreSquare
from .kernels.program import checked
from .measurement import measure
from .problem import Problem


class Fisher(NamedTuple):
    """E[Z Z^T] with standard errors, (P, P) both, from so many trajectories."""

    mean: np.ndarray
    stderr: np.ndarray
    count: int  # type: ignore[assignment]  # what a tuple has by that name is not wanted


def fisher(problem: Problem, theta: ArrayLike, count: int, seed: int = 0, **options: Any) -> Fisher:
    """Return the mean and the standard error of Z Z^T, Z = sum_t d log p(a_t | s_t) / dtheta, over `count` trajectories.

    It is the Fisher matrix of the distribution of trajectories under theta: T steps that all count alike, with discounting,
    too. A kernel has P^2 outputs.

    Parameters
    ----------
    problem, theta, count, seed, **options
        As for `measure`.

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
    found = measure(problem, theta, rows, count, seed, **options)
    mean, stderr = (np.array([getattr(found[x], what) for x in rows]) for what in ("mean", "stderr"))
    return Fisher(mean, stderr, found["0"].count)
