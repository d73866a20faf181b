"""The recursion as a theory: it answers wherever estimators can be traced, whatever the environment is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ... import estimators
from ...estimators.estimator import Estimator
from ...estimators.natural import generalised_inverse
from ...problem import Problem
from ...truth import Truth, told
from ..leaves import identity
from ..records import ExactCritic, ValueFunction
from ..theory import Array, Leaf, NoClosedForm, Theory
from .confirmed import confirm
from .critics import critic_within
from .found import ExactMoments
from .moments import fitted, moments_within
from .refine import Options
from .selected import Component, ScoreAt, Selected, Wanted, WeighedReturn, selected
from .values import value_within, whole_return


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """An estimator as it is."""

    estimator: Estimator

    @functools.cached_property
    def key(self) -> Hashable:
        """What tells leaves apart."""
        return identity(self.estimator)


class Recursion(Theory):
    """What the recursion over the state finds; all questions to one of these share its work.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    options : Options
    truth : Truth
        What baselines and critics are told.
    """

    def __init__(self, problem: Problem, theta: Array, options: Options, truth: Truth) -> None:
        self.problem, self.theta, self.options, self._truth = problem, theta, options, truth
        self.name, self.parameters, self.horizon = problem.environment.name, len(problem.parameters), problem.horizon
        self._known: list[tuple[tuple[Hashable, ...], bool, ExactMoments]] = []
        self._score_variances: Array | None = None

    def unknown(self, what: str) -> NoClosedForm:
        """Return the error of a question that this theory does not answer."""
        return NoClosedForm(f"the recursion over the state does not find the {what.removeprefix('the ')} either")

    # ---- values ----

    @property
    def objective(self) -> float:
        """J."""
        return float(self._returns.mean[0, 0])

    @property
    def return_variance(self) -> float:
        """The variance of the return."""
        return float(self._returns["return"].variance[0])

    @functools.cached_property
    def _returns(self) -> ExactMoments:
        return self._returns_at(self.theta)

    def _returns_at(self, theta: Array) -> ExactMoments:
        return moments_within(self.problem, theta, {"return": whole_return(self.parameters)}, self.options)

    def _objective_at(self, theta: Array) -> tuple[float, float]:
        found = self._returns_at(self.problem.theta(theta))
        return float(found.mean[0, 0]), 0.01 * float(np.sqrt(found["return"].variance[0]))

    def gradient(self) -> Array:
        """Return the mean of the reward to go, confirmed by differences of J."""
        return self._gradient

    @functools.cached_property
    def _gradient(self) -> Array:
        try:
            found = self.mean(self.whole(estimators.reward_to_go()))
            confirm(found, self._objective_at, self.theta, self.options.tolerance)
            return found
        except NoClosedForm:
            raise
        except ValueError as error:
            raise NoClosedForm(
                f"the recursion finds the gradient as the mean of reward_to_go(), but {error}; if nothing jumps, the mean of "
                "reparameterization() is the gradient, too"
            ) from error

    def value(self) -> ValueFunction:
        """Return V_t(s)."""
        return value_within(self.problem, self.theta, self.options)

    def critic(self) -> ExactCritic:
        """Return Q_t(s, a)."""
        return critic_within(self.problem, self.theta, self.options)

    def mean_return_to_go(self) -> Array:
        """Return E[G_t], (T,)."""
        each = {str(t): WeighedReturn(t, squared=False) for t in range(self.horizon)}
        return self._selected(each, Wanted([(name, 0) for name in each])).mean

    def fisher(self) -> Array:
        """Return the covariance of the score, (P, P)."""
        Z = self.whole(estimators.score())
        return self.joint(Z, Z)

    def natural_gradient(self) -> Array:
        """Return F^-1 dJ/dtheta."""
        return generalised_inverse(self.fisher()) @ self.gradient()

    def hessian_vector_product(self, v: ArrayLike) -> Array:
        """Return the mean of the estimator of H v by scores, once these are confirmed by the gradient."""
        self.gradient()
        return self.mean(self.whole(estimators.score_hessian_vector_product(v)))

    def naive_over_time(self) -> Array:
        """Return E[z_tp^2 G_t] / E[z_tp^2], (T, P)."""
        T, P = self.horizon, self.parameters
        each: dict[str, Estimator] = {f"top {t}": WeighedReturn(t, squared=True) for t in range(T)}
        each |= {f"score {t}": ScoreAt(t) for t in range(T)}
        own = [((f"score {t}", p), (f"score {t}", p), p) for t in range(T) for p in range(P)]
        found = self._selected(each, Wanted([(f"top {t}", p) for t in range(T) for p in range(P)], own))
        power = found.covariance
        top = np.divide(found.mean, power, out=np.zeros(T * P), where=power > 0)
        return top.reshape(T, P)

    # ---- moments ----

    def whole(self, estimator: Estimator) -> Traced:
        """Return any estimator as it is, its baselines and critics told what they ask for."""
        return Traced(told(estimator, lambda: self._truth))

    def together(self, leaves: Sequence[Leaf]) -> None:
        """Find the moments of several estimators at once."""
        self._moments(*leaves)

    def mean(self, x: Leaf) -> Array:
        """Return E X, (P,)."""
        found, (name,) = self._moments(x)
        return found[name].mean

    def covariance(self, x: Leaf, y: Leaf) -> Array:
        """Return Cov(X_p, Y_p), (P,)."""
        found, names = self._moments(x, y)
        return found.covariance(names[0], names[-1])

    def joint(self, x: Leaf, y: Leaf) -> Array:
        """Return Cov(X_p, Y_q), (P, P)."""
        found, names = self._moments(x, y, full=True)
        return found.covariance_matrix(names[0], names[-1])

    def by_step(self, x: Leaf) -> Array:
        """Return Cov(X_p, z_tp), (T, P), all of them in one recursion with the scores of all times."""
        T, P = self.horizon, self.parameters
        of_scores = x.key == self.whole(estimators.score()).key
        if of_scores and self._score_variances is not None:  # Z is the sum of uncorrelated z_t
            return self._score_variances
        names = [f"score {t}" for t in range(T)]
        each: dict[str, Estimator] = {name: ScoreAt(t) for t, name in enumerate(names)}
        places = [(name, p) for name in names for p in range(P)]
        pairs: list[tuple[Component, Component, Hashable]]
        pairs = [((name, p), (name, p), ("score", p)) for name, p in places]
        if not of_scores:
            each["x"] = fitted(self.problem, self.theta, cast(Traced, x).estimator, self.options)
            pairs += [(("x", p), ("x", p), ("x", p)) for p in range(P)]
            pairs += [(("x", p), (name, p), p) for name, p in places]
        found = self._selected(each, Wanted((), pairs)).covariance
        self._score_variances = found[: T * P].reshape(T, P)
        return self._score_variances if of_scores else found[-T * P :].reshape(T, P)

    # ---- the recursion ----

    def _moments(self, *leaves: Leaf, full: bool = False) -> tuple[ExactMoments, list[str]]:
        """Return moments in which estimators are, and their names there."""
        wanted = {x.key: cast(Traced, x).estimator for x in leaves}
        enough = (x for x in self._known if set(wanted) <= set(x[0]) and x[1] >= full)
        known = next(enough, None)
        if known is None:
            named = {str(k): e for k, e in enumerate(wanted.values())}
            found = moments_within(self.problem, self.theta, named, self.options, full_covariance=full)
            known = tuple(wanted), full, found
            self._known.append(known)
        keys, _, found = known
        return found, [str(keys.index(x.key)) for x in leaves]

    def _selected(self, each: Mapping[str, Estimator], wanted: Wanted) -> Selected:
        return selected(self.problem, self.theta, each, wanted, self.options)
