"""Explore more than you act: the behaviour under which an importance-weighted gradient varies least.

Trajectories of the policy itself are not the best ones to estimate its gradient from. The score of an action is largest where
the policy seldom goes, and a behaviour that goes there more often pays with weights

    w_t = p(a_t | s_t) / p_b(a_t | s_t)

whose products spread. For a Gaussian policy of std sigma, a behaviour with the same mean and std sigma_b has weights of finite
variance for sigma_b > sigma / sqrt(2) alone; the best sigma_b is above sigma, and the nearer to it the longer the horizon.
This is another experiment, not another use of the same data: `exact.efficiency_bound` of the policy's own trajectories is no
floor for it, and what it estimates needs p_b to be the law of actions in fact.

References
----------
Jie and Abbeel (2010), On a connection between importance sampling and the likelihood ratio policy gradient; Hanna, Thomas,
Stone and Niekum (2017), Data-efficient policy evaluation through behavior policy search.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import exact, validate
from .estimators.estimator import Estimator
from .estimators.importance_weighted import ImportanceWeighted, importance_weighted
from .kernels.program import checked
from .policies.linear_gaussian import LinearGaussian, linear_gaussian
from .policies.softmax import TabularSoftmax
from .printing import outline
from .problem import Policy, Problem

EDGE = 1e-6  # how exactly the ends of the region are found, in log std


class BestBehaviour(NamedTuple):
    """What `best_behaviour` found.

    Attributes
    ----------
    theta : (P_b,) array
        Parameters of the behaviour.
    policy : Policy
        The policy that they belong to; of Gaussian ones, with learned log scales.
    estimator : Estimator
        The importance-weighted estimator with that behaviour, to be measured.
    variance, on_policy : (P,) arrays
        Its exact variance for one trajectory, and that of the same estimator where the policy itself acts.
    scale : (m,) array or None
        Of a Gaussian behaviour: its std in units of that of the policy, row by row.
    region : (float, float) or None
        Of a Gaussian one: the variance is finite while all its std together are between these multiples of the policy's.
        None for softmax policies: it is finite wherever no action is forbidden.
    """

    theta: NDArray[np.float64]
    policy: Policy
    estimator: Estimator
    variance: NDArray[np.float64]
    on_policy: NDArray[np.float64]
    scale: NDArray[np.float64] | None
    region: tuple | None

    def __repr__(self) -> str:
        return outline("Best behaviour", self._asdict())


def best_behaviour(problem: Problem, theta: ArrayLike, estimator: Estimator, *, vary: str = "std") -> BestBehaviour:
    """Return the behaviour that minimises the exact variance, summed over the parameters, of an importance-weighted estimator.

    Parameters
    ----------
    problem : Problem
        Linear-quadratic with a linear-Gaussian policy, or (per decision) tabular with a softmax policy.
    theta : (P,) array
        Parameters of the policy whose gradient is wanted.
    estimator : Estimator
        `importance_weighted(theta, weights, baseline)`: whose weights and baseline are used; where it acts does not matter.
    vary : str
        "std": the Gaussian behaviour has the policy's gain, its scales are sought. "all": the gain is sought, too.
        Of a softmax policy all parameters are sought.

    Returns
    -------
    BestBehaviour

    Raises
    ------
    ValueError
        For an estimator of another kind, or one with self-normalised weights.
    NoClosedForm
        Where no exact variance is known.

    References
    ----------
    Jie and Abbeel (2010), On a connection between importance sampling and the likelihood ratio policy gradient; Hanna, Thomas,
    Stone and Niekum (2017), Data-efficient policy evaluation through behavior policy search.
    """
    if not isinstance(estimator, ImportanceWeighted) or estimator.weights == "self-normalised":
        raise ValueError(
            "estimator: expected importance_weighted(...) with weights of trajectories or per decision, got "
            f"{validate.describe(estimator)}"
        )
    validate.one_of("vary", vary, ("std", "all"))
    theta = checked(problem, theta)
    kind = problem.policy.closed_form
    if isinstance(kind, LinearGaussian):
        return _gaussian(problem, theta, estimator, vary)
    if isinstance(kind, TabularSoftmax):
        return _softmax(problem, theta, estimator)
    raise exact.NoClosedForm(f"no best behaviour is known for {problem.policy.name}")


def _gaussian(problem: Problem, theta: NDArray[np.float64], template: Any, vary: Any) -> BestBehaviour:
    kind, n, m = problem.policy.closed_form, problem.environment.states, problem.environment.actions
    gain = n * m
    K, root = kind.matrices(theta)
    diagonal = np.array_equal(root, np.diag(np.diag(root)))
    policy = linear_gaussian(n, m, learn_std=True, **({"std": np.diag(root)} if diagonal else {"cov": root @ root.T}))
    origin = policy.theta(K)

    def at(x: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = origin.copy()
        moved[gain:] += x[:m]
        moved[:gain] += x[m:] if vary == "all" else 0.0
        return moved

    def variance(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return exact.variance(problem, theta, _acting(template, at(x), policy), work=0)

    size = m + (gain if vary == "all" else 0)
    best = _least(lambda x: float(np.sum(variance(x))), np.zeros(size), first=0.1)

    def finite(c: float) -> bool:
        x = best.copy()
        x[:m] += c - x[:m].mean()
        # Weights have a variance per decision where those of trajectories have: w_{0:k} is a mean of w_{0:T-1}.
        whole = importance_weighted(at(x), "trajectory", behaviour=policy)
        return bool(np.isfinite(exact.variance(problem, theta, whole, work=0)).all())

    region = tuple(float(np.exp(_edge(finite, best[:m].mean(), direction))) for direction in (-1.0, 1.0))
    return BestBehaviour(
        at(best),
        policy,
        _acting(template, at(best), policy),
        variance(best),
        variance(np.zeros(size)),
        np.exp(best[:m]),
        region,
    )


def _softmax(problem: Problem, theta: NDArray[np.float64], template: Any) -> BestBehaviour:
    def variance(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return exact.variance(problem, theta, _acting(template, theta + x, None), work=0)

    best = _least(lambda x: float(np.sum(variance(x))), np.zeros(len(theta)), first=0.3)
    acting = _acting(template, theta + best, None)
    return BestBehaviour(theta + best, problem.policy, acting, variance(best), variance(0.0 * best), None, None)


def _acting(template: Any, theta: NDArray[np.float64], policy: Policy | None) -> Estimator:
    return importance_weighted(theta, template.weights, template.baseline, behaviour=policy)


def _least(f: Callable[..., Any], x: Any, first: Any) -> Any:
    """Return where a function is least, by the logarithm of its values; infinite ones are out of bounds."""
    from scipy.optimize import minimize

    def log(x: Any) -> Any:
        y = f(x)
        return np.log(y) if 0 < y < np.inf else np.inf if y else -np.inf

    if not np.isfinite(log(x)):
        return x  # no variance at all, or none that is finite, where it acts itself
    if len(x) == 1:
        return _least_of_one(log, first)
    if len(x) <= 3:
        simplex = np.vstack([x, x + first * np.eye(len(x))])
        options = {"xatol": 1e-5, "fatol": 1e-10, "initial_simplex": simplex}
        return minimize(log, x, method="Nelder-Mead", options=options).x
    return minimize(log, x, method="BFGS", options={"gtol": 1e-7}).x


def _least_of_one(log: Callable[..., Any], first: Any) -> Any:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda c: min(log(np.array([c])), 1e300), bracket=(0.0, first), options={"xtol": 1e-5})
    return np.array([found.x])


def _edge(finite: Callable[..., Any], inside: Any, direction: Any) -> Any:
    """Return the log std where the variance stops being finite, in one direction; infinite if it never does."""
    step = 0.25
    while finite(inside + direction * step):
        step *= 2
        if step > 16:
            return direction * np.inf
    low, high = 0.0, step
    while high - low > EDGE:
        middle = (low + high) / 2
        low, high = (middle, high) if finite(inside + direction * middle) else (low, middle)
    return inside + direction * (low + high) / 2
