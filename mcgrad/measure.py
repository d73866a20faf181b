"""Measure estimators, or return their samples: what users call."""

import concurrent.futures
import warnings

import numpy as np

from . import precision, validate
from .designs import Design
from .estimators.estimator import Estimator, rollouts
from .estimators.knowledge import knows
from .fitting import fit_on_pilots, folds
from .kernel.program import checked
from .moments import Moments
from .power_sums import merge
from .progress import Progress
from .progress import checked as checked_progress
from .run import CHUNK, Run, check_range, samples, thread_count


def measure(
    problem,
    theta,
    estimators,
    count,
    seed=0,
    *,
    threads=None,
    executor=None,
    progress=None,
    start=0,
    design=None,
    full_covariance=False,
    chunk=None,
    machine="simd",
):
    """Return the moments of gradient estimators over `count` trajectories, all on the same noise.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict
        Name -> estimator.
    count : int
        Number of trajectories (of an estimator that takes several rollouts: of samples); memory does not grow with it.
    seed : int
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
    design : Design, optional
        A sampling design in place of random noise, see `mcgrad.designs`; `count` and `start` are multiples of its size.
        One sample is then a replicate, the mean gradient over design.size trajectories: all moments are those of
        replicates, of which there are count / design.size, and `rollouts` counts all that a replicate takes. So
        variance x rollouts compares with random noise. Coefficients that are cross-fitted minimise the variance of
        replicates. Pilots stay random, and so does what `measure_valued` puts in place of noise, the futures of its
        independent branches, and the directions of persistent evolution strategies.
    full_covariance : bool
        Keep the joint covariance matrix of all parameters of all estimators.
    chunk : int, optional
        Trajectories per chunk, chosen by the number of gradients; results agree to rounding between chunk sizes, bit for
        bit at the same one.
    machine : str
        "simd", "scalar" (portable) or "numpy" (no compiler): see `mcgrad.compiler.backends`.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        For an argument out of its range, named; and where an estimator does not exist for the problem.

    Warns
    -----
    PrecisionWarning
        Where an estimator subtracts so much (a baseline, a critic, a control variate) that what is left is rounding.
    UserWarning
        Of gradients that are not finite, and of variances that overflow.
    """
    estimators = checked_estimators(estimators)
    count = validate.integer("count", count, 1)
    start = validate.integer("start", start, 0)
    check_range(start, count)
    run = Run(
        validate.integer("seed", seed, 0, 2**64 - 1),
        thread_count(threads),
        executor,
        None if chunk is None else validate.integer("chunk", chunk, 1, 2**24),
        machine,
        _checked_design(design, count, start),
    )
    theta, full_covariance = checked(problem, theta), validate.flag("full_covariance", full_covariance)
    if executor is not None and not isinstance(executor, concurrent.futures.Executor):
        raise ValueError(f"executor: expected a concurrent.futures.Executor, got {validate.describe(executor)}")
    names, parameters = tuple(estimators), problem.parameters
    ready = fit_on_pilots(problem, theta, estimators, run)
    sums, lost = None, np.zeros(len(names))
    bar = Progress(count, checked_progress(progress))
    try:
        for first, number, fitted in folds(problem, theta, ready, start, count, run):
            program = run.program(problem, theta, fitted)
            lost = np.maximum(lost, precision.rounding(program, run, first, number))
            part = run.sums(program, first, number, full_covariance, bar)
            sums = part if sums is None else merge(sums, part)
    finally:
        bar.close()
    takes = tuple(run.unit * rollouts(e, problem) for e in estimators.values())
    known = tuple(knows(e, design is not None).kind for e in estimators.values())
    found = Moments(names, parameters, sums, takes, tuple(lost), known)
    unit = "trajectories" if design is None else "replicates"
    lost = {name: k for name, k in found.nonfinite.items() if k}
    if lost:
        what = ", ".join(f"{k} of {name}" for name, k in lost.items())
        warnings.warn(f"of {count // run.unit} {unit} some had a gradient that was not finite: {what}", stacklevel=2)
    large = {name: k for name, k in found.overflowed.items() if k}
    if large:
        what = ", ".join(f"{k} of {name}" for name, k in large.items())
        warnings.warn(
            f"gradients are finite, but so large that figures overflow: of {len(parameters)} variances or their standard "
            f"errors {what}; they are infinite, that is not known. Rewards in a larger unit would help",
            stacklevel=2,
        )
    precision.warn(found.rounding, stacklevel=3)
    return found


def sample(problem, theta, estimators, count, seed=0, *, start=0, design=None, machine="simd"):
    """Return {name: (N, P) array}, the gradients of single trajectories `start`, ..., `start + count - 1`.

    With `design` it is (N / design.size, P), the mean gradients of replicates; see `measure`.

    Raises
    ------
    ValueError
        As `measure`.
    """
    estimators = checked_estimators(estimators)
    count, start = validate.integer("count", count, 1), validate.integer("start", start, 0)
    check_range(start, count)
    design = _checked_design(design, count, start)
    run = Run(validate.integer("seed", seed, 0, 2**64 - 1), thread_count(None), None, None, machine, design)
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


def _checked_design(design, count, start):
    """Return a sampling design that divides a range of trajectories, or None."""
    if design is None:
        return None
    if not isinstance(design, Design):
        raise ValueError(f"design: expected a design such as designs.sobol(1024), got {validate.describe(design)}")
    for name, value in (("count", count), ("start", start)):
        if value % design.size:
            raise ValueError(f"{name}: expected a multiple of design.size = {design.size}, got {value}")
    return design


def checked_estimators(estimators):
    """Return a dict of named estimators, checked."""
    if isinstance(estimators, Estimator):
        raise ValueError('estimators: expected a dict such as {"SF": score_function()}, got one estimator')
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(f"estimators: expected a dict of name -> estimator, got {validate.describe(estimators)}")
    for name, e in estimators.items():
        if not isinstance(name, str) or not isinstance(e, Estimator):
            raise ValueError(f"estimators: expected name -> estimator, got {name!r} -> {validate.describe(e)}")
    return estimators
