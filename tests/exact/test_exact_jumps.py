"""Rewards that jump, their relaxations, fast ripples, chaos: published numbers, closed forms and brute force."""

import numpy as np
import pytest
from jump_bias import pathwise_bias, sizes
from scipy.integrate import quad
from scipy.stats import norm

import mcgrad as mg
from mcgrad.exact import chaotic_map
from mcgrad.exact.one_step import OneStep

E, B = mg.estimators, mg.baselines
SF, PW = E.score_function(), E.reparameterization()
OPTIMAL = E.score_function(B.optimal_constant())


def one(environment, std=None):
    return mg.Problem(environment, mg.policies.gaussian(1, std=std), horizon=1)


# ---- a step and its ramp -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("theta", "std"), [(0.0, 0.2), (0.3, 0.2), (-0.7, 0.2), (1.0, 3.0), (-4.0, 0.4)])
def test_the_step(theta, std):
    """Suh, Simchowitz, Zhang and Tedrake (2022), Figure 2: everything in Phi and phi."""
    p, a = one(mg.environments.step_reward(), std), theta / std
    gradient = norm.pdf(a) / std
    plain = (norm.cdf(a) - a * norm.pdf(a)) / std**2 - gradient**2
    less_one = (1 - norm.cdf(a) + a * norm.pdf(a)) / std**2 - gradient**2
    best = norm.cdf(a) - a * norm.pdf(a)
    assert mg.exact.objective(p, [theta]) == pytest.approx(norm.cdf(a), rel=1e-12)
    np.testing.assert_allclose(mg.exact.gradient(p, [theta]), gradient, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.variance(p, [theta], SF), plain, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.variance(p, [theta], E.score_function(1.0)), less_one, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.coefficients(p, [theta], OPTIMAL)[0], best, rtol=1e-12)
    at_best = plain - best**2 / std**2
    np.testing.assert_allclose(mg.exact.variance(p, [theta], OPTIMAL), at_best, rtol=1e-10)
    assert mg.exact.variance(p, [theta], PW) == mg.exact.mean(p, [theta], PW) == 0.0
    np.testing.assert_allclose(pathwise_bias(p, [theta]), -gradient, rtol=1e-12)
    np.testing.assert_array_equal(sizes(p, [theta]), [[0.0, 1.0]])


def test_values_of_the_step():
    p = one(mg.environments.step_reward(), 0.2)

    def at(theta, *estimators):
        return [mg.exact.variance(p, [theta], x)[0] for x in estimators]

    assert mg.exact.gradient(p, [0.0])[0] == pytest.approx(1.994711, abs=5e-7)
    assert mg.exact.gradient(p, [0.3])[0] == pytest.approx(0.647588, abs=5e-7)
    useless = E.score_function(1.0)  # f(theta, 0), the reward without noise
    np.testing.assert_allclose(at(0.0, SF, useless, OPTIMAL), [8.521126, 8.521126, 2.271126], atol=5e-7)
    np.testing.assert_allclose(at(0.3, SF, useless), [18.05354, 6.10772], atol=5e-6)


def test_the_ramp():
    for width, value in ((0.4, 1.3539), (0.1, 15.844), (0.01, 195.47)):
        p = one(mg.environments.linear_ramp(width), 0.2)
        for theta in (0.0, 0.15):
            inside = norm.cdf((width / 2 - theta) / 0.2) - norm.cdf((-width / 2 - theta) / 0.2)
            np.testing.assert_allclose(mg.exact.gradient(p, [theta]), inside / width, rtol=1e-12)
            np.testing.assert_allclose(mg.exact.mean(p, [theta], PW), inside / width, rtol=1e-12)
            bernoulli = inside * (1 - inside) / width**2
            np.testing.assert_allclose(mg.exact.variance(p, [theta], PW), bernoulli, rtol=1e-11)
        assert mg.exact.variance(p, [0.0], PW)[0] == pytest.approx(value, rel=5e-5)
        assert len(sizes(p, [0.0])) == 0
    narrow, step = one(mg.environments.linear_ramp(1e-9), 0.2), one(mg.environments.step_reward(), 0.2)
    np.testing.assert_allclose(mg.exact.variance(narrow, [0.1], SF), mg.exact.variance(step, [0.1], SF), rtol=1e-8)


def test_a_learned_std_and_branches_across_a_jump():
    p, m, s = one(mg.environments.step_reward()), 0.1, 0.3
    a, theta = m / s, [m, s]
    # d Phi(m / s) / ds = -m phi(m / s) / s^2, all of it from the jump.
    np.testing.assert_allclose(mg.exact.gradient(p, theta), [norm.pdf(a) / s, -m * norm.pdf(a) / s**2], rtol=1e-12)
    np.testing.assert_allclose(pathwise_bias(p, theta), -mg.exact.gradient(p, theta), rtol=1e-12)
    # Branches W: the reward is 1 at m + s W, and at m - s W where W < m / s, which has probability 1 - exp(-a^2 / 2).
    p = one(mg.environments.step_reward(), s)
    apart = np.exp(-a * a / 2)
    coupled = apart / (2 * np.pi * s**2) - norm.pdf(a) ** 2 / s**2
    np.testing.assert_allclose(OneStep(p, [m]).measure_valued_variance(), coupled, rtol=1e-11)
    independent = apart * (1 - apart) / (2 * np.pi * s**2)
    np.testing.assert_allclose(OneStep(p, [m]).measure_valued_variance(coupled=False), independent, rtol=1e-11)
    with pytest.raises(mg.exact.NoClosedForm, match="coupled"):
        mg.exact.variance(one(mg.environments.step_reward()), theta, E.measure_valued(), work=0)


# ---- the ball with the wall --------------------------------------------------------------------------------------


def throw(angle):
    """Where the ball ends: by following its flight."""
    v, d, h, g = 1.0, 0.06, 0.02, 9.81
    vx, vy = v * np.cos(angle), v * np.sin(angle)
    if vx > 0 and d / vx < 2 * vy / g:
        at_wall = d / vx
        if vy * at_wall - g * at_wall**2 / 2 <= h:
            return d
    return vx * 2 * vy / g


def test_the_jumps_of_the_ball():
    p = one(mg.environments.ball_with_wall(), 0.05)
    found = sizes(p, [0.9])
    found = found[(found[:, 0] > 0) & (found[:, 0] < np.pi / 2)]
    np.testing.assert_allclose(found, [[0.693203, -0.00644181], [1.199342, 0.00115457]], atol=2e-6)
    np.testing.assert_allclose(found[:, 1], [-0.0064418, 0.0011546], atol=5e-8)
    for angle, size in found:
        assert -(throw(angle + 1e-9) ** 2) + throw(angle - 1e-9) ** 2 == pytest.approx(size, abs=1e-9)


def expect(g, theta, edges):
    """Return E[g(z, f(theta + 0.05 z))] of the followed flight, by adaptive quadrature between the edges."""

    def weighted(x):
        z = (x - theta) / 0.05
        return g(z, -(throw(x) ** 2)) * np.exp(-z * z / 2) / (0.05 * np.sqrt(2 * np.pi))

    pairs = zip(edges[:-1], edges[1:], strict=True)
    return sum(quad(weighted, a, b, epsabs=1e-15, epsrel=1e-12, limit=200)[0] for a, b in pairs)


def test_gradients_of_the_ball():
    """Adaptive quadrature of the followed flight; Figure 7 at the first jump, where a pathwise gradient looks precise."""
    p = one(mg.environments.ball_with_wall(), 0.05)
    reach = np.arcsin(9.81 * 0.06) / 2  # a kink: the ball lands at the wall
    cuts = np.concatenate([sizes(p, [0.7])[:, 0], [reach, np.pi / 2 - reach]])
    for theta in (0.5, 0.6932, 1.15):
        edges = [theta - 0.5, *sorted(x for x in cuts if abs(x - theta) < 0.5), theta + 0.5]
        J = expect(lambda z, f: f, theta, edges)
        gradient = expect(lambda z, f: f * z / 0.05, theta, edges)
        square = expect(lambda z, f: (f * z / 0.05) ** 2, theta, edges)
        assert mg.exact.objective(p, [theta]) == pytest.approx(J, rel=1e-10)
        assert mg.exact.gradient(p, [theta])[0] == pytest.approx(gradient, rel=1e-8)
        assert mg.exact.variance(p, [theta], SF)[0] == pytest.approx(square - gradient**2, rel=1e-8)
        bias = mg.exact.mean(p, [theta], PW) - mg.exact.gradient(p, [theta])
        np.testing.assert_allclose(bias, pathwise_bias(p, [theta]), rtol=1e-10, atol=1e-14)
    at = [0.6932]
    # The published Monte Carlo mean is -0.05347, within the standard error of 10^6 samples.
    assert mg.exact.gradient(p, at)[0] == pytest.approx(-0.05347, abs=8e-5)
    assert mg.exact.mean(p, at, PW)[0] == pytest.approx(-0.00215, abs=5e-6)
    assert mg.exact.variance(p, at, PW)[0] == pytest.approx(7.6e-6, abs=5e-8)
    noiseless = E.score_function(-(throw(0.6932) ** 2))
    assert mg.exact.variance(p, at, noiseless)[0] == pytest.approx(6.20e-3, rel=5e-3)


def test_other_walls():
    for options, number in (({"height": 1.0}, 0), ({"distance": 0.2}, 0), ({"height": 0.001}, 2)):
        p = one(mg.environments.ball_with_wall(**options), 0.05)
        found = sizes(p, [0.8])
        assert ((found[:, 0] > 0) & (found[:, 0] < np.pi / 2)).sum() == number
        bias = mg.exact.mean(p, [0.8], PW) - mg.exact.gradient(p, [0.8])
        np.testing.assert_allclose(bias, pathwise_bias(p, [0.8]), rtol=1e-9, atol=1e-14)


# ---- ripples -----------------------------------------------------------------------------------------------------


def test_ripples_on_a_parabola():
    """Metz et al. (2021), Figure 1: the pathwise variance in closed form, its plateau, and the largest over the valley."""
    s = 0.3
    for w, most in ((1, 8.145e-5), (30, 0.4565), (100, 5.0661), (300, 45.595)):
        p, a = one(mg.environments.sinusoid_on_parabola(w), s), w / np.pi
        c = 0.1 * a
        x = np.linspace(-10, 10, 21)
        wave = (1 + np.cos(2 * a * x) * np.exp(-2 * a**2 * s**2)) / 2 - np.cos(a * x) ** 2 * np.exp(-(a**2) * s**2)
        formula = c**2 * wave + s**2 / 2500 - a * s**2 * c / 25 * np.sin(a * x) * np.exp(-(a**2) * s**2 / 2)
        found = np.array([mg.exact.variance(p, [y], PW)[0] for y in x])
        np.testing.assert_allclose(found, formula, rtol=1e-10)
        if w >= 30:
            np.testing.assert_allclose(found, 0.005 * w**2 / np.pi**2, rtol=2e-3)
            assert found.max() == pytest.approx(most, rel=1e-4)
        else:
            peak = max(mg.exact.variance(p, [y], PW)[0] for y in np.linspace(-10, 10, 81))
            assert peak == pytest.approx(most, rel=1e-3)
    # Evolution strategies with one point and with a mirrored pair: score functions in x. Bands over all w.
    for w in (1, 30):
        p = one(mg.environments.sinusoid_on_parabola(w), s)
        ends = np.linspace(9.6, 10, 9)
        plain = max(mg.exact.variance(p, [y], SF)[0] for y in (*ends, *-ends))
        pair = max(mg.exact.variance(p, [y], E.antithetic(SF))[0] for y in np.linspace(-10, 10, 61))
        assert 13.5 < plain < 14.5
        assert 0.08 < pair < 0.20


# ---- chaos -------------------------------------------------------------------------------------------------------


def test_chaos_by_brute_force():
    """Two steps: every estimator as a function of two normals, integrated over a grid."""
    gain, start, mean, std, discount = 2.0, 0.4, 0.2, 0.6, 0.9
    p = mg.Problem(mg.environments.chaotic_map(gain, start), mg.policies.gaussian(1), 2, discount)
    theta = [mean, std]
    e = np.linspace(-9, 9, 301)
    e0, e1 = e[:, None], e[None, :]
    weight = norm.pdf(e0) * norm.pdf(e1) * (e[1] - e[0]) ** 2
    x1 = np.sin(gain * start + mean + std * e0)
    x2 = np.sin(gain * x1 + mean + std * e1)
    r0, r1 = -(x1**2), -discount * x2**2
    for kind, (d, z) in enumerate(
        (((1.0, 1.0), (e0 / std, e1 / std)), ((e0, e1), ((e0**2 - 1) / std, (e1**2 - 1) / std)))
    ):
        D1 = np.cos(gain * start + mean + std * e0) * d[0]
        D2 = np.cos(gain * x1 + mean + std * e1) * (gain * D1 + d[1])
        to_go = mg.exact.mean_return_to_go(p, theta)
        b, c = 0.3, mg.exact.objective(p, theta)
        Z, R = z[0] + z[1], r0 + r1
        best = ((R * Z * Z) * weight).sum() / (Z * Z * weight).sum()
        for estimator, sample in (
            (PW, -2 * x1 * D1 - 2 * discount * x2 * D2),
            (SF, R * Z),
            (E.score_function(b), (R - b) * Z),
            (E.score_function(B.mean_return()), (R - c) * Z),
            (OPTIMAL, (R - best) * Z),
            (E.reward_to_go(), z[0] * R + z[1] * r1),
            (E.reward_to_go(B.mean_to_go()), z[0] * (R - to_go[0]) + z[1] * (r1 - to_go[1])),
            (E.reward_to_go([0.1, -0.3]), z[0] * (R - 0.1) + z[1] * (r1 + 0.3)),
        ):
            average = (sample * weight).sum()
            assert mg.exact.mean(p, theta, estimator)[kind] == pytest.approx(average, rel=1e-9)
            found = mg.exact.variance(p, theta, estimator)[kind]
            assert found == pytest.approx((sample**2 * weight).sum() - average**2, rel=1e-9)


def test_chaos_grows_as_the_operator_says(seed):
    """The eigenvalue of squared derivatives, by particles that are resampled, and the slope of log Var over the horizon."""
    gain, std = np.pi, 0.3
    rate = chaotic_map.growth(gain, 0.0, std)
    policy = mg.policies.gaussian(1, std=std)

    def variance(T, estimator):
        return mg.exact.variance(mg.Problem(mg.environments.chaotic_map(gain), policy, T), [0.0], estimator)[0]

    assert np.log(variance(26, PW) / variance(25, PW)) == pytest.approx(rate, abs=1e-7)
    # The score function grows as a power: R^2 and Z^2 with T^2 and T.
    assert np.log2(variance(80, SF) / variance(40, SF)) == pytest.approx(3.0, abs=0.05)

    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(10):
        x, logs = np.full(10_000, 0.5), []
        for t in range(40):
            u = gain * x + std * rng.standard_normal(len(x))
            squares = (gain * np.cos(u)) ** 2
            logs += [np.log(squares.mean())] if t >= 15 else []
            x = np.sin(u)[np.searchsorted(np.cumsum(squares), rng.uniform(0, squares.sum(), len(x)))]
        rates.append(np.mean(logs))
    error = np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert abs(np.mean(rates) - rate) < 5 * error
    assert error < 0.005


def test_where_chaos_has_no_closed_form():
    p = mg.Problem(mg.environments.chaotic_map(), mg.policies.gaussian(1), 3)
    with pytest.raises(mg.exact.NoClosedForm, match="antithetic pairs"):
        mg.exact.variance(p, [0.0, 0.3], E.antithetic(PW), work=0)
    with pytest.raises(mg.exact.NoClosedForm, match=r"std: expected at least 0.0626 .*got 0.001"):
        mg.exact.gradient(p, [0.0, 0.001], work=0)
    with pytest.raises(ValueError, match="theta: expected a standard deviation > 0"):
        mg.exact.gradient(p, [0.0, 0.0])
    with pytest.raises(mg.exact.NoClosedForm, match="expected mcgrad.policies.gaussian"):
        other = mg.policies.linear_gaussian(1, 1, std=0.3)
        mg.exact.objective(mg.Problem(mg.environments.chaotic_map(), other, 3), [0.0], work=0)
