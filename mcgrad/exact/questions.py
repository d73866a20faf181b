"""What can be asked about the values of a `Problem` and about estimators: its theory answers, and the algebra on top of it.

Every question goes through `answered`: closed forms first, and the recursion over the state where none is known.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from ..estimators import Estimator
from ..estimators import kinds as estimators
from ..problem import Problem
from . import algebra, linear_quadratic, tabular
from .answers import TOLERANCE, WORK, answered
from .arguments import checked_arguments, of_each
from .linear_quadratic.exponents import Scaling
from .linear_quadratic.off_policy import Limits
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
    """Return Q_t(s, a) = E[G_t | s_t = s, a_t = a] as a function of t, s and a, with V_t and with its arrays if it has any.

    Without a closed form it is the mean over the noise of a step of the recursion's value function. Arguments and errors are
    those of `mean`.

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
    """Return E[G_t] for t = 0, ..., T - 1: the time-dependent mean as a baseline, (T,)."""
    return answered("mean_return_to_go", problem, theta, lambda theory: theory.mean_return_to_go(), work)


@checked_arguments
def system(problem: Problem, theta: ArrayLike) -> linear_quadratic.System | tabular.System:
    """Return the arrays of a linear-quadratic or a tabular problem, as its theory takes them.

    Raises
    ------
    NoClosedForm
        If the problem is of another kind.
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

    A control variate whose coefficients are still to be fitted counts with the optimal ones. Arguments and errors are those
    of `mean`.

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
    """Return the covariance of two estimators on the same trajectory, parameter by parameter, (P,); see `mean`.

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

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimators.
    """
    return answered(
        "covariance_matrix",
        problem,
        theta,
        lambda theory: algebra.covariance_matrix(theory, first, first if second is None else second),
        work,
    )


@checked_arguments
def coefficients(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return the variance-optimal coefficients of a control variate, (k, P), or (k, P, P) if it is `full`."""
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    return answered("coefficients", problem, theta, lambda theory: algebra.coefficients(theory, estimator), work)


@checked_arguments
def optimal_over_time(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return b_tp = Cov(g_p, z_tp) / Var z_tp, to be subtracted from an estimator as sum_t b_t z_t: (T, P)."""
    return answered(
        "optimal_over_time", problem, theta, lambda theory: algebra.optimal_over_time(theory, estimator), work
    )


@checked_arguments
def total_optimal_over_time(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> Array:
    """Return the b_t of least total variance (of linear-quadratic problems: over the gain K), (T,)."""
    return answered(
        "total_optimal_over_time",
        problem,
        theta,
        lambda theory: algebra.total_optimal_over_time(theory, estimator),
        work,
    )


@checked_arguments
def total_optimal_constant(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> float:
    """Return the b of least total variance (of linear-quadratic problems: over the gain K)."""
    return answered(
        "total_optimal_constant", problem, theta, lambda theory: algebra.total_optimal_constant(theory, estimator), work
    )


@checked_arguments
def naive_optimal_over_time(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> Array:
    """Return b_tp = E[z_tp^2 G_t] / E[z_tp^2], which is not optimal: (T, P)."""
    return answered("naive_optimal_over_time", problem, theta, lambda theory: theory.naive_over_time(), work)


@checked_arguments
def optimal_quadratic(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the quadratic b_tp(s) = (1, s)^T form_tp (1, s) of least variance for reward to go: (T, P, 1 + n, 1 + n)."""
    return answered(
        "optimal_quadratic", problem, theta, lambda theory: algebra.optimal_quadratic(theory, estimator), work=0
    )


@checked_arguments
def self_normalised_limits(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Limits:
    """Return G bias and G variance of self-normalised importance weights for a large group, (P,) both."""
    return answered(
        "self_normalised_limits", problem, theta, lambda theory: theory.self_normalised_limits(estimator), work=0
    )


@checked_arguments
def scaling(problem: Problem, theta: ArrayLike, estimator: Estimator, parameters: str = "gain") -> Scaling:
    """Return the predicted exponents of an estimator's variance in the policy's std and in the horizon, with reasons.

    Parameters
    ----------
    parameters : str
        "gain" for those of K, "scale" for those of the log scales.
    """
    return answered("scaling", problem, theta, lambda theory: theory.scaling(estimator, parameters), work=0)
