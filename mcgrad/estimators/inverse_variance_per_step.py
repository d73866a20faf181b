"""Score function and pathwise gradient mixed anew at every step, weights in inverse proportion to variances.

    g = sum_t [ k_t X_t + (1 - k_t) Y_t ],    X_t = (da_t/dtheta)^T dR/da_t along the path,    Y_t = z_t (G_t - b_t(s_t)),

z_t the score in theta. Given s_t, both have the mean d/dtheta E[G_t | s_t] of the action at t alone, so that g is unbiased
for all fixed k_t. The rule is k_tp = Var Y_tp / (Var X_tp + Var Y_tp), which ignores all covariances, also those between
times. Pathwise contributions of early actions pass through many steps, and are the first to explode.

Total propagation also weighs step by step, but it passes the weighted gradient on to the step before.

References
----------
Parmas, Rasmussen, Peters and Doya (2018), PIPPS: flexible model-based policy search robust to the curse of chaos; Onoda,
Parmas, Yaguchi and Matsuo (2026), Does "Do differentiable simulators give better policy gradients?" give better policy
gradients?, arXiv 2604.18161 (inverse variances for each step).
"""

import dataclasses
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..baselines.accepted import BaselineLike, as_baseline
from ..baselines.baseline import Baseline
from ..baselines.optimal import Optimal
from ..compiler.functions import where
from ..per_step import PerStep
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Number,
    Numbers,
    StateView,
    StepView,
)
from .estimator import Estimator
from .fitted import Fitted, Trajectories
from .inverse_variance import weights as inverse_weights


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class InverseVariancePerStep(Fitted, Estimator):
    """See the module.

    Attributes
    ----------
    weights : (2, T) or (2, T, P) array, optional
        Those of X_t, k_t, and those of Y_t, 1 - k_t; None: still to be fitted.
    """

    carries = ("adjoint", "to_go", "scored")

    baseline: Baseline
    weights: np.ndarray | None = None
    pilot: int = 4096
    shared: bool = False
    only_data = ("weights", "pilot", "shared")
    what = "a mean by inverse variances"

    @property
    def unfitted(self) -> bool:
        return self.weights is None

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        if self.unfitted:
            raise ValueError(f"{self.what}: its weights have not been fitted; measure() and sample() do that")
        pathwise, score = (PerStep(np.vstack([x, np.zeros_like(x[:1])])) for x in self.of_each(problem))
        return {"pathwise": pathwise, "score": score, "baseline": self.baseline.data(problem, theta)}

    def of_each(self, problem: Problem) -> NDArray[np.float64]:
        """Return the weights of X_t and Y_t for each parameter, (2, T, P)."""
        T, P = problem.horizon, len(problem.parameters)
        given = np.asarray(self.weights)
        w = given if given.ndim == 3 else np.repeat(given[:, :, None], P, axis=2)
        if w.shape != (2, T, P):
            raise ValueError(f"weights: expected shape ({T},) or ({T}, {P}), got {given.shape[1:]}")
        return w

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward_vjp(1.0), end.reward, (0.0,) * len(c.score)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        adjoint, later, sums = carry
        to_go = later + x.reward
        below, etabar = x.follow(adjoint)
        adjoint = tuple(a + b for a, b in zip(below, x.policy_vjp(etabar), strict=True))
        advantage = to_go - self.baseline.value(c.baseline, x)
        X, Y = x.theta_vjp(etabar), x.theta_vjp(tuple(advantage * z for z in x.score))
        sums = tuple(g + c.pathwise[p] * X[p] + c.score[p] * Y[p] for p, g in enumerate(sums))
        return (adjoint, to_go, sums), []

    def finish(self, c: Constants, _: Carry, carry: Carry) -> Numbers:
        _, whole_return, sums = carry
        return tuple(where(abs(whole_return) < np.inf, g, np.nan) for g in sums)

    def fit(self, trajectories: Trajectories) -> Self:
        problem, theta = trajectories.problem, trajectories.theta
        once = dataclasses.replace(self, baseline=_Known(self.baseline, self.baseline.data(problem, theta)))
        variances = np.empty((2, problem.horizon, len(problem.parameters)))
        variants = (once._alone(t, variances.shape) for t in range(problem.horizon))
        for t, moments in enumerate(trajectories.moments_of_each(variants)):
            variances[:, t] = moments["X"].variance, moments["Y"].variance
        return dataclasses.replace(self, weights=inverse_weights(variances, self.shared))

    def _alone(self, t: int, shape: tuple[int, ...]) -> dict[str, Estimator]:
        """Return {"X": sum_t X_t with all but one time left out, "Y": the same for Y}."""
        only = np.zeros((2, *shape))
        only[0, 0, t] = only[1, 1, t] = 1.0
        return {name: dataclasses.replace(self, weights=w) for name, w in zip("XY", only, strict=True)}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Known(Baseline):
    """A baseline whose data are known: it is not fitted again for every step."""

    baseline: Baseline
    known: dict
    only_data = ("known",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.known

    def value(self, c: Constants, x: StateView) -> Number:
        return self.baseline.value(c, x)


@as_called
def inverse_variance_per_step(
    baseline: BaselineLike = None, *, weights: ArrayLike | None = None, pilot: int = 4096, shared: bool = False
) -> Estimator:
    """Return score function (reward to go) and pathwise gradient, weighted by inverse variances at every step.

    Parameters
    ----------
    baseline : None, number, (T,) array, or one of mcgrad.baselines
        b_t of the score function; not one of those that are tuned to an estimator.
    weights : (T,) or (T, P) array, optional
        Fixed weights k_t of the pathwise part; fitted if not given.
    pilot : int
        Number of trajectories of a separate range to fit on; each step takes a run of them.
    shared : bool
        One weight for all parameters, from the sums of their variances, as in total propagation; else one for each.

    Raises
    ------
    ValueError
        For a baseline that is tuned to an estimator, weights of another shape, or a pilot of less than 16.

    References
    ----------
    Onoda, Parmas, Yaguchi and Matsuo (2026), arXiv 2604.18161 (inverse variances for each step).
    """
    baseline = as_baseline(baseline)
    if not isinstance(baseline, Baseline) or isinstance(baseline, Optimal):
        raise ValueError(f"baseline: expected one that is not tuned to an estimator, got {type(baseline).__name__}")
    if weights is not None:
        weights = validate.array("weights", weights)
        if weights.ndim not in (1, 2):
            raise ValueError(f"weights: expected shape (T,) or (T, P), got {weights.shape}")
        weights = np.stack([weights, 1.0 - weights])
    return InverseVariancePerStep(
        baseline, weights, validate.integer("pilot", pilot, 16), validate.flag("shared", shared)
    )
