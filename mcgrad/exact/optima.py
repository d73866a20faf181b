"""What can be asked about metrics, second derivatives, optima and problems without end; see `questions`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..problem import Problem
from .answers import WORK, answered
from .arguments import checked_arguments
from .linear_quadratic.optimum import Optimum
from .records import DifferentialValue
from .theory import Array, Theory

# ---- metrics, second derivatives, optima -------------------------------------------------------------------------


@checked_arguments
def fisher(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return the Fisher matrix E[Z Z^T] of a trajectory, Z = sum_t z_t the score of all its actions, (P, P).

    It is that of the distribution of trajectories under theta: neither rewards nor the discount have a part in it.

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
    ValueError
        For a policy without noise, which has no score.

    References
    ----------
    Amari (1998), Natural gradient works efficiently in learning; Bagnell and Schneider (2003), Covariant policy search.
    """
    return answered("fisher", problem, theta, lambda theory: theory.fisher(), work)


@checked_arguments
def natural_gradient(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return F^-1 dJ/dtheta with the Fisher matrix of `fisher`, (P,); of logits, which are redundant, the shortest.

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
    ValueError
        For a policy without noise, which has no score.

    References
    ----------
    Amari (1998), Natural gradient works efficiently in learning; Kakade (2002), A natural policy gradient.
    """
    return answered("natural_gradient", problem, theta, lambda theory: theory.natural_gradient(), work)


@checked_arguments
def hessian_vector_product(problem: Problem, theta: ArrayLike, v: ArrayLike, *, work: float = WORK) -> Array:
    """Return H v, H = d^2 J / dtheta^2 the Hessian of the objective: (P,).

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    v : (P,) array
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    """
    return answered("hessian_vector_product", problem, theta, lambda theory: theory.hessian_vector_product(v), work)


@checked_arguments
def hessian(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return H = d^2 J / dtheta^2, (P, P).

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

    def rows(theory: Theory) -> Array:
        return np.array([theory.hessian_vector_product(v) for v in np.eye(theory.parameters)])

    return answered("hessian", problem, theta, rows, work)


@checked_arguments
def hessian_vector_product_variance(problem: Problem, theta: ArrayLike, v: ArrayLike) -> Array:
    """Return the variance of one trajectory's pathwise estimate of H v, (P,).

    That is `mcgrad.estimators.reparameterization()` on `mcgrad.directional(problem, v)`.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    v : (P,) array

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic ones.
    """
    return answered(
        "hessian_vector_product_variance",
        problem,
        theta,
        lambda theory: theory.hessian_vector_product_variance(v),
        work=0,
    )


@checked_arguments
def optimum(problem: Problem, theta: ArrayLike) -> Optimum:
    """Return the constant gain of largest J over the horizon, starting from theta.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Returns
    -------
    Optimum
        `gain` (m, n), `objective`, `gradient_norm` there, and `iterations`; a local maximum.

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic ones.
    ValueError
        Where J is unbounded in a direction that is tried, or Newton's method does not converge.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> best = mg.exact.optimum(problem, [-0.6])
    >>> best.gain.round(4), round(best.objective, 4)
    (array([[-1.3429]]), -2.6372)
    """
    return answered("optimum", problem, theta, lambda theory: theory.optimum(), work=0)


# ---- problems without end ----------------------------------------------------------------------------------------


@checked_arguments
def average_reward(problem: Problem, theta: ArrayLike) -> float:
    """Return J = lim 1/T E[sum_{t<T} r_t]; the horizon, the start and the terminal reward play no part.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic and tabular ones.
    ValueError
        For a discount; where A + B K is not stable; for tables that end, or have several recurrent classes.
    """
    return _without_discount("average_reward", problem, theta, lambda theory: theory.average_reward())


@checked_arguments
def average_gradient(problem: Problem, theta: ArrayLike) -> Array:
    """Return the gradient of the average reward, (P,), by the policy gradient theorem.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic and tabular ones.
    ValueError
        As of `average_reward`.

    References
    ----------
    Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with function
    approximation; Marbach and Tsitsiklis (2001), Simulation-based optimization of Markov reward processes.
    """
    return _without_discount("average_gradient", problem, theta, lambda theory: theory.average_gradient())


@checked_arguments
def differential_value(problem: Problem, theta: ArrayLike) -> DifferentialValue:
    """Return V(s) = E[sum_t (r_t - J) | s_0 = s] as a function of s, with its arrays.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Returns
    -------
    DifferentialValue
        V(s), for one state or many; its arrays. Its mean over the stationary distribution is 0.

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic and tabular ones.
    ValueError
        As of `average_reward`.
    """
    return _without_discount("differential_value", problem, theta, lambda theory: theory.differential_value())


@checked_arguments
def stationary(problem: Problem, theta: ArrayLike) -> Array:
    """Return the stationary distribution of the state: probabilities (S,), or the covariance (n, n) about mean 0.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic and tabular ones.
    ValueError
        As of `average_reward`.
    """
    return _without_discount("stationary", problem, theta, lambda theory: theory.stationary())


def _without_discount(what: str, problem: Problem, theta: ArrayLike, question: Callable[[Theory], Any]) -> Any:
    if problem.discount_varies or problem.discount != 1.0:
        raise ValueError(f"problem: expected no discount for the average reward, got {problem.discount}")
    return answered(what, problem, theta, question, work=0)
