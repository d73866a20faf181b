"""What an estimator's moments are, and values: by a closed form, or by the recursion where none is known."""

from collections.abc import Callable
from typing import TypeVar

from numpy.typing import ArrayLike

from ...estimators.estimator import Estimator
from ...problem import Problem
from .. import questions
from ..arguments import checked_arguments, of_each
from ..records import ExactCritic, ValueFunction
from ..theory import Array, NoClosedForm
from .critics import critic_within
from .public import moments
from .refine import checked_options
from .values import value_function

WORK = 5.0  # about so many seconds
TOLERANCE = 1e-5  # of a critic, relative to its range


@of_each()
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
    return _either(
        lambda: questions.mean(problem, theta, estimator),
        lambda: moments(problem, theta, {"x": estimator}, work=work)["x"].mean,
        work,
    )


@of_each()
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
    return _either(
        lambda: questions.variance(problem, theta, estimator),
        lambda: moments(problem, theta, {"x": estimator}, work=work)["x"].variance,
        work,
    )


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
    return _either(
        lambda: questions.covariance(problem, theta, first, second),
        lambda: moments(problem, theta, {"x": first, "y": second}, work=work).covariance("x", "y"),
        work,
    )


def value(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> ValueFunction:
    """Return V_t(s) = E[G_t | s_t = s], discounted from time 0, as a function of t and s, with its arrays if it has any.

    Arguments and errors are those of `mean`; for more options of the recursion see `value_function`.
    """
    return _either(lambda: questions.value(problem, theta), lambda: value_function(problem, theta, work=work), work)


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

    def found() -> ExactCritic:
        return critic_within(problem, problem.theta(theta), checked_options(problem, TOLERANCE, None, work))

    return _either(lambda: questions.critic(problem, theta), found, work)


Answer = TypeVar("Answer")


def _either(known: Callable[[], Answer], found: Callable[[], Answer], work: float) -> Answer:
    """Return a closed form, or what the recursion finds: the one place where `work` decides whether it is run."""
    try:
        return known()
    except NoClosedForm as error:
        if not work:
            raise
        try:
            return found()
        except NoClosedForm as other:
            raise NoClosedForm(f"{error}; {other}") from error
