"""Fisher matrices and natural gradients; covariances between all parameters of linear-quadratic problems."""

from .arguments import checked_arguments
from .combinations import combination
from .lq.natural import natural_gradient as lq_natural_gradient
from .lq.natural import trajectory_fisher
from .problems import by_kind, system
from .several import joint_covariance


@by_kind
def fisher(problem, theta):
    """Return the Fisher matrix E[Z Z'] of a trajectory, Z = sum_t z_t the score of all its actions, (P, P).

    It is that of the distribution of trajectories under theta: neither rewards nor the discount have a part in it.
    """
    return trajectory_fisher(system(problem, theta))


@by_kind
def natural_gradient(problem, theta):
    """Return F^-1 dJ/dtheta with the Fisher matrix of `fisher`, (P,); of logits, which are redundant, the shortest."""
    return lq_natural_gradient(system(problem, theta))


@checked_arguments
def covariance_matrix(problem, theta, first, second=None):
    """Return Cov(X_p, Y_q) of two estimators on the same trajectory for all p and q, (P, P); Y = X by default.

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimators.
    """
    s = system(problem, theta)
    x = combination(problem, theta, s, first)
    y = x if second is None else combination(problem, theta, s, second)
    return joint_covariance(s, x, y)
