"""The Fisher matrix of a trajectory, and the natural gradient.

    F = E[Z Z'],    Z = sum_t z_t the score of the whole trajectory,

    F_{ij,kl} = (Sigma^-1)_ik sum_t E[s_tj s_tl]                  for K_ij and K_kl,
    F_{i,k}   = T (1{i = k} + Sigma_ik (Sigma^-1)_ik)             for the log scales of rows i and k,

and 0 between gain and scales, where the moments of the exploration are odd [Peters & Schaal 2008; Kakade 2002].
"""

import numpy as np

from .mixtures import fisher
from .values import gradient


def trajectory_fisher(system):
    """Return E[Z Z'] for all parameters, log scales included; rewards and discount have no part in it: (P, P)."""
    P, size = system.parameters, system.K.size
    out = np.zeros((P, P))
    out[:size, :size] = fisher(system)
    if system.learn_scale:
        inverse = system.inverse_factor.T @ system.inverse_factor
        out[size:, size:] = system.horizon * (np.eye(system.actions) + system.policy_cov * inverse)
    return out


def natural_gradient(system):
    """Return F^-1 dJ/dp: (P,)."""
    return np.linalg.solve(trajectory_fisher(system), gradient(system))
