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
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import batches, exact, optimizers, validate
from .ascent import Ascent
from .compiler import backends
from .differences import return_kernel
from .estimators.estimator import Estimator, checked, rollouts
from .estimators.fitted import is_unfitted
from .kernels.program import Program, gradient_program
from .kernels.program import checked as checked_theta
from .per_step import PerStep
from .prepare import prepare
from .problem import Problem
from .progress import Progress
from .progress import checked as checked_progress
from .run import END, check_range, thread_count

Array: TypeAlias = NDArray[np.float64]
Seeds: TypeAlias = NDArray[np.uint64]
# optimizer(thetas (S, P), gradients (S, P), state) -> (thetas, state); of a user's own only known when it returns
Optimizer: TypeAlias = Callable[[Array, Array, Any], Any]

JUDGE = END + 2**41  # trajectories on which objectives are measured: no one else's


def ascend(
    problem: Problem,
    theta: ArrayLike,
    estimator: Estimator,
    batch: int,
    steps: int,
    *,
    optimizer: Optimizer,
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
    validate.function("optimizer", optimizer, takes=optimizers.TAKES)
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


class Gradients(Protocol):
    """gradients(thetas (S, P), seeds (S,), first) -> (S, P)."""

    def __call__(self, thetas: Array, seeds: Seeds, first: int, /) -> Array: ...


def batch_gradients(
    problem: Problem, theta: Array, estimator: Estimator, batch: int, machine: str = "simd"
) -> Gradients:
    """Return the function gradients(thetas (S, P), seeds (S,), first) -> (S, P): mean gradients of batches.

    Row s is the mean over trajectories first, ..., first + batch - 1 of seed s at its theta; one kernel serves them all. nan
    where what the estimator has to know at a theta (an exact critic, say) is beyond all numbers there.
    """
    estimator = prepare({"g": estimator})["g"]
    program = gradient_program(problem, theta, {"g": estimator})
    backends.compiled(program.kernel, machine)
    numbers = estimator.data(problem, theta)
    fixed = batches.without_data(program)

    def at(theta: Array) -> Program | None:
        if fixed or _equal(estimator.data(problem, theta), numbers):  # nothing that depends on theta is to be made anew
            return program
        try:
            return gradient_program(problem, theta, {"g": estimator})
        except ValueError:  # it was possible at the start: what is wrong are numbers that overflow
            return None

    def gradients(thetas: Array, seeds: Seeds, first: int) -> Array:
        out, programs = np.full_like(thetas, np.nan), [at(theta) for theta in thetas]
        possible = [(s, here) for s, here in enumerate(programs) if here is not None]
        size = max(batches.PIECE // (program.kernel.outputs * batch), 1)
        for k in range(0, len(possible), size):
            part, chosen = (list(x) for x in zip(*possible[k : k + size], strict=True))
            of = [int(seeds[s]) for s in part]
            with np.errstate(over="ignore", invalid="ignore"):
                out[part] = batches.samples(chosen, thetas[part], of, [first] * len(part), batch, machine).mean(axis=2)
        return out

    return gradients


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two trees of an estimator's data hold the same numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(x, other[key]) for key, x in one.items())
    if isinstance(one, PerStep):
        return _equal(one.values, other.values)
    return np.array_equal(one, other)


def _in_parts(
    gradients: Gradients,
    pool: concurrent.futures.Executor,
    threads: int,
    thetas: Array,
    seeds: Seeds,
    first: int,
    /,
) -> Array:
    """Return what `gradients` does, with the seeds spread over threads."""
    parts = [slice(k * len(seeds) // threads, (k + 1) * len(seeds) // threads) for k in range(threads)]
    return np.concatenate(list(pool.map(lambda part: gradients(thetas[part], seeds[part], first), parts)))


def _climb(
    gradients: Gradients,
    optimizer: Optimizer,
    start: Array,
    seeds: Seeds,
    steps: int,
    batch: int,
    recorded: NDArray[np.int64],
    bar: Progress,
) -> tuple[Array, NDArray[np.int64], float]:
    """Return the recorded iterates (S, K, P), the steps at which seeds were lost (S,), and the seconds it took."""
    thetas, state = start.copy(), None
    lost = np.full(len(seeds), -1, dtype=np.int64)
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
        good: NDArray[np.bool_] = np.all(np.isfinite(gradient), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            returned = optimizer(thetas, np.where(good[:, None], gradient, 0.0), state)
        if not (isinstance(returned, tuple) and len(returned) == 2 and validate.shape(returned[0]) == thetas.shape):
            what = f"it to return (theta, state), theta of shape {thetas.shape}"
            raise ValueError(f"optimizer: expected {what}, got {validate.describe(returned)}")
        moved, state = np.asarray(returned[0], dtype=float), returned[1]
        good &= np.isfinite(moved).all(axis=1)
        lost[(lost < 0) & ~good] = k + 1
        thetas = np.where((lost < 0)[:, None], moved, thetas)
        bar.add(batch * len(seeds))
    return path, lost, time.perf_counter() - began


def _judged(problem: Problem, path: Array, count: int | None, machine: str) -> tuple[Array, Array]:
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
        elif returns is not None and count:
            R = returns(theta, JUDGE, count)
            good = np.isfinite(R).all()
            values[i] = R.mean() if good else -np.inf
            errors[i] = R.std(ddof=1) / math.sqrt(count) if good and count > 1 else np.nan
    place = place.reshape(S, K)
    return values[place], errors[place]


def _objective(problem: Problem, theta: Array) -> float | None:
    """Return J, or None where no closed form gives a number."""
    try:
        return exact.objective(problem, theta, work=0)
    except exact.NoClosedForm:
        return None


def _optimum(problem: Problem, theta: Array) -> float:
    """Return the largest J of any constant gain of a linear-quadratic problem; nan where it is not known."""
    closed = problem.policy.closed_form
    if getattr(closed, "learn_std", False):  # it would be that of the std at which one stands
        return math.nan
    try:
        return float(exact.optimum(problem, theta).objective)
    except ValueError:  # NoClosedForm among them
        return math.nan


def _pilots(thing: Any) -> int:
    """Return how many pilot trajectories the baselines and critics of an estimator are fitted on, in each step."""
    if isinstance(thing, (tuple, list)):
        return sum(map(_pilots, thing))
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return 0
    own = getattr(thing, "pilot", None)
    own = own if isinstance(own, int) else 0
    return own + sum(_pilots(getattr(thing, f.name)) for f in dataclasses.fields(thing))


def _seeds(seeds: int | Sequence[int]) -> Seeds:
    if isinstance(seeds, int) or not validate.shape(seeds):
        return np.arange(validate.integer("seeds", seeds, 1, 10**6), dtype=np.uint64)
    found = [validate.integer("seeds", seed, 0, 2**64 - 1) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds: expected a number of seeds, or seeds that differ, got {validate.describe(seeds)}")
    return np.array(found, dtype=np.uint64)


def _recorded(record: int | Sequence[int], steps: int) -> NDArray[np.int64]:
    """Return the numbers of the steps whose iterates are kept."""
    if not isinstance(record, Sequence) and not isinstance(record, np.ndarray):
        number = min(validate.integer("record", record, 1), steps + 1)
        return np.unique(np.rint(np.linspace(0, steps, number) if number > 1 else [steps]).astype(np.int64))
    found = sorted({validate.integer("record", k, 0, steps) for k in record})
    if not found:
        raise ValueError("record: expected a number of iterates, or the numbers of some steps, got none")
    return np.array(found, dtype=np.int64)


def _starts(problem: Problem, theta: ArrayLike, seeds: int) -> Array:
    """Return where each seed starts, (S, P)."""
    if isinstance(problem, Problem) and len(validate.shape(theta)) == 2:
        return validate.array("theta", theta, (seeds, len(problem.parameters)))
    return np.tile(checked_theta(problem, theta), (seeds, 1))
