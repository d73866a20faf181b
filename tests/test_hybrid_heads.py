"""Discrete and hybrid heads: a gear and a force, several choices, a quantile that is followed while a choice is scored."""

import numpy as np
import pytest
from refusals import refused
from scipy import special, stats
from test_heads import free, mixed, one_step, slopes
from test_smooth_environments import plain

import mcgrad as mg
from mcgrad.policies import heads, joint, maps


def test_several_discrete_components(seed):
    """choices = (2, 3): the gradient of a table of rewards, enumerated."""
    table = np.random.default_rng(1).normal(size=(2, 3))
    logits = np.array([0.3, -0.4, 0.1, 0.5, -0.2])
    policy = joint(1, x=heads.discrete(2, free()), y=heads.discrete(3, free()))
    assert policy.choices == (2, 3)
    environment = one_step(2, (2, 3), lambda a: mg.lookup(tuple(map(tuple, table)), a[0], a[1]))

    def J(theta):
        return special.softmax(theta[:2]) @ table @ special.softmax(theta[2:])

    found = mg.measure(
        mg.Problem(environment, policy, 1),
        logits,
        {"SF": mg.estimators.score_function()},
        50_000,
        seed,
        machine="numpy",
    )["SF"]
    assert np.max(np.abs(found.mean - slopes(J, logits)) / found.stderr) < 5
    refused(
        "no pathwise gradient here: x: the action is one of a few",
        mg.sample,
        mg.Problem(environment, policy, 1),
        logits,
        {"PW": mg.estimators.reparameterization()},
        10,
    )


def gear_and_force():
    """Return a gear, high or low, and a force around a mean that depends on it."""
    return heads.switch(
        maps.features(lambda w: (0.0, w[0]), maps.linear(outputs=1)),
        heads.gaussian(free(), std=0.5),
        heads.gaussian(free(), std=0.5),
    )


def test_hybrid_actions(seed):
    """A gear and a force, two steps, against the sum over gears and Gauss-Hermite quadrature."""
    theta = np.array([0.3, -1.0, -0.8])
    policy = joint(1, gear_and_force())
    assert policy.choices == (2, None) and policy.actions == 2 and policy.noises == policy.uniforms == 1
    drive = mg.Environment(
        states=1,
        actions=2,
        choices=(2, None),
        noises=1,
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: (0.8 * s[0] + mg.where(a[0] > 0.5, 0.5, 0.1) * a[1] + 0.1 * w[0],),
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2 + 1.5 * a[0] + 0.5 * a[1] ** 2),
        name="drive",
    )
    x, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()

    def outcomes(w, low, high, s):
        q = special.expit(w * s)
        for chance, gain, mean, cost in ((1 - q, 0.1, low, 0.0), (q, 0.5, high, 1.5)):
            yield chance, 0.8 * s + gain * mean, (gain * 0.5) ** 2 + 0.01, cost + 0.5 * (mean**2 + 0.25)

    def J(theta):
        total = 0.0
        for p, m, v, c in outcomes(*theta, 1.0):
            total -= p * (m * m + v + c)
            for p2, m2, v2, c2 in outcomes(*theta, m + np.sqrt(v) * x):
                total -= p * (weights @ (p2 * (m2 * m2 + v2 + c2)))
        return total

    estimators = {"SF": mg.estimators.reward_to_go(), "mixed": mg.estimators.computation_graph(path=(1,))}
    found = mg.measure(mg.Problem(drive, policy, 2), theta, estimators, 200_000, seed, machine="numpy")
    exact = slopes(J, theta)
    for name, share in (("SF", 0.4), ("mixed", 0.1)):  # the force by derivative, the gear by score: less variance
        assert np.max(np.abs(found[name].mean - exact) / found[name].stderr) < 5
        assert np.all(5 * found[name].stderr < share * np.abs(exact)), found[name].stderr / np.abs(exact)


def test_the_density_of_a_hybrid_action_is_that_of_its_parts():
    policy, theta = joint(1, gear_and_force()), (0.3, -1.0, -0.8)
    p = plain(policy)
    eta = policy.eta(p, theta, (1.7,))
    q = special.expit(0.3 * 1.7)
    for gear, mean, chance in ((0.0, -1.0, 1 - q), (1.0, -0.8, q)):
        expected = np.log(chance) + stats.norm(mean, 0.5).logpdf(0.4)
        assert policy.log_prob(p, eta, (gear, 0.4)) == pytest.approx(expected, rel=1e-12)
        score = policy.score(p, eta, (gear, 0.4), ((0.4 - mean) / 0.5, 0.9))
        derived = slopes(lambda x, gear=gear: policy.log_prob(p, tuple(x), (gear, 0.4)), np.array(eta))
        np.testing.assert_allclose(score, derived, rtol=1e-8, atol=1e-9)


def test_a_quantile_is_followed_while_a_choice_is_scored(seed):
    """The density given the noise of what is followed needs the second derivative of the draw: nothing may be missing."""
    policy = joint(1, k=heads.discrete(2, maps.linear()), a=heads.mixture(2, free(), free(), std=[0.4, 0.3]))
    theta = np.array([0.2, -0.4, 0.4, -0.3, -0.6, 0.9])

    def reward(k, a):
        return (1.0 + 2.0 * k) * np.sin(a) - a * a

    environment = mg.Environment(
        states=1,
        actions=2,
        choices=(2, None),
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: reward(*a),
        name="choice and number",
    )
    a, w = np.polynomial.legendre.leggauss(300)

    def J(theta):
        density = np.exp(mixed(theta[2:4], theta[4:], (0.4, 0.3))[0](6.0 * a))
        return sum(q * 6.0 * w @ (density * reward(k, 6.0 * a)) for k, q in enumerate(special.softmax(theta[:2])))

    exact = slopes(J, theta, 1e-3)
    found = mg.measure(
        mg.Problem(environment, policy, 1),
        theta,
        {"mixed": mg.estimators.computation_graph(path=(1,))},
        60_000,
        seed,
        machine="numpy",
    )["mixed"]
    assert np.max(np.abs(found.mean - exact) / found.stderr) < 5
    assert np.all(5 * found.stderr[2:] < 0.1 * np.abs(exact[2:]))  # of what is followed
