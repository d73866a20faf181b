"""Measure-valued (weak) derivatives: the difference of two rollouts that branch off at each action.

    d E[f(u)] / d mu    = (E f(mu + sigma W) - E f(mu - sigma W)) / (sigma sqrt(2 pi)),    W ~ Rayleigh
    d E[f(u)] / d sigma = (E f(mu + sigma M) - E f(mu + sigma U M)) / sigma,               M ~ double-sided Maxwell

for u ~ N(mu, sigma^2), U uniform on (0, 1), so that U M is standard normal. With f the return to go as a function of the
action u_ti at time t,

    etabar_ti = (G_t^+ - G_t^-) / (sigma_i sqrt(2 pi)),    G_t^+- the return to go with u_ti = +-sigma_i W_ti,

and G_t(M) - G_t(U M) for a learned log scale (divided by sigma_i for a learned std). Both branches of a pair share W, or M,
which couples them. They are

    all times         simulated to the end from each time: 2 m T rollouts besides the main one (4 m T with learned scales)
    one time          the same at one time, uniform on 0, ..., T - 1 and drawn for each trajectory, times T: 2 m (4 m) rollouts
    with a critic     Q_t(s_t, .) at the two actions: no rollouts at all, as good as the critic is

on the noise of the main rollout, or on noise of their own. Neither needs a differentiable reward.

References
----------
Pflug (1989), Sampling derivatives of probabilities; Mohamed, Rosca, Figurnov and Mnih (2020), section 6; Carvalho, Tateo,
Muratore and Peters (2021), An empirical analysis of measure-valued derivatives for policy gradients.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..compiler.functions import where
from ..critics.accepted import as_critic
from ..critics.critic import Critic
from ..per_step import PerStep
from ..policies.scales import scales
from ..printing import as_called
from ..problem import Policy, Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    Number,
    StepView,
)
from .branch_request import BranchRequest, replacements_count
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MeasureValued(Estimator):
    """See the module."""

    independent: bool = False
    once: bool = False
    critic: Critic | None = None

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        std, _ = scales_of(problem.policy)
        if problem.horizon >= 2**16:
            raise ValueError(f"horizon: expected less than 65536 for measure-valued derivatives, got {problem.horizon}")
        data = {"scale": 1.0 / (std * np.sqrt(2.0 * np.pi))}
        if self.once:
            data |= {"steps": problem.horizon, "time": PerStep(np.arange(problem.horizon + 1.0))}
        return data if self.critic is None else data | {"critic": self.critic.data(problem, theta)}

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        m = len(x.a)
        _, learned = scales_of(x.problem.policy)
        kind = BranchRequest(self.independent, self.once, learned != "fixed", m)
        differences = _of_critic(self.critic, c, x, kind) if self.critic else x.branches(kind)
        if self.once:
            here = c.time == x.branch_time()
            differences = [where(here, c.steps * d, 0.0) for d in differences]
        inverse = {"fixed": lambda y: 1.0, "log": lambda y: np.exp(-y), "std": lambda y: 1.0 / y}[learned]
        inverses = [inverse(y) for y in x.eta[m:]] or [1.0] * m
        of_means = [c.scale[i] * inverses[i] * d for i, d in enumerate(differences[:m])]
        of_scales = [d * (inverses[i] if learned == "std" else 1.0) for i, d in enumerate(differences[m:])]
        return carry, (*of_means, *of_scales)

    def extra_rollouts(self, problem: Problem) -> int:
        if self.critic is not None:
            return 0
        _, learned = scales_of(problem.policy)
        pairs = problem.environment.actions * (1 if learned == "fixed" else 2)
        return 2 * pairs * (1 if self.once else problem.horizon)


def _of_critic(critic: Critic, c: Constants, x: StepView, kind: BranchRequest) -> list[Number]:
    """Return Q^+ - Q^- for each pair, as the difference of two advantages."""
    drawn = x.replacements(replacements_count(kind.actions, kind.scales))
    values = []
    for i, e_i in kind.replaced(drawn):
        other = x.with_noise((*x.e[:i], e_i, *x.e[i + 1 :]))
        values.append(critic.advantage(c.critic, other))
    return [plus - minus for plus, minus in zip(values[::2], values[1::2], strict=True)]


def scales_of(policy: Policy) -> tuple[NDArray[np.float64], str]:
    """Return `policies.scales.scales`, or raise a ValueError that names this estimator."""
    found = scales(policy)
    if found is None:
        raise ValueError(
            f"measure-valued derivatives are there for a Gaussian policy with independent actions and std > 0, not for "
            f"{policy.name}; reward_to_go() works on every policy with a density"
        )
    return found


@as_called
def measure_valued(branches: str = "common", times: str = "all", *, critic: Critic | None = None) -> Estimator:
    """Return the measure-valued gradient for a Gaussian policy with independent actions.

    Parameters
    ----------
    branches : str
        "common": branches follow the noise of the main rollout. "independent": each has a future of its own.
    times : str
        "all": they branch off at every time. "one": at one random time of each trajectory, with weight T.
    critic : one of mcgrad.critics, optional
        Takes the place of branches: exact values, or wrong ones.

    Raises
    ------
    ValueError
        For other words, and for a critic together with branches; by `measure`, for policies of another kind.

    References
    ----------
    Pflug (1989), Sampling derivatives of probabilities; Carvalho, Tateo, Muratore and Peters (2021), An empirical analysis of
    measure-valued derivatives for policy gradients.
    """
    for name, value, words in (("branches", branches, ("common", "independent")), ("times", times, ("all", "one"))):
        validate.one_of(name, value, words)
    if critic is not None and (branches, times) != ("common", "all"):
        raise ValueError(
            "critic: expected None with independent branches or one time; a critic branches everywhere at once"
        )
    return MeasureValued(branches == "independent", times == "one", None if critic is None else as_critic(critic))
