"""Exact truth for tabular problems: values, gradients, and the variance of every policy-gradient estimator.

Every variance is that of ONE trajectory's estimate, per parameter. All functions take a `System` first.

    from mcgrad.exact.tabular import System, RewardToGo, ScoreFunction, softmax, value_baseline, variance
    system = System(P, reward, start, softmax(logits), horizon=20, discount=0.9)
    variance(system, ScoreFunction()), variance(system, RewardToGo(value_baseline(system)))

`mean(system, X)`, `variance(system, X)` and `covariance(system, X, Y)` take any two of these; b is an array of
`baselines`, c a number or one per parameter:

    score_function()                         ScoreFunction()
    score_function(baseline=c)               ScoreFunction(c), at its best with c = optimal_constant(system, ScoreFunction())
    score_function(baseline=b)               ScoreFunction(baseline=b)
    reward_to_go(), reward_to_go(baseline)   RewardToGo(b), b = time_baseline, state_baseline, value_baseline,
                                             mean_to_go_baseline, ..., or the sum of one and an optimal_..._baseline
    generalized_advantage(decay)             GeneralizedAdvantage(decay)
    advantage(), q_function()                Advantage(), Critic()
    all_actions()                            AllActions()
    action_control_variate()                 ActionControlVariate()
    trajectory_control_variate()             TrajectoryControlVariate()
    doubly_robust()                          DoublyRobust()
    score(), the return itself               Score(), Return()
    mixture, control variate                 optimal_mixture, score_control_variate, full_score_control_variate,
                                             combination_variance
    leave_one_out(G), same_batch_mean(G)     leave_one_out_variance(system, G), same_batch_variance(system, G)
    any of them with expected rewards        the same on system.with_expected_rewards()
    with a wrong critic                      Critic(q), Advantage(q), AllActions(q), ActionControlVariate(q),
                                             GeneralizedAdvantage(decay, v): mean and variance are still exact

`tree_bound`, `markov_bound` and `stationary_bound` are what no estimator made of trajectories alone goes below.

The softmax bandit is the case of one state and horizon 1: `bandit`. Episodes that end by themselves need no horizon
(None): sums over time are linear solves. For problems without end see `mcgrad.exact.tabular.average`.

How: an estimator is a sum of martingale increments over the stages (`increments`), linear in a few carries of the
past (`carries`); their second moments, state by state, obey linear recursions, and `variances` adds up products.

Cost: time O(T S^2 A P), memory O(T S P): a second for S = 100, A = 4, P = 400, T = 50 on one core, 0.1 s without a horizon.

Accuracy: 1e-13 relative or so, since the increments of a martingale do not cancel. Within a stage, what a carry and its
factor cancel is lost: 8 digits are left where 1e6 is added to every reward of order 1 and a baseline takes it away
again. Optimal mixtures and control variates subtract, and lose what they gain.
"""

from . import average
from .baselines import (
    constant_baseline,
    mean_to_go_baseline,
    naive_state_baseline,
    naive_time_baseline,
    optimal_constant,
    optimal_state_baseline,
    optimal_time_baseline,
    state_baseline,
    time_baseline,
    trace_optimal_constant,
    trace_optimal_state_baseline,
    trace_optimal_time_baseline,
    value_baseline,
)
from .bounds import markov_bound, stationary_bound, tree_bound
from .estimators import (
    ActionControlVariate,
    Advantage,
    AllActions,
    Critic,
    DoublyRobust,
    GeneralizedAdvantage,
    Return,
    RewardToGo,
    Score,
    ScoreFunction,
    TrajectoryControlVariate,
    WeightedScore,
)
from .groups import leave_one_out_variance, same_batch_mean, same_batch_variance
from .mixtures import (
    ControlVariate,
    Mixture,
    combination_variance,
    fisher,
    full_score_control_variate,
    optimal_mixture,
    score_control_variate,
)
from .off_policy import per_decision_variance
from .system import System, bandit, outcomes, softmax
from .values import (
    action_value,
    advantage,
    gradient,
    gradient_by_recursion,
    gradient_news,
    gradient_to_go,
    mean_return_to_go,
    objective,
    state_distribution,
    value,
)
from .variances import covariance, covariance_by_step, mean, return_variance, variance

__all__ = [
    "ActionControlVariate",
    "Advantage",
    "AllActions",
    "ControlVariate",
    "Critic",
    "DoublyRobust",
    "GeneralizedAdvantage",
    "Mixture",
    "Return",
    "RewardToGo",
    "Score",
    "ScoreFunction",
    "System",
    "TrajectoryControlVariate",
    "WeightedScore",
    "action_value",
    "advantage",
    "average",
    "bandit",
    "combination_variance",
    "constant_baseline",
    "covariance",
    "covariance_by_step",
    "fisher",
    "full_score_control_variate",
    "gradient",
    "gradient_by_recursion",
    "gradient_news",
    "gradient_to_go",
    "leave_one_out_variance",
    "markov_bound",
    "mean",
    "mean_return_to_go",
    "mean_to_go_baseline",
    "naive_state_baseline",
    "naive_time_baseline",
    "objective",
    "optimal_constant",
    "optimal_mixture",
    "optimal_state_baseline",
    "optimal_time_baseline",
    "outcomes",
    "per_decision_variance",
    "return_variance",
    "same_batch_mean",
    "same_batch_variance",
    "score_control_variate",
    "softmax",
    "state_baseline",
    "state_distribution",
    "stationary_bound",
    "time_baseline",
    "trace_optimal_constant",
    "trace_optimal_state_baseline",
    "trace_optimal_time_baseline",
    "tree_bound",
    "value",
    "value_baseline",
    "variance",
]
