"""Estimators of several rollouts: branches, perturbed gains, and trajectories of another policy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ...baselines import kinds as baselines
from ...baselines.baseline import Baseline
from ...critics.exact_critic import Exact
from ...estimators import Estimator
from ...estimators import kinds as estimators
from ...estimators.measure_valued import scales_of
from ...policies.linear_gaussian import LinearGaussian
from ..leaves import of_state
from ..theory import Alone, Array, NoClosedForm, Theory
from .measure_valued import measure_valued_variance
from .off_policy import importance_weighted_variance
from .persistent import persistent_evolution_strategies
from .perturbed import Perturbed, evolution_strategies, finite_differences, spsa
from .system import System


def alone(theory: Theory, estimator: Estimator) -> Alone | None:
    """Return estimators whose rollouts branch off, are perturbed, or follow another policy."""
    s = theory.system
    match estimator:
        case estimators.MeasureValued(independent=independent, once=once, critic=critic):
            scales_of(theory.problem.policy)  # refuses policies that have no such derivatives
            branches = "critic" if critic else "independent" if independent else "shared"
            scale = 1.0 if critic is None else scale_of(critic)
            return Alone(
                lambda: scale * theory.gradient(),
                lambda: scale**2 * measure_valued_variance(s, branches, "one" if once else "all"),
            )
        case estimators.ImportanceWeighted(weights=weights, clip=None):
            return Alone(theory.gradient, lambda: importance_weighted_variance(s, *acting(theory, estimator), weights))
        case estimators.EvolutionStrategies(direction="sign", width=width, noise=noise):
            return _perturbed(spsa, s, width, noise)
        case estimators.EvolutionStrategies(parts=parts, width=width, noise=noise):
            return _perturbed(evolution_strategies, s, width, len(parts), noise)
        case estimators.FiniteDifferences(width=width, noise=noise):
            return _perturbed(finite_differences, s, width, noise)
        case estimators.PersistentEvolutionStrategies(parts=parts, width=width, unroll=unroll, noise=noise):
            options = width, unroll, len(parts), noise, estimator.truncated
            return _perturbed(persistent_evolution_strategies, s, *options)
    return None


def acting(
    theory: Theory, estimator: estimators.ImportanceWeighted | estimators.SelfNormalised
) -> tuple[System, Array | None]:
    """Return the system of the behaviour policy, and the baseline as forms of (1, s) or None."""
    s, behaviour, n = theory.system, estimator.behaviour, 1 + theory.system.states
    policy, theta = behaviour.policy or theory.problem.policy, np.array(behaviour.theta)
    if not isinstance(policy.closed_form, LinearGaussian):
        raise NoClosedForm(f"no closed form is known for the behaviour {policy.name}; it is not linear-Gaussian")
    K, L = policy.closed_form.matrices(theta)
    b = (
        None
        if isinstance(estimator.baseline, baselines.NoBaseline)
        else of_state(theory, estimator.baseline)[..., :n, :n]
    )
    return dataclasses.replace(s, K=K, L=L), b


def _perturbed(function: Callable[..., Perturbed], *arguments: Any) -> Alone:
    """Return an estimator that perturbs theta; log scales and many parameters have no exact rule."""
    try:
        found = function(*arguments)
    except ValueError as error:
        raise NoClosedForm(f"no closed form: {error}") from None
    return Alone(lambda: found.mean, lambda: found.variance)


def scale_of(critic: Baseline) -> float:
    """Return the factor of a scaled exact critic, 0 for none; other critics have no closed form."""
    match critic:
        case baselines.NoBaseline():
            return 0.0
        case baselines.Value():
            return 1.0
        case Exact(scale=scale, amplitude=0.0):
            return scale
    raise NoClosedForm(f"no closed form is known here with {critic}")
