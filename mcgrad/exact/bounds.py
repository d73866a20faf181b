"""Efficiency bounds: what no estimator made of trajectories alone can go below, and what the one that gets there needs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..problem import Problem
from .answers import answered
from .arguments import checked_arguments
from .records import GradientNews

MODELS = ("markov", "tree", "stationary")


@checked_arguments
def efficiency_bound(
    problem: Problem, theta: ArrayLike, model: str = "markov", matrix: bool = False
) -> NDArray[np.float64]:
    """Return the semiparametric efficiency (Cramer-Rao) bound of dJ/dtheta for one trajectory; divide it by N.

    Data are N independent trajectories of the policy at theta, which is known; the law of the start and those of rewards and
    next states are not. With z_t the score, Z_t = z_0 + .. + z_t, V, Q and dV, dQ the exact values and their derivatives,

        omega_t = r_t + V_{t+1}(s_{t+1}) - Q_t(s_t, a_t),     n_t = dV_{t+1}(s_{t+1}) - dQ_t(s_t, a_t),

        tree         Cov dV_0 + sum_t E (Z_t omega_t + n_t)(..)^T
        markov       Cov dV_0 + sum_t E (zeta_t omega_t + n_t)(..)^T,     zeta_t = E[Z_t | s_t, a_t]
        stationary   Cov dV_0 + E sum_t h_t h_t^T,     h_t = sum_k w_k(s_t) phi_k(s_t, a_t, r_t, s_{t+1}), with phi_k the markov
                     term of stage k and w_k(s) the share of the visits of s that are made at time k

    and stationary <= markov <= tree as matrices. One estimator attains the tree bound with a single trajectory:
    `estimators.doubly_robust()` with the exact critic. The other two are reached for N to infinity.

    Who cannot go below. At any N, what is unbiased for every law of the environment: score functions with any fixed
    baseline, action, trajectory and doubly robust control variates with any fixed critic, right or wrong, leave one out
    (tree, always; the other two if it is unbiased for all environments of that kind). For N to infinity, regular
    estimators that fit their critics to the same data.

    Who is outside. Oracles, unbiased only where the critic that they were given is the true one: `advantage`, `q_function`,
    `all_actions`, `value_gradient`, `generalized_advantage` with decay < 1. Pathwise gradients, which see derivatives of the
    simulator; mirrored and common noise, perturbed parameters, branches, other behaviour policies. See `estimators.knows`.

    Parameters
    ----------
    problem : Problem
        Tabular (softmax policy), a bandit (all three coincide), or linear-quadratic with a linear-Gaussian policy.
    theta : (P,) array
    model : str
        What an estimator may know of the environment: "tree", nothing; "markov", that states are Markov; "stationary", that
        moreover the law of rewards (before their discount) and next states is the same at all times.
    matrix : bool
        Return all of the matrix; else its diagonal, to be compared with `exact.variance`.

    Returns
    -------
    (P,) or (P, P) array
        In units of (reward / parameter)^2. Time O(T P (1 + n + m)^3), and T P^2 (n + m)^2 for matrices; of tables
        O(T S^2 A P), and P times that.

    Raises
    ------
    NoClosedForm
        For other problems; for "stationary" with more than one state variable, unless the state has one distribution at all
        times; for "markov" without a horizon.
    ValueError
        For another model; for a policy without noise, which has no score.

    References
    ----------
    Kallus and Uehara (2020), Statistically efficient off-policy policy gradients; Huang and Jiang (2020), From importance
    sampling to doubly robust policy gradient; van der Vaart (1998), Asymptotic statistics, chapter 25.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> mg.exact.efficiency_bound(problem, [-0.6], "tree").round(2)
    array([15.15])
    """
    validate.one_of("model", model, MODELS)
    matrix = validate.flag("matrix", matrix)
    return answered("efficiency_bound", problem, theta, lambda theory: theory.efficiency_bound(model, matrix), work=0)


@checked_arguments
def gradient_news(problem: Problem, theta: ArrayLike) -> GradientNews:
    """Return what an action decides of the gradient to go, dQ_t(s, a)/dtheta - E_a[dQ_t(s, a)/dtheta | s].

    Parameters
    ----------
    problem : Problem
    theta : (P,) array

    Returns
    -------
    GradientNews
        N(t, s, a), (P,) for one state and action or (N, P) for many; its arrays.

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic and tabular ones.

    References
    ----------
    Huang and Jiang (2020), From importance sampling to doubly robust policy gradient.
    """
    return answered("gradient_news", problem, theta, lambda theory: theory.gradient_news(), work=0)
