"""Exact truth: objectives, gradients, and the variance of one trajectory's gradient under an estimator.

The functions here take a `Problem`. The theory of linear-quadratic problems, for whoever wants to sweep it without one,
is in `mcgrad.exact.lq`. Known as well, under `mcgrad.policies.gaussian`: one-step costs (`one_step`), rewards that jump and
what a pathwise gradient loses by it (`jumps`), and the chaotic map (`chaotic_map`). No code is shared with the kernels: this
room is the witness against them.
"""

from .average import average_gradient, average_reward, differential_value, stationary
from .bounds import efficiency_bound, gradient_news
from .hessian import hessian, hessian_vector_product, hessian_vector_product_variance
from .natural import covariance_matrix, fisher, natural_gradient
from .problems import (
    NoClosedForm,
    coefficients,
    covariance,
    critic,
    gradient,
    mean,
    mean_return_to_go,
    naive_optimal_over_time,
    objective,
    optimal_over_time,
    optimal_quadratic,
    optimum,
    scaling,
    self_normalised_limits,
    system,
    trace_optimal_constant,
    trace_optimal_over_time,
    value,
    variance,
)
from .quadrature import quadrature
from .recursion import ExactEstimate, ExactMoments, moments

__all__ = [
    "ExactEstimate",
    "ExactMoments",
    "NoClosedForm",
    "average_gradient",
    "average_reward",
    "coefficients",
    "covariance",
    "covariance_matrix",
    "critic",
    "differential_value",
    "efficiency_bound",
    "fisher",
    "gradient",
    "gradient_news",
    "hessian",
    "hessian_vector_product",
    "hessian_vector_product_variance",
    "mean",
    "mean_return_to_go",
    "moments",
    "naive_optimal_over_time",
    "natural_gradient",
    "objective",
    "optimal_over_time",
    "optimal_quadratic",
    "optimum",
    "quadrature",
    "scaling",
    "self_normalised_limits",
    "stationary",
    "system",
    "trace_optimal_constant",
    "trace_optimal_over_time",
    "value",
    "variance",
]
