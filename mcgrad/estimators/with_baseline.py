"""An estimator with whatever baseline a user passes: some are subtracted by a second estimator."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ..baselines.baseline import Baseline
from ..baselines.optimal import Optimal, OptimalConstant
from .control_variate import ControlVariate, Difference
from .score import Score
from .weighted_score import WeightedScore


def with_baseline(kind: Callable[[Baseline], Any], baseline: Baseline | OptimalConstant) -> Any:
    """Return the estimator `kind(baseline)`; what is one number per parameter is subtracted by a second estimator."""
    if isinstance(baseline, OptimalConstant):
        return ControlVariate((kind(baseline.base), Score()), pilot=baseline.pilot)
    if isinstance(baseline, Optimal):
        optimal = dataclasses.replace(baseline, target=kind(baseline.base))
        return Difference((optimal.target, WeightedScore(optimal))) if optimal.per_parameter else kind(optimal)
    return kind(baseline)
