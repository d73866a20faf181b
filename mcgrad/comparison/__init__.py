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
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import exact, validate
from ..checks import check
from ..checks.gradients import directions
from ..checks.jumps import return_jumps
from ..compiler.trace import TraceError
from ..costs import timed
from ..differences import ReturnKernel, Slopes, return_kernel, slopes
from ..estimators.estimator import Estimator, rollouts
from ..estimators.reward_to_go import reward_to_go
from ..estimators.score import score
from ..kernels.flat import flat_parameters, may_jump
from ..kernels.inputs import Inputs
from ..kernels.program import checked, gradient_program, rollout_program
from ..kernels.step_view import DiscontinuityWarning
from ..pilots import fitted
from ..precompile import CompilerPool
from ..prepare import checked_estimators
from ..problem import Problem
from .candidates import DERIVATIVES, IN_PART, MEASURE, RESTS_ON, SCORE, Candidate, candidates
from .comparison import ROLLOUTS, Comparison
from .evidence import Claim, Evidence, Jumps
from .known import contradicts, exactly
from .measuring import measure
from .rests import is_smoothed, is_unbiased, rests_on
from .summary import concluded
from .verdict import judge, limit

Array: TypeAlias = NDArray[np.float64]

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

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> names = ["score function", "reward to go, exact value"]
    >>> found = mg.compare(arms, np.log([0.5, 0.3, 0.2]), count=1000, only=names, seconds=1e-3, machine="numpy")
    >>> [round(found[name].variance, 4) for name in names]  # exact here, of one sample, summed over parameters
    [1.0022, 0.3048]
    """
    theta, say = checked(problem, theta), say or (lambda text: None)
    batch = validate.integer("batch", batch, 1)
    count = validate.integer("count", count, max(4 * batch, 64))
    seed = validate.integer("seed", seed, 0, 2**64 - 1)
    truth, objective = _exactly(problem, theta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiscontinuityWarning)  # it is among the notes
        with CompilerPool(machine=machine) as pool:
            say("looking for the estimators that exist here")
            found, claims, missing = _available(problem, theta, estimators, only, pool)
            programs = {name: gradient_program(problem, theta, {name: e}) for name, e in found.items()}
            many = {name: k for name, e in found.items() if (k := rollouts(e, problem)) > ROLLOUTS}
            many = many if len(many) < len(found) else {}
            shared = gradient_program(problem, theta, {name: e for name, e in found.items() if name not in many})
            say(f"compiling the kernels of {len(found)} estimators that are not compiled yet")
            returns = return_kernel(problem, theta, seed, machine)
            alone = [returns.kernel] if truth is None else []
            pool.submit([shared.kernel, *(p.kernel for p in programs.values()), *alone])
            pool.wait()
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
    results = concluded(problem, theta, found, missing, evidence, verdict, report, objective, costs, times[-1], seed)
    return dataclasses.replace(results, contradicted=contradicted)


def _exactly(problem: Problem, theta: Array) -> tuple[Array, float] | tuple[None, None]:
    """Return the gradient and J if they are known, else (None, None)."""
    try:
        return exact.gradient(problem, theta, work=0), exact.objective(problem, theta, work=0)
    except ValueError:
        return None, None


# ---- what there is ---------------------------------------------------------------------------------------------


def _available(
    problem: Problem,
    theta: Array,
    own: dict[str, Estimator] | None,
    only: Sequence[str] | None,
    pool: CompilerPool,
) -> tuple[dict[str, Estimator], dict[str, Claim], dict[str, str]]:
    """Return {name: estimator} with fitted numbers, {name: Claim}, and {name: why there is none}."""
    rollout_program(problem, theta)  # an error in the user's functions is one of the problem, not of an estimator
    try:
        gradient_program(problem, theta, {"": score()})
    except TraceError:
        raise
    except ValueError:
        pass  # there is none: every estimator that needs one will say so
    own = checked_estimators(own) if own else {}
    tried = candidates(problem, theta) | {name: _own(e) for name, e in own.items()}
    unknown = set(only or ()) - set(tried)
    if unknown:
        raise ValueError(f"only: expected names among {', '.join(tried)}, got {', '.join(sorted(unknown))}")
    tried = {name: x for name, x in tried.items() if only is None or name in only}
    found: dict[str, Estimator] = {}
    claims: dict[str, Claim] = {}
    missing: dict[str, str] = {}
    followed = _followed(problem, theta)
    for name in sorted(tried, key=lambda name: tried[name].pilot):  # the compiler can begin while others are fitted
        try:
            made = fitted(problem, theta, {name: tried[name].make()})
            pool.submit([gradient_program(problem, theta, made).kernel])
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
    made = {name: found[name] for name in tried if name in found}
    return made, {name: claims[name] for name in made}, missing


def _own(estimator: Estimator) -> Candidate:
    return Candidate(lambda: estimator, "own", False)


def _followed(problem: Problem, theta: Array) -> frozenset[str]:
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


def _with_returns(
    problem: Problem, theta: Array, evidence: Evidence, returns: ReturnKernel, count: int, seed: int
) -> Evidence:
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

    def differences(lines: Array, most: int) -> Slopes:
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


def _with_known(
    problem: Problem, theta: Array, found: Mapping[str, Estimator], evidence: Evidence
) -> tuple[Evidence, tuple[str, ...]]:
    """Return the evidence with exact moments, and the names of those whose exact moments are not those that were measured."""
    finite = {name: e for name, e in found.items() if not evidence.found(name).nonfinite}
    known = exactly(problem, theta, finite)
    most = limit(2 * len(theta) * max(len(known), 1))
    wrong = tuple(name for name, x in known.items() if contradicts(x, evidence.measured[name].moments, name, most))
    return evidence._replace(known={name: x for name, x in known.items() if name not in wrong}), wrong
