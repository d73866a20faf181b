"""Efficiency bounds of tables: against every trajectory, against derivatives of the law, and against the estimators."""

import numpy as np
import pytest
import tabular_leaves as tb
from tabular_cases import Enumeration, random_problem, system_of

PROBLEMS = {
    "ends, stochastic rewards, terminal reward": dict(seed=1, S=3, A=2, T=3),
    "without ends": dict(seed=2, S=2, A=2, T=3, discount=0.9, ends=False),
    "three actions": dict(seed=3, S=2, A=3, T=3, discount=1.0),
    "one step": dict(seed=5, S=3, A=3, T=1),
}
BOUNDS = {"tree": tb.tree_bound, "markov": tb.markov_bound, "stationary": tb.stationary_bound}


class Influence:
    """The parts of the influence functions on each trajectory, from conditional means over trajectories alone."""

    def __init__(self, problem):
        self.every = every = Enumeration(problem)
        self.problem, self.T, P = problem, every.T, problem.features.shape[2]
        gamma = problem.discount ** np.arange(self.T)
        alive, z = every.alive[:, :-1], every.z
        self.Z = np.cumsum(z, axis=1)
        later = np.cumsum((z * every.to_go[:, :-1, None])[:, ::-1], axis=1)[:, ::-1]  # sum_{k>=t} z_k G_k
        later = np.concatenate([later, np.zeros((len(later), 1, P))], axis=1)
        states = [(every.s[:, t],) for t in range(self.T + 1)]
        pairs = [(every.s[:, t], every.a[:, t]) for t in range(self.T)]
        self.dV = np.stack([self.given(states[t], later[:, t]) for t in range(self.T + 1)], axis=1)
        dQ = np.stack([self.given(pairs[t], later[:, t + 1]) for t in range(self.T)], axis=1)
        V = np.column_stack([every.V[t][every.s[:, t]] for t in range(self.T + 1)])
        paid = gamma * every.r
        self.omega = (paid + V[:, 1:] - every.at_actions(every.Q)) * alive
        self.n = (self.dV[:, 1:] - dQ) * alive[..., None]
        self.zeta = np.stack([self.given(pairs[t], self.Z[:, t]) for t in range(self.T)], axis=1) * alive[..., None]
        self.first = self.dV[:, 0] - every.mean(self.dV[:, 0])

    def given(self, what, x):
        """E[x | what], trajectory by trajectory."""
        _, group = np.unique(np.column_stack(what), axis=0, return_inverse=True)
        group, weights = group.ravel(), self.every.p[:, None]
        total, share = (np.zeros((group.max() + 1, x.shape[1])) for _ in range(2))
        np.add.at(total, group, weights * x)
        np.add.at(share, group, weights)
        return np.divide(total, share, out=np.zeros_like(total), where=share > 0)[group]

    def increments(self, model):
        """phi_t(s_t, a_t, r_t, s_{t+1}), (N, T, P); stationary: h*."""
        if model != "stationary":
            past = self.Z if model == "tree" else self.zeta
            return past * self.omega[..., None] + self.n
        every, problem = self.every, self.problem
        visits = np.array([[every.p[(every.s[:, t] == s)].sum() for s in range(every.S)] for t in range(self.T)])
        h = np.zeros_like(self.n)
        tables = self._tables()
        for t in range(self.T):  # what stage k would make of the transition of stage t
            s, a, after, r = every.s[:, t], every.a[:, t], every.s[:, t + 1], every.r[:, t]
            for k in range(self.T):
                zeta, dQ, dV = (x[k] for x in tables)
                V = (
                    every.V[k + 1]
                    if k + 1 < self.T
                    else problem.discount**self.T * np.where(problem.ends, 0, problem.terminal)
                )
                omega = problem.discount**k * r + V[after] - every.Q[k][s, a]
                phi = zeta[s, a] * omega[:, None] + dV[after] - dQ[s, a]
                h[:, t] += (visits[k][s] / visits.sum(axis=0)[s])[:, None] * phi
        return h * every.alive[:, :-1, None]

    def _tables(self):
        """zeta, dQ by state and action and dV_{k+1} by state, for pairs that a stage may never see: by recursions."""
        every, problem = self.every, self.problem
        P = problem.table.sum(axis=3) * ~problem.ends[:, None, None]
        z = every.of_actions * ~problem.ends[:, None, None]
        dV, dQs, dVs = np.zeros((every.S, z.shape[2])), [], []
        for k in reversed(range(self.T)):
            dVs.insert(0, dV)
            dQs.insert(0, P @ dV)
            dV = np.einsum("sa,sap->sp", every.pi, dQs[0] + z * every.Q[k][..., None])
        mu, m, zetas = problem.start, np.zeros_like(dV), []
        for _ in range(self.T):
            before = np.divide(m, mu[:, None], out=np.zeros_like(m), where=mu[:, None] > 0)
            zetas.append(before[:, None] + z)
            m = np.einsum("sa,sap,sax->xp", every.pi, m[:, None] + mu[:, None, None] * z, P)
            mu = np.einsum("s,sa,sax->x", mu, every.pi, P)
        return zetas, dQs, dVs

    def function(self, model):
        """The influence function, (N, P)."""
        return self.first + self.increments(model).sum(axis=1)


@pytest.fixture(scope="module", params=PROBLEMS)
def pair(request):
    problem = random_problem(**PROBLEMS[request.param])
    return system_of(problem), Influence(problem)


def matrix_of(x, p):
    x = x - p @ x
    return (p[:, None] * x).T @ x


@pytest.mark.parametrize("model", BOUNDS)
def test_bounds_are_the_second_moments_of_influence_functions(pair, model):
    system, influence = pair
    p = influence.every.p
    steps = influence.increments(model)
    exact = matrix_of(influence.first, p) + np.einsum("n,ntp,ntq->pq", p, steps, steps)
    bound = BOUNDS[model](system, matrix=True)
    np.testing.assert_allclose(bound, exact, rtol=1e-11, atol=1e-13 * np.abs(exact).max())
    np.testing.assert_allclose(BOUNDS[model](system), np.diag(bound), rtol=1e-12)
    if model != "stationary":  # whose terms are no martingale differences together
        np.testing.assert_allclose(matrix_of(influence.function(model), p), exact, rtol=1e-11, atol=1e-13)
    # Planted: without the news about the gradient to go, or with rewards less random, it is another number.
    others = (np.einsum("ntp,ntq->npq", steps - influence.n, steps - influence.n), 0.999 * exact)
    wrong = matrix_of(influence.first, p) + np.tensordot(p, others[0], 1)
    assert influence.T == 1 or np.abs(bound - wrong).max() > 1e-6
    assert np.abs(bound - others[1]).max() > 1e-6
    mean = np.abs(np.stack([influence.given(influence_pair(influence, t), steps[:, t]) for t in range(influence.T)]))
    assert mean.max() < 1e-13


def influence_pair(influence, t):
    return influence.every.s[:, t], influence.every.a[:, t]


@pytest.mark.parametrize("model", ["markov", "stationary"])
def test_derivatives_of_the_gradient_along_the_law_are_means_of_the_influence_function(pair, model):
    """Complex steps along random tangents of p_0 and P_t, of each time its own or all the same."""
    _, influence = pair
    problem, every, T = influence.problem, influence.every, influence.T
    rng = np.random.default_rng(0)
    phi = influence.function(model)
    kinds = np.argmin(np.abs(problem.rewards[every.s[:, :-1], every.a, every.s[:, 1:]] - every.r[..., None]), axis=2)
    for _ in range(3):
        h0 = rng.normal(size=every.S)
        h0 -= problem.start @ h0
        h = rng.normal(size=(T, *problem.table.shape))
        h = h if model == "markov" else np.repeat(h[:1], T, axis=0)
        h -= np.sum(problem.table * h, axis=(3, 4), keepdims=True)
        moved = gradient(problem, problem.start * (1 + 1e-20j * h0), problem.table * (1 + 1e-20j * h)).imag / 1e-20
        along = h0[every.s[:, 0]]
        for t in range(T):
            now = h[t][every.s[:, t], every.a[:, t], every.s[:, t + 1], kinds[:, t]]
            along = along + np.where(every.alive[:, t], now, 0.0)
        found = every.mean(phi * along[:, None])
        np.testing.assert_allclose(found, moved, atol=1e-13)
        if T > 1:  # planted: a past of this action alone
            wrong = influence.first + (every.z * influence.omega[..., None] + influence.n).sum(axis=1)
            assert np.abs(every.mean(wrong * along[:, None]) - moved).max() > 1e-6


def gradient(problem, start, tables):
    """dJ/dtheta for laws of each time their own, complex or not."""
    pi = tb.softmax(problem.features @ problem.theta)
    z = problem.features - np.einsum("sb,sbp->sp", pi, problem.features)[:, None]
    alive = ~problem.ends
    V, Q = problem.discount**problem.horizon * np.where(alive, problem.terminal, 0) + 0j, []
    for t in reversed(range(problem.horizon)):
        paid = problem.discount**t * problem.rewards + V[:, None]
        Q.insert(0, np.sum(tables[t] * paid, axis=(2, 3)) * alive[:, None])
        V = np.sum(pi * Q[0], axis=1)
    mu, total = start, 0.0
    for t in range(problem.horizon):
        total = total + np.einsum("s,sa,sap,sa->p", mu * alive, pi, z, Q[t])
        mu = np.einsum("s,sa,saxk->x", mu * alive, pi, tables[t])
    return total


def test_along_laws_that_remember_the_past_only_the_tree_is_right(pair):
    """E[X S] = E[phi S] for reward to go X, which is unbiased for every law, and any tangent S of the whole history."""
    _, influence = pair
    every, rng = influence.every, np.random.default_rng(1)
    X, wrong = every.reward_to_go(), 0.0
    for t in range(influence.T):
        history = (every.s[:, : t + 1], every.a[:, : t + 1], every.r[:, :t])
        S = rng.normal(size=len(np.unique(every.r[:, t]))) @ (every.r[:, t] == np.unique(every.r[:, t])[:, None])
        S = (S * every.s[:, 0] + every.s[:, t + 1] * (1 + every.a[:, 0]))[:, None]
        S = S - influence.given(history, S)
        found = every.mean(S * influence.function("tree"))
        np.testing.assert_allclose(found, every.mean(S * X), atol=1e-13)
        wrong = max(wrong, np.abs(every.mean(S * influence.function("markov")) - every.mean(S * X)).max())
    assert wrong > 1e-6 or influence.T == 1


UNBIASED = {
    "total": tb.ScoreFunction(1.3),
    "to go": tb.RewardToGo(),
    "action": tb.ActionControlVariate(),
    "trajectory": tb.TrajectoryControlVariate(),
    "doubly robust": tb.DoublyRobust(),
}
ORACLES = {
    "gae": tb.GeneralizedAdvantage(0.5),
    "A": tb.Advantage(),
    "all actions": tb.AllActions(),
}


def test_unbiased_estimators_have_one_covariance_with_the_influence_function(pair):
    system, influence = pair
    every, tree = influence.every, tb.tree_bound(system)
    rng = np.random.default_rng(2)
    T, S, A = every.T, every.S, every.pi.shape[1]
    more = {"any baseline": tb.RewardToGo(tb.state_baseline(system, rng.normal(size=(T, S))))}
    more["any critic"] = tb.ActionControlVariate(rng.normal(size=(T, S, A)))
    for name, X in (UNBIASED | more).items():
        np.testing.assert_allclose(tb.covariance(system, X, tb.DoublyRobust()), tree, rtol=1e-11, err_msg=name)
        assert (tb.variance(system, X) >= tree * (1 - 1e-12)).all()
    for name, X in ORACLES.items():
        if T > 1 or name != "gae":
            assert np.abs(tb.covariance(system, X, tb.DoublyRobust()) / tree - 1).max() > 1e-3, name
    markov = np.diag(tb.markov_bound(system, matrix=True))
    for x in (every.total(), every.reward_to_go(), every.trajectory_control_variate()):
        np.testing.assert_allclose(every.covariance(x, influence.function("markov")), markov, rtol=1e-11)


def test_the_estimator_that_attains_the_tree_bound(pair):
    """Doubly robust by its definition, and as the theory has it; its variance is all of the bound."""
    system, influence = pair
    every = influence.every
    ahead = np.cumsum(influence.omega[:, ::-1], axis=1)[:, ::-1]
    dQ = influence.dV[:, 1:] - influence.n
    own = (influence.dV[:, :-1] - dQ) * every.alive[:, :-1, None]
    found = every.weighted(ahead) + own.sum(axis=1)
    np.testing.assert_allclose(found, influence.function("tree") + every.mean(influence.dV[:, 0]), atol=1e-12)
    np.testing.assert_allclose(every.covariance(found, found), tb.variance(system, tb.DoublyRobust()), rtol=1e-11)
    np.testing.assert_allclose(tb.mean(system, tb.DoublyRobust()), tb.gradient(system), atol=1e-13)
    x = every.reward_to_go()
    both = tb.covariance(system, tb.DoublyRobust(), tb.RewardToGo())
    np.testing.assert_allclose(every.covariance(found, x), both, rtol=1e-11)
    gap = tb.variance(system, tb.TrajectoryControlVariate()) - tb.tree_bound(system)  # of the action's news alone
    average = influence.given((every.s[:, 0],), dQ[:, 0])
    if every.T > 1:
        assert gap.max() > 0 and np.abs(average - dQ[:, 0]).max() > 0


def test_known_values_and_long_horizons():
    P, r = [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]], [[1.0, 0.0], [0.0, 2.0]]
    system = tb.System(P, r, [0.6, 0.4], tb.softmax(np.array([[0.2, -0.1], [0.0, 0.4]])), 3, discount=0.9)
    known = {
        "markov": (0.0388454280607, 0.183369746051),
        "tree": (0.0434381929451, 0.187743784885),
        "stationary": (0.0273582943361, 0.151968604356),
    }
    for model, values in known.items():
        np.testing.assert_allclose(BOUNDS[model](system), np.repeat(values, 2), rtol=1e-11)
    problem = random_problem(5, S=4, A=3, T=200, ending=0.3, terminal=False)
    long, endless = system_of(problem), system_of(problem, horizon=None)
    for model in ("tree", "stationary"):
        for matrix in (False, True):
            np.testing.assert_allclose(BOUNDS[model](endless, matrix), BOUNDS[model](long, matrix), rtol=1e-12)
    with pytest.raises(ValueError, match="horizon: expected a number, since the Markov bound sums ratios"):
        tb.markov_bound(endless)


def test_a_certain_environment_leaves_the_start_alone():
    """Cov dV_0(s_0), whatever may be known."""
    problem = random_problem(7, S=3, A=2, T=4, rewards=1, ends=False)
    problem.table[:] = 0.0
    problem.table[np.arange(3)[:, None], np.arange(2), [[1, 2], [2, 0], [0, 0]]] = 1.0
    system = system_of(problem)
    dV = tb.gradient_to_go(system)[0]
    exact = (problem.start[:, None] * (dV - problem.start @ dV) ** 2).sum(axis=0)
    for bound in BOUNDS.values():
        np.testing.assert_allclose(bound(system), exact, rtol=1e-12)
