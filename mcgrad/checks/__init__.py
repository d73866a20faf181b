"""Is what a user wrote down what the estimators take it for? Every question has two independent answers that must agree.

    finite      returns and gradients are numbers on every trajectory
    score       mean zero; that of log_prob, by finite differences; that of the sampler (see `mcgrad.checks.policy`)
    pathwise    that of the return at fixed noise, by finite differences, trajectory by trajectory
    jumps       the return at fixed noise is continuous in theta (see `mcgrad.checks.jumps`)
    means       score function, pathwise gradient and differences of returns (`mcgrad.differences`) have the same mean
    families    which estimators exist here

A mistake shows in the first of these that can see it; what follows may be wrong for the same reason. What would have hidden
an error of a tenth is not ok but a note: not tested, and why.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import estimators as e
from .. import exact, validate
from ..compiler.trace import TraceError
from ..differences import Slopes, slopes
from ..estimators.estimator import Estimator
from ..kernels.program import checked, gradient_program, rollout_program
from ..kernels.step_view import DiscontinuityWarning
from ..pilots import known_value
from ..precompile import compile_ahead
from ..prepare import prepare
from ..problem import Problem
from .findings import Finding, Report, reason
from .gradients import Kernel, Samples, directions, finite, means, needed, pathwise
from .jumps import jumps
from .policy import score

MEMORY = 2**25  # numbers that are kept at once
MORE = 8  # times as many trajectories, where the first hide too much,
STEPS = 2**26  # and no more steps of them than this


def check(
    problem: Problem,
    theta: ArrayLike,
    count: int = 50_000,
    seed: int = 0,
    *,
    say: Callable[[str], object] | None = None,
) -> Report:
    """Return a Report on a problem at theta.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    count : int
        Trajectories whose means are compared, >= 64, more if these hide too much; 512 of them are looked at one by one.
    seed : int
        From 0 to 2^64 - 1.
    say : callable, optional
        say(text) is told what is being done.

    Returns
    -------
    Report
        `print` it; `report.ok`, `report.wrong` and `report["score"].values` are for programs.

    Raises
    ------
    ValueError
        For an argument out of its range; TraceError, which is one, for functions that cannot be traced.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> report = mg.check(arms, np.log([0.5, 0.3, 0.2]), count=1000)
    >>> report.ok, report["score"].status, report["pathwise"].status  # "none": actions are discrete
    (True, 'ok', 'none')
    """
    theta, say = checked(problem, theta), say or (lambda text: None)
    count = validate.integer("count", count, 64)
    seed = validate.integer("seed", seed, 0, 2**64 - 1)
    rollout_program(problem, theta)  # an error in a user's function is raised before anything else
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiscontinuityWarning)
        say("looking for the families of estimators that exist here")
        families, missing = _families(problem, theta)
        kernel = Kernel(problem, theta, families, seed)
        say("compiling kernels that are not compiled yet")
        compile_ahead(kernel.kernels)
        lines = directions(theta, seed)
        most = MEMORY // (kernel.outputs + 10 * len(lines))
        say("comparing gradients with returns beside theta")
        samples, found, agreement = _compared(problem, kernel, lines, min(count, max(most, 64)))
        # More of them, where these hide too much and those that would not are few enough.
        most = min(MORE * count, most, STEPS // (problem.horizon * 10 * len(lines)))
        if more := [k for k in needed(agreement, len(samples["return"])) if k <= most]:
            say(f"the same of {max(more)} trajectories, as {count} hide too much")
            samples, found, agreement = _compared(problem, kernel, lines, max(more))
        findings = [finite(samples, len(samples["return"]))]
        say("looking at single trajectories")
        if "score function" in families:
            findings.append(score(problem, theta, count, seed))
        else:
            findings.append(Finding("score", "none", reason(missing["score function"])))
        if "pathwise" in families:
            apart = agreement.values["pathwise", "finite differences"] | {"limit": agreement.values["limit"]}
            findings.append(pathwise(kernel, lines, found, samples))
            findings.append(jumps(problem, kernel, lines, found, apart))
        else:
            findings.append(Finding("pathwise", "none", reason(missing["pathwise"])))
        findings.append(agreement)
    text = f"{', '.join(families)}" + "".join(f"\nnot here: {x} ({reason(why)})" for x, why in missing.items())
    findings.append(Finding("families", "note", text, {"exist": tuple(families), "missing": missing}))
    return Report(tuple(findings))


def _compared(
    problem: Problem, kernel: Kernel, lines: NDArray[np.float64], count: int
) -> tuple[Samples, Slopes, Finding]:
    """Return samples, Slopes and the Finding on means of `count` trajectories."""
    samples = kernel.samples(0, count)
    found = slopes(kernel.returns, kernel.theta, lines, count)
    return samples, found, means(problem, lines, found, samples)


def _families(problem: Problem, theta: NDArray[np.float64]) -> tuple[dict[str, Estimator | None], dict[str, str]]:
    """Return {name: a member} of each family of estimators that exists, and {name: why there is none}."""
    members = {
        "score function": lambda: e.reward_to_go(known_value(problem, theta)),
        "pathwise": e.reparameterization,
        "measure-valued": e.measure_valued,
        "evolution strategies": lambda: e.evolution_strategies(0.1),
        "exact critics": e.q_function,
    }
    families: dict[str, Estimator | None] = {}
    missing: dict[str, str] = {}
    for name, make in members.items():
        try:
            member = prepare({name: make()})[name]
            gradient_program(problem, theta, {name: member})
            families[name] = member
        except ValueError as error:
            if isinstance(error, TraceError) and name == "score function":
                raise
            missing[name] = str(error)
    try:
        exact.gradient(problem, theta, work=0)
        families["exact gradient"] = None
    except ValueError as error:
        missing["exact gradient"] = str(error)
    return families, missing
