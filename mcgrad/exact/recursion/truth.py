"""What baselines and critics are told: the answers of closed forms, and the recursion's value function where there is none."""

from __future__ import annotations

import functools
import weakref
from typing import Any

from numpy.typing import ArrayLike

from ...kernels.memo import key_of
from ...problem import Problem
from ...truth import Truth
from .. import questions
from ..records import ValueFunction
from ..theory import NoClosedForm
from ..truth import TRUTH as CLOSED
from .refine import Options, Work
from .values import value_within

WORK, TOLERANCE = 5.0, 1e-4  # a baseline may be off by more: whatever function of the state it is, nothing is biased
MOST = 8  # thetas of a problem that are remembered

_known: weakref.WeakKeyDictionary[Problem, dict[tuple[Any, ...], ValueFunction | NoClosedForm]]
_known = weakref.WeakKeyDictionary()


def truth_within(work: float) -> Truth:
    """Return the truth where the recursion may cost so much work."""
    return CLOSED._replace(value=functools.partial(_value, work))


def _value(work: float, problem: Problem, theta: ArrayLike) -> ValueFunction:
    """Return a value function, remembered as what was refused is, too."""
    theta = problem.theta(theta)
    try:
        return questions.value(problem, theta)
    except NoClosedForm as error:
        # With the structure: a function may read something that has been given another value since.
        known, key = _known.setdefault(problem, {}), (work, theta.tobytes(), key_of("value", problem))
        if key not in known or key[-1] is None:
            while len(known) >= MOST:
                known.pop(next(iter(known)))
            try:
                known[key] = value_within(problem, theta, Options(TOLERANCE, Work(work), explains=False))
            except NoClosedForm as other:
                known[key] = NoClosedForm(f"{error}; {other}; mg.baselines.fitted_value() works everywhere")
        found = known[key]
        if isinstance(found, NoClosedForm):
            raise found from None
        return found


TRUTH = truth_within(WORK)
