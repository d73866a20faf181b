"""An environment as a `gymnasium.Env`, so that the agents of others can be trained on it (extra `gym`).

    env = mcgrad.gym.as_gymnasium(mcgrad.environments.pendulum(), horizon=200)

Most agents want limits of a continuous action. Where an environment declares none (a linear-quadratic one has none by nature),
give some to the adapter: Stable-Baselines3 refuses an action without.

    env = mcgrad.gym.as_gymnasium(mcgrad.environments.linear_quadratic(A, B, Q, R), horizon=50, action_bounds=(-3.0, 3.0))

The functions of an environment are plain Python: here they are called on plain numbers, with no compiler between.
"""

import types
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from . import validate
from .problem import Environment

try:
    import gymnasium
except ImportError as error:  # pragma: no cover
    raise ImportError('mcgrad.gym needs Gymnasium: python -m pip install "mcgrad-study[gym]"') from error


class GymnasiumEnvironment(gymnasium.Env):
    """See `as_gymnasium`. The observation is the state; `info` of `reset` and `step` is empty."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, environment: Environment, horizon: int | None, action_bounds: Any = None) -> None:
        self.environment, self.horizon = environment, horizon
        self._p = types.SimpleNamespace(**{k: v[()] for k, v in environment.params.items()})
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (environment.states,), np.float64)
        if isinstance(environment.choices, tuple):
            self.action_space = _several(environment.choices)
        elif environment.choices:
            self.action_space = gymnasium.spaces.Discrete(environment.choices)
        else:
            low, high = (np.full(environment.actions, x) for x in (-np.inf, np.inf))
            if action_bounds is not None:
                low, high = action_bounds
            # float32, which is what agents act in.
            self.action_space = gymnasium.spaces.Box(*(x.astype(np.float32) for x in (low, high)), dtype=np.float32)
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
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

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
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

    def _observation(self) -> Any:
        return np.array(self._state, dtype=np.float64)

    def _noise(self, normals: int, uniforms: int) -> tuple[float, ...]:
        return (*self.np_random.standard_normal(normals).tolist(), *self.np_random.random(uniforms).tolist())


def as_gymnasium(
    environment: Environment, horizon: int | None = None, action_bounds: tuple[ArrayLike, ArrayLike] | None = None
) -> GymnasiumEnvironment:
    """Return an environment with Gymnasium's interface.

    Parameters
    ----------
    environment : Environment
    horizon : int, optional
        Steps after which an episode is truncated, and `terminal` paid; never by default. Rewards are not discounted.

    action_bounds : pair, optional
        (low, high), numbers or (m,) arrays: the Box of a continuous action. By default the environment's own, or none. Agents
        keep to them; a step outside is taken as it is.

    Raises
    ------
    ValueError
        If an argument is not as described; for `action_bounds` of an environment with choices.
    ImportError
        Without Gymnasium.
    """
    if not isinstance(environment, Environment):
        raise ValueError(f"environment: expected an Environment, got {validate.describe(environment)}")
    if environment.reward_sees or not environment.actions:
        what = "rewards that see the policy, which an agent does not show" if environment.reward_sees else "no actions"
        raise ValueError(f"environment: expected one for an agent, got one with {what}")
    if action_bounds is None:
        action_bounds = environment.action_bounds
    elif environment.choices is not None:
        raise ValueError(f"action_bounds: expected None for an action of {environment.choices} choices")
    else:
        action_bounds = validate.interval("action_bounds", action_bounds, environment.actions)
    horizon = None if horizon is None else validate.integer("horizon", horizon, 1)
    return GymnasiumEnvironment(environment, horizon, action_bounds)


def _several(choices: Any) -> Any:
    """Return the space of an action of several components, some of them discrete."""
    if None not in choices:
        return gymnasium.spaces.MultiDiscrete(choices)
    one = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    return gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(k) if k else one for k in choices])


def _numbers(values: Any) -> Any:
    return tuple(float(x) for x in values)
