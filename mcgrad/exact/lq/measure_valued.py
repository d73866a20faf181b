"""Measure-valued (weak) derivatives with respect to K, for independent exploration (L diagonal).

Every u_ti is branched to +-sigma_i W, W Rayleigh. With W shared by the two branches and all other noise that of
the main path, the difference of the returns is 2 sigma_i W dG_t/du_ti at u_ti = 0, because G_t is quadratic: with
q_t = s_tj dG_t/du_ti there, the estimator is sum_t W~_t q_t, W~ = W sqrt(2/pi), E W~ = 1, E W~^2 = 4/pi, hence

    Var = Var(sum_t q_t) + (4/pi - 1) sum_t E q_t^2.

sum_t q_t is the pathwise gradient (with the exact critic: SVG(0)) without each action's own noise.
[Mohamed, Rosca, Figurnov & Mnih 2020, sec. 6.]
"""

from dataclasses import dataclass

import numpy as np

from . import gaussian
from .estimators import AllActions, Estimator, Term
from .values import riccati
from .variances import chains, variance


@dataclass(frozen=True)
class _Branches(Estimator):
    """sum_t q_t, branches followed along the path or (critic) evaluated by Q_t."""

    critic: bool

    @property
    def lifted(self):
        return not self.critic

    def terms(self, chain, path=0):
        whole = chain.atom("pathwise", path) if self.lifted else chain.atom("critic", path)
        if self.critic:
            whole = whole + chain.atom("future", path)
        return [Term(None, whole - chain.atom("own_action", path))]


def measure_valued_variance(system, branches="shared"):
    """Variance for the entries of K: (mn,).

    `branches`: "shared" (both follow the main path's noise), "critic" (evaluated by the exact Q_t with the
    main path's other actions) or "independent" (fresh futures for +, - and the main path; the other actions
    fresh but shared by + and -).
    """
    if np.any(system.L != np.diag(np.diag(system.L))):
        raise ValueError("L: measure-valued derivatives branch one action at a time and need a diagonal L")
    if branches not in ("shared", "critic", "independent"):
        raise ValueError(f'branches: expected "shared", "critic" or "independent", got {branches!r}')
    gain = slice(0, system.K.size)
    if branches == "independent":
        return _independent(system)
    squares = _branch_squares(system, system_noise=branches == "shared").sum(0)
    return variance(system, _Branches(branches == "critic"))[gain] + (4 / np.pi - 1) * squares


def _branch_squares(system, system_noise):
    """E q_t^2 = E[s_j^2 (4 (F s)_i^2 + 4 sum_{k != i} U_ik^2 sigma_k^2 + (future noise))], (T, mn).

    The future noise in dG_t/du_t is -2 B'P_{t+1} w_t + B'nu_{t+1}, nu_t = -2 F_t'u_t - 2 Acl'P_{t+1} w_t +
    Acl'nu_{t+1}.
    """
    P, _, F, U = riccati(system)
    A, B, W, Sigma = system.closed, system.B, system.W, system.policy_cov
    others = np.array([4 * np.sum((u - np.diag(np.diag(u))) ** 2 * np.diag(Sigma), axis=1) for u in U])
    if system_noise:
        nu = np.zeros_like(P[0])
        for t in reversed(range(system.horizon)):
            spread = 4 * P[t + 1] @ W @ P[t + 1] + nu
            others[t] += np.diag(B.T @ spread @ B)
            nu = 4 * F[t].T @ Sigma @ F[t] + A.T @ spread @ A
    return _weighted(system, 4 * F[..., None] * F[..., None, :], others)


def _weighted(system, quadratic, constant):
    """E[s_j^2 (s'quadratic_i s + constant_i)] for each entry ij of K: (T, m, n, n), (T, m) -> (T, mn)."""
    n, m, T = system.states, system.actions, system.horizon
    chain = next(iter(chains(system, lifted=False)))
    form, square = np.zeros((T, m, n + 1, n + 1)), np.zeros((1, n, n + 1, n + 1))
    form[..., 1:, 1:], form[..., 0, 0] = quadratic, constant
    square[0, np.arange(n), 1 + np.arange(n), 1 + np.arange(n)] = 1.0
    form, square = chain.form(np.repeat(form, n, axis=1)), chain.form(np.tile(square, (1, m, 1, 1)))
    return gaussian.mean2(form, square, chain.C)


def _independent(system):
    """Return the variance with independent branches.

    Given s, u_-i and W the branches are independent of each other and of the rest of the path:

        E g^2 = E(sum_t h_t)^2 + sum_t {-E h_t^2 + (4/pi) E q_t^2
                + E[s_j^2 (cv_t(s, u_-i) + 2 sigma_i^2 (B'C_t B)_ii)] / (pi sigma_i^2)},

    h_t the all-action term, q_t as with the critic, and cv_t(s, u) = Var(G_t | s, u) = x'C_t x + k_t at
    x = Acl s + B u, where u_-i has its i-th entry 0.
    """
    P, _, F, U = riccati(system)
    A, B, W, Sigma = system.closed, system.B, system.W, system.policy_cov
    if np.linalg.matrix_rank(system.L) < system.actions:
        raise ValueError("L is singular: independent branches divide by each action's standard deviation")
    T, n, m = system.horizon, system.states, system.actions
    quadratic, constant = np.empty((T, m, n, n)), np.empty((T, m))
    N, k = np.zeros((n, n)), 0.0  # Var(G_t | s_t) = s'N s + k
    for t in reversed(range(T)):
        C = 4 * P[t + 1] @ W @ P[t + 1] + N
        k = k + 2 * np.sum((P[t + 1] @ W) * (P[t + 1] @ W).T) + np.sum(N * W)
        action = B.T @ C @ B
        own = np.diag(action) * np.diag(Sigma)
        quadratic[t], constant[t] = A.T @ C @ A, k + own.sum() - own + 2 * own
        k = k + own.sum() + 2 * np.sum((U[t] @ Sigma) * (U[t] @ Sigma).T)
        N = 4 * F[t].T @ Sigma @ F[t] + A.T @ C @ A
    gain = slice(0, system.K.size)
    branching = _weighted(system, quadratic, constant) / (np.pi * np.repeat(np.diag(Sigma), n))
    squares = _branch_squares(system, system_noise=False)
    h_squares = _weighted(system, 4 * F[..., None] * F[..., None, :], np.zeros((T, m)))
    total = variance(system, AllActions())[gain]
    return total + np.sum(4 / np.pi * squares - h_squares + branching, axis=0)
