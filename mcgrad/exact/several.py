"""Exact variances of estimators that make one sample of several rollouts: pairs, groups, perturbed parameters."""

import numpy as np

from .. import estimators
from . import lq


def variance(s, estimator, combination):
    """Return the variance of an estimator made of several rollouts, (P,), or None if it is not one of these.

    Parameters
    ----------
    s : lq.System
    estimator : Estimator
    combination : callable
        combination(estimator) -> [(coefficients, lq estimator)] for an estimator on a single rollout.
    """
    match estimator:
        case estimators.Antithetic(parts=(x, _), flip=flip):
            return _antithetic(s, combination(x), "all" if flip == "all" else "exploration")
        case estimators.Group(kind="leave one out", parts=parts):
            return _leave_one_out(s, len(parts))
        case estimators.Group(kind="mean", parts=parts):
            return (1 - 1 / len(parts)) ** 2 * _leave_one_out(s, len(parts))
        case estimators.MeasureValued(independent=independent):
            return lq.measure_valued_variance(s, "independent" if independent else "shared")
        case estimators.EvolutionStrategies() | estimators.FiniteDifferences():
            return _perturbed(s, estimator).variance
    return None


def mean(s, estimator, mean_of):
    """Return the mean of an estimator made of several rollouts, (P,), or None if it is not one of these."""
    match estimator:
        case estimators.Antithetic(parts=(x, _)):
            return mean_of(x)
        case estimators.Group(kind="leave one out") | estimators.MeasureValued():
            return lq.gradient(s)
        case estimators.Group(kind="mean", parts=parts):
            return (1 - 1 / len(parts)) * lq.gradient(s)
        case estimators.EvolutionStrategies() | estimators.FiniteDifferences():
            return _perturbed(s, estimator).mean
    return None


class NoClosedForm(ValueError):
    """There is no closed form for this problem or estimator; the message says why."""


def _perturbed(s, estimator):
    """Return the mean and variance of an estimator that perturbs theta; log scales and many parameters have none."""
    width, noise = estimator.width, estimator.noise
    try:
        match estimator:
            case estimators.FiniteDifferences():
                return lq.finite_differences(s, width, noise)
            case estimators.EvolutionStrategies(direction="sign"):
                return lq.spsa(s, width, noise)
            case _:
                return lq.evolution_strategies(s, width, len(estimator.parts), noise)
    except ValueError as error:
        raise NoClosedForm(f"no closed form: {error}") from None


def _antithetic(s, combination, flip):
    """(Var X + Cov(X(xi), X(J xi))) / 2 for X = sum_a c_a X_a."""
    total = np.zeros(s.parameters)
    for c, x in combination:
        for d, y in combination:
            total += c * d * (lq.covariance(s, x, y) + lq.antithetic_covariance(s, x, flip, y)) / 2
    return total


def _leave_one_out(s, G):
    """Var = Var(RZ)/G - 2 J E[RZ^2]/G + (E R^2 E Z^2 + (G - 2) J^2 E Z^2 + g^2) / (G (G - 1)).

    From g = 1/G sum_i R_i Z_i - 1/(G (G - 1)) sum_{i != j} R_j Z_i: with E Z = 0, pairs of terms survive where each lone
    score meets itself, or its own return.
    """
    J, gradient = lq.objective(s), lq.gradient(s)
    square = lq.return_variance(s) + J**2
    power = lq.variance(s, lq.Score())
    both = lq.covariance(s, lq.ScoreFunction(), lq.Score())  # E[R Z^2]
    products = (square + (G - 2) * J**2) * power + gradient**2
    return (lq.variance(s, lq.ScoreFunction()) - 2 * J * both) / G + products / (G * (G - 1))
