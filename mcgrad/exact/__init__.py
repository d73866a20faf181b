"""Exact truth: objectives, gradients, and the variance of one trajectory's gradient under an estimator.

The functions here take a `Problem` (`questions`). What a kind of problem knows is its theory (`theory` says what that is,
`theories` which knows which): `linear_quadratic`, `tabular`, `one_step`, and `chaotic_map`. What estimators are made of is read
once (`leaves`), and combinations, groups, pairs and optimal coefficients stand once, on top of any theory (`algebra`). None of
these shares code with the kernels: they are the witnesses against them. What no theory knows is found by `recursion`, which
traces estimators as the kernels do: a theory, too, and the last line of the table in `theories`. Whether it may is said by
`work` (`answers`).

Of what the recursion can do, too, there are closed forms for what it cannot. `linear_quadratic`: costs that grow as (n + m)^3;
branches, bounds, optima, second derivatives. `tabular`: optimal baselines over time, covariances between parameters, and 3
(large tables) to 30 times the speed. `one_step`, `chaotic_map`: all digits, where grids are asked for five, in a hundredth of
the time.
"""

from .bounds import efficiency_bound, gradient_news
from .joint_moments import moments
from .least_variance import (
    coefficients,
    naive_optimal_over_time,
    optimal_over_time,
    optimal_quadratic,
    scaling,
    self_normalised_limits,
    total_optimal_constant,
    total_optimal_over_time,
)
from .optima import (
    average_gradient,
    average_reward,
    differential_value,
    fisher,
    hessian,
    hessian_vector_product,
    hessian_vector_product_variance,
    natural_gradient,
    optimum,
    stationary,
)
from .quadratures import quadrature
from .questions import (
    covariance,
    covariance_matrix,
    critic,
    gradient,
    mean,
    mean_return_to_go,
    objective,
    system,
    value,
    variance,
)
from .records import DifferentialValue, ExactCritic, GradientNews, ValueFunction
from .recursion import ExactEstimate, ExactMoments
from .theory import NoClosedForm

__all__ = [
    "DifferentialValue",
    "ExactCritic",
    "ExactEstimate",
    "ExactMoments",
    "GradientNews",
    "NoClosedForm",
    "ValueFunction",
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
    "total_optimal_constant",
    "total_optimal_over_time",
    "value",
    "variance",
]
