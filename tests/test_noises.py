"""Noises against SciPy's distributions; at quantiles, so that no Monte Carlo is needed, but for Student's t."""

import numpy as np
import pytest
from refusals import refused
from scipy import stats

import mcgrad as mg

noises = mg.noises
U = np.array([1e-12, 1e-6, 0.01, 0.2, 0.4999, 0.5001, 0.7, 0.95, 1.0 - 1e-6, 1.0 - 1e-12])


def test_continuous_noises_are_quantiles():
    np.testing.assert_allclose([noises.exponential(u, 2.5) for u in U], stats.expon(scale=0.4).ppf(U), rtol=1e-12)
    np.testing.assert_allclose([noises.laplace(u, 0.7) for u in U], stats.laplace(scale=0.7).ppf(U), rtol=1e-11)


@pytest.mark.parametrize("mean", [0.3, 4.0, 60.0])
def test_poisson_counts_are_quantiles(mean):
    most = int(mean + 6 * np.sqrt(mean) + 12)
    assert stats.poisson(mean).sf(most) < 1e-9
    u = np.random.default_rng(0).random(500)
    np.testing.assert_array_equal([noises.poisson(x, mean, most) for x in u], stats.poisson(mean).ppf(u))
    assert noises.poisson(1.0 - 1e-16, mean, 3) == 3.0


@pytest.mark.parametrize(("trials", "chance"), [(1, 0.3), (7, 0.0), (20, 0.45), (60, 0.02)])
def test_binomial_counts_are_quantiles(trials, chance):
    u = np.random.default_rng(0).random(500)
    np.testing.assert_array_equal([noises.binomial(x, trials, chance) for x in u], stats.binom(trials, chance).ppf(u))


@pytest.mark.parametrize("freedom", [0.7, 3.0, 12.5])
def test_student_t_has_its_distribution(freedom):
    """The distribution function, integrated over v on a fine grid at the u where the radius reaches x."""
    v = (np.arange(200_000) + 0.5) / 200_000
    cosine = np.cos(2 * np.pi * v)
    for x in (0.3, 1.5, 6.0):
        # t > x where the cosine is positive and f (u^(-2/f) - 1) > (x / cosine)^2
        up = cosine > 1e-9
        u = (1.0 + (x / cosine[up]) ** 2 / freedom) ** (-freedom / 2)
        drawn = noises.student_t(u * (1 - 1e-9), v[up], freedom)
        assert np.all(drawn > x) and np.all(noises.student_t(u * (1 + 1e-9), v[up], freedom) < x)
        assert np.sum(u) / len(v) == pytest.approx(stats.t(freedom).sf(x), rel=1e-5)


def test_noises_are_traced_and_differentiated():
    """One kernel draws all of them; the pathwise derivative in the parameters of the continuous ones, in closed form.

    The exponential is linear in 1 / rate, the Laplace in its scale; of Student's t by differences of a simulation in NumPy.
    """
    policy = mg.Policy(
        states=5,
        actions=3,
        noises=0,
        uniforms=0,
        parameters=("rate", "scale", "freedom"),
        eta=lambda p, theta, s: tuple(theta),
        sample=lambda p, eta, e: eta,
        no_score="deterministic",
    )
    environment = mg.Environment(
        states=5,
        actions=3,
        uniforms=6,
        init=lambda p, z: (0.0,) * 5,
        step=lambda p, s, a, w: (
            mg.noises.exponential(w[0], a[0]),
            mg.noises.laplace(w[1], a[1]),
            mg.noises.student_t(w[2], w[3], a[2]),
            mg.noises.poisson(w[4], 2.0, 20),
            mg.noises.binomial(w[5], 5, 0.3),
        ),
        reward=lambda p, s, a, s_next, w: s_next[0] + s_next[1] + s_next[2],
        name="all noises",
    )
    problem = mg.Problem(environment, policy, 1)
    theta = np.array([2.0, 0.7, 4.0])
    path = mg.rollout(problem, theta, 2000, machine="numpy")
    w, s = path.noise.process[:, 0], path.states[:, 1]
    np.testing.assert_allclose(s[:, 0], stats.expon(scale=0.5).ppf(w[:, 0]), rtol=1e-10)
    np.testing.assert_allclose(s[:, 1], stats.laplace(scale=0.7).ppf(w[:, 1]), rtol=1e-8)
    np.testing.assert_array_equal(s[:, 3], stats.poisson(2.0).ppf(w[:, 4]))
    np.testing.assert_array_equal(s[:, 4], stats.binom(5, 0.3).ppf(w[:, 5]))
    assert stats.kstest(s[:, 2], stats.t(4.0).cdf).pvalue > 1e-6
    found = mg.sample(problem, theta, {"PW": mg.estimators.reparameterization()}, 50, machine="numpy")["PW"]
    h = 1e-5
    of_t = [np.sqrt(f * (w[:50, 2] ** (-2 / f) - 1)) * np.cos(2 * np.pi * w[:50, 3]) for f in (4 + h, 4 - h)]
    expected = np.array([-s[:50, 0] / 2.0, s[:50, 1] / 0.7, (of_t[0] - of_t[1]) / (2 * h)]).T
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_wrong_counts():
    refused("^most: expected a whole number from 1 to 1000, got 0", noises.poisson, 0.3, 1.0, 0)
    refused("^trials: expected a whole number, got float 2.5", noises.binomial, 0.3, 2.5, 0.5)
