"""Reference cases and published numbers: bandits, two-state problems, the short corridor, a Bernoulli toy."""

import json
from pathlib import Path

import numpy as np
import pytest
import tabular_leaves as tb

from mcgrad import estimators as E
from mcgrad.exact import algebra

TOYS = json.loads((Path(__file__).parents[1] / "reference" / "toy_cases.json").read_text())


@pytest.mark.parametrize("case", TOYS["softmax"], ids=lambda case: f"{len(case['q'])} arms")
def test_softmax_bandits(case):
    noise = case["noise_var"]
    system = tb.bandit(case["q"], tb.softmax(np.array(case["theta"])), variances=0.0 if noise is None else noise)
    J, X = tb.objective(system), tb.ScoreFunction()
    shared, own = tb.total_optimal_constant(system, X), tb.optimal_constant(system, X)
    np.testing.assert_allclose(system.policy[0], case["pi"], rtol=1e-13)
    np.testing.assert_allclose(J, case["J"], rtol=1e-13)
    np.testing.assert_allclose(tb.gradient(system), case["grad"], rtol=1e-12)
    np.testing.assert_allclose(shared, case["b_trace"], rtol=1e-12)
    np.testing.assert_allclose(own, case["b_pp"], rtol=1e-12)
    found = {
        "sf": X,
        "sf_bJ": tb.ScoreFunction(J),
        "sf_bopt_trace": tb.ScoreFunction(shared),
        "sf_bopt": tb.ScoreFunction(own),
        "exactQ_bJ": tb.Advantage(),
        "all_action": tb.AllActions(),
    }
    assert set(found) == set(case["var"])
    for name, X in found.items():
        np.testing.assert_allclose(tb.variance(system, X), case["var"][name], rtol=1e-11, atol=1e-25, err_msg=name)


def test_noisy_bandit_by_direct_sums():
    """E[(r - b)^2 z_i^2] = sum_a pi_a ((q_a - b)^2 + var_a) (1{a = i} - pi_i)^2."""
    rng = np.random.default_rng(3)
    q, var, pi, b = rng.normal(size=5), rng.random(5), rng.dirichlet(np.ones(5)), 0.4
    system, z = tb.bandit(q, pi, variances=var), np.eye(5) - pi
    g = (pi * q) @ z
    np.testing.assert_allclose(tb.gradient(system), g, atol=1e-15)
    square = (pi * ((q - b) ** 2 + var)) @ z**2
    for X in (tb.ScoreFunction(b), tb.RewardToGo(tb.constant_baseline(system, b))):
        np.testing.assert_allclose(tb.variance(system, X), square - g**2, rtol=1e-13)
    np.testing.assert_allclose(tb.optimal_constant(system, tb.RewardToGo()), (pi * q) @ z**2 / (pi @ z**2), rtol=1e-13)
    np.testing.assert_allclose(tb.variance(system, tb.Advantage()), (pi * (q - pi @ q) ** 2) @ z**2 - g**2, rtol=1e-12)
    np.testing.assert_allclose(tb.variance(system, tb.ActionControlVariate()), (pi * var) @ z**2, rtol=1e-12)


@pytest.mark.parametrize("case", TOYS["mdp"], ids=lambda case: f"{case['name']} {case['param']}")
def test_two_states(case):
    system = tb.System(
        case["P"], case["r"], case["rho"], case["pi"], horizon=case["T"], discount=case["gamma"], jacobian=None
    )
    truth, p = case["results"], np.ravel_multi_index(case["param"], system.policy.shape)
    J, b = tb.objective(system), tb.optimal_constant(system, tb.ScoreFunction())
    found = {
        "J": np.full(4, J),
        "mean": tb.gradient(system),
        "var_return": tb.variance(system, tb.Return()),
        "total": tb.variance(system, tb.ScoreFunction()),
        "total_b": tb.variance(system, tb.ScoreFunction(case["b"])),
        "total_bJ": tb.variance(system, tb.ScoreFunction(J)),
        "b_opt": b,
        "total_bopt": tb.variance(system, tb.ScoreFunction(b)),
        "rtg": tb.variance(system, tb.RewardToGo()),
        "rtg_V": tb.variance(system, tb.RewardToGo(tb.value_baseline(system))),
        "A": tb.variance(system, tb.Advantage()),
        "Q": tb.variance(system, tb.Critic()),
        "aa": tb.variance(system, tb.AllActions()),
    }
    assert set(found) == set(truth)
    for name in truth:
        np.testing.assert_allclose(found[name][p], truth[name], rtol=1e-12, err_msg=name)


def test_three_arms():
    """Policy (.5, .3, .2), rewards (1, 2, 0): the answer to how the gradient in REINFORCE is computed, in numbers."""
    system = tb.bandit([1.0, 2.0, 0.0], [0.5, 0.3, 0.2])

    def total(X):
        return tb.variance(system, X).sum()

    assert np.allclose(tb.gradient(system), [-0.05, 0.27, -0.22], atol=1e-15)
    assert not tb.variance(system, tb.AllActions()).any()
    assert np.allclose(tb.variance(system, tb.ScoreFunction()), [0.4225, 0.5601, 0.0196], atol=1e-14)
    assert np.isclose(total(tb.ScoreFunction()), 1.0022, atol=1e-14)
    assert np.isclose(tb.objective(system), 1.1)
    assert np.isclose(total(tb.ScoreFunction(1.1)), 0.3048, atol=1e-14)
    best = tb.total_optimal_constant(system, tb.ScoreFunction())
    assert np.isclose(best, 1.06129, atol=5e-6)
    assert np.isclose(total(tb.ScoreFunction(best)), 0.303871, atol=5e-7)
    # groups of five
    theory = tb.theory_of(system)
    assert np.allclose(algebra.mean(theory, E.same_batch_mean(5)), 0.8 * tb.gradient(system))
    assert np.isclose(
        algebra.variance(theory, E.leave_one_out(5)).sum(), 0.08234, atol=1e-14
    )  # all 243 groups, in rationals
    assert np.isclose(total(tb.ScoreFunction(1.1)) / 5, 0.0610, atol=5e-5)
    assert np.isclose(total(tb.ScoreFunction()) / 5, 0.2004, atol=5e-5)


@pytest.mark.parametrize(
    ("t", "p", "gradient", "variance"),
    [
        (0.499, 0.5, 5.0e-4, 0.015625125),
        (0.499, 0.1, None, 0.0056611),
        (0.499, 0.9, None, 0.0055891),
        (0.45, 0.5, 0.025, 0.0159390625),
    ],
)
def test_bernoulli_toy(t, p, gradient, variance):
    """E (b - t)^2, b ~ Bernoulli(p), in the logit of p: Tucker et al. (2017), t = .45; Grathwohl et al. (2018), .499."""
    system = tb.bandit([t**2, (1 - t) ** 2], [1 - p, p], jacobian=[[0.0], [1.0]])
    f0, f1 = t**2, (1 - t) ** 2
    X = tb.ScoreFunction()
    np.testing.assert_allclose(tb.gradient(system)[0], p * (1 - p) * (1 - 2 * t), rtol=1e-11)
    np.testing.assert_allclose(tb.variance(system, X)[0], p * (1 - p) * ((1 - p) * f1 + p * f0) ** 2, rtol=1e-12)
    np.testing.assert_allclose(tb.variance(system, X)[0], variance, rtol=1e-5)
    if gradient is not None:
        np.testing.assert_allclose(tb.gradient(system)[0], gradient, rtol=1e-11)
    b = tb.optimal_constant(system, X)  # a variable of two values has a baseline of variance zero
    np.testing.assert_allclose(b, (1 - p) * f1 + p * f0, rtol=1e-12)
    assert tb.variance(system, tb.ScoreFunction(b))[0] < 1e-15 * tb.variance(system, X)[0]


def corridor(p, horizon=None):
    """The short corridor of Sutton & Barto (2018), section 13.1: states look alike, in the second one left is right."""
    P = np.zeros((4, 2, 4))
    P[0, 0, 0] = P[0, 1, 1] = P[1, 0, 2] = P[1, 1, 0] = P[2, 0, 1] = P[2, 1, 3] = P[3, :, 3] = 1.0
    features = np.zeros((4, 2, 1))
    features[:, 1] = 1.0
    return tb.System(
        P,
        -np.ones((4, 2)),
        start=[1, 0, 0, 0],
        policy=np.tile([1 - p, p], (4, 1)),
        horizon=horizon,
        jacobian=features,
        ends=np.arange(4) == 3,
    )


@pytest.mark.parametrize(("p", "J"), [(0.05, -82.105), (0.95, -44.211), (2 - np.sqrt(2), -11.656854)])
def test_short_corridor(p, J):
    system = corridor(p)
    formula, slope = (2 * p - 4) / (p * (1 - p)), 2 / (p - p**2) - (2 * p - 4) * (1 - 2 * p) / (p - p**2) ** 2
    np.testing.assert_allclose(tb.objective(system), formula, rtol=1e-13)
    np.testing.assert_allclose(tb.objective(system), J, atol=5e-4)
    for g in (tb.gradient(system), tb.gradient_by_recursion(system)):
        np.testing.assert_allclose(g, slope * p * (1 - p), rtol=1e-12, atol=1e-12)
    assert np.isclose(tb.state_distribution(system)[:3].sum(), -formula)  # each step costs one


def test_short_corridor_is_the_limit_of_long_horizons():
    endless, long = corridor(0.6), corridor(0.6, horizon=400)
    assert 0 < tb.state_distribution(long)[-1, :3].sum() < 1e-13
    for X in (tb.ScoreFunction(-10.0), tb.RewardToGo(), tb.Critic(), tb.GeneralizedAdvantage(0.9)):
        np.testing.assert_allclose(tb.variance(endless, X), tb.variance(long, X), rtol=1e-9, err_msg=str(X))
    both = [tb.variance(s, tb.RewardToGo(tb.value_baseline(s))) for s in (endless, long)]
    np.testing.assert_allclose(*both, rtol=1e-9)
