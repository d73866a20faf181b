"""What does somebody else's estimator rest on? It is traced on the same problem, with functions that tell when they are asked.

The score: the policy's `score` or `log_prob` is called. Derivatives of dynamics and rewards: it follows what jumps
would spoil. Perturbed parameters: it says so itself, and its mean is that of an objective smoothed over
their width.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.namespaces import rebind
from ..estimators.estimator import Estimator, scans
from ..estimators.kinds import (
    Antithetic,
    ComputationGraph,
    MeasureValued,
    Reparameterization,
    RewardToGo,
    ScoreFunction,
)
from ..kernels.tracing import traced
from ..problem import Problem
from .candidates import DERIVATIVES, IN_PART, MEASURE, SCORE

# Whatever the baseline, if it does not look at the action.
UNBIASED = (ScoreFunction, RewardToGo, Reparameterization, ComputationGraph)


def rests_on(problem: Problem, theta: NDArray[np.float64], estimator: Estimator) -> frozenset[str]:
    """Return what an estimator rests on besides returns: a set of SCORE, DERIVATIVES and MEASURE."""
    found: set[str] = set()

    def telling(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
        if function is None:
            return None

        def asked(*arguments: Any) -> Any:
            found.add(SCORE)
            return rebind(function)(*arguments)

        return asked

    policy = problem.policy
    policy = dataclasses.replace(policy, score=telling(policy.score), log_prob=telling(policy.log_prob))
    altered = dataclasses.replace(problem, policy=policy)
    if traced(altered, theta, {"": estimator}).follows:
        found.add(DERIVATIVES)
    if DERIVATIVES in found and any(_in_part(scan) for scan, _ in scans(estimator)):
        found = found - {DERIVATIVES} | {IN_PART}
    if any(isinstance(scan, MeasureValued) for scan, _ in scans(estimator)):
        found.add(MEASURE)
    return frozenset(found)


def _in_part(scan: Estimator) -> bool:
    return isinstance(scan, ComputationGraph) and (scan.components is not None or scan.times is not None)


def is_smoothed(estimator: Estimator) -> bool:
    """Tell whether an estimator looks at perturbed parameters, and so at another objective."""
    return any(variation.shift for _, variation in scans(estimator))


def is_unbiased(estimator: Estimator) -> bool:
    """Tell whether theory says that an estimator is unbiased if what it rests on is right; False where it is not known."""
    if type(estimator) is Antithetic:
        return all(map(is_unbiased, estimator.parts))
    return type(estimator) in UNBIASED or (type(estimator) is MeasureValued and estimator.critic is None)
