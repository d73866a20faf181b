"""The door of every question: what it may cost, what has overflowed, and what was found before.

Baselines and critics ask, too (`Truth`). They ask again for every kernel and every measurement, so what the recursion found for
them is remembered.
"""

import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .. import validate
from ..problem import Problem
from ..rollouts import pilot
from ..truth import Truth
from . import algebra
from .leaves import identity
from .recursion.memory import remembered
from .recursion.refine import Options, checked_options
from .recursion.work import Work
from .theories import ask
from .theory import Array, NoClosedForm, Theory

Answer = TypeVar("Answer")

WORK, TOLERANCE = 5.0, 1e-5  # about so many seconds; relative changes at the last refinement of a grid
# Of baselines. They may be off by more: whatever function of the state a baseline is, nothing is biased.
ROUGHLY = 1e-4
ELSE = {  # of what would do as well
    "value": "; mg.baselines.fitted_value() works everywhere",
    "critic": "; mg.estimators.reward_to_go() works everywhere",
    "objective": "; a number will do, too, if it is measured on other trajectories",
    "mean_return_to_go": "; numbers over time will do, too, if they are measured on other trajectories",
}

_overflowed: weakref.WeakKeyDictionary[Problem, set[bytes]] = weakref.WeakKeyDictionary()  # at which thetas


def answered(
    what: str,
    problem: Problem,
    theta: ArrayLike,
    question: Callable[[Theory], Answer],
    work: float = WORK,
    tolerance: float = TOLERANCE,
    box: tuple[ArrayLike, ArrayLike] | None = None,
) -> Answer:
    """Return the answer of a closed form, or of the recursion where none is known.

    Parameters
    ----------
    what : str
        What is asked for, for messages.
    problem, theta
        Checked ones.
    question : callable
        question(theory) -> the answer.
    work : float
        What the recursion may cost, in units of about a second, see `moments`; 0: closed forms alone.
    tolerance, box
        As of `moments`.
    """
    work = validate.number("work", work, 0.0)
    options = checked_options(problem, tolerance, box, work or 1.0)
    with options.work:
        return _checked(what, problem, theta, question, options if work else None)


def _checked(
    what: str, problem: Problem, theta: ArrayLike, question: Callable[[Theory], Answer], options: Options | None
) -> Answer:
    """Return an answer: one that overflowed is none."""
    seen: set[str] = set()
    within = min(WORK, options.work.units) if options else WORK
    with np.errstate(over="call", invalid="call", call=lambda kind, _: seen.add(kind)):
        answer = ask(problem, theta, question, options, lambda: truth_within(within))
    # A theory that answers several questions computes what they share once: the first one alone sees that overflow.
    before, place = _overflowed.setdefault(problem, set()), problem.theta(theta).tobytes()
    if "overflow" in seen:
        before.add(place)
    if place in before and not _is_finite(answer):
        raise NoClosedForm(
            f"{what} of {problem.environment.name} over {problem.horizon} steps: numbers beyond 1e308; "
            "shorten the horizon, or count rewards in a larger unit"
        )
    if "overflow" not in seen and seen:
        warnings.warn(f"{', '.join(seen)} in {what}", RuntimeWarning, stacklevel=2)
    return answer


def _is_finite(answer: Any) -> bool:
    parts = answer if isinstance(answer, tuple) else (answer,)
    return all(np.isfinite(x).all() for x in parts if isinstance(x, (float, np.ndarray)))


# ---- for baselines and critics -----------------------------------------------------------------------------------


@functools.cache
def truth_within(work: float) -> Truth:
    """Return what baselines and critics are told, where each answer may cost the recursion so much work."""

    def of(what: str, question: Callable[..., Any]) -> Callable[..., Any]:
        return functools.partial(_remembered, what, question, work)

    return Truth(
        objective=of("objective", lambda theory: theory.objective),
        mean_return_to_go=of("mean_return_to_go", lambda theory: theory.mean_return_to_go()),
        value=of("value", lambda theory: theory.value()),
        critic=of("critic", lambda theory: theory.critic()),
        gradient_news=of("gradient_news", lambda theory: theory.gradient_news()),
        naive_optimal_over_time=of("naive_optimal_over_time", lambda theory: theory.naive_over_time()),
        total_optimal_constant=of("total_optimal_constant", algebra.total_optimal_constant),
        total_optimal_over_time=of("total_optimal_over_time", algebra.total_optimal_over_time),
        optimal_over_time=of("optimal_over_time", algebra.optimal_over_time),
        optimal_quadratic=of("optimal_quadratic", algebra.optimal_quadratic),
        pilot=pilot,
    )


def _remembered(
    what: str, question: Callable[..., Any], work: float, problem: Problem, theta: ArrayLike, *more: Any
) -> Any:
    """Return an answer; what the recursion found is remembered, as what it refused is."""
    theta = problem.theta(theta)

    def asked(theory: Theory) -> Any:
        return question(theory, *more)

    try:
        return _checked(what, problem, theta, asked, None)
    except NoClosedForm:
        pass
    # Estimators come with what is remembered: their identity is theirs as long as they are there.
    key = work, theta.tobytes(), identity(more)
    _, found = remembered(problem, what, key, lambda: (more, _found(what, problem, theta, asked, work)))
    if isinstance(found, NoClosedForm):
        raise found from None
    return found


def _found(what: str, problem: Problem, theta: Array, question: Callable[[Theory], Any], work: float) -> Any:
    with (options := Options(ROUGHLY, Work(work, shown=True), explains=False)).work:
        try:
            return _checked(what, problem, theta, question, options)
        except NoClosedForm as error:
            return NoClosedForm(f"{error}{ELSE.get(what, '')}")
