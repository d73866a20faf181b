"""Second derivatives of the objective of linear-quadratic problems."""

import numpy as np

from .arguments import checked_arguments
from .lq import hessian as lq
from .problems import system


@checked_arguments
def hessian_vector_product(problem, theta, v):
    """Return H v, H = d^2 J / dtheta^2 the Hessian of the objective: (P,)."""
    return lq.hessian_vector_product(system(problem, theta), v)


@checked_arguments
def hessian(problem, theta):
    """Return H = d^2 J / dtheta^2, (P, P)."""
    s = system(problem, theta)
    return np.array([lq.hessian_vector_product(s, v) for v in np.eye(s.parameters)])


@checked_arguments
def hessian_vector_product_variance(problem, theta, v):
    """Return the variance of one trajectory's pathwise estimate of H v, (P,).

    That is `mcgrad.estimators.reparameterization()` on `mcgrad.directional(problem, v)`.
    """
    return lq.hessian_vector_product_variance(system(problem, theta), v)
