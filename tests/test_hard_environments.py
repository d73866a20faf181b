"""Environments on which pathwise gradients are biased or explode: kernels against exact values and plain NumPy."""

import warnings

import numpy as np
import pytest
from jump_bias import pathwise_bias
from support import standard_errors

import mcgrad as mg

E, B, envs = mg.estimators, mg.baselines, mg.environments
SF, PW = E.score_function(), E.reparameterization()
LADDER = {
    "SF": SF,
    "SF - b": E.reward_to_go(B.optimal_over_time()),
    "PW": PW,
    "SF pairs": E.antithetic(SF),
    "mixture": E.mixture(SF, PW),
}


def one(environment, std):
    return mg.Problem(environment, mg.policies.gaussian(1, std=std), horizon=1)


def measure(problem, *arguments, **options):
    """Measure, with the warning of an environment that jumps taken for granted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mg.DiscontinuityWarning)
        return mg.measure(problem, *arguments, **options)


ONE_STEP = {
    "step": (one(envs.step_reward(), 0.2), [0.1]),
    "ramp": (one(envs.linear_ramp(0.1), 0.2), [0.1]),
    "ball": (one(envs.ball_with_wall(), 0.05), [0.6932]),
    "ripples": (one(envs.sinusoid_on_parabola(30.0), 0.3), [3.0]),
}


@pytest.mark.parametrize("name", ONE_STEP)
def test_measured_is_exact(name, seed):
    problem, theta = ONE_STEP[name]
    ladder = LADDER if name != "step" else {k: x for k, x in LADDER.items() if k != "mixture"}
    found = measure(problem, theta, ladder, 1_000_000, seed)
    gradient = mg.exact.gradient(problem, theta)
    for key, estimator in ladder.items():
        mean, variance = mg.exact.mean(problem, theta, estimator), mg.exact.variance(problem, theta, estimator)
        if key.startswith("SF"):
            np.testing.assert_allclose(mean, gradient, rtol=1e-12)
        if not variance.any():
            assert name == "step" and found[key].mean == found[key].variance == mean == 0.0
            continue
        assert standard_errors(found[key], mean, variance) < 5, key
        # The test has power: 4 % more variance would be seen.
        assert standard_errors(found[key], mean, 1.04 * variance) > 5, key


@pytest.mark.parametrize("name", ["step", "ball"])
def test_the_bias_is_the_jumps(name, seed):
    """E[pathwise] - dJ/dtheta = -sum_j D_j phi(z_j) / std: nothing else is lost, and nothing less."""
    problem, theta = ONE_STEP[name]
    found = measure(problem, theta, {"PW": PW, "SF": LADDER["SF - b"]}, 1_000_000, seed)
    variance = found["PW"].variance + found["SF"].variance - 2 * found.covariance("PW", "SF")
    bias, error = found["PW"].mean - found["SF"].mean, np.sqrt(variance / 1_000_000)
    lost = pathwise_bias(problem, theta)
    assert np.abs(bias - lost) < 3 * error
    assert np.abs(lost) > 100 * error


def test_a_mixture_believes_the_biased_one(seed):
    """The weights of least variance go to the estimator that is precise and wrong."""
    problem, theta = ONE_STEP["ball"]
    mixture = E.mixture(SF, PW)
    mean, gradient = mg.exact.mean(problem, theta, mixture), mg.exact.gradient(problem, theta)
    assert np.abs(mean - gradient) > 0.9 * np.abs(gradient)


def test_discontinuities_warn_once():
    for make, what in ((envs.step_reward, "all of the gradient is lost"), (envs.ball_with_wall, "the jumps add")):
        problem = one(make(), 0.2)
        with pytest.warns(mg.DiscontinuityWarning, match=f"biased: .*{what}.*score_function"):
            mg.sample(problem, [0.1], {"PW": PW}, 3, machine="numpy")
        mg.sample(problem, [0.1], {"PW": PW}, 3, machine="numpy")  # warnings are errors here
        mg.sample(one(make(), 0.2), [0.1], {"SF": SF}, 3, machine="numpy")


# ---- derivatives and machines ------------------------------------------------------------------------------------

MANY = {
    **ONE_STEP,
    "quadratic": (mg.Problem(envs.quadratic_cost(0.3), mg.policies.gaussian(1), 1), [0.4, 0.7]),
    "exponential": (mg.Problem(envs.exponential_cost(0.8), mg.policies.gaussian(1), 1), [0.4, 0.7]),
    "cosine": (mg.Problem(envs.cosine_cost(1.7), mg.policies.gaussian(1), 1), [0.4, 0.7]),
    "sum": (mg.Problem(envs.sum_cost(2), mg.policies.gaussian(2), 1), [0.4, 0.7, 0.5, 1.0]),
    "constant": (mg.Problem(envs.constant_cost(2), mg.policies.gaussian(2), 1), [0.4, 0.7, 0.5, 1.0]),
    "friction": (mg.Problem(envs.coulomb_friction(15.0), mg.policies.gaussian(1, states=2), 12, 0.9), [0.8, 0.1]),
    "chaos": (mg.Problem(envs.chaotic_map(2.8), mg.policies.gaussian(1), 6, 0.9), [0.1, 0.3]),
    "influence": (mg.Problem(envs.influence_balancing(5, 2), mg.policies.gaussian(1, states=5), 9), [0.5, 0.1]),
}
KINKS = {"step": 0, "ramp": 1, "ball": 1, "friction": 12}  # that a trajectory may meet; it meets few within 1e-5


def returns(problem, theta, count):
    path = mg.rollout(problem, theta, count, seed=4, machine="numpy")
    return path.rewards @ problem.weights()[:-1]


@pytest.mark.parametrize("name", MANY)
def test_pathwise_equals_finite_differences(name):
    problem, theta = MANY[name]
    rng, h = np.random.default_rng(3), 1e-5
    for _ in range(3):
        at = np.array(theta) * (1 + 0.2 * rng.standard_normal(len(theta)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mg.DiscontinuityWarning)
            found = mg.sample(problem, at, {"PW": PW}, 300, seed=4, machine="numpy")["PW"]
        columns = []
        for unit in np.eye(len(at)):
            near, far = (
                (returns(problem, at + k * h * unit, 300) - returns(problem, at - k * h * unit, 300)) / (2 * k * h)
                for k in (1, 2)
            )
            columns.append((4 * near - far) / 3)
        error = np.abs(found - np.array(columns).T) / (1e-3 + np.abs(found).max(axis=0))
        assert np.quantile(error, 0.99 if name in KINKS else 1.0) < 1e-6


@pytest.mark.parametrize(
    "name", sorted(MANY.keys() - {"constant", "sum", "quadratic"})
)  # which say nothing that the others do not
def test_machines_agree(name):
    problem, theta = MANY[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mg.DiscontinuityWarning)
        # Numba takes its time for the scalar machine: a ball that meets a wall speaks for all of them.
        plain, *compiled = (
            mg.sample(problem, theta, {"PW": PW, "SF": SF}, 100, machine=machine)
            for machine in ("numpy", "simd", *(["scalar"] if name == "ball" else []))
        )
    for key, expected in plain.items():
        for found in compiled:
            np.testing.assert_allclose(found[key], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


# ---- several steps -----------------------------------------------------------------------------------------------


def test_chaos_is_measured_as_computed(seed):
    """Mean and variance at three horizons; the pathwise variance passes the score function's."""
    chosen = {"PW": PW, "SF": SF, "RTG": E.reward_to_go(B.mean_to_go())}
    variances = []
    for T in (2, 4, 6):
        problem, theta = mg.Problem(envs.chaotic_map(), mg.policies.gaussian(1), T, 0.95), [0.1, 0.3]
        found = mg.measure(problem, theta, chosen, 400_000, seed)
        for name, estimator in chosen.items():
            variance = mg.exact.variance(problem, theta, estimator)
            assert standard_errors(found[name], mg.exact.gradient(problem, theta), variance) < 5, (T, name)
        variances.append([found[name].variance[0] for name in ("RTG", "PW")])
    assert variances[0][0] > variances[0][1] / 1.5 and variances[2][1] > 20 * variances[2][0]


def test_stiff_friction_explodes(seed):
    """One mean by two estimators where the step is stable; where it is not, the pathwise variance is out of bounds."""
    of_policy = mg.policies.gaussian(1, std=0.1, states=2)
    found = {}
    for stiffness in (5.0, 20.0, 100.0):
        problem = mg.Problem(envs.coulomb_friction(stiffness), of_policy, horizon=60)
        found[stiffness] = mg.measure(problem, [0.8], {"SF": E.reward_to_go(-0.5), "PW": PW}, 200_000, seed)
    for stiffness in (5.0, 20.0):
        sf, pw = found[stiffness]["SF"], found[stiffness]["PW"]
        assert np.abs(sf.mean - pw.mean) < 5 * np.hypot(sf.stderr, pw.stderr)
        assert pw.variance < sf.variance
    assert found[20.0]["PW"].variance > 10 * found[5.0]["PW"].variance
    assert found[100.0]["PW"].variance > 1e6 * found[100.0]["SF"].variance


def influence(n, positive, theta, T):
    """Return s_1 after steps 1, ..., T, and its derivative, of the linear recursion."""
    A = (np.eye(n) + np.eye(n, k=1)) / 2
    signs = np.where(np.arange(n) < positive, 1.0, -1.0)
    s, first = np.zeros(n), []
    for _ in range(T):
        s = A @ s + signs
        first.append(s[0])
    return theta * np.array(first), np.array(first)


def test_influence_balancing(seed):
    """The losses and gradients of the literature: 8, 24 and, truncated to one step, -4 per step, in the long run."""
    T = 200
    deterministic = mg.Problem(envs.influence_balancing(), mg.policies.gaussian(1, std=0.0, states=23), T)
    s, slope = influence(23, 10, 0.5, T)
    np.testing.assert_allclose([s[-1], (s[-1] - 1) ** 2 / 2, (s[-1] - 1) * slope[-1]], [-3, 8, 24], rtol=1e-12)
    chosen = {"PW": PW, "truncated": E.truncated_reparameterization(1)}
    found = mg.sample(deterministic, [0.5], chosen, 2, machine="numpy")
    np.testing.assert_allclose(found["PW"], -((s - 1) * slope).sum(), rtol=1e-12)
    np.testing.assert_allclose(found["truncated"], -(s - 1).sum(), rtol=1e-12)
    assert (s - 1)[-1] == pytest.approx(-4, rel=1e-12)  # the other sign
    np.testing.assert_allclose(mg.rollout(deterministic, [0.5], 1, machine="numpy").rewards[0], -((s - 1) ** 2) / 2)

    # With noise: g = -sum_t slope_t (s_t - 1) is Gaussian, s_t = slope_t theta + sum_{k <= t} c_{t-k} 0.1 e_k.
    T = 60
    problem = mg.Problem(envs.influence_balancing(), mg.policies.gaussian(1, std=0.1, states=23), T)
    s, slope = influence(23, 10, 0.5, T)
    impulse = np.diff(np.concatenate([[0.0], slope]))
    weights = np.array([slope[k:] @ impulse[: T - k] for k in range(T)]) * 0.1
    found = mg.measure(problem, [0.5], {"PW": PW, "RTG": E.reward_to_go()}, 100_000, seed)
    mean = -((s - 1) * slope).sum()
    assert standard_errors(found["PW"], mean, weights @ weights) < 5
    assert np.abs(found["RTG"].mean - mean) < 5 * found["RTG"].stderr


def test_bad_input():
    for call, message in (
        (lambda: envs.linear_ramp(0.0), "width: expected a number > 0.0, got 0.0"),
        (lambda: envs.ball_with_wall(height=-1.0), "height: expected a number > 0.0, got -1.0"),
        (lambda: envs.coulomb_friction(0.0), "stiffness: expected a number > 0.0, got 0.0"),
        (lambda: envs.chaotic_map(-1.0), "gain: expected a number >= 0.0, got -1.0"),
        (lambda: envs.influence_balancing(5, 6), "positive: expected a whole number from 0 to 5, got 6"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
