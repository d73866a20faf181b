"""The slow referee of tabular problems: every trajectory, with its probability; and random problems.

Nothing here uses the theory: values are conditional means over trajectories, estimators are their definitions.
"""

from types import SimpleNamespace

import numpy as np

from mcgrad.exact.tabular import System, softmax


def outcomes(table, rewards):
    """P (S, A, S), and the means and variances of the reward, (S, A, S), from P(s_next, r | s, a): (S, A, S, K)."""
    P = table.sum(axis=-1)
    share = np.divide(table, P[..., None], out=np.zeros_like(table), where=P[..., None] > 0)
    mean = np.sum(share * rewards, axis=-1)
    return P, mean, np.sum(share * (rewards - mean[..., None]) ** 2, axis=-1)


def random_problem(seed, S=3, A=2, T=3, P=3, discount=0.8, rewards=2, ends=True, terminal=True, ending=0.0):
    """A problem as plain arrays: P(s_next, r | s, a) with `rewards` values of r, shared features, an end, a terminal reward."""
    rng = np.random.default_rng(seed)
    table = rng.random((S, A, S, rewards)) * (rng.random((S, A, S, 1)) < 0.8) + 1e-3
    table /= table.sum(axis=(2, 3), keepdims=True)
    table *= 1 - ending
    table[:, :, -1] += ending / rewards  # episodes are over sooner
    return SimpleNamespace(
        table=table,
        rewards=rng.normal(size=table.shape),
        start=rng.dirichlet(np.ones(S)),
        features=rng.normal(size=(S, A, P)),
        theta=0.5 * rng.normal(size=P),
        ends=np.arange(S) == S - 1 if ends else np.zeros(S, dtype=bool),
        terminal=rng.normal(size=S) if terminal else np.zeros(S),
        horizon=T,
        discount=discount,
    )


def system_of(problem, **changes):
    """The System of a random problem."""
    P, reward, variance = outcomes(problem.table, problem.rewards)
    options = dict(
        P=P,
        reward=reward,
        start=problem.start,
        policy=softmax(problem.features @ problem.theta),
        horizon=problem.horizon,
        jacobian=problem.features,
        discount=problem.discount,
        ends=problem.ends,
        reward_variance=variance,
        terminal_reward=problem.terminal,
    )
    return System(**{**options, **changes})


class Enumeration:
    """All trajectories of a problem: states (N, T + 1), actions and rewards (N, T), alive (N, T + 1), probability (N,)."""

    def __init__(self, problem, theta=None):
        theta = problem.theta if theta is None else theta
        logits = problem.features @ theta
        self.pi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        self.problem, self.T, self.S = problem, problem.horizon, len(problem.start)
        paths = [(p, [s], [], []) for s, p in enumerate(problem.start)]
        for _ in range(problem.horizon):
            paths = [longer for path in paths for longer in self._longer(path)]
        self.p = np.array([path[0] for path in paths])
        self.s, self.a, self.r = (np.array([path[k] for path in paths]) for k in (1, 2, 3))
        self.alive = ~problem.ends[self.s]
        gamma = problem.discount ** np.arange(self.T + 1)
        terminal = np.where(self.alive[:, -1], problem.terminal[self.s[:, -1]], 0.0)
        self.paid = gamma * np.column_stack([self.r, terminal])  # (N, T + 1)
        mean = np.einsum("sb,sbp->sp", self.pi, problem.features)
        self.of_actions = problem.features - mean[:, None]  # d log pi(a | s), (S, A, P)
        self.z = self.of_actions[self.s[:, :-1], self.a] * self.alive[:, :-1, None]
        self.to_go = np.cumsum(self.paid[:, ::-1], axis=1)[:, ::-1]
        self.R, self.Z = self.to_go[:, 0], self.z.sum(axis=1)
        self.V, self.Q = self._values()

    def _longer(self, path):
        p, states, actions, rewards = path
        s = states[-1]
        if self.problem.ends[s]:
            return [(p, [*states, s], [*actions, 0], [*rewards, 0.0])]
        found = []
        for a, q in enumerate(self.pi[s]):
            for (after, k), chance in np.ndenumerate(self.problem.table[s, a]):
                reward = self.problem.rewards[s, a, after, k]
                found.append((p * q * chance, [*states, after], [*actions, a], [*rewards, reward]))
        return found

    def _values(self):
        """Conditional means of the return to go, given the state, and given state and action."""
        A = self.pi.shape[1]
        V, Q = np.zeros((self.T + 1, self.S)), np.zeros((self.T, self.S, A))
        for t in range(self.T + 1):
            for s in range(self.S):
                here = (self.s[:, t] == s) & self.alive[:, t]
                V[t, s] = self._given(here, t)
                for a in range(A if t < self.T else 0):
                    Q[t, s, a] = self._given(here & (self.a[:, t] == a), t)
        return V, Q

    def _given(self, here, t):
        weight = self.p[here].sum()
        return self.p[here] @ self.to_go[here, t] / weight if weight > 0 else 0.0

    # ---- expectations over trajectories ----

    def mean(self, x):
        return self.p @ x

    def covariance(self, x, y):
        return self.p @ ((x - self.mean(x)) * (y - self.mean(y)))

    # ---- the estimators, (N, P) ----

    def total(self, b=0.0):
        return (self.R[:, None] - b) * self.Z

    def weighted(self, weights):
        """sum_t z_t w_t."""
        return np.einsum("nt,ntp->np", weights, self.z)

    def reward_to_go(self, b=None):
        b = np.zeros((self.T, self.S)) if b is None else b
        return self.weighted(self.to_go[:, :-1] - self.at_states(b))

    def at_states(self, b):
        return np.column_stack([b[t][self.s[:, t]] for t in range(self.T)])

    def at_actions(self, q):
        return np.column_stack([q[t][self.s[:, t], self.a[:, t]] for t in range(self.T)])

    def advantages(self, V, lam):
        """Generalized: sum_{k>=t} lam^{k-t} delta_k."""
        V = np.where(self.problem.ends, 0.0, V)
        after = np.column_stack([V[t + 1][self.s[:, t + 1]] for t in range(self.T - 1)] + [self.paid[:, -1]])
        delta = (self.paid[:, :-1] + after - self.at_states(V)) * self.alive[:, :-1]
        out = delta.copy()
        for t in reversed(range(self.T - 1)):
            out[:, t] += lam * out[:, t + 1]
        return out

    def all_actions(self, q):
        h = np.einsum("sa,tsa,sap->tsp", self.pi, q, self.of_actions)
        return sum(h[t][self.s[:, t]] * self.alive[:, t, None] for t in range(self.T))

    def trajectory_control_variate(self):
        A = (self.at_actions(self.Q) - self.at_states(self.V)) * self.alive[:, :-1]
        later = np.cumsum(A[:, ::-1], axis=1)[:, ::-1] - A
        return self.weighted(self.to_go[:, :-1] - self.at_actions(self.Q) - later) + self.all_actions(self.Q)
