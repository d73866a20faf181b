"""Measure-valued (weak) derivatives with respect to K and the log scales, for independent exploration (L diagonal).

Every u_ti is branched to +-sigma_i W, W Rayleigh. With W shared by the two branches and all other noise that of
the main path, the difference of the returns is 2 sigma_i W dG_t/du_ti at u_ti = 0, because G_t is quadratic: with
q_t = s_tj dG_t/du_ti there, the estimator is sum_t W~_t q_t, W~ = W sqrt(2/pi), E W~ = 1, E W~^2 = 4/pi, hence

    Var = Var(sum_t q_t) + (4/pi - 1) sum_t E q_t^2.

sum_t q_t is the pathwise gradient (with the exact critic: SVG(0)) without each action's own noise.

For a log scale the branches are u_ti = sigma_i M and sigma_i U M, M double-sided Maxwell, U uniform. With b_t = dG_t/du_ti at
u_ti = 0 and kappa_t = -(U_t)_ii the coefficient of u_ti^2, the difference is

    b_t sigma_i (1 - U) M + kappa_t sigma_i^2 (1 - U^2) M^2.

Given all but M and U its mean is the constant 2 kappa_t sigma_i^2, so that times do not correlate; E M^2 = 3, E M^4 = 15 give

    Var = sum_t {sigma_i^2 E b_t^2 + 4 kappa_t^2 sigma_i^4}.

At one time tau, uniform on 0, ..., T - 1, and with weight T, E g^2 = T sum_t E c_t^2, c_t what time t contributes.
[Mohamed, Rosca, Figurnov & Mnih 2020, sec. 6.]
"""

import numpy as np

from ..leaves import Rule
from ..theory import Array
from . import gaussian
from .chain import Chain
from .covariances import chains, variance
from .increments import OfPath, OfRule, Term
from .system import System
from .values import action_value_forms, gradient, riccati


class _AlongPath(OfPath):
    """sum_t q_t, branches followed along the path."""

    def terms(self, chain: Chain, path: int = 0) -> list[Term]:
        """Return the summands of m_t."""
        (whole,) = super().terms(chain, path)
        return [Term(None, whole.innovation - chain.innovation("own_action", path))]


class _ByCritic(OfRule):
    """sum_t q_t, branches evaluated by Q_t."""

    def __init__(self, system: System) -> None:
        super().__init__(system, Rule(followed=action_value_forms(system)))

    def terms(self, chain: Chain, path: int = 0) -> list[Term]:
        """Return the summands of m_t."""
        return [*super().terms(chain, path), Term(None, chain.innovation("own_action", path).times(-1.0))]


def measure_valued_variance(system: System, branches: str = "shared", times: str = "all") -> Array:
    """Variance for the entries of K, and the log scales if they are learned: (P,).

    `branches`: "shared" (both follow the main path's noise), "critic" (evaluated by the exact Q_t with the
    main path's other actions) or "independent" (fresh futures for +, - and the main path; the other actions
    fresh but shared by + and -). `times`: "all", or "one" that is drawn at random.
    """
    if np.any(system.L != np.diag(np.diag(system.L))):
        raise ValueError("L: measure-valued derivatives branch one action at a time and need a diagonal L")
    if branches not in ("shared", "critic", "independent"):
        raise ValueError(f'branches: expected "shared", "critic" or "independent", got {branches!r}')
    if times not in ("all", "one"):
        raise ValueError(f'times: expected "all" or "one", got {times!r}')
    if branches == "independent" and np.linalg.matrix_rank(system.L) < system.actions:
        raise ValueError("L is singular: independent branches divide by each action's standard deviation")
    of_gain, of_scale, means = _squares(system, branches)
    total = np.concatenate([of_gain, of_scale], axis=1).sum(axis=0)  # sum_t E c_t^2
    if times == "one":
        total = system.horizon * total - np.concatenate([gradient(system)[: system.K.size], means.sum(axis=0)]) ** 2
    else:
        total += np.concatenate([_cross_times(system, branches), -np.sum(means**2, axis=0)])
    return total if system.learn_scale else total[: system.K.size]


def _squares(system: System, branches: str) -> tuple[Array, Array, Array]:
    """E c_t^2 for the entries of K (T, mn) and the log scales (T, m), and E c_t for the latter (T, m)."""
    P, _, F, U = riccati(system)
    variances, kappa = np.diag(system.policy_cov), np.einsum("tii->ti", U)
    slopes, squares = _branch_squares(system, system_noise=branches == "shared")
    of_gain, of_scale = 4 / np.pi * squares, variances * slopes + 8 * (kappa * variances) ** 2
    if branches == "independent":
        quadratic, constant, own = _future_variances(system)
        # What the two branches add: 2 cv_t(s, u_-i), and 4 sigma^2 (B^T C_t B)_ii, for both kinds of pairs.
        spread = _weighted(system, quadratic, constant + 2 * own)
        of_gain = of_gain + spread / (np.pi * np.repeat(variances, system.states))
        of_scale = of_scale + 2 * _mean(system, quadratic, constant + 2 * own)
    return of_gain, of_scale, -2 * kappa * variances


def _cross_times(system: System, branches: str) -> Array:
    """E (sum_t c_t)^2 - sum_t E c_t^2 - (E sum_t c_t)^2 for the entries of K: (mn,)."""
    gain = slice(0, system.K.size)
    if branches != "independent":
        _, squares = _branch_squares(system, system_noise=branches == "shared")
        return variance(system, (_ByCritic if branches == "critic" else _AlongPath)(system))[gain] - squares.sum(axis=0)
    F = riccati(system)[2]
    h_squares = _weighted(system, 4 * F[..., None] * F[..., None, :], np.zeros(F.shape[:2]))
    return variance(system, OfRule(system, Rule(expected=action_value_forms(system))))[gain] - h_squares.sum(axis=0)


def _branch_squares(system: System, system_noise: bool) -> tuple[Array, Array]:
    """E b_t^2 (T, m) and E q_t^2 = E[s_j^2 b_t^2] (T, mn), b_t = dG_t/du_ti at u_ti = 0.

    b_t^2 has the mean 4 (F s)_i^2 + 4 sum_{k != i} U_ik^2 sigma_k^2 + (future noise). The future noise in b_t is
    -2 B^T P_{t+1} w_t + B^T nu_{t+1}, nu_t = -2 F_t^T u_t - 2 Acl^T P_{t+1} w_t + Acl^T nu_{t+1}.
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
    quadratic = 4 * F[..., None] * F[..., None, :]
    return _mean(system, quadratic, others), _weighted(system, quadratic, others)


def _forms(system: System, quadratic: Array, constant: Array) -> tuple[Chain, Array]:
    """Return the chain of states, and s^T quadratic_i s + constant_i as its forms."""
    n, m, T = system.states, system.actions, system.horizon
    form = np.zeros((T, m, n + 1, n + 1))
    form[..., 1:, 1:], form[..., 0, 0] = quadratic, constant
    return next(iter(chains(system))), form


def _mean(system: System, quadratic: Array, constant: Array) -> Array:
    """E[s^T quadratic_i s + constant_i]: (T, m, n, n), (T, m) -> (T, m)."""
    chain, form = _forms(system, quadratic, constant)
    return gaussian.mean(chain.form(form), chain.C)


def _weighted(system: System, quadratic: Array, constant: Array) -> Array:
    """E[s_j^2 (s^T quadratic_i s + constant_i)] for each entry ij of K: (T, m, n, n), (T, m) -> (T, mn)."""
    n, m = system.states, system.actions
    chain, form = _forms(system, quadratic, constant)
    square = np.zeros((1, n, n + 1, n + 1))
    square[0, np.arange(n), 1 + np.arange(n), 1 + np.arange(n)] = 1.0
    form, square = chain.form(np.repeat(form, n, axis=1)), chain.form(np.tile(square, (1, m, 1, 1)))
    return gaussian.mean2(form, square, chain.C)


def _future_variances(system: System) -> tuple[Array, Array, Array]:
    """Return the mean variances of the future: quadratic (T, m, n, n), constant (T, m) and own (T, m).

        E[Var(G_t | s, u) | s, u_ti] = s^T quadratic_i s + constant_i + own_i u_ti^2 / sigma_i^2 + (odd in u_ti).

    cv_t(s, u) = Var(G_t | s, u) = x^T C_t x + k_t at x = Acl s + B u. Given s, u_-i and W (or M and U) independent branches
    are independent of each other and of the rest of the path, so that with the all-action terms h_t for times that differ

        E g^2 = E (sum_t h_t)^2 - sum_t E h_t^2 + sum_t E c_t^2.
    """
    P, _, F, U = riccati(system)
    A, B, W, Sigma = system.closed, system.B, system.W, system.policy_cov
    T, n, m = system.horizon, system.states, system.actions
    quadratic, constant, own = np.empty((T, m, n, n)), np.empty((T, m)), np.empty((T, m))
    N, k = np.zeros((n, n)), 0.0  # Var(G_t | s_t) = s^T N s + k
    for t in reversed(range(T)):
        C = 4 * P[t + 1] @ W @ P[t + 1] + N
        k = k + 2 * np.sum((P[t + 1] @ W) * (P[t + 1] @ W).T) + np.sum(N * W)
        own[t] = np.diag(B.T @ C @ B) * np.diag(Sigma)
        quadratic[t], constant[t] = A.T @ C @ A, k + own[t].sum() - own[t]
        k = k + own[t].sum() + 2 * np.sum((U[t] @ Sigma) * (U[t] @ Sigma).T)
        N = 4 * F[t].T @ Sigma @ F[t] + A.T @ C @ A
    return quadratic, constant, own
