"""Exact moments of estimators whose rollouts branch off, are perturbed unroll by unroll, or follow another policy.

Of linear-quadratic problems; the theory itself is in `mcgrad.exact.lq`.
"""

import dataclasses

import numpy as np

from .. import critics, estimators
from ..estimators.measure_valued import scales
from ..policies.linear_gaussian import LinearGaussian
from . import lq
from .several import NoClosedForm


def mean(problem, s, estimator):
    """Return the mean of an estimator, (P,), or None if it is not one of these."""
    match estimator:
        case estimators.MeasureValued(critic=critic):
            scales(problem.policy)  # refuses policies that have no such derivatives
            return _critic_scale(critic) * lq.gradient(s)
        case estimators.PersistentEvolutionStrategies():
            return _persistent(s, estimator).mean
        case estimators.ImportanceWeighted(clip=None):
            return lq.gradient(s)
        case estimators.SelfNormalised():
            raise NoClosedForm(
                "self-normalised weights have closed forms for large groups alone: self_normalised_limits"
            )
    return None


def variance(problem, s, estimator, combination):
    """Return the variance of an estimator, (P,), or None if it is not one of these.

    Parameters
    ----------
    combination : callable
        combination(estimator) -> [(coefficients, lq estimator)] for an estimator on a single rollout.
    """
    match estimator:
        case estimators.MeasureValued(independent=independent, once=once, critic=critic):
            scales(problem.policy)
            branches = "critic" if critic else "independent" if independent else "shared"
            return _critic_scale(critic) ** 2 * lq.measure_valued_variance(s, branches, "one" if once else "all")
        case estimators.PersistentEvolutionStrategies():
            return _persistent(s, estimator).variance
        case estimators.ImportanceWeighted(weights=weights, clip=None):
            other, forms = _off_policy(problem, s, estimator, combination)
            return lq.importance_weighted_variance(s, other, weights, forms)
        case estimators.SelfNormalised():
            raise NoClosedForm(
                "self-normalised weights have closed forms for large groups alone: self_normalised_limits"
            )
    return None


def self_normalised_limits(problem, s, estimator, combination):
    """Return (G bias, G variance) of self-normalised weights as the group grows."""
    return lq.self_normalised_limits(s, *_off_policy(problem, s, estimator, combination))


def _critic_scale(critic):
    """Return the factor of a scaled exact critic, 1 for none; a shift cancels in a difference."""
    match critic:
        case None:
            return 1.0
        case critics.Exact(scale=scale, amplitude=0.0):
            return scale
        case _:
            raise NoClosedForm(f"no closed form is known for measure-valued derivatives with {critic}")


def _persistent(s, estimator):
    points = len(estimator.parts)
    try:
        return lq.persistent_evolution_strategies(
            s, estimator.width, estimator.unroll, points, estimator.noise, estimator.truncated
        )
    except ValueError as error:
        raise NoClosedForm(f"no closed form: {error}") from None


def _off_policy(problem, s, estimator, combination):
    """Return the system of the behaviour policy, and the baseline as forms of (1, s) or None."""
    if not isinstance(estimator, (estimators.ImportanceWeighted, estimators.SelfNormalised)):
        raise ValueError(f"estimator: expected importance weights, got {type(estimator).__name__}")
    policy, theta = estimator.behaviour.policy or problem.policy, np.array(estimator.behaviour.theta)
    if not isinstance(policy.closed_form, LinearGaussian):
        raise NoClosedForm(f"no closed form is known for the behaviour {policy.name}; it is not linear-Gaussian")
    gain, root = s.K.size, policy.closed_form.root
    scales = np.exp(theta[gain:]) if policy.closed_form.learn_std else np.ones(s.actions)
    ((_, to_go),) = combination(estimators.RewardToGo(estimator.baseline))
    return dataclasses.replace(s, K=theta[:gain].reshape(s.K.shape), L=scales[:, None] * root), to_go.baseline
