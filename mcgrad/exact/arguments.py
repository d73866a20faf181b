"""The door of this room: what a question is asked with is checked by the names of its arguments, once for all questions."""

import functools
import inspect

from .. import validate
from ..estimators.estimator import checked
from ..problem import Problem


def checked_arguments(function):
    """Check `problem`, `theta`, `estimator`, `first`, `second`, `other` and `v` of a function before it is called.

    Raises
    ------
    ValueError
        Naming the argument, what was expected, and what came.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def ask(*arguments, **options):
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

    return ask
