"""Importance-weighted score functions: the target K, L on trajectories of a behaviour K_b, L_b of the same problem.

All noise of a trajectory is stacked into one vector, x = (1, xi), xi ~ N(0, I_d). States, actions and L^-1 (a_t - K s_t) = v_t
are linear in x, and so rewards, scores and log weights

    log w_t = (|eps_t|^2 - |v_t|^2) / 2 + log det L_b - log det L

are forms x'M x. For a form l, the exponential e^l times the density of xi is an unnormalised Gaussian,

    E[e^l f(xi)] = C E f(m + F z),     D = I - 2 l_xx,  m = 2 D^-1 l_x0,  F F' = D^-1,  C = exp(l_00 + l_0x m) / sqrt(det D),

which is finite only if D is positive definite; else the moment is infinite. Squares of

    trajectory       w_{0:T-1} sum_t z_t (R - b_t)
    per decision     sum_k w_{0:k} (r_k sum_{t<=k} z_t - z_k b_k)

are sums of such moments of four forms, l = 2 log w_{0:T-1}, or log w_{0:j} + log w_{0:k}, by joint cumulants. Self-normalised
weights have no closed form, but limits for large groups: with Y = sum_t z_t (R - b_t) and g = dJ/dp,

    G bias -> g E w^2 - E w^2 Y,        G variance -> E w^2 (Y - g)^2,        w = w_{0:T-1}, means under the behaviour.

Cost: O(P d^3) with d = T (m + rank W) for trajectories, T^2 / 2 times that per decision; for a baseline that is not constant
T^2 times. Measured on one core: n = 2, m = 1, T = 10, P = 2 in 15 ms and 0.3 s.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from .system import System
from .values import gradient


class Limits(NamedTuple):
    """G times the bias and G times the variance of self-normalised weights for a large group; (P,) both."""

    bias: np.ndarray
    variance: np.ndarray


def importance_weighted_variance(system, behaviour, weights="trajectory", forms=None):
    """Return the variance of one trajectory's estimate, (P,); infinite where it has none.

    `system` the target, `behaviour` the same with another K and L, `weights` "trajectory" or "per decision", `forms`
    baselines as forms of (1, s), (T, P, 1 + n, 1 + n), or None. Raises ValueError where either L is singular.
    """
    if weights not in ("trajectory", "per decision"):
        raise ValueError(f'weights: expected "trajectory" or "per decision", got {weights!r}')
    path = _Path(system, behaviour, forms)
    whole = weights == "trajectory"
    try:
        squares = [_square(path.whole(p) if whole else path.decisions(p)) for p in range(system.parameters)]
    except np.linalg.LinAlgError:
        return np.full(system.parameters, np.inf)
    return np.array(squares) - gradient(system) ** 2


def self_normalised_limits(system, behaviour, forms=None):
    """Return the `Limits` of self-normalised weights; infinite where w has no variance."""
    path, g = _Path(system, behaviour, forms), gradient(system)
    try:
        tilt = _Tilt(2 * path.log_weights[-1])
    except np.linalg.LinAlgError:
        return Limits(*np.full((2, system.parameters), np.inf))
    products = [path.whole(p)[0][1] for p in range(system.parameters)]
    first = np.array([sum(tilt.moment(*x) for x in product) for product in products])
    second = np.array([_square(path.whole(p)) for p in range(system.parameters)])
    return Limits(g * tilt.scale - first, second - 2 * g * first + g**2 * tilt.scale)


def _square(terms):
    """E (sum_k e^(l_k) sum_j a_kj b_kj)^2 for terms (l_k, [(a_kj, b_kj), ...])."""
    total = 0.0
    for k, (log_weight, products) in enumerate(terms):
        for other, others in terms[: k + 1]:
            tilt = _Tilt(log_weight + other)
            moment = sum(tilt.moment(*x, *y) for x in products for y in others)
            total += moment * (1 if other is log_weight else 2)
    return total


class _Tilt:
    """The Gaussian that e^l makes of white noise; LinAlgError if there is none."""

    def __init__(self, form):
        precision = np.eye(len(form) - 1) - 2 * form[1:, 1:]
        root = np.linalg.cholesky(precision)
        F = np.linalg.inv(root).T
        self.map = np.eye(len(form))
        self.map[1:, 0], self.map[1:, 1:] = 2 * F @ (F.T @ form[1:, 0]), F
        self.scale = np.exp(form[0, 0] + form[0, 1:] @ self.map[1:, 0]) / np.prod(np.diag(root))

    def moment(self, *forms):
        """E[e^l prod of forms]."""
        return self.scale * _moment([self.map.T @ q @ self.map for q in forms])


def _moment(forms):
    """E of a product of forms of (1, z), z white: the first with each subset of the others, times the rest."""
    if not forms:
        return 1.0
    first, *others = forms
    total = 0.0
    for subset in range(2 ** len(others)):
        chosen = [q for k, q in enumerate(others) if subset >> k & 1]
        rest = [q for k, q in enumerate(others) if not subset >> k & 1]
        total += _cumulant([first, *chosen]) * _moment(rest)
    return total


def _cumulant(forms):
    """Joint cumulant 2^(k-1) (sum over circles tr(A..A) + sum over orders a'A..A a) of forms c + 2 a'z + z'A z."""
    if len(forms) == 1:
        return np.trace(forms[0])
    total = 0.0
    for order in permutations(forms[1:]):
        left = forms[0][1:, 1:]
        for q in order[:-1]:
            left = left @ q[1:, 1:]
        total += np.sum(left * order[-1][1:, 1:].T)
    for order in permutations(forms):
        vector = order[0][1:, 0]
        for q in order[1:-1]:
            vector = vector @ q[1:, 1:]
        total += vector @ order[-1][1:, 0]
    return 2 ** (len(forms) - 1) * total


class _Path:
    """The forms of one trajectory of the behaviour: rewards, log weights w_{0:k}, scores and baselines."""

    def __init__(self, system: System, behaviour: System, forms):
        self.system, self.forms = system, forms
        m, T = system.actions, system.horizon
        start, noise, inverse = behaviour.initial_factor, behaviour.noise, system.inverse_factor
        _, log_det = np.linalg.slogdet(inverse @ behaviour.L)
        behaviour.inverse_factor  # a singular behaviour has no density either  # noqa: B018
        r0, r = start.shape[1], noise.shape[1]
        width = 1 + r0 + T * r
        self.one = np.zeros((width, width))
        self.one[0, 0] = 1.0
        s = np.zeros((system.states, width))
        s[:, 0], s[:, 1 : 1 + r0] = behaviour.mean, start
        self.states, self.whitened, self.rewards, self.log_weights = [], [], [], []
        log_weight = 0.0 * self.one
        for t in range(T):
            xi = np.zeros((r, width))
            xi[:, 1 + r0 + t * r : 1 + r0 + (t + 1) * r] = np.eye(r)
            eps = xi[:m]
            a = behaviour.K @ s + behaviour.L @ eps
            v = inverse @ (a - system.K @ s)
            log_weight = log_weight + (eps.T @ eps - v.T @ v) / 2 + log_det * self.one
            self.rewards.append(-(system.discount**t) * (s.T @ system.Q @ s + a.T @ system.R @ a))
            self.states.append(s)
            self.whitened.append(v)
            self.log_weights.append(log_weight)
            s = behaviour.closed @ s + noise @ xi
        self.rewards.append(-system.terminal_weight * s.T @ system.Qf @ s)

    def scores(self, p):
        """z_t for parameter p, a form for each time."""
        n, gains, inverse = self.system.states, self.system.K.size, self.system.inverse_factor
        scores = []
        for s, v in zip(self.states, self.whitened, strict=True):
            score = inverse.T @ v  # Sigma^-1 u, u = L v
            if p < gains:
                product = np.outer(score[p // n], s[p % n])
            else:
                product = np.outer((self.system.L @ v)[p - gains], score[p - gains]) - self.one
            scores.append((product + product.T) / 2)
        return scores

    def baselines(self, p):
        """b_t for parameter p, a form for each time."""
        if self.forms is None:
            return [0.0 * self.one for _ in self.states]
        forms = np.broadcast_to(self.forms, (self.system.horizon, self.system.parameters, *self.forms.shape[2:]))
        tilde = [np.vstack([self.one[:1], s]) for s in self.states]
        return [x.T @ forms[t, p] @ x for t, x in enumerate(tilde)]

    def whole(self, p):
        """[(log w, the products of sum_t z_t (R - b_t))]."""
        R, z, b = sum(self.rewards), self.scores(p), self.baselines(p)
        same = all(np.array_equal(x, b[0]) for x in b)
        products = [(R - b[0], sum(z))] if same else [(R - x, y) for x, y in zip(b, z, strict=True)]
        return [(self.log_weights[-1], products)]

    def decisions(self, p):
        """[(log w_{0:k}, the products of r_k sum_{t<=k} z_t - z_k b_k) for each k]; r_T counts with the last weight."""
        z, b, terms = self.scores(p), self.baselines(p), []
        so_far = 0.0 * self.one
        for k, log_weight in enumerate(self.log_weights):
            so_far = so_far + z[k]
            reward = self.rewards[k] + (self.rewards[k + 1] if k + 1 == len(z) else 0.0)
            products = [(reward, so_far)] + ([(-b[k], z[k])] if np.any(b[k]) else [])
            terms.append((log_weight, products))
        return terms
