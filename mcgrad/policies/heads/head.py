"""A head: the distribution of some components of an action, before it is known how its parameters follow from the state.

values = the parameters, from maps of the state,    a = sample(values, e),    log p(a | values),    score
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from ... import validate
from ...compiler.trace import Numbers
from ..maps import as_map

Values: TypeAlias = tuple[Numbers, ...]  # of the parameters of a head, a tuple for each


class Parameter(NamedTuple):
    """One parameter of a distribution: its name, the map that gives it, and how many numbers it is."""

    name: str
    map: Any
    count: int | None  # type: ignore[assignment]  # what a tuple has by that name is not wanted


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """The distribution of some components of an action.

    Its functions get and return tuples with an entry, itself a tuple of numbers, for each parameter.

    Attributes
    ----------
    kind : str
        What it is called where it has no name.
    parameters : tuple of Parameter
    actions : int
        How many components of the action it draws; 0: as many as its one parameter has numbers.
    sample : callable
        sample(values, e) -> the components of the action from standard normals and then uniform numbers e.
    log_prob : callable, optional
        log_prob(values, a) -> the log density; without one, the components are functions of the state.
    score : callable, optional
        score(values, a, e) -> d log p / d values.
    noises, uniforms : int
        How many standard normals and uniform numbers `sample` gets.
    choices : int, optional
        How many whole numbers from 0 the action is one of, where it is discrete; (k, None, ...) where only the first is.
    no_pathwise, no_score : str, optional
        As of a `Policy`.
    """

    kind: str
    parameters: tuple
    actions: int
    sample: Callable
    log_prob: Callable | None = None
    score: Callable | None = None
    noises: int = 0
    uniforms: int = 0
    choices: Any = None
    no_pathwise: str | None = None
    no_score: str | None = None


def parameter(name: str, value: Any, count: int | None) -> Parameter:
    """Return a Parameter whose value is a map, or numbers that are not learned."""
    if value is None:
        raise ValueError(f"{name.replace(' ', '_')}: expected a map of the state or numbers, got None")
    return Parameter(name, as_map(name.replace(" ", "_"), value), count)


def scale_parameter(std: Any, log_std: Any, count: int | None) -> tuple[Parameter, bool]:
    """Return the Parameter for a standard deviation or its logarithm, of which one is given, and whether it is the latter."""
    if (std is None) == (log_std is None):
        raise ValueError(f"std, log_std: expected exactly one of them, got std={std!r} and log_std={log_std!r}")
    if std is None:
        return parameter("log std", log_std, count), True
    if not hasattr(std, "build"):
        std = validate.array("std", std)
        if (std <= 0).any():
            raise ValueError(f"std: expected standard deviations > 0, got {std.tolist()}")
    return parameter("std", std, count), False
