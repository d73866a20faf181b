"""Components of an action that are functions of the state: a memory that is handed on, a log std that a reward wants to see."""

from ... import validate
from ..maps import MapLike
from .head import Head, parameter


def deterministic(value: MapLike, *, actions: int = 0) -> Head:
    """Return the head a = value(s), without noise: it has no density, and its derivative is followed, never scored.

    Parameters
    ----------
    value : Map
        A map that is used in another head, too, has the same weights there: `memory = maps.layer(4)` handed on by
        `deterministic(memory)` and read by `gaussian(maps.linear(memory), std=0.3)`.
    actions : int, optional
        How many components; 0: as many as the map returns.

    Raises
    ------
    ValueError
        For a value that is no map and no numbers; in a policy, for a map that returns another number of components.
    """
    actions = validate.size("actions", actions, 0)
    return Head("deterministic", (parameter("value", value, actions or None),), actions, lambda values, e: values[0])
