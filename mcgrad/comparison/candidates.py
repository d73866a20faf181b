"""The estimators that a problem is tried on when it is not known yet which of them exist for it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import baselines as b
from .. import critics
from .. import estimators as e
from ..baselines.known import Value
from ..exact.answers import truth_within
from ..floor import floor
from ..kernels.inputs import Inputs
from ..kernels.program import gradient_program
from ..pilots import PILOT_COUNT, known_value, mean_to_go
from ..problem import Problem

QUICK = 0.2  # work, about as many seconds, that an exact value function may take where there is no closed form
MOST_COMPONENTS = 8  # of an action that are tried one by one

APART = 30.0  # parameters whose sizes differ by more have widths of their own
SCORE, DERIVATIVES, IN_PART, MEASURE = "score", "derivatives", "derivatives in part", "measure"

# Family -> what its members rest on, besides the returns themselves.
RESTS_ON: dict[str, frozenset[str]] = {
    "score": frozenset({SCORE}),  # the density of the policy
    "measure": frozenset({MEASURE}),  # the decomposition of the derivative of the density
    "pathwise": frozenset({DERIVATIVES}),  # of dynamics, rewards and draws: what they do not see is jumps
    "critic": frozenset({SCORE}),  # in place of returns
    "mixed": frozenset({SCORE, DERIVATIVES}),
    "in part": frozenset({SCORE, IN_PART}),  # of what is followed alone: the rest may jump, and is scored
    "returns": frozenset(),
}


class Candidate(NamedTuple):
    """An estimator to try.

    Attributes
    ----------
    make : callable
        make() -> Estimator; raises ValueError where the problem has none, and its message says why. What is refused later,
        when its kernel is traced, is refused for a reason, too.
    family : str
        One of `RESTS_ON`, which also gives it its look.
    unbiased : bool
        Whether theory says that it is unbiased wherever what it rests on is right and, for derivatives, nothing jumps.
    pilot : bool
        Whether something has to be fitted first.
    """

    make: Callable[[], e.Estimator]
    family: str
    unbiased: bool = True
    pilot: bool = False


def candidates(problem: Problem, theta: ArrayLike) -> dict[str, Candidate]:
    """Return {name: Candidate}; the plain estimator of each family comes before what is derived from it."""
    theta = problem.theta(theta)
    width, words = smoothing(theta)

    @functools.cache
    def to_go() -> NDArray[np.float64]:
        return mean_to_go(problem, theta)

    @functools.cache
    def value() -> b.Baseline:
        return known_value(problem, theta)

    def mixed() -> e.Estimator:
        # The pathwise part first: where there is none, nothing is fitted.
        gradient_program(problem, theta, {"": e.reparameterization()})
        return e.mixture(e.reward_to_go(value()), e.reparameterization())

    def in_part() -> e.Estimator:
        return e.computation_graph(followable(problem, theta), value())

    def mirrored(estimator: e.Estimator) -> e.Estimator:
        if not problem.environment.actions:
            raise ValueError("there are no actions to mirror")
        return e.antithetic(estimator, "actions")

    def fits(make: Callable[[], e.Estimator], family: str) -> Candidate:
        return Candidate(make, family, pilot=True)

    # Critics, exact and fitted, where there are exact ones: as a control variate, and in place of the return.
    with_critics = {}
    if floor(problem, theta) is not None:
        with_critics = {
            "doubly robust, exact critic": Candidate(e.doubly_robust, "score"),
            "doubly robust, fitted critic": fits(lambda: e.doubly_robust(critics.fitted_model()), "score"),
            "all actions, exact critic": Candidate(e.all_actions, "critic"),
            "all actions, fitted critic": Candidate(
                lambda: e.all_actions(critics.fitted_model()), "critic", False, pilot=True
            ),
        }
    # Baselines of zero are run-time numbers as those of the next line are: the two share a kernel.
    return {
        "score function": Candidate(lambda: e.score_function(0.0), "score"),
        "score function, mean return": fits(lambda: e.score_function(to_go()[0]), "score"),
        "score function, optimal constant": fits(lambda: e.score_function(b.optimal_constant(PILOT_COUNT)), "score"),
        "score function, leave one out of 4": Candidate(lambda: e.leave_one_out(4), "score"),
        "reward to go": Candidate(lambda: e.reward_to_go(np.zeros(problem.horizon)), "score"),
        "reward to go, mean to go": fits(lambda: e.reward_to_go(to_go()), "score"),
        "reward to go, optimal constant": fits(lambda: e.reward_to_go(b.optimal_constant(PILOT_COUNT)), "score"),
        "reward to go, fitted value": fits(lambda: e.reward_to_go(value()), "score"),
        "reward to go, exact value": Candidate(lambda: e.reward_to_go(Value(truth_within(QUICK))), "score"),
        "reward to go, mirrored actions": Candidate(lambda: mirrored(e.reward_to_go()), "score"),
        "pathwise": Candidate(e.reparameterization, "pathwise"),
        "pathwise, mirrored actions": Candidate(lambda: mirrored(e.reparameterization()), "pathwise"),
        "pathwise mixed with reward to go": fits(mixed, "mixed"),
        "pathwise in part, reward to go else": fits(in_part, "in part"),
        "measure-valued": Candidate(e.measure_valued, "measure"),
        # Of the objective smoothed over a width, which is not the gradient that was asked for.
        f"evolution strategies, h = {words}": Candidate(lambda: e.evolution_strategies(width), "returns", False),
    } | with_critics


def followable(problem: Problem, theta: NDArray[np.float64]) -> list[int]:
    """Return the random components of the action that can be followed while others are scored, as a hybrid action has them.

    Raises
    ------
    ValueError
        If there are none, or no others: then some other estimator does it.
    """
    fixed = Inputs(problem).functions_of_eta
    random = [i for i in range(problem.environment.actions) if i not in fixed]
    found = []
    for i in random if 1 < len(random) <= MOST_COMPONENTS else ():
        try:
            gradient_program(problem, theta, {"": e.computation_graph((i,))})
            found.append(i)
        except ValueError:
            continue
    if not found or len(found) == len(random):
        raise ValueError("no components of the action can be followed while others have to be scored")
    return found


def smoothing(theta: NDArray[np.float64]) -> tuple[float | tuple[float, ...], str]:
    """Return a width for evolution strategies, and in words: a twentieth of theta's size, to one digit.

    One for all parameters, where these are of one size; where they are not, that of each.
    """
    sizes = np.abs(theta[theta != 0.0])
    if len(sizes) and sizes.max() > APART * sizes.min():
        each = np.where(theta != 0.0, np.abs(theta), np.median(sizes))
        return tuple(0.05 * each), "0.05 |theta|"
    size = float(np.sqrt(np.mean(np.square(theta)))) or 1.0
    width = float(f"{0.05 * size:.1g}")
    return width, f"{width:g}"
