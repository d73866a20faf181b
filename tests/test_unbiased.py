"""Estimators that claim to be unbiased, on 20 random systems of one shape: one kernel, new matrices each time.

Those with critics, and baselines that come from one, are in test_critics.py.

z = (mean - exact) / stderr is standard normal for each system, estimator and parameter, and independent between systems.
Three questions to each estimator and parameter: is one |z| large, does the sum of z drift, is the sum of z^2 a chi-square?
"""

import dataclasses
import functools

import numpy as np
import pytest
from scipy import stats
from support import SEED
from test_critics import random_problem

import mcgrad as mg
from mcgrad import baselines
from mcgrad import estimators as E
from mcgrad.kernels.program import gradient_program
from mcgrad.moments import Moments
from mcgrad.prepare import prepare
from mcgrad.run import Run

SYSTEMS, COUNT = 20, 100_000
sf, rtg, pw = E.score_function, E.reward_to_go, E.reparameterization


def problem_of(k):
    """Return random system number k: n = 2, m = 1, T = 4, discounted, with a fixed std (measure-valued ones need it)."""
    problem, theta = random_problem(k, n=2, m=1, horizon=4)
    std = np.exp(np.random.default_rng(k).normal(-0.5, 0.3))
    return dataclasses.replace(problem, policy=mg.policies.linear_gaussian(2, 1, std=std)), theta[:2]


def fisher_of(problem, theta):
    """Return any symmetric positive definite matrix: the natural gradient is unbiased for F^-1 g with each."""
    return np.array([[2.0, 0.3], [0.3, 0.5 + theta[0] ** 2]])


def unbiased():
    """Return {name: estimator}, all of the mean dJ/dtheta."""
    b_t = np.array([-3.0, 1.0, 0.5, -0.2])
    of_state = baselines.of_state(lambda p, s: p.a * s[0] * s[1] - np.cos(s[0]), a=0.7)
    return {
        "total": sf(),
        "total, in time": sf(b_t),
        "total, J": sf(baselines.mean_return()),
        "total, optimal in time": sf(baselines.optimal_over_time()),
        "to go": rtg(),
        "to go, in time": rtg(b_t),
        "to go, of state": rtg(of_state),
        "to go, V": rtg(baselines.value()),
        "PW": pw(),
        "antithetic": E.antithetic(rtg()),
        "antithetic actions": E.antithetic(sf(1.0), "actions"),
        "leave one out": E.leave_one_out(3),
        "MVD": E.measure_valued(),
        "MVD apart": E.measure_valued("independent"),
        "PW - c Z": E.control_variate(pw(), E.score(), [[0.7, -0.4]]),
        "three together": E.inverse_variance(sf(), rtg(), pw(), weights=[[0.2, -0.3], [0.3, 0.3], [0.5, 1.0]]),
        "per step": E.inverse_variance_per_step(of_state, weights=[0.1, 0.9, 0.5, 1.5]),
        "alpha order": E.alpha_order(pw(), rtg(), gamma=1.0, alpha=0.4),
    }


def fitted():
    """Return {name: estimator} with coefficients of their own: measured apart, in two halves of the trajectories."""
    return {
        "mixture": E.mixture(rtg(), pw()),
        "PW - fitted c Z": E.control_variate(pw(), E.score(), full=True),
        "inverse variance": E.inverse_variance(rtg(baselines.value()), pw(), shared=True, pilot=2048),
        "per step, fitted": E.inverse_variance_per_step(baselines.value(), pilot=2048),
    }


def of_known_mean(problem, theta):
    """Return {name: (estimator, exact mean)} of those whose mean is something else."""
    fisher = fisher_of(problem, theta)
    gradient = mg.exact.gradient(problem, theta)
    smoothed = {
        "one point": E.evolution_strategies(0.3, points=1),
        "two points": E.evolution_strategies(0.3),
        "two points apart": E.evolution_strategies(0.3, noise="independent"),
        "SPSA": E.spsa(0.2),
        "differences": E.finite_differences(0.2, 2),
        "same-batch mean": E.same_batch_mean(3),
        "truncated": E.truncated_reparameterization(2),
    }
    return {
        "score": (E.score(), 0.0 * gradient),
        "difference": (E.difference(sf(), pw()), 0.0 * gradient),
        "natural": (E.natural(rtg(), fisher), np.linalg.solve(fisher, gradient)),
        "natural PW": (E.natural(pw(), fisher), np.linalg.solve(fisher, gradient)),
        **{name: (x, mg.exact.mean(problem, theta, x)) for name, x in smoothed.items()},
    }


def planted():
    """Return {name: estimator}: a pathwise gradient that is 1 % too large, and a score function that forgets r_t."""

    def scaled(c, x, adjoint):
        below, etabar = x.follow(adjoint)
        adjoint = tuple(a + b for a, b in zip(below, x.policy_vjp(etabar), strict=True))
        return adjoint, tuple(1.01 * y for y in etabar)

    def without(c, x, later):
        return later + x.reward, tuple(later * z for z in x.score)

    return {
        "1 % too large": E.custom(scaled, lambda c, end: end.reward_vjp(1.0)),
        "without r_t": E.custom(without, lambda c, end: end.reward),
    }


def together(problem, theta):
    """Return {name: estimator} of all that need no fit, for one kernel."""
    known = of_known_mean(problem, theta)
    return unbiased() | planted() | {name: x for name, (x, _) in known.items()}


def moments(program, problem, theta, estimators, seed):
    """Return the moments of estimators on a system like the one that the program was traced for: new data, no new kernel."""
    kernel, program = program.kernel, gradient_program(problem, theta, prepare(estimators))
    assert program.kernel is kernel
    sums = Run(seed, 2, None, None, "simd").sums(program, 0, COUNT)
    return Moments(program.names, problem.parameters, sums)


@functools.cache
def z_scores():
    """Return {name: z of all systems and parameters, (SYSTEMS, P)}, measured once."""
    z, program = {}, None
    for k in range(SYSTEMS):
        problem, theta = problem_of(k)
        gradient, known = mg.exact.gradient(problem, theta), of_known_mean(problem, theta)
        chosen = together(problem, theta)
        program = program or gradient_program(problem, theta, prepare(chosen))
        one = moments(program, problem, theta, chosen, SEED + k)
        two = mg.measure(problem, theta, fitted(), COUNT, SEED + k, progress=False)
        for name, x in [(name, found[name]) for found in (one, two) for name in found]:
            mean = known[name][1] if name in known else gradient
            z.setdefault(name, []).append((x.mean - mean) / x.stderr)
    return {name: np.array(x) for name, x in z.items()}


def test_data_are_all_that_tells_the_systems_apart():
    """What the measurements below rely on: the kernel of another system is the same text."""
    programs = [gradient_program(*problem_of(k), prepare(together(*problem_of(k)))) for k in (0, 1)]
    assert programs[0].kernel == programs[1].kernel
    again = moments(programs[0], *problem_of(1), together(*problem_of(1)), SEED)["PW"]
    samples = mg.sample(*problem_of(1), {"PW": pw()}, COUNT, SEED)["PW"]
    np.testing.assert_allclose(again.mean, samples.mean(axis=0), rtol=1e-9)


def verdict(z):
    """Return what is wrong with z-scores (SYSTEMS, P), or ""; a right one is refused once in 10^5."""
    p_value = 1e-6
    drift = np.abs(z.sum(axis=0)).max() / np.sqrt(len(z))
    low, high = stats.chi2.ppf([p_value, 1 - p_value], len(z))
    square = (z**2).sum(axis=0)
    if np.abs(z).max() > 5:
        return f"|z| = {np.abs(z).max():.1f}"
    if drift > 5:
        return f"drift of {drift:.1f}"
    if square.min() < low or square.max() > high:
        return f"sum z^2 from {square.min():.1f} to {square.max():.1f}"
    return ""


NAMES = [*unbiased(), *fitted(), *of_known_mean(*problem_of(0))]


@pytest.mark.parametrize("name", NAMES)
def test_unbiased(name):
    assert verdict(z_scores()[name]) == ""


@pytest.mark.parametrize("name", planted())
def test_a_planted_bias_is_caught(name):
    assert verdict(z_scores()[name])
