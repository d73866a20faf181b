"""What an estimator's moments are, and values: by a closed form, or by the recursion where none is known."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...estimators.estimator import Estimator
from ...problem import Problem
from .. import questions
from ..records import ValueFunction
from .public import moments
from .refusal import NoClosedForm
from .values import value_function

WORK = 5.0  # about so many seconds


def mean(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> NDArray[np.float64]:
    """Return the mean of an estimator, (P,): the gradient, or that and the exact bias.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
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
    return _either(questions.mean, work, problem, theta, estimator)


def variance(problem: Problem, theta: ArrayLike, estimator: Estimator, *, work: float = WORK) -> NDArray[np.float64]:
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
    return _either(questions.variance, work, problem, theta, estimator)


def covariance(
    problem: Problem, theta: ArrayLike, first: Estimator, second: Estimator, *, work: float = WORK
) -> NDArray[np.float64]:
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
    return _either(questions.covariance, work, problem, theta, first, second)


def value(problem: Problem, theta: ArrayLike, *, work: float = WORK) -> ValueFunction:
    """Return V_t(s) = E[G_t | s_t = s], discounted from time 0, as a function of t and s, with its arrays if it has any.

    Arguments and errors are those of `mean`; for more options of the recursion see `value_function`.
    """
    try:
        return questions.value(problem, theta)
    except NoClosedForm as error:
        if not work:
            raise
        try:
            return value_function(problem, theta, work=work)
        except NoClosedForm as other:
            raise NoClosedForm(f"{error}; {other}") from error


def _either(question: Any, work, problem, theta, *estimators):
    try:
        return question(problem, theta, *estimators)
    except NoClosedForm as error:
        if not work:
            raise
        try:
            found = moments(problem, theta, dict(zip("xy", estimators, strict=False)), work=work)
        except NoClosedForm as other:
            raise NoClosedForm(f"{error}; {other}") from error
    return found.covariance("x", "y") if len(estimators) == 2 else getattr(found["x"], question.__name__)
