"""Environments of the tests' own: nonlinear ones that use most of the operations that can be traced."""

import math

import numpy as np

import mcgrad as mg


def pendulum(horizon=40, discount=1.0):
    """Return (problem, theta): a pendulum under a nonlinear feedback with process noise (workload W4)."""

    def init(p, z):
        return (math.pi + 0.3 * z[0], 0.3 * z[1])

    def step(p, s, a, w):
        v = s[1] + p.dt * (15.0 * math.sin(s[0]) + 3.0 * a[0]) + p.dt * w[0]
        return (s[0] + p.dt * v, v)

    def reward(p, s, a, s_next, w):
        return -(s[0] ** 2 + 0.1 * s[1] ** 2 + 0.001 * a[0] ** 2)

    environment = mg.Environment(
        states=2, actions=1, noises=1, initial_noises=2, params={"dt": 0.05}, init=init, step=step, reward=reward
    )
    return mg.Problem(environment, feature_policy(), horizon, discount), np.array([0.5, -0.3, -1.2])


def feature_policy():
    """Return a = theta . (sin s_0, cos s_0, s_1) + 0.3 e, its score left to the library."""

    def eta(p, theta, s):
        return (theta[0] * math.sin(s[0]) + theta[1] * math.cos(s[0]) + theta[2] * s[1],)

    def sample(p, eta, e):
        return (eta[0] + p.std * e[0],)

    def log_prob(p, eta, a):
        return -0.5 * ((a[0] - eta[0]) / p.std) ** 2

    return mg.Policy(
        states=2,
        actions=1,
        noises=1,
        parameters=("sin", "cos", "velocity"),
        eta=eta,
        sample=sample,
        log_prob=log_prob,
        params={"std": 0.3},
    )


def zoo(horizon=8, discount=0.9):
    """Return (problem, theta) with every differentiable operation somewhere in its dynamics or rewards."""

    def init(p, z):
        return (0.5 + 0.3 * z[0], np.tanh(z[1]) + 0.1)

    def step(p, s, a, w):
        x = s[0] + 0.2 * np.tanh(s[1] + a[0]) + 0.1 * np.sin(a[0] * s[0]) + 0.05 * w[0]
        y = 0.8 * s[1] + 0.1 * np.arctan2(a[0], 1.0 + s[0] ** 2) + 0.1 * mg.where(s[0] > 0.3, s[0] * a[0], -a[0])
        return (np.minimum(x, 3.0 + 0.1 * x), y + 0.05 * np.log1p(s[0] ** 2) + 0.02 * np.tan(0.3 * np.sin(s[1])))

    def reward(p, s, a, s_next, w):
        soft = np.sqrt(1.0 + s[0] ** 2) + np.exp(-(s[1] ** 2)) + np.expm1(0.1 * a[0])
        power = (1.0 + a[0] ** 2) ** p.exponent + np.log(2.0 + np.cos(s_next[1]))
        return -soft + 0.1 * power - np.abs(s_next[0] - 0.2) - 0.3 * np.maximum(s[1], a[0]) + w[0] * a[0]

    def terminal(p, s):
        return -p.weights @ np.array([s[0] ** 2, s[0] * s[1]])

    environment = mg.Environment(
        states=2,
        actions=1,
        noises=1,
        initial_noises=2,
        params={"exponent": 0.7, "weights": [0.3, 0.2]},
        init=init,
        step=step,
        reward=reward,
        terminal=terminal,
    )
    return mg.Problem(environment, feature_policy(), horizon, discount), np.array([0.4, -0.3, 0.2])
