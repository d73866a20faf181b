"""Efficiency bounds of linear-quadratic problems: what no estimator made of trajectories alone can go below.

The influence functions are martingales whose increments know nothing of the action's own dice,

    tree      Z_t omega_t + n_t                  Z_t = z_0 + .. + z_t, the score of the whole past
    markov    (d_t(s_t) + z_t) omega_t + n_t     d_t(s) = E[Z_{t-1} | s_t = s]

with omega_t = r_t + V_{t+1}(s_{t+1}) - Q_t(s_t, a_t), what the process noise does to the return, and n_t =
H_{t+1}(s_{t+1}) - E[H_{t+1}(s_{t+1}) | s_t, a_t], what it does to the gradient to go H = dV/dp.

d_t is the derivative of the log density of s_t ~ N(mu_t, S_t), a quadratic form, exactly:

    d_t(s) = dmu'S^- y + y'S^- dS S^- y / 2 - tr(S^- dS) / 2,     y = s - mu_t.

S_t may be singular, or nearly so, and d_t does not care how long the axes of S_t are. So nothing here inverts S_t. With
y = C_t e, e white of as many components as S_t has rank, and the singular value decomposition

    [Acl C_t, G] = C_{t+1} Q     (rows of Q orthonormal),     e_{t+1} = Q (e_t; xi_t),

d_t(s) = alpha_t'e + (e'beta_t e - tr beta_t) / 2 with alpha_{t+1} = Q E[Z_t (e_t; xi_t)] and beta_{t+1} =
Q E[Z_t (e_t; xi_t)(e_t; xi_t)'] Q': rotations alone. Everything is then an expectation over white e (`covariances.pair`).

**stationary**: h*(s, a, s') = sum_t mu_t phi_t / sum_k mu_k with the densities mu_t of s_t is a ratio, with a closed form where
all mu_t are one, and the ratio 1 / T. Else it needs one variable: for n = 1

    phi_t = (H_{t+1} - P_{t+1} zeta_t) ((x + w)^2 - x^2 - W),     x = Acl s + B u;

u and w are integrated exactly, s by Gauss-Legendre quadrature between the multiples of half a standard deviation of every s_t.

Cost: time O(T P (1 + n + m)^3), P^2 in place of P for matrices. n = m = 4, T = 50, P = 20: 0.04 s, matrices 0.4 s (Markov)
and 1 s (tree).
"""

import copy
from dataclasses import dataclass

import numpy as np

from . import gaussian
from .innovations import Innovation, cumulant2
from .chain import Carry
from .increments import Estimator, Term
from .trajectory import Trajectory
from .values import riccati, state_moments
from .covariances import BLOCK, covariance_matrix, covariance_on, pair, variance

SAME = 1e-11  # of two distributions that are taken for one, relative
RANK = 1e-12  # of singular values of C_t, each row of which counts in its own units
NODES, REACH, PANEL = 12, 12.0, 0.5  # of a panel; standard deviations to integrate over, and between panels


@dataclass(frozen=True)
class DoublyRobust(Estimator):
    """sum_t [z_t sum_{k>=t} omega_k + H_t(s_t) - E[H_{t+1}(s_{t+1}) | s_t, a_t]], exact critic: it attains the tree bound."""

    def terms(self, chain, path=0):
        """Return the summands of m_t."""
        surprise = chain.innovation("error", path) - chain.innovation("advantage", path)
        return [Term(Carry("score", 1.0, path), surprise), *_now(chain, surprise, path)]


@dataclass(frozen=True)
class MarkovInfluence(Estimator):
    """sum_t [(d_t + z_t) omega_t + n_t] + H_0(s_0): the efficient influence function where states are known to be Markov."""

    def terms(self, chain, path=0):
        """Return the summands of m_t; `chain` is a `Whitened` one."""
        surprise = chain.innovation("error", path) - chain.innovation("advantage", path)
        return [Term(chain.past(path), surprise), *_now(chain, surprise, path)]


def _now(chain, surprise, path):
    m = chain.system.actions
    future = chain.innovation("future", path)
    linear, quadratic = future.linear.copy(), future.quadratic.copy()
    linear[..., :m, :] = quadratic[..., :m, :m] = 0.0  # what the action alone decides
    return [Term(None, chain.innovation("score", path), surprise), Term(None, Innovation(linear, quadratic))]


# ---- tree, Markov ------------------------------------------------------------------------------------------------


def tree_bound(system, matrix=False):
    """Return the bound without a Markov assumption, (P,) or (P, P)."""
    return covariance_matrix(system, DoublyRobust(), DoublyRobust()) if matrix else variance(system, DoublyRobust())


def markov_bound(system, matrix=False):
    """Return the bound for Markov states, (P,) or (P, P)."""
    past = Past(system)
    influence = MarkovInfluence()

    def between(first, second):
        start, steps = covariance_on(Whitened(past, first, second), influence, influence, path=1)
        return start + steps.sum(axis=0)

    return _in_blocks(system, between, matrix)


def _in_blocks(system, between, matrix):
    """Return between(first, second), lists of parameters, for all pairs of them or for each with itself."""
    P = system.parameters
    p, q = np.triu_indices(P) if matrix else (np.arange(P), np.arange(P))
    block = max(1, BLOCK // ((1 + system.states) ** 2 * system.horizon))
    parts = [slice(k, k + block) for k in range(0, len(p), block)]
    found = np.concatenate([between(p[k], q[k]) for k in parts])
    if not matrix:
        return found
    out = np.empty((P, P))
    out[p, q] = out[q, p] = found
    return out


class Past:
    """What the state at t says of the scores before: C_t (T, n, n), alpha_t (T, P, n) and beta_t (T, P, n, n)."""

    def __init__(self, system):
        T, n, P = system.horizon, system.states, system.parameters
        self.system, G, r = system, system.noise, system.noise.shape[1]
        score = Trajectory(system, np.arange(P), lifted=False).score
        self.root, self.alpha, self.beta = np.zeros((T, n, n)), np.zeros((T, P, n)), np.zeros((T, P, n, n))
        self.root[0] = _pressed(system.initial_factor)[0]
        for t in range(T - 1):
            linear, C = score.linear[t], self.root[t]  # (P, r, 1 + n)
            first, second = np.zeros((P, n + r)), np.zeros((P, n + r, n + r))
            first[:, :n], first[:, n:] = self.alpha[t], linear[..., 0]
            second[:, :n, :n], second[:, n:, n:] = self.beta[t], 2 * score.quadratic[t]
            second[:, n:, :n] = linear[..., 1:] @ C
            second[:, :n, n:] = gaussian.transpose(second[:, n:, :n])
            self.root[t + 1], Q = _pressed(np.hstack([system.closed @ C, G]))
            self.alpha[t + 1], self.beta[t + 1] = first @ Q.T, Q @ second @ Q.T

    def in_one_basis(self):
        """Return this with the C_t of time 0 at all times, where S_t is the same at all of them."""
        turn = np.linalg.pinv(self.root, rcond=RANK) @ self.root[0]
        other = copy.copy(self)
        other.root = np.broadcast_to(self.root[0], self.root.shape)
        other.alpha = self.alpha @ turn
        other.beta = gaussian.transpose(turn)[:, None] @ self.beta @ turn[:, None]
        return other


def _pressed(factor):
    """Return C (n, n) and Q (n, k) with C Q = factor (n, k), Q Q' a projection; columns beyond the rank are 0."""
    n, k = factor.shape
    C, Q = np.zeros((n, n)), np.zeros((n, k))
    size = np.linalg.norm(factor, axis=1)
    size[size == 0.0] = 1.0
    U, values, V = np.linalg.svd(factor / size[:, None], full_matrices=False)
    rank = int(np.sum(values > RANK * values.max(initial=0.0)))
    C[:, :rank], Q[:rank] = size[:, None] * U[:, :rank] * values[:rank], V[:rank]
    return C, Q


class Whitened:
    """The chain of `covariances.covariance_on` in coordinates (1, e); its paths are one trajectory, for parameters p and q."""

    def __init__(self, past, first, second):
        self.system, self.parameters, self._past = past.system, np.asarray(first), past
        self._lists = self.parameters, np.asarray(second)
        self._paths = [Trajectory(past.system, x, lifted=False) for x in self._lists]
        n = past.system.states
        self.C = np.eye(1 + n)
        self.C[0, 0] = 0.0
        self._white = np.zeros((past.system.horizon, 1, 1 + n, 1 + n))
        self._white[..., 0, 0], self._white[:, 0, 1:, 1:] = 1.0, past.root

    def innovation(self, name, path=0):
        """Return the named innovation of a path."""
        linear, quadratic = getattr(self._paths[path], name)
        return Innovation(linear @ self._white, quadratic)

    def start(self, name, path=0):
        """Return the named initial innovation of a path."""
        return getattr(self._paths[path], "start_" + name)

    def past(self, path=0):
        """Return d_t as a form of (1, e), (T, p, 1 + n, 1 + n)."""
        chosen = self._lists[path]
        alpha, beta = self._past.alpha[:, chosen], self._past.beta[:, chosen]
        T, p, n = alpha.shape
        out = np.zeros((T, p, 1 + n, 1 + n))
        out[..., 0, 1:] = out[..., 1:, 0] = alpha / 2
        out[..., 1:, 1:] = beta / 2
        out[..., 0, 0] = -np.trace(beta, axis1=-2, axis2=-1) / 2
        return out


# ---- stationary --------------------------------------------------------------------------------------------------


def stationary_bound(system, matrix=False):
    """Return the bound for Markov states and dynamics that are known to be the same at all times, (P,) or (P, P).

    Raises
    ------
    ValueError
        For more than one state variable, unless the state has one distribution at all times: there is no closed form.
    """
    if system.states > 1:
        if not in_equilibrium(system):
            raise ValueError(
                f"stationary: expected one state variable, got {system.states}: h* is a ratio of densities"
            )
        return _at_all_times(system, matrix)
    past, trajectory = Past(system), Trajectory(system, np.arange(system.parameters), lifted=False)
    start = trajectory.start_gradient
    other = Innovation(start.linear[:, None], start.quadratic[:, None]) if matrix else start
    total = cumulant2(other, start)[..., 0, 0]
    if not system.W.any():
        return total
    scale = past.root[:, 0, 0]
    spread = np.flatnonzero(scale)
    if spread[0] == 1:  # s_0 is one point: a set of states of its own
        total = total + _at_a_point(system, trajectory, matrix)
    return total + _pooled(system, trajectory, past, spread, matrix)


def in_equilibrium(system):
    """Tell whether s_0, ..., s_{T-1} have one distribution."""
    mean, cov = (x[:-1] for x in state_moments(system))
    same_mean = np.abs(mean - mean[0]).max() <= SAME * np.sqrt(np.abs(cov[0]).max() + np.abs(mean[0]).max() ** 2)
    return bool(same_mean and np.abs(cov - cov[0]).max() <= SAME * np.abs(cov[0]).max())


def _at_all_times(system, matrix):
    """Each w_t is 1 / T: Cov dV_0 + E (sum_t phi_t)(sum_t phi_t)' / T, all phi_t functions of one (s, u, w)."""
    past = Past(system).in_one_basis()

    def between(first, second):
        chain, influence = Whitened(past, first, second), MarkovInfluence()
        one, two = ([_pooled_terms(chain, x, t) for t in range(system.horizon)] for x in (0, 1))
        once = [terms[1:] for terms in (one[0], two[0])]  # what all times share
        total = sum(pair(chain, x, y)[0] for x in once[0] for y in once[1])
        for x, y in zip(one, two, strict=True):
            total = total + sum(pair(chain, x[0], other[0])[0] for other in two)
            total = total + sum(
                pair(chain, x[0], other)[0] + pair(chain, y[0], mine)[0] for mine, other in zip(*once, strict=True)
            )
        start = cumulant2(chain.start(influence.start), chain.start(influence.start, 1))[..., 0, 0]
        return start + total / system.horizon

    return _in_blocks(system, between, matrix)


def _pooled_terms(chain, path, t):
    """Return d_t omega_t, z sum_t omega_t and sum_t n_t: sum_t phi_t has the first of each t, and the others once."""
    passed, scored, news = MarkovInfluence().terms(chain, path)

    def at(x):
        return x[t : t + 1] if len(x) > 1 else x

    surprise = Innovation(*map(at, passed.innovation))
    whole, news = (Innovation(*(x.sum(axis=0, keepdims=True) for x in innovation)) for innovation in (passed.innovation, news.innovation))
    return [Term(at(passed.weight), surprise), Term(None, Innovation(*(x[:1] for x in scored.innovation)), whole), Term(None, news)]


def _at_a_point(system, trajectory, matrix):
    P, H = riccati(system)[0][1, 0, 0], trajectory.gradient_to_go[1, :, 0, 0]
    return _over_actions(system, system.mean, H[None], np.array([P]), matrix)[0]


def _pooled(system, trajectory, past, times, matrix):
    """Integrate E[(sum_t mu_t phi_t)^2 | s] / sum_t mu_t over s."""
    mean, scale = state_moments(system)[0][times, 0], np.abs(past.root[times, 0, 0])
    steps = np.arange(-REACH, REACH + PANEL / 2, PANEL)
    edges = np.unique(np.round((mean[:, None] + scale[:, None] * steps).ravel() / scale.min(), 6)) * scale.min()
    x, weight = np.polynomial.legendre.leggauss(NODES)
    s = (edges[:-1, None] + np.diff(edges)[:, None] * (x + 1) / 2).ravel()
    ds = (np.diff(edges)[:, None] * weight / 2).ravel()
    P, H = riccati(system)[0][1:, 0, 0][times], trajectory.gradient_to_go[1:, :, 0, 0][times]
    sign = np.sign(past.root[times, 0, 0])
    mu, a, b = np.zeros(len(s)), np.zeros((len(s), system.parameters)), np.zeros(len(s))
    for k, t in enumerate(times):
        e = (s - mean[k]) / scale[k]
        density = np.exp(-(e**2) / 2) / (scale[k] * np.sqrt(2 * np.pi))
        beta = past.beta[t, :, 0, 0]
        d = sign[k] * e[:, None] * past.alpha[t, :, 0] + (e[:, None] ** 2 - 1) * beta / 2
        mu += density
        a += density[:, None] * (H[k] - P[k] * d)
        b += density * P[k]
    found = _over_actions(system, s, a, b, matrix)
    return np.tensordot(ds / mu, found, 1)


def _over_actions(system, s, a, b, matrix):
    """E[(a - b z)(a - b z)' (4 x^2 W + 2 W^2)] over the action, for each s: (N, P) or (N, P, P)."""
    m, N, W = system.actions, len(s), system.W[0, 0]
    inverse, L = system.inverse_factor.T, system.L
    forms = np.zeros((N, system.parameters, 1 + m, 1 + m))  # a - b z, of (1, v), u = L v
    for p in range(system.parameters):
        if p < m:
            forms[:, p, 0, 1:] = forms[:, p, 1:, 0] = -(b * s)[:, None] * inverse[p] / 2
        else:
            own = np.outer(L[p - m], inverse[p - m])
            forms[:, p, 1:, 1:] = -b[:, None, None] * (own + own.T) / 2
            forms[:, p, 0, 0] = b
    forms[..., 0, 0] += a
    x = np.concatenate([(system.closed[0, 0] * s)[:, None], np.broadcast_to((system.B @ L)[0], (N, m))], axis=1)
    square = 4 * W * x[:, :, None] * x[:, None, :]
    square[:, 0, 0] += 2 * W**2
    C = np.eye(1 + m)
    C[0, 0] = 0.0
    if matrix:
        return gaussian.mean3(forms[:, :, None], forms[:, None], square[:, None, None], C)
    return gaussian.mean3(forms, forms, square[:, None], C)
