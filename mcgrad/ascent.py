"""Learning curves: stochastic gradient ascent with an estimator, many seeds at once, beside the exact objective.

    theta_{k+1} = theta_k + alpha_k g_k,    g_k = mean of `batch` samples of the estimator at theta_k

Step k of a seed uses the trajectories k batch, ..., (k + 1) batch - 1 of that seed: any step can be looked at again, by
`mg.measure(problem, theta_k, {...}, batch, seed, start=k * batch)`. How long the steps are is the optimizer's matter, see
`mcgrad.optimizers`.

Where the objective is a polynomial of degree two in theta, the iterates of plain ascent have closed forms, which the tests hold
against these: with the gradient b - H theta and the variance V(theta) of one sample,

    E theta_{k+1}   = E theta_k + alpha (b - H E theta_k)
    Var theta_{k+1} = (1 - alpha H)^2 Var theta_k + alpha^2 E V(theta_k) / batch

so that near the optimum the loss J(theta*) - E J tends to alpha V / (4 batch), to first order in alpha: that is what a variance
costs a learner at the end. At the beginning it costs steps, by the step size that it allows.
"""

import concurrent.futures
import dataclasses
import functools
import math
import pathlib
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import archive, exact, validate
from .compiler import backends
from .differences import return_kernel
from .estimators.estimator import Estimator, checked, rollouts
from .estimators.fitted import is_unfitted
from .kernels.program import checked as checked_theta
from .kernels.program import gradient_program
from .per_step import PerStep
from .prepare import prepare
from .problem import Problem
from .progress import Progress
from .progress import checked as checked_progress
from .run import END, check_range, run_kernel, thread_count

JUDGE = END + 2**41  # trajectories on which objectives are measured: no one else's

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

    parameters: tuple
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

    @property
    def nonfinite(self) -> int:
        """Number of seeds that were lost."""
        return int((self.lost >= 0).sum())

    def gap(self, optimum: float | None = None) -> NDArray[np.float64]:
        """Return J* - J, (S, K); infinite for lost seeds. `optimum` says what J* is where the record does not know."""
        best = self.optimum if optimum is None else validate.number("optimum", optimum)
        return best - self.objective

    def quantiles(self, levels: Sequence[float] = (0.1, 0.5, 0.9), optimum: float | None = None) -> NDArray[np.float64]:
        """Return the quantiles of J* - J over the seeds at each recorded step, (levels, K).

        They are those of the sorted sample, not interpolated, so that a lost seed counts as the worst of all; nan where J is
        not known.
        """
        levels = validate.array("levels", levels, (None,))
        if levels.size and not (levels.min() >= 0.0 and levels.max() <= 1.0):
            raise ValueError(f"levels: expected numbers from 0 to 1, got {levels.tolist()}")
        gaps = np.sort(self.gap(optimum), axis=0)
        return gaps[np.rint(levels * (len(gaps) - 1)).astype(int)]

    def table(self):
        """Return a tidy pandas DataFrame, a row for each seed and recorded step, a column for each parameter."""
        import pandas

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
        """Write everything to one .npz file, which `load` reads, with the same bits; return its path."""
        arrays = {
            f.name: np.asarray(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name not in ("parameters", "method")
        }
        return archive.save(path, {"what": WHAT, "parameters": self.parameters, "method": self.method}, arrays)


def load(path: str | pathlib.Path) -> Ascent:
    """Return the `Ascent` that `Ascent.save` has written.

    Raises
    ------
    ValueError
        For a file that holds something else.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> import pathlib, tempfile
    >>> from mcgrad.ascent import load
    >>> path = mg.estimators.reparameterization()
    >>> climbed = mg.ascend(problem, [0.0], path, batch=16, steps=20, optimizer=mg.optimizers.sgd(0.01), seeds=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(climbed.save(pathlib.Path(folder) / "climbed"))
    >>> bool((again.theta == climbed.theta).all())
    True
    """
    words, arrays = archive.load(path, WHAT)
    numbers = {name: float(arrays.pop(name)) for name in ("optimum", "seconds")}
    return Ascent(parameters=tuple(words["parameters"]), method=words["method"], **numbers, **arrays)


def ascend(
    problem: Problem,
    theta: ArrayLike,
    estimator: Estimator,
    batch: int,
    steps: int,
    *,
    optimizer: Callable,
    seeds: int | Sequence[int] = 16,
    record: int | Sequence[int] = 50,
    judged: int | None = 0,
    threads: int | None = None,
    progress: Any = None,
    machine: str = "simd",
) -> Ascent:
    """Climb J from theta by stochastic gradient ascent, once for each seed.

    Parameters
    ----------
    problem : Problem
    theta : (P,) or (S, P) array
        Where all seeds start, or each of them.
    estimator : Estimator
        Critics and baselines that are exact are those of the current iterate.
    batch : int
        Samples in a step.
    steps : int
    optimizer : callable
        (theta, gradient, state) -> (theta, state), on (S, P) arrays: one of `mg.optimizers`, or your own.
    seeds : int or sequence of int
        How many (0, 1, 2, ...), or which.
    record : int or sequence of int
        How many iterates are kept and judged, in equal distances with the first and the last; or the numbers of their steps.
    judged : int
        Where J has no closed form: trajectories on which it is measured at each recorded iterate, the same for all. 0: it is
        not known. None: nothing is judged, not even where J is known; that is quicker.
    threads : int, optional
        Seeds are spread over them: as many as there are cores. Results do not depend on it.
    progress : None, bool, callable or tqdm
        As for `measure`; counts trajectories.
    machine : str
        "simd", "scalar" or "numpy", as for `measure`.

    Returns
    -------
    Ascent

    Raises
    ------
    ValueError
        For an argument out of its range, named; for an estimator that does not exist for the problem, or whose coefficients
        are still to be fitted.

    Warns
    -----
    UserWarning
        Of seeds whose iterates are no longer finite.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> found = mg.ascend(problem, [0.0], mg.estimators.reparameterization(), batch=16, steps=200,
    ...                   optimizer=mg.optimizers.sgd(0.01), seeds=8)
    >>> bool(found.quantiles([0.5])[0, -1] < 0.05 < found.quantiles([0.5])[0, 0])
    True
    """
    estimator, batch = checked("estimator", estimator), validate.integer("batch", batch, 1)
    steps = validate.integer("steps", steps, 0)
    judged = None if judged is None else validate.integer("judged", judged, 0)
    if is_unfitted(estimator):
        raise ValueError(
            f"estimator: expected one with fixed coefficients, got a {type(estimator).__name__} whose coefficients are fitted "
            "in each measurement; give it coefficients, or fit them once"
        )
    validate.function("optimizer", optimizer)
    check_range(0, steps * batch)
    seeds = _seeds(seeds)
    at = _recorded(record, steps)
    start = _starts(problem, theta, len(seeds))
    cost = batch * rollouts(estimator, problem) + _pilots(estimator)
    threads = min(thread_count(threads), len(seeds))
    gradients = batch_gradients(problem, start[0], estimator, batch, machine)
    bar = Progress(steps * batch * len(seeds), checked_progress(progress))
    try:
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            spread = functools.partial(_in_parts, gradients, pool, threads) if threads > 1 else gradients
            path, lost, seconds = _climb(spread, optimizer, start, seeds, steps, batch, at, bar)
    finally:
        bar.close()
    objective, stderr = _judged(problem, path, judged, machine)
    if (lost >= 0).any():
        what = f"of {len(seeds)} seeds {(lost >= 0).sum()} were lost, the first after {lost[lost >= 0].min()} steps"
        warnings.warn(f"{what}: their iterates are no longer finite; shorter steps would help", stacklevel=2)
    return Ascent(
        parameters=problem.parameters,
        seeds=seeds,
        steps=at,
        rollouts=at * cost,
        theta=path,
        objective=objective,
        objective_stderr=stderr,
        lost=lost,
        optimum=_optimum(problem, start[0]),
        seconds=seconds,
        method=f"{type(estimator).__name__}, batch {batch}, {optimizer!r}",
    )


def batch_gradients(problem, theta, estimator, batch, machine="simd"):
    """Return the function gradients(thetas (S, P), seeds (S,), first) -> (S, P): mean gradients of batches.

    Row s is the mean over trajectories first, ..., first + batch - 1 of seed s at its theta; one kernel serves them all. nan
    where what the estimator has to know at a theta (an exact critic, say) is beyond all numbers there.
    """
    estimator = prepare({"g": estimator})["g"]
    program = gradient_program(problem, theta, {"g": estimator})
    backends.compiled(program.kernel, machine)
    numbers = estimator.data(problem, theta)

    def at(theta):
        if _equal(estimator.data(problem, theta), numbers):  # nothing that depends on theta has to be made anew
            return dataclasses.replace(program, theta=np.ascontiguousarray(theta))
        return gradient_program(problem, theta, {"g": estimator})

    def gradients(thetas, seeds, first):
        out = np.full_like(thetas, np.nan)
        for s, theta in enumerate(thetas):
            try:
                here = at(theta)
            except ValueError:  # it was possible at the start: what is wrong are numbers that overflow
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                out[s] = run_kernel(here, int(seeds[s]), first, batch, machine).mean(axis=1)
        return out

    return gradients


def _equal(one, other):
    """Tell whether two trees of an estimator's data hold the same numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(x, other[key]) for key, x in one.items())
    if isinstance(one, PerStep):
        return _equal(one.values, other.values)
    return np.array_equal(one, other)


def _in_parts(gradients, pool, threads, thetas, seeds, first):
    """Return what `gradients` does, with the seeds spread over threads."""
    parts = [slice(k * len(seeds) // threads, (k + 1) * len(seeds) // threads) for k in range(threads)]
    return np.concatenate(list(pool.map(lambda part: gradients(thetas[part], seeds[part], first), parts)))


def _climb(gradients, optimizer, start, seeds, steps, batch, recorded, bar):
    """Return the recorded iterates (S, K, P), the steps at which seeds were lost (S,), and the seconds it took."""
    thetas, state = start.copy(), None
    lost = np.full(len(seeds), -1)
    path = np.empty((len(seeds), len(recorded), start.shape[1]))
    places = {int(k): i for i, k in enumerate(recorded)}
    began = time.perf_counter()
    for k in range(steps + 1):
        if k in places:
            path[:, places[k]] = np.where((lost < 0)[:, None], thetas, np.nan)
        if k == steps:
            break
        # Those that are lost stay where they were: rules go on with numbers that are finite.
        alive = np.flatnonzero(lost < 0)
        gradient = np.zeros_like(thetas)
        if len(alive):
            gradient[alive] = gradients(thetas[alive], seeds[alive], k * batch)
        good = np.isfinite(gradient).all(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            moved, state = optimizer(thetas, np.where(good[:, None], gradient, 0.0), state)
        moved = np.asarray(moved, dtype=float)
        if moved.shape != thetas.shape:
            raise ValueError(f"optimizer: expected it to return theta of shape {thetas.shape}, got {moved.shape}")
        good &= np.isfinite(moved).all(axis=1)
        lost[(lost < 0) & ~good] = k + 1
        thetas = np.where((lost < 0)[:, None], moved, thetas)
        bar.add(batch * len(seeds))
    return path, lost, time.perf_counter() - began


def _judged(problem, path, count, machine):
    """Return J at iterates (S, K, P) and its standard error, (S, K) both."""
    S, K, P = path.shape
    objective, stderr = np.full((2, S, K), np.nan)
    if count is None:
        return objective, stderr
    known = _objective(problem, path[0, 0]) is not None
    returns = return_kernel(problem, path[0, 0], 0, machine) if count and not known else None
    # Seeds may have a common start: what is the same is judged once.
    distinct, place = np.unique(path.reshape(S * K, P), axis=0, return_inverse=True)
    values, errors = np.full((2, len(distinct)), np.nan)
    for i, theta in enumerate(distinct):
        if not np.isfinite(theta).all():
            values[i], errors[i] = -np.inf, 0.0
        elif known:
            J = _objective(problem, theta)
            values[i], errors[i] = (-np.inf if J is None else J), 0.0
        elif count:
            R = returns(theta, JUDGE, count)
            good = np.isfinite(R).all()
            values[i] = R.mean() if good else -np.inf
            errors[i] = R.std(ddof=1) / math.sqrt(count) if good and count > 1 else np.nan
    place = place.reshape(S, K)
    return values[place], errors[place]


def _objective(problem, theta):
    """Return J, or None where no closed form gives a number."""
    try:
        return exact.objective(problem, theta)
    except exact.NoClosedForm:
        return None


def _optimum(problem, theta):
    """Return the largest J of any constant gain of a linear-quadratic problem; nan where it is not known."""
    closed = problem.policy.closed_form
    if getattr(closed, "learn_std", False):  # it would be that of the std at which one stands
        return math.nan
    try:
        return float(exact.optimum(problem, theta).objective)
    except ValueError:  # NoClosedForm among them
        return math.nan


def _pilots(thing):
    """Return how many pilot trajectories the baselines and critics of an estimator are fitted on, in each step."""
    if isinstance(thing, (tuple, list)):
        return sum(map(_pilots, thing))
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return 0
    own = getattr(thing, "pilot", None)
    own = own if isinstance(own, int) else 0
    return own + sum(_pilots(getattr(thing, f.name)) for f in dataclasses.fields(thing))


def _seeds(seeds):
    if np.ndim(seeds) == 0:
        return np.arange(validate.integer("seeds", seeds, 1, 10**6), dtype=np.uint64)
    found = [validate.integer("seeds", seed, 0, 2**64 - 1) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds: expected a number of seeds, or seeds that differ, got {validate.describe(seeds)}")
    return np.array(found, dtype=np.uint64)


def _recorded(record, steps):
    """Return the numbers of the steps whose iterates are kept."""
    if np.ndim(record) == 0:
        number = min(validate.integer("record", record, 1), steps + 1)
        return np.unique(np.rint(np.linspace(0, steps, number) if number > 1 else [steps]).astype(np.int64))
    found = sorted({validate.integer("record", k, 0, steps) for k in record})
    if not found:
        raise ValueError("record: expected a number of iterates, or the numbers of some steps, got none")
    return np.array(found, dtype=np.int64)


def _starts(problem, theta, seeds):
    """Return where each seed starts, (S, P)."""
    if np.ndim(theta) < 2:
        return np.tile(checked_theta(problem, theta), (seeds, 1))
    P = len(checked_theta(problem, theta[0]))
    return validate.array("theta", theta, (seeds, P))
