"""Gradient estimators, one file for each idea."""

from .antithetic import Antithetic, antithetic
from .control_variate import ControlVariate, Difference, control_variate, difference, mixture
from .estimator import Estimator, PerStep, custom
from .groups import Group, leave_one_out, same_batch_mean, standardised
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
    "Group",
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
    "leave_one_out",
    "mixture",
    "reparameterization",
    "reward_to_go",
    "same_batch_mean",
    "score",
    "score_function",
    "spsa",
    "standardised",
]
