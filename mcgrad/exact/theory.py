"""The protocol: what a kind of problem knows. Everything else is said once, on top of it (`algebra`).

A theory answers for one problem at one theta. It knows values; a space of functions of (t, s, a), which are arrays that can be
added (`leaves` writes estimators in terms of them); and the moments of *leaves*, estimators on a single rollout:

    mean(x)                 E X, (P,)
    covariance(x, y)        Cov(X_p, Y_p) on one rollout, (P,)
    by_step(x)              Cov(X_p, z_tp), z_t the score of the action at t, (T, P)
    mirrored(x, y, signs)   Cov(X_p, Y'_p), Y' on the rollout whose noise has other signs, (P,)
    joint(x, y)             Cov(X_p, Y_q) for all parameters p and q, (P, P)

A kind of problem derives from `Theory`, and overrides what it knows: the rest raises `NoClosedForm`. One that knows the moments
of any estimator says so by `whole`: then nothing is taken apart, and the estimator is the leaf.
"""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..estimators import Estimator

Array = NDArray[np.float64]
Indices = NDArray[np.intp]  # of parameters
Answer = TypeVar("Answer")
Signs = tuple[int, ...]  # of the noise of the start, of the actions and of the process, 1 or -1


class Leaf(Protocol):
    """An estimator on a single rollout that a theory knows the moments of."""

    @property
    def key(self) -> Hashable:
        """What tells leaves apart."""


class NoClosedForm(ValueError):
    """There is no closed form for this problem or estimator; the message says why."""


class Alone(NamedTuple):
    """The mean and the variance of an estimator whose covariances with others are not known: functions that return (P,)."""

    mean: Callable[[], Array]
    variance: Callable[[], Array]


def _unknown(what: str) -> Callable[..., Any]:
    def ask(self: "Theory", *arguments: Any) -> NoReturn:
        raise self.unknown(what)

    return ask


def of_system(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return the method of a theory that is a function of its `system`, and of what it is asked with."""

    @functools.wraps(function)
    def ask(self: "Theory", *arguments: Any) -> Answer:
        return function(self.system, *arguments)

    return ask


class Theory:
    """What is known of one problem at one theta; see the module.

    Attributes
    ----------
    problem, theta : Problem and (P,) array, or None
        What is asked about; a theory that was made from arrays alone has none.
    system : System, or None
        The arrays of a linear-quadratic or tabular problem.
    name : str
        Of the problem, for messages.
    parameters, horizon : int
        P and T.
    totals : slice
        The parameters that sums of variances are over.
    objective, return_variance : float
        J, and the variance of the return.
    """

    problem: Any = None
    theta: Any = None
    system: Any = None
    parameters: int
    horizon: int
    name = "this problem"
    totals = slice(None)

    def unknown(self, what: str) -> NoClosedForm:
        """Return the error of a question that this theory does not answer."""
        return NoClosedForm(f"{what}: no closed form is known for {self.name}")

    # ---- values ----

    @property
    def objective(self) -> float:
        """J."""
        raise self.unknown("objective")

    @property
    def return_variance(self) -> float:
        """The variance of the return."""
        raise self.unknown("return_variance")

    gradient = _unknown("gradient")
    value = _unknown("value")
    critic = _unknown("critic")
    mean_return_to_go = _unknown("mean_return_to_go")
    fisher = _unknown("fisher")
    natural_gradient = _unknown("natural_gradient")
    gradient_news = _unknown("gradient_news")
    efficiency_bound = _unknown("efficiency_bound")
    hessian_vector_product = _unknown("hessian_vector_product")
    hessian_vector_product_variance = _unknown("hessian_vector_product_variance")
    optimum = _unknown("optimum")
    scaling = _unknown("scaling")
    self_normalised_limits = _unknown("self_normalised_limits")
    average_reward = _unknown("average_reward")
    average_gradient = _unknown("average_gradient")
    differential_value = _unknown("differential_value")
    stationary = _unknown("stationary")

    # ---- functions of (t, s, a): arrays that can be added ----

    over_time = _unknown("numbers over time")  # b, a number, (T,) or (T, P) -> the function that they are
    times = _unknown("products with a number for each parameter")  # (function, number or (P,)) -> their product
    value_function = _unknown("the value function")  # V_t(s)
    action_value = _unknown("the action value")  # Q_t(s, a)
    over_actions = _unknown("means over the actions")  # f -> E[f | s]
    tangent = _unknown("tangents in the action")  # f -> its linear part in the action's deviation from its mean
    ripples = _unknown("critics that oscillate")  # (amplitude, frequency) -> their sum over the components of an action
    expansion = _unknown("expansions of the reward")  # order -> Taylor polynomial of r_t(s, a) about the mean action
    fitted = _unknown("fitted values")  # what `baselines.FittedValue.data` returned -> the function
    naive_over_time = _unknown("naive_optimal_over_time")  # () -> E[z_tp^2 G_t] / E[z_tp^2], (T, P)
    quadratic = _unknown("optimal_quadratic")  # () -> forms of the best quadratic baseline, (T, P, 1 + n, 1 + n)
    forms = _unknown("polynomial baselines")  # (T, P, 1 + n, 1 + n) forms of (1, s) -> the function

    # ---- leaves ----

    mean = covariance = by_step = _unknown("moments of estimators")
    mirrored = _unknown("antithetic pairs")
    joint = _unknown("covariances between parameters")

    def whole(self, estimator: Estimator) -> Leaf | None:
        """Return an estimator, whatever it is made of, as one leaf, or None where it is taken apart."""
        return None

    def together(self, leaves: Sequence[Leaf]) -> None:
        """Be told whose moments will be asked for, before they are: what is found for all at once is found once."""

    def leaves(self, estimator: Estimator) -> "list[tuple[float | Array, Leaf]] | None":
        """Return leaves of this theory's own as [(coefficient, leaf)], or None; see `leaves.read` for those of all."""
        return None

    def alone(self, estimator: Estimator) -> Alone | None:
        """Return an estimator of several rollouts as `Alone`, or None."""
        return None
