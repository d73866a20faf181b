"""Exact variances of estimators that are no weighted sums, parameter by parameter, of what the theory knows.

Those that make one sample of several rollouts (pairs, groups, perturbed parameters), that mix parameters (natural
gradients), or that have weights over time.
"""

import numpy as np

from .. import estimators
from ..estimators.natural import generalised_inverse
from ..truth import told
from . import lq
from .lq.by_step import step_variances, weighted_variance
from .lq.joint import covariance_matrix
from .lq.natural import trajectory_fisher


def variance(s, estimator, combination):
    """Return the variance of an estimator, (P,), or None if it is not one of these.

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
        case estimators.Group(kind="leave one out", size=size):
            return _leave_one_out(s, size)
        case estimators.Group(kind="mean", size=size):
            return (1 - 1 / size) ** 2 * _leave_one_out(s, size)
        case estimators.EvolutionStrategies() | estimators.FiniteDifferences():
            return _perturbed(s, estimator).variance
        case estimators.InverseVariancePerStep(baseline=baseline):
            return _per_step(s, estimator, combination(estimators.RewardToGo(baseline)))
        case estimators.Natural(parts=(x,)):
            inverse = _inverse_fisher(s, estimator)
            return np.einsum("pq,qr,pr->p", inverse, joint_covariance(s, *[combination(x)] * 2), inverse)
    return None


def mean(s, estimator, mean_of):
    """Return the mean of an estimator, (P,), or None if it is not one of these."""
    match estimator:
        case estimators.InverseVariancePerStep():
            return lq.gradient(s)
        case estimators.Natural(parts=(x,)):
            return _inverse_fisher(s, estimator) @ mean_of(x)
        case estimators.Antithetic(parts=(x, _)):
            return mean_of(x)
        case estimators.Group(kind="leave one out"):
            return lq.gradient(s)
        case estimators.Group(kind="mean", size=size):
            return (1 - 1 / size) * lq.gradient(s)
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


def inverse_weights(variances, shared):
    """Return weights in inverse proportion to variances (k, ..., P); those without any variance share all of the weight."""
    if shared:
        variances = variances.sum(axis=-1, keepdims=True) + np.zeros_like(variances)
    none = variances == 0
    w = np.where(none.any(axis=0), none, 1.0 / np.where(none, 1.0, variances))
    return w / w.sum(axis=0)


def _per_step(s, estimator, reward_to_go):
    ((_, part),) = reward_to_go
    if estimator.weights is not None:
        w = np.asarray(estimator.weights)
        w = w if w.ndim == 3 else np.repeat(w[:, :, None], s.parameters, axis=2)
    else:
        w = inverse_weights(np.array(step_variances(s, part.baseline)), estimator.shared)
    return weighted_variance(s, *w, part.baseline)


def _inverse_fisher(s, estimator):
    return generalised_inverse(trajectory_fisher(s) if estimator.fisher is None else estimator.fisher)


def joint_covariance(s, first, second):
    """Return Cov(sum_a c_a X_a, sum_b d_b Y_b) for all pairs of parameters, (P, P)."""
    total = np.zeros((s.parameters, s.parameters))
    for c, x in first:
        for d, y in second:
            total += np.outer(c, d) * covariance_matrix(s, x, y)
    return total


def prepared(part):
    """Return a baseline or an estimator that knows what this room knows."""
    from .truth import TRUTH

    return told(part, lambda: TRUTH)
