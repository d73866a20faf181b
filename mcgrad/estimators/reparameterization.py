"""The reparameterization (pathwise) gradient: the derivative of the return with the noise held fixed.

    lambda_T = dr_T/ds_T,    abar_t = dr_t/da + (ds_{t+1}/da)^T lambda_{t+1},    etabar_t = (da/deta)^T abar_t,
    lambda_t = dr_t/ds + (ds_{t+1}/ds)^T lambda_{t+1} + (deta_t/ds)^T etabar_t

Everything is followed and nothing is scored: the reverse scan does it (see `followed`). Requires a reward and dynamics that
are differentiable, and an action that is a differentiable function of eta and noise. With a deterministic policy it is
back-propagation through time.

References
----------
Kingma and Welling (2014), Auto-encoding variational Bayes; Rezende, Mohamed and Wierstra (2014), Stochastic
backpropagation; for policies Heess et al. (2015), Learning continuous control policies by stochastic value gradients.
"""

import dataclasses
import math

from ..compiler.functions import where
from ..printing import as_called
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    EndView,
    Numbers,
    Path,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Pathwise(Estimator):
    """What estimators have in common that follow everything: the return, and its derivative where it is finite."""

    carries = ("to_go",)

    cotangents = 0

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        return later + x.reward, []  # nothing is scored

    def finish(self, c: Constants, sums: Cotangents, whole_return: Carry) -> Numbers:
        return (whole_return,)

    def path(self, c: Constants, x: StepView) -> Path | None:
        return None

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        # A derivative may be finite where the return is not (behind a minimum, say): no gradient of nothing.
        (whole_return,) = gradient
        return tuple(where(abs(whole_return) < math.inf, d, math.nan) for d in direct)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Reparameterization(Pathwise):
    """See the module."""


@as_called
def reparameterization() -> Estimator:
    """Return the pathwise gradient dR/dtheta at fixed noise; unbiased for differentiable problems.

    It sees derivatives of the simulator, which trajectories do not show: `exact.efficiency_bound` is no floor for it.

    References
    ----------
    Kingma and Welling (2014), Auto-encoding variational Bayes; Heess et al. (2015), Learning continuous control policies by
    stochastic value gradients.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> mg.exact.variance(problem, [-0.6], mg.estimators.reparameterization()).round(4)
    array([8.6441])
    """
    return Reparameterization()
