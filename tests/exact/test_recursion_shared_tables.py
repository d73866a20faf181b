"""Rollouts of a table on common noise: against enumeration of all numbers that choose, and measurement of the alias method."""

import numpy as np

import mcgrad as mg
from mcgrad.exact.recursion import chain

e = mg.estimators
PROBABILITY = np.array([[[0.3, 0.7], [0.6, 0.4]], [[0.2, 0.8], [0.9, 0.1]]])
REWARD = np.array([[[1.0, -0.5], [0.3, 2.0]], [[-1.0, 0.7], [0.2, 0.0]]])
POLICY, START = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([0.4, 0.6])


def tenths():
    """Two steps whose probabilities all are tenths."""
    environment = mg.environments.tabular(PROBABILITY, REWARD, START)
    return mg.Problem(environment, mg.policies.softmax(2, 2), horizon=2, discount=0.9), np.log(POLICY).ravel()


def by_enumeration(problem, theta, sign):
    """Return the reward to go and its pair on noise u and 1 - u, of ten numbers for each of five choices, in plain NumPy."""
    u = (np.arange(10) + 0.5) / 10
    z, e0, w0, e1, w1 = (x.ravel() for x in np.meshgrid(*[u] * 5, indexing="ij"))

    def gradient(z, noise):
        s, scores, rewards = (z >= START[0]).astype(int), [], []
        for k, (e, w) in enumerate(noise):
            a = (e >= POLICY[s, 0]).astype(int)
            score = np.zeros((len(s), 2, 2))
            score[np.arange(len(s)), s] = np.eye(2)[a] - POLICY[s]
            after = (w >= PROBABILITY[s, a, 0]).astype(int)
            scores, rewards = [*scores, score], [*rewards, 0.9**k * REWARD[s, a, after]]
            s = after
        to_go = [rewards[0] + rewards[1], rewards[1]]
        return sum(x.reshape(len(x), 4) * y[:, None] for x, y in zip(scores, to_go, strict=True))

    first = gradient(z, [(e0, w0), (e1, w1)])
    other = gradient(1 - z, [(1 - e0, 1 - w0), (1 - e1, 1 - w1)])
    return first, (first + other) / 2


def test_pairs_by_enumeration(monkeypatch):
    """Mean, covariances and third and fourth moments to rounding; with noise that is the same for both, far from it."""
    problem, theta = tenths()
    alone, pair = by_enumeration(problem, theta, -1)
    chosen = {"pair": e.antithetic(e.reward_to_go()), "alone": e.reward_to_go()}
    found = mg.exact.moments(problem, theta, chosen, higher=True, full_covariance=True)
    assert "can be reached" in found.space and not found.change
    both = np.concatenate([pair, alone], axis=1)
    np.testing.assert_allclose(found.mean.ravel(), both.mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(found.covariances.reshape(8, 8), np.cov(both.T, bias=True), atol=1e-13)
    apart = pair - pair.mean(axis=0)
    np.testing.assert_allclose(found["pair"].third, (apart**3).mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(found["pair"].fourth, (apart**4).mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(mg.exact.variance(problem, theta, chosen["pair"]), pair.var(axis=0), atol=1e-13)
    monkeypatch.setattr(chain, "_mirrored", lambda x, kind: x)
    planted = mg.exact.moments(problem, theta, {"pair": chosen["pair"]})["pair"].variance
    assert np.all(np.abs(planted / pair.var(axis=0) - 1.0) > 0.1)


def test_perturbed_and_many_outcomes_measured(seed):
    """Six outcomes come by the alias method; random signs of theta are all that there are."""
    random = np.random.default_rng(3)
    table = mg.environments.tabular(random.dirichlet(np.ones(6), (6, 2)), random.normal(size=(6, 2, 6)), np.ones(6) / 6)
    policy = mg.policies.softmax_of_state(lambda s: (s[0] - 2.5, 1.0), 1, 2)
    problem = mg.Problem(table, policy, horizon=2)
    theta, count = 0.3 * np.arange(len(problem.parameters)), 30_000
    chosen = {"pair": e.antithetic(e.reward_to_go()), "SPSA": e.spsa(0.2)}
    measured = mg.measure(problem, theta, chosen, count, seed, progress=False, machine="numpy")
    for name, estimator in chosen.items():
        x, y = mg.exact.moments(problem, theta, {"x": estimator}, higher=True)["x"], measured[name]
        assert np.all(np.abs(y.mean - x.mean) < 5 * x.stderr(count)), name
        assert np.all(np.abs(y.variance - x.variance) < 5 * x.variance_stderr(count)), name
        assert not np.any(np.abs(1.2 * y.variance - x.variance) < 5 * x.variance_stderr(count)), name
