"""The product of the Hessian of J with a vector from scores alone: for environments that cannot be differentiated.

    g = (R - b) (Z (Z . v) + dZ/dtheta v),    Z = sum_t z_t,    z_t = d log p(a_t | s_t) / dtheta

    E g = H v,    H = d^2 J / dtheta^2,

since d^2 p / dtheta^2 = p (Z Z^T + dZ/dtheta) for the density p of the trajectory; E[Z Z^T + dZ/dtheta] = 0 lets a constant b
do no harm. It needs log p(a | eta) as a function of the action: the noise behind the action moves with theta, the action
does not. Where the environment is differentiable, `reparameterization()` on `mcgrad.directional(problem, v)` varies less.

References
----------
Baxter and Bartlett (2001), Infinite-horizon policy-gradient estimation; Furmston, Lever and Barber (2016), Approximate Newton
methods for policy search in Markov decision processes.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..calls import call
from ..compiler.derive import pull_back, push_forward
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Numbers,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ScoreHessianVectorProduct(Estimator):
    """See the module."""

    carries = ("to_go", "score_sum")

    v: np.ndarray
    baseline: float = 0.0
    only_data = ("v", "baseline")

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        policy = problem.policy
        if problem.design:
            raise ValueError(
                "no second derivative of the score here: design parameters act along paths, and not through densities alone"
            )
        if policy.log_prob is None:
            why = policy.no_score or f"{policy.name} has no `log_prob`"
            raise ValueError(f"no second derivative of the score here: {why}")
        return {"v": validate.array("v", self.v, (len(problem.parameters),)), "b": self.baseline}

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, (0.0,) * len(c.v)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        later, curvature = carry
        assert x.problem.policy.log_prob is not None  # see `data`
        log_prob = call("log_prob", x.problem.policy.log_prob, (x._p, x.eta, x.a), None)
        score = x.theta_vjp(pull_back(x.graph, [log_prob], [1.0], x.eta + x.a)[: len(x.eta)])
        # dz_t/dtheta v at a fixed action; the score depends on theta through eta and through d eta / d theta.
        fixed = tuple(0.0 for _ in x.a)
        slopes = push_forward(x.graph, score, x._theta + x.a, tuple(c.v) + fixed)
        curvature = tuple(a + b for a, b in zip(curvature, slopes, strict=True))
        return (later + x.reward, curvature), x.score

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        whole_return, curvature = carry
        along = sum(v * z for v, z in zip(c.v, sums, strict=True))
        return tuple((whole_return - c.b) * (along * z + dz) for z, dz in zip(sums, curvature, strict=True))


@as_called
def score_hessian_vector_product(v: ArrayLike, baseline: float = 0.0) -> Estimator:
    """Return the score-function estimate of H v, H the Hessian of the objective.

    Parameters
    ----------
    v : (P,) array
        A run-time number: another one does not compile again.
    baseline : float
        b, a number subtracted from the return.

    Raises
    ------
    ValueError
        For a v that is no vector of finite numbers or a baseline that is no number; when measured, for another length than P,
        for a policy without `log_prob`, and for a problem with design parameters.

    References
    ----------
    Baxter and Bartlett (2001), Infinite-horizon policy-gradient estimation; Furmston, Lever and Barber (2016), Approximate
    Newton methods for policy search in Markov decision processes.
    """
    return ScoreHessianVectorProduct(validate.array("v", v, (None,)), validate.number("baseline", baseline))
