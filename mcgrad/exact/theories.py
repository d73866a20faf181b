"""Which theory answers for a problem: one table, in one place, and the recursion over the state as its last line."""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..environments.ball_with_wall import BallWithWall
from ..environments.bandit import Bandit
from ..environments.chaotic_map import ChaoticMap
from ..environments.linear_quadratic import LinearQuadratic
from ..environments.one_step import OneStepCost
from ..environments.step_reward import Ramp
from ..environments.tabular import Tabular
from ..problem import Problem
from ..truth import Truth
from . import chaotic_map, linear_quadratic, one_step, tabular
from .faithful import check_faithful, structure
from .recursion.refine import Options
from .recursion.theory import Recursion
from .theory import Array, NoClosedForm, Theory

Answer = TypeVar("Answer")

# Type of `environment.closed_form` -> a function (problem, theta) that returns the theory, or raises `NoClosedForm`.
THEORIES: dict[type, Callable[[Problem, ArrayLike], Theory]] = {
    LinearQuadratic: linear_quadratic.of_problem,
    Tabular: tabular.of_problem,
    Bandit: tabular.of_problem,
    OneStepCost: one_step.OneStep,
    Ramp: one_step.OneStep,
    BallWithWall: one_step.OneStep,
    ChaoticMap: chaotic_map.Chaotic,
}


CHECKED = 16  # thetas of a batch


def ask(
    problem: Problem,
    theta: ArrayLike,
    question: Callable[[Theory], Answer],
    options: Options | None,
    truth: Callable[[], Truth],
) -> Answer:
    """Return what the theory of a problem answers, or else, with options, what the recursion does.

    Parameters
    ----------
    question : callable
        question(theory) -> the answer, or NoClosedForm.
    options : Options, optional
        None: closed forms alone.
    truth : callable
        Returns what the baselines and critics of the recursion's estimators are told.
    """
    try:
        return question(theory_of(problem, theta))
    except NoClosedForm as error:
        if options is None:
            raise
        known = error
    try:
        return question(Recursion(problem, problem.theta(theta), options, truth()))
    except NoClosedForm as error:
        raise NoClosedForm(str(error) if str(known) in str(error) else f"{known}; {error}") from known


def theory_of(problem: Problem, theta: ArrayLike) -> Theory:
    """Return the theory of a problem at theta; a problem that is asked several questions in a row is read once."""
    return _theory(problem, tuple(problem.theta(theta).tolist()), structure(problem))


def stack_of(problems: Sequence[Problem], thetas: Array) -> linear_quadratic.Stack | None:
    """Return linear-quadratic problems of one shape at thetas (B, P) in one; None where they are not that.

    What a closed form speaks of is compared with the functions of a problem at some of the thetas, `CHECKED` or so.
    """
    try:
        stack = linear_quadratic.stack_of(problems, thetas)
    except NoClosedForm:
        return None
    if stack is not None:
        first = {problem: b for b, problem in reversed([*enumerate(problems)])}
        for b in {*first.values(), *np.linspace(0, len(thetas) - 1, CHECKED).astype(int).tolist()}:
            check_faithful(problems[b], thetas[b])
    return stack


@functools.lru_cache(maxsize=4)
def _theory(problem: Problem, theta: tuple[float, ...], _: Hashable) -> Theory:
    make = THEORIES.get(type(problem.environment.closed_form))
    if make is None:
        raise NoClosedForm(
            f"no closed form is known for {problem.environment.name}; it is not linear-quadratic, and of no other kind that "
            "has a theory"
        )
    theory = make(problem, theta)
    check_faithful(problem, np.array(theta))
    return theory
