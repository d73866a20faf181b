"""Continuing problems: the average reward, its gradient in two ways, and estimators from the stationary distribution.

With mu the stationary distribution of P_pi and J = sum_s mu(s) r_pi(s) the average reward, the differential values are

    V(s) = E[sum_t (r_t - J) | s_0 = s],     Q(s, a) = E[r | s, a] - J + sum_s' P(s' | s, a) V(s'),     sum_s mu V = 0,

and the fundamental matrix M = (I - P_pi + 1 mu')^-1 gives V = M (r_pi - J). The gradient is

    dJ = sum_s mu(s) sum_a pi(a | s) z(s, a) Q(s, a)     the policy gradient theorem, average-reward case
       = dmu'r_pi + mu'dr_pi,   dmu' = mu'dP_pi M        the stationary distribution differentiated.

The estimators here are those of one step, z_t W_t with s_t ~ mu: the variance is that of one such step. The horizon,
the start, the discount and the terminal reward of a System play no part; it must have no `ends`.

References
----------
Sutton, McAllester, Singh & Mansour (2000); Schweitzer (1968), Perturbation theory and finite Markov chains; Marbach &
Tsitsiklis (2001); Baxter & Bartlett (2001).
"""

from dataclasses import dataclass

import numpy as np


def stationary_distribution(system):
    """Return mu with mu'P_pi = mu': (S,). ValueError unless there is one and only one."""
    S = system.states
    if system.ends.any():
        raise ValueError("ends: expected none, since a continuing problem has no end")
    gap = np.eye(S) - system.closed
    if S > 1 and np.linalg.svd(gap, compute_uv=False)[-2] < 1e-13:
        raise ValueError("P, policy: expected one recurrent class under the policy, got several: no one average reward")
    return np.linalg.solve((gap + 1.0).T, np.ones(S))


def fundamental_matrix(system):
    """M = (I - P_pi + 1 mu')^-1, (S, S)."""
    return np.linalg.inv(np.eye(system.states) - system.closed + stationary_distribution(system))


def average_reward(system):
    """J, the limit of the mean reward per step: float."""
    return float(stationary_distribution(system) @ np.sum(system.policy * system.mean_reward, axis=1))


def differential_values(system):
    """V (S,) and Q (S, A), with sum_s mu(s) V(s) = 0."""
    mu, mean = stationary_distribution(system), np.sum(system.policy * system.mean_reward, axis=1)
    J = mu @ mean
    V = np.linalg.solve(np.eye(system.states) - system.closed + mu, mean - J)
    return V, system.mean_reward - J + system.P @ V


def gradient(system):
    """dJ/dtheta by the policy gradient theorem: (P,)."""
    V, Q = differential_values(system)
    return np.einsum("sa,sap->p", _visits(system) * (Q - V[:, None]), system.score)


def distribution_gradient(system):
    """dmu/dtheta by the perturbation formula: (S, P)."""
    moved = np.einsum("sa,sax,sap->xp", _visits(system), system.P, system.score)  # mu'dP_pi
    return fundamental_matrix(system).T @ moved


def gradient_by_perturbation(system):
    """dJ/dtheta = dmu'r_pi + mu'dr_pi, the witness of `gradient`: (P,)."""
    own = np.einsum("sa,sap->p", _visits(system) * system.mean_reward, system.score)
    return np.sum(system.policy * system.mean_reward, axis=1) @ distribution_gradient(system) + own


def discounted_gradient(system, discount):
    """Mean of z_t sum_k discount^k r_{t+k} from the stationary distribution, biased for discount < 1: (P,).

    Baxter & Bartlett (2001), GPOMDP: it tends to dJ/dtheta as the discount tends to 1.
    """
    if not 0 <= discount < 1:
        raise ValueError(f"discount: expected a number in [0, 1), got {discount}")
    mean = np.sum(system.policy * system.mean_reward, axis=1)
    V = np.linalg.solve(np.eye(system.states) - discount * system.closed, mean)
    return np.einsum("sa,sap->p", _visits(system) * (system.mean_reward + discount * system.P @ V), system.score)


# ---- estimators of one step ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Critic:
    """z_t (Q(s_t, a_t) - b(s_t)), exact differential Q; `baseline` b: "value" for V (then z_t A), a number, (S,) or (S, P)."""

    baseline: np.ndarray | float | str = 0.0

    def moments(self, system):
        """Mean (S, A, 1 or P) and variance (S, A, 1) of W given (s, a)."""
        _, Q = differential_values(system)
        return Q[..., None] - _baseline(system, self.baseline), np.zeros_like(Q)[..., None]


@dataclass(frozen=True, eq=False)
class Window:
    """z_t (sum_{k=0}^{steps} (r_{t+k} - J) - b(s_t)): the rewards of steps + 1 steps, biased.

    With `bootstrap`, + V(s_{t+steps+1}), exact: unbiased; at steps = 0 with b = V, the temporal-difference error.
    `baseline` as in Critic.
    """

    steps: int
    bootstrap: bool = False
    baseline: np.ndarray | float | str = 0.0

    def moments(self, system):
        """Mean (S, A, 1 or P) and variance (S, A, 1) of W given (s, a)."""
        if self.steps != int(self.steps) or self.steps < 0:
            raise ValueError(f"steps: expected an integer >= 0, got {self.steps}")
        V, _ = differential_values(system)
        mean, spread = V if self.bootstrap else np.zeros_like(V), np.zeros_like(V)
        J = average_reward(system)
        for _ in range(int(self.steps) + 1):
            due = system.reward - J + mean
            q = np.sum(system.P * due, axis=2)
            open_ = np.sum(system.P * ((due - q[..., None]) ** 2 + system.reward_variance + spread), axis=2)
            mean = np.sum(system.policy * q, axis=1)
            spread = np.sum(system.policy * (open_ + (q - mean[:, None]) ** 2), axis=1)
        return q[..., None] - _baseline(system, self.baseline), open_[..., None]


@dataclass(frozen=True, eq=False)
class AllActions:
    """sum_a pi(a | s_t) z(s_t, a) Q(s_t, a), exact differential Q."""


def mean(system, X):
    """Mean of an estimator of one step: (P,)."""
    if isinstance(X, AllActions):
        return gradient(system)
    return np.einsum("sa,sap->p", _visits(system), X.moments(system)[0] * system.score)


def bias(system, X):
    """Mean minus dJ/dtheta, computed without their difference: that of a window is -E[z_t V(s_{t+steps+1})]: (P,)."""
    if not isinstance(X, Window) or X.bootstrap:
        return np.zeros(system.parameters)
    left, _ = differential_values(system)
    for _ in range(int(X.steps)):
        left = system.closed @ left
    return -np.einsum("sa,sap->p", _visits(system) * (system.P @ left), system.score)


def variance(system, X):
    """Variance per parameter of one step's estimate, from the stationary distribution: (P,)."""
    visits, z = _visits(system), system.score
    if isinstance(X, AllActions):
        _, Q = differential_values(system)
        h = np.einsum("sa,sap->sp", system.policy * Q, z)
        return stationary_distribution(system) @ (h - gradient(system)) ** 2
    q, spread = X.moments(system)
    return np.einsum("sa,sap->p", visits, spread * z**2 + (q * z - mean(system, X)) ** 2)


def optimal_state_baseline(system, X):
    """Return b(s) = E[z^2 W | s] / E[z^2 | s] of least variance, in addition to X's own, one per parameter: (S, P)."""
    power = system.policy[..., None] * system.score**2
    top, bottom = np.sum(X.moments(system)[0] * power, axis=1), power.sum(axis=1)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def optimal_constant(system, X):
    """Return b = E[z^2 W] / E[z^2] of least variance, in addition to X's own, one per parameter: (P,)."""
    power = _visits(system)[..., None] * system.score**2
    top, bottom = np.sum(X.moments(system)[0] * power, axis=(0, 1)), power.sum(axis=(0, 1))
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _visits(system):
    """mu(s) pi(a | s), (S, A)."""
    return stationary_distribution(system)[:, None] * system.policy


def _baseline(system, b):
    """b(s) with an axis for the actions, (S, 1, 1 or P)."""
    if isinstance(b, str):
        if b != "value":
            raise ValueError(f'baseline: expected numbers or "value", got {b!r}')
        b, _ = differential_values(system)
    b, S, P = np.asarray(b, dtype=float), system.states, system.parameters
    if b.shape not in ((), (S,), (S, P)):
        raise ValueError(f"baseline: expected a number or shape ({S},) or ({S}, {P}), got {b.shape}")
    return b.reshape(len(b) if b.ndim else 1, 1, -1)
