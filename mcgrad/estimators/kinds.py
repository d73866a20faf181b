"""The records that the functions of `mcgrad.estimators` return, for what tells them apart: theories, checks, comparisons."""

from .action_control_variate import ActionControlVariate
from .advantage import Advantage, QFunction
from .all_actions import AllActions
from .alpha_order import AlphaOrder
from .antithetic import Antithetic
from .clipped_ratio import ClippedRatio
from .computation_graph import ComputationGraph
from .control_variate import ControlVariate, Difference
from .delta import Delta
from .direct_derivative import DirectDerivative
from .doubly_robust import DoublyRobust
from .generalized_advantage import GeneralizedAdvantage
from .groups import Group
from .importance_weighted import ImportanceWeighted, SelfNormalised
from .inverse_variance import InverseVariance
from .inverse_variance_per_step import InverseVariancePerStep
from .measure_valued import MeasureValued
from .natural import Natural
from .parameter_space import EvolutionStrategies, FiniteDifferences
from .persistent import PersistentEvolutionStrategies
from .reparameterization import Reparameterization
from .reward_to_go import RewardToGo
from .score import Score
from .score_function import ScoreFunction
from .score_hessian_vector_product import ScoreHessianVectorProduct
from .short_horizon import ShortHorizon
from .trajectory_control_variate import TrajectoryControlVariate
from .value_gradient import ValueGradient
from .weighted_score import WeightedScore

__all__ = [
    "ActionControlVariate",
    "Advantage",
    "AllActions",
    "AlphaOrder",
    "Antithetic",
    "ClippedRatio",
    "ComputationGraph",
    "ControlVariate",
    "Delta",
    "Difference",
    "DirectDerivative",
    "DoublyRobust",
    "EvolutionStrategies",
    "FiniteDifferences",
    "GeneralizedAdvantage",
    "Group",
    "ImportanceWeighted",
    "InverseVariance",
    "InverseVariancePerStep",
    "MeasureValued",
    "Natural",
    "PersistentEvolutionStrategies",
    "QFunction",
    "Reparameterization",
    "RewardToGo",
    "Score",
    "ScoreFunction",
    "ScoreHessianVectorProduct",
    "SelfNormalised",
    "ShortHorizon",
    "TrajectoryControlVariate",
    "ValueGradient",
    "WeightedScore",
]
