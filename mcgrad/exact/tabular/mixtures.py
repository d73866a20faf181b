"""Optimal mixtures of two estimators, linear combinations, and the score as a control variate.

For estimators with the same mean, alpha X + (1 - alpha) Y has least variance at

    alpha = (Var Y - C) / Var(X - Y),     Var = Var Y - (Var Y - C)^2 / Var(X - Y),     C = Cov(X, Y);

for a control variate Z of mean zero, X - c Z has it at c = Cov(X, Z) / Var Z, and with the scores of all parameters
X - c'Z at c = Fisher^-1 E[Z X].
"""

from typing import NamedTuple

import numpy as np

from .estimators import Score
from .values import state_distribution
from .variances import covariance, variance


class Mixture(NamedTuple):
    """Per parameter: the weight alpha of X, the variance of the mixture, and Cov(X, Y); each (P,)."""

    weight: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray


class ControlVariate(NamedTuple):
    """Per parameter: the coefficients of the scores, (P,) or (P, P), and the variance that is left, (P,)."""

    coefficient: np.ndarray
    variance: np.ndarray


def optimal_mixture(system, X, Y):
    """Return the variance-optimal alpha X + (1 - alpha) Y, per parameter. alpha = 0 where X = Y."""
    var_x, var_y, both = variance(system, X), variance(system, Y), covariance(system, X, Y)
    difference = var_x + var_y - 2 * both
    distinct = difference > 1e-13 * (var_x + var_y)
    weight = np.where(distinct, var_y - both, 0.0) / np.where(distinct, difference, 1.0)
    return Mixture(weight, np.maximum(var_y - weight * (var_y - both), 0.0), both)


def combination_variance(system, combination):
    """Variance of sum_k c_k X_k for pairs (c_k, X_k), c_k a number or (P,): (P,)."""
    total = np.zeros(system.parameters)
    for k, (c, X) in enumerate(combination):
        total += np.asarray(c) ** 2 * variance(system, X)
        for d, Y in combination[:k]:
            total += 2 * np.asarray(c) * np.asarray(d) * covariance(system, X, Y)
    return np.maximum(total, 0.0)


def score_control_variate(system, X):
    """X - c Z with each parameter's own score, c = Cov(X, Z) / Var Z."""
    both, power = covariance(system, X, Score()), variance(system, Score())
    coefficient = np.divide(both, power, out=np.zeros_like(both), where=power > 0)
    return ControlVariate(coefficient, np.maximum(variance(system, X) - coefficient * both, 0.0))


def full_score_control_variate(system, X):
    """X - c'Z with the scores Z of all parameters, c = Fisher^-1 E[Z X], the shortest where it is singular."""
    cross = np.stack([covariance(system, X, Score(entry)) for entry in range(system.parameters)], axis=1)
    coefficient = cross @ np.linalg.pinv(fisher(system), rcond=1e-13, hermitian=True)
    left = variance(system, X) - np.sum(coefficient * cross, axis=1)
    return ControlVariate(coefficient, np.maximum(left, 0.0))


def fisher(system):
    """Fisher information E[Z Z'] = sum_t sum_s mu_t(s) sum_a pi(a | s) z z': (P, P)."""
    visits = state_distribution(system).reshape(-1, system.states).sum(axis=0)
    z = system.score.reshape(-1, system.parameters)
    return (z * (visits[:, None] * system.policy).reshape(-1, 1)).T @ z
