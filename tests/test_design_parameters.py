"""Parameters of the environment as components of theta: along the path, in every estimator."""

import math

import numpy as np
import pytest
from one_step_problems import one_step, z_of
from support import SEED

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.gym import as_gymnasium


def black_scholes(payoff, T=4):
    market = mg.Environment(
        states=1,
        actions=0,
        noises=1,
        params={"S0": 100.0, "sigma": 0.2, "strike": 100.0},
        init=lambda p, z: (np.log(p.S0),),
        step=lambda p, s, a, w: (s[0] + (0.05 - 0.5 * p.sigma**2) / T + p.sigma / math.sqrt(T) * w[0],),
        reward=lambda p, s, a, s_next, w: 0.0,
        terminal=lambda p, s: math.exp(-0.05) * payoff(np.exp(s[0]), p.strike),
    )
    return mg.Problem(market, None, T, design=("strike", "S0", "sigma"))


def test_black_scholes():
    """Delta Phi(d1), vega S phi(d1), derivative in the strike -exp(-r) Phi(d2)."""
    d1 = (0.05 + 0.02) / 0.2
    phi, Phi = math.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi), lambda x: 0.5 * math.erfc(-x / math.sqrt(2))
    truth = np.array([-math.exp(-0.05) * Phi(d1 - 0.2), Phi(d1), 100.0 * phi])
    problem = black_scholes(lambda x, strike: np.maximum(x - strike, 0.0))
    np.testing.assert_array_equal(problem.design_values, [100.0, 100.0, 0.2])
    assert problem.parameters == ("strike", "S0", "sigma")
    estimators = {"pathwise": E.reparameterization(), "mirrored": E.antithetic(E.reparameterization())}
    estimators |= {"short": E.truncated_reparameterization(4), "differences": E.finite_differences(1e-3, 3)}
    found = mg.measure(problem, problem.design_values, estimators, 40_000, SEED)
    for name in estimators:
        assert z_of(found[name], truth) < 5.0, name
    with pytest.raises(ValueError, match="there are no actions"):
        mg.measure(problem, problem.design_values, {"SF": E.score_function()}, 10)
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.gradient(problem, problem.design_values, work=0)


def test_design_beside_a_policy_is_the_action_that_is_theta():
    """The mass as a component of theta gives, sample by sample, what a component of the action gives that is theta."""

    def environment(mass, **options):
        return mg.Environment(
            states=1,
            noises=1,
            initial_noises=1,
            init=lambda p, z: (1.0 + z[0],),
            step=lambda p, s, a, w: (0.9 * s[0] + a[0] / mass(p, a) + 0.1 * w[0],),
            reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2 + 0.1 * a[0] ** 2) - 0.05 * mass(p, a),
            **options,
        )

    trick = mg.Policy(
        states=1,
        actions=2,
        noises=1,
        parameters=("K", "m"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1]),
        sample=lambda p, eta, e: (eta[0] + 0.5 * e[0], eta[1]),
        log_prob=lambda p, eta, a: -2.0 * (a[0] - eta[0]) ** 2,
    )
    design = environment(lambda p, a: p.mass, actions=1, params={"mass": 1.5})
    direct = mg.Problem(design, mg.policies.linear_gaussian(1, 1, std=0.5), 6, design=["mass"])
    by_action = mg.Problem(environment(lambda p, a: a[1], actions=2), trick, 6)
    estimators = {
        "SF": E.score_function(1.0),
        "to go": E.reward_to_go(),
        "PW": E.reparameterization(),
        "loo": E.leave_one_out(2),
    }
    theta = [-0.4, 1.5]
    ours, theirs = (mg.sample(x, theta, estimators, 100, machine="numpy") for x in (direct, by_action))
    for name in estimators:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10, atol=1e-12, err_msg=name)
    states = mg.rollout(direct, theta, 20).states
    np.testing.assert_allclose(states, mg.rollout(by_action, theta, 20).states, rtol=1e-12, atol=1e-14)
    assert np.abs(states - mg.rollout(direct, [-0.4, 2.0], 20).states).max() > 0.01


def test_arrays_and_ends_as_design_parameters():
    """J = E[(k1 z + k0) 1(step before the wall)] with arrays in theta, a wall in `done`: derivatives against differences."""
    environment = mg.Environment(
        states=2,
        actions=0,
        noises=1,
        initial_noises=1,
        params={"k": [0.5, 0.3], "rate": 0.8},
        init=lambda p, z: (p.k[0] + p.k[1] * z[0], 0.0),
        step=lambda p, s, a, w: (p.rate * s[0] + 0.1 * w[0], s[1] + 1.0),
        reward=lambda p, s, a, s_next, w: np.sin(s_next[0]) * p.k[1],
        done=lambda p, s: s[1] >= 3.0,
        terminal=lambda p, s: 7.0 * s[0],
    )
    problem = mg.Problem(environment, None, 5, 0.9, design=("rate", "k"))
    assert problem.parameters == ("rate", "k[0]", "k[1]")
    estimators = {"PW": E.reparameterization(), "FD": E.finite_differences(1e-5, 3)}
    g = mg.sample(problem, problem.design_values, estimators, 32)
    np.testing.assert_allclose(g["PW"], g["FD"], rtol=1e-6, atol=1e-8)


def test_gym_and_directions_refuse_what_they_do_not_know():
    problem = mg.Problem(one_step(reward=lambda p, s, a, s_next, w, eta: eta[0]), mg.policies.gaussian(1, 1.0), 1)
    with pytest.raises(ValueError, match="rewards that see the policy"):
        mg.directional(problem, [1.0])
    with pytest.raises(ValueError, match="rewards that see the policy"):
        as_gymnasium(problem.environment)
    with pytest.raises(ValueError, match="no actions"):
        as_gymnasium(black_scholes(lambda x, strike: x).environment)
