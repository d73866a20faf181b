"""Gradient estimators, one file for each idea."""

from .antithetic import Antithetic, antithetic
from .control_variate import ControlVariate, Difference, control_variate, difference, mixture
from .estimator import Estimator, PerStep, custom
from .parameter_space import EvolutionStrategies, FiniteDifferences, evolution_strategies, finite_differences, spsa
from .reparameterization import Reparameterization, reparameterization
from .reward_to_go import RewardToGo, reward_to_go
from .score_function import Score, ScoreFunction, score, score_function

__all__ = [
    "Antithetic",
    "ControlVariate",
    "Difference",
    "Estimator",
    "EvolutionStrategies",
    "FiniteDifferences",
    "PerStep",
    "Reparameterization",
    "RewardToGo",
    "Score",
    "ScoreFunction",
    "antithetic",
    "control_variate",
    "custom",
    "difference",
    "evolution_strategies",
    "finite_differences",
    "mixture",
    "reparameterization",
    "reward_to_go",
    "score",
    "score_function",
    "spsa",
]
