"""Importance-weighted (off-policy) score functions: trajectories of a behaviour policy, the gradient of another one.

Actions are drawn from p_b(a | s): the same policy at other parameters, or another policy of the same shape. With
w_t = p(a_t | s_t) / p_b(a_t | s_t), w_{i:k} = w_i ... w_k and z_t the score of the target at theta,

    trajectory         w_{0:T-1} sum_t z_t (R - b_t)
    per decision       sum_t z_t (sum_{k>=t} w_{0:k} r_k - w_{0:t} b_t)                       (r_T counts with w_{0:T-1})
    self-normalised    sum_i w_i sum_t z_t (R_i - b_t) / sum_i w_i, over a group of G trajectories, w_i = w_{0:T-1} of each

The first two are unbiased: the derivatives of the estimates w_{0:T-1} R and sum_k w_{0:k} r_k of J. The third has a bias of
O(1/G). Where the behaviour is the policy itself all weights are 1: the score function with reward to go, per decision, and
the plain one, or its mean over the group.

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
POMDPs using normalized importance sampling.
"""

import dataclasses

import numpy as np

from .. import validate
from ..baselines import Baseline, as_baseline
from ..baselines.optimal import Tuned
from ..compiler.spellings import where
from .estimator import Behaviour, Estimator, Together, Variation

KINDS = ("trajectory", "per decision", "self-normalised")


@dataclasses.dataclass(frozen=True, eq=False)
class WeightAndGradient(Estimator):
    """(log w, sum_t z_t (R - b_t)) of a rollout: the weight is still to be applied."""

    baseline: Baseline

    def data(self, problem, theta):
        return self.baseline.data(problem, theta)

    def last(self, c, end):
        return end.reward, 0.0

    def step(self, c, x, later):
        to_go, log_weight = later
        carry = to_go + x.reward, log_weight + x.log_weight
        b = 0.0 if self.baseline.is_constant else self.baseline.value(c, x)
        return carry, [x.score, tuple(b * z for z in x.score)]

    def finish(self, c, sums, carry):
        whole_return, log_weight = carry
        advantage = whole_return - (self.baseline.value(c, None) if self.baseline.is_constant else 0.0)
        return (log_weight, *(advantage * z - b for z, b in zip(*sums, strict=True)))


@dataclasses.dataclass(frozen=True, eq=False)
class PerDecision(Estimator):
    """V_0 of the module, as a carry of its own."""

    baseline: Baseline

    def data(self, problem, theta):
        return self.baseline.data(problem, theta)

    def last(self, c, end):
        return end.reward, (0.0,) * len(end.problem.parameters)

    def step(self, c, x, later):
        S, V = later
        w = np.exp(x.log_weight)
        S = w * (x.reward + S)
        advantage = S - w * self.baseline.value(c, x)
        now = x.theta_vjp(tuple(advantage * z for z in x.score))
        return (S, tuple(new + w * v for new, v in zip(now, V, strict=True))), []

    def finish(self, c, sums, carry):
        return carry[1]


@dataclasses.dataclass(frozen=True, eq=False)
class ImportanceWeighted(Together):
    """See the module; `weights` is one of KINDS, and there is a part for each trajectory of a group."""

    weights: str
    behaviour: Behaviour
    baseline: Baseline

    def data(self, problem, theta):
        own, other = problem.policy, self.behaviour.policy or problem.policy
        for field in ("states", "actions", "noises", "uniforms", "choices"):
            wanted, got = getattr(own, field), getattr(other, field)
            if wanted != got:
                raise ValueError(f"behaviour: expected a policy with {field} = {wanted}, as the problem's, got {got}")
        validate.array("behaviour_theta", self.behaviour.theta, (len(other.parameters),))
        return super().data(problem, theta)

    def combine(self, c, gradients, direction):
        if self.weights == "per decision":
            return gradients[0]
        logs = [x[0] for x in gradients]
        highest = logs[0] if len(logs) > 1 else 0.0
        for x in logs[1:]:
            highest = where(x > highest, x, highest)
        w = [np.exp(x - highest) for x in logs]
        scale = 1.0 / sum(w) if len(logs) > 1 else 1.0
        P = len(gradients[0]) - 1
        return tuple(scale * sum(k * x[1 + p] for k, x in zip(w, gradients, strict=True)) for p in range(P))


def importance_weighted(behaviour_theta, weights="trajectory", baseline=None, *, behaviour=None, group=None):
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
        2 to 16 trajectories: with self-normalised weights, and with these alone.

    Raises
    ------
    ValueError
        For an argument that is not as described; by `measure`, for a policy that has no `log_prob`.
    """
    from ..problem import Policy

    if weights not in KINDS:
        raise ValueError(f"weights: expected one of {', '.join(map(repr, KINDS))}, got {validate.describe(weights)}")
    if (weights == "self-normalised") != (group is not None):
        wanted = "a number from 2 to 16 with" if group is None else "None without"
        raise ValueError(f"group: expected {wanted} self-normalised weights, got {group!r} with {weights!r}")
    size = 1 if group is None else validate.integer("group", group, 2, 16)
    if not isinstance(behaviour, (Policy, type(None))):
        raise ValueError(f"behaviour: expected a Policy, got {validate.describe(behaviour)}")
    b = as_baseline(baseline)
    if not isinstance(b, Baseline) or b.per_parameter or isinstance(b, Tuned):
        raise ValueError(f"baseline: expected one that is not optimal for another estimator, got {type(b).__name__}")
    acting = Behaviour(tuple(validate.array("behaviour_theta", behaviour_theta, (None,)).tolist()), behaviour)
    part = PerDecision(b) if weights == "per decision" else WeightAndGradient(b)
    variations = tuple(Variation(stream=k, behaviour=acting) for k in range(size))
    return ImportanceWeighted((part,) * size, variations=variations, weights=weights, behaviour=acting, baseline=b)
