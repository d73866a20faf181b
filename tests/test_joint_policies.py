"""Policies joined from heads and maps: layout of theta, networks, clocks, memories; gradients against written-out NumPy."""

import dataclasses
import math

import numpy as np
import pytest
from refusals import refused
from test_heads import slopes
from test_pathwise import by_differences
from test_smooth_environments import plain

import mcgrad as mg
from mcgrad.policies import heads, joint, maps

SF, PW = {"SF": mg.estimators.reward_to_go()}, {"PW": mg.estimators.reparameterization()}


def loop(noise=0.1):
    """Return s_next = 0.9 s + 0.5 a + noise w, r = -(s^2 + 0.1 a^2), s_0 ~ N(0, 1)."""
    return mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_noises=1,
        init=lambda p, z: (z[0],),
        step=lambda p, s, a, w: (0.9 * s[0] + 0.5 * a[0] + noise * w[0],),
        reward=lambda p, s, a, s_next, w: -(s[0] ** 2 + 0.1 * a[0] ** 2),
        name="loop",
    )


def far(found, exact):
    """Return how many standard errors the worst component is off."""
    return np.max(np.abs(found.mean - exact) / found.stderr)


def pathwise_is_the_derivative(problem, theta, count=30):
    found = mg.sample(problem, theta, PW, count, seed=4, machine="numpy")["PW"]
    expected = by_differences(problem, np.asarray(theta, dtype=float), count)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


# ---- what is in theta ------------------------------------------------------------------------------------------


def test_weights_have_names_and_starts():
    trunk = maps.layer(2, activation=math.tanh)
    policy = joint(3, heads.gaussian(maps.linear(trunk, bias=True), log_std=maps.constant(-1.0)))
    names = [f"mean.layer.W[{i},{j}]" for i in range(2) for j in range(3)] + ["mean.layer.b[0]", "mean.layer.b[1]"]
    assert policy.parameters == (*names, "mean.W[0,0]", "mean.W[0,1]", "mean.b[0]", "log std")
    assert policy.start.shape == (12,) and policy.start[:6].all() and not policy.start[6:11].any()
    assert policy.start[-1] == -1.0 and np.array_equal(policy.theta([]), policy.start)
    two = joint(1, x=heads.discrete(2, maps.linear()), y=heads.gaussian(maps.constant([1.0, 2.0]), std=0.1, actions=2))
    assert two.parameters == ("x.logits.W[0,0]", "x.logits.W[1,0]", "y.mean[0]", "y.mean[1]")
    assert two.choices == (2, None, None) and two.actions == 3
    same = joint(1, heads.gaussian(maps.constant(), std=0.1), heads.gaussian(maps.constant(), std=0.2))
    assert same.parameters == ("gaussian 0.mean", "gaussian 1.mean")
    timed = joint(2, heads.gaussian(maps.over_time(2, maps.linear()), std=0.3))
    assert timed.parameters == tuple(f"mean.W[0,{j}](t={t})" for t in (0, 1) for j in (0, 1))


def test_a_network_of_two_layers_with_a_shared_trunk():
    """eta, written out: mean and log std are linear in the same three numbers."""
    trunk = maps.layer(3, maps.layer(2, seed=1), seed=2)
    policy = joint(2, heads.gaussian(maps.linear(trunk, bias=True), log_std=maps.linear(trunk)))
    theta = policy.start + 0.2 * np.random.default_rng(0).normal(size=len(policy.parameters))
    sizes = {"W1": (2, 2), "b1": (2,), "W2": (3, 2), "b2": (3,), "W": (1, 3), "b": (1,), "V": (1, 3)}
    ends = np.cumsum([math.prod(x) for x in sizes.values()])
    parts = {k: x.reshape(sizes[k]) for k, x in zip(sizes, np.split(theta, ends[:-1]), strict=True)}
    assert ends[-1] == len(theta)
    s = np.array([0.4, -1.3])
    h = np.tanh(parts["W2"] @ np.tanh(parts["W1"] @ s + parts["b1"]) + parts["b2"])
    expected = [*(parts["W"] @ h + parts["b"]), *(parts["V"] @ h)]
    np.testing.assert_allclose(policy.eta(plain(policy), tuple(theta), tuple(s)), expected, rtol=1e-12)

    system = mg.environments.linear_quadratic(0.9 * np.eye(2), [[0.0], [1.0]], np.eye(2), [[0.1]])
    problem = mg.Problem(system, policy, 3)
    pathwise_is_the_derivative(problem, theta)
    # The score by the formula is that of the density.
    derived = dataclasses.replace(problem, policy=dataclasses.replace(policy, score=None))
    both = [mg.sample(x, theta, {"Z": mg.estimators.score()}, 10, machine="numpy")["Z"] for x in (problem, derived)]
    np.testing.assert_allclose(*both, rtol=1e-9, atol=1e-9 * np.abs(both[0]).max())


def test_maps_of_functions():
    """`each`, `features` and `above`, with functions of `math`."""
    policy = joint(
        2,
        heads.gaussian(
            maps.linear(maps.features(lambda s: (math.sin(s[0]), s[0] * s[1], 1.0))),
            std=maps.above(0.1, maps.each(math.sinh, maps.linear())),
        ),
    )
    theta, s = (0.3, -0.2, 0.5, 0.7, -0.4), (0.4, -1.3)
    mean = 0.3 * math.sin(0.4) - 0.2 * 0.4 * -1.3 + 0.5
    std = 0.1 + np.logaddexp(0.0, math.sinh(0.7 * 0.4 + 0.4 * 1.3))
    np.testing.assert_allclose(policy.eta(plain(policy), theta, s), (mean, std), rtol=1e-12)
    system = mg.environments.linear_quadratic(0.9 * np.eye(2), [[0.0], [1.0]], np.eye(2), [[0.1]])
    pathwise_is_the_derivative(mg.Problem(system, policy, 3), theta)


# ---- a std that depends on the state ---------------------------------------------------------------------------


def test_a_std_of_the_state(seed):
    """log std = l0 + l1 tanh s, two steps, against quadrature."""
    log_std = maps.linear(maps.features(lambda s: (1.0, math.tanh(s[0]))))
    policy = joint(1, heads.gaussian(maps.linear(), log_std=log_std))
    theta = np.array([-0.6, -1.0, 0.3])
    x, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()

    def J(theta):
        K, l0, l1 = theta
        variance = lambda s: np.exp(2 * l0 + 2 * l1 * np.tanh(s))  # noqa: E731
        first = w @ (-(x**2) - 0.1 * (K * K * x * x + variance(x)))
        s = (0.9 + 0.5 * K) * x[:, None] + 0.5 * np.sqrt(variance(x))[:, None] * x[None, :]
        return first + w @ (-(s**2) - 0.1 * (K * K * s**2 + variance(s))) @ w

    exact = slopes(J, theta)
    problem = mg.Problem(loop(noise=0.0), policy, 2)
    found = mg.measure(problem, theta, SF | PW, 100_000, seed, machine="numpy")
    assert far(found["SF"], exact) < 5 and far(found["PW"], exact) < 5
    assert np.all(5 * found["PW"].stderr < 0.15 * np.abs(exact))
    pathwise_is_the_derivative(problem, theta)


# ---- clocks ----------------------------------------------------------------------------------------------------


def value_of_gains(gains, means, std):
    """Return J of a_t = K_t s + m_t + std e in the loop, by the recursion of mean and variance of the state."""
    mean, variance, total = 0.0, 1.0, 0.0
    for K, m in zip(gains, means, strict=True):
        total -= mean**2 + variance + 0.1 * ((K * mean + m) ** 2 + K * K * variance + std**2)
        mean, variance = (0.9 + 0.5 * K) * mean + 0.5 * m, (0.9 + 0.5 * K) ** 2 * variance + 0.25 * std**2 + 0.01
    return total


@pytest.mark.parametrize("kind", ["gains that vary", "open loop", "affine"])
def test_policies_with_a_clock(kind, seed):
    T = 4
    inputs = maps.features(lambda s: (s[0],))
    made = {
        "gains that vary": (maps.over_time(T, maps.linear(inputs)), lambda x: (x, np.zeros(T))),
        "open loop": (maps.over_time(T, maps.constant()), lambda x: (np.zeros(T), x)),
        "affine": (maps.over_time(T, maps.linear(inputs, bias=True)), lambda x: (x[::2], x[1::2])),
    }
    mean, split = made[kind]
    policy = joint(2, heads.gaussian(mean, std=0.4))
    problem = mg.Problem(mg.environments.with_clock(loop()), policy, T)
    theta = np.linspace(-0.6, 0.3, len(policy.parameters))
    exact = slopes(lambda x: value_of_gains(*split(x), 0.4), theta)
    found = mg.measure(problem, theta, SF | PW, 60_000, seed, machine="numpy")
    assert far(found["SF"], exact) < 5 and far(found["PW"], exact) < 5
    assert np.all(5 * found["PW"].stderr < 0.15 * np.abs(exact).max())
    pathwise_is_the_derivative(problem, theta)


def test_a_clock_that_is_out_of_range_is_counted():
    policy = joint(2, heads.gaussian(maps.over_time(2, maps.constant()), std=0.4))
    problem = mg.Problem(mg.environments.with_clock(loop()), policy, 3)
    with pytest.warns(UserWarning, match="finite"):
        found = mg.measure(problem, [0.1, 0.2], PW, 10, machine="numpy")
    assert found["PW"].nonfinite == 10


# ---- memories --------------------------------------------------------------------------------------------------

SEES = maps.features(lambda s: tuple(s[1:]))  # the observation and the memory, not the state


def recurrent():
    """Return a loop of which a noisy observation is seen, and a linear policy with one number of memory."""
    observed = mg.environments.with_observation(loop(), lambda p, s, v: (s[0] + 0.5 * v[0],), 1, noises=1)
    memory = maps.linear(SEES, outputs=1)
    policy = joint(3, a=heads.gaussian(maps.linear(memory), std=0.4), h=heads.deterministic(memory))
    return mg.Problem(mg.environments.with_memory(observed, 1), policy, 4)


def value_of_memory(theta, std=0.4, noise=0.5, T=4):
    """Return J by the recursion of the covariance of (s, o, h); h' = w o + u h, a = c h' + std e."""
    w, u, c = theta
    step = np.array([[0.9, 0.5 * c * w, 0.5 * c * u], [0.9, 0.5 * c * w, 0.5 * c * u], [0.0, w, u]])
    drive = 0.25 * std**2 + 0.01
    fresh = np.array([[drive, drive, 0.0], [drive, drive + noise**2, 0.0], [0.0, 0.0, 0.0]])
    cov = np.array([[1.0, 1.0, 0.0], [1.0, 1.0 + noise**2, 0.0], [0.0, 0.0, 0.0]])
    action, total = np.array([0.0, c * w, c * u]), 0.0
    for _ in range(T):
        total -= cov[0, 0] + 0.1 * (action @ cov @ action + std**2)
        cov = step @ cov @ step.T + fresh
    return total


def test_a_recurrent_policy(seed):
    problem, theta = recurrent(), np.array([0.6, 0.5, -0.7])
    assert problem.parameters == ("a.mean.linear.W[0,0]", "a.mean.linear.W[0,1]", "a.mean.W[0,0]")
    path = mg.rollout(problem, theta, 3, machine="numpy")
    s, a = path.states, path.actions
    np.testing.assert_allclose(a[:, :, 1], 0.6 * s[:, :-1, 1] + 0.5 * s[:, :-1, 2], rtol=1e-12)
    np.testing.assert_array_equal(s[:, 1:, 2], a[:, :, 1])
    np.testing.assert_allclose(a[:, :, 0] + 0.7 * a[:, :, 1], 0.4 * path.noise.action[:, :, 0], rtol=1e-9)
    np.testing.assert_allclose(s[:, 0, 1] - s[:, 0, 0], 0.5 * path.noise.initial[:, 1], rtol=1e-9)
    found = mg.measure(problem, theta, PW | SF, 100_000, seed, machine="numpy")
    exact = slopes(value_of_memory, theta)
    assert far(found["PW"], exact) < 5 and np.all(5 * found["PW"].stderr < 0.15 * np.abs(exact))
    assert far(found["SF"], exact) < 5 and np.all(5 * found["SF"].stderr < [0.3, 0.08, 0.3])
    pathwise_is_the_derivative(problem, theta)


def test_the_density_leaves_out_what_is_not_random():
    policy = recurrent().policy
    p, eta = plain(policy), (0.3, 0.8)
    density = -0.5 * ((0.5 - 0.3) / 0.4) ** 2 - math.log(0.4) - 0.5 * math.log(2 * math.pi)
    assert policy.log_prob(p, eta, (0.5, 0.8)) == pytest.approx(density, rel=1e-12)
    np.testing.assert_allclose(policy.score(p, eta, (0.5, 0.8), (0.5,)), (0.5 / 0.4, 0.0))


# ---- extended environments -------------------------------------------------------------------------------------


def test_extended_environments_are_the_environments():
    """Episodes, uniform numbers, choices and terminal rewards of what is inside stay what they are."""
    inner = mg.Environment(
        states=1,
        actions=1,
        choices=3,
        noises=1,
        uniforms=1,
        initial_noises=1,
        initial_uniforms=1,
        init=lambda p, z: (z[0] + z[1],),
        step=lambda p, s, a, w: (s[0] + a[0] + w[0] * w[1],),
        reward=lambda p, s, a, s_next, w: s[0] + 10.0 * s_next[0] + 100.0 * w[1],
        terminal=lambda p, s: p.pay * s[0],
        done=lambda p, s: s[0] > 2.0,
        params={"pay": 3.0},
        name="inner",
    )
    both = mg.environments.with_memory(
        mg.environments.with_observation(inner, lambda p, s, v: (p.pay * s[0] + v[0],), 1, 1), 2
    )
    outer = mg.environments.with_clock(both)
    assert outer.choices == (3, None, None) and outer.states == 5 and outer.actions == 3
    assert (outer.noises, outer.uniforms, outer.initial_noises, outer.initial_uniforms) == (2, 1, 2, 1)
    p = type("p", (), {"pay": 3.0})
    s = outer.init(p, (0.5, 0.1, 0.25))  # normals of the environment, then ours, then uniforms
    assert s == (0.75, 0.75 * 3.0 + 0.1, 0.0, 0.0, 0.0)
    a, w = (2.0, 7.0, 8.0), (0.5, 0.1, 0.25)
    s_next = outer.step(p, s, a, w)
    assert s_next == (0.75 + 2.0 + 0.125, (0.75 + 2.0 + 0.125) * 3.0 + 0.1, 7.0, 8.0, 1.0)
    assert outer.reward(p, s, a, s_next, w) == 0.75 + 28.75 + 25.0
    assert outer.terminal(p, s) == 2.25 and outer.done(p, s_next) and not outer.done(p, s)


def test_a_reward_that_sees_the_policy_still_does():
    """An entropy bonus under a clock: d/d(log std) of sum_t log std is T, whatever the noise."""
    policy = joint(2, heads.gaussian(0.0, log_std=maps.over_time(3, maps.constant())))
    inner = dataclasses.replace(loop(), reward=lambda p, s, a, s_next, w, eta: eta[0])
    problem = mg.Problem(mg.environments.with_clock(inner), policy, 3)
    found = mg.sample(problem, [-1.0, 0.0, 1.0], PW | SF, 5, machine="numpy")
    np.testing.assert_allclose(found["PW"], np.ones((5, 3)))


# ---- problems of several components ----------------------------------------------------------------------------


def test_choices_have_one_form():
    def environment(actions, choices):
        return mg.Environment(
            states=1,
            actions=actions,
            choices=choices,
            init=lambda p, z: (0.0,),
            step=lambda p, s, a, w: s,
            reward=lambda p, s, a, s_next, w: a[0],
        )

    assert environment(1, 3).choices == environment(1, (3,)).choices == 3
    assert environment(2, (None, None)).choices is None and environment(2, [2, None]).choices == (2, None)
    refused(r"^choices: expected an entry for each of 2 components of the action, got 3", environment, 2, (2, 3, 4))
    refused(r"^choices\[1\]: expected a whole number >= 2, got 1", environment, 2, (2, 1))
    policy = joint(1, heads.discrete(2, maps.constant()), heads.gaussian(maps.constant(), std=0.3))
    refused(
        r"policy: expected one for a continuous action.*got one for \(2, None\)",
        mg.Problem,
        environment(2, None),
        policy,
        1,
    )


@pytest.mark.parametrize("choices", [(2, 3), (2, None)])
def test_gymnasium_has_a_space_for_several_components(choices):
    pytest.importorskip("gymnasium")
    from mcgrad.gym import as_gymnasium

    environment = mg.Environment(
        states=1,
        actions=2,
        choices=choices,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (s[0] + a[0] + 10.0 * a[1],),
        reward=lambda p, s, a, s_next, w: s_next[0],
    )
    env = as_gymnasium(environment, horizon=3)
    env.reset(seed=1)
    env.action_space.seed(1)
    action = env.action_space.sample()
    first, second = (float(np.ravel(x)[0]) for x in action)
    assert first in (0.0, 1.0) and env.action_space.contains(action)
    assert env.step(action)[1] == pytest.approx(first + 10.0 * second)


# ---- wrong input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: joint(1), "heads: expected at least one of mcgrad.policies.heads, got none"),
        (lambda: joint(1, maps.linear()), "heads: expected one of mcgrad.policies.heads, got Map"),
        (lambda: joint(1, x=0.3), "x: expected one of mcgrad.policies.heads, got float 0.3"),
        (lambda: joint(0, heads.gaussian(maps.linear(), std=0.3)), "states: expected a whole number >= 1, got 0"),
        (lambda: joint(1, heads.gaussian(0.5, std=0.3)), "heads: expected at least one map with weights"),
        (
            lambda: joint(1, heads.gaussian(maps.layer(2), std=0.3)),
            "mean: layer: expected a map that returns 1 numbers",
        ),
        (
            lambda: joint(1, heads.gaussian(maps.linear(maps.linear()), std=0.3)),
            "mean.linear: linear: expected `outputs`",
        ),
        (lambda: joint(1, heads.gaussian(maps.linear(), std=[0.3, 0.4])), "std: std: expected a map that returns 1"),
        (lambda: maps.linear(3), "of: expected a map, such as .*, got int 3"),
        (lambda: maps.layer(0), "units: expected a whole number >= 1, got 0"),
        (lambda: maps.layer(2, activation=2), "activation: expected a function, got int 2"),
        (lambda: maps.each(math.exp, None), "of: expected a map, such as"),
        (lambda: maps.constant([[1.0]]), r"start: expected shape \(any,\), got \(1, 1\)"),
        (lambda: maps.over_time(0, maps.linear()), "horizon: expected a whole number from 1"),
        (
            lambda: joint(1, heads.gaussian(maps.over_time(3, maps.fixed(1.0)), std=0.3)),
            "mean: of: expected a map with weights",
        ),
        (lambda: mg.environments.with_memory(loop(), 0), "size: expected a whole number >= 1, got 0"),
        (lambda: mg.environments.with_clock(3), "environment: expected an Environment, got int 3"),
        (lambda: mg.environments.with_observation(loop(), None, 1), "observe: expected a function, got NoneType"),
    ],
)
def test_wrong_input(make, message):
    refused(f"^{message}", make)


def test_a_policy_without_anything_random_has_no_score():
    policy = joint(1, heads.deterministic(maps.linear(outputs=1)))
    assert "no component of the action is random" in policy.no_score and policy.log_prob is None
    pathwise_is_the_derivative(mg.Problem(loop(), policy, 2), [-0.5])
