"""Gradient estimators, one file for each idea."""

from .control_variate import ControlVariate, Difference, control_variate, difference, mixture
from .estimator import Estimator, PerStep, custom
from .reparameterization import Reparameterization, reparameterization
from .reward_to_go import RewardToGo, reward_to_go
from .score_function import Score, ScoreFunction, score, score_function

__all__ = [
    "ControlVariate",
    "Difference",
    "Estimator",
    "PerStep",
    "Reparameterization",
    "RewardToGo",
    "Score",
    "ScoreFunction",
    "control_variate",
    "custom",
    "difference",
    "mixture",
    "reparameterization",
    "reward_to_go",
    "score",
    "score_function",
]
