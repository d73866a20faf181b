"""What baselines and critics are told: the answers of closed forms, and the recursion's value function where there is none."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from ...kernels.memo import key_of
from ...problem import Problem
from ...truth import Truth
from .. import questions
from ..records import ExactCritic, ValueFunction
from ..theory import NoClosedForm
from ..truth import TRUTH as CLOSED
from .critics import critic_within
from .refine import Options, Work
from .values import value_within

WORK, TOLERANCE = 5.0, 1e-4  # a baseline may be off by more: whatever function of the state it is, nothing is biased
MOST = 8  # thetas of a problem that are remembered

_known: weakref.WeakKeyDictionary[Problem, dict[tuple[Any, ...], Any]]
_known = weakref.WeakKeyDictionary()


def truth_within(work: float) -> Truth:
    """Return the truth where the recursion may cost so much work."""
    return CLOSED._replace(value=functools.partial(_value, work), critic=functools.partial(_critic, work))


def _value(work: float, problem: Problem, theta: ArrayLike) -> ValueFunction:
    return _either("value", questions.value, value_within, "baselines.fitted_value()", work, problem, theta)


def _critic(work: float, problem: Problem, theta: ArrayLike) -> ExactCritic:
    return _either("critic", questions.critic, critic_within, "estimators.reward_to_go()", work, problem, theta)


def _either(
    name: str,
    closed: Callable[[Problem, Any], Any],
    within: Callable[[Problem, Any, Options], Any],
    otherwise: str,
    work: float,
    problem: Problem,
    theta: ArrayLike,
) -> Any:
    """Return a value function or a critic, in closed form or remembered, as what was refused is, too."""
    theta = problem.theta(theta)
    try:
        return closed(problem, theta)
    except NoClosedForm as error:
        # With the structure: a function may read something that has been given another value since.
        known, key = _known.setdefault(problem, {}), (name, work, theta.tobytes(), key_of("value", problem))
        if key not in known or key[-1] is None:
            while len(known) >= MOST:
                known.pop(next(iter(known)))
            try:
                known[key] = within(problem, theta, Options(TOLERANCE, Work(work), explains=False))
            except NoClosedForm as other:
                known[key] = NoClosedForm(f"{error}; {other}; mg.{otherwise} works everywhere")
        found = known[key]
        if isinstance(found, NoClosedForm):
            raise found from None
        return found


TRUTH = truth_within(WORK)
