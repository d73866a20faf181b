"""The Gymnasium adapter, and fidelity: our pendulum and cart-pole follow Gymnasium's step for step."""

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


@pytest.mark.parametrize(
    "environment",
    [
        mg.environments.cart_pole(),
        mg.environments.pendulum(),
        mg.environments.random_walk(),
        mg.environments.bandit([0.0, 1.0], 0.5),
        mg.environments.linear_quadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2), process_noise=np.eye(2)),
    ],
    ids=lambda e: e.name,
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # it advises bounded and scaled spaces
def test_the_interface_is_gymnasiums(environment):
    check_env(as_gymnasium(environment, horizon=20), skip_render_check=True)


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
