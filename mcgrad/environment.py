"""An environment: dynamics and rewards, as plain Python functions of tuples of numbers.

`p` holds the named parameters, which may change without a recompile. An episode that is `done` stays where it is, without
rewards; a reward may see the policy (`eta`, `log_prob`).
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import validate
from .parts import check_choices, checked_params, of_actions, shapes
from .printing import counted


@dataclasses.dataclass(frozen=True, eq=False)
class Environment:
    """Dynamics and rewards, as plain Python functions of tuples of numbers.

    Parameters
    ----------
    states, actions : int
        n and m: how many numbers make a state and an action. Without actions there is nothing but design parameters.
    noises, initial_noises : int
        How many standard normals `step` and `reward` get as `w`, and `init` as `z`.
    uniforms, initial_uniforms : int
        How many numbers uniform on (0, 1) come after these in `w` and `z`.
    choices : int or tuple, optional
        How many actions there are to choose from, numbered from 0, where the action is discrete. One entry for each
        component where there are several: (2, 3), or (2, None) with a component that is continuous.
    params : dict
        Name -> number or array; the functions read them as `p.name`. New values do not cause a recompile.
    init : callable
        init(p, z) -> the n numbers of s_0.
    step : callable
        step(p, s, a, w) -> the n numbers of the next state.
    reward : callable
        reward(p, s, a, s_next, w) -> the reward of the step, to be maximised. One that sees the policy names what it wants
        after these: `eta`, the parameters of the action's distribution, `log_prob`, log p(a | eta), or both. So an entropy
        bonus is a reward(p, s, a, s_next, w, eta), and a penalty for leaving a reference policy takes log_prob.
    terminal : callable, optional
        terminal(p, s) -> a reward for the last state, discounted by gamma^T.
    done : callable, optional
        done(p, s) -> whether an episode that has arrived at s is over: no actions, no rewards, no `terminal` from then on.
        A reward for having arrived is for `reward` to pay, which sees s_next.
    name : str
        What to call it in messages and tables.
    discontinuous : str, optional
        Where the dynamics or the rewards jump, and what a pathwise gradient, which does not see jumps, loses by it.
        Pathwise gradients warn about it once.
    closed_form : object, optional
        What `mcgrad.exact` knows the environment by: the matrices of a linear-quadratic one, for instance.
    action_bounds : pair, optional
        (low, high), numbers or (m,) arrays: where continuous actions have a limit. It is for agents that need one (see
        `mcgrad.gym`); `step` and `reward` get any action, and have to clip where clipping is meant.

    Raises
    ------
    ValueError
        Naming the argument that is not as described.
    """

    states: int
    actions: int
    noises: int = 0
    initial_noises: int = 0
    uniforms: int = 0
    initial_uniforms: int = 0
    choices: int | tuple | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    init: Callable[..., Any] = None  # type: ignore[assignment]  # checked: there is no default
    step: Callable[..., Any] = None  # type: ignore[assignment]  # checked: there is no default
    reward: Callable[..., Any] = None  # type: ignore[assignment]  # checked: there is no default
    terminal: Callable | None = None
    done: Callable | None = None
    name: str = "environment"
    discontinuous: str | None = None
    closed_form: Any = None
    action_bounds: Any = None

    def __post_init__(self) -> None:
        for field in ("states", "actions", "noises", "initial_noises", "uniforms", "initial_uniforms"):
            low = 1 if field == "states" else 0
            object.__setattr__(self, field, validate.size(field, getattr(self, field), low))
        check_choices(self)
        for field in ("init", "step", "reward"):
            validate.function(field, getattr(self, field))
        for field in ("terminal", "done"):
            validate.function(field, getattr(self, field), optional=True)
        validate.text("discontinuous", self.discontinuous)
        if self.action_bounds is not None:
            if self.choices is not None:
                raise ValueError("action_bounds: expected None for an action that is one of several choices")
            bounds = validate.interval("action_bounds", self.action_bounds, self.actions)
            object.__setattr__(self, "action_bounds", bounds)
        object.__setattr__(self, "params", checked_params(self.params))
        for value in self.closed_form if isinstance(self.closed_form, tuple) else ():
            if isinstance(value, np.ndarray):  # what is known must go on speaking of these functions
                value.flags.writeable = False
        if self.reward_sees:  # it is not the reward that a theory knows
            object.__setattr__(self, "closed_form", None)

    @functools.cached_property
    def reward_sees(self) -> tuple[str, ...]:
        """What of the policy the reward sees, of "eta" and "log_prob", in the order of its arguments."""
        return _reward_sees(self.reward)

    def __repr__(self) -> str:
        noise = [
            counted(count, what)
            for what, count in (
                ("process noise", self.noises + self.uniforms),
                ("initial noise", self.initial_noises + self.initial_uniforms),
            )
            if count
        ]
        facts = [counted(self.states, "state"), of_actions(self), *noise, *shapes(self.params)]
        return f"<Environment {self.name}: {', '.join(facts)}>"


def _reward_sees(reward: Callable[..., Any]) -> tuple[str, ...]:
    """Return which of "eta" and "log_prob" a reward takes after (p, s, a, s_next, w), in the order of its arguments."""
    try:
        arguments = inspect.signature(reward).parameters.values()
    except (TypeError, ValueError):  # some builtins do not say what they take
        return ()
    found = [x for x in arguments if x.name in ("eta", "log_prob")]
    for x in found:
        if x.kind is x.KEYWORD_ONLY or x.kind is x.VAR_KEYWORD or x.kind is x.VAR_POSITIONAL:
            raise ValueError(f"reward: expected {x.name} as an ordinary argument after w, got {x}")
    return tuple(x.name for x in found)
