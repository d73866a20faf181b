"""Linear-quadratic problems under linear-Gaussian policies: every leaf has moments in closed form.

Functions of (t, s, a) are forms of (1, s, u), u = a - K s: arrays (T, 1 or P, 1 + n + m, 1 + n + m).
"""

import dataclasses
from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...estimators import Estimator
from ...estimators import kinds as estimators
from ...estimators.inverse_variance import weights as inverse_weights
from ...problem import Problem
from .. import records
from ..leaves import Pathwise, Rule, identity, of_state
from ..theory import Alone, Array, Leaf, NoClosedForm, Signs, Theory, of_system
from . import average, bounds, covariances, hessian, natural, values
from .arrays import arrays_of
from .baselines import naive_over_time, optimal_quadratic
from .exponents import Scaling
from .increments import Increments, OfPath, OfRule, reward_forms
from .off_policy import Limits, self_normalised_limits
from .optimum import optimum
from .scaling import scaling
from .several_rollouts import acting, alone, scale_of
from .system import System


def of_problem(problem: Problem, theta: ArrayLike) -> "LinearQuadratic":
    """Return the theory of a problem; `NoClosedForm` if its policy is not linear-Gaussian, or its discount varies."""
    theta = problem.theta(theta)
    return LinearQuadratic(System(**arrays_of(problem, theta)), problem, theta)


class LinearQuadratic(Theory):
    """The theory of a `System`, perhaps that of a problem."""

    def __init__(self, system: System, problem: Problem | None = None, theta: Array | None = None) -> None:
        self.system, self.problem, self.theta = system, problem, theta
        self.name = "this linear-quadratic problem" if problem is None else problem.environment.name
        self.parameters, self.horizon = system.parameters, system.horizon
        self.totals = slice(0, system.K.size)
        self._leaves: dict[Hashable, Increments] = {}

    # ---- values ----

    @cached_property
    def objective(self) -> float:
        """J."""
        return float(values.objective(self.system))

    @cached_property
    def return_variance(self) -> float:
        """The variance of the return."""
        return covariances.return_variance(self.system)

    gradient, stationary = of_system(values.gradient), of_system(average.stationary_covariance)
    fisher, optimum = of_system(natural.trajectory_fisher), of_system(optimum)
    hessian_vector_product = of_system(hessian.hessian_vector_product)
    hessian_vector_product_variance = of_system(hessian.hessian_vector_product_variance)
    average_reward, average_gradient = of_system(average.average_reward), of_system(average.average_gradient)
    naive_over_time, quadratic = of_system(naive_over_time), of_system(optimal_quadratic)

    def value(self) -> records.ValueFunction:
        """Return V_t as a `ValueFunction`."""
        return records.quadratic(self.objective, *values.value(self.system))

    def critic(self) -> records.ExactCritic:
        """Return Q_t as an `ExactCritic`."""
        _, _, F, U = values.riccati(self.system)
        cov, K, V = self.system.policy_cov, self.system.K, self.value()

        def function(t: int, s: Array, a: Array) -> Array:
            u = a - s @ K.T
            advantage = 2 * np.einsum("ki,ij,kj->k", u, F[t], s) + np.einsum("ki,ij,kj->k", u, U[t], u)
            return V(t, s) - advantage + np.sum(U[t] * cov)

        return records.ExactCritic(function, len(cov), V, F=F, U=U, cov=cov)

    def mean_return_to_go(self) -> Array:
        """Return E[G_t], (T,)."""
        return values.mean_return_to_go(self.system)[: self.horizon]

    def natural_gradient(self) -> Array:
        """Return F^-1 dJ/dtheta, (P,)."""
        return np.asarray(np.linalg.solve(self.fisher(), self.gradient()), dtype=np.float64)

    def gradient_news(self) -> records.GradientNews:
        """Return what an action decides of the gradient to go, as forms of (s, u)."""
        linear, quadratic, level = values.gradient_news(self.system)
        T, _, m, n = linear.shape
        K = self.system.K

        def function(t: int, s: Array, a: Array) -> Array:
            u = a - s @ K.T
            forms = np.einsum("ki,pij,kj->kp", u, linear[t], s) + np.einsum("ki,pij,kj->kp", u, quadratic[t], u)
            return forms - level[t]

        return records.GradientNews(function, T, n, m, linear=linear, quadratic=quadratic, level=level)

    def efficiency_bound(self, model: str, matrix: bool) -> Array:
        """Return the bound for one trajectory, (P,) or (P, P)."""
        if model == "stationary" and self.system.states > 1 and not bounds.in_equilibrium(self.system):
            raise NoClosedForm(
                "the stationary bound is a ratio of densities, with a closed form for one state variable or for a state "
                f"that has the same distribution at all times, not for these {self.system.states}"
            )
        return getattr(bounds, f"{model}_bound")(self.system, matrix)

    def scaling(self, estimator: Estimator, parameters: str) -> Scaling:
        """Return exponents of the variance."""
        return scaling(self, estimator, parameters)

    def differential_value(self) -> records.DifferentialValue:
        """Return P and c of -(s^T P s + c)."""
        P, c = average.differential_value(self.system)

        def function(s: Array) -> Array:
            return -(np.einsum("ki,ij,kj->k", s, P, s) + c)

        return records.DifferentialValue(function, len(P), P=P, c=float(c))

    # ---- functions ----

    def over_time(self, b: ArrayLike) -> Array:
        """Return b, a number, (T,) or (T, P), as a function."""
        b = np.asarray(b, dtype=float)
        if b.shape not in ((), (self.horizon,), (self.horizon, self.parameters)):
            raise ValueError(f"b: expected a number or shape ({self.horizon},) or ({self.horizon}, P), got {b.shape}")
        b = b.reshape(-1, 1) if b.ndim < 2 else b
        N = 1 + self.system.states + self.system.actions
        out = np.zeros((self.horizon, b.shape[1], N, N))
        out[..., 0, 0] = b
        return out

    def times(self, f: Array, numbers: float | Array) -> Array:
        """Return f times a number, or one for each parameter."""
        return f * (np.asarray(numbers)[:, None, None] if np.ndim(numbers) else numbers)

    def forms(self, forms: ArrayLike) -> Array:
        """Return forms of (1, s), (T, 1 or P, 1 + n, 1 + n), as a function."""
        n, m = self.system.states, self.system.actions
        forms = np.asarray(forms, dtype=float)
        if forms.shape not in ((self.horizon, p, n + 1, n + 1) for p in (1, self.parameters)):
            raise ValueError(
                f"baseline: expected forms of shape ({self.horizon}, 1 or {self.parameters}, {n + 1}, {n + 1}), got "
                f"{forms.shape}"
            )
        return np.pad((forms + forms.swapaxes(-1, -2)) / 2, ((0, 0), (0, 0), (0, m), (0, m)))

    def value_function(self) -> Array:
        """Return V_t."""
        return self.forms(values.value_forms(self.system)[:-1])

    def action_value(self) -> Array:
        """Return Q_t."""
        return values.action_value_forms(self.system)

    def over_actions(self, f: Array) -> Array:
        """Return E[f | s]."""
        return self.forms(values.over_actions(self.system, f))

    def tangent(self, f: Array) -> Array:
        """Return the part of f that is linear in u."""
        n, out = self.system.states, np.zeros_like(f)
        out[..., 1 + n :, : 1 + n], out[..., : 1 + n, 1 + n :] = f[..., 1 + n :, : 1 + n], f[..., : 1 + n, 1 + n :]
        return out

    def expansion(self, order: int) -> Array:
        """Return r_t, or its tangent about the mean action."""
        n, r = self.system.states, reward_forms(self.system)
        if order == 1:
            r[..., 1 + n :, 1 + n :] = 0.0
        return r

    def fitted(self, data: dict[str, Any]) -> Array:
        """Return a polynomial that was fitted on pilot trajectories: the variance is that with this very baseline."""
        low, high, s = data["low"].values, data["high"].values, self.system
        mean, cov = values.state_moments(s)
        six = 6.0 * np.sqrt(np.maximum(np.einsum("tii->ti", cov), 0.0))
        outside = (six > 1e-9 * np.abs(mean)) & ((mean - six < low) | (mean + six > high))
        upper = data["form"].values[: self.horizon, None]
        if upper.shape[-1] > 1 and outside[: self.horizon].any():
            # Outside its box a fit is no polynomial: the states have to be inside, but for one time in a billion.
            raise NoClosedForm("pilot: too few trajectories for a closed form; they do not reach all of the states")
        return self.forms(upper) if upper.shape[-1] > 1 else self.over_time(upper[:, 0, 0, 0])

    # ---- leaves ----

    def leaves(self, estimator: Estimator) -> list[tuple[float | Array, Leaf]] | None:
        """Return pathwise gradients in blocks, or with weights over time, as leaves."""
        s = self.system
        match estimator:
            case estimators.ShortHorizon(steps=steps) if steps >= s.horizon:
                return [(1.0, Pathwise())]
            case estimators.ShortHorizon(steps=steps, critic=critic):
                return [(1.0, _Keyed(identity(estimator), OfPath(s, steps=steps, scale=scale_of(critic))))]
            case estimators.InverseVariancePerStep(baseline=b):
                forms = of_state(self, b)[..., : 1 + s.states, : 1 + s.states]
                along, scored = self._weights_over_time(estimator, forms)
                return [(1.0, _Keyed(identity(estimator), OfPath(s, along, scored, forms)))]
        return None

    def _weights_over_time(self, estimator: estimators.InverseVariancePerStep, forms: Array | None) -> Array:
        """Return k_t and l_t, (T, P) both."""
        if estimator.weights is None:
            return inverse_weights(step_variances(self.system, forms), estimator.shared)
        w = np.asarray(estimator.weights)
        return w if w.ndim == 3 else np.repeat(w[:, :, None], self.parameters, axis=2)

    def alone(self, estimator: Estimator) -> Alone | None:
        """Return estimators whose rollouts branch off, are perturbed, or follow another policy."""
        return alone(self, estimator)

    def self_normalised_limits(self, estimator: Estimator) -> Limits:
        """Return G bias and G variance of self-normalised weights for a large group, (P,) both."""
        if not isinstance(estimator, (estimators.ImportanceWeighted, estimators.SelfNormalised)):
            raise ValueError(f"estimator: expected importance weights, got {type(estimator).__name__}")
        return self_normalised_limits(self.system, *acting(self, estimator))

    def increments(self, leaf: Leaf) -> Increments:
        """Return the increments of a leaf, made once."""
        if isinstance(leaf, _Keyed):
            return leaf.increments
        if leaf.key not in self._leaves:
            made = OfPath(self.system) if isinstance(leaf, Pathwise) else OfRule(self.system, _rule(leaf))
            self._leaves[leaf.key] = made
        return self._leaves[leaf.key]

    def mean(self, x: Leaf) -> Array:
        """Return E X, (P,)."""
        return self.increments(x).mean()

    def covariance(self, x: Leaf, y: Leaf) -> Array:
        """Return Cov(X_p, Y_p) on one trajectory, (P,)."""
        return covariances.covariance(self.system, self.increments(x), self.increments(y))

    def by_step(self, x: Leaf) -> Array:
        """Return Cov(X_p, z_tp), (T, P)."""
        return covariances.covariance_by_step(self.system, self.increments(x), self.increments(Rule(score=1.0)))[1]

    def mirrored(self, x: Leaf, y: Leaf, signs: Signs) -> Array:
        """Return Cov(X_p, Y_p), the noise of Y's trajectory with other signs, (P,)."""
        return covariances.covariance(self.system, self.increments(x), self.increments(y), signs)

    def joint(self, x: Leaf, y: Leaf) -> Array:
        """Return Cov(X_p, Y_q), (P, P)."""
        return covariances.covariance_matrix(self.system, self.increments(x), self.increments(y))


@dataclasses.dataclass(frozen=True, eq=False)
class _Keyed:
    """A leaf of this theory alone."""

    key: Hashable
    increments: OfPath


def _rule(x: Leaf) -> Rule:
    assert isinstance(x, Rule), "all leaves of this theory but these are its own"
    return x


def step_variances(system: System, forms: Array | None = None) -> tuple[Array, Array]:
    """Return the variances of (da_t/dp)^T dR/da_t and of z_t (G_t - b_t), for each time and parameter: (T, P) both."""
    T, P = system.horizon, system.parameters
    only, none = np.repeat(np.eye(T), P, axis=1), np.zeros((T, T * P))
    owner = np.tile(np.arange(P), T)
    pairs = (only, none), (none, only)
    along, scored = (
        covariances.variance(system, OfPath(system, one, other, forms, owner=owner)).reshape(T, P)
        for one, other in pairs
    )
    return along, scored
