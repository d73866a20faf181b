"""Continuing problems: the average reward as the objective.

    J(theta) = lim 1/T E[sum_{t<T} r_t],    V(s) = E[sum_t (r_t - J) | s_0 = s], the differential value

A problem without end is estimated from pieces of T steps. Let s_0 come from the stationary distribution mu of theta_0, and
let the piece end with V, both held fixed:

    J~(theta) = 1/T E[sum_{t<T} r_t + V(s_T) | s_0 ~ mu]

Then J~ = J at theta_0, and its gradient there is that of J, for every T: this is the policy gradient theorem, average-reward
case, once for each step. So a continuing problem is an ordinary one with that start and that terminal reward, and every
estimator, critic, baseline and exact variance holds for it. Without V (`bootstrap=False`) the rewards after the piece are
missing; the bias is exact: the difference of `mcgrad.exact.gradient` and `mcgrad.exact.average_gradient`.

References
----------
Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with function approximation,
theorem 1; Marbach and Tsitsiklis (2001), Simulation-based optimization of Markov reward processes; Baxter and Bartlett (2001).
"""

import dataclasses
from typing import Any

from numpy.typing import ArrayLike

from . import validate
from .environments.linear_quadratic import linear_quadratic
from .environments.tabular import continued
from .exact import differential_value, stationary
from .kernels.program import checked
from .problem import Problem


def continuing(problem: Problem, theta: ArrayLike, bootstrap: bool = True) -> Problem:
    """Return the problem of estimating the gradient of the average reward at theta.

    Parameters
    ----------
    problem : Problem
        Linear-quadratic or tabular, without discount, ends and terminal reward; its horizon T is the length of a piece, its
        start is forgotten.
    theta : (P,) array
        Where the gradient is wanted. The problem that is returned holds for this theta alone.
    bootstrap : bool
        Whether a piece ends with the differential value of its last state.

    Returns
    -------
    Problem
        Rewards are divided by T: the mean of its return is the average reward (of a linear-quadratic problem with
        `bootstrap`, up to a constant: its terminal reward -s^T P s has not the mean zero of V).

    Raises
    ------
    ValueError
        For a problem that ends or is discounted, and where there is no stationary distribution.

    References
    ----------
    Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with function
    approximation, theorem 1.
    """
    theta, bootstrap = checked(problem, theta), validate.flag("bootstrap", bootstrap)
    environment = problem.environment
    if problem.discount_varies or problem.discount != 1.0:
        raise ValueError(f"problem: expected no discount for the average reward, got {problem.discount}")
    if environment.done is not None or environment.terminal is not None:
        raise ValueError(f"problem: expected one without an end and a terminal reward, got {environment.name}")
    V: Any = differential_value(problem, theta)  # of a table, or quadratic
    start, T = stationary(problem, theta), problem.horizon
    if environment.choices:
        environment = continued(environment, start, V.V / T if bootstrap else None, T)
    else:
        f = environment.closed_form
        environment = linear_quadratic(
            f.A,
            f.B,
            f.Q / T,
            f.R / T,
            terminal_cost=V.P / T if bootstrap else None,
            process_noise=f.process_noise,
            initial_cov=start,
        )
    return dataclasses.replace(problem, environment=environment)
