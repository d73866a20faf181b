"""One action, one number: the costs f(x) on which estimators of d E[f(x)] / dtheta are compared in closed form.

The action is x, and the reward is f(x) itself, without a sign: the gradient is that of E f, as in the paper. For one step
(`horizon=1`) under `mcgrad.policies.gaussian`, `mcgrad.exact` has the variance of every estimator.

References
----------
Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figures 2 to 4.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import validate
from ..problem import Environment


class OneStepCost(NamedTuple):
    """A cost as `mcgrad.exact` knows it: f(x) = sum_d c(x_d), c named by `kind` and its number `k`."""

    kind: str
    k: float


def quadratic_cost(k: float) -> Environment:
    """Return the environment of one action x with reward f(x) = (x - k)^2.

    Parameters
    ----------
    k : float
        Where the cost is 0.

    Raises
    ------
    ValueError
        If k is not a finite number.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figure 2.
    """
    return of_actions(OneStepCost("quadratic", validate.number("k", k)), 1, lambda x, k: (x - k) ** 2)


def exponential_cost(k: float) -> Environment:
    """Return the environment of one action x with reward f(x) = exp(-k x^2).

    Parameters
    ----------
    k : float
        >= 0.

    Raises
    ------
    ValueError
        If k is not a finite number >= 0.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figure 3.
    """
    return of_actions(
        OneStepCost("exponential", validate.number("k", k, low=0.0)), 1, lambda x, k: math.exp(-k * x * x)
    )


def cosine_cost(k: float) -> Environment:
    """Return the environment of one action x with reward f(x) = cos(k x).

    Parameters
    ----------
    k : float
        In radians by unit of the action.

    Raises
    ------
    ValueError
        If k is not a finite number.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figure 3.
    """
    return of_actions(OneStepCost("cosine", validate.number("k", k)), 1, lambda x, k: math.cos(k * x))


def sum_cost(D: int) -> Environment:
    """Return the environment of D actions with reward f(x) = x_1 + ... + x_D.

    Parameters
    ----------
    D : int
        Actions, from 1 to 10000.

    Raises
    ------
    ValueError
        If D is no such number.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figure 4.
    """
    D = validate.size("D", D)
    return of_actions(OneStepCost("linear", 1.0), D, lambda x, k: k * x)


def constant_cost(D: int, c: float = 100.0) -> Environment:
    """Return the environment of D actions with reward c whatever they are: all that an estimator says is noise.

    Parameters
    ----------
    D : int
        Actions, from 1 to 10000.
    c : float
        The reward, any finite number.

    Raises
    ------
    ValueError
        If D or c is no such number.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figure 4.
    """
    D = validate.size("D", D)
    return of_actions(OneStepCost("constant", validate.number("c", c) / D), D, lambda x, k: k)


def of_actions(cost: OneStepCost, actions: int, c: Callable[..., Any]) -> Environment:
    """Return the environment of reward sum_d c(x_d, k), its state a dummy."""
    return Environment(
        states=1,
        actions=actions,
        params={"k": cost.k},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (0.0,),
        reward=lambda p, s, a, s_next, w: sum(c(x, p.k) for x in a),
        name=f"{cost.kind} cost",
        closed_form=cost,
    )
