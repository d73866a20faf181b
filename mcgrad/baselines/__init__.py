"""Baselines: what is subtracted from a return before it multiplies a score.

    g = sum_t z_t (G_t - b_t(s_t))    is unbiased for every b_t(s_t), because E[z_t | s_t] = 0

A baseline may depend on the time and on the state before the action, not on the action itself. It may be another one for
each parameter: then it is weighed after the pull-back (see `mcgrad.estimators.weighted_score`).

The ladder, each rung with its exact variance on linear-quadratic problems:

    mean_return                    b = J
    mean_to_go                     b_t = E G_t
    optimal_constant               b = E[g Z] / E[Z^2], g the estimator, Z = sum_t z_t
    naive_optimal_over_time        b_t = E[z_t^2 G_t] / E[z_t^2], the textbook's: it forgets E[z_k G_k z_t], k != t
    optimal_over_time              b_t = E[g z_t] / E[z_t^2]
    value, fitted_value            b_t(s) = V_t(s) = E[G_t | s_t = s], exact or fitted
    optimal_quadratic              b_t(s) quadratic, of least variance

References
----------
Williams (1992); Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in
reinforcement learning. JMLR 5, 1471; Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement
learning; Peters and Schaal (2008), Reinforcement learning of motor skills with policy gradients.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from .. import validate
from ..printing import as_called
from .accepted import BaselineLike, as_baseline
from .baseline import Baseline, OfState
from .fitted import FittedValue
from .known import MeanReturn, MeanToGo, Value
from .optimal import (
    NaiveOptimalOverTime,
    Optimal,
    OptimalConstant,
    OptimalOverTime,
    OptimalQuadratic,
    TotalOptimal,
)

__all__ = [
    "Baseline",
    "fitted_value",
    "mean_return",
    "mean_to_go",
    "naive_optimal_over_time",
    "of_state",
    "optimal_constant",
    "optimal_over_time",
    "optimal_quadratic",
    "total_optimal_constant",
    "total_optimal_over_time",
    "value",
]


def __dir__() -> list[str]:
    return sorted(__all__)


@as_called
def mean_return() -> Baseline:
    """Return b = J, the exact mean of the return."""
    return MeanReturn()


@as_called
def mean_to_go() -> Baseline:
    """Return b_t = E G_t, the exact mean of the return to go."""
    return MeanToGo()


@as_called
def value() -> Baseline:
    """Return the exact value function as a baseline.

    It is that of `mcgrad.exact.value`: a closed form on linear-quadratic and tabular problems; elsewhere, with one or two
    states, the recursion's, as polynomials of degree 24 or 12 at each time. Where these are off by more than two percent of the
    range of values, or the recursion does not converge, it is refused: `fitted_value` works everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> theta = np.log([0.5, 0.3, 0.2])
    >>> round(float(mg.exact.variance(arms, theta, mg.estimators.score_function(mg.baselines.value())).sum()), 4)
    0.3048
    """
    return Value()


@as_called
def of_state(function: Callable[..., Any], **params: ArrayLike) -> Baseline:
    """Return function(p, s) as a baseline, b_t(s_t) for all t.

    Parameters
    ----------
    function : callable
        function(p, s) -> a number, traced like an environment's functions; s is the tuple of n numbers of the state.
    **params : numbers and arrays
        What the function reads as `p.name`; new values do not compile again.

    Raises
    ------
    ValueError
        For what is no function, or params that are not finite numbers; TraceError, which is one, when measured, for a function
        that cannot be traced.
    """
    validate.function("function", function)
    return OfState(function, {validate.name("params", k): validate.array(k, v) for k, v in params.items()})


@as_called
def fitted_value(pilot: int = 4096, degree: int = 2, seed: int = 0) -> Baseline:
    """Return a value function that is fitted to the returns to go of pilot trajectories, by least squares for each time.

    It works on every problem. It is fitted anew for each theta; the pilot trajectories are the last that there are, with a
    seed of their own, so that a measurement never uses them and the estimate stays unbiased.

    Parameters
    ----------
    pilot : int
        Number of pilot trajectories, from 16 to 2^24.
    degree : int
        Of the polynomial in the state, 0 to 2: 0 is the mean return to go, 2 can hold the value of a linear-quadratic problem.
    seed : int
        Of the pilot trajectories, from 0 to 2^64 - 1: measurements with other seeds use the same baseline.

    Raises
    ------
    ValueError
        For a number out of its range.
    """
    return FittedValue(
        validate.integer("pilot", pilot, 16, 2**24),
        validate.integer("degree", degree, 0, 2),
        validate.integer("seed", seed, 0, 2**64 - 1),
    )


@as_called
def optimal_constant(pilot: int = 16384, base: BaselineLike = None) -> OptimalConstant:
    """Return the constant of least variance, b_p = E[g_p Z_p] / E[Z_p^2] for each parameter p, Z = sum_t z_t.

    It is fitted on a pilot range of trajectories that the measurement never uses, so that the estimate stays unbiased.

    Parameters
    ----------
    pilot : int
        Number of pilot trajectories, at least 16. An error of relative size e in b costs about e^2 of what the baseline gains.
    base : None or a baseline
        What it is added to, `value()` for instance.

    Raises
    ------
    ValueError
        For a pilot out of its range, or a base that is tuned itself.

    References
    ----------
    Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement learning.
    """
    return OptimalConstant(validate.integer("pilot", pilot, 16), _as_base(base))


@as_called
def total_optimal_constant(base: BaselineLike = None) -> Baseline:
    """Return the exact constant of least total variance over the gain K, E[sum_p g_p Z_p] / E[sum_p Z_p^2].

    The sums are over all parameters where there is no gain (tables); in units of the reward.

    Parameters
    ----------
    base : None or a baseline
        What it is added to, `value()` for instance; a number or (T,) array will do.

    Raises
    ------
    ValueError
        For a base that is tuned itself; when measured, where the problem has no closed form (NoClosedForm).

    References
    ----------
    Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement learning.
    """
    return TotalOptimal(_as_base(base))


@as_called
def naive_optimal_over_time() -> Baseline:
    """Return the textbook's optimum for each time and parameter, E[z_t^2 G_t] / E[z_t^2], exact.

    It is optimal for each term of sum_t z_t (G_t - b_t) alone, not for their sum; there are systems on which the plain mean
    E G_t is better.
    """
    return NaiveOptimalOverTime()


@as_called
def optimal_over_time(base: BaselineLike = None) -> Baseline:
    """Return the number of least variance for each time and parameter, b_t = E[g z_t] / E[z_t^2], exact.

    Parameters
    ----------
    base : None or a baseline
        What it is added to, `value()` for instance: the value function alone is often not the best.

    Raises
    ------
    ValueError
        For a base that is tuned itself; when measured, where the problem has no closed form (NoClosedForm).

    References
    ----------
    Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning.
    JMLR 5, 1471; Peters and Schaal (2008), Reinforcement learning of motor skills with policy gradients.
    """
    return OptimalOverTime(_as_base(base))


@as_called
def total_optimal_over_time(base: BaselineLike = None) -> Baseline:
    """Return the exact number for each time of least total variance over the gain K, the same for all parameters.

    Parameters
    ----------
    base : None or a baseline
        What it is added to, `value()` for instance; a number or (T,) array will do.

    Raises
    ------
    ValueError
        For a base that is tuned itself; when measured, where the problem has no closed form (NoClosedForm).
    """
    return TotalOptimal(_as_base(base), over_time=True)


@as_called
def optimal_quadratic() -> Baseline:
    """Return the quadratic function of the state of least variance for each parameter, exact; for reward to go.

    It is not the value function: it also sees E[sum_{k != t} z_k G_k z_t | s_t].
    """
    return OptimalQuadratic()


def _as_base(base: BaselineLike) -> Baseline:
    base = as_baseline(base)
    if isinstance(base, (OptimalConstant, Optimal)):
        raise ValueError(f"base: expected a baseline that is not tuned itself, got {type(base).__name__}")
    return base
