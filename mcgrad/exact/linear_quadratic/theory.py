"""Linear-quadratic problems under linear-Gaussian policies: every leaf has moments in closed form.

Functions of (t, s, a) are forms of (1, s, u), u = a - K s: arrays (T, 1 or P, 1 + n + m, 1 + n + m).
"""

import dataclasses
from functools import cached_property

import numpy as np

from ... import baselines, critics, estimators
from ...environments.linear_quadratic import LinearQuadratic as Matrices
from ...estimators.inverse_variance import weights as inverse_weights
from ...estimators.measure_valued import scales
from ...policies.linear_gaussian import LinearGaussian
from .. import records
from ..leaves import Pathwise, Rule, identity, of_state
from ..theory import Alone, NoClosedForm, Theory
from . import average, bounds, covariances, hessian, natural, values
from .baselines import naive_over_time, optimal_quadratic
from .increments import OfPath, OfRule, reward_forms
from .measure_valued import measure_valued_variance
from .off_policy import importance_weighted_variance, self_normalised_limits
from .optimum import optimum
from .persistent import persistent_evolution_strategies
from .perturbed import evolution_strategies, finite_differences, spsa
from .scaling import scaling
from .system import System


def of_problem(problem, theta):
    """Return the theory of a problem; `NoClosedForm` if its policy is not linear-Gaussian, or its discount varies."""
    theta = problem.theta(theta)
    environment, policy = problem.environment.closed_form, problem.policy.closed_form
    if not isinstance(environment, Matrices):
        raise NoClosedForm(f"no closed form is known for {problem.environment.name}; it is not linear-quadratic")
    if not isinstance(policy, LinearGaussian):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; it is not linear-Gaussian")
    if problem.discount_varies:
        raise NoClosedForm("no closed form is known for a discount that differs from step to step")
    n, m = problem.environment.states, problem.environment.actions
    factors = np.exp(theta[m * n :]) if policy.learn_std else np.ones(m)
    system = System(
        A=environment.A,
        B=environment.B,
        K=theta[: m * n].reshape(m, n),
        L=factors[:, None] * policy.root,
        Q=environment.Q,
        R=environment.R,
        Qf=environment.terminal_cost,
        W=environment.process_noise,
        mean=environment.initial_mean,
        cov=environment.initial_cov,
        horizon=problem.horizon,
        discount=problem.discount,
        terminal_weight=problem.discount**problem.horizon,
        learn_scale=policy.learn_std,
    )
    return LinearQuadratic(system, problem, theta)


class LinearQuadratic(Theory):
    """The theory of a `System`, perhaps that of a problem."""

    def __init__(self, system, problem=None, theta=None):
        self.system, self.problem, self.theta = system, problem, theta
        self.name = "this linear-quadratic problem" if problem is None else problem.environment.name
        self.parameters, self.horizon = system.parameters, system.horizon
        self.totals = slice(0, system.K.size)
        self._leaves = {}

    # ---- values ----

    @cached_property
    def objective(self):
        """J."""
        return values.objective(self.system)

    @cached_property
    def return_variance(self):
        """The variance of the return."""
        return values.return_variance(self.system)

    def gradient(self):
        """Return dJ/dtheta, (P,)."""
        return values.gradient(self.system)

    def value(self):
        """Return V_t as a `ValueFunction`."""
        return records.quadratic(self.objective, *values.value(self.system))

    def critic(self):
        """Return Q_t as an `ExactCritic`."""
        _, _, F, U = values.riccati(self.system)
        cov, K, V = self.system.policy_cov, self.system.K, self.value()

        def function(t, s, a):
            u = a - s @ K.T
            advantage = 2 * np.einsum("ki,ij,kj->k", u, F[t], s) + np.einsum("ki,ij,kj->k", u, U[t], u)
            return V(t, s) - advantage + np.sum(U[t] * cov)

        return records.ExactCritic(function, len(cov), V, F=F, U=U, cov=cov)

    def mean_return_to_go(self):
        """Return E[G_t], (T,)."""
        return values.mean_return_to_go(self.system)[: self.horizon]

    def fisher(self):
        """Return E[Z Z'], (P, P)."""
        return natural.trajectory_fisher(self.system)

    def natural_gradient(self):
        """Return F^-1 dJ/dtheta, (P,)."""
        return np.linalg.solve(self.fisher(), self.gradient())

    def gradient_news(self):
        """Return what an action decides of the gradient to go, as forms of (s, u)."""
        return values.gradient_news(self.system)

    def efficiency_bound(self, model, matrix):
        """Return the bound for one trajectory, (P,) or (P, P)."""
        if model == "stationary" and self.system.states > 1 and not bounds.in_equilibrium(self.system):
            raise NoClosedForm(
                "the stationary bound is a ratio of densities, with a closed form for one state variable or for a state "
                f"that has the same distribution at all times, not for these {self.system.states}"
            )
        return getattr(bounds, f"{model}_bound")(self.system, matrix)

    def hessian_vector_product(self, v):
        """Return H v, (P,)."""
        return hessian.hessian_vector_product(self.system, v)

    def hessian_vector_product_variance(self, v):
        """Return the variance of one trajectory's pathwise H v, (P,)."""
        return hessian.hessian_vector_product_variance(self.system, v)

    def optimum(self):
        """Return the constant gain of largest J."""
        return optimum(self.system)

    def scaling(self, estimator, parameters):
        """Return exponents of the variance."""
        return scaling(self, estimator, parameters)

    def average_reward(self):
        """Return the average reward."""
        return average.average_reward(self.system)

    def average_gradient(self):
        """Return its gradient, (P,)."""
        return average.average_gradient(self.system)

    def differential_value(self):
        """Return P and c of -(s' P s + c)."""
        return average.differential_value(self.system)

    def stationary(self):
        """Return the covariance of the stationary state, (n, n)."""
        return average.stationary_covariance(self.system)

    # ---- functions ----

    def over_time(self, b):
        """Return b, a number, (T,) or (T, P), as a function."""
        b = np.asarray(b, dtype=float)
        if b.shape not in ((), (self.horizon,), (self.horizon, self.parameters)):
            raise ValueError(f"b: expected a number or shape ({self.horizon},) or ({self.horizon}, P), got {b.shape}")
        b = b.reshape(-1, 1) if b.ndim < 2 else b
        N = 1 + self.system.states + self.system.actions
        out = np.zeros((self.horizon, b.shape[1], N, N))
        out[..., 0, 0] = b
        return out

    def times(self, f, numbers):
        """Return f times a number, or one for each parameter."""
        return f * (numbers[:, None, None] if np.ndim(numbers) else numbers)

    def forms(self, forms):
        """Return forms of (1, s), (T, 1 or P, 1 + n, 1 + n), as a function."""
        n, m = self.system.states, self.system.actions
        forms = np.asarray(forms, dtype=float)
        if forms.shape not in ((self.horizon, p, n + 1, n + 1) for p in (1, self.parameters)):
            raise ValueError(
                f"baseline: expected forms of shape ({self.horizon}, 1 or {self.parameters}, {n + 1}, {n + 1}), got "
                f"{forms.shape}"
            )
        return np.pad((forms + forms.swapaxes(-1, -2)) / 2, ((0, 0), (0, 0), (0, m), (0, m)))

    def value_function(self):
        """Return V_t."""
        return self.forms(values.value_forms(self.system)[:-1])

    def action_value(self):
        """Return Q_t."""
        return values.action_value_forms(self.system)

    def over_actions(self, f):
        """Return E[f | s]."""
        return self.forms(values.over_actions(self.system, f))

    def tangent(self, f):
        """Return the part of f that is linear in u."""
        n, out = self.system.states, np.zeros_like(f)
        out[..., 1 + n :, : 1 + n], out[..., : 1 + n, 1 + n :] = f[..., 1 + n :, : 1 + n], f[..., : 1 + n, 1 + n :]
        return out

    def expansion(self, order):
        """Return r_t, or its tangent about the mean action."""
        n, r = self.system.states, reward_forms(self.system)
        if order == 1:
            r[..., 1 + n :, 1 + n :] = 0.0
        return r

    def fitted(self, data):
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

    def naive_over_time(self):
        """Return E[z_tp^2 G_t] / E[z_tp^2], (T, P)."""
        return naive_over_time(self.system)

    def quadratic(self):
        """Return the forms of the best quadratic baseline for reward to go, (T, P, 1 + n, 1 + n)."""
        return optimal_quadratic(self.system)

    # ---- leaves ----

    def leaves(self, estimator):
        """Return pathwise gradients in blocks, or with weights over time, as leaves."""
        s = self.system
        match estimator:
            case estimators.ShortHorizon(steps=steps) if steps >= s.horizon:
                return [(1.0, Pathwise())]
            case estimators.ShortHorizon(steps=steps, critic=critic):
                return [(1.0, _Keyed(identity(estimator), OfPath(s, steps=steps, scale=_scale(critic))))]
            case estimators.InverseVariancePerStep(baseline=b):
                forms = of_state(self, b)[..., : 1 + s.states, : 1 + s.states]
                along, scored = self._weights_over_time(estimator, forms)
                return [(1.0, _Keyed(identity(estimator), OfPath(s, along, scored, forms)))]
        return None

    def _weights_over_time(self, estimator, forms):
        """Return k_t and l_t, (T, P) both."""
        if estimator.weights is None:
            return inverse_weights(step_variances(self.system, forms), estimator.shared)
        w = np.asarray(estimator.weights)
        return w if w.ndim == 3 else np.repeat(w[:, :, None], self.parameters, axis=2)

    def alone(self, estimator):
        """Return estimators whose rollouts branch off, are perturbed, or follow another policy."""
        s = self.system
        match estimator:
            case estimators.MeasureValued(independent=independent, once=once, critic=critic):
                scales(self.problem.policy)  # refuses policies that have no such derivatives
                branches = "critic" if critic else "independent" if independent else "shared"
                scale = 1.0 if critic is None else _scale(critic)
                return Alone(
                    lambda: scale * self.gradient(),
                    lambda: scale**2 * measure_valued_variance(s, branches, "one" if once else "all"),
                )
            case estimators.ImportanceWeighted(weights=weights, clip=None):
                return Alone(self.gradient, lambda: importance_weighted_variance(s, *self._acting(estimator), weights))
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

    def self_normalised_limits(self, estimator):
        """Return G bias and G variance of self-normalised weights for a large group, (P,) both."""
        if not isinstance(estimator, (estimators.ImportanceWeighted, estimators.SelfNormalised)):
            raise ValueError(f"estimator: expected importance weights, got {type(estimator).__name__}")
        return self_normalised_limits(self.system, *self._acting(estimator))

    def _acting(self, estimator):
        """Return the system of the behaviour policy, and the baseline as forms of (1, s) or None."""
        s, behaviour, n = self.system, estimator.behaviour, 1 + self.system.states
        policy, theta = behaviour.policy or self.problem.policy, np.array(behaviour.theta)
        if not isinstance(policy.closed_form, LinearGaussian):
            raise NoClosedForm(f"no closed form is known for the behaviour {policy.name}; it is not linear-Gaussian")
        gain, root = s.K.size, policy.closed_form.root
        factors = np.exp(theta[gain:]) if policy.closed_form.learn_std else np.ones(s.actions)
        b = (
            None
            if isinstance(estimator.baseline, baselines.NoBaseline)
            else of_state(self, estimator.baseline)[..., :n, :n]
        )
        return dataclasses.replace(s, K=theta[:gain].reshape(s.K.shape), L=factors[:, None] * root), b

    def increments(self, leaf):
        """Return the increments of a leaf, made once."""
        if isinstance(leaf, _Keyed):
            return leaf.increments
        if leaf.key not in self._leaves:
            made = OfPath(self.system) if isinstance(leaf, Pathwise) else OfRule(self.system, leaf)
            self._leaves[leaf.key] = made
        return self._leaves[leaf.key]

    def mean(self, x):
        """Return E X, (P,)."""
        return self.increments(x).mean()

    def covariance(self, x, y):
        """Return Cov(X_p, Y_p) on one trajectory, (P,)."""
        return covariances.covariance(self.system, self.increments(x), self.increments(y))

    def by_step(self, x):
        """Return Cov(X_p, z_tp), (T, P)."""
        return covariances.covariance_by_step(self.system, self.increments(x), self.increments(Rule(score=1.0)))[1]

    def mirrored(self, x, y, signs):
        """Return Cov(X_p, Y_p), the noise of Y's trajectory with other signs, (P,)."""
        return covariances.covariance(self.system, self.increments(x), self.increments(y), signs)

    def joint(self, x, y):
        """Return Cov(X_p, Y_q), (P, P)."""
        return covariances.covariance_matrix(self.system, self.increments(x), self.increments(y))


@dataclasses.dataclass(frozen=True, eq=False)
class _Keyed:
    """A leaf of this theory alone."""

    key: tuple
    increments: OfPath


def step_variances(system, forms=None):
    """Return the variances of (da_t/dp)' dR/da_t and of z_t (G_t - b_t), for each time and parameter: (T, P) both."""
    T, P = system.horizon, system.parameters
    only, none = np.repeat(np.eye(T), P, axis=1), np.zeros((T, T * P))
    owner = np.tile(np.arange(P), T)
    pairs = (only, none), (none, only)
    found = (covariances.variance(system, OfPath(system, *pair, forms, owner=owner)) for pair in pairs)
    return tuple(x.reshape(T, P) for x in found)


def _perturbed(function, *arguments):
    """Return an estimator that perturbs theta; log scales and many parameters have no exact rule."""
    try:
        found = function(*arguments)
    except ValueError as error:
        raise NoClosedForm(f"no closed form: {error}") from None
    return Alone(lambda: found.mean, lambda: found.variance)


def _scale(critic):
    """Return the factor of a scaled exact critic, 0 for none; other critics have no closed form."""
    match critic:
        case baselines.NoBaseline():
            return 0.0
        case baselines.Value():
            return 1.0
        case critics.Exact(scale=scale, amplitude=0.0):
            return scale
    raise NoClosedForm(f"no closed form is known here with {critic}")
