"""The answers of this room, and pilot trajectories, as baselines and critics are told them."""

from ..rollouts import pilot
from ..truth import Truth
from . import bounds, problems

TRUTH = Truth(
    objective=problems.objective,
    mean_return_to_go=problems.mean_return_to_go,
    value=problems.value,
    critic=problems.critic,
    gradient_news=bounds.gradient_news,
    naive_optimal_over_time=problems.naive_optimal_over_time,
    trace_optimal_constant=problems.trace_optimal_constant,
    trace_optimal_over_time=problems.trace_optimal_over_time,
    optimal_over_time=problems.optimal_over_time,
    optimal_quadratic=problems.optimal_quadratic,
    pilot=pilot,
)
