"""The answers of this room, and pilot trajectories, as baselines and critics are told them."""

from ..rollouts import pilot
from ..truth import Truth
from . import bounds, questions

TRUTH = Truth(
    objective=questions.objective,
    mean_return_to_go=questions.mean_return_to_go,
    value=questions.value,
    critic=questions.critic,
    gradient_news=bounds.gradient_news,
    naive_optimal_over_time=questions.naive_optimal_over_time,
    total_optimal_constant=questions.total_optimal_constant,
    total_optimal_over_time=questions.total_optimal_over_time,
    optimal_over_time=questions.optimal_over_time,
    optimal_quadratic=questions.optimal_quadratic,
    pilot=pilot,
)
