"""Measure estimators, or return their samples: what users call."""

import concurrent.futures
import dataclasses
import functools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import batches, validate
from .designs import Design
from .estimators.estimator import Estimator, rollouts
from .estimators.fitted import is_unfitted
from .estimators.knowledge import knows
from .fitting import fit_on_pilots, folds, stand_ins
from .kernels.program import Program, checked
from .moments import FORMED, Moments
from .power_sums import Covariances, PowerSums, between_all, merge, together
from .precision import checked_precision, rounding, warn_of_rounding
from .prepare import prepare
from .problem import Problem
from .progress import Progress
from .progress import checked as checked_progress
from .run import CHUNK, Run, check_range, samples, thread_count
from .source import Source, facts
from .targets import Until, continued, measured_until


def measure(
    problem: Problem | Sequence[Problem],
    theta: ArrayLike,
    estimators: dict[str, Estimator],
    count: int | Until,
    seed: int | ArrayLike = 0,
    *,
    threads: int | None = None,
    executor: concurrent.futures.Executor | None = None,
    progress: Any = None,
    start: int = 0,
    noise: str = "common",
    design: Design | None = None,
    covariances: str | Sequence[tuple[str, str]] | None = None,
    full_covariance: bool = False,
    chunk: int | None = None,
    machine: str = "simd",
    precision: str = "double",
) -> Moments:
    """Return the moments of gradient estimators over `count` trajectories, all on the same noise.

    Of a batch of B measurements, at B thetas, of B problems, with B seeds, or of several of these, in one call: everything
    in the result has a leading axis, and `found.entry(b)` is, bit for bit, what a call for entry b would return. Entries are
    spread over threads; 4096 thetas with 256 trajectories each take about as long as a million trajectories.

    Parameters
    ----------
    problem : Problem, or sequence of B Problem
        Those of a batch have the same parameters (systems of one shape, say).
    theta : (P,) or (B, P) array
    estimators : dict
        Name -> estimator.
    count : int or Until
        Number of trajectories (of an estimator that takes several rollouts: of samples); memory does not grow with it. Or until
        when to go on: `mg.until(variance=0.01)`.
    seed : int, or sequence of B int
        From 0 to 2^64 - 1.
    threads : int, optional
        By default, as many as there are cores to run on.
    executor : concurrent.futures.Executor, optional
        Runs the pieces instead of threads of our own; processes and other machines will do, they are sent text. One that
        was shut down, that breaks, or that returns something else is a ValueError.
    progress : None, bool, callable or tqdm, optional
        None: a line on stderr after two seconds. False: nothing. A callable gets (done, total). `tqdm.tqdm`, or a bar of it,
        is moved on by trajectories.
    start : int
        First trajectory: continue a measurement of n trajectories with start=n, and merge.
    noise : str
        Of a batch. "common": every entry sees the trajectories start, ..., start + count - 1 of its seed, so that differences
        between entries are those of the entries. "independent": entry b sees start + b count, ..., start + (b + 1) count - 1.
    design : Design, optional
        A sampling design in place of random noise, see `mcgrad.designs`; `count` and `start` are multiples of its size.
        One sample is then a replicate, the mean gradient over design.size trajectories: all moments are those of
        replicates, of which there are count / design.size, and `rollouts` counts all that a replicate takes. So
        variance x rollouts compares with random noise. Coefficients that are cross-fitted minimise the variance of
        replicates. Pilots stay random, and so does what `measure_valued` puts in place of noise, the futures of its
        independent branches, and the directions of persistent evolution strategies.
    covariances : "all" or sequence of pairs of names, optional
        Between which estimators covariances are formed, for `found.covariance` and `found.variance_ratio`. By default
        between all of up to 12 estimators, where it takes less than a tenth of the time; the number of pairs grows with the
        square of that of estimators, and between more than 12 none is formed unasked: asking for one afterwards is a
        ValueError. All other figures are the same, bit for bit, whatever is chosen.
    full_covariance : bool
        Keep the joint covariance matrix of all parameters of all estimators.
    chunk : int, optional
        Trajectories per chunk, chosen by the number of gradients; results agree to rounding between chunk sizes, bit for
        bit at the same one.
    machine : str
        "simd", "scalar" (portable) or "numpy" (no compiler): see `mcgrad.compiler.backends`.
    precision : str
        "double", or "single": noise and arithmetic of trajectories in float32, moments in float64; 1.1 to 1.9 times as fast.
        It is the same trajectory i as in double precision, rounded: gradients differ by 3e-7 of a standard deviation (root
        mean square) on linear systems of 50 steps, by 1e-5 on a pendulum that swings through its upright position for 100
        steps, and by as much more as a system amplifies rounding; see the recipes. Not on the scalar machine.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        For an argument out of its range, named; for batches of different sizes; and where an estimator does not exist for the
        problem.

    Warns
    -----
    PrecisionWarning
        Where an estimator subtracts so much (a baseline, a critic, a control variate) that what is left is rounding.
    UserWarning
        Of gradients that are not finite, of variances that overflow, and of a precision that was not reached.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> found = mg.measure(problem, [-0.6], {"path": mg.estimators.reparameterization()}, 20_000)
    >>> abs(found["path"].variance - 8.6441) < 5 * found["path"].variance_stderr
    array([ True])
    >>> found["path"].count
    20000
    """
    estimators = prepare(estimators)
    target = count if isinstance(count, Until) else None
    count = target.most if target else validate.integer("count", count, 1)
    if target is not None and isinstance(design, Design):
        count = max(count // design.size, 1) * design.size
    start = validate.integer("start", start, 0)
    check_range(start, count)
    if target is not None and noise == "independent":
        raise ValueError(
            "noise: expected 'common' with until, got 'independent': where entries begin would depend on where they end"
        )
    batch = batches.of(problem, theta, seed, start, count, noise)
    if batch is not None:
        check_range(max(batch.firsts), count)
        problem, theta, seed = batch.problems[0], batch.thetas[0], batch.seeds[0]
    run = Run(
        validate.integer("seed", seed, 0, 2**64 - 1),
        thread_count(threads),
        executor,
        None if chunk is None else validate.integer("chunk", chunk, 1, 2**24),
        machine,
        _checked_design(design, count, start),
        checked_precision(precision, machine),
    )
    theta = checked(problem, theta)
    assert isinstance(problem, Problem)  # `checked` says so where it is none
    formed = _checked_covariances(tuple(estimators), covariances, validate.flag("full_covariance", full_covariance))
    if executor is not None and not isinstance(executor, concurrent.futures.Executor):
        raise ValueError(f"executor: expected a concurrent.futures.Executor, got {validate.describe(executor)}")
    names, parameters = tuple(estimators), problem.parameters
    takes = tuple(run.unit * rollouts(e, problem) for e in estimators.values())
    known = tuple(knows(e, design is not None).kind for e in estimators.values())

    def program(problem: Problem, theta: NDArray[np.float64]) -> Program:
        return run.program(problem, theta, stand_ins(problem, theta, estimators))

    def sums_of(first: int, number: int) -> tuple[PowerSums, NDArray[np.float64]]:
        if batch is None:
            return _sums(problem, theta, estimators, run, first, number, formed, bar, programs[0])
        here = dataclasses.replace(batch, firsts=tuple(k + first - start for k in batch.firsts))
        return _sums_of_batch(here, estimators, run, number, formed, bar, programs)

    def moments(sums: PowerSums, lost: Iterable[Any], first: int, number: int) -> Moments:
        if batch is None:
            source = Source(problem, theta, run.seed, first, number, facts(programs[0], problem, run.design))
        else:
            source = batch.source(number, programs, run.design)
        return Moments(names, parameters, sums, takes, tuple(lost), known, (source,))

    bar = Progress(count * (1 if batch is None else len(batch)), checked_progress(progress))
    try:
        programs = [program(problem, theta)] if batch is None else batch.programs(program)
        if target is None:
            sums, lost = sums_of(start, count)
            found, missed = moments(sums, lost, start, count), dict[str, float]()
        else:
            first, before = (
                (start, 0)
                if target.after is None
                else continued(target.after, moments(target.after.sums, (), start, count))
            )
            if before and target.after is not None and target.after.sums.covariances != formed:
                raise ValueError("after: expected the same covariances in both measurements")
            crossed = any(is_unfitted(e) and e.pilot is None for e in estimators.values())
            chunk = run.chunk_of(len(names) * len(parameters))
            found, missed = measured_until(target, sums_of, moments, first, before, chunk, count, crossed)
            count = found.sources[0].count
    finally:
        bar.close()
    if missed and target is not None:
        warnings.warn(target.words(missed, count), stacklevel=2)
    unit = "trajectories" if design is None else "replicates"
    lost = {name: k for name, x in found.nonfinite.items() if (k := int(np.sum(x)))}
    if lost:
        what, each = ", ".join(f"{k} of {name}" for name, k in lost.items()), count // run.unit
        number = f"{each} {unit}" if batch is None else f"{len(batch)} x {each} {unit}"
        warnings.warn(f"of {number} some had a gradient that was not finite: {what}", stacklevel=2)
    large = {name: k for name, x in found.overflowed.items() if (k := int(np.sum(x)))}
    if large:
        what, size = ", ".join(f"{k} of {name}" for name, k in large.items()), found[names[0]].variance.size
        warnings.warn(
            f"gradients are finite, but so large that figures overflow: of {size} variances or their standard "
            f"errors {what}; they are infinite, that is not known. Rewards in a larger unit would help",
            stacklevel=2,
        )
    warn_of_rounding({name: np.max(x) for name, x in found.rounding.items()}, stacklevel=3)
    return found


def _sums(
    problem: Problem,
    theta: NDArray[np.float64],
    estimators: dict[str, Estimator],
    run: Run,
    start: int,
    count: int,
    formed: Covariances,
    bar: Progress,
    whole: Program,
) -> tuple[PowerSums, NDArray[np.float64]]:
    """Return the power sums of one measurement, and rounding errors by estimator; `whole`: its program if nothing is fitted."""
    parts, lost = [], np.zeros(len(estimators))
    ready = fit_on_pilots(problem, theta, estimators, run)
    as_it_is = not any(map(is_unfitted, estimators.values()))
    for first, number, fitted in folds(problem, theta, ready, start, count, run):
        program = whole if as_it_is else run.program(problem, theta, fitted)
        lost = np.maximum(lost, rounding(program, run, first, number))
        parts.append(run.sums(program, first, number, formed, bar))
    return functools.reduce(merge, parts), lost


def _sums_of_batch(
    batch: batches.Batch,
    estimators: dict[str, Estimator],
    run: Run,
    count: int,
    formed: Covariances,
    bar: Progress,
    programs: list[Program],
) -> tuple[PowerSums, NDArray[np.float64]]:
    """Return the power sums of a batch, and rounding errors by estimator, each (B,)."""
    if not any(map(is_unfitted, estimators.values())) and batches.fits(programs, run, count):
        lost = np.zeros((len(batch), len(estimators)))
        if not all(map(batches.without_data, programs)):
            entries = zip(programs, batch.seeds, batch.firsts, strict=True)
            lost[:] = [rounding(p, run._replace(seed=seed), first, count) for p, seed, first in entries]
        programs = batch.sharing(programs, estimators, run, count)
        found = batches.sums(programs, batch.thetas, batch.seeds, batch.firsts, count, formed, run, bar)
        return found, lost.T
    at = (dataclasses.replace(p, theta=theta) for p, theta in zip(programs, batch.thetas, strict=True))
    entries = zip(batch.problems, batch.thetas, batch.seeds, batch.firsts, at, strict=True)
    each = [
        _sums(problem, theta, estimators, run._replace(seed=seed), first, count, formed, bar, program)
        for problem, theta, seed, first, program in entries
    ]
    return together([sums for sums, _ in each]), np.transpose([lost for _, lost in each])


def sample(
    problem: Problem,
    theta: ArrayLike,
    estimators: dict[str, Estimator],
    count: int,
    seed: int = 0,
    *,
    start: int = 0,
    design: Design | None = None,
    machine: str = "simd",
    precision: str = "double",
) -> dict[str, NDArray[np.float64]]:
    """Return {name: (N, P) array}, the gradients of single trajectories `start`, ..., `start + count - 1`.

    With `design` it is (N / design.size, P), the mean gradients of replicates; see `measure`.

    Parameters
    ----------
    problem, theta, estimators
        As in `measure`, without a batch.
    count : int
        N, a multiple of design.size if there is a design.
    seed, start, design, machine, precision
        As in `measure`.

    Raises
    ------
    ValueError
        As `measure`.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> samples = mg.sample(problem, [-0.6], {"path": mg.estimators.reparameterization()}, 20_000)
    >>> samples["path"].shape
    (20000, 1)
    """
    estimators = prepare(estimators)
    count, start = validate.integer("count", count, 1), validate.integer("start", start, 0)
    check_range(start, count)
    design = _checked_design(design, count, start)
    run = Run(validate.integer("seed", seed, 0, 2**64 - 1), thread_count(None), None, None, machine, design)
    run = run._replace(precision=checked_precision(precision, machine))
    theta = checked(problem, theta)
    P = len(problem.parameters)
    out = np.empty((count // run.unit, len(estimators), P))
    ready = fit_on_pilots(problem, theta, estimators, run)
    for first, number, fitted in folds(problem, theta, ready, start, count, run):
        program = run.program(problem, theta, fitted)
        size = max(CHUNK // run.unit, 1) * run.unit
        for k in range(first, first + number, size):
            columns = samples(program, run.seed, k, min(size, first + number - k), machine, design=design).T
            at = (k - start) // run.unit
            out[at : at + len(columns)] = columns.reshape(-1, len(estimators), P)
    return {name: np.ascontiguousarray(out[:, e]) for e, name in enumerate(estimators)}


def _checked_covariances(
    names: Sequence[str], chosen: str | Sequence[tuple[str, str]] | None, full: bool
) -> Covariances:
    """Return the `Covariances` that are asked for by names."""
    if full and chosen is not None:
        raise ValueError(
            f"covariances: expected none beside full_covariance=True, which has all, got {validate.describe(chosen)}"
        )
    if full or (chosen is None and len(names) <= FORMED) or (isinstance(chosen, str) and chosen == "all"):
        return between_all(len(names), full)
    if chosen is None:
        return Covariances(())
    places = {name: e for e, name in enumerate(names)}
    pairs = set()
    for pair in chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]:
        good = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
        if not (good and all(isinstance(name, str) and name in places for name in pair)):
            what = f"pairs of names among {', '.join(map(repr, names))}"
            raise ValueError(f"covariances: expected 'all', or {what}, got {validate.describe(pair)}")
        a, b = (places[name] for name in pair)
        if a != b:
            pairs.add((max(a, b), min(a, b)))
    return Covariances(tuple(sorted(pairs)))


def _checked_design(design: Design | None, count: int, start: int) -> Design | None:
    """Return a sampling design that divides a range of trajectories, or None."""
    if design is None:
        return None
    if not isinstance(design, Design):
        raise ValueError(f"design: expected a design such as designs.sobol(1024), got {validate.describe(design)}")
    for name, value in (("count", count), ("start", start)):
        if value % design.size:
            raise ValueError(f"{name}: expected a multiple of design.size = {design.size}, got {value}")
    return design
