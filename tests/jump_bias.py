"""What a pathwise gradient loses where a one-step reward jumps: with jumps of size D_j at x_j, z_j = (x_j - mean) / std,

    E[f'(x) dx/dtheta] = dJ/dtheta - sum_j D_j phi(z_j) / std {1, z_j},    theta = {mean, std}

Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?
"""

import numpy as np
from scipy.stats import norm

from mcgrad.exact.one_step.jumps import REACH, pieces
from mcgrad.exact.one_step.moments import law


def sizes(problem, theta):
    """Return where the reward jumps within reach of the action's distribution, and by how much: (k, 2)."""
    mean, std, _ = law(problem, theta)
    found = pieces(problem.environment.closed_form, mean[0] - REACH * std[0], mean[0] + REACH * std[0])
    breaks = np.array(found.breaks).reshape(-1, 2)
    return breaks[breaks[:, 1] != 0.0]


def pathwise_bias(problem, theta):
    """Return E[pathwise] - dJ/dtheta, (P,)."""
    mean, std, kinds = law(problem, theta)
    x, size = sizes(problem, theta).T
    z = (x - mean[0]) / std[0]
    lost = size * norm.pdf(z) / std[0]
    return -np.array([lost.sum() if kind == "mean" else (lost * z).sum() for kind, _ in kinds])
