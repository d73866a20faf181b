"""The derivative of the return with every sampled action held fixed: one half of the gradient, and not the gradient.

    g = dR/dtheta,    dJ/dtheta = E[ sum_t (dlog p_t / dtheta) G_t + dR/dtheta ]

It is what automatic differentiation makes of a loss in which sampled actions are data. Where rewards do not see the policy and
theta moves nothing along paths it is zero. A penalty k(log p(a | eta)) that is put in the loss has this for a gradient: that
of -log p itself has the mean E[-dlog p/dtheta] = 0 and teaches nothing, although its value estimates the entropy.

References
----------
Schulman (2020), Approximating KL divergence (k1, k2, k3); Tang and Munos (2025), On a few pitfalls in KL divergence gradient
estimation for RL.
"""

import dataclasses

from ..printing import as_called
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Numbers,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DirectDerivative(Estimator):
    """See the module."""

    cotangents = 0

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        return carry, []

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return ()

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        return direct


@as_called
def direct_derivative() -> Estimator:
    """Return dR/dtheta with all sampled actions held fixed: biased by what a score function estimates.

    References
    ----------
    Tang and Munos (2025), On a few pitfalls in KL divergence gradient estimation for RL.
    """
    return DirectDerivative()
