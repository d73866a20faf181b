"""What can be asked about the values of a `Problem` and about estimators: its theory answers, and the algebra on top of it.

Every question goes through `answered`: closed forms first, and the recursion over the state where none is known.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from ..estimators import Estimator
from ..problem import Problem
from . import algebra, linear_quadratic, tabular
from .answers import TOLERANCE, WORK, answered
from .arguments import checked_arguments, of_each
from .records import ExactCritic, ValueFunction
from .theories import stack_of, theory_of
from .theory import Array, NoClosedForm


def _together(answer: Callable[[linear_quadratic.Stack], Array], problems: Sequence[Problem], thetas: Array) -> Any:
    """Return the answers for linear-quadratic problems of one shape, all at once, or None for others."""
    try:
        stack = stack_of(problems, thetas)
    except NoClosedForm:  # one of them is not what it says that it is: they are asked one by one
        return None
    return None if stack is None else answer(stack)


# ---- values ------------------------------------------------------------------------------------------------------


@of_each(lambda problems, thetas: _together(linear_quadratic.values.objective, problems, thetas))
@checked_arguments
def objective(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> float:
    """Return J(theta) = E[sum_t gamma^t r_t + gamma^T r_T], a float; for B thetas, (B, P), or B problems (B,).

    `gradient`, `mean` and `variance` take such batches, too: every result has a leading axis. Objectives and gradients of
    linear-quadratic problems of one shape, horizon and discount are found all at once, equal to those found one by one up to
    rounding (1e-13 of the largest).

    Parameters
    ----------
    problem : Problem, or sequence of B Problem
    theta : (P,) array, or (B, P)
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    ValueError
        For an argument of another kind or shape, named: so in all functions of this room.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> round(mg.exact.objective(problem, [-0.6]), 7)
    -3.2686661
    """
    return answered("objective", problem, theta, lambda theory: theory.objective, work)


@of_each(lambda problems, thetas: _together(linear_quadratic.values.gradient, problems, thetas))
@checked_arguments
def gradient(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return dJ/dtheta, (P,).

    Parameters
    ----------
    problem : Problem, or sequence of B Problem
    theta : (P,) array, or (B, P)
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> theta = np.log([0.5, 0.3, 0.2])
    >>> mg.exact.gradient(arms, theta).round(12)
    array([-0.05,  0.27, -0.22])
    """
    return answered("gradient", problem, theta, lambda theory: theory.gradient(), work)


@checked_arguments
def value(
    problem: Problem,
    theta: ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    box: tuple[ArrayLike, ArrayLike] | None = None,
    work: float = WORK,
) -> ValueFunction:
    """Return V_t(s) = E[G_t | s_t = s], discounted from time 0, as a function of t and s, with its arrays if it has any.

    Where no closed form is known it is found by the recursion of `moments`, on tables, polynomials or grids; nothing is
    differentiated: rewards and dynamics are all that enters.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    tolerance : float
        Largest change of a value in the box of pilot trajectories at the last refinement, relative to the range of values.
    box : pair of (n,) arrays, optional
        As of `moments`.
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        If there is none, and the recursion does not apply or converge.

    Examples
    --------
    >>> import mcgrad as mg
    >>> policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    >>> V = mg.exact.value(mg.Problem(mg.environments.double_well(), policy, horizon=20), [-0.3, 0.5])
    >>> round(V.objective, 3), V(0, [[-1.0], [1.0]]).round(3)
    (-3.541, array([-3.547, -0.049]))
    """
    return answered("value", problem, theta, lambda theory: theory.value(), work, tolerance, box)


@checked_arguments
def critic(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> ExactCritic:
    """Return Q_t(s, a) = E[G_t | s_t = s, a_t = a], discounted from time 0, as a function of t, s and a with its arrays.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    work : float
        As of `mean`.

    Returns
    -------
    ExactCritic
        Q(t, s, a), for one state and action or many; its arrays, and `value`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.

    Examples
    --------
    >>> import mcgrad as mg
    >>> policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    >>> Q = mg.exact.critic(mg.Problem(mg.environments.double_well(), policy, horizon=5), [-0.3, 0.5])
    >>> Q(0, [[-1.0], [1.0]], [[0.0], [0.0]]).round(3)
    array([-0.955, -0.017])
    """
    return answered("critic", problem, theta, lambda theory: theory.critic(), work)


@checked_arguments
def mean_return_to_go(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return E[G_t] for t = 0, ..., T - 1: the time-dependent mean as a baseline, (T,).

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    """
    return answered("mean_return_to_go", problem, theta, lambda theory: theory.mean_return_to_go(), work)


@checked_arguments
def system(problem: Problem, theta: ArrayLike) -> linear_quadratic.System | tabular.System:
    """Return the arrays of a linear-quadratic or a tabular problem, as its theory takes them.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Returns
    -------
    System
        Of `exact.linear_quadratic` or `exact.tabular`.

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic and tabular ones, bandits among these.
    """
    theory = theory_of(problem, theta)
    if not isinstance(theory, (linear_quadratic.LinearQuadratic, tabular.Tabular)):
        raise NoClosedForm(
            f"no closed form is known for {problem.environment.name}; it is not linear-quadratic or tabular"
        )
    return theory.system


# ---- estimators --------------------------------------------------------------------------------------------------


@of_each()
@checked_arguments
def mean(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return the mean of an estimator, (P,): the gradient, or that and the exact bias.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array, or (B, P): then every result has a leading axis
    estimator : Estimator
    work : float
        What the recursion may cost where no closed form is known, in units of about a second, see `moments`; 0: closed
        forms alone.

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimator, and the recursion does not apply or converge.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> theta = np.log([0.5, 0.3, 0.2])
    >>> of_five = mg.estimators.same_batch_mean(5)  # four fifths of the gradient
    >>> mg.exact.mean(arms, theta, of_five).round(12)
    array([-0.04 ,  0.216, -0.176])
    """
    return answered("mean", problem, theta, lambda theory: algebra.mean(theory, estimator), work)


@of_each()
@checked_arguments
def variance(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return the variance of one sample of an estimator, (P,): that of one trajectory's gradient, or one group's or pair's.

    A control variate whose coefficients are still to be fitted counts with the optimal ones.

    Parameters
    ----------
    problem : Problem, or sequence of B Problem
    theta : (P,) array, or (B, P)
    estimator : Estimator
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    ValueError
        For a policy without noise, which has no score and is asked for one.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> theta = np.log([0.5, 0.3, 0.2])
    >>> mg.exact.variance(arms, theta, mg.estimators.score_function()).round(4)
    array([0.4225, 0.5601, 0.0196])
    """
    return answered("variance", problem, theta, lambda theory: algebra.variance(theory, estimator), work)


@checked_arguments
def covariance(problem: Problem, theta: ArrayLike, first: Estimator, second: Estimator, *, work: float = WORK) -> Array:
    """Return the covariance Cov(X_p, Y_p) of two estimators on the same trajectory, parameter by parameter, (P,).

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    first, second : Estimator
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> path, score = mg.estimators.reparameterization(), mg.estimators.reward_to_go()
    >>> own = mg.exact.covariance(problem, [-0.6], path, path)  # of an estimator with itself: its variance
    >>> own.round(4), bool(mg.exact.covariance(problem, [-0.6], path, score)[0] > 0)
    (array([8.6441]), True)
    """
    return answered("covariance", problem, theta, lambda theory: algebra.covariance(theory, first, second), work)


@checked_arguments
def covariance_matrix(
    problem: Problem, theta: ArrayLike, first: Estimator, second: Estimator | None = None, *, work: float = WORK
) -> Array:
    """Return Cov(X_p, Y_q) of two estimators on the same trajectory for all p and q, (P, P); Y = X by default.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    first, second : Estimator
        X and Y; Y = X by default.
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    """
    return answered(
        "covariance_matrix",
        problem,
        theta,
        lambda theory: algebra.covariance_matrix(theory, first, first if second is None else second),
        work,
    )
