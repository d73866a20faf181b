"""Differences of returns find the derivative, say how well they know it, and see no more than that."""

import math

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.differences import PILOT, gradient_by_differences, octaves, slopes

COUNT = 20_000


def density(x):
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def below(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def price(theta, z):
    return theta[0] * np.exp(0.05 - 0.5 * theta[1] ** 2 + theta[1] * z[0])


D1 = (0.05 + 0.02) / 0.2
D2 = D1 - 0.2

# Name -> (returns of theta and three normal numbers, theta, the gradient, what at least would be seen of it).
KNOWN = {
    "square": (lambda x, z: -((x[0] + z[0]) ** 2), [0.7], [-1.4], 0.08),
    "kink": (lambda x, z: np.abs(x[0] + z[0]), [0.3], [1.0 - 2.0 * below(-0.3)], 0.2),
    "jump": (lambda x, z: 1.0 * (x[0] + z[0] > 1.0), [0.3], [density(0.7)], 0.7),
    "narrow jump": (lambda x, z: 1.0 * (x[0] + 0.02 * z[0] > 1.0), [1.01], [density(0.5) / 0.02], 0.4),
    "steep": (lambda x, z: np.tanh(1e4 * (x[0] + z[0] - 0.5)), [0.0], [2.0 * density(0.5)], 0.5),
    "edge of J": (lambda x, z: 1.0 * (x[0] > np.vectorize(below)(z[0])), [0.3], [1.0], 0.5),
    "smooth and a jump": (
        lambda x, z: np.sin(x[0] + z[1]) + 1.0 * (x[0] + z[0] > 1.0),
        [0.3],
        [density(0.7) + math.exp(-0.5) * math.cos(0.3)],
        0.4,
    ),
    "smooth and a rare jump": (
        lambda x, z: np.sin(x[0] + z[1]) + 50.0 * (x[0] + z[0] > 3.5),
        [0.3],
        [50.0 * density(3.2) + math.exp(-0.5) * math.cos(0.3)],
        2.0,
    ),
    "wave": (lambda x, z: np.cos(20.0 * x[0] + z[0]), [0.3], [-20.0 * math.sin(6.0) * math.exp(-0.5)], 0.2),
    "tiny scale": (lambda x, z: np.cos(1e6 * x[0] + z[0]), [1e-6], [-1e6 * math.sin(1.0) * math.exp(-0.5)], 0.1),
    "large scale": (lambda x, z: np.sin(1e-3 * x[0] + z[0]), [0.0], [1e-3 * math.exp(-0.5)], 0.05),
    "call": (lambda x, z: np.maximum(price(x, z) - 100.0, 0.0), [100.0, 0.2], None, 0.1),
    "digital": (lambda x, z: 1.0 * (price(x, z) > 100.0), [100.0, 0.2], None, 1.0),
    "domain": (lambda x, z: np.sqrt(x[0]) * z[0] ** 2, [0.04], [2.5], 0.1),
    "no noise": (lambda x, z: np.sin(3.0 * x[0]) + 0.0 * z[0], [0.7], [3.0 * math.cos(2.1)], 1e-8),
    "no noise, a jump nearby": (lambda x, z: x[0] + 1.0 * (x[0] + 0.0 * z[0] > 0.29), [0.3], [1.0], 1e-8),
}
GREEKS = {
    "call": math.exp(0.05) * np.array([below(D1), 100.0 * density(D1)]),
    "digital": np.array([density(D2) / 20.0, -density(D2) * D1 / 0.2]),
}


def measured(f, theta, seed, count=COUNT):
    def returns(theta, first, number):
        return f(theta, np.random.default_rng([seed, first >= PILOT]).normal(size=(3, number)))

    return slopes(returns, np.array(theta), np.eye(len(theta)), count, threads=1)


@pytest.mark.parametrize("name", KNOWN)
def test_known_derivatives(name, seed):
    f, theta, truth, visible = KNOWN[name]
    truth = GREEKS[name] if truth is None else np.array(truth)
    found = measured(f, theta, seed)
    assert found.apart(truth).max() < 5
    assert (found.resolution(5) < visible * np.abs(truth)).all()
    # What it says it would see it sees: an error twice that large, either way.
    error = np.maximum(2.0 * found.resolution(5), 1e-8 * np.abs(truth))
    assert found.apart(truth + error).min() > 5 and found.apart(truth - error).min() > 5
    assert found.samples.shape == (COUNT, len(theta)) and (found.widths > 0).all()


def test_what_does_not_matter_has_no_slope(seed):
    found = measured(lambda x, z: z[0] + x[0], [1.0, 0.0], seed)
    np.testing.assert_allclose(found.estimate, [1.0, 0.0], atol=1e-12)
    assert found.apart([1.0, 0.0]).max() == 0.0 and found.apart([1.0, 1e-6])[1] > 5


def test_a_return_that_is_nowhere_finite_is_not_known(seed):
    found = measured(lambda x, z: np.sqrt(-1.0 - x[0] ** 2 + 0.0 * z[0]), [0.5], seed)
    assert np.isnan(found.estimate[0]) and np.isinf(found.bias[0]) and np.isinf(found.resolution(5)[0])
    assert found.apart([1.0])[0] == 0.0


def test_widths_fit_scales_that_differ():
    for theta in (0.0, 1e-6, 0.2, -400.0):
        widths = octaves(np.array([theta]), np.ones(1))
        assert widths[0] >= max(abs(theta) / 4, 0.5) and 0 < widths[-1] <= 1e-4 * max(abs(theta), 1e-12) or theta == 0.0
        np.testing.assert_array_equal(widths[1:], widths[:-1] / 2)


def test_gradients_of_a_problem_from_returns_alone(seed):
    """A gain of -30 beside a log scale of 1.6: no width suits both."""
    environment = mg.environments.linear_quadratic([[1.0]], [[0.03]], [[1.0]], [[0.001]], process_noise=[[0.01]])
    policy = mg.policies.linear_gaussian(1, 1, std=5.0, learn_std=True)
    problem, theta = mg.Problem(environment, policy, 8), policy.theta([-30.0])
    gradient = mg.exact.gradient(problem, theta)
    found = gradient_by_differences(problem, theta, COUNT, seed)
    assert found.apart(gradient).max() < 5 and found.apart(1.1 * gradient).min() > 5
    # On the same trajectories as other estimators: in the mean over them the two are one.
    path = mg.sample(problem, theta, {"PW": mg.estimators.reparameterization()}, COUNT, seed)["PW"]
    apart = found.samples - path
    z = np.abs(apart.mean(axis=0)) / (apart.std(axis=0) / math.sqrt(COUNT))
    assert (np.maximum(np.abs(apart.mean(axis=0)) - found.bias, 0.0) < 1e-6 * np.abs(gradient)).all() or z.max() < 5
    assert np.linalg.norm(apart.std(axis=0)) < 0.01 * np.linalg.norm(path.std(axis=0))
    along = gradient_by_differences(problem, theta, COUNT, seed, directions=[[30.0, 1.0]])
    assert along.apart([[30.0, 1.0] @ gradient]).max() < 5


def test_arguments_are_checked():
    environment = mg.environments.linear_quadratic([[1.0]], [[0.03]], [[1.0]], [[0.001]])
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.1), 8)
    with pytest.raises(ValueError, match="count: expected a whole number >= 2"):
        gradient_by_differences(problem, [-1.0], 1)
    with pytest.raises(ValueError, match="directions"):
        gradient_by_differences(problem, [-1.0], 100, directions=[[1.0, 2.0]])
    with pytest.raises(ValueError, match="directions: expected none that is zero"):
        gradient_by_differences(problem, [-1.0], 100, directions=[[0.0]])
