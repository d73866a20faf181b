"""Every estimator that exists for a problem, side by side: variance, cost, direction, and a test for bias.

    total variance      sum_p Var g_p, of one sample; exact where that is known or soon found out (see `known`), else measured
    signal to noise     |gradient| / sqrt(total variance), of one sample
    cosine              E cos(mean of a batch of B samples, gradient), over batches of the same measurement
    bias z              max_p |mean_p - reference_p| / stderr of the difference, on common noise where there is some

and, where it is known, the floor: what no estimator made of trajectories alone goes below (see `mcgrad.floor`).

What the reference is, and what is said where estimators disagree, is decided in `mcgrad.comparison.verdict`. What is
recommended is unbiased by theory, has passed the test for bias, and does not rest on derivatives of a return that jumps.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .. import exact, validate
from ..baselines import Value
from ..checks import check
from ..checks.gradients import directions
from ..checks.jumps import return_jumps
from ..compiler.trace import TraceError
from ..costs import timed
from ..critics import Exact
from ..differences import return_kernel, slopes
from ..estimators.estimator import Estimator, rollouts
from ..estimators.knowledge import knows
from ..estimators.reward_to_go import reward_to_go
from ..estimators.score import score
from ..floor import floor
from ..kernels.flat import flat_parameters, may_jump
from ..kernels.inputs import Inputs
from ..kernels.program import checked, gradient_program, rollout_program
from ..kernels.step_view import DiscontinuityWarning
from ..pilots import fitted
from ..precompile import CompilerPool
from ..prepare import checked_estimators
from ..problem import Problem
from .candidates import DERIVATIVES, IN_PART, MEASURE, RESTS_ON, SCORE, Candidate, candidates
from .comparison import ROLLOUTS, Comparison, Row
from .evidence import Claim, Evidence, Jumps
from .known import contradicts, exactly
from .measuring import measure
from .rests import is_smoothed, is_unbiased, rests_on
from .verdict import judge, limit

DIFFERENCES = 2**19  # rollouts that central differences take, about
AXES = 64  # parameters up to which they are a gradient where nothing else can be the reference
CHECKED = 20_000  # trajectories of the check of what disagrees


def compare(
    problem: Problem,
    theta: ArrayLike,
    estimators: dict[str, Estimator] | None = None,
    count: int = 100_000,
    seed: int = 0,
    *,
    only: Sequence[str] | None = None,
    batch: int = 64,
    seconds: float = 0.03,
    say: Callable[[str], object] | None = None,
    machine: str = "simd",
) -> Comparison:
    """Return a Comparison of all estimators that exist for a problem, and of one's own.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict, optional
        Name -> estimator, in addition to those of `mcgrad.comparison.candidates`; one of the same name takes its place.
    count : int
        Samples of each; fewer of those that take many rollouts.
    seed : int
    only : sequence of str, optional
        Names: compare no others.
    batch : int
        B of the cosine.
    seconds : float
        How long each is timed, alone on one thread.
    say : callable, optional
        say(text) is told what is being done.
    machine : str
        "simd", "scalar" or "numpy", as for `measure`; NumPy compiles nothing, and its times are not those of a kernel.

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
    truth, objective = _exactly(problem, theta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiscontinuityWarning)  # it is among the notes
        with CompilerPool(machine=machine) as crew:
            say("looking for the estimators that exist here")
            found, claims, missing = _available(problem, theta, estimators, only, crew)
            programs = {name: gradient_program(problem, theta, {name: e}) for name, e in found.items()}
            many = {name: k for name, e in found.items() if (k := rollouts(e, problem)) > ROLLOUTS}
            many = many if len(many) < len(found) else {}
            shared = gradient_program(problem, theta, {name: e for name, e in found.items() if name not in many})
            say(f"compiling the kernels of {len(found)} estimators that are not compiled yet")
            returns = return_kernel(problem, theta, seed, machine)
            alone = [returns.kernel] if truth is None else []
            crew.submit([shared.kernel, *(p.kernel for p in programs.values()), *alone])
            crew.wait()
        say(f"measuring {count} samples of each")
        measured = measure(shared, problem, found, 0, count, batch, seed, machine)
        for name, k in many.items():  # on noise of their own
            number = max(count * ROLLOUTS // k, 4 * batch, 64)
            measured |= measure(programs[name], problem, found, count, number, batch, seed, machine)
        common = frozenset(found) - frozenset(many)
        evidence = Evidence(measured, claims, Jumps(), truth, None, None, common, batch)
        say("looking at returns alone")
        evidence = _with_returns(problem, theta, evidence, returns, count, seed)
        say("looking for exact means and variances")
        evidence, contradicted = _with_known(problem, theta, found, evidence)
        say("timing each alone")
        times = timed([*programs.values(), shared], seconds, seed, machine)
        verdict = judge(evidence)
        report = None
        if verdict.disagreement:
            say("estimators disagree: checking the problem")
            report = check(problem, theta, min(count, CHECKED), seed)
    costs = dict(zip(found, times, strict=False))
    results = _summary(problem, theta, found, missing, evidence, verdict, report, objective, costs, times[-1], seed)
    return dataclasses.replace(results, contradicted=contradicted)


def _exactly(problem, theta):
    """Return the gradient and J if they are known, else (None, None)."""
    try:
        return exact.gradient(problem, theta), exact.objective(problem, theta)
    except ValueError:
        return None, None


# ---- what there is ---------------------------------------------------------------------------------------------


def _available(problem, theta, own, only, crew):
    """Return {name: estimator} with fitted numbers, {name: Claim}, and {name: why there is none}."""
    rollout_program(problem, theta)  # an error in the user's functions is one of the problem, not of an estimator
    try:
        gradient_program(problem, theta, {"": score()})
    except TraceError:
        raise
    except ValueError:
        pass  # there is none: every estimator that needs one will say so
    own = checked_estimators(own) if own else {}
    tried = candidates(problem, theta) | {name: Candidate(lambda e=e: e, "own", False) for name, e in own.items()}
    unknown = set(only or ()) - set(tried)
    if unknown:
        raise ValueError(f"only: expected names among {', '.join(tried)}, got {', '.join(sorted(unknown))}")
    tried = {name: x for name, x in tried.items() if only is None or name in only}
    found, claims, missing = {}, {}, {}
    followed = _followed(problem, theta)
    for name in sorted(tried, key=lambda name: tried[name].pilot):  # the compiler can begin while others are fitted
        try:
            made = fitted(problem, theta, {name: tried[name].make()})
            crew.submit([gradient_program(problem, theta, made).kernel])
            family = tried[name].family
            rests = RESTS_ON[family] if family in RESTS_ON else rests_on(problem, theta, made[name])
            rests = rests | followed if SCORE in rests or MEASURE in rests else rests
            unbiased = tried[name].unbiased or (family == "own" and is_unbiased(made[name]))
            claims[name] = Claim(family, rests, unbiased, is_smoothed(made[name]))
            found |= made
        except ValueError as error:
            if name in own and isinstance(error, TraceError):
                raise
            missing[name] = str(error)
    if not found:
        raise ValueError(f"problem: no estimator exists for it: {next(iter(missing.values()))}")
    return *({name: x[name] for name in tried if name in x} for x in (found, claims)), missing


def _followed(problem, theta):
    """Return what score functions rest on besides the score, where there are functions of theta to follow.

    Actions are drawn and may jump with theta, they are scored: a jump of the return need not lie on the way of what is
    followed. It does where nothing but comparisons lies on it, and does not where there is none.
    """
    try:
        if DERIVATIVES not in rests_on(problem, theta, reward_to_go()):
            return frozenset()
    except ValueError:
        return frozenset()
    inputs = Inputs(problem)
    if flat_parameters(inputs, scored=True):
        return frozenset({DERIVATIVES})
    return frozenset({IN_PART} if may_jump(inputs) else ())


# ---- what returns alone say ------------------------------------------------------------------------------------


def _with_returns(problem, theta, evidence, returns, count, seed):
    """Return the evidence with what returns alone say: Jumps, and central differences where the gradient is not known.

    Differences are along the axes or, of many parameters, along some directions; jumps are searched for where somebody follows
    derivatives. Problems with a closed form are the library's own, and declare what jumps.
    """
    environment, batch = problem.environment, evidence.batch
    known = environment.closed_form is not None and problem.policy.closed_form is not None
    search = any(claim.rests & {DERIVATIVES, IN_PART} for claim in evidence.claims.values())
    search = search and not known and not environment.discontinuous
    evidence = evidence._replace(jumps=Jumps(environment.discontinuous))
    if evidence.exact is not None and not search:
        return evidence

    def differences(lines, most):
        number = int(np.clip(most // (8 * len(lines)), min(64 * batch, count), count))
        return slopes(returns, theta, lines, number)

    lines = directions(theta, seed)
    found = differences(lines, DIFFERENCES)
    if search and (near := return_jumps(returns, theta, lines, found.widths)):
        x = max(near, key=lambda jump: abs(jump.size))
        evidence = evidence._replace(
            jumps=Jumps(None, f"that of trajectory {x.trajectory} by {x.size:.3g}, for example")
        )
    if evidence.exact is not None:
        return evidence
    if not evidence.sound() and len(theta) <= AXES:  # nothing else can be the reference
        lines = np.eye(len(theta))
        found = differences(lines, 8 * DIFFERENCES)
    return evidence._replace(slopes=found, directions=lines)


def _with_known(problem, theta, found, evidence):
    """Return the evidence with exact moments, and the names of those whose exact moments are not those that were measured."""
    finite = {name: e for name, e in found.items() if not evidence.found(name).nonfinite}
    known = exactly(problem, theta, finite)
    most = limit(2 * len(theta) * max(len(known), 1))
    wrong = tuple(name for name, x in known.items() if contradicts(x, evidence.measured[name].moments, name, most))
    return evidence._replace(known={name: x for name, x in known.items() if name not in wrong}), wrong


# ---- what it means ---------------------------------------------------------------------------------------------


def _summary(problem, theta, found, missing, evidence, verdict, report, objective, costs, together, seed):
    size = float(np.linalg.norm(verdict.gradient))
    rows = []
    for name, e in found.items():
        x, claim, apart = evidence.found(name), evidence.claims[name], verdict.apart[name]
        known, total = evidence.known.get(name), x.total_variance
        low, high = x.total_variance_interval()
        if known is not None:
            total = low = high = float(known.variance.sum())
        cosine, cosine_stderr = _cosine(evidence.measured[name].batches_of(name), verdict.gradient)
        row = Row(
            estimator=name,
            family=claim.family,
            knows=knows(e).kind,
            exact_values=any(isinstance(getattr(e, x, None), (Exact, Value)) for x in ("critic", "baseline")),
            unbiased=evidence.unbiased(name) or (claim.unbiased and evidence.broken(name)),
            smoothed=claim.smoothed,
            jumps=evidence.broken(name),
            rollouts=rollouts(e, problem),
            count=x.count,
            nonfinite=x.nonfinite,
            exact="" if known is None else known.by,
            mean=evidence.mean(name),
            stderr=x.stderr if known is None else known.stderr,
            variance=total,
            variance_stderr=x.total_variance_stderr if known is None else 0.0,
            variance_low=low,
            variance_high=high,
            rests_on_few=known is None and _rests_on_few(x),
            signal_to_noise=size / math.sqrt(total) if total > 0 else math.inf,
            cosine=cosine,
            cosine_stderr=cosine_stderr,
            nanoseconds=costs[name][0],
            nanoseconds_spread=costs[name][1],
            bias_z=None if apart is None else apart.worst,
            visible_bias=None if apart is None else apart.visible(verdict.threshold, size),
        )
        rows.append(row)
    rows.sort(key=lambda row: row.price if math.isfinite(row.price) else math.inf)
    return Comparison(
        title=_title(problem),
        parameters=problem.parameters,
        rows=tuple(rows),
        missing=missing,
        verdict=verdict,
        jumps=evidence.jumps,
        report=report,
        objective=objective,
        moments={name: evidence.measured[name].moments for name in found},
        batch=evidence.batch,
        seed=seed,
        together=together,
        no_score=problem.policy.no_score,
        slopes=evidence.slopes,
        floor=floor(problem, theta) if evidence.exact is not None else None,
    )


def _rests_on_few(x):
    """Tell whether a variance that matters in the total rests on few trajectories."""
    return bool(np.any(x.rests_on_few & (x.variance > 0.1 * x.total_variance)))


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
