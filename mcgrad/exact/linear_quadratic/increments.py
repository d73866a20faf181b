"""The estimators of one trajectory's gradient, as sums of martingale increments.

For the filtration F_t of the trajectory up to s_t, each estimator X of a parameter is

    X = E X + (X_0 - E X) + sum_t m_t,     X_0 = E[X | s_0],     m_t = E[X | F_{t+1}] - E[X | F_t],

so that Cov(X, Y) = Cov(X_0, Y_0) + sum_t E[m_t m'_t]: single sums only. Write [y] = y - E[y | s_t]. For the rule of `leaves`,
all of whose functions are forms of (1, s, u), u = a - K s, let U_t(s) = E[sum_{k>=t} lam^{k-t} d_k | s_t = s], the error
eps_t = d_t + lam U_{t+1}(s_{t+1}) - U_t(s_t), and H_t(s) = E[what the scores from t on make of X | s_t = s]. m_t is the sum of

    E_{t-1}' eps_t                    E_t' = lam (E_{t-1}' + z_t), the past of the trace
    [z_t (eps_t + f_t)]
    (U_t + E[f_t | s_t]) z_t          the score function: (J_t + c + E[f_t | s_t]) z_t, J_t = E[R | F_t], which is a carry and J
    [(da_t/dp)^T dk_t/da] - n [dQ_t]
    H_{t+1}(s_{t+1}) - E[H_{t+1}(s_{t+1}) | s_t]

U_t = V_t, eps_t is the temporal-difference error delta_t, where d_t = r_t; and U_t = 0 where d_t is the error of the exact
critic. The increments of dR/dp are those of delta_t at fixed noise, and the last line.
A `Term` is a weight times an innovation or a product of two; `covariances` does the rest.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..leaves import Rule
from ..theory import Array, Indices
from .chain import Carry, Chain
from .innovations import Innovation
from .system import System
from .trajectory import Trajectory
from .values import (
    action_value_forms,
    bootstrapped,
    objective,
    of_actions,
    over_actions,
    scores_to_go,
    state_moments,
    value_forms,
)

Weight = Array | Carry | None  # a form, a carry, or 1


class Term(NamedTuple):
    """A summand of m_t: weight * innovation, with weight 1 (None), a form (array) or a `Carry`; or [innovation * factor]."""

    weight: Weight
    innovation: Innovation
    factor: Innovation | None = None


class Increments:
    """What all estimators declare."""

    with_sensitivity = False  # needs the sensitivity D_t in the chain
    plain = True  # sees a trajectory as all others do
    keeps_scores = True  # the scores and values on its path are those of all others

    def size(self, system: System) -> int:
        """Return how many columns the estimator has: the parameters."""
        return system.parameters

    def trajectory(self, system: System, columns: Indices, with_sensitivity: bool) -> Trajectory:
        """Return the trajectory as the estimator sees it, for some of its columns."""
        return Trajectory(system, columns, with_sensitivity)

    def start_on(self, chain: Chain, path: int) -> Array | None:
        """Return E[X | s_0], up to a constant, as forms of (1, s_0), or None if it is one."""
        return None

    def terms(self, chain: Chain, path: int = 0) -> list["Term"]:
        """Return the summands of m_t for one path of a chain."""
        raise NotImplementedError

    def mean(self) -> Array:
        """Return E X, (P,)."""
        raise NotImplementedError


class OfRule(Increments):
    """A `leaves.Rule`."""

    def __init__(self, system: System, rule: Rule) -> None:
        V, Q = value_forms(system), action_value_forms(system)
        self.rule, self.system, every = rule, system, np.arange(system.parameters)
        self.weight = _padded(rule.weight, Q)
        due: Any = 0.0
        self.ahead: Any = None
        self.to_go: Any = 0.0
        if rule.trace is not None:
            due, self.ahead, self.to_go = _errors(system, rule, V, Q)
        self.now = due + self.weight  # eps_t + f_t, what the action decides of it
        known = _padded(rule.followed, Q) + _padded(rule.expected, Q)
        self.H = scores_to_go(system, self.now + known, every)
        score = np.atleast_1d(np.asarray(rule.score, dtype=float)) + (objective(system) if rule.whole else 0.0)
        level = np.zeros((1, len(score), *V.shape[2:]))
        level[0, :, 0, 0] = score
        self.level = over_actions(system, self.weight) + level + (0.0 if rule.whole else self.to_go)
        self.due = due
        self.news = scores_to_go(system, Q, every) if rule.news else None

    def mean(self) -> Array:
        """Return E H_0(s_0), (P,)."""
        if self.rule.trace is not None or self.weight.any() or np.any(self.rule.score):
            self.system.inverse_factor  # a policy without noise has no score  # noqa: B018
        return _mean(self.system, self.H)

    def start_on(self, chain: Chain, path: int) -> Array | None:
        """Return the forms H_0."""
        return self.H[0, chain.paths[path].columns] if self.H[0].any() else None

    def terms(self, chain: Chain, path: int = 0) -> list[Term]:
        """Return the summands of m_t."""
        trajectory, rule = chain.paths[path], self.rule
        columns, found = trajectory.columns, []

        def made(name: str, make: Callable[[], Innovation]) -> Innovation:
            return chain.made((self, name), path, make)

        now = trajectory.of_action(_of(self.now, columns))
        if rule.trace is not None:
            surprise = trajectory.surprise(self.ahead)
            now = now + surprise
            if rule.trace:
                error = trajectory.of_action(self.due) + surprise
                found.append(Term(Carry("score", rule.trace, path), made("error", lambda: error)))
        level = _of(self.level, columns)
        if rule.whole:
            found.append(Term(Carry("error", 1.0, path), chain.innovation("score", path)))
        if now.linear.any() or now.quadratic.any():
            found.append(Term(None, chain.innovation("score", path), made("now", lambda: now)))
        if level.any():
            found.append(Term(chain.form(level, path), chain.innovation("score", path)))
        if np.ndim(rule.followed):
            followed = trajectory.along_path(_of(np.asarray(rule.followed), columns))
            found.append(Term(None, made("followed", lambda: followed)))
        return [*found, *self._following(chain, path, columns)]

    def _following(self, chain: Chain, path: int, columns: Indices) -> list[Term]:
        """Return the news about H, less n times those which the action alone decides of dQ."""
        trajectory, found = chain.paths[path], []
        if self.H[1:].any():
            future = trajectory.of_next(self.H[1:, columns])
            found.append(Term(None, chain.made((self, "future"), path, lambda: future)))
        if self.news is not None:
            of_next = trajectory.of_next(self.news[1:, columns])
            decided = of_next - trajectory.surprise(self.news[1:, columns])
            left = decided.times(-self.rule.news)
            found.append(Term(None, chain.made((self, "news"), path, lambda: left)))
        return found


class OfPath(Increments):
    """dR/dp along the path with the noise held fixed; L may be singular.

        sum_t k_t (da_t/dp)^T dR/da_t + sum_t l_t z_t (G_t - b_t(s_t))

    is the gradient in a parameter that acts at time t with strength k_t (pathwise) and l_t (score): in the theory of both the
    sensitivities E_s and E_u become k_t E_s and k_t E_u, the score z_t becomes l_t z_t, and what time t adds to H, in which
    both agree, (k_t + l_t) times that. In blocks, D_t starts anew with each, and the action at t sees `bootstrapped` values.

    Parameters
    ----------
    along, scored : (T, K), optional
        k_t and l_t; 1 and 0 by default.
    baseline : forms of (1, s), optional
        b_t, the same for all parameters: (T, 1, 1 + n, 1 + n).
    steps, scale : int and float, optional
        Of blocks, and of the exact critic at the end of each.
    owner : (K,), optional
        Indices of parameters, all by default; an index may occur several times.
    """

    with_sensitivity = True

    def __init__(
        self,
        system: System,
        along: Array | None = None,
        scored: Array | None = None,
        baseline: Array | None = None,
        steps: int | None = None,
        scale: float = 1.0,
        owner: Indices | None = None,
    ) -> None:
        self.along, self.scored, self.baseline = along, scored, baseline
        self.owner = np.arange(system.parameters) if owner is None else owner
        self.plain = along is None and scored is None and steps is None
        self.keeps_scores = scored is None and steps is None
        self.seen, self.starts = system, None
        if steps is not None:
            starts = np.arange(system.horizon + 1) % steps == 0
            self.starts, self.seen = starts[:-1], bootstrapped(system, starts.astype(float), scale)
        q = action_value_forms(self.seen)
        strength: Any = (1.0 if along is None else along) + (0.0 if scored is None else scored)
        self.H = scores_to_go(self.seen, strength[:, :, None, None] * q if np.ndim(strength) else q, self.owner)

    def size(self, system: System) -> int:
        """Return the number of columns, K."""
        return len(self.owner)

    def mean(self) -> Array:
        """Return E H_0(s_0), (K,)."""
        return _mean(self.seen, self.H)

    def trajectory(self, system: System, columns: Indices, with_sensitivity: bool) -> Trajectory:
        """Return the trajectory as the estimator sees it, for some of its columns."""
        along, scored = (None if x is None else x[:, columns] for x in (self.along, self.scored))
        found = Trajectory(self.seen, self.owner[columns], with_sensitivity, along, scored, self.starts)
        found.columns = columns
        return found

    def start_on(self, chain: Chain, path: int) -> Array:
        """Return the forms H_0."""
        return self.H[0, chain.paths[path].columns]

    def terms(self, chain: Chain, path: int = 0) -> list[Term]:
        """Return the summands of m_t."""
        trajectory = chain.paths[path]
        whole = trajectory.pathwise + trajectory.of_next(self.H[1:, trajectory.columns])
        found = [Term(None, chain.made((self, "pathwise"), path, lambda: whole))]
        if self.scored is None:
            return found
        z, delta = chain.innovation("score", path), chain.innovation("error", path)
        level = value_forms(self.seen)[:-1] - (0.0 if self.baseline is None else self.baseline)
        return [*found, Term(Carry("score", 1.0, path), delta), Term(None, z, delta), Term(chain.form(level, path), z)]


class OfReturn(Increments):
    """The return R = V_0(s_0) + sum_t delta_t."""

    def size(self, system: System) -> int:
        """Return 1."""
        return 1

    def start_on(self, chain: Chain, path: int) -> Array:
        """Return the forms V_0."""
        return value_forms(chain.system)[0]

    def terms(self, chain: Chain, path: int = 0) -> list[Term]:
        """Return delta_t."""
        return [Term(None, chain.innovation("error", path))]


def _mean(system: System, H: Array) -> Array:
    mean, cov = (x[0] for x in state_moments(system))
    second = np.zeros(H.shape[2:])
    second[0, 0], second[0, 1:], second[1:, 0], second[1:, 1:] = 1.0, mean, mean, cov + np.outer(mean, mean)
    return np.sum(H[0] * second, axis=(1, 2))


def _errors(system: System, rule: Rule, V: Array, Q: Array) -> tuple[Array, Array, Array]:
    """Return what the action decides of eps_t (and U_t), (v + lam U)_{t+1}, and U_t, as forms."""
    if rule.ahead is None:
        return Q, V[1:], V[:-1]
    n = 1 + system.states
    v = np.concatenate([_padded(rule.ahead, Q)[..., :n, :n], V[-1:]])
    known, none = _padded(rule.known, Q), np.zeros_like(V[:-1])
    if np.array_equal(v, V):
        due = Q - known
        if np.array_equal(known, Q) or np.array_equal(known[..., :n, :n], V[:-1]) and not known[..., n:].any():
            return due, V[1:], none  # the errors of the exact critic have mean zero
    return _recursion(system, float(rule.trace or 0.0), v, known)


def _recursion(system: System, lam: float, v: Array, known: Array) -> tuple[Array, Array, Array]:
    """Return the same by U_t(s) = E[r_t + (v + lam U)_{t+1}(s_{t+1}) - k_t | s_t = s]."""
    T, n, m = system.horizon, system.states, system.actions
    due, ahead, U = np.zeros_like(known), np.zeros((T, *v.shape[1:])), np.zeros_like(v)
    move = np.zeros((1 + n, 1 + n + m))
    move[0, 0], move[1:, 1 : 1 + n], move[1:, 1 + n :] = 1.0, system.closed, system.B
    rewards = reward_forms(system)
    for t in reversed(range(T)):
        ahead[t] = v[t + 1] + lam * U[t + 1]
        due[t] = rewards[t] - known[t] + move.T @ ahead[t] @ move
        due[t, :, 0, 0] += np.sum(ahead[t, :, 1:, 1:] * system.W, axis=(-2, -1))
        U[t] = over_actions(system, due[t])
    return due, ahead, U[:-1]


def reward_forms(system: System) -> Array:
    """r_t(s, K s + u) as forms of (1, s, u): (T, 1, 1 + n + m, 1 + n + m)."""
    weight, n = system.discount ** np.arange(system.horizon)[:, None, None], system.states
    of_state = np.zeros((system.horizon, 1, 1 + n, 1 + n))
    of_state[:, 0, 1:, 1:] = -weight * (system.Q + system.K.T @ system.R @ system.K)
    return of_actions(system, of_state, -weight * (system.R @ system.K), -weight * system.R)


def _padded(f: Any, like: Array) -> Array:
    """Return forms of (1, s) or of (1, s, u) as forms of (1, s, u); 0.0 is a form, too."""
    if np.ndim(f) == 0:
        return np.zeros((like.shape[0], 1, *like.shape[2:]))
    if f.shape[-1] == like.shape[-1]:
        return f
    out = np.zeros((*f.shape[:2], *like.shape[2:]))
    out[..., : f.shape[-1], : f.shape[-1]] = f
    return out


def _of(f: Array, columns: Indices) -> Array:
    return f[:, columns] if f.shape[1] > 1 else f
