"""The door of this room: what a question is asked with is checked by the names of its arguments, once for all questions."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from .. import validate
from ..estimators.estimator import checked
from ..problem import Problem

Question = TypeVar("Question", bound=Callable[..., Any])


def checked_arguments(function: Question) -> Question:
    """Check `problem`, `theta`, `estimator`, `first`, `second`, `other` and `v` of a function before it is called.

    Raises
    ------
    ValueError
        Naming the argument, what was expected, and what came.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def ask(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options)
        given = bound.arguments
        problem = given["problem"]
        if not isinstance(problem, Problem):
            raise ValueError(f"problem: expected a Problem, got {validate.describe(problem)}")
        for name, value in given.items():
            if name == "theta":
                given[name] = problem.theta(value)
            elif name == "v":
                given[name] = validate.array("v", value, (len(problem.parameters),))
            elif name in ("estimator", "first", "second") and not (
                value is None and signature.parameters[name].default is None
            ):
                checked(name, value)
        return function(*bound.args, **bound.kwargs)

    return cast(Question, ask)


def of_each(together: Callable[[Sequence[Problem], Any], Any] | None = None) -> Callable[[Question], Question]:
    """Let a function answer for a batch: theta of shape (B, P), or a sequence of B problems, or both; a leading axis of B.

    Parameters
    ----------
    together : callable, optional
        (problems, thetas) -> the answers of all at once, (B, ...), or None where they are found one by one.

    Raises
    ------
    ValueError
        For other numbers of problems than of thetas.
    """

    def decorate(function: Question) -> Question:
        @functools.wraps(function)
        def ask(problem: Any, theta: Any, *arguments: Any, **options: Any) -> Any:
            several = isinstance(problem, Sequence) and not isinstance(problem, str)
            many = len(validate.shape(theta)) == 2 and len(theta) > 0
            if not several and not many:
                return function(problem, theta, *arguments, **options)
            B = len(problem) if several else len(theta)
            if B == 0:
                raise ValueError("problem: expected a Problem, or a sequence of some, got an empty one")
            if many and len(theta) != B:
                raise ValueError(f"theta: expected one for each of {B} problems, got {len(theta)}")
            problems, thetas = problem if several else [problem] * B, theta if many else [theta] * B
            if together is not None and all(isinstance(x, Problem) for x in problems):
                thetas = np.stack([x.theta(t) for x, t in zip(problems, thetas, strict=True)])
                with np.errstate(all="ignore"):
                    found = together(problems, thetas)
                if found is not None and np.isfinite(found).all():  # else the first that overflows is named below
                    return found
            return np.stack([function(x, t, *arguments, **options) for x, t in zip(problems, thetas, strict=True)])

        return cast(Question, ask)

    return decorate
