"""Gradient estimators, one file for each idea."""

from ..per_step import PerStep
from .action_control_variate import ActionControlVariate, action_control_variate
from .advantage import Advantage, QFunction, advantage, q_function
from .all_actions import AllActions, all_actions
from .alpha_order import AlphaOrder, alpha_order
from .antithetic import Antithetic, antithetic
from .clipped_ratio import ClippedRatio, clipped_ratio
from .computation_graph import ComputationGraph, computation_graph
from .control_variate import ControlVariate, Difference, control_variate, difference, mixture
from .delta import Delta, delta
from .direct_derivative import DirectDerivative, direct_derivative
from .doubly_robust import DoublyRobust, doubly_robust
from .estimator import BehaviourPolicy, Combined, Estimator, RolloutVariant, custom
from .generalized_advantage import GeneralizedAdvantage, generalized_advantage
from .groups import Group, leave_one_out, same_batch_mean, standardised
from .importance_weighted import ImportanceWeighted, SelfNormalised, importance_weighted
from .inverse_variance import InverseVariance, inverse_variance
from .inverse_variance_per_step import InverseVariancePerStep, inverse_variance_per_step
from .knowledge import Knowledge, knows
from .measure_valued import MeasureValued, measure_valued
from .natural import Natural, natural
from .parameter_space import EvolutionStrategies, FiniteDifferences, evolution_strategies, finite_differences, spsa
from .persistent import PersistentEvolutionStrategies, persistent_evolution_strategies
from .reparameterization import Reparameterization, reparameterization
from .reward_to_go import RewardToGo, reward_to_go
from .score import Score, score
from .score_function import ScoreFunction, score_function
from .score_hessian_vector_product import ScoreHessianVectorProduct, score_hessian_vector_product
from .short_horizon import ShortHorizon, short_horizon, truncated_reparameterization
from .trajectory_control_variate import TrajectoryControlVariate, trajectory_control_variate
from .value_gradient import ValueGradient, value_gradient
from .weighted_score import WeightedScore

__all__ = [
    "ActionControlVariate",
    "Advantage",
    "AllActions",
    "AlphaOrder",
    "Antithetic",
    "BehaviourPolicy",
    "ClippedRatio",
    "Combined",
    "ComputationGraph",
    "ControlVariate",
    "Delta",
    "Difference",
    "DirectDerivative",
    "DoublyRobust",
    "Estimator",
    "EvolutionStrategies",
    "FiniteDifferences",
    "GeneralizedAdvantage",
    "Group",
    "ImportanceWeighted",
    "InverseVariance",
    "InverseVariancePerStep",
    "Knowledge",
    "MeasureValued",
    "Natural",
    "PerStep",
    "PersistentEvolutionStrategies",
    "QFunction",
    "Reparameterization",
    "RewardToGo",
    "RolloutVariant",
    "Score",
    "ScoreFunction",
    "ScoreHessianVectorProduct",
    "SelfNormalised",
    "ShortHorizon",
    "TrajectoryControlVariate",
    "ValueGradient",
    "WeightedScore",
    "action_control_variate",
    "advantage",
    "all_actions",
    "alpha_order",
    "antithetic",
    "clipped_ratio",
    "computation_graph",
    "control_variate",
    "custom",
    "delta",
    "difference",
    "direct_derivative",
    "doubly_robust",
    "evolution_strategies",
    "finite_differences",
    "generalized_advantage",
    "importance_weighted",
    "inverse_variance",
    "inverse_variance_per_step",
    "knows",
    "leave_one_out",
    "measure_valued",
    "mixture",
    "natural",
    "persistent_evolution_strategies",
    "q_function",
    "reparameterization",
    "reward_to_go",
    "same_batch_mean",
    "score",
    "score_function",
    "score_hessian_vector_product",
    "short_horizon",
    "spsa",
    "standardised",
    "trajectory_control_variate",
    "truncated_reparameterization",
    "value_gradient",
]
