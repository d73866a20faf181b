"""One-step Gaussian costs and the Gaussian policy: kernels against exact values, all estimators on the same noise."""

import numpy as np
import pytest
from support import standard_errors

import mcgrad as mg

E, B = mg.estimators, mg.baselines
SF, PW = E.score_function(), E.reparameterization()
LADDER = {
    "SF": SF,
    "SF - J": E.score_function(B.mean_return()),
    "SF - b": E.reward_to_go(B.optimal_over_time()),
    "PW": PW,
    "SF pairs": E.antithetic(SF),
    "PW pairs": E.antithetic(PW),
    "mixture": E.mixture(SF, PW),
    "PW - c score": E.control_variate(PW, E.score()),
    "groups": E.leave_one_out(4),
}
COSTS = [
    mg.environments.quadratic_cost(-0.7),
    mg.environments.exponential_cost(0.6),
    mg.environments.cosine_cost(1.4),
]


@pytest.mark.parametrize("cost", COSTS, ids=lambda x: x.name)
def test_measured_is_exact(cost, seed):
    problem, theta = mg.Problem(cost, mg.policies.gaussian(1), horizon=1), [0.6, 0.8]
    best = mg.exact.coefficients(problem, theta, E.control_variate(PW, E.score()))
    ladder = LADDER | {"PW - c score": E.control_variate(PW, E.score(), best)}
    found = mg.measure(problem, theta, ladder, 1_000_000, seed)
    for name, estimator in ladder.items():
        mean, variance = mg.exact.mean(problem, theta, estimator), mg.exact.variance(problem, theta, estimator)
        np.testing.assert_allclose(mean, mg.exact.gradient(problem, theta), rtol=1e-10)
        if name == "PW - c score" and cost.name == "quadratic cost":
            # For the mean, 2 (x - k) and the score are one straight line: nothing is left.
            assert found[name].variance[0] < 1e-12
            continue
        assert standard_errors(found[name], mean, variance) < 5, name
    exact = mg.exact.covariance(problem, theta, SF, PW)
    # The variance of a product of deviations is at most the geometric mean of fourth moments (Cauchy and Schwarz).
    x, y = found["SF"], found["PW"]
    stderr = np.sqrt(np.sqrt(x.kurtosis * y.kurtosis) * x.variance * y.variance / x.count)
    assert (np.abs(found.covariance("SF", "PW") - exact) < 5 * stderr).all()
    # Such a test sees an error of 3 % in a variance, and one of 0.03 in the derivative with respect to the std.
    variance = mg.exact.variance(problem, theta, PW)
    assert standard_errors(found["PW"], mg.exact.gradient(problem, theta), 1.03 * variance) > 5
    assert standard_errors(found["PW"], mg.exact.gradient(problem, theta) + [0, 0.03], variance) > 5


def test_many_dimensions(seed):
    problem = mg.Problem(mg.environments.sum_cost(3), mg.policies.gaussian(3), 1)
    theta = [0.5, 0.5, -0.4, 1.0, 0.5, 2.0]
    ladder = {name: LADDER[name] for name in ("SF", "SF - J", "SF pairs", "PW")}
    found = mg.measure(problem, theta, ladder, 400_000, seed)
    for name, estimator in ladder.items():
        mean, variance = mg.exact.mean(problem, theta, estimator), mg.exact.variance(problem, theta, estimator)
        assert standard_errors(found[name], mean, variance) < 5, name
    constant = mg.Problem(mg.environments.constant_cost(3), mg.policies.gaussian(3), 1)
    samples = mg.sample(constant, theta, {"PW": PW, "SF": SF, "SF - J": LADDER["SF - J"]}, 5, machine="numpy")
    assert not samples["PW"].any() and samples["SF"].all() and not samples["SF - J"].any()


def test_the_score_is_the_derivative_of_the_log_density():
    policy = mg.policies.gaussian(2)
    theta, h = np.array([0.3, -0.2, 0.7, 1.6]), 1e-6
    rng = np.random.default_rng(0)
    for _ in range(5):
        e = tuple(rng.standard_normal(2))
        a = policy.sample(None, tuple(theta), e)
        differences = [
            (policy.log_prob(None, tuple(theta + h * u), a) - policy.log_prob(None, tuple(theta - h * u), a)) / (2 * h)
            for u in np.eye(4)
        ]
        np.testing.assert_allclose(policy.score(None, tuple(theta), a, e), differences, rtol=1e-7, atol=1e-8)


def test_a_fixed_std_is_the_same_policy():
    cost = COSTS[2]
    learned, fixed = (mg.Problem(cost, mg.policies.gaussian(1, std=x), 1) for x in (None, 0.8))
    chosen = {"SF": SF, "PW": PW}
    for name, values in mg.sample(learned, [0.6, 0.8], chosen, 50, machine="numpy").items():
        found = mg.sample(fixed, [0.6], chosen, 50, machine="numpy")[name]
        np.testing.assert_allclose(found[:, 0], values[:, 0], rtol=1e-12)
    assert fixed.parameters == ("mean[0]",) and learned.parameters == ("mean[0]", "std[0]")
    for estimator in LADDER.values():
        both = [mg.exact.variance(*pair, estimator)[0] for pair in ((learned, [0.6, 0.8]), (fixed, [0.6]))]
        assert both[0] == pytest.approx(both[1], rel=1e-12)


def test_a_std_that_is_not_positive():
    problem = mg.Problem(COSTS[2], mg.policies.gaussian(1), 1)
    up, down = (mg.sample(problem, [0.6, s], {"SF": SF, "PW": PW}, 20, machine="numpy") for s in (0.8, -0.8))
    # x = mean - 0.8 e is the sample with -e: the same distribution, dJ/dstd with the other sign.
    x = 0.6 - 0.8 * mg.rollout(problem, [0.6, 0.8], 20, machine="numpy").noise.action[:, 0, 0]
    np.testing.assert_allclose(down["PW"][:, 0], -1.4 * np.sin(1.4 * x), rtol=1e-12)
    np.testing.assert_allclose(down["SF"][:, 1], -up["SF"][:, 1] / np.cos(1.4 * (1.2 - x)) * np.cos(1.4 * x), rtol=1e-9)
    with pytest.warns(UserWarning, match="not finite: 50 of SF"):
        found = mg.measure(problem, [0.6, 0.0], {"SF": SF, "PW": PW}, 50, machine="numpy")
    assert found.nonfinite == {"SF": 50, "PW": 0}
    deterministic = mg.Problem(COSTS[2], mg.policies.gaussian(1, std=0.0), 1)
    np.testing.assert_allclose(mg.sample(deterministic, [0.6], {"PW": PW}, 3)["PW"], -1.4 * np.sin(0.84), rtol=1e-12)
    with pytest.raises(ValueError, match="no score function here: a standard deviation of the policy is 0"):
        mg.measure(deterministic, [0.6], {"SF": SF}, 10)


def test_bad_input():
    for call, message in (
        (lambda: mg.policies.gaussian(0), "m: expected a whole number >= 1, got 0"),
        (lambda: mg.policies.gaussian(2, std=[1.0]), r"std: expected shape \(2,\), got \(1,\)"),
        (lambda: mg.policies.gaussian(1, std=-0.1), r"std: expected standard deviations >= 0, got \[-0.1\]"),
        (lambda: mg.policies.gaussian(1, std=1.0, states=0), "states: expected a whole number >= 1, got 0"),
        (lambda: mg.environments.quadratic_cost("a"), "k: expected real numbers, got str 'a'"),
        (lambda: mg.environments.exponential_cost(-1.0), "k: expected a number >= 0.0, got -1.0"),
        (lambda: mg.environments.cosine_cost(np.nan), "k: expected finite numbers"),
        (lambda: mg.environments.sum_cost(0.5), "D: expected a whole number, got float 0.5"),
        (lambda: mg.environments.constant_cost(2, [1, 2]), r"c: expected shape \(\), got \(2,\)"),
        (lambda: mg.environments.sinusoid_on_parabola(np.inf), "w: expected finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_measure_valued_derivatives_of_one_step_are_all_the_same(seed):
    """Branches at one time are branches at all times, and without noise in the reward common noise is none."""
    problem, theta = mg.Problem(mg.environments.cosine_cost(1.58), mg.policies.gaussian(1), 1), [0.7, 0.5]
    kinds = {
        "common": mg.estimators.measure_valued(),
        "independent": mg.estimators.measure_valued("independent"),
        "one time": mg.estimators.measure_valued(times="one"),
    }
    found = mg.measure(problem, theta, kinds, 400_000, seed)
    for name, estimator in kinds.items():
        mean, variance = (f(problem, theta, estimator) for f in (mg.exact.mean, mg.exact.variance))
        assert standard_errors(found[name], mean, variance) < 5, name
