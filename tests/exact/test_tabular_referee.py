"""Every estimator of the tabular theory against the enumeration of all trajectories of small random problems."""

import numpy as np
import pytest
import tabular_leaves as tb
from tabular_cases import Enumeration, random_problem, system_of

PROBLEMS = {
    "ends, stochastic rewards, terminal reward": dict(seed=1, S=3, A=2, T=3),
    "long": dict(seed=2, S=2, A=2, T=4, discount=0.9, ends=False),
    "three actions": dict(seed=3, S=2, A=3, T=3, discount=1.0),
    "deterministic rewards": dict(seed=4, S=3, A=2, T=4, rewards=1, discount=0.5),
    "one step": dict(seed=5, S=3, A=3, T=1),
    "no discount to speak of": dict(seed=6, S=2, A=2, T=3, discount=0.0, ends=False),
}


@pytest.fixture(scope="module", params=PROBLEMS)
def pair(request):
    problem = random_problem(**PROBLEMS[request.param])
    return system_of(problem), Enumeration(problem)


def estimators(system, every):
    """The theory's estimators, and what they are by definition on each trajectory."""
    rng = np.random.default_rng(0)
    T, S, A, P = every.T, every.S, every.pi.shape[1], system.parameters
    over_time, per_parameter, states = rng.normal(size=T), rng.normal(size=P), rng.normal(size=(T, S))
    V, q = np.where(system.ends, 0, rng.normal(size=(T + 1, S))), rng.normal(size=(T, S, A))
    of_policy = np.sum(every.pi * q, axis=2)
    J = every.mean(every.R)
    to_go = np.array([every.mean(every.to_go[:, t]) for t in range(T)])
    found = {
        "total": (tb.ScoreFunction(), every.total()),
        "total, J": (tb.ScoreFunction(J), every.total(J)),
        "total, per parameter": (tb.ScoreFunction(per_parameter), every.total(per_parameter)),
        "total, states": (
            tb.ScoreFunction(0.3, tb.state_baseline(system, states)),
            every.total(0.3) - every.weighted(every.at_states(states)),
        ),
        "to go": (tb.RewardToGo(), every.reward_to_go()),
        "to go, constants": (
            tb.RewardToGo(tb.constant_baseline(system, per_parameter)),
            every.reward_to_go() - per_parameter * every.Z,
        ),
        "to go, times": (
            tb.RewardToGo(tb.time_baseline(system, over_time)),
            every.reward_to_go(over_time[:, None] * np.ones(S)),
        ),
        "to go, mean": (tb.RewardToGo(tb.mean_to_go_baseline(system)), every.reward_to_go(to_go[:, None] * np.ones(S))),
        "to go, states": (tb.RewardToGo(tb.state_baseline(system, states)), every.reward_to_go(states)),
        "to go, V": (tb.RewardToGo(tb.value_baseline(system)), every.reward_to_go(every.V)),
        "Q": (tb.Critic(), every.weighted(every.at_actions(every.Q))),
        "A": (tb.Advantage(), every.weighted(every.at_actions(every.Q) - every.at_states(every.V))),
        "all actions": (tb.AllActions(), every.all_actions(every.Q)),
        "gae 0": (tb.GeneralizedAdvantage(0.0), every.weighted(every.advantages(every.V, 0.0))),
        "gae 0.7": (tb.GeneralizedAdvantage(0.7), every.weighted(every.advantages(every.V, 0.7))),
        "gae 1": (tb.GeneralizedAdvantage(1.0), every.weighted(every.advantages(every.V, 1.0))),
        "qcv": (
            tb.ActionControlVariate(),
            every.reward_to_go() - every.weighted(every.at_actions(every.Q)) + every.all_actions(every.Q),
        ),
        "tcv": (tb.TrajectoryControlVariate(), every.trajectory_control_variate()),
        "score": (tb.Score(), every.Z),
        "return": (tb.Return(), np.repeat(every.R[:, None], P, axis=1)),
        "wrong Q": (tb.Critic(q), every.weighted(every.at_actions(q))),
        "wrong A": (tb.Advantage(q), every.weighted(every.at_actions(q) - every.at_states(of_policy))),
        "wrong all actions": (tb.AllActions(q), every.all_actions(q)),
        "wrong qcv": (
            tb.ActionControlVariate(q),
            every.reward_to_go() - every.weighted(every.at_actions(q)) + every.all_actions(q),
        ),
        "wrong gae": (tb.GeneralizedAdvantage(0.6, V), every.weighted(every.advantages(V, 0.6))),
    }
    return found


def test_values_and_distributions(pair):
    system, every = pair
    V, Q, mu = tb.value(system), tb.action_value(system), tb.state_distribution(system)
    for t in range(every.T):
        for s in range(every.S):
            here = (every.s[:, t] == s) & every.alive[:, t]
            if not system.ends[s]:
                np.testing.assert_allclose(mu[t, s], every.p[here].sum(), rtol=1e-12)
    np.testing.assert_allclose(V, every.V, atol=1e-13)
    np.testing.assert_allclose(Q, every.Q, atol=1e-13)
    np.testing.assert_allclose(tb.advantage(system), (every.Q - every.V[:-1, :, None]), atol=1e-13)
    np.testing.assert_allclose(tb.objective(system), every.mean(every.R), rtol=1e-12)
    np.testing.assert_allclose(tb.return_variance(system), every.covariance(every.R, every.R), rtol=1e-12)
    to_go = [every.mean(every.to_go[:, t]) for t in range(every.T)]
    np.testing.assert_allclose(tb.mean_return_to_go(system), to_go, atol=1e-13)


def test_the_gradient_four_ways(pair):
    """By the theorem, by the recursion of its proof, by finite differences of J, and as E[R Z]."""
    system, every = pair
    g = tb.gradient(system)
    np.testing.assert_allclose(tb.gradient_by_recursion(system), g, atol=1e-13)
    np.testing.assert_allclose(every.mean(every.total()), g, atol=1e-13)
    problem, step = every.problem, 1e-5
    for p, unit in enumerate(step * np.eye(len(g))):
        up, down = (tb.objective(system_of(problem, policy=softly(problem, s * unit))) for s in (1, -1))
        np.testing.assert_allclose((up - down) / (2 * step), g[p], atol=1e-9)


def softly(problem, shift):
    return tb.softmax(problem.features @ (problem.theta + shift))


def test_every_mean_and_covariance(pair):
    """25 estimators, all means and all covariances, three parameters each; some between different parameters, too."""
    system, every = pair
    found = estimators(system, every)
    for name, (X, samples) in found.items():
        np.testing.assert_allclose(tb.mean(system, X), every.mean(samples), atol=1e-12, err_msg=name)
        np.testing.assert_allclose(
            tb.variance(system, X), every.covariance(samples, samples), rtol=1e-11, atol=1e-14, err_msg=name
        )
    names = list(found)
    for k, one in enumerate(names):
        for two in names[:k]:
            (X, x), (Y, y) = found[one], found[two]
            scale = np.sqrt(every.covariance(x, x) * every.covariance(y, y)).max() + 1e-3
            off = np.abs(tb.covariance(system, X, Y) - every.covariance(x, y)).max()
            assert off < 1e-12 * scale, f"{one}, {two}: {off / scale}"
    for one, two in (
        ("total", "score"),
        ("to go, V", "gae 0.7"),
        ("wrong qcv", "total, per parameter"),
        ("score", "tcv"),
    ):
        (X, x), (Y, y) = found[one], found[two]
        truth = np.einsum("n,np,nq->pq", every.p, x - every.mean(x), y - every.mean(y))
        np.testing.assert_allclose(tb.covariance_matrix(system, X, Y), truth, rtol=1e-10, atol=1e-13, err_msg=one)


def test_the_referee_sees_a_dropped_discount(pair):
    """Planted error: z_t sum_{k>=t} gamma^(k-t) r_k, as in much code, is another estimator, and is biased."""
    system, every = pair
    gamma = every.problem.discount
    if gamma in (0.0, 1.0) or every.T == 1:
        return
    dropped = every.weighted(every.to_go[:, :-1] / gamma ** np.arange(every.T))
    assert np.abs(every.mean(dropped) / tb.mean(system, tb.RewardToGo()) - 1).max() > 1e-2
    assert np.abs(every.covariance(dropped, dropped) / tb.variance(system, tb.RewardToGo()) - 1).max() > 1e-2


def test_the_referee_sees_noise_that_is_left_out(pair):
    """Planted error: rewards replaced by their means have the same gradient but other variances."""
    system, every = pair
    quiet = tb.with_expected_rewards(system, "transition")
    np.testing.assert_allclose(tb.gradient(quiet), tb.gradient(system), atol=1e-13)
    x = every.reward_to_go()
    if system.reward_variance.any():
        assert (tb.variance(quiet, tb.RewardToGo()) < 0.99 * every.covariance(x, x)).all()


@pytest.mark.parametrize("given", ["action", "transition"])
def test_expected_rewards(given, pair):
    """Rewards replaced by their means on each trajectory."""
    system, every = pair
    quiet = tb.with_expected_rewards(system, given)
    P, mean, _ = tb.outcomes(every.problem.table, every.problem.rewards)
    mean = np.sum(P * mean, axis=2, keepdims=True) + 0 * mean if given == "action" else mean
    gamma, paid = every.problem.discount ** np.arange(every.T), every.paid.copy()
    paid[:, :-1] = gamma * mean[every.s[:, :-1], every.a, every.s[:, 1:]] * every.alive[:, :-1]
    to_go = np.cumsum(paid[:, ::-1], axis=1)[:, ::-1]
    for X, x in [
        (tb.ScoreFunction(), to_go[:, :1] * every.Z),
        (tb.RewardToGo(), every.weighted(to_go[:, :-1])),
    ]:
        np.testing.assert_allclose(tb.variance(quiet, X), every.covariance(x, x), rtol=1e-11)
