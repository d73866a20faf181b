"""The reparameterization (pathwise) gradient: the derivative of the return with the noise held fixed.

    lambda_T = dr_T/ds_T,    abar_t = dr_t/da + (ds_{t+1}/da)^T lambda_{t+1},    etabar_t = (da/deta)^T abar_t,
    lambda_t = dr_t/ds + (ds_{t+1}/ds)^T lambda_{t+1} + (deta_t/ds)^T etabar_t

Requires a reward and dynamics that are differentiable, and an action that is a differentiable function of eta and noise.
With a deterministic policy it is back-propagation through time.

References
----------
Kingma and Welling (2014), Auto-encoding variational Bayes; Rezende, Mohamed and Wierstra (2014), Stochastic
backpropagation; for policies Heess et al. (2015), Learning continuous control policies by stochastic value gradients.
"""

import dataclasses
import math

from ..compiler.spellings import where
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False)
class Reparameterization(Estimator):
    """See the module."""

    def last(self, c, end):
        return end.reward_vjp(1.0), end.reward

    def step(self, c, x, carry):
        adjoint, later = carry
        state, action = x.step_vjp(s_next=adjoint, reward=1.0)
        etabar = x.sample_vjp(action)
        through_policy = x.policy_vjp(etabar)
        adjoint = tuple(a + b for a, b in zip(state, through_policy, strict=True))
        return (adjoint, later + x.reward), etabar

    def finish(self, c, sums, carry):
        # A derivative may be finite where the return is not (behind a minimum, say): no gradient of nothing.
        _, whole_return = carry
        return tuple(where(abs(whole_return) < math.inf, g, math.nan) for g in sums)


def reparameterization():
    """Return the pathwise gradient dR/dtheta at fixed noise; unbiased for differentiable problems.

    It sees derivatives of the simulator, which trajectories do not show: `exact.efficiency_bound` is no floor for it.
    """
    return Reparameterization()
