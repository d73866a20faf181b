"""The workloads that speed is measured on: problems for mcgrad, and the same simulations for NumPy.

W1  lq-4x2    two double integrators, 50 steps
W2  lq-1x1    scalar, 20 steps
W3  bandit    one step: x ~ N(mean, std^2) at N(1, 1), (x - k)^2 and cos(k x), gradients in mean and std
W4  pendulum  an environment of the user's own, 100 steps
LQ  dense     systems of 4, 8, 12 states and 2 actions, 50 steps
"""

import math
from typing import Any, NamedTuple

import numpy as np

import mcgrad as mg
from studies import by_hand


class Workload(NamedTuple):
    """A problem for mcgrad, and batch(size, rng) -> both gradients, (P, size) each, for NumPy."""

    problem: mg.Problem
    theta: Any
    batch: Any


def linear_quadratic(A, B, K, std, noise, horizon):
    """Return an LQ workload with Q = I, R = .1 I, s_0 ~ N(0, I); `noise` is a standard deviation."""
    n, m = B.shape
    Q, R = np.eye(n), 0.1 * np.eye(m)
    environment = mg.environments.linear_quadratic(A, B, Q, R, process_noise=noise**2 * np.eye(n))
    policy = mg.policies.linear_gaussian(n, m, std=std)

    def batch(size, rng):
        return by_hand.linear_quadratic(A, B, Q, R, K, std, noise, horizon, size, rng)

    return Workload(mg.Problem(environment, policy, horizon), policy.theta(K), batch)


def lq_4x2():
    """Return W1."""
    two = np.eye(2)
    A, B = np.kron([[1, 0.1], [0, 1]], two), np.kron([[0.005], [0.1]], two)
    return linear_quadratic(A, B, -0.5 * np.hstack([two, two]), 0.3, 0.1, 50)


def lq_1x1():
    """Return W2."""
    return linear_quadratic(np.array([[0.9]]), np.array([[1.0]]), np.array([[-0.4]]), 0.5, 0.1, 20)


def dense(n):
    """Return a dense LQ system of n states and 2 actions, the closed loop scaled to spectral radius .9."""
    rng = np.random.default_rng(n)
    F, B, K = rng.normal(size=(n, n)), rng.normal(size=(n, 2)), 0.1 * rng.normal(size=(2, n))
    F *= 0.9 / np.abs(np.linalg.eigvals(F)).max()
    return linear_quadratic(F - B @ K, B, K, 0.3, 0.1, 50)


def bandit(cost, cost_np, slope_np):
    """Return W3: one action x ~ N(mean, std^2), reward cost(p, x) with k = 1.5."""
    k = 1.5
    environment = mg.Environment(
        states=1,
        actions=1,
        params={"k": k},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: cost(p.k, a[0]),
        name="bandit",
    )
    policy = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("mean", "std"),
        eta=lambda p, theta, s: theta,
        sample=lambda p, eta, e: (eta[0] + eta[1] * e[0],),
        score=lambda p, eta, a, e: (e[0] / eta[1], (e[0] ** 2 - 1) / eta[1]),
        name="normal",
    )

    def batch(size, rng):
        return by_hand.bandit(lambda x: cost_np(k, x), lambda x: slope_np(k, x), 1.0, 1.0, size, rng)

    return Workload(mg.Problem(environment, policy, 1), [1.0, 1.0], batch)


def bandit_quadratic():
    """Return W3 with (x - k)^2."""
    return bandit(lambda k, x: (x - k) ** 2, lambda k, x: (x - k) ** 2, lambda k, x: 2 * (x - k))


def bandit_cosine():
    """Return W3 with cos(k x)."""
    return bandit(lambda k, x: math.cos(k * x), lambda k, x: np.cos(k * x), lambda k, x: -k * np.sin(k * x))


def pendulum():
    """Return W4: the upright pendulum is angle 0; it starts hanging down, with a small random push at every step."""

    def init(p, z):
        return math.pi + 0.3 * z[0], 0.3 * z[1]

    def step(p, s, a, w):
        v = s[1] + p.dt * (p.gravity * math.sin(s[0]) + p.torque * a[0]) + p.dt * w[0]
        return s[0] + p.dt * v, v

    def reward(p, s, a, s_next, w):
        return -(s[0] ** 2 + 0.1 * s[1] ** 2 + 0.001 * a[0] ** 2)

    def eta(p, theta, s):
        return (theta[0] * math.sin(s[0]) + theta[1] * math.cos(s[0]) + theta[2] * s[1],)

    environment = mg.Environment(
        states=2,
        actions=1,
        noises=1,
        initial_noises=2,
        params={"dt": 0.05, "gravity": 15.0, "torque": 3.0},
        init=init,
        step=step,
        reward=reward,
        name="pendulum",
    )
    policy = mg.Policy(
        states=2,
        actions=1,
        noises=1,
        parameters=("sin", "cos", "speed"),
        params={"std": 0.3},
        eta=eta,
        sample=lambda p, eta, e: (eta[0] + p.std * e[0],),
        score=lambda p, eta, a, e: (e[0] / p.std,),
        name="swing-up",
    )
    theta = [0.5, -0.3, -1.2]

    def batch(size, rng):
        return by_hand.pendulum(theta, 0.3, 100, size, rng)

    return Workload(mg.Problem(environment, policy, 100), theta, batch)


WORKLOADS = {
    "W1 lq-4x2": lq_4x2,
    "W2 lq-1x1": lq_1x1,
    "W3 bandit (x-k)^2": bandit_quadratic,
    "W3 bandit cos(kx)": bandit_cosine,
    "W4 pendulum": pendulum,
    "LQ dense n=4": lambda: dense(4),
    "LQ dense n=8": lambda: dense(8),
    "LQ dense n=12": lambda: dense(12),
}
