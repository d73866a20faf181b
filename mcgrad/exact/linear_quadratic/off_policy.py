"""Importance-weighted score functions: the target K, L on trajectories of a behaviour K_b, L_b of the same problem.

All noise of a trajectory is stacked into one vector, x = (1, xi), xi ~ N(0, I_d). States, actions and L^-1 (a_t - K s_t) = v_t
are linear in x, and so rewards, scores and log weights

    log w_t = (|eps_t|^2 - |v_t|^2) / 2 + log det L_b - log det L

are forms x^T M x. For a form l, the exponential e^l times the density of xi is an unnormalised Gaussian,

    E[e^l f(xi)] = C E f(m + F z),     D = I - 2 l_xx,  m = 2 D^-1 l_x0,  F F^T = D^-1,  C = exp(l_00 + l_0x m) / sqrt(det D),

which is finite only if D is positive definite; else the moment is infinite. The square of

    trajectory       w_{0:T-1} sum_t z_t (R - b_t)

is a sum of such moments of four forms, l = 2 log w_{0:T-1}, by joint cumulants. What is known before t of the mean of

    per decision     sum_k w_{0:k} (r_k Z_k - z_k b_k),     Z_k = z_0 + .. + z_k,

changes by W_t (w_t A_t - B_t) with W_t = w_{0:t-1}, A_t = Z_t (r_t + V_{t+1}) - z_t b_t + dV_{t+1}, B_t = Z_{t-1} V_t + dV_t.
So its variance is Var dV_0 + sum_t E_b W_t^2 ((w_t A_t)^2 - B_t^2): l = 2 log w_{0:t} for each t. Self-normalised
weights have no closed form, but limits for large groups: with Y = sum_t z_t (R - b_t) and g = dJ/dp,

    G bias -> g E w^2 - E w^2 Y,        G variance -> E w^2 (Y - g)^2,        w = w_{0:T-1}, means under the behaviour.

Cost: O(P d^3) with d = T (m + rank W) for trajectories, T^2 times that for a baseline that is not constant; O(P T d^3) per
decision.
"""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from ...printing import outline
from ..theory import Array
from .system import System
from .values import gradient, gradient_to_go, riccati


class Limits(NamedTuple):
    """G times the bias and G times the variance of self-normalised weights for a large group; (P,) both."""

    bias: Array
    variance: Array

    def __repr__(self) -> str:
        return outline("Limits of self-normalised weights, times G", self._asdict())


def importance_weighted_variance(
    system: System, behaviour: System, forms: Array | None = None, weights: str = "trajectory"
) -> Array:
    """Return the variance of one trajectory's estimate, (P,); infinite where it has none.

    `system` the target, `behaviour` the same with another K and L, `weights` "trajectory" or "per decision", `forms`
    baselines as forms of (1, s), (T, P, 1 + n, 1 + n), or None. Raises ValueError where either L is singular.
    """
    if weights not in ("trajectory", "per decision"):
        raise ValueError(f'weights: expected "trajectory" or "per decision", got {weights!r}')
    path = _Path(system, behaviour, forms)
    try:
        if weights == "per decision":
            return path.decisions()
        tilt = _Tilt(2 * path.log_weights[-1])
        squares = [tilt.square(path.whole(p)) for p in range(system.parameters)]
    except np.linalg.LinAlgError:
        return np.full(system.parameters, np.inf)
    return np.array(squares) - gradient(system) ** 2


def self_normalised_limits(system: System, behaviour: System, forms: Array | None = None) -> Limits:
    """Return the `Limits` of self-normalised weights; infinite where w has no variance."""
    path, g = _Path(system, behaviour, forms), gradient(system)
    try:
        tilt = _Tilt(2 * path.log_weights[-1])
    except np.linalg.LinAlgError:
        return Limits(*np.full((2, system.parameters), np.inf))
    products = [path.whole(p) for p in range(system.parameters)]
    first = np.array([sum(tilt.moment(*x) for x in product) for product in products])
    second = np.array([tilt.square(product) for product in products])
    return Limits(g * tilt.scale - first, second - 2 * g * first + g**2 * tilt.scale)


Products = list[tuple[Array, ...]]  # of forms


class _Tilt:
    """The Gaussian that e^l makes of white noise; LinAlgError if there is none."""

    def __init__(self, form: Array) -> None:
        precision = np.eye(len(form) - 1) - 2 * form[1:, 1:]
        root = np.linalg.cholesky(precision)
        F = np.linalg.inv(root).T
        self.map = np.eye(len(form))
        self.map[1:, 0], self.map[1:, 1:] = 2 * F @ (F.T @ form[1:, 0]), F
        self.scale = np.exp(form[0, 0] + form[0, 1:] @ self.map[1:, 0]) / np.prod(np.diag(root))

    def moment(self, *forms: Array) -> float:
        """E[e^l prod of forms]."""
        return self.scale * _moment([self.map.T @ q @ self.map for q in forms])

    def square(self, products: Products) -> float:
        """E[e^l (sum of products of forms)^2]."""
        moved = [tuple(self.map.T @ q @ self.map for q in product) for product in products]
        total = 0.0
        for k, one in enumerate(moved):
            total += _moment([*one, *one]) + 2 * sum(_moment([*one, *other]) for other in moved[:k])
        return self.scale * total


def _moment(forms: Sequence[Array]) -> float:
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


def _cumulant(forms: Sequence[Array]) -> float:
    """Joint cumulant 2^(k-1) (sum over circles tr(A..A) + sum over orders a^T A..A a) of forms c + 2 a^T z + z^T A z."""
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

    def __init__(self, system: System, behaviour: System, forms: Array | None) -> None:
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
        self.widths = [1 + r0 + t * r for t in range(T + 1)]  # of the noise before s_t
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
        self.states.append(s)
        self.rewards.append(-system.terminal_weight * s.T @ system.Qf @ s)

    def scores(self, p: int) -> list[Array]:
        """z_t for parameter p, a form for each time."""
        (gain, i, j), inverse = self.system.places(np.array(p)), self.system.inverse_factor
        scores = []
        for s, v in zip(self.states, self.whitened, strict=False):
            score = inverse.T @ v  # Sigma^-1 u, u = L v
            product = np.outer(score[i], s[j]) if gain else np.outer((self.system.L @ v)[i], score[i]) - self.one
            scores.append((product + product.T) / 2)
        return scores

    def baselines(self, p: int) -> list[Array]:
        """b_t for parameter p, a form for each time."""
        if self.forms is None:
            return [0.0 * self.one for _ in self.whitened]
        forms = np.broadcast_to(self.forms, (self.system.horizon, self.system.parameters, *self.forms.shape[2:]))
        tilde = [np.vstack([self.one[:1], s]) for s in self.states[:-1]]
        return [x.T @ forms[t, p] @ x for t, x in enumerate(tilde)]

    def whole(self, p: int) -> Products:
        """Return the products of sum_t z_t (R - b_t)."""
        z, b = self.scores(p), self.baselines(p)
        R, Z = (np.sum(x, axis=0) for x in (self.rewards, z))
        same = all(np.array_equal(x, b[0]) for x in b)
        return [(R - b[0], Z)] if same else [(R - x, y) for x, y in zip(b, z, strict=True)]

    def decisions(self) -> Array:
        """Return the variance per decision, (P,)."""
        total = np.zeros(self.system.parameters)
        P, c, _, _ = riccati(self.system)
        H, k = gradient_to_go(self.system, np.arange(self.system.parameters))
        values = [-(s.T @ P[t] @ s) - c[t] * self.one for t, s in enumerate(self.states)]
        before = _Tilt(self.one[: self.widths[0], : self.widths[0]] * 0.0)
        slopes = self._slopes(H, k)
        for p in range(self.system.parameters):
            (first,) = self._known([(slopes[p][0],)], 0)
            total[p] = before.square([first]) - before.moment(*first) ** 2
        scores, baselines = ([f(p) for p in range(len(total))] for f in (self.scores, self.baselines))
        past = [0.0 * self.one for _ in total]
        for t, log_weight in enumerate(self.log_weights):
            width = self.widths[t + 1]
            after = _Tilt(2 * log_weight[:width, :width])
            ahead = self.rewards[t] + values[t + 1]
            for p, z in enumerate(scores):
                known = self._known([(past[p], values[t]), (slopes[p][t],)], t)
                now = [(past[p], ahead), (z[t], ahead - baselines[p][t]), (slopes[p][t + 1],)]
                total[p] += after.square(self._known(now, t + 1)) - before.square(known)
                past[p] = past[p] + z[t]
            before = after
        return total

    def _slopes(self, H: Array, k: Array) -> list[list[Array]]:
        """dV_t(s_t), a form for each parameter and time."""
        return [[s.T @ H[t, p] @ s + k[t, p] * self.one for t, s in enumerate(self.states)] for p in range(H.shape[1])]

    def _known(self, products: Products, t: int) -> Products:
        """Return the forms as ones of the noise before s_t alone, which is all that they depend on."""
        return [tuple(q[: self.widths[t], : self.widths[t]] for q in product) for product in products]
