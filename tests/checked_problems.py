"""What tests of `check` have in common: a problem, in which a part may be wrong."""

import dataclasses
import math

import mcgrad as mg

COUNT = 20_000


def init(p, z):
    return (0.5 + 0.3 * z[0],)


def step(p, s, a, w):
    return (0.9 * s[0] + 0.3 * math.tanh(a[0]),)


def reward(p, s, a, s_next, w):
    return -(s_next[0] ** 2) - 0.1 * a[0] ** 2


def policy(**changes):
    """Return a ~ N(theta_0 s, exp(theta_1)^2), written by hand."""

    def log_prob(p, eta, a):
        return -0.5 * ((a[0] - eta[0]) / math.exp(eta[1])) ** 2 - eta[1]

    right = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("gain", "log std"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1]),
        sample=lambda p, eta, e: (eta[0] + math.exp(eta[1]) * e[0],),
        log_prob=log_prob,
        score=lambda p, eta, a, e: (e[0] / math.exp(eta[1]), e[0] ** 2 - 1.0),
    )
    return dataclasses.replace(right, **changes)


def problem(own=None, **changes):
    functions = {"init": init, "step": step, "reward": reward} | changes
    environment = mg.Environment(states=1, actions=1, initial_noises=1, **functions)
    return mg.Problem(environment, own or policy(), 10)


THETA = [-0.8, -0.7]
