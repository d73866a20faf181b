"""Fast ripples on a slow valley: the pathwise gradient sees the slope of the ripples, whatever their height."""

import math

from .. import validate
from ..problem import Environment
from .one_step import OneStepCost, of_actions


def sinusoid_on_parabola(w: float) -> Environment:
    """Return the environment of one action x with reward -(0.1 sin(x w / pi) + (x / 10)^2 + 0.1).

    The paper smooths the loss with x = mean + 0.3 e, `mcgrad.policies.gaussian(1, std=0.3)`: once the ripples are shorter
    than that (w > 10 or so), they are gone from the gradient, but the pathwise variance grows as 0.005 w^2 / pi^2.

    Parameters
    ----------
    w : float
        Frequency of the ripples.

    Raises
    ------
    ValueError
        If w is not a finite number.

    References
    ----------
    Metz, Freeman, Schoenholz and Kachman (2021), Gradients are not all you need: Figure 1.
    """

    def reward(x, w):
        return -(0.1 * math.sin(x * w / math.pi) + (x / 10.0) ** 2 + 0.1)

    return of_actions(OneStepCost("sinusoid on parabola", validate.number("w", w)), 1, reward)
