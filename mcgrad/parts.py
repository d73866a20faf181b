"""What environments and policies have in common: numbers by name and choices, checked, and how they are described."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from . import validate
from .fixed import Fixed
from .printing import counted


class Acting(Protocol):
    """An environment or a policy."""

    @property
    def actions(self) -> int: ...
    @property
    def choices(self) -> Any: ...


def check_choices(thing: Acting) -> None:
    """Check `choices`: an int for an action that is one whole number, None for one that is continuous, else a tuple."""
    choices = thing.choices
    if isinstance(choices, (tuple, list)):
        if len(choices) != thing.actions:
            raise ValueError(
                f"choices: expected an entry for each of {thing.actions} components of the action, got {len(choices)}"
            )
        choices = tuple(k if k is None else validate.size(f"choices[{i}]", k, 2) for i, k in enumerate(choices))
        if len(choices) == 1 or not any(choices):
            choices = next(iter(choices), None)
    elif choices is not None:
        choices = validate.size("choices", choices, 2)
    object.__setattr__(thing, "choices", choices)


def of_actions(thing: Acting) -> str:
    """Say what an action is."""
    if isinstance(thing.choices, int):
        return f"one of {thing.choices} actions"
    return counted(thing.actions, "action")


def shapes(params: Mapping[str, Any]) -> list[str]:
    """Say what the parameters are called, and how large arrays are."""
    named = [f"{k}[{', '.join(map(str, np.shape(x)))}]" if np.ndim(x) else k for k, x in params.items()]
    return [f"parameters {' '.join(named)}"] if named else []


def checked_params(params: Any) -> Fixed:
    """Return parameters by name as arrays, which nobody can change."""
    if not isinstance(params, Mapping):
        raise ValueError(f"params: expected a dict of numbers and arrays, got {validate.describe(params)}")
    checked = {}
    for name, value in params.items():
        validate.name("params", name)
        checked[name] = validate.array(f"params[{name!r}]", value)
        checked[name].flags.writeable = False
    return Fixed(checked)
