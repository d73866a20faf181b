"""What the tabular theory must satisfy: no horizon as the limit of long ones, invariances, precision, bad input."""

import numpy as np
import pytest
import tabular_leaves as tb
from tabular_cases import random_problem, system_of

from mcgrad.estimators import kinds
from mcgrad.exact import algebra

BASIC = [
    tb.ScoreFunction(),
    tb.ScoreFunction(0.7),
    tb.RewardToGo(),
    tb.GeneralizedAdvantage(0.6),
    tb.Critic(),
    tb.Advantage(),
    tb.AllActions(),
    tb.ActionControlVariate(),
    tb.TrajectoryControlVariate(),
    tb.Score(),
    tb.Return(),
]


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_no_horizon_is_the_limit_of_long_horizons(discount):
    problem = random_problem(21, S=4, A=2, P=3, discount=discount, terminal=False, ending=0.6)
    endless, long = system_of(problem, horizon=None), system_of(problem, horizon=40)
    assert tb.state_distribution(long)[-1, ~problem.ends].sum() < 1e-13
    np.testing.assert_allclose(tb.value(endless), tb.value(long)[0], rtol=1e-12)
    np.testing.assert_allclose(tb.action_value(endless), tb.action_value(long)[0], rtol=1e-12)
    np.testing.assert_allclose(tb.state_distribution(endless), tb.state_distribution(long).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(tb.gradient(endless), tb.gradient(long), rtol=1e-11)
    np.testing.assert_allclose(tb.gradient_by_recursion(endless), tb.gradient(endless), atol=1e-13)
    weights = discount ** np.arange(40)
    states = np.array([0.3, -0.2, 0.5, 0.0])
    pairs = [(X, X) for X in BASIC]
    pairs.append([tb.RewardToGo(tb.value_baseline(s)) for s in (endless, long)])
    along = weights[:, None] * states
    pairs.append((tb.RewardToGo(tb.state_baseline(endless, states)), tb.RewardToGo(tb.state_baseline(long, along))))
    scale = [np.sqrt(tb.variance(long, x)) for _, x in pairs]
    for k, (X, x) in enumerate(pairs):
        for j in {0, 3, 9, k}:
            Y, y = pairs[j]
            off = np.abs(tb.covariance(endless, X, Y) - tb.covariance(long, x, y))
            assert (off < 1e-11 * scale[k] * scale[j]).all(), (X, Y)
    b = tb.optimal_state_baseline(endless, tb.RewardToGo())
    best = tb.variance(endless, tb.RewardToGo(b))
    assert (best < tb.variance(endless, tb.RewardToGo(tb.value_baseline(endless)))).all()
    np.testing.assert_allclose(best, tb.variance(long, tb.RewardToGo(weights[:, None, None] * b)), rtol=1e-10)


def test_what_is_added_to_all_rewards_does_not_matter():
    """Nor does it cost precision: with baselines that know it, 1e6 more a step leaves 9 digits."""
    problem = random_problem(22, S=3, A=2, T=5, ends=False, terminal=False)
    system = system_of(problem)
    much = system_of(problem, reward=system.reward + 1e6)
    for of in (
        lambda s: tb.ScoreFunction(tb.objective(s)),
        lambda s: tb.RewardToGo(tb.value_baseline(s)),
        lambda s: tb.RewardToGo(tb.mean_to_go_baseline(s)),
        lambda s: tb.GeneralizedAdvantage(0.5),
        lambda s: tb.AllActions(),
        lambda s: tb.Return(),
    ):
        np.testing.assert_allclose(tb.variance(much, of(much)), tb.variance(system, of(system)), rtol=1e-8)


def test_known_identities():
    """Estimators that are the same, and those that are uncorrelated."""
    system = system_of(random_problem(23, S=3, A=3, T=4))
    V = tb.RewardToGo(tb.value_baseline(system))
    np.testing.assert_allclose(tb.variance(system, tb.GeneralizedAdvantage(1.0)), tb.variance(system, V), rtol=1e-12)
    difference = kinds.Difference((tb.GeneralizedAdvantage(1.0)(tb.theory_of(system)), V(tb.theory_of(system))))
    assert (algebra.variance(tb.theory_of(system), difference) < 1e-13 * tb.variance(system, V)).all()
    np.testing.assert_allclose(tb.covariance(system, tb.Return(), tb.Score()), tb.gradient(system), rtol=1e-12)
    assert np.abs(tb.covariance(system, tb.AllActions(), tb.Score())).max() > 1e-3  # not uncorrelated
    first, steps = tb.covariance_by_step(system, V, V)
    np.testing.assert_allclose(first + steps.sum(axis=(0, 1)), tb.variance(system, V), rtol=1e-14)
    H = tb.gradient_to_go(system)[0]
    np.testing.assert_allclose(first, system.start @ (H - system.start @ H) ** 2, rtol=1e-12)


def test_without_surprises_all_actions_are_certain():
    """Deterministic transitions and start, one state after the other: the sampled action decides everything."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 1] = P[0, 1, 2] = P[1, :, 1] = P[2, :, 2] = 1.0
    system = tb.System(P, [[0, 1], [2, 3], [5, 7]], [1, 0, 0], tb.softmax(np.zeros((3, 2))), horizon=1)
    assert not tb.variance(system, tb.AllActions()).any()
    two = tb.System(P, [[0, 1], [2, 3], [5, 7]], [1, 0, 0], tb.softmax(np.zeros((3, 2))), horizon=2)
    # the second step's sum over actions, +-1/4 (state 1) or +-1/2 (state 2), is met half of the time
    np.testing.assert_allclose(
        tb.variance(two, tb.AllActions()), [0, 0, 1 / 64, 1 / 64, 1 / 16, 1 / 16], rtol=1e-12, atol=1e-18
    )
    np.testing.assert_allclose(tb.gradient(two), [-1.125, 1.125, -0.125, 0.125, -0.25, 0.25], rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(P=np.ones((2, 2, 2))), "P: expected probabilities"),
        (dict(P=np.ones((2, 2))), r"P: expected shape \(S, A, S\)"),
        (dict(reward=np.zeros(3)), "reward: expected shape"),
        (dict(reward=np.full((2, 2), np.nan)), "reward: expected finite"),
        (dict(reward_variance=-1.0), "reward_variance: expected numbers >= 0"),
        (dict(start=[0.5, 0.6]), "start: expected probabilities"),
        (dict(policy=[[0.5, 0.5], [1.5, -0.5]]), "policy: expected probabilities"),
        (dict(jacobian=np.zeros((2, 3, 1))), "jacobian: expected shape"),
        (dict(ends=[0, 1]), "ends: expected 2 truth values"),
        (dict(horizon=0), "horizon: expected an integer"),
        (dict(horizon=2.5), "horizon: expected an integer"),
        (dict(discount=-0.1), "discount: expected a finite number"),
        (dict(horizon=None, terminal_reward=[1.0, 0.0]), "terminal_reward: expected none"),
    ],
)
def test_bad_systems(change, message):
    good = dict(P=np.full((2, 2, 2), 0.5), reward=np.zeros((2, 2)), start=[0.5, 0.5], policy=np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match=message):
        tb.System(**{**good, "horizon": 3, **change})


def test_bad_arguments():
    system = system_of(random_problem(24))
    endless = system_of(random_problem(24, ends=False, terminal=False), horizon=None)
    for call, message in [
        (lambda: tb.objective(endless), "horizon: expected a number, since"),
        (lambda: tb.variance(system, tb.GeneralizedAdvantage(0.5, np.zeros((3, 5)))), "b: expected shape"),
        (lambda: tb.state_baseline(system, np.zeros(5)), "b: expected shape"),
        (lambda: tb.time_baseline(system, np.zeros(5)), "b: expected a number or shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
