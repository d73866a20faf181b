"""Every smooth environment under some policy: what the tests of both run through."""

import functools
import math

import numpy as np

import mcgrad as mg

BOTH = {"SF": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}


def swing(s):
    return (math.sin(s[0]), math.cos(s[0]), s[1])


def two_swings(s):
    return (np.sin(s[0]), np.sin(s[1]), s[2], s[3])


def features(function, n, m, seed, **options):
    """Return a policy on features and a random theta."""
    policy = mg.policies.linear_features(function, n, m, **options)
    rng = np.random.default_rng(seed)
    return policy, policy.theta(0.7 * rng.normal(size=len(policy.parameters) - len(policy.start)))


def network(n, m, hidden, seed, **options):
    """Return a tanh network and a random theta, biases included; no unit is saturated, so that all derivatives count."""
    policy = mg.policies.tanh_network(n, m, hidden, **options)
    weights = mg.policies.network_weights(n, m, hidden, seed=seed)
    return policy, policy.theta(0.3 * weights + 0.2 * np.random.default_rng(seed).normal(size=weights.size))


def quadratic(horizon=6, std=0.3):
    policy, _ = features(lambda s: (s[0], s[0] ** 2), 1, 1, 0, std=std, learn_std=True)
    return mg.Problem(mg.environments.quadratic_scalar(), policy, horizon), policy.theta([-0.5, 0.3])


def cubic(horizon=3, std=0.3):
    policy, _ = features(lambda s: (s[0], s[0] ** 3), 1, 1, 0, std=std, learn_std=True)
    return mg.Problem(mg.environments.cubic_scalar(), policy, horizon), policy.theta([-0.5, 0.3])


def of(environment, pair, horizon, discount=1.0):
    """Return (problem, theta)."""
    policy, theta = pair
    return mg.Problem(environment, policy, horizon, discount), theta


@functools.cache
def problems():
    """Return {name: (problem, theta)}."""
    e = mg.environments
    two = np.array([[0.3, 0.1], [0.1, 0.2]])
    return {
        "pendulum": of(e.pendulum(), features(swing, 2, 1, 1, std=0.4, learn_std=True), 20, 0.95),
        "plain pendulum": of(e.plain_pendulum(), features(swing, 2, 1, 2, std=0.3), 30),
        "quadratic": quadratic(),
        "cubic": cubic(),
        "double well": of(e.double_well(), network(1, 1, 3, 4, std=0.5, learn_std=True), 20, 0.98),
        "double pendulum": of(e.double_pendulum(noise_std=0.1), features(two_swings, 4, 2, 5, cov=two), 6),
        "network": of(e.plain_pendulum(push_std=0.0), network(2, 1, 4, 6, std=0.3), 15),
    }
