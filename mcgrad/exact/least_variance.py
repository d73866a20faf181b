"""What can be asked about coefficients and baselines of least variance, and about how a variance grows; see `questions`."""

from numpy.typing import ArrayLike

from ..estimators import Estimator
from ..estimators import kinds as estimators
from ..problem import Problem
from . import algebra
from .answers import WORK, answered
from .arguments import checked_arguments
from .linear_quadratic.exponents import Scaling
from .linear_quadratic.off_policy import Limits
from .theory import Array


@checked_arguments
def coefficients(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return the variance-optimal coefficients of a control variate, (k, P), or (k, P, P) if it is `full`.

        c_p = Cov(h_p)^-1 Cov(h_p, g_p),    h the k controls

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator
        A `control_variate`, with coefficients or without.
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    ValueError
        For another estimator.

    References
    ----------
    Lavenberg and Welch (1981), A perspective on the use of control variables to increase the efficiency of Monte Carlo
    simulations.
    """
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    return answered("coefficients", problem, theta, lambda theory: algebra.coefficients(theory, estimator), work)


@checked_arguments
def optimal_over_time(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return b_tp = Cov(g_p, z_tp) / Var z_tp, to be subtracted from an estimator as sum_t b_t z_t: (T, P).

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator
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
    Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning.
    JMLR 5, 1471.
    """
    return answered(
        "optimal_over_time", problem, theta, lambda theory: algebra.optimal_over_time(theory, estimator), work
    )


@checked_arguments
def total_optimal_over_time(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return the b_t of least total variance, (T,): b_t = sum_p Cov(g_p, z_tp) / sum_p Var z_tp.

    Of linear-quadratic problems the sums are over the gain K.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator
    work : float
        As of `mean`.

    Raises
    ------
    NoClosedForm
        Where no closed form is known, and the recursion does not apply or converge.
    ValueError
        For a policy without noise, which has no score.
    """
    return answered(
        "total_optimal_over_time",
        problem,
        theta,
        lambda theory: algebra.total_optimal_over_time(theory, estimator),
        work,
    )


@checked_arguments
def total_optimal_constant(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> float:
    """Return the b of least total variance, b = sum_p Cov(g_p, Z_p) / sum_p Var Z_p with Z = sum_t z_t.

    Of linear-quadratic problems the sums are over the gain K.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator
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
    Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement learning.
    """
    return answered(
        "total_optimal_constant", problem, theta, lambda theory: algebra.total_optimal_constant(theory, estimator), work
    )


@checked_arguments
def naive_optimal_over_time(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return b_tp = E[z_tp^2 G_t] / E[z_tp^2], which is not optimal: (T, P).

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
    """
    return answered("naive_optimal_over_time", problem, theta, lambda theory: theory.naive_over_time(), work)


@checked_arguments
def optimal_quadratic(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the quadratic b_tp(s) = (1, s)^T form_tp (1, s) of least variance for reward to go: (T, P, 1 + n, 1 + n).

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic ones; for estimators other than `reward_to_go()`.
    ValueError
        For a policy without noise, which has no score.
    """
    return answered(
        "optimal_quadratic", problem, theta, lambda theory: algebra.optimal_quadratic(theory, estimator), work=0
    )


@checked_arguments
def self_normalised_limits(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Limits:
    """Return G bias and G variance of self-normalised importance weights for a large group, (P,) both.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator
        `importance_weighted(...)`; G is the size of a group.

    Returns
    -------
    Limits
        `bias` and `variance`, times G, (P,) both.

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic ones.
    ValueError
        For an estimator without importance weights.
    """
    return answered(
        "self_normalised_limits", problem, theta, lambda theory: theory.self_normalised_limits(estimator), work=0
    )


@checked_arguments
def scaling(problem: Problem, theta: ArrayLike, estimator: Estimator, parameters: str = "gain") -> Scaling:
    """Return the predicted exponents of an estimator's variance in the policy's std and in the horizon, with reasons.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimator : Estimator
    parameters : str
        "gain" for those of K, "scale" for those of the log scales.

    Returns
    -------
    Scaling
        `std` (for std -> 0) and `horizon` (for T -> infinity), each with `power` (None: not predicted), `reason` and `rate`.

    Raises
    ------
    NoClosedForm
        For other problems than linear-quadratic ones; for combinations of estimators.
    ValueError
        For other `parameters`.
    """
    return answered("scaling", problem, theta, lambda theory: theory.scaling(estimator, parameters), work=0)
