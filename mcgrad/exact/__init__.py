"""Exact truth: objectives, gradients, and the variance of one trajectory's gradient under an estimator.

The functions here take a `Problem`. The theory of linear-quadratic problems, for whoever wants to sweep it without one,
is in `mcgrad.exact.lq`. No code is shared with the kernels: this room is the witness against them.
"""

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
    system,
    trace_optimal_constant,
    trace_optimal_over_time,
    value,
    variance,
)

__all__ = [
    "NoClosedForm",
    "coefficients",
    "covariance",
    "critic",
    "gradient",
    "mean",
    "mean_return_to_go",
    "naive_optimal_over_time",
    "objective",
    "optimal_over_time",
    "optimal_quadratic",
    "optimum",
    "scaling",
    "system",
    "trace_optimal_constant",
    "trace_optimal_over_time",
    "value",
    "variance",
]
