"""Gaussian policies with linear, feature and network means: densities, scores, samples, means written out."""

import dataclasses
import math

import numpy as np
import pytest
from refusals import refused
from scipy.stats import multivariate_normal
from smooth_problems import BOTH, problems
from test_smooth_environments import plain

import mcgrad as mg

policies = mg.policies
COV = np.array([[0.5, 0.2], [0.2, 0.3]])
HEADS = {
    "std": {"std": [0.4, 0.7]},
    "learned std": {"std": [0.4, 0.7], "learn_std": True},
    "cov": {"cov": COV},
    "learned cov": {"cov": COV, "learn_std": True},
}


def phi(s):
    return (s[0], math.sin(s[1]), s[0] * s[1], 1.0)


def phi_of_arrays(s):
    return np.array([s[0], np.sin(s[1]), s[0] * s[1], 1.0])


def linear_mean(theta, s):
    return theta[:4].reshape(2, 2) @ s


def features_mean(theta, s):
    return theta[:8].reshape(2, 4) @ phi_of_arrays(s)


def network_mean(theta, s):
    W1, b1, W2, b2 = theta[:6].reshape(3, 2), theta[6:9], theta[9:15].reshape(2, 3), theta[15:17]
    return W2 @ np.tanh(W1 @ s + b1) + b2


KINDS = {
    "linear": (lambda **head: policies.linear_gaussian(2, 2, **head), linear_mean),
    "features": (lambda **head: policies.linear_features(phi, 2, 2, **head), features_mean),
    "network": (lambda **head: policies.tanh_network(2, 2, 3, **head), network_mean),
}


def started(policy, seed=3):
    """Return a random theta, its scales moved away from where they start."""
    rng = np.random.default_rng(seed)
    theta = policy.theta(0.4 * rng.normal(size=len(policy.parameters) - len(policy.start)))
    theta[len(theta) - len(policy.start) :] += 0.3 * rng.normal(size=len(policy.start))
    return theta


def covariance(policy, theta, head):
    """Return L L^T for L = diag(exp(l)) L_c, l the difference from where the scales start for a learned std."""
    known = np.diag(np.square(head["std"])) if "std" in head else COV
    scales = np.exp((theta[len(theta) - len(policy.start) :] - policy.start) if head.get("learn_std") else np.zeros(2))
    return scales[:, None] * known * scales


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_density_score_and_sample(kind, head):
    make, mean = KINDS[kind]
    head = HEADS[head]
    policy = make(**head)
    theta, p = started(policy), plain(policy)
    cov = covariance(policy, theta, head)
    rng = np.random.default_rng(1)
    for s, e in zip(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), strict=True):
        eta = np.array(policy.eta(p, tuple(theta), tuple(s)))
        a = np.array(policy.sample(p, tuple(eta), tuple(e)))
        np.testing.assert_allclose(eta[:2], mean(theta, s), rtol=1e-12)

        density = multivariate_normal(mean(theta, s), cov)
        assert policy.log_prob(p, tuple(eta), tuple(a)) == pytest.approx(density.logpdf(a), rel=1e-11)
        # e is L^-1 (a - mean), L lower triangular
        np.testing.assert_allclose(np.linalg.solve(np.linalg.cholesky(cov), a - eta[:2]), e, rtol=1e-9)

        def log_prob(x, a=a):
            return policy.log_prob(p, tuple(x), tuple(a))

        h = 1e-4
        shifts = h * np.eye(len(eta))
        near, far = (np.array([log_prob(eta + k * d) - log_prob(eta - k * d) for d in shifts]) for k in (1, 2))
        score = policy.score(p, tuple(eta), tuple(a), tuple(e))
        np.testing.assert_allclose(score, (8 * near - far) / (12 * h), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_the_derivative_of_the_density_as_the_library_derives_it(kind, head):
    """d log p / d theta in a rollout, from `score` and from `log_prob`."""
    policy = KINDS[kind][0](**HEADS[head])
    system = mg.environments.linear_quadratic(0.9 * np.eye(2), np.eye(2), np.eye(2), np.eye(2))
    both = policy, dataclasses.replace(policy, score=None)
    score = {"Z": mg.estimators.score()}
    theta = started(policy)
    found, derived = (mg.sample(mg.Problem(system, x, 4), theta, score, 20, machine="numpy")["Z"] for x in both)
    np.testing.assert_allclose(found, derived, rtol=1e-9, atol=1e-9 * np.abs(found).max())


def test_names_and_starts():
    policy = policies.linear_features(phi, 2, 2, std=0.5, learn_std=True)
    assert policy.parameters[:5] == ("Theta[0,0]", "Theta[0,1]", "Theta[0,2]", "Theta[0,3]", "Theta[1,0]")
    assert policy.parameters[8:] == ("log std[0]", "log std[1]")
    np.testing.assert_allclose(policy.theta(np.zeros((2, 4)))[8:], np.log(0.5))
    policy = policies.tanh_network(2, 1, 3, cov=[[0.2]], learn_std=True)
    assert policy.parameters[::4] == ("W1[0,0]", "W1[2,0]", "b1[2]", "b2[0]")
    assert policy.parameters[-1] == "log scale[0]" and len(policy.parameters) == 3 * 3 + 4 + 1


def test_features_that_are_the_state_are_a_linear_policy():
    """The same gradients, bit for bit."""
    system = mg.environments.linear_quadratic(0.9 * np.eye(2), np.eye(2), np.eye(2), np.eye(2))
    same = policies.linear_gaussian(2, 2, cov=COV), policies.linear_features(lambda s: s, 2, 2, cov=COV)
    a, b = (mg.sample(mg.Problem(system, x, 5), [0.1, 0.2, 0.3, -0.4], BOTH, 20, machine="numpy") for x in same)
    assert all(np.array_equal(a[name], b[name]) for name in BOTH)


def test_a_network_of_small_weights_is_linear():
    """tanh x = x + O(x^3), and the exact gradient of the linear policy comes out by the chain rule."""
    system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]])
    small, K = 1e-4, -0.6
    theta = [small, 0.0, K / small, 0.0]  # W1, b1, W2, b2 of one hidden unit
    problem = mg.Problem(system, policies.tanh_network(1, 1, 1, std=0.5), 5)
    linear = mg.Problem(system, policies.linear_gaussian(1, 1, std=0.5), 5)
    options = {"count": 50, "machine": "numpy"}
    by_network = mg.sample(problem, theta, BOTH, **options)
    directly = mg.sample(linear, [K], BOTH, **options)
    for name in BOTH:
        np.testing.assert_allclose(by_network[name][:, 0], directly[name][:, 0] * K / small, rtol=1e-5)
        np.testing.assert_allclose(by_network[name][:, 2], directly[name][:, 0] * small, rtol=1e-5)


def test_measure_valued_derivatives_of_a_network(seed):
    """They work on the mean of any Gaussian policy, whatever it is a function of."""
    problem, theta = problems()["network"]
    problem = dataclasses.replace(problem, horizon=8)
    chosen = {"MV": mg.estimators.measure_valued(), "PW": BOTH["PW"]}
    found = mg.measure(problem, theta, chosen, 50_000, seed)
    error = np.sqrt(found["MV"].variance + found["PW"].variance - 2 * found.covariance("MV", "PW")) / np.sqrt(50_000)
    assert np.max(np.abs(found["MV"].mean - found["PW"].mean) / error) < 5
    assert np.all(np.abs(found["PW"].mean) > 20 * error)


def test_a_planted_error_in_the_score_is_caught(seed):
    """4 % too much of it, where score function and pathwise gradient are compared; the smallest visible error is 2.5 %."""
    problem, theta = problems()["cubic"]
    policy = problem.policy
    wrong = dataclasses.replace(policy, score=lambda *x: tuple(1.04 * z for z in policy.score(*x)))
    found = mg.measure(dataclasses.replace(problem, policy=wrong), theta, BOTH, 300_000, seed)
    variance = found["SF"].variance + found["PW"].variance - 2 * found.covariance("SF", "PW")
    error = np.sqrt(variance / 300_000)
    assert np.max(np.abs(found["SF"].mean - found["PW"].mean) / error) > 5
    assert np.min(5 * error / np.abs(found["PW"].mean)) < 0.03


def test_without_noise_there_is_no_density():
    for kind in KINDS:
        policy = KINDS[kind][0](std=[0.5, 0.0])
        assert policy.log_prob is None and "singular" in policy.no_score


# ---- starting weights ------------------------------------------------------------------------------------------


def test_network_weights():
    n, m, h = 3, 2, 400
    weights = policies.network_weights(n, m, h, seed=1, scale=0.1)
    assert policies.tanh_network(n, m, h, std=0.1).theta(weights).shape == (h * (n + 1) + m * (h + 1),)
    W1, b1, W2, b2 = np.split(weights, np.cumsum((h * n, h, m * h)))
    assert not b1.any() and not b2.any()
    assert W1.std() == pytest.approx(3**-0.5, rel=0.1) and W2.std() == pytest.approx(0.1 * h**-0.5, rel=0.15)
    assert np.array_equal(weights, policies.network_weights(n, m, h, seed=1, scale=0.1))
    assert not np.array_equal(weights, policies.network_weights(n, m, h, seed=2, scale=0.1))


# ---- wrong input -----------------------------------------------------------------------------------------------


def branching(s):
    return (s[0],) if s[0] > 0 else (s[1],)


@pytest.mark.parametrize("kind", ["features", "network"])
@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({}, "std, cov: expected exactly one of them, got std=None and cov=None"),
        ({"std": 0.3, "cov": COV}, "std, cov: expected exactly one of them"),
        ({"std": -0.3}, r"std: expected standard deviations >= 0, got \[-0.3, -0.3\]"),
        ({"std": [0.3, 0.3, 0.3]}, r"std: expected shape \(2,\), got \(3,\)"),
        ({"std": np.nan}, "std: expected finite numbers"),
        ({"cov": [[1.0, 2.0], [2.0, 1.0]]}, "cov: expected a positive semidefinite matrix"),
        ({"std": [0.3, 0.0], "learn_std": True}, r"std: expected standard deviations > 0 to learn their logarithms"),
    ],
)
def test_wrong_heads(kind, head, message):
    refused("^" + message, KINDS[kind][0], **head)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": None}, "features: expected a function, got NoneType"),
        ({"features": lambda s: s[0]}, r"features .*: expected a tuple of numbers, got Tracer"),
        ({"features": lambda s: ()}, "features: expected at least one feature, got an empty tuple"),
        ({"features": lambda s: (s[0], "x")}, "features .*: expected numbers, got str 'x' as number 1"),
        ({"features": lambda s: (s[3],)}, "in <lambda>, .*features: IndexError while tracing it"),
        ({"features": branching}, "in branching, .*where"),
        ({"n": 0}, "n: expected a whole number >= 1, got 0"),
        ({"m": 1.5}, "m: expected a whole number, got float 1.5"),
    ],
)
def test_wrong_features(changes, message):
    refused("^" + message, policies.linear_features, **({"features": phi, "n": 2, "m": 1, "std": 0.3} | changes))


@pytest.mark.parametrize("name", ["n", "m", "hidden"])
def test_wrong_sizes_of_a_network(name):
    sizes = {"n": 2, "m": 1, "hidden": 3}
    for make, more in ((policies.tanh_network, {"std": 0.3}), (policies.network_weights, {})):
        refused(f"^{name}: expected a whole number >= 1, got 0", make, **(sizes | more | {name: 0}))
        refused(f"^{name}: expected a whole number, got NoneType", make, **(sizes | more | {name: None}))
    refused("^scale: expected a number > 0", policies.network_weights, **sizes, scale=0.0)
    refused("^seed: expected a whole number >= 0", policies.network_weights, **sizes, seed=-1)
