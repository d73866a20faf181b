"""Importance-weighted (off-policy) score functions: trajectories of a behaviour policy, the gradient of another one.

Actions are drawn from p_b(a | s): the same policy at other parameters, or another policy of the same shape. With
w_t = p(a_t | s_t) / p_b(a_t | s_t), w_{i:k} = w_i ... w_k and z_t the score of the target at theta,

    trajectory         w_{0:T-1} sum_t z_t (R - b_t)
    per decision       sum_t z_t (sum_{k>=t} w_{0:k} r_k - w_{0:t} b_t)                       (r_T counts with w_{0:T-1})
    self-normalised    sum_i w_i sum_t z_t (R_i - b_t) / sum_i w_i, over a group of G trajectories, w_i = w_{0:T-1} of each

The first two are unbiased: the derivatives of the estimates w_{0:T-1} R and sum_k w_{0:k} r_k of J. The third has a bias of
O(1/G). Where the behaviour is the policy itself all weights are 1: the score function with reward to go, per decision, and
the plain one, or its mean over the group.

Clipped weights (`clip` = c) are min(w_{0:T-1}, c), and min(w_t, c) for each decision: bounded, for a bias towards the gradient
of a policy between the two (Ionides 2008; for each decision, as V-trace and Retrace do, Espeholt et al. 2018).

Weights are products along the trajectory. Their variance grows exponentially with the horizon, and may be infinite: under
Gaussian policies of one std where exp(|(K - K_b) s|^2 / std^2) has no mean, and where the behaviour's std is below that of the
target divided by sqrt(2).

Numerically. Per decision, S_t = w_t (r_t + S_{t+1}) and V_t = z_t (S_t - w_t b_t) + w_t V_{t+1} give V_0 = the estimate in one
reverse scan, without w_{0:t} ever being formed: by Markov's inequality a product w_{t:k} overflows with a probability below
1e-300. Whole weights are exponentials of sums, in a group relative to the largest.

References
----------
Precup, Sutton and Singh (2000), Eligibility traces for off-policy policy evaluation (per decision); Jie and Abbeel (2010), On
a connection between importance sampling and the likelihood ratio policy gradient; Shelton (2001), Policy improvement for
POMDPs using normalized importance sampling; Ionides (2008), Truncated importance sampling; Espeholt et al. (2018), IMPALA:
scalable distributed deep-RL with importance weighted actor-learner architectures (V-trace).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..baselines.accepted import BaselineLike, as_baseline
from ..baselines.baseline import Baseline
from ..baselines.optimal import Optimal
from ..compiler.functions import where
from ..printing import as_called
from ..problem import Policy, Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Number,
    Numbers,
    StepView,
)
from .estimator import MOST_MEMBERS, BehaviourPolicy, Combined, Direction, Estimator, Members, RolloutVariant

LOWEST = -1e300  # a log weight below all others
KINDS = ("trajectory", "per decision", "self-normalised")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class WeightAndGradient(Estimator):
    """(log w, sum_t z_t (R - b_t)) of a rollout: the weight is still to be applied."""

    carries = ("to_go", "log_weight")

    baseline: Baseline

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.baseline.data(problem, theta)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, 0.0

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        to_go, log_weight = later
        carry = to_go + x.reward, log_weight + x.log_weight
        b = 0.0 if self.baseline.is_constant else self.baseline.value(c, x)
        return carry, [x.score, tuple(b * z for z in x.score)]

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        whole_return, log_weight = carry
        advantage = whole_return
        if self.baseline.is_constant:
            advantage = whole_return - self.baseline.value(c, None)  # type: ignore[arg-type]  # it looks at no state
        return (log_weight, *(advantage * z - b for z, b in zip(*sums, strict=True)))

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        return (gradient[0], *super().with_direct(gradient[1:], direct))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PerDecision(Estimator):
    """V_0 of the module, as a carry of its own."""

    carries = ("to_go", "gradient")

    baseline: Baseline
    clip: float | None = None
    only_data = ("clip",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.baseline.data(problem, theta) | _data_of(self.clip)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, (0.0,) * len(end.problem.parameters)

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        S, V = later
        w = np.exp(_clipped(c, x.log_weight, self.clip))
        S = w * (x.reward + S)
        advantage = S - w * self.baseline.value(c, x)
        now = x.theta_vjp(tuple(advantage * z for z in x.score))
        return (S, tuple(new + w * v for new, v in zip(now, V, strict=True))), []

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return carry[1]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImportanceWeighted(Combined):
    """See the module; `weights` is "trajectory" or "per decision"."""

    weights: str
    behaviour: BehaviourPolicy
    baseline: Baseline
    clip: float | None = None
    only_data = ("clip",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        check_behaviour(problem, self.behaviour)
        return super().data(problem, theta) | _data_of(self.clip)

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        (gradient,) = gradients
        if self.weights == "per decision":
            return gradient
        w: Any = np.exp(_clipped(c, gradient[0], self.clip))
        return tuple(w * x for x in gradient[1:])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SelfNormalised(Members):
    """See the module."""

    behaviour: BehaviourPolicy
    baseline: Baseline

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        check_behaviour(problem, self.behaviour)
        return super().data(problem, theta)

    # The largest log w so far; sum_i w_i and sum_i w_i g_i, both divided by the largest w.

    def begin(self, parameters: int) -> Carry:
        return LOWEST, 0.0, (0.0,) * parameters

    def add(self, c: Constants, carry: Carry, outcome: Carry) -> Carry:
        (log_weight, *gradient), (old, total, weighted) = outcome, carry
        highest = where(log_weight > old, log_weight, old)
        fade, weight = np.exp(old - highest), np.exp(log_weight - highest)
        weighted = tuple(fade * x + weight * g for x, g in zip(weighted, gradient, strict=True))
        return highest, fade * total + weight, weighted

    def result(self, c: Constants, carry: Carry) -> Numbers:
        _, total, weighted = carry
        scale = 1.0 / total
        return tuple(scale * x for x in weighted)


def _data_of(clip: float | None) -> Data:
    return {} if clip is None else {"log_clip": np.log(clip)}


def _clipped(c: Constants, log_weight: Number, clip: float | None) -> Number:
    return log_weight if clip is None else where(log_weight > c.log_clip, c.log_clip, log_weight)


def check_behaviour(problem: Problem, behaviour: BehaviourPolicy) -> None:
    """Raise a ValueError unless a behaviour's policy is of the shape of the problem's own."""
    own, other = problem.policy, behaviour.policy or problem.policy
    for field in ("states", "actions", "noises", "uniforms", "choices"):
        wanted, got = getattr(own, field), getattr(other, field)
        if wanted != got:
            raise ValueError(f"behaviour: expected a policy with {field} = {wanted}, as the problem's, got {got}")
    validate.array("behaviour_theta", behaviour.theta, (len(other.parameters),))


@as_called
def importance_weighted(
    behaviour_theta: ArrayLike,
    weights: str = "trajectory",
    baseline: BaselineLike = None,
    *,
    behaviour: Policy | None = None,
    group: int | None = None,
    clip: float | None = None,
) -> Estimator:
    """Return the score function at theta from trajectories of a behaviour policy; `mcgrad.best_behaviour` finds the best one.

    Parameters
    ----------
    behaviour_theta : (P,) array
        Parameters of the behaviour policy; new numbers do not compile again.
    weights : str
        "trajectory", "per decision" or "self-normalised", see the module.
    baseline : None, number, (T,) array, or one of mcgrad.baselines
        b_t(s_t), of the target policy; not one that is optimal for, or fitted to, another estimator.
    behaviour : Policy, optional
        Another policy for the behaviour, with as many states, actions and noises; the problem's own by default.
    group : int, optional
        2 to 64 trajectories: with self-normalised weights, and with these alone.
    clip : float, optional
        The largest weight of a trajectory, or of a decision, > 0; not with self-normalised weights. Biased; weights are never
        clipped by default.

    Raises
    ------
    ValueError
        For an argument that is not as described; by `measure`, for a policy that has no `log_prob`.

    References
    ----------
    Precup, Sutton and Singh (2000), Eligibility traces for off-policy policy evaluation; Jie and Abbeel (2010), On a connection
    between importance sampling and the likelihood ratio policy gradient; the module says which paper has which weights.
    """
    validate.one_of("weights", weights, KINDS)
    if (weights == "self-normalised") != (group is not None):
        wanted = "a number from 2 to 64 with" if group is None else "None without"
        raise ValueError(f"group: expected {wanted} self-normalised weights, got {group!r} with {weights!r}")
    if not isinstance(behaviour, (Policy, type(None))):
        raise ValueError(f"behaviour: expected a Policy, got {validate.describe(behaviour)}")
    b = as_baseline(baseline)
    if not isinstance(b, Baseline) or b.per_parameter or isinstance(b, Optimal):
        raise ValueError(f"baseline: expected one that is not optimal for another estimator, got {type(b).__name__}")
    acting = BehaviourPolicy(tuple(validate.array("behaviour_theta", behaviour_theta, (None,)).tolist()), behaviour)
    if clip is not None:
        clip = validate.number("clip", clip, above=0.0)
        if group is not None:
            raise ValueError(f"clip: expected None with self-normalised weights, got {clip!r}")
    part = PerDecision(b, clip) if weights == "per decision" else WeightAndGradient(b)
    acts = RolloutVariant(behaviour=acting)
    if group is not None:
        size = validate.integer("group", group, 2, MOST_MEMBERS)
        return SelfNormalised(part, size, variation=acts, behaviour=acting, baseline=b)
    return ImportanceWeighted((part,), variations=(acts,), weights=weights, behaviour=acting, baseline=b, clip=clip)
