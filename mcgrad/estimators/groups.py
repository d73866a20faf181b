"""Baselines from other trajectories of the same batch: leave one out, the mean of all, and standardised advantages.

For a group of G trajectories with returns R_i, scores Z_i and derivatives D_i of R_i along paths (mostly none), Rbar and S
the mean and the standard deviation of the R_i:

    leave one out     1/G sum_i (R_i - mean of the other returns) Z_i = 1/(G - 1) sum_i (R_i - Rbar) Z_i     unbiased
    same-batch mean   1/G sum_i (R_i - Rbar) Z_i                           (1 - 1/G) times the gradient, exactly
    standardised      1/G sum_i (R_i - Rbar) / S Z_i                       biased: another scale, and not that alone; 0 if S = 0

each plus the mean of the D_i (divided by S, where the returns are). A group is one sample and takes G rollouts. Its
trajectories share the baseline, so that its variance can only be taken over groups.

References
----------
Kool, van Hoof and Welling (2019), Buy 4 REINFORCE samples, get a baseline for free; for standardised advantages Shao et al.
(2024), DeepSeekMath (GRPO).
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..compiler.functions import where
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
from .estimator import MOST_MEMBERS, Estimator, Members

EQUAL = 1e-13  # returns that differ by less of their mean are equal: what is left is rounding


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ReturnAndScore(Estimator):
    """(R, Z_1, ..., Z_P, D_1, ..., D_P) of a rollout: not a gradient, but what group baselines are made of."""

    carries = ("to_go",)

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        return later + x.reward, x.score

    def finish(self, c: Constants, sums: Cotangents, whole_return: Carry) -> Numbers:
        return (whole_return, *sums, *(0.0 for _ in sums))

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        return (*gradient[: -len(direct)], *direct)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Group(Members):
    """See the module; `kind` is "leave one out", "mean" or "standardised"; `ddof` and `epsilon` are of the last."""

    kind: str
    ddof: int = 0
    epsilon: float = 0.0
    only_data = ("epsilon",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return super().data(problem, theta) | {"epsilon": self.epsilon}

    # The running means of R and Z, sum (R - Rbar)^2 and sum (R - Rbar) (Z - Zbar), which is sum (R - Rbar) Z (Welford 1962):
    # equal returns deviate from their mean by exactly nothing. And the sum of the derivatives along paths.

    def begin(self, parameters: int) -> Carry:
        return 0.0, 0.0, 0.0, (0.0,) * parameters, (0.0,) * parameters, (0.0,) * parameters

    def add(self, c: Constants, carry: Carry, outcome: Carry) -> Carry:
        (R, *rest), (count, mean, squares, scores, products, direct) = outcome, carry
        Z, D = rest[: len(scores)], rest[len(scores) :]
        count = count + 1.0
        share = 1.0 / count
        deviation = R - mean
        mean = mean + deviation * share
        squares = squares + deviation * (R - mean)
        scores = tuple(m + (z - m) * share for m, z in zip(scores, Z, strict=True))
        products = tuple(x + deviation * (z - m) for x, z, m in zip(products, Z, scores, strict=True))
        return count, mean, squares, scores, products, tuple(x + d for x, d in zip(direct, D, strict=True))

    def result(self, c: Constants, carry: Carry) -> Numbers:
        _, mean, squares, _, products, direct = carry
        if self.kind != "standardised":
            scale = 1.0 / (self.size - 1 if self.kind == "leave one out" else self.size)
            return tuple(scale * x + d * (1.0 / self.size) for x, d in zip(products, direct, strict=True))
        std = np.sqrt(squares * (1.0 / (self.size - self.ddof)))
        # Written so that what is not finite stays so, and is counted.
        equal = std <= EQUAL * np.abs(mean)
        totals = [x + d for x, d in zip(products, direct, strict=True)]
        return tuple(where(equal, 0.0, x / (self.size * (std + c.epsilon))) for x in totals)


@as_called
def leave_one_out(size: int) -> Estimator:
    """Return the score function less the mean return of the other trajectories of its group: unbiased.

        1/G sum_i (R_i - mean of the other returns) Z_i

    Parameters
    ----------
    size : int
        G, 2 to 64: the rollouts of one sample.

    Raises
    ------
    ValueError
        For a size out of its range; when measured, where the policy has no score.

    References
    ----------
    Kool, van Hoof and Welling (2019), Buy 4 REINFORCE samples, get a baseline for free.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> theta = np.log([0.5, 0.3, 0.2])
    >>> group = mg.estimators.leave_one_out(5)  # a sample is the mean over the group
    >>> mg.exact.mean(arms, theta, group).round(12), mg.exact.variance(arms, theta, group).sum().round(5).item()
    (array([-0.05,  0.27, -0.22]), 0.08234)
    """
    return _group(size, "leave one out")


@as_called
def same_batch_mean(size: int) -> Estimator:
    """Return the score function less the mean return of its own group: biased by the factor 1 - 1/size.

        1/G sum_i (R_i - Rbar) Z_i,    E = (1 - 1/G) dJ/dtheta

    Parameters
    ----------
    size : int
        G, 2 to 64: the rollouts of one sample.

    Raises
    ------
    ValueError
        As of `leave_one_out`.
    """
    return _group(size, "mean")


@as_called
def standardised(size: int, ddof: int = 0, epsilon: float = 0.0) -> Estimator:
    """Return the score function with returns standardised within the group (GRPO): biased.

        1/G sum_i (R_i - Rbar) / (S + epsilon) Z_i,    S^2 = sum_i (R_i - Rbar)^2 / (G - ddof)

    A group whose returns are all equal, but for rounding (S <= 1e-13 |Rbar|), counts with gradient 0, whatever epsilon is.

    Parameters
    ----------
    size : int
        G, 2 to 64.
    ddof : int
        0, or 1 for the S of a sample, as PyTorch's `std` has it, and with it most implementations.
    epsilon : float
        Added to S, in units of the return; implementations use 1e-8 to 1e-4.

    Raises
    ------
    ValueError
        For a number out of its range; when measured, where the policy has no score.

    References
    ----------
    Shao et al. (2024), DeepSeekMath (GRPO).
    """
    ddof = validate.integer("ddof", ddof, 0, 1)
    return _group(size, "standardised", ddof, validate.number("epsilon", epsilon, low=0.0))


def _group(size: int, kind: str, ddof: int = 0, epsilon: float = 0.0) -> Estimator:
    return Group(ReturnAndScore(), validate.integer("size", size, 2, MOST_MEMBERS), kind, ddof, epsilon)
