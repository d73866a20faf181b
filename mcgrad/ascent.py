"""What became of stochastic gradient ascent: iterates of many seeds, beside the objective; see `mcgrad.ascend`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import archive, validate
from .printing import counted, outline

if TYPE_CHECKING:
    import pandas

WHAT = "an ascent"  # what a file says that it is


@dataclasses.dataclass(frozen=True, eq=False)
class Ascent:
    """What became of S seeds, at K recorded steps.

    Attributes
    ----------
    parameters : tuple of str
        Names of the P components of theta.
    seeds : (S,) array
    steps : (K,) array
        Numbers of the recorded iterates: 0 is the start, k the iterate after k steps.
    rollouts : (K,) array
        Trajectories that each seed had simulated by then, with all rollouts of a sample and the pilots of fitted baselines.
    theta : (S, K, P) array
        The iterates; nan from the first one on that is not finite (the seed is lost).
    objective : (S, K) array
        J there: exact, or the mean of `judged` returns; -inf for a lost seed and where J overflows; nan where nobody knows.
    objective_stderr : (S, K) array
        Its standard error: 0 where it is exact. Errors are common to all iterates, which are judged on the same noise.
    lost : (S,) array of int
        The step at which the iterate of a seed was no longer finite; -1 for those that never were.
    optimum : float
        The largest J of any theta where it is known (of a linear-quadratic problem, that of the best constant gain), else nan.
    seconds : float
        Wall time of all seeds together, without the compiler and without the objective.
    method : str
        Estimator, batch and optimizer, in words.
    """

    parameters: tuple[str, ...]
    seeds: NDArray[np.uint64]
    steps: NDArray[np.int64]
    rollouts: NDArray[np.int64]
    theta: NDArray[np.float64]
    objective: NDArray[np.float64]
    objective_stderr: NDArray[np.float64]
    lost: NDArray[np.int64]
    optimum: float
    seconds: float
    method: str

    def __repr__(self) -> str:
        S, K, P = self.theta.shape
        title = f"Ascent: {counted(S, 'seed')}, {counted(int(self.steps[-1]), 'step')}, {counted(P, 'parameter')}"
        things = {"method": self.method, "rollouts a seed": f"{self.rollouts[-1]:,}"}
        first, last = (f"{np.median(self.objective[:, k]):.6g}" for k in (0, -1))
        things["J, median over seeds"] = f"{first} at the start, {last} after step {self.steps[-1]}"
        if np.isfinite(self.optimum):
            things["J at the optimum"] = f"{self.optimum:.6g}"
        if self.nonfinite:
            things["lost seeds"] = f"{self.nonfinite}"
        return outline(title, things)

    @property
    def nonfinite(self) -> int:
        """Number of seeds that were lost."""
        return int((self.lost >= 0).sum())

    def gap(self, optimum: float | None = None) -> NDArray[np.float64]:
        """Return J* - J, (S, K); infinite for lost seeds.

        Parameters
        ----------
        optimum : float, optional
            J*, where the record does not know it.

        Raises
        ------
        ValueError
            For an optimum that is no finite number.
        """
        best = self.optimum if optimum is None else validate.number("optimum", optimum)
        return best - self.objective

    def quantiles(self, levels: Sequence[float] = (0.1, 0.5, 0.9), optimum: float | None = None) -> NDArray[np.float64]:
        """Return the quantiles of J* - J over the seeds at each recorded step, (levels, K).

        They are those of the sorted sample, not interpolated, so that a lost seed counts as the worst of all; nan where J is
        not known.

        Parameters
        ----------
        levels : sequence of float
            From 0 to 1.
        optimum : float, optional
            As of `gap`.

        Raises
        ------
        ValueError
            For levels out of their range.
        """
        levels = validate.array("levels", levels, (None,))
        if levels.size and not (levels.min() >= 0.0 and levels.max() <= 1.0):
            raise ValueError(f"levels: expected numbers from 0 to 1, got {levels.tolist()}")
        gaps = np.sort(self.gap(optimum), axis=0)
        return gaps[np.rint(levels * (len(gaps) - 1)).astype(int)]

    def table(self) -> pandas.DataFrame:
        """Return a tidy pandas DataFrame, a row for each seed and recorded step, a column for each parameter."""
        import pandas  # heavy

        S, K = self.objective.shape
        columns = {
            "seed": np.repeat(self.seeds, K),
            "step": np.tile(self.steps, S),
            "rollouts": np.tile(self.rollouts, S),
            "objective": self.objective.ravel(),
            "objective_stderr": self.objective_stderr.ravel(),
            "gap": self.gap().ravel(),
        }
        columns |= {name: self.theta[:, :, p].ravel() for p, name in enumerate(self.parameters)}
        return pandas.DataFrame(columns)

    def save(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write everything to one .npz file, which `load` reads, with the same bits; return its path.

        Parameters
        ----------
        path : str or Path
            ".npz" is added where it is missing.

        Raises
        ------
        OSError
            If the file cannot be written; what stood there before is left as it was.
        """
        arrays = {
            f.name: np.asarray(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name not in ("parameters", "method")
        }
        return archive.save(path, {"what": WHAT, "parameters": self.parameters, "method": self.method}, arrays)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Ascent:
        """Return the `Ascent` that `save` has written.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            For a file that holds something else; FileNotFoundError for none.

        Examples
        --------
        >>> import mcgrad as mg
        >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
        >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
        >>> import pathlib, tempfile
        >>> path = mg.estimators.reparameterization()
        >>> climbed = mg.ascend(problem, [0.0], path, batch=16, steps=20, optimizer=mg.optimizers.sgd(0.01), seeds=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mg.Ascent.load(climbed.save(pathlib.Path(folder) / "climbed"))
        >>> bool((again.theta == climbed.theta).all())
        True
        """
        words, arrays = archive.load(path, WHAT)
        optimum, seconds = (float(arrays.pop(name)) for name in ("optimum", "seconds"))
        parameters, method = tuple(words["parameters"]), words["method"]
        return cls(parameters=parameters, method=method, optimum=optimum, seconds=seconds, **arrays)
