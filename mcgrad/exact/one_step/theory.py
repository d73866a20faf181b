"""Problems of one step under a Gaussian policy: every estimator is a combination of a few random numbers.

    f s (score function),   s (the score),   f' dx/dtheta (pathwise),    f the reward, x = mean + std e,
    s = e / std for a mean, (e^2 - 1) / std for a std

and, with `estimators.delta`, of the first and the third for the Taylor expansions of f, less their means. Their covariances,
and those with the same numbers at -e, are what `costs` and `jumps` compute.

Functions of (t, s, a) are combinations of f, the number 1, and the expansions of order 1 and 2: arrays (1 or P, 4).
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...environments.one_step import OneStepCost
from ...estimators import Estimator
from ...estimators import kinds as estimators
from ...problem import Problem
from .. import records
from ..leaves import Pathwise, Rule
from ..theory import Alone, Array, NoClosedForm, Signs, Theory
from . import costs, jumps
from .moments import DELTA, PATHWISE, SCORE, SCORE_FUNCTION, Table

REWARD, ONE, EXPANSION = 0, 1, 1  # in the last axis of functions; the expansion of order k is number 1 + k


class OneStep(Theory):
    """The theory of a problem; tables are computed when they are asked for."""

    horizon = 1

    def __init__(self, problem: Problem, theta: ArrayLike) -> None:
        self.problem, self.theta = problem, problem.theta(theta)
        self.name = f"{problem.environment.name} under {problem.policy.name}"
        self.parameters = len(problem.parameters)
        self._smooth = isinstance(problem.environment.closed_form, OneStepCost)

    @cached_property
    def table(self) -> Table:
        """The `Table` of the three random numbers."""
        return (costs if self._smooth else jumps).table(self.problem, self.theta)

    @cached_property
    def expanded(self) -> Table:
        """The `Table` that has expansions, too."""
        if not self._smooth:
            raise NoClosedForm(
                f"no closed form is known for Delta on {self.problem.environment.name}: its reward has kinks or jumps"
            )
        return costs.table(self.problem, self.theta, expanded=True)

    # ---- values ----

    @property
    def objective(self) -> float:
        """J."""
        return self.table.objective

    @property
    def return_variance(self) -> float:
        """The variance of the return."""
        return self.table.return_variance

    def gradient(self) -> Array:
        """Return dJ/dtheta = E[f s]: exact where f jumps, too."""
        return self.table.mean[SCORE_FUNCTION].copy()

    def value(self) -> records.ValueFunction:
        """Return V_t: the state does not matter, V_0 = J."""
        n = self.problem.environment.states
        return records.quadratic(self.objective, np.zeros((2, n, n)), np.array([-self.objective, 0.0]))

    def mean_return_to_go(self) -> Array:
        """Return (J,)."""
        return np.array([self.objective])

    # ---- functions ----

    def over_time(self, b: ArrayLike) -> Array:
        """Return b, a number, (1,) or (1, P), as a function."""
        b = np.asarray(b, dtype=float).ravel()
        out = np.zeros((len(b), 4))
        out[:, ONE] = b
        return out

    def times(self, f: Array, numbers: float | Array) -> Array:
        """Return f times a number, or one for each parameter."""
        return f * np.reshape(numbers, (-1, 1))

    def value_function(self) -> Array:
        """Return V_0 = J."""
        return self.over_time(self.objective)

    def over_actions(self, f: Array) -> Array:
        """Return E[f]."""
        levels = np.zeros(4)
        levels[REWARD], levels[ONE] = self.objective, 1.0
        if f[:, EXPANSION + 1 :].any():
            levels[EXPANSION + 1 :] = [self.expanded.expansions[order] for order in (1, 2)]
        return self.over_time(f @ levels)

    def expansion(self, order: int) -> Array:
        """Return the expansion of the reward about the mean action."""
        return np.eye(4)[None, EXPANSION + order]

    def fitted(self, data: dict[str, Any]) -> Array:
        """Return the number that was fitted on pilot trajectories."""
        return self.over_time(data["form"].values[0, 0, 0])

    def naive_over_time(self) -> Array:
        """Return E[f s^2] / E[s^2], (1, P): for one step the optimum."""
        cov = self.table.cov
        return (cov[SCORE_FUNCTION, SCORE] / cov[SCORE, SCORE])[None]

    # ---- leaves ----

    def alone(self, estimator: Estimator) -> Alone | None:
        """Return measure-valued derivatives: with one step, branches have no future to share."""
        if isinstance(estimator, estimators.MeasureValued) and estimator.critic is None:
            return Alone(self.gradient, self.measure_valued_variance)
        return None

    def measure_valued_variance(self, coupled: bool = True) -> Array:
        """Return the variance of the measure-valued derivative, (P,).

        For a mean the difference of f at mean + std W and mean - std W', W Rayleigh; for a std that of f at mean + std M and
        mean + std N, M double-sided Maxwell, N normal. Coupled: W' = W, and N = U M with U uniform; else they are independent.

        References
        ----------
        Mohamed, Rosca, Figurnov and Mnih (2020), section 6.
        """
        return self.table.measure_valued(coupled)

    def _numbers(self, x: Rule | Pathwise) -> tuple[Array, Table, float | Array]:
        """Return a leaf as coefficients of the random numbers, (3 or 7, P), the table of these, and what is added, (P,)."""
        P = self.parameters
        if isinstance(x, Pathwise):
            return np.eye(3)[PATHWISE][:, None] * np.ones(P), self.table, 0.0
        functions = [
            np.broadcast_to(f, (P, 4)) if np.ndim(f) else np.zeros((P, 4)) for f in (x.weight, x.expected, x.followed)
        ]
        if (x.ahead is not None and x.known is not x.ahead) or x.news or x.only_return:
            raise NoClosedForm(f"no closed form is known for this estimator on {self.name}")
        weight, expected, followed = functions
        expands = any(f[:, EXPANSION + 1 :].any() for f in functions)
        table = self.expanded if expands else self.table
        c = np.zeros((7 if expands else 3, P))
        c[SCORE_FUNCTION] = weight[:, REWARD] + (x.trace is not None)
        c[SCORE] = weight[:, ONE] + x.score - (0.0 if x.ahead is None else np.ravel(x.ahead[:, ONE]))
        c[PATHWISE] = followed[:, REWARD]
        for order in (1, 2) if expands else ():
            c[DELTA[order, False]], c[DELTA[order, True]] = weight[:, EXPANSION + order], followed[:, EXPANSION + order]
            if np.any(expected[:, EXPANSION + order] != -(weight + followed)[:, EXPANSION + order]):
                raise NoClosedForm("the mean of an expansion times the score is known where it is taken off")
        return c, table, expected[:, REWARD] * table.mean[SCORE_FUNCTION]

    def _moments(self, x: Rule | Pathwise, y: Rule | Pathwise, name: str) -> Array:
        (c, table, _), (d, other, _) = self._numbers(x), self._numbers(y)
        table = table if len(c) >= len(d) else other
        pad = [np.pad(z, ((0, len(table.mean) - len(z)), (0, 0))) for z in (c, d)]
        return np.einsum("ip,ijp,jp->p", pad[0], getattr(table, name), pad[1])

    def mean(self, x: Rule | Pathwise) -> Array:
        """Return E X, (P,)."""
        c, table, added = self._numbers(x)
        return (c * table.mean).sum(axis=0) + added

    def covariance(self, x: Rule | Pathwise, y: Rule | Pathwise) -> Array:
        """Return Cov(X_p, Y_p), (P,)."""
        return self._moments(x, y, "cov")

    def by_step(self, x: Rule | Pathwise) -> Array:
        """Return Cov(X_p, s_p), (1, P)."""
        return self._moments(x, Rule(score=1.0), "cov")[None]

    def mirrored(self, x: Rule | Pathwise, y: Rule | Pathwise, signs: Signs) -> Array:
        """Return Cov(X_p, Y_p), Y at -e, (P,)."""
        return self._moments(x, y, "mirrored" if signs[1] < 0 else "cov")
