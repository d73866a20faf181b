"""An environment as a `gymnasium.Env`, so that the agents of others can be trained on it (extra `gym`).

    env = mcgrad.gym.as_gymnasium(mcgrad.environments.pendulum(), horizon=200)

The functions of an environment are plain Python: here they are called on plain numbers, with no compiler between.
"""

import types

import numpy as np

from . import validate
from .problem import Environment

try:
    import gymnasium
except ImportError as error:  # pragma: no cover
    raise ImportError('mcgrad.gym needs Gymnasium: python -m pip install "mcgrad-study[gym]"') from error


class GymnasiumEnvironment(gymnasium.Env):
    """See `as_gymnasium`. The observation is the state; `info` of `reset` and `step` is empty."""

    metadata = {"render_modes": []}

    def __init__(self, environment, horizon):
        self.environment, self.horizon = environment, horizon
        self._p = types.SimpleNamespace(**{k: v[()] for k, v in environment.params.items()})
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (environment.states,), np.float64)
        if isinstance(environment.choices, tuple):
            self.action_space = _several(environment.choices)
        elif environment.choices:
            self.action_space = gymnasium.spaces.Discrete(environment.choices)
        else:
            self.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (environment.actions,), np.float64)
        self._state = None

    def reset(self, *, seed=None, options=None):
        """Start an episode; `options={"state": s}` starts it in a given state."""
        super().reset(seed=seed)
        environment = self.environment
        if options and "state" in options:
            self._state = tuple(validate.array("state", options["state"], (environment.states,)))
        else:
            z = self._noise(environment.initial_noises, environment.initial_uniforms)
            self._state = _numbers(environment.init(self._p, z))
        self._time = 0
        return self._observation(), {}

    def step(self, action):
        """Return (observation, reward, terminated, truncated, info); `terminal` is paid where an episode is cut off."""
        if self._state is None:
            raise ValueError("step: expected a call of reset() first")
        environment, p, s = self.environment, self._p, self._state
        if isinstance(action, tuple):
            action = np.concatenate([np.ravel(x) for x in action])
        a = _numbers(np.reshape(action, environment.actions))
        w = self._noise(environment.noises, environment.uniforms)
        s_next = _numbers(environment.step(p, s, a, w))
        reward = float(environment.reward(p, s, a, s_next, w))
        self._state, self._time = s_next, self._time + 1
        terminated = environment.done is not None and bool(environment.done(p, s_next))
        truncated = not terminated and self.horizon is not None and self._time >= self.horizon
        if truncated and environment.terminal is not None:
            reward += float(environment.terminal(p, s_next))
        return self._observation(), reward, terminated, truncated, {}

    def _observation(self):
        return np.array(self._state, dtype=np.float64)

    def _noise(self, normals, uniforms):
        return (*self.np_random.standard_normal(normals).tolist(), *self.np_random.random(uniforms).tolist())


def as_gymnasium(environment, horizon=None):
    """Return an environment with Gymnasium's interface.

    Parameters
    ----------
    environment : Environment
    horizon : int, optional
        Steps after which an episode is truncated, and `terminal` paid; never by default. Rewards are not discounted.

    Raises
    ------
    ValueError
        If it is not an Environment.
    ImportError
        Without Gymnasium.
    """
    if not isinstance(environment, Environment):
        raise ValueError(f"environment: expected an Environment, got {validate.describe(environment)}")
    return GymnasiumEnvironment(environment, None if horizon is None else validate.integer("horizon", horizon, 1))


def _several(choices):
    """Return the space of an action of several components, some of them discrete."""
    if None not in choices:
        return gymnasium.spaces.MultiDiscrete(choices)
    one = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    return gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(k) if k else one for k in choices])


def _numbers(values):
    return tuple(float(x) for x in values)
