"""What can be asked about a `Problem`: the theory of its kind answers, and the algebra on top of it.

Every question goes through `asked`: the one place where "no closed form" comes out, and where a theory that needs none can
step in.
"""

import functools
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from ..estimators import Estimator
from ..estimators import kinds as estimators
from ..problem import Problem
from . import algebra, linear_quadratic, tabular
from .arguments import Question, checked_arguments, of_each
from .linear_quadratic.exponents import Scaling
from .linear_quadratic.off_policy import Limits
from .linear_quadratic.optimum import Optimum
from .records import DifferentialValue, ExactCritic, ValueFunction
from .theories import stack_of, theory_of
from .theory import Array, NoClosedForm, Theory

_overflowed: weakref.WeakKeyDictionary[Problem, set[bytes]] = weakref.WeakKeyDictionary()  # at which thetas


def asked(function: Question) -> Question:
    """Check the arguments of a question, and its answer: one that overflowed is none."""

    @checked_arguments
    @functools.wraps(function)
    def ask(problem: Problem, theta: Array, *arguments: Any, **options: Any) -> Any:
        seen = set()
        with np.errstate(over="call", invalid="call", call=lambda kind, _: seen.add(kind)):
            answer = function(problem, theta, *arguments, **options)
        # A theory that answers several questions computes what they share once: the first one alone sees that overflow.
        before = _overflowed.setdefault(problem, set())
        if "overflow" in seen:
            before.add(theta.tobytes())
        if theta.tobytes() in before and not _is_finite(answer):
            raise NoClosedForm(
                f"{function.__name__} of {problem.environment.name} over {problem.horizon} steps: numbers beyond 1e308; "
                "shorten the horizon, or count rewards in a larger unit"
            )
        if "overflow" not in seen and seen:
            warnings.warn(f"{', '.join(seen)} in {function.__name__}", RuntimeWarning, stacklevel=2)
        return answer

    return cast(Question, ask)


def _is_finite(answer: Any) -> bool:
    parts = answer if isinstance(answer, tuple) else (answer,)
    return all(np.isfinite(x).all() for x in parts if isinstance(x, (float, np.ndarray)))


def _together(answer: Callable[[linear_quadratic.Stack], Array], problems: Sequence[Problem], thetas: Array) -> Any:
    """Return the answers for linear-quadratic problems of one shape, all at once, or None for others."""
    stack = stack_of(problems, thetas)
    return None if stack is None else answer(stack)


# ---- values ------------------------------------------------------------------------------------------------------


@of_each(lambda problems, thetas: _together(linear_quadratic.values.objective, problems, thetas))
@asked
def objective(problem: Problem, theta: ArrayLike) -> float:
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
    return theory_of(problem, theta).objective


@of_each(lambda problems, thetas: _together(linear_quadratic.values.gradient, problems, thetas))
@asked
def gradient(problem: Problem, theta: ArrayLike) -> Array:
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
    return theory_of(problem, theta).gradient()


@asked
def value(problem: Problem, theta: ArrayLike) -> ValueFunction:
    """Return V_t(s) = E[G_t | s_t = s], discounted from time 0, as a function of t and s with its arrays."""
    return theory_of(problem, theta).value()


@asked
def critic(problem: Problem, theta: ArrayLike) -> ExactCritic:
    """Return Q_t(s, a) = E[G_t | s_t = s, a_t = a] as a function of t, s and a with its arrays, V_t among them."""
    return theory_of(problem, theta).critic()


@asked
def mean_return_to_go(problem: Problem, theta: ArrayLike) -> Array:
    """Return E[G_t] for t = 0, ..., T - 1: the time-dependent mean as a baseline, (T,)."""
    return theory_of(problem, theta).mean_return_to_go()


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


@asked
def mean(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the mean of an estimator in closed form, (P,); what users call is `recursion.fallback.mean`, and so on."""
    return algebra.mean(theory_of(problem, theta), estimator)


@asked
def variance(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the variance of one sample of an estimator in closed form, (P,).

    On linear-quadratic problems time grows as T P (1 + n + m)^3, with 2n in place of n for the reparameterization.
    """
    return algebra.variance(theory_of(problem, theta), estimator)


@asked
def covariance(problem: Problem, theta: ArrayLike, first: Estimator, second: Estimator) -> Array:
    """Return the covariance of two estimators on the same trajectory in closed form, parameter by parameter, (P,)."""
    return algebra.covariance(theory_of(problem, theta), first, second)


@asked
def covariance_matrix(problem: Problem, theta: ArrayLike, first: Estimator, second: Estimator | None = None) -> Array:
    """Return Cov(X_p, Y_q) of two estimators on the same trajectory for all p and q, (P, P); Y = X by default.

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimators.
    """
    return algebra.covariance_matrix(theory_of(problem, theta), first, first if second is None else second)


@asked
def coefficients(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the variance-optimal coefficients of a control variate, (k, P), or (k, P, P) if it is `full`."""
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    return algebra.coefficients(theory_of(problem, theta), estimator)


@asked
def optimal_over_time(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return b_tp = Cov(g_p, z_tp) / Var z_tp, to be subtracted from an estimator as sum_t b_t z_t: (T, P)."""
    return algebra.optimal_over_time(theory_of(problem, theta), estimator)


@asked
def total_optimal_over_time(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the b_t of least total variance (of linear-quadratic problems: over the gain K), (T,)."""
    return algebra.total_optimal_over_time(theory_of(problem, theta), estimator)


@asked
def total_optimal_constant(problem: Problem, theta: ArrayLike, estimator: Estimator) -> float:
    """Return the b of least total variance (of linear-quadratic problems: over the gain K)."""
    return algebra.total_optimal_constant(theory_of(problem, theta), estimator)


@asked
def naive_optimal_over_time(problem: Problem, theta: ArrayLike) -> Array:
    """Return b_tp = E[z_tp^2 G_t] / E[z_tp^2], which is not optimal: (T, P)."""
    return theory_of(problem, theta).naive_over_time()


@asked
def optimal_quadratic(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Array:
    """Return the quadratic b_tp(s) = (1, s)^T form_tp (1, s) of least variance for reward to go: (T, P, 1 + n, 1 + n)."""
    return algebra.optimal_quadratic(theory_of(problem, theta), estimator)


@asked
def self_normalised_limits(problem: Problem, theta: ArrayLike, estimator: Estimator) -> Limits:
    """Return G bias and G variance of self-normalised importance weights for a large group, (P,) both."""
    return theory_of(problem, theta).self_normalised_limits(estimator)


@asked
def scaling(problem: Problem, theta: ArrayLike, estimator: Estimator, parameters: str = "gain") -> Scaling:
    """Return the predicted exponents of an estimator's variance in the policy's std and in the horizon, with reasons.

    Parameters
    ----------
    parameters : str
        "gain" for those of K, "scale" for those of the log scales.
    """
    return theory_of(problem, theta).scaling(estimator, parameters)


# ---- metrics, second derivatives, optima -------------------------------------------------------------------------


@asked
def fisher(problem: Problem, theta: ArrayLike) -> Array:
    """Return the Fisher matrix E[Z Z^T] of a trajectory, Z = sum_t z_t the score of all its actions, (P, P).

    It is that of the distribution of trajectories under theta: neither rewards nor the discount have a part in it.
    """
    return theory_of(problem, theta).fisher()


@asked
def natural_gradient(problem: Problem, theta: ArrayLike) -> Array:
    """Return F^-1 dJ/dtheta with the Fisher matrix of `fisher`, (P,); of logits, which are redundant, the shortest."""
    return theory_of(problem, theta).natural_gradient()


@asked
def hessian_vector_product(problem: Problem, theta: ArrayLike, v: ArrayLike) -> Array:
    """Return H v, H = d^2 J / dtheta^2 the Hessian of the objective: (P,)."""
    return theory_of(problem, theta).hessian_vector_product(v)


@asked
def hessian(problem: Problem, theta: ArrayLike) -> Array:
    """Return H = d^2 J / dtheta^2, (P, P)."""
    theory = theory_of(problem, theta)
    return np.array([theory.hessian_vector_product(v) for v in np.eye(theory.parameters)])


@asked
def hessian_vector_product_variance(problem: Problem, theta: ArrayLike, v: ArrayLike) -> Array:
    """Return the variance of one trajectory's pathwise estimate of H v, (P,).

    That is `mcgrad.estimators.reparameterization()` on `mcgrad.directional(problem, v)`.
    """
    return theory_of(problem, theta).hessian_vector_product_variance(v)


@asked
def optimum(problem: Problem, theta: ArrayLike) -> Optimum:
    """Return the constant gain of largest J, starting from theta: a record with `gain` (m, n), `objective`, ...

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> best = mg.exact.optimum(problem, [-0.6])
    >>> best.gain.round(4), round(best.objective, 4)
    (array([[-1.3429]]), -2.6372)
    """
    return theory_of(problem, theta).optimum()


# ---- problems without end ----------------------------------------------------------------------------------------


@asked
def average_reward(problem: Problem, theta: ArrayLike) -> float:
    """Return J = lim 1/T E[sum_{t<T} r_t]; the horizon, the start and the terminal reward play no part."""
    return _without_discount(problem, theta).average_reward()


@asked
def average_gradient(problem: Problem, theta: ArrayLike) -> Array:
    """Return the gradient of the average reward, (P,), by the policy gradient theorem. Sutton et al. (2000)."""
    return _without_discount(problem, theta).average_gradient()


@asked
def differential_value(problem: Problem, theta: ArrayLike) -> DifferentialValue:
    """Return V(s) = E[sum_t (r_t - J) | s_0 = s] as a function of s, with its arrays."""
    return _without_discount(problem, theta).differential_value()


@asked
def stationary(problem: Problem, theta: ArrayLike) -> Array:
    """Return the stationary distribution of the state: probabilities (S,), or the covariance (n, n) about mean 0."""
    return _without_discount(problem, theta).stationary()


def _without_discount(problem: Problem, theta: ArrayLike) -> Theory:
    if problem.discount_varies or problem.discount != 1.0:
        raise ValueError(f"problem: expected no discount for the average reward, got {problem.discount}")
    return theory_of(problem, theta)
