"""Persistent evolution strategies: exact mean and variance for one draw of all perturbations.

    one point       g_p = sum_t A_tp r_t / h,                    theta + h z_j in unroll j = floor(t / K)
    two points      g_p = sum_t A_tp (r_t^+ - r_t^-) / (2 h),    theta +- h z_j
    A_t = z_0 + ... + z_j, or z_j alone if truncated

Given the z_j, g_p is a return whose rewards have the weights A_tp, under a gain that changes from unroll to unroll: its mean
and variance are those of a return. Both are polynomials in the z_j, of a degree of at most 4 K + 2 in each entry, so that a
tensor Gauss-Hermite rule with 2 K + 2 nodes for each of the P ceil(T / K) entries is exact (K the longest unroll).

A pair with common noise is one system of 2n states, whose return is (R^+ - R^-) / (2 h): see `perturbed`.

Cost: as there, for each of the P parameters. Vicol, Metz & Sohl-Dickstein (2021).
"""

import numpy as np
from numpy.typing import ArrayLike

from ..theory import Array
from .perturbed import BLOCK, MOST_NODES, Perturbed, checked_widths, normal_rule, pair_system, weighted_return_moments
from .system import System


def persistent_evolution_strategies(
    system: System, width: ArrayLike, unroll: int, points: int = 2, noise: str = "common", truncated: bool = False
) -> Perturbed:
    """Return the mean and variance of persistent evolution strategies: `Perturbed`.

    `width` h > 0, or (mn,) of them; `unroll` K; `points` 1 or 2; `noise` "common" or "independent" within a pair. Raises
    ValueError with log scales, which no polynomial rule integrates, and where the rule would need more than `MOST_NODES` nodes.
    """
    h, widths = checked_widths(system, width, noise)
    T, size = system.horizon, system.K.size
    unroll = min(unroll, T)
    unrolls = -(-T // unroll)
    nodes = 2 * unroll + 2
    if nodes ** (unrolls * size) > MOST_NODES:
        raise ValueError(
            f"system: the exact rule for {unrolls} perturbations of {size} entries of K needs {nodes}^{unrolls * size} nodes, "
            f"more than {MOST_NODES}"
        )
    mean, second = np.zeros(size), np.zeros(size)
    z, weight = normal_rule(nodes, unrolls * size)
    for k in range(0, len(z), BLOCK):
        of_mean, of_square = _conditional(
            system, z[k : k + BLOCK].reshape(-1, unrolls, size), h, widths / h, unroll, points, noise, truncated
        )
        mean += weight[k : k + BLOCK] @ of_mean
        second += weight[k : k + BLOCK] @ of_square
    return Perturbed(mean, second - mean**2)


def _conditional(
    system: System, z: Array, width: float, ratio: Array, unroll: int, points: int, noise: str, truncated: bool
) -> Array:
    """E g_p and E g_p^2 given the perturbations z (N, unrolls, mn) at the widths h_p = width ratio_p: (N, mn) both."""
    T, size = system.horizon, system.K.size
    at = np.minimum(np.arange(T + 1), T - 1) // unroll
    weights = (z if truncated else np.cumsum(z, axis=1))[:, at] / (width * ratio)  # A_t / h, (N, T + 1, mn)
    Z = (ratio * z).reshape(*z.shape[:2], *system.K.shape)[:, at[:T]]
    moments = []
    for p in range(size):
        if points == 1:
            mean, var = weighted_return_moments(system, system.K + width * Z, weights[..., p])
        else:
            own = np.broadcast_to(system.K, Z.shape)
            pair = np.block([[own, width**2 * Z], [Z, own]])
            mean, var = weighted_return_moments(pair_system(system), pair, weights[..., p] * width)
            if noise == "independent":
                both = [weighted_return_moments(system, system.K + h * Z, weights[..., p])[1] for h in (width, -width)]
                var = sum(both) / 4
        moments.append((mean, var + mean**2))
    return np.moveaxis(np.array(moments), 0, -1)
