"""Weighted means: by inverse variances, step by step, alpha order; and the mixtures of the reference cases."""

import dataclasses
import math

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors
from test_lq_cases import _first, reference

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.estimators.alpha_order import alpha_rule, confidence_radius
from mcgrad.estimators.inverse_variance import weights
from mcgrad.exact.linear_quadratic.theory import step_variances
from mcgrad.exact.linear_quadratic.values import value_forms
from mcgrad.fitting import PILOT, Range
from mcgrad.kernels.program import gradient_program
from mcgrad.prepare import known_truth, prepare
from mcgrad.run import Run, run_kernel
from mcgrad.truth import told

COUNT = 200_000
sf, rtg, pw, value = E.score_function, E.reward_to_go, E.reparameterization, mg.baselines.value


def case(name):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"])


def fit(problem, theta, estimator, seed, machine="simd"):
    """Return an estimator with the coefficients that `measure` would give it."""
    return told(estimator, known_truth).fit(
        Range(problem, theta, Run(seed, 1, None, None, machine), PILOT, estimator.pilot)
    )


# ---- inverse variances -----------------------------------------------------------------------------------------------


def test_the_rule_of_weights():
    np.testing.assert_allclose(weights([[1.0, 4.0], [3.0, 1.0]]), [[0.75, 0.2], [0.25, 0.8]])
    np.testing.assert_allclose(weights([[1.0, 4.0], [3.0, 2.0]], shared=True), [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(weights([[2.0], [2.0], [1.0]]), [[0.25], [0.25], [0.5]])
    np.testing.assert_allclose(weights([[0.0, 0.0], [3.0, 0.0]]), [[1.0, 0.5], [0.0, 0.5]])
    np.testing.assert_allclose(weights([[np.inf, np.nan], [3.0, np.inf]]), [[0.0, 0.5], [1.0, 0.5]])
    np.testing.assert_allclose(weights([[1e300], [1e-300]]), [[0.0], [1.0]])


def test_measured_variances_are_the_exact_ones(seed):
    """With the exact weights, exactly; with those of a pilot, nearly: an error of the weights counts by its square.

    A pilot of 16384 knows variances to 10 % at worst, and the variance of the mean to a few per mille.
    """
    problem, theta = case("S10")
    s = mg.exact.system(problem, theta)
    k, w = weights(step_variances(s, value_forms(s)[:-1]))
    separate = np.array([mg.exact.variance(problem, theta, x) for x in (pw(), rtg())])
    exactly = {
        "inverse variance": E.inverse_variance(pw(), rtg(), weights=weights(separate)),
        "shared": E.inverse_variance(pw(), rtg(), weights=weights(separate, shared=True)),
        "per step": E.inverse_variance_per_step(value(), weights=k),
        "alpha order": E.alpha_order(pw(), rtg(), 1.0, alpha=0.3),
    }
    fitted = {
        "inverse variance": E.inverse_variance(pw(), rtg(), pilot=16384),
        "shared": E.inverse_variance(pw(), rtg(), shared=True, pilot=16384),
        "per step": E.inverse_variance_per_step(value(), pilot=16384),
    }
    np.testing.assert_allclose(k + w, 1.0)
    chosen = exactly | {f"{key}, fitted": x for key, x in fitted.items()}
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    for key, x in exactly.items():
        variance = mg.exact.variance(problem, theta, x)
        assert standard_errors(found[key], mg.exact.mean(problem, theta, x), variance) < 5, key
        if key in fitted:
            np.testing.assert_allclose(mg.exact.variance(problem, theta, fitted[key]), variance, rtol=1e-9)
            x = found[f"{key}, fitted"]
            assert np.all(np.abs(x.mean - mg.exact.gradient(problem, theta)) < 5 * x.stderr), key
            assert np.all(np.abs(x.variance - variance) < 5 * x.variance_stderr + 0.01 * variance), key


def test_weights_that_ignore_covariances_can_do_harm():
    """Here the two estimators move together: weighted by inverse variances they are worse than the better of them alone."""
    unstable = mg.environments.linear_quadratic([[1.3]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    problem = mg.Problem(unstable, mg.policies.linear_gaussian(1, 1, std=0.5), 20)
    V, theta = value(), [-0.4]

    def variance(x):
        return mg.exact.variance(problem, theta, x)[0]

    alone, by_variance = variance(pw()), variance(E.inverse_variance(rtg(V), pw()))
    assert variance(E.mixture(rtg(V), pw())) < alone < variance(E.inverse_variance_per_step(V)) < by_variance
    assert by_variance > 1.1 * alone


def test_steps_are_fitted_one_by_one(seed):
    """The weights come from variances of single steps, here by sampling each of them on its own, and run on one kernel."""
    problem, theta = case("S04")
    estimator = E.inverse_variance_per_step(mg.baselines.fitted_value(pilot=1024), pilot=64)
    fitted = fit(problem, theta, estimator, seed, "numpy")
    T, P = problem.horizon, len(theta)
    expected = np.empty((2, T, P))
    for t in range(T):
        for k in range(2):
            only = np.zeros((2, T, P))
            only[k, t] = 1.0
            alone = {"x": dataclasses.replace(estimator, weights=only)}
            x = run_kernel(gradient_program(problem, theta, prepare(alone)), seed, PILOT, 64, "numpy")
            expected[k, t] = x.var(axis=1, ddof=1)
    np.testing.assert_allclose(fitted.weights, weights(expected), rtol=1e-9)
    shared = fit(problem, theta, dataclasses.replace(estimator, shared=True), seed, "numpy")
    np.testing.assert_allclose(shared.weights, weights(expected, shared=True), rtol=1e-9)


def test_fits_do_not_depend_on_threads():
    problem, theta = case("S02")
    chosen = {"a": E.inverse_variance(pw(), rtg()), "b": E.alpha_order(pw(), rtg(), 1.0), "c": E.natural(pw())}
    one, two = (mg.measure(problem, theta, chosen, 20_000, threads=k) for k in (1, 2))
    for name in chosen:
        np.testing.assert_array_equal(one[name].mean, two[name].mean)
    samples = mg.sample(problem, theta, chosen, 20_000)
    for name in chosen:
        np.testing.assert_allclose(samples[name].mean(axis=0), one[name].mean, rtol=1e-10)


# ---- alpha order -----------------------------------------------------------------------------------------------------


def test_the_rule_of_alpha():
    """alpha_inf = V_0 / (V_1 + V_0), less where the bias may be large, none where the confidence radius is too wide."""
    assert alpha_rule(1.0, 3.0, apart=0.2, gamma=1.0, epsilon=0.5) == 0.75
    assert alpha_rule(1.0, 3.0, apart=2.0, gamma=1.0, epsilon=0.5) == 0.25
    assert alpha_rule(0.0, 3.0, apart=2.0, gamma=1.0, epsilon=0.5) == 0.25
    assert alpha_rule(1.0, 3.0, apart=2.0, gamma=1.0, epsilon=1.5) == 0.0
    assert alpha_rule(1.0, 3.0, apart=2.0, gamma=math.inf, epsilon=1.5) == 0.75
    assert alpha_rule(0.0, 0.0, apart=0.0, gamma=1.0, epsilon=0.0) == 0.0
    assert alpha_rule(np.nan, 3.0, apart=np.nan, gamma=1.0, epsilon=0.5) == 0.0


def test_the_confidence_radius():
    """It solves (P + 1) exp(-n eps^2 / 2 / (V + L eps / 3)) = 1 - confidence, and holds for bounded vectors."""
    V, n, P, L = 2.5, 400, 3, 4.0
    for bound in (0.0, L):
        epsilon = confidence_radius(V, n, P, 0.95, bound)
        assert (P + 1) * math.exp(-n * epsilon**2 / 2 / (V + bound * epsilon / 3)) == pytest.approx(0.05, rel=1e-12)
    assert confidence_radius(V, n, P, 0.99) > confidence_radius(V, n, P, 0.95)
    x = np.random.default_rng(1).uniform(-1, 1, size=(4000, 50, 2))
    radius = confidence_radius(2 / 3, 50, 2, 0.95, math.sqrt(2))
    outside = (np.linalg.norm(x.mean(axis=1), axis=1) > radius).mean()
    assert outside < 0.05


def heaviside(theta=0.3, std=0.2):
    """Return (problem, theta, gradient): reward 1 for a > 0, a ~ N(theta, std^2), from the state 1."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: mg.where(a[0] > 0.0, 1.0, 0.0),
        discontinuous="the reward is 0 or 1",
        name="Heaviside",
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=std), 1)
    slope = math.exp(-0.5 * (theta / std) ** 2) / math.sqrt(2 * math.pi) / std
    return problem, np.array([theta]), slope


def test_a_jump_is_seen_by_alpha_order_alone(seed):
    """At theta = 0.3, std = 0.2: gradient 0.647588, Var of the score function 18.05354, pathwise gradient 0 always.

    Inverse variances put all weight on what never varies. The alpha order of a pilot of 4096, epsilon = 0.1798, refuses it
    for gamma < epsilon, and keeps the mean within gamma of the gradient otherwise.
    """
    problem, theta, gradient = heaviside()
    chosen = {
        "SF": sf(),
        "inverse variance": E.inverse_variance(pw(), sf(), pilot=4096),
        "strict": E.alpha_order(pw(), sf(), 0.1),
        "tolerant": E.alpha_order(pw(), sf(), 0.3),
        "careless": E.alpha_order(pw(), sf(), math.inf),
    }
    with pytest.warns(mg.DiscontinuityWarning, match="Heaviside are biased"):
        found = mg.measure(problem, theta, chosen, COUNT, seed)
    assert gradient == pytest.approx(0.647588, rel=1e-6)
    assert standard_errors(found["SF"], np.array([gradient]), np.array([18.05354])) < 5
    assert found["inverse variance"].mean[0] == found["careless"].mean[0] == 0.0
    np.testing.assert_array_equal(found["strict"].mean, found["SF"].mean)  # alpha = 0
    alpha = fit(problem, theta, chosen["tolerant"], seed).alpha
    assert 0 < alpha < 0.5
    assert found["tolerant"].mean[0] == pytest.approx((1 - alpha) * found["SF"].mean[0], rel=1e-12)
    assert abs(found["tolerant"].mean[0] - gradient) < 0.3


# ---- combinations of the reference cases -----------------------------------------------------------------------------


def constants(entry, name):
    """Return the stored constants of a key, for K and the log scale of each row."""
    ours = [i for i, x in enumerate(entry["params"]) if x != "ls"]
    return np.array(entry[name])[ours]


def full_control(key, entry, P):
    """Return an estimator less the stored combination of the scores of K, (P_K, P_K); log scales are left alone."""
    target = {"total": sf(), "rtg": rtg(), "pw": pw()}[key.removesuffix("_cvfull")]
    c, K = np.zeros((1, P, P)), len(entry["mean"])
    c[0, :K, :K] = entry["cvec"]
    return E.control_variate(target, E.score(), c, full=True)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_stored_constants_agree_with_the_reference(case, seed):
    """Antithetic pairs and a mixture of the score function with its optimal constant, and all scores as controls."""
    problem, theta = reference_problem(case["system"])
    entries = case["estimators"]
    best = E.control_variate(sf(), E.score(), constants(entries["total_bopt"], "b")[None])
    alpha = constants(entries["mix(total_bopt,pw)"], "alpha")
    chosen = {
        "anti_all(total_bopt)": E.antithetic(best),
        "anti_eps(total_bopt)": E.antithetic(best, "actions"),
        "mix(total_bopt,pw)": E.control_variate(pw(), E.difference(best, pw()), -alpha[None]),
    }
    full = ("total_cvfull", "rtg_cvfull", "pw_cvfull")
    of_gain, gain = reference_problem(case["system"], learn_std=False)
    chosen |= {key: full_control(key, entries[key], len(theta)) for key in full}
    cheap = len(theta) < 8
    found = mg.measure(problem, theta, chosen, COUNT // 2, seed) if cheap else None
    for key in chosen:
        mean, variance = reference(case, key)
        if key in full:
            exact = mg.exact.variance(of_gain, gain, full_control(key, entries[key], len(gain)))
        else:
            exact = mg.exact.variance(problem, theta, chosen[key])
        np.testing.assert_allclose(exact, variance, rtol=1e-9, atol=1e-12 * np.max(mean**2), err_msg=key)
        if cheap:
            assert standard_errors(_first(found[key], len(mean)), mean, variance) < 5, key


# ---- what is refused -------------------------------------------------------------------------------------------------

REFUSED = [
    (lambda: E.inverse_variance(pw()), "inverse_variance: expected two or more estimators, got one"),
    (lambda: E.inverse_variance(pw(), "sf"), "inverse_variance: expected an estimator, got str 'sf'"),
    (lambda: E.inverse_variance(pw(), E.mixture(pw(), sf())), "a control variate inside of an inverse-variance mean"),
    (lambda: E.mixture(pw(), E.inverse_variance(pw(), sf())), "an inverse-variance mean inside of a difference"),
    (lambda: E.inverse_variance(pw(), sf(), weights=[0.5, 0.5]), r"weights: expected shape \(2, any\), got \(2,\)"),
    (lambda: E.inverse_variance(pw(), sf(), pilot=3), "pilot: expected a whole number >= 16, got 3"),
    (lambda: E.inverse_variance_per_step(pilot=None), "pilot: expected a whole number"),
    (lambda: E.inverse_variance_per_step(weights=0.5), r"weights: expected shape \(T,\) or \(T, P\), got \(\)"),
    (
        lambda: E.inverse_variance_per_step(mg.baselines.optimal_over_time()),
        "not tuned to an estimator, got OptimalOver",
    ),
    (
        lambda: E.inverse_variance_per_step(mg.baselines.optimal_constant()),
        "not tuned to an estimator, got OptimalConst",
    ),
    (lambda: E.alpha_order(pw(), 3, 0.1), "zeroth_order: expected an estimator, got int 3"),
    (lambda: E.alpha_order(pw(), sf(), -0.1), "gamma: expected a number >= 0.0, got -0.1"),
    (lambda: E.alpha_order(pw(), sf(), 0.1, confidence=1.0), "confidence: expected a number"),
    (lambda: E.alpha_order(pw(), sf(), 0.1, bound=-1.0), "bound: expected a number >= 0.0"),
    (lambda: E.alpha_order(pw(), sf(), 0.1, alpha=1.5), "alpha: expected a number >= 0.0 and <= 1.0, got 1.5"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_shapes_and_what_has_no_closed_form():
    problem, theta = case("S02")
    with pytest.raises(ValueError, match=r"weights: expected shape \(4,\) or \(4, 2\), got \(3,\)"):
        mg.sample(problem, theta, {"x": E.inverse_variance_per_step(weights=[1.0, 2.0, 3.0])}, 10)
    with pytest.raises(mg.exact.NoClosedForm, match="depends on its pilot"):
        mg.exact.variance(problem, theta, E.alpha_order(pw(), sf(), 0.1), work=0)
    for unfitted in (E.inverse_variance(pw(), sf()), E.alpha_order(pw(), sf(), 0.1), E.natural(pw())):
        with pytest.raises(ValueError, match="has not been|have not been"):
            unfitted.data(problem, theta)
