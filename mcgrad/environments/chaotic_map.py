"""A chaotic map: what a small change of one action does grows exponentially, and the pathwise gradient with it."""

import math
from typing import NamedTuple

from .. import validate
from ..problem import Environment


class ChaoticMap(NamedTuple):
    """The map as `mcgrad.exact` knows it."""

    gain: float
    start: float


def chaotic_map(gain: float = math.pi, start: float = 0.5) -> Environment:
    """Return the environment x' = sin(gain x + a) with reward -x'^2.

    The derivative of one step is gain cos(gain x + a): the pathwise gradient is a sum of products of these, whose second
    moment grows exponentially with the horizon for a large gain, while the rewards stay within [-1, 0] and the score
    function's variance within a power of the horizon. At gain pi and a = 0 the map is onto [-1, 1] twice.

    Parameters
    ----------
    gain : float
        From 0 on; 1 is where 0 ceases to attract.
    start : float
        x_0, the same in every trajectory.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    Parmas, Rasmussen, Peters and Doya (2018), PIPPS: flexible model-based policy search robust to the curse of chaos; Metz,
    Freeman, Schoenholz and Kachman (2021), Gradients are not all you need.
    """
    closed_form = ChaoticMap(validate.number("gain", gain, low=0.0), validate.number("start", start))
    return Environment(
        states=1,
        actions=1,
        params=closed_form._asdict(),
        init=lambda p, z: (p.start,),
        step=lambda p, s, a, w: (math.sin(p.gain * s[0] + a[0]),),
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2),
        name="chaotic map",
        closed_form=closed_form,
    )
