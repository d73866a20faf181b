"""A reward that jumps, and the ramp that relaxes it: the pathwise gradient is 0, or right and of variance 1 / width."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import validate
from ..compiler.functions import where
from ..problem import Environment


class Ramp(NamedTuple):
    """The reward as `mcgrad.exact` knows it: from 0 to 1 over a width around 0; a width of 0 is a jump."""

    width: float


def step_reward() -> Environment:
    """Return the environment of one action a with reward 1 where a > 0, else 0.

    Under a = theta + std e, J = Phi(theta / std) has a gradient, of which the pathwise one sees nothing: it is 0.

    References
    ----------
    Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?: Figure 2.
    """
    lost = (
        "the reward is a step, whose derivative is 0, so that the pathwise gradient is 0 and all of the gradient is lost; "
        "use score_function() or reward_to_go(), or the relaxed linear_ramp(width)"
    )
    return _environment(Ramp(0.0), {}, lambda p, a: where(a > 0.0, 1.0, 0.0), "step reward", lost)


def linear_ramp(width: float) -> Environment:
    """Return the environment of one action a with reward clip(a / width + 1/2, 0, 1).

    The pathwise gradient is unbiased: 1 / width where |a| < width / 2, else 0. Its variance grows as 1 / width.

    Parameters
    ----------
    width : float
        > 0; the limit 0 is `step_reward()`.

    Raises
    ------
    ValueError
        If the width is not a finite number > 0.
    """
    width = validate.number("width", width, above=0.0)

    def ramp(p, a):
        x = a / p.width + 0.5
        return where(x <= 0.0, 0.0, where(x >= 1.0, 1.0, x))

    return _environment(Ramp(width), {"width": width}, ramp, "linear ramp", None)


def _environment(
    closed_form: Any, params: dict[str, Any], function: Callable[..., Any], name: str, discontinuous: str | None
) -> Environment:
    return Environment(
        states=1,
        actions=1,
        params=params,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (0.0,),
        reward=lambda p, s, a, s_next, w: function(p, a[0]),
        name=name,
        discontinuous=discontinuous,
        closed_form=closed_form,
    )
