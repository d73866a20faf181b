"""Shared by all tests: the reference cases, workloads, and the statistical criterion."""

import json
import os
import pathlib

import numpy as np

import mcgrad as mg

SEED = int(os.environ.get("MCGRAD_SEED", "20"))  # set it to hunt for flakes

CASES = json.loads((pathlib.Path(__file__).parent / "reference" / "lq_cases.json").read_text())["cases"]


def reference_problem(system, learn_std=True):
    """Return (problem, theta) of a reference system; its terminal weight is put into the terminal cost."""
    n = len(system["A"])
    L = np.array(system["L"], dtype=float)
    terminal = np.array(system["Qf"]) * system["terminal_weight"] / system["gamma"] ** system["T"]
    environment = mg.environments.linear_quadratic(
        system["A"],
        system["B"],
        symmetric(system["Q"]),
        symmetric(system["R"]),
        terminal_cost=symmetric(terminal),
        process_noise=system["W"],
        initial_mean=system["mu0"],
        initial_cov=system["S0"],
    )
    scale = {"std": np.diag(L)} if np.array_equal(L, np.diag(np.diag(L))) else {"cov": L @ L.T}
    policy = mg.policies.linear_gaussian(n, len(L), learn_std=learn_std, **scale)
    return mg.Problem(environment, policy, system["T"], system["gamma"]), policy.theta(system["K"])


def stopped(horizon, discount=0.9, gain=0.5, limit=1.2, terminal=lambda p, s: 2.0 * s[0]):
    """Return (problem, theta): a scalar linear system that stops when it leaves (-limit, limit)."""
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_noises=1,
        init=lambda p, z: (0.5 * z[0],),
        step=lambda p, s, a, w: (1.1 * s[0] + gain * a[0] + 0.3 * w[0],),
        reward=lambda p, s, a, s_next, w: 1.0 - 0.3 * s[0] ** 2 - 0.1 * s_next[0] * a[0],
        terminal=terminal,
        done=lambda p, s: abs(s[0]) > limit,
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.7), horizon, discount), np.array([-0.4])


def symmetric(matrix):
    """Return the symmetric part."""
    matrix = np.array(matrix, dtype=float)
    return (matrix + matrix.T) / 2


def w1(horizon=50, std=0.3, discount=1.0, learn_std=False):
    """Return (problem, theta) of the workload W1: two double integrators."""
    two = np.eye(2)
    A, B = np.kron([[1, 0.1], [0, 1]], two), np.kron([[0.005], [0.1]], two)
    environment = mg.environments.linear_quadratic(A, B, np.eye(4), 0.1 * two, process_noise=0.01 * np.eye(4))
    policy = mg.policies.linear_gaussian(4, 2, std=std, learn_std=learn_std)
    return mg.Problem(environment, policy, horizon, discount), policy.theta(-0.5 * np.hstack([two, two]))


def standard_errors(found, mean, variance):
    """Return how many standard errors a measurement is from a mean and a variance, at its worst component.

    Where the exact variance is zero the deviation is rounding, and is measured against the mean instead.
    """
    tiny = 1e-12 * np.abs(mean) + 1e-300
    of_mean = np.abs(found.mean - mean) / np.maximum(found.stderr, tiny)
    of_variance = np.abs(found.variance - variance) / np.maximum(found.variance_stderr, tiny**2 + 1e-12 * variance)
    return max(of_mean.max(), of_variance.max())
