"""The Gymnasium adapter, and fidelity: our pendulum and cart-pole follow Gymnasium's step for step."""

import dataclasses

import numpy as np
import pytest

import mcgrad as mg

gymnasium = pytest.importorskip("gymnasium")
from gymnasium.utils.env_checker import check_env  # noqa: E402

from mcgrad.gym import as_gymnasium  # noqa: E402


def test_the_pendulum_follows_gymnasium():
    """Random torques, within and beyond the limits, for 20 episodes of 200 steps: states and rewards to rounding.

    Each step starts from Gymnasium's state, because differences of rounding grow on the way.
    """
    theirs, ours = gymnasium.make("Pendulum-v1").unwrapped, as_gymnasium(mg.environments.pendulum())
    rng = np.random.default_rng(0)
    for episode in range(20):
        theirs.reset(seed=episode)
        for _ in range(200):
            action = rng.uniform(-3.0, 3.0, 1)
            ours.reset(options={"state": theirs.state})
            state, reward, terminated, _, _ = ours.step(action)
            _, expected, *_ = theirs.step(action)
            assert np.allclose(state, theirs.state, rtol=1e-13, atol=1e-13)
            assert np.isclose(reward, expected, rtol=1e-12, atol=1e-13)
            assert not terminated


def test_cart_pole_follows_gymnasium():
    """Whole episodes of random actions: states, rewards and the step at which the episode ends are the same."""
    theirs, ours = gymnasium.make("CartPole-v1").unwrapped, as_gymnasium(mg.environments.cart_pole())
    rng = np.random.default_rng(0)
    for episode in range(100):
        theirs.reset(seed=episode)
        ours.reset(options={"state": theirs.state})
        over, steps = False, 0
        while not over:
            action = int(rng.integers(2))
            state, reward, over, _, _ = ours.step(action)
            _, expected, theirs_over, _, _ = theirs.step(action)
            assert np.allclose(state, theirs.state, rtol=1e-12, atol=1e-12)
            assert (reward, over) == (expected, theirs_over)
            steps += 1
        assert steps > 5


def test_starts_are_gymnasiums():
    """Both start uniform in the same box: extremes and means of 4000 starts."""
    for name, environment in (
        ("CartPole-v1", mg.environments.cart_pole()),
        ("Pendulum-v1", mg.environments.pendulum()),
    ):
        theirs, ours = gymnasium.make(name).unwrapped, as_gymnasium(environment)
        ours.reset(seed=1)
        theirs.reset(seed=1)
        a = np.array([ours.reset()[0] for _ in range(4000)])
        b = np.array([(theirs.reset(), np.array(theirs.state))[1] for _ in range(4000)])
        scale = np.abs(b).max(axis=0)
        assert np.allclose(np.abs(a).max(axis=0), scale, rtol=0.01)
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * scale * np.sqrt(2 / 3 / 4000)).all()


E = mg.environments
LQ = E.linear_quadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2), process_noise=np.eye(2))
TABLE = E.tabular(np.full((2, 3, 2), 0.5), np.zeros((2, 3)), start=[1.0, 0.0])

# Every environment, and limits of the action for those that declare none.
ALL = {
    "ball with wall": (E.ball_with_wall(), (0.0, 1.5)),
    "bandit": (E.bandit([0.0, 1.0], 0.5), None),
    "Bernoulli toy": (E.bernoulli_toy(), None),
    "cart-pole": (E.cart_pole(), None),
    "chaotic map": (E.chaotic_map(), (-1.0, 1.0)),
    "constant cost": (E.constant_cost(2), (-3.0, 3.0)),
    "cosine cost": (E.cosine_cost(1.0), (-3.0, 3.0)),
    "Coulomb friction": (E.coulomb_friction(20.0), (-2.0, 2.0)),
    "cubic scalar": (E.cubic_scalar(), (-3.0, 3.0)),
    "double pendulum": (E.double_pendulum(), (-5.0, 5.0)),
    "double well": (E.double_well(), (-3.0, 3.0)),
    "exponential cost": (E.exponential_cost(1.0), (-3.0, 3.0)),
    "influence balancing": (E.influence_balancing(), (-1.0, 1.0)),
    "linear-quadratic": (LQ, ([-3.0, -2.0], 3.0)),
    "linear ramp": (E.linear_ramp(0.1), (-2.0, 2.0)),
    "pendulum": (E.pendulum(), None),
    "plain pendulum": (E.plain_pendulum(), (-5.0, 5.0)),
    "quadratic cost": (E.quadratic_cost(1.0), (-3.0, 3.0)),
    "quadratic scalar": (E.quadratic_scalar(), (-3.0, 3.0)),
    "random walk": (E.random_walk(), None),
    "short corridor": (E.short_corridor(), None),
    "sinusoid": (E.sinusoid_on_parabola(5.0), (-2.0, 2.0)),
    "step reward": (E.step_reward(), (-2.0, 2.0)),
    "sum cost": (E.sum_cost(2), (-3.0, 3.0)),
    "tabular": (TABLE, None),
}


def test_all_environments_are_here():
    not_made = {"corridor_features", "with_clock", "with_memory", "with_observation"}
    makers = {name for name in E.__all__ if name not in not_made}
    assert len(ALL) == len(makers)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore::UserWarning")  # it advises bounded observations, and actions scaled to [-1, 1]
def test_the_interface_is_gymnasiums(name):
    environment, bounds = ALL[name]
    check_env(as_gymnasium(environment, 20, bounds), skip_render_check=True)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stable_baselines_takes_it(name):
    check = pytest.importorskip("stable_baselines3.common.env_checker").check_env
    environment, bounds = ALL[name]
    check(as_gymnasium(environment, 20, bounds), skip_render_check=True)


def test_bounds_of_actions():
    declared = as_gymnasium(E.pendulum(max_torque=1.5)).action_space
    assert (declared.low, declared.high) == (-1.5, 1.5)
    given = as_gymnasium(E.pendulum(), action_bounds=(-1.0, [1.0])).action_space
    assert (given.low, given.high) == (-1.0, 1.0)
    none = as_gymnasium(LQ).action_space
    assert none.shape == (2,) and np.isinf([none.low, none.high]).all()
    two = as_gymnasium(LQ, action_bounds=([-3.0, -2.0], 3.0)).action_space
    assert two.low.tolist() == [-3.0, -2.0] and two.high.tolist() == [3.0, 3.0]
    for bounds, message in (
        (3.0, r"expected a pair \(low, high\), got float 3.0"),
        (np.array(3.0), r"expected a pair \(low, high\), got ndarray"),
        ((1.0, -1.0), r"expected low < high, got \[1.0, 1.0\] and \[-1.0, -1.0\]"),
        ((-1.0, [1.0] * 3), r"\[1\]: expected a number or shape \(2,\), got \(3,\)"),
        ((-np.inf, 1.0), "expected finite numbers"),
    ):
        with pytest.raises(ValueError, match=f"^action_bounds.*{message}"):
            as_gymnasium(LQ, action_bounds=bounds)
        with pytest.raises(ValueError, match=f"^action_bounds.*{message}"):
            dataclasses.replace(LQ, action_bounds=bounds)
    with pytest.raises(ValueError, match="action_bounds: expected None for an action of 2 choices"):
        as_gymnasium(E.cart_pole(), action_bounds=(0.0, 1.0))
    with pytest.raises(ValueError, match="action_bounds: expected None"):
        dataclasses.replace(E.cart_pole(), action_bounds=(0.0, 1.0))


def test_a_rollout_of_the_kernel_is_one_of_the_adapter():
    """The same start, actions and noise give the same states and rewards."""
    environment = mg.environments.random_walk(7, slip=0.3)
    problem = mg.Problem(environment, mg.policies.softmax(7, 2), 30)
    found = mg.rollout(problem, np.zeros(14), 50)
    env = as_gymnasium(environment, horizon=30)
    for i, length in enumerate(found.lengths):
        state, _ = env.reset(options={"state": found.states[i, 0]})
        for t in range(length):
            env._noise = lambda normals, uniforms, u=found.noise.process[i, t]: tuple(u)
            state, reward, terminated, truncated, _ = env.step(int(found.actions[i, t, 0]))
            assert np.array_equal(state, found.states[i, t + 1])
            assert reward == found.rewards[i, t]
            assert terminated == (state[0] in (0.0, 6.0))
            assert terminated or not (t == length - 1 and length < 30)
            assert truncated == (t == 29 and not terminated)


def test_bad_input():
    with pytest.raises(ValueError, match="environment: expected an Environment, got int 3"):
        as_gymnasium(3)
    with pytest.raises(ValueError, match="horizon: expected a whole number >= 1, got 0"):
        as_gymnasium(mg.environments.cart_pole(), 0)
    with pytest.raises(ValueError, match=r"step: expected a call of reset\(\) first"):
        as_gymnasium(mg.environments.cart_pole()).step(0)
