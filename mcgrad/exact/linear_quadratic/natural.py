"""The Fisher matrix of a trajectory.

    F = E[Z Z^T],    Z = sum_t z_t the score of the whole trajectory,

    F_{ij,kl} = (Sigma^-1)_ik sum_t E[s_tj s_tl]                  for K_ij and K_kl,
    F_{i,k}   = T (1{i = k} + Sigma_ik (Sigma^-1)_ik)             for the log scales of rows i and k,

and 0 between gain and scales, where the moments of the exploration are odd [Peters & Schaal 2008; Kakade 2002].
"""

import numpy as np

from ..theory import Array
from .system import System
from .values import state_moments


def trajectory_fisher(system: System) -> Array:
    """Return E[Z Z^T] for all parameters, log scales included; rewards and discount have no part in it: (P, P)."""
    P, size = system.parameters, system.K.size
    out = np.zeros((P, P))
    out[:size, :size] = fisher(system)
    if system.learn_scale:
        inverse = system.inverse_factor.T @ system.inverse_factor
        out[size:, size:] = system.horizon * (np.eye(system.actions) + system.policy_cov * inverse)
    return out


def fisher(system: System) -> Array:
    """Fisher information of K, E[Z_ij Z_kl] = (Sigma^-1)_ik sum_t E[s_t s_t^T]_jl: (mn, mn), as K.ravel()."""
    mean, cov = state_moments(system)
    second = cov[:-1].sum(0) + mean[:-1].T @ mean[:-1]
    inverse = system.inverse_factor
    return np.kron(inverse.T @ inverse, second)
