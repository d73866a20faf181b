"""Group baselines: each of G trajectories is compared with the mean return of the others, or of all.

    leave one out     1/G sum_i (R_i - mean of the other returns) Z_i = 1/(G - 1) sum_i (R_i - Rbar) Z_i
    same-batch mean   1/G sum_i (R_i - Rbar) Z_i, which is (1 - 1/G) times the same

They do not change when J is subtracted from all returns; then 1/G sum_i R_i Z_i and 1/(G (G - 1)) sum_{i != j} R_j Z_i
are uncorrelated, and of the products of two terms R_j Z_i only R_j^2 Z_i^2 and R_j Z_j R_i Z_i have a mean:

    Var = Var((R - J) Z) / G + (Var R Var Z + g^2) / (G (G - 1)),     g = dJ/dtheta.

Kool, van Hoof & Welling (2019), Buy 4 REINFORCE samples, get a baseline for free.
"""

from .estimators import Return, Score, ScoreFunction
from .values import gradient, objective
from .variances import variance


def leave_one_out_variance(system, size):
    """Variance per parameter of the average over one group of `size` trajectories; its mean is the gradient: (P,)."""
    if size != int(size) or size < 2:
        raise ValueError(f"size: expected an integer of at least 2, got {size}")
    centred = variance(system, ScoreFunction(objective(system)))
    mixed = variance(system, Return()) * variance(system, Score()) + gradient(system) ** 2
    return centred / size + mixed / (size * (size - 1))


def same_batch_mean(system, size):
    """Mean of the average over one group with the same-batch baseline, (1 - 1/G) dJ/dtheta: (P,)."""
    return (1 - 1 / size) * gradient(system)


def same_batch_variance(system, size):
    """Variance per parameter of the average over one group with the same-batch baseline: (P,)."""
    return (1 - 1 / size) ** 2 * leave_one_out_variance(system, size)
