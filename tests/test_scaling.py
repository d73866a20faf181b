"""How exact variances scale with noise, horizon, discount and dimension, and folk inequalities that fail."""

import dataclasses

import numpy as np
import pytest
from support import CASES, reference_problem

import mcgrad as mg
from mcgrad import baselines, estimators

sf, rtg, gae = estimators.score_function, estimators.reward_to_go, estimators.generalized_advantage


def chosen():
    """Return {name: estimator}: with Monte Carlo returns, with a value function, and with action gradients."""
    return {
        "total": sf(),
        "total_bopt": sf(baselines.total_optimal_constant()),
        "rtg": rtg(),
        "rtg_bopt": rtg(baselines.total_optimal_constant()),
        "rtg_bt": rtg(baselines.mean_to_go()),
        "Q": estimators.q_function(),
        "rtg_V": rtg(baselines.value()),
        "gae(0.5)": gae(0.5),
        "gae(0)": gae(0.0),
        "qcv": estimators.action_control_variate(),
        "qprop": estimators.action_control_variate(first_order=True),
        "traj": estimators.trajectory_control_variate(),
        "A": estimators.advantage(),
        "aa": estimators.all_actions(),
        "svg0": estimators.value_gradient(),
        "sh2": estimators.short_horizon(2),
        "pw": estimators.reparameterization(),
    }


def canonical(horizon, std=0.5, noise=0.04, pole=0.6, cov=1.0, mean=0.0, discount=1.0):
    """Return the canonical scalar problem, a = .9, b = .5, q = 1, r = .1, with a closed-loop pole."""
    environment = mg.environments.linear_quadratic(
        [[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[noise]], initial_mean=[mean], initial_cov=[[cov]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=std)
    return mg.Problem(environment, policy, horizon, discount), policy.theta([(pole - 0.9) / 0.5])


def variances(problem, theta, names=None):
    every = chosen()
    return {name: mg.exact.variance(problem, theta, every[name])[0] for name in names or every}


def slopes(make, one, two):
    """Return the slopes of log variance against log x between two x."""
    a, b = variances(*make(one)), variances(*make(two))
    return {name: np.log(b[name] / a[name]) / np.log(two / one) for name in a}


def expect(found, tolerance, groups):
    """Check {value: "names"}; every estimator has to be in one of the groups."""
    named = {name: value for value, names in groups.items() for name in names.split()}
    assert set(named) == set(found)
    for name, value in named.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name


RETURNS = "total total_bopt rtg rtg_bopt rtg_bt Q"
VALUES = "rtg_V gae(0.5) gae(0) qcv qprop traj"
GRADIENTS = "A aa svg0 sh2 pw"


# ---- exploration and process noise ------------------------------------------------------------------------------


def test_little_exploration():
    """std^-2 wherever a score meets what it did not cause: process noise too, unless the value function sees it all."""
    found = slopes(lambda std: canonical(4, std=std), 1e-4, 1e-3)
    expect(found, 0.001, {-2: f"{RETURNS} {VALUES}", 0: GRADIENTS})
    found = slopes(lambda std: canonical(4, std=std, noise=0.0), 1e-4, 1e-3)
    expect(found, 0.001, {-2: RETURNS, 0: f"{VALUES} {GRADIENTS}"})


def test_much_exploration():
    expect(slopes(lambda std: canonical(4, std=std), 1e3, 1e4), 0.001, {4: f"{RETURNS} {VALUES} {GRADIENTS}"})


def test_much_process_noise():
    found = slopes(lambda noise: canonical(4, noise=noise), 1e6, 1e8)
    expect(found, 0.001, {3: f"{RETURNS} {VALUES}", 2: GRADIENTS})


def test_little_exploration_on_the_log_scale():
    """The gradient is of order std^2: the score function's variance stays, that of critics falls as std^2."""

    def of_scale(std, estimator):
        problem, theta = canonical(4, std=std)
        policy = mg.policies.linear_gaussian(1, 1, std=std, learn_std=True)
        problem = dataclasses.replace(problem, policy=policy)
        return mg.exact.variance(problem, policy.theta(theta[:1]), estimator)[1]

    for name, slope in {"total": 0, "rtg": 0, "rtg_V": 0, "A": 2, "svg0": 2, "pw": 2}.items():
        estimator = chosen()[name]
        found = np.log10(of_scale(1e-3, estimator) / of_scale(1e-4, estimator))
        assert found == pytest.approx(slope, abs=0.01), name
    assert of_scale(1e-3, estimators.all_actions()) == 0


# ---- horizon --------------------------------------------------------------------------------------------------------


def test_horizon_stable():
    found = slopes(lambda T: canonical(T, pole=0.5), 800, 1600)
    groups = {
        3: "total rtg rtg_bopt Q",
        2: "total_bopt rtg_bt rtg_V qcv qprop traj",
        1: "gae(0.5) gae(0) A aa svg0 sh2 pw",
    }
    expect(found, 0.07, groups)
    v = variances(*canonical(1600, pole=0.5))
    assert v["total"] / v["rtg"] == pytest.approx(3, rel=0.01)
    assert v["rtg"] / v["rtg_bopt"] == pytest.approx(4, rel=0.01)
    # The exact value function buys nothing over E G_t in the leading order.
    assert v["rtg_bt"] / v["rtg_V"] == pytest.approx(1, rel=0.02)
    assert 2 < v["total_bopt"] / v["rtg_V"] < 4


def test_horizon_marginal():
    """Pole 1: all of order T^6, as the squared gradient."""
    problem, theta = canonical(800, pole=1.0)
    v, g = variances(problem, theta), mg.exact.gradient(problem, theta)[0]
    half = variances(*canonical(400, pole=1.0))
    for name in v:
        assert np.log2(v[name] / half[name]) == pytest.approx(6, abs=0.15), name
    assert v["pw"] / g**2 == pytest.approx(2, rel=0.01)
    assert v["aa"] / v["pw"] == pytest.approx(0.6, rel=0.01)
    assert v["gae(0)"] / v["pw"] == pytest.approx(0.6, rel=0.03)
    assert v["rtg_V"] / v["pw"] == pytest.approx(2, rel=0.1)
    assert 1.8 < v["total"] / v["rtg"] < 2.1


def test_horizon_unstable():
    """Pole 1.2, rates in units of log pole: 6 for returns, 4 (times T^2) wherever the value function is subtracted."""
    short, long = (variances(*canonical(T, pole=1.2)) for T in (60, 120))
    rate = {name: np.log(long[name] / short[name]) / (60 * np.log(1.2)) for name in short}
    # T^2 adds log 4 / (60 log 1.2) = 0.127.
    expect(rate, 0.02, {6: RETURNS, 4.134: f"{VALUES} A aa svg0 sh2 pw"})
    v = variances(*canonical(120, pole=1.2), ["rtg_V", "pw", "aa"])
    assert 1 < v["rtg_V"] / v["pw"] < 1.1 and 0.9 < v["aa"] / v["pw"] < 1


def test_horizon_discounted():
    """The scores go on: the whole return grows as T, all else saturates."""
    found = slopes(lambda T: canonical(T, pole=0.5, discount=0.9), 400, 800)
    for name, slope in found.items():
        expected = 1.0 if name.startswith("total") else 0.0
        assert slope == pytest.approx(expected, abs=0.1), name


def test_optimal_quadratic_baseline_beats_the_pathwise_gradient():
    """Pole 1, exploration alone: T^5 against T^6."""
    for T, ratio in ((12, 0.73), (20, 0.44), (40, 0.22)):
        problem, theta = canonical(T, noise=0.0, cov=0.0, pole=1.0)
        best = mg.exact.variance(problem, theta, rtg(baselines.optimal_quadratic()))
        pathwise = mg.exact.variance(problem, theta, estimators.reparameterization())
        assert best / pathwise == pytest.approx(ratio, abs=0.005)


# ---- dimension ------------------------------------------------------------------------------------------------------


def test_independent_copies():
    """m copies of a system: the first copy's gradient has a variance quadratic, linear or constant in m."""

    def copies(m):
        eye = np.eye(m)
        environment = mg.environments.linear_quadratic(0.9 * eye, 0.5 * eye, eye, 0.1 * eye, process_noise=0.04 * eye)
        policy = mg.policies.linear_gaussian(m, m, std=0.5)
        return variances(mg.Problem(environment, policy, 4), policy.theta(-0.6 * eye))

    table = [copies(m) for m in range(1, 6)]
    orders = {3: "total rtg", 2: "rtg_V rtg_bt gae(0.5) A", 1: "pw svg0 aa sh2"}
    for order, names in orders.items():
        for name in names.split():
            values = np.array([row[name] for row in table])
            assert np.abs(np.diff(values, order)).max() < 1e-11 * values.max(), name
            if order > 1:
                assert np.abs(np.diff(values, order - 1)).min() > 1e-3 * values[0], name


# ---- one step: the score function is never better ---------------------------------------------------------------


def one_step(rng):
    """Return a random scalar problem with T = 1 and nonnegative costs, its log scale learned."""
    q, r, terminal, noise, cov = rng.exponential(size=5) * rng.integers(0, 2, 5)
    environment = mg.environments.linear_quadratic(
        [[rng.normal()]],
        [[rng.normal()]],
        [[q]],
        [[r + 0.01]],
        terminal_cost=[[terminal]],
        process_noise=[[noise]],
        initial_mean=[rng.normal()],
        initial_cov=[[cov]],
    )
    policy = mg.policies.linear_gaussian(1, 1, std=10 ** rng.uniform(-1, 1), learn_std=True)
    return mg.Problem(environment, policy, 1), policy.theta(rng.normal(size=1))


def test_one_step_bounds():
    """Var SF / Var PW >= 3/2 (3) with any baseline, 5/2 (7) with V, 15/4 (37/4) with none, for K (for log std)."""
    rng = np.random.default_rng(0)
    lowest = np.full((3, 2), np.inf)
    for _ in range(150):
        problem, theta = one_step(rng)
        pathwise = mg.exact.variance(problem, theta, estimators.reparameterization())
        for k, baseline in enumerate((baselines.optimal_quadratic(), baselines.value(), None)):
            score = mg.exact.variance(problem, theta, rtg(baseline))
            ratio = np.divide(score, pathwise, out=np.full(2, np.inf), where=pathwise > 0)
            lowest[k] = np.minimum(lowest[k], ratio)
    bounds = np.array([[3 / 2, 3], [5 / 2, 7], [15 / 4, 37 / 4]])
    assert np.all(lowest > bounds * (1 - 1e-9))
    assert np.all(lowest < 1.1 * bounds), lowest / bounds  # and they are nearly tight


def test_one_step_bounds_are_tight():
    problem, theta = canonical(1, std=1e4)
    v = variances(problem, theta, ["rtg_V", "pw"])
    assert v["rtg_V"] / v["pw"] == pytest.approx(5 / 2, rel=1e-6)
    best = mg.exact.variance(problem, theta, rtg(baselines.optimal_quadratic()))[0]
    assert best / v["pw"] == pytest.approx(3 / 2, rel=1e-6)


# ---- folk inequalities that fail --------------------------------------------------------------------------------


def case(name):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"], learn_std=False)


def of(name, *which):
    problem, theta = case(name)
    return [mg.exact.variance(problem, theta, x)[0] for x in which]


def test_the_value_function_is_not_the_best_baseline():
    V, improved = of("S11", rtg(baselines.value()), rtg(baselines.optimal_over_time(base=baselines.value())))
    assert (V, improved) == pytest.approx((57276.772, 26628.891), rel=1e-6)
    in_time, V = of("S12", rtg(baselines.optimal_over_time()), rtg(baselines.value()))
    assert in_time < 0.75 * V


def test_the_textbook_optimum_over_time_is_not_optimal():
    naive, best = of("S11", rtg(baselines.naive_optimal_over_time()), rtg(baselines.optimal_over_time()))
    assert (naive, best) == pytest.approx((94157.156, 69483.04), rel=1e-6)


def test_integrating_the_action_out_can_hurt():
    """Action cost alone at pole 1: the terms of different times are correlated, and BPTT has them cancel."""
    aa, svg0, pw = of("S12", estimators.all_actions(), estimators.value_gradient(), estimators.reparameterization())
    assert aa / pw == pytest.approx(21.683, rel=1e-4)
    assert svg0 / pw == pytest.approx(12.260, rel=1e-4)
    assert aa > svg0


def test_a_constant_baseline_can_ruin_reward_to_go():
    plain, with_J = of("S13", rtg(), rtg(baselines.mean_return()))
    assert with_J / plain == pytest.approx(15.188, rel=1e-4)
    total, to_go = of("S13", sf(baselines.optimal_constant()), rtg(baselines.optimal_constant()))
    assert (total, to_go) == pytest.approx((239.51, 5727.05), rel=1e-4)


@pytest.mark.parametrize(
    ("seed", "one", "two", "ratio"),
    [
        (543, "gae(0)", "gae(1)", 1.2046),  # a shorter trace with the exact V
        (543, "Q", "rtg", 1.2826),  # the exact Q in place of the return that was sampled
        (543, "qprop", "rtg_V", 1.1691),  # knowing the slope in the action, too
        (2128, "rtg", "total", 1.0069),  # without the rewards that came before
        (1055, "A", "gae(0)", 1.0042),  # the exact advantage in place of the temporal-difference error
        (2366, "rtg_btnaive", "rtg_bt", 1.1596),  # the textbook's optimum over time in place of the mean
        (1413, "aa", "svg0", 2.4853),  # integrating the action out
        (1413, "aa", "pw", 3.4183),  # ... with an exact critic, against back-propagation through time
    ],
)
def test_less_noise_in_each_term_can_be_more_in_the_sum(seed, one, two, ratio):
    """Found among 2500 random systems with nonnegative costs; in 5 % (Q) of them to one (rtg)."""
    problem, theta = random_stable(seed)
    every = chosen() | {"gae(1)": gae(1.0), "rtg_btnaive": rtg(baselines.naive_optimal_over_time())}
    x, y = (mg.exact.variance(problem, theta, every[name]) for name in (one, two))
    assert np.max(x / y) == pytest.approx(ratio, rel=1e-3)


def test_never_seen_to_fail():
    """No proof: no counterexample in 60 of the same systems (nor in 2500)."""
    for seed in range(60):
        problem, theta = random_stable(seed)
        names = ("rtg", "rtg_V", "qcv", "traj", "A", "aa")
        v = {name: mg.exact.variance(problem, theta, chosen()[name]) for name in names}
        for one, two in (("rtg_V", "rtg"), ("qcv", "rtg_V"), ("traj", "qcv"), ("aa", "A")):
            assert np.all(v[one] <= v[two] * (1 + 1e-9)), (seed, one, two)


def random_stable(seed):
    """Return (problem, theta): n, m up to 2, T up to 12, nonnegative costs, closed loop of radius 0.3 to 1.1."""
    rng = np.random.default_rng(seed)
    n, m, T = rng.integers(1, 3), rng.integers(1, 3), int(rng.integers(1, 13))

    def psd(k, size):
        root = rng.normal(size=(k, k))
        return size * root @ root.T / k

    A, B, K = rng.normal(size=(n, n)), rng.normal(size=(n, m)), 0.3 * rng.normal(size=(m, n))
    closed = A + B @ K
    closed *= rng.uniform(0.3, 1.1) / np.abs(np.linalg.eigvals(closed)).max()
    environment = mg.environments.linear_quadratic(
        closed - B @ K,
        B,
        psd(n, rng.random()),
        psd(m, rng.random()),
        terminal_cost=psd(n, rng.random()),
        process_noise=psd(n, 10 ** rng.uniform(-2, 0.3) * (rng.random() < 0.8)),
        initial_mean=rng.normal(size=n) * (rng.random() < 0.5),
        initial_cov=psd(n, 10 ** rng.uniform(-2, 0.3)),
    )
    policy = mg.policies.linear_gaussian(n, m, std=rng.uniform(0.1, 2, m))
    return mg.Problem(environment, policy, T), policy.theta(K)
