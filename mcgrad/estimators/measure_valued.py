"""Measure-valued (weak) derivatives: the difference of two rollouts that branch off at each action.

    d E[f(u)] / d mu = (E f(mu + sigma W) - E f(mu - sigma W)) / (sigma sqrt(2 pi)),    u ~ N(mu, sigma^2), W ~ Rayleigh

    etabar_ti = (G_t^+ - G_t^-) / (sigma_i sqrt(2 pi)),    G_t^+- the return to go with u_ti = +-sigma_i W_ti

Two branches for each time and action are simulated to the end, on the noise of the main rollout (and the same W), or on
noise of their own. Needs neither a differentiable reward nor a critic, but 2 m T rollouts besides the main one.

References
----------
Pflug (1989), Sampling derivatives of probabilities; Mohamed, Rosca, Figurnov and Mnih (2020), section 6; Carvalho, Tateo,
Muratore and Peters (2021), An empirical analysis of measure-valued derivatives for policy gradients.
"""

import dataclasses

import numpy as np

from .. import validate
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False)
class MeasureValued(Estimator):
    """See the module."""

    independent: bool = False

    def data(self, problem, theta):
        policy = problem.policy.closed_form
        root = getattr(policy, "root", None)
        if root is None or policy.learn_std or np.any(root != np.diag(np.diag(root))) or problem.policy.no_score:
            raise ValueError(
                "measure-valued derivatives are there for a linear-Gaussian policy with independent actions (std > 0) that "
                f"is not learned, not for {problem.policy.name}; reward_to_go() works on every policy with a density"
            )
        if problem.horizon >= 2**16:
            raise ValueError(f"horizon: expected less than 65536 for measure-valued derivatives, got {problem.horizon}")
        return {"scale": 1.0 / (np.diag(root) * np.sqrt(2.0 * np.pi))}

    def step(self, c, x, carry):
        differences = x.branches(self.independent)
        return carry, tuple(c.scale[i] * d for i, d in enumerate(differences))

    def extra_rollouts(self, problem):
        return 2 * problem.environment.actions * problem.horizon


def measure_valued(branches="common"):
    """Return the measure-valued gradient of the gain K.

    Parameters
    ----------
    branches : str
        "common": branches follow the noise of the main rollout. "independent": each has a future of its own.
    """
    if branches not in ("common", "independent"):
        raise ValueError(f"branches: expected 'common' or 'independent', got {validate.describe(branches)}")
    return MeasureValued(branches == "independent")
