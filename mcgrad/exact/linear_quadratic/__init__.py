"""Exact truth for linear-quadratic problems: values, gradients, and the moments of every estimator of a single trajectory.

How: an estimator is a sum of martingale increments over the stages (`increments`); the second moments of the
increments (`covariances`) are expectations of conditional cumulants (`innovations`) over Gaussian states (`gaussian`)
and over the carries that travel along the chain (`chain`). `theory` answers what `mcgrad.exact.algebra` asks.

    from mcgrad import estimators
    from mcgrad.exact import algebra
    from mcgrad.exact.linear_quadratic import LinearQuadratic, System
    theory = LinearQuadratic(System(A, B, K, L, Q, R, Qf, W, mean, cov, horizon=50))
    algebra.variance(theory, estimators.reward_to_go())

Cost: time O(T P (1 + n + m)^3) with 2n in place of n for reparameterization, linear in T; memory one block of
parameters at a time (`covariances.BLOCK`). Measured on one core (NumPy 2.4, one BLAS thread), milliseconds for
all P parameters, log scales included, and a fresh system each time:

    n, m, T, P       score function   reward to go   reparameterization   mixture of the last two
    1, 1,  50,  2               5.6            4.1                  2.2                       5.8
    4, 2,  50, 10                17             10                  4.6                        18
    8, 3, 200, 27               305            203                   76                       480
    16, 4, 100, 68             1330            900                  310                      1810

Accuracy: 4e-13 relative or better on every reference case (13 systems, up to 46 estimators; nearly all 5e-15),
4e-15 for closed-loop poles up to 4 (variances of 1e43) and policy standard deviations down to 1e-6: the
increments of a martingale do not cancel. Optimal mixtures and control variates subtract, and lose what they gain.
"""

from . import values
from .arrays import stack_of
from .system import Stack, System
from .theory import LinearQuadratic, of_problem

__all__ = ["LinearQuadratic", "Stack", "System", "of_problem", "stack_of", "values"]
