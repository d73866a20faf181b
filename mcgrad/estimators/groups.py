"""Baselines from other trajectories of the same batch: leave one out, the mean of all, and standardised advantages.

For a group of G trajectories with returns R_i, scores Z_i and derivatives D_i of R_i along paths (mostly none), Rbar and S
the mean and the standard deviation of the R_i:

    leave one out     1/G sum_i (R_i - mean of the other returns) Z_i = 1/(G - 1) sum_i (R_i - Rbar) Z_i     unbiased
    same-batch mean   1/G sum_i (R_i - Rbar) Z_i                           (1 - 1/G) times the gradient, exactly
    standardised      1/G sum_i (R_i - Rbar) / S Z_i                       biased: another scale, and not that alone

each plus the mean of the D_i (divided by S, where the returns are). A group is one sample and takes G rollouts. Its
trajectories share the baseline, so that its variance can only be taken over groups.

References
----------
Kool, van Hoof and Welling (2019), Buy 4 REINFORCE samples, get a baseline for free; for standardised advantages Shao et al.
(2024), DeepSeekMath (GRPO).
"""

import dataclasses

import numpy as np

from .. import validate
from .estimator import Estimator, Together, Variation


@dataclasses.dataclass(frozen=True, eq=False)
class ReturnAndScore(Estimator):
    """(R, Z_1, ..., Z_P, D_1, ..., D_P) of a rollout: not a gradient, but what group baselines are made of."""

    def last(self, c, end):
        return end.reward

    def step(self, c, x, later):
        return later + x.reward, x.score

    def finish(self, c, sums, whole_return):
        return (whole_return, *sums, *(0.0 for _ in sums))

    def with_direct(self, gradient, direct):
        return (*gradient[: -len(direct)], *direct)


@dataclasses.dataclass(frozen=True, eq=False)
class Group(Together):
    """See the module; `kind` is "leave one out", "mean" or "standardised"."""

    kind: str

    def combine(self, c, gradients, direction):
        G = len(gradients)
        mean = sum(x[0] for x in gradients) * (1.0 / G)
        deviations = [x[0] - mean for x in gradients]
        scale = 1.0 / (G - 1) if self.kind == "leave one out" else 1.0 / G
        of_direct = 1.0 / G
        if self.kind == "standardised":
            spread = np.sqrt(sum(d * d for d in deviations) * (1.0 / G))
            scale, of_direct = scale / spread, of_direct / spread
        P = (len(gradients[0]) - 1) // 2
        pairs = list(zip(deviations, gradients, strict=True))
        return tuple(
            scale * sum(d * x[1 + p] for d, x in pairs) + of_direct * sum(x[1 + P + p] for _, x in pairs)
            for p in range(P)
        )


def leave_one_out(size):
    """Return the score function less the mean return of the other trajectories in groups of 2 to 16."""
    return _group(size, "leave one out")


def same_batch_mean(size):
    """Return the score function less the mean return of its own group: biased by the factor 1 - 1/size."""
    return _group(size, "mean")


def standardised(size):
    """Return the score function with returns standardised within the group (GRPO): biased."""
    return _group(size, "standardised")


def _group(size, kind):
    size = validate.integer("size", size, 2, 16)
    streams = tuple(Variation(stream=k) for k in range(size))
    return Group((ReturnAndScore(),) * size, variations=streams, kind=kind)
