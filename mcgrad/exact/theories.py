"""Which theory knows a problem: one table, in one place."""

import functools
from collections.abc import Callable

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
from . import chaotic_map, linear_quadratic, one_step, tabular
from .faithful import check_faithful
from .theory import NoClosedForm, Theory

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


def theory_of(problem: Problem, theta: ArrayLike) -> Theory:
    """Return the theory of a problem at theta; a problem that is asked several questions in a row is read once."""
    return _theory(problem, tuple(problem.theta(theta).tolist()))


@functools.lru_cache(maxsize=4)
def _theory(problem: Problem, theta: tuple[float, ...]) -> Theory:
    make = THEORIES.get(type(problem.environment.closed_form))
    if make is None:
        raise NoClosedForm(
            f"no closed form is known for {problem.environment.name}; it is not linear-quadratic, and of no other kind that "
            "has a theory"
        )
    theory = make(problem, theta)
    check_faithful(problem, np.array(theta))
    return theory
