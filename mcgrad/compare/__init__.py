"""Every estimator that exists for a problem, side by side: variance, cost, direction, and a test for bias.

    total variance      sum_p Var g_p, of one sample
    signal to noise     |gradient| / sqrt(total variance), of one sample
    cosine              E cos(mean of a batch of B samples, gradient), over batches of the same measurement
    bias z              max_p |mean_p - reference_p| / stderr of the difference, on common noise where there is some

The gradient is the exact one if it is known, else the mean of the score function's relative whose mean is known best: of all
estimators these rely on the least. An estimator fails the test for bias if its z is above what chance would give one
estimator in 1000 comparisons, parameters and estimators counted (Bonferroni).
"""

import concurrent.futures
import math
import statistics
import warnings
from typing import NamedTuple

import numpy as np

from .. import exact, validate
from ..ahead import Crew
from ..compiler.trace import TraceError
from ..cost import timed
from ..estimators.estimator import rollouts
from ..estimators.score_function import score
from ..kernel.program import checked, gradient_program, rollout_program
from ..kernel.scan import DiscontinuityWarning
from ..measure import checked_estimators
from ..moments import Moments
from ..run import default_chunk, run_kernel, thread_count
from ..sums import Accumulator, of_chunk
from .candidates import Candidate, candidates, fitted
from .comparison import ROLLOUTS, Comparison, Row

CHANCE = 1e-3  # of a false alarm in a comparison


def compare(problem, theta, estimators=None, *, only=None, count=100_000, batch=64, seed=0, seconds=0.03, say=None):
    """Return a Comparison of all estimators that exist for a problem, and of one's own.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict, optional
        Name -> estimator, in addition to those of `mcgrad.compare.candidates`; one of the same name takes its place.
    only : sequence of str, optional
        Names: compare no others.
    count : int
        Samples of each; fewer of those that take many rollouts.
    batch : int
        B of the cosine.
    seed : int
    seconds : float
        How long each is timed, alone on one thread.
    say : callable, optional
        say(text) is told what is being done.

    Returns
    -------
    Comparison
        `print` it; `rows`, `recommendation()` and `records()` are for programs.

    Raises
    ------
    ValueError
        For an argument out of its range; TraceError, which is one, for functions that cannot be traced.
    """
    theta, say = checked(problem, theta), say or (lambda text: None)
    batch = validate.integer("batch", batch, 1)
    count = validate.integer("count", count, max(4 * batch, 64))
    seed = validate.integer("seed", seed, 0, 2**64 - 1)
    with warnings.catch_warnings(), Crew() as crew:
        warnings.simplefilter("ignore", DiscontinuityWarning)  # it is among the notes
        say("looking for the estimators that exist here")
        found, families, missing = _available(problem, theta, estimators, only, crew)
        programs = {name: gradient_program(problem, theta, {name: e}) for name, e in found.items()}
        many = {name: k for name, e in found.items() if (k := rollouts(e, problem)) > ROLLOUTS}
        many = many if len(many) < len(found) else {}
        shared = gradient_program(problem, theta, {name: e for name, e in found.items() if name not in many})
        say(f"compiling the kernels of {len(found)} estimators that are not compiled yet")
        crew.submit([shared.kernel, *(p.kernel for p in programs.values())])
        crew.wait()
    say(f"measuring {count} samples of each")
    measured = _measure(shared, problem, found, 0, count, batch, seed)
    for name, k in many.items():  # on noise of their own
        number = max(count * ROLLOUTS // k, 4 * batch, 64)
        measured |= _measure(programs[name], problem, found, count, number, batch, seed)
    say("timing each alone")
    times = timed([*programs.values(), shared], seconds, seed)
    costs = dict(zip(found, times, strict=False))
    return _summary(problem, theta, found, families, missing, measured, costs, times[-1], batch, seed)


# ---- what there is ---------------------------------------------------------------------------------------------


def _available(problem, theta, own, only, crew):
    """Return {name: estimator} with fitted numbers, {name: family}, and {name: why there is none}."""
    rollout_program(problem, theta)  # an error in the user's functions is one of the problem, not of an estimator
    try:
        gradient_program(problem, theta, {"": score()})
    except TraceError:
        raise
    except ValueError:
        pass  # there is none: every estimator that needs one will say so
    own = checked_estimators(own) if own else {}
    tried = candidates(problem, theta) | {name: Candidate(lambda e=e: e, "own") for name, e in own.items()}
    unknown = set(only or ()) - set(tried)
    if unknown:
        raise ValueError(f"only: expected names among {', '.join(tried)}, got {', '.join(sorted(unknown))}")
    tried = {name: x for name, x in tried.items() if only is None or name in only}
    found, missing = {}, {}
    for name in sorted(tried, key=lambda name: tried[name].pilot):  # the compiler can begin while others are fitted
        try:
            made = fitted(problem, theta, {name: tried[name].make()})
            crew.submit([gradient_program(problem, theta, made).kernel])
            found |= made
        except ValueError as error:
            if name in own and isinstance(error, TraceError):
                raise
            missing[name] = str(error)
    if not found:
        raise ValueError(f"problem: no estimator exists for it: {next(iter(missing.values()))}")
    found, missing = ({name: x[name] for name in tried if name in x} for x in (found, missing))
    return found, {name: tried[name].family for name in found}, missing


# ---- measuring -------------------------------------------------------------------------------------------------


class _Samples(NamedTuple):
    """Moments of some estimators, the standard error of their total variances (E,), means of batches (E, P, batches)."""

    moments: Moments
    variance_stderr: np.ndarray
    batches: np.ndarray

    def of(self, name):
        """Return (total variance, its standard error, batch means) of an estimator."""
        k = self.moments.names.index(name)
        return float(self.moments[name].variance.sum()), float(self.variance_stderr[k]), self.batches[k]


def _measure(program, problem, found, first, count, batch, seed):
    """Return {name: _Samples}; the same numbers for any number of threads."""
    names, P = program.names, len(problem.parameters)
    E = len(names)
    size = max(default_chunk(program.kernel.outputs) // batch, 1) * batch

    def piece(k):
        out = run_kernel(program, seed, k, min(size, first + count - k))
        sums = of_chunk(out, E)
        samples = out.reshape(E, P, -1)
        with np.errstate(all="ignore"):
            distances = ((samples - samples.mean(axis=2, keepdims=True)) ** 2).sum(axis=1)
            distances = np.where(np.isfinite(distances), distances, 0.0)
            whole = samples[:, :, : samples.shape[2] // batch * batch]
            return sums, distances.sum(axis=1), (distances**2).sum(axis=1), whole.reshape(E, P, -1, batch).mean(axis=3)

    merged, powers, batches = Accumulator(), np.zeros((2, E)), []
    with concurrent.futures.ThreadPoolExecutor(thread_count(None)) as pool:
        for sums, first_power, second_power, means in pool.map(piece, range(first, first + count, size)):
            merged.add(sums)
            powers += first_power, second_power
            batches.append(means)
    moments = Moments(names, problem.parameters, merged.result(), tuple(rollouts(found[x], problem) for x in names))
    number = np.array([max(moments[name].count, 2) for name in names])
    mean, square = powers / number
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / number)
    return dict.fromkeys(names, _Samples(moments, error, np.concatenate(batches, axis=2)))


# ---- what it means ---------------------------------------------------------------------------------------------


def _summary(problem, theta, found, families, missing, measured, costs, together, batch, seed):
    reference, gradient, objective = _reference(problem, theta, families, measured)
    P = len(problem.parameters)
    threshold = statistics.NormalDist().inv_cdf(1.0 - CHANCE / (2 * P * len(found)))
    size = float(np.linalg.norm(gradient))
    rows = []
    for name, e in found.items():
        x = measured[name].moments[name]
        variance, variance_stderr, means = measured[name].of(name)
        cosine, cosine_stderr = _cosine(means, gradient)
        z, error = _bias(name, reference, gradient, measured)
        row = Row(
            estimator=name,
            family=families[name],
            rollouts=rollouts(e, problem),
            count=x.count,
            nonfinite=x.nonfinite,
            mean=x.mean,
            stderr=x.stderr,
            variance=variance,
            variance_stderr=variance_stderr,
            signal_to_noise=size / math.sqrt(variance) if variance > 0 else math.inf,
            cosine=cosine,
            cosine_stderr=cosine_stderr,
            nanoseconds=costs[name][0],
            nanoseconds_spread=costs[name][1],
            bias_z=z,
            visible_bias=None if z is None else threshold * error / size if size else math.inf,
        )
        rows.append(row)
    rows.sort(key=lambda row: row.price if math.isfinite(row.price) else math.inf)
    return Comparison(
        title=_title(problem),
        parameters=problem.parameters,
        rows=tuple(rows),
        missing=missing,
        reference=reference,
        gradient=gradient,
        objective=objective,
        moments={name: measured[name].moments for name in found},
        batch=batch,
        seed=seed,
        threshold=threshold,
        together=together,
        notes=_notes(problem, rows, threshold),
    )


def _reference(problem, theta, families, measured):
    """Return the name of what the gradient is taken from, the gradient, and J if it is known exactly."""
    try:
        return "exact", exact.gradient(problem, theta), exact.objective(problem, theta)
    except ValueError:
        pass
    for family in ("score", "pathwise", "own", "other"):
        names = [name for name in measured if families[name] == family and measured[name].moments[name].count > 1]
        names = [name for name in names if not measured[name].moments[name].nonfinite] or names
        if names:
            best = min(names, key=lambda name: np.linalg.norm(measured[name].moments[name].stderr))
            return best, measured[best].moments[best].mean, None
    raise ValueError("problem: no estimator was finite on more than one trajectory")


def _bias(name, reference, gradient, measured):
    """Return (z, standard error of the difference from the reference), z None for the reference itself."""
    if name == reference:
        return None, 0.0
    x = measured[name].moments[name]
    square = x.stderr**2
    if reference != "exact":
        y = measured[reference].moments[reference]
        square = square + y.stderr**2
        if measured[name].moments is measured[reference].moments:
            square = square - 2.0 * measured[name].moments.covariance(name, reference) / max(x.count, 1)
    error, difference = np.sqrt(np.maximum(square, 0.0)), np.abs(x.mean - gradient)
    rounding = 1e-9 * np.abs(gradient)  # two that do not vary agree to rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(difference <= rounding, 0.0, difference / error)
    return float(z.max()), float(np.linalg.norm(error))


def _cosine(means, gradient):
    """Return the mean cosine of batch means (P, batches) with a gradient, and its standard error."""
    with np.errstate(all="ignore"):
        cosines = gradient @ means / (np.linalg.norm(means, axis=0) * np.linalg.norm(gradient))
    cosines = cosines[np.isfinite(cosines)]
    if len(cosines) < 2:
        return math.nan, math.nan
    return float(cosines.mean()), float(cosines.std(ddof=1) / math.sqrt(len(cosines)))


def _title(problem):
    T, gamma, P = problem.horizon, problem.discount, len(problem.parameters)
    steps, names = "step" if T == 1 else "steps", "parameter" if P == 1 else "parameters"
    varies = f", discount from {np.min(gamma):g} to {np.max(gamma):g}"
    discount = varies if problem.discount_varies else "" if gamma == 1.0 else f", discount {gamma:g}"
    return f"{problem.environment.name} under {problem.policy.name}, {T} {steps}{discount}, {P} {names}"


def _notes(problem, rows, threshold):
    notes = []
    if problem.environment.discontinuous:
        notes.append(f"pathwise gradients are biased here: {problem.environment.discontinuous}")
    elif any(row.family == "pathwise" and row.bias_z is not None and row.bias_z > threshold for row in rows):
        notes.append(
            "pathwise and score function disagree: rewards or dynamics jump, or the score is not that of the policy; "
            "mcgrad.check tells which"
        )
    return tuple(notes)
