"""Gradient estimators, one file for each idea.

Here are the functions that make them, and what one of your own is written with: `Estimator`, `Combined`, `RolloutVariant`,
`BehaviourPolicy` and `PerStep`. The records that the functions return are in `mcgrad.estimators.kinds`.
"""

from ..per_step import PerStep
from .action_control_variate import action_control_variate
from .advantage import advantage, q_function
from .all_actions import all_actions
from .alpha_order import alpha_order
from .antithetic import antithetic
from .clipped_ratio import clipped_ratio
from .computation_graph import computation_graph
from .control_variate import control_variate, difference, mixture
from .delta import delta
from .direct_derivative import direct_derivative
from .doubly_robust import doubly_robust
from .estimator import BehaviourPolicy, Combined, Estimator, RolloutVariant, custom
from .generalized_advantage import generalized_advantage
from .groups import leave_one_out, same_batch_mean, standardised
from .importance_weighted import importance_weighted
from .inverse_variance import inverse_variance
from .inverse_variance_per_step import inverse_variance_per_step
from .knowledge import knows
from .measure_valued import measure_valued
from .natural import natural
from .parameter_space import evolution_strategies, finite_differences, spsa
from .persistent import persistent_evolution_strategies
from .reparameterization import reparameterization
from .reward_to_go import reward_to_go
from .score import score
from .score_function import score_function
from .score_hessian_vector_product import score_hessian_vector_product
from .short_horizon import short_horizon, truncated_reparameterization
from .trajectory_control_variate import trajectory_control_variate
from .value_gradient import value_gradient

__all__ = [
    "BehaviourPolicy",
    "Combined",
    "Estimator",
    "PerStep",
    "RolloutVariant",
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


def __dir__() -> list[str]:
    return sorted(__all__)
