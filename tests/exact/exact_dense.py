"""The slow referee: every quantity of a trajectory as one matrix of the whole noise vector, moments by joint
cumulants.

xi = (white noise of s_0, then eps_t and white process noise for each t); q(xi) = (1, xi)^T M(1, xi). Estimators
are sums of products of two such quadratics. Cumulants of quadratic forms by sums over permutations, moments
by sums over set partitions. Works for float and for `fractions.Fraction` (dtype object) alike.
"""

from itertools import permutations

import numpy as np


def partitions(items):
    """All set partitions of a list."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for part in partitions(rest):
        yield [[first], *part]
        for k, block in enumerate(part):
            yield [*part[:k], [first, *block], *part[k + 1 :]]


def cumulant(quadratics):
    """2^(k-1)/k sum_perm tr(A..A) + 2^(k-3) sum_perm b^T A..A b for q = c + b^T xi + xi^T A xi, xi white."""
    k = len(quadratics)
    if k == 1:
        return quadratics[0][0, 0] + np.trace(quadratics[0][1:, 1:])
    closed, ends = 0, 0
    for order in permutations(quadratics):
        product = order[0][1:, 1:]
        for q in order[1:]:
            product = product @ q[1:, 1:]
        closed = closed + np.trace(product)
        vector = 2 * order[0][1:, 0]
        for q in order[1:-1]:
            vector = vector @ q[1:, 1:]
        ends = ends + vector @ (2 * order[-1][1:, 0])
    return 2 ** (k - 1) * closed / k + 2**k * ends / 8


def moment(*quadratics):
    """E of a product of quadratics."""
    memo, total = {}, 0
    for part in partitions(list(range(len(quadratics)))):
        term = 1
        for block in map(tuple, part):
            if block not in memo:
                memo[block] = cumulant([quadratics[k] for k in block])
            term = term * memo[block]
        total = total + term
    return total


def expectation(X):
    """E of a sum of products, a list of tuples of quadratics."""
    return sum(moment(*x) for x in X)


def covariance(X, Y):
    """Cov of two sums of products."""
    return sum(moment(*x, *y) for x in X for y in Y) - expectation(X) * expectation(Y)


class Dense:
    """The matrices of one system. `roots`: square roots of W and cov, if not to be computed (Fractions)."""

    def __init__(self, system, roots=None, exact=lambda array: np.array(array, dtype=float)):
        self.system, self.exact = system, exact
        T, n, m = system.horizon, system.states, system.actions
        root_w, root_0 = roots or (root(system.W), root(system.cov))
        width = 1 + n + T * (m + n)
        self.A, self.B, self.K, self.L, self.Q, self.R, self.Qf = (
            exact(getattr(system, k)) for k in ("A", "B", "K", "L", "Q", "R", "Qf")
        )
        self.terminal_weight = exact(system.terminal_weight).item()
        self.gamma = [exact(system.discount).item() ** t for t in range(T)]
        self.s, self.u, self.eps = [], [], []
        s = exact(np.zeros((n, width)))
        s[:, 0], s[:, 1 : n + 1] = exact(system.mean), exact(root_0)
        for t in range(T):
            first = 1 + n + t * (m + n)
            eps, w = exact(np.zeros((m, width))), exact(np.zeros((n, width)))
            eps[:, first : first + m] = exact(np.eye(m))
            w[:, first + m : first + m + n] = exact(root_w)
            self.s.append(s)
            self.eps.append(eps)
            self.u.append(self.L @ eps)
            s = self.A @ s + self.B @ (self.K @ s + self.u[-1]) + w
        self.s.append(s)
        self.one = exact(np.zeros((width, width)))
        self.one[0, 0] += 1
        self.inverse = exact(np.linalg.inv(system.L @ system.L.T))
        rewards = [
            -g * (s.T @ self.Q @ s + a.T @ self.R @ a) for g, s, a in zip(self.gamma, self.s, self.a, strict=False)
        ]
        rewards.append(-self.terminal_weight * s.T @ self.Qf @ s)
        self.to_go = [sum(rewards[t:]) for t in range(T + 1)]
        self.values = self._values()

    @property
    def a(self):
        return [self.K @ s + u for s, u in zip(self.s, self.u, strict=False)]

    def _values(self):
        """V_t(s) as forms of (1, s), by the Bellman recursion with conditional means."""
        system, n = self.system, self.system.states
        P, c = self.terminal_weight * self.Qf, 0
        closed, sigma, out = self.A + self.B @ self.K, self.L @ self.L.T, []
        for t in reversed(range(system.horizon)):
            c = c + np.sum((self.gamma[t] * self.R + self.B.T @ P @ self.B) * sigma) + np.sum(P * self.exact(system.W))
            P = self.gamma[t] * (self.Q + self.K.T @ self.R @ self.K) + closed.T @ P @ closed
            form = self.exact(np.zeros((n + 1, n + 1)))
            form[0, 0], form[1:, 1:] = -c, -P
            out.insert(0, form)
        return out

    def on_state(self, form, t):
        """A form of (1, s_t) as a quadratic of xi."""
        state = np.vstack([self.one[:1], self.s[t]])
        return state.T @ form @ state

    def scores(self, p):
        """z_t for parameter p."""
        (m, n), out = self.K.shape, []
        for s, u in zip(self.s, self.u, strict=False):
            v = self.inverse @ u
            x, y, trace = (v[p // n], s[p % n], 0) if p < m * n else (u[p - m * n], v[p - m * n], 1)
            out.append((np.outer(x, y) + np.outer(y, x)) / 2 - trace * self.one)
        return out

    def score_function(self, p, b=0.0):
        """(R - b) Z."""
        return [(self.to_go[0] - b * self.one, sum(self.scores(p)))]

    def reward_to_go(self, p, forms=None):
        """sum_t z_t (G_t - b_t(s_t)), b_t forms of (1, s)."""
        b = [0 * self.one if forms is None else self.on_state(forms[t], t) for t in range(self.system.horizon)]
        return [(z, G - x) for z, G, x in zip(self.scores(p), self.to_go, b, strict=False)]

    def advantage(self, p, decay):
        """sum_t z_t sum_{k>=t} decay^(k-t) delta_k."""
        T = self.system.horizon
        V = [self.on_state(self.values[t], t) for t in range(T)] + [self.to_go[T]]
        delta = [self.to_go[t] - self.to_go[t + 1] + V[t + 1] - V[t] for t in range(T)]
        return [(z, sum(decay ** (k - t) * delta[k] for k in range(t, T))) for t, z in enumerate(self.scores(p))]

    def score(self, p):
        """Z."""
        return [(sum(self.scores(p)),)]

    def pathwise(self, p, strengths=None):
        """dR/dp with the noise fixed, by the tangent recursion; or as if p acted at time t with strengths[t]."""
        k = [1] * len(self.u) if strengths is None else strengths  # whole numbers: fractions stay fractions
        (m, n), D, total = self.K.shape, 0 * self.s[0], 0 * self.one
        for t, (s, u, a) in enumerate(zip(self.s, self.u, self.a, strict=False)):
            d = 0 * a
            if p < m * n:
                d[p // n] = k[t] * s[p % n]
            else:
                d[p - m * n] = k[t] * u[p - m * n]
            d = d + self.K @ D
            total = total - 2 * self.gamma[t] * (s.T @ self.Q @ D + a.T @ self.R @ d)
            D = self.A @ D + self.B @ d
        total = total - 2 * self.terminal_weight * self.s[-1].T @ self.Qf @ D
        return [((total + total.T) / 2,)]


def root(cov):
    """Symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def product_moment_by_quadrature(quadratics, nodes=8):
    """E of a product of quadratics of two white variables by Gauss-Hermite quadrature, exact here."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    one = np.ones((nodes, nodes))
    xi = np.stack([one, x[:, None] * one, x[None, :] * one])
    product = np.prod([np.einsum("iab,ij,jab->ab", xi, q, xi) for q in quadratics], axis=0)
    return float(np.sum(product * w[:, None] * w) / (2 * np.pi))
