"""A ball is thrown at an angle; a wall stops it or does not: where it lands jumps twice."""

import math
from typing import NamedTuple

from .. import validate
from ..compiler.functions import where
from ..problem import Environment


class BallWithWall(NamedTuple):
    """The throw as `mcgrad.exact` knows it."""

    speed: float
    distance: float
    height: float
    gravity: float


def ball_with_wall(
    speed: float = 1.0, distance: float = 0.06, height: float = 0.02, gravity: float = 9.81
) -> Environment:
    """Return the environment whose action is the angle of a throw, with reward -x^2, x being where the ball ends.

    Without a wall the ball lands at x = speed^2 sin(2 angle) / gravity. At `distance` it flies at

        distance tan(angle) - gravity distance^2 / (2 speed^2 cos(angle)^2),

    and if that is not above `height`, it ends at the wall, x = distance. The reward is the function f = -x^2 of the paper
    as it stands there, a cost: whoever wants to throw far descends. It jumps at the two angles that just clear the wall.

    Parameters
    ----------
    speed, distance, height, gravity : float
        In m/s, m, m, m/s^2; all > 0. The defaults are those of the paper, whose angle is theta + 0.05 e.

    Raises
    ------
    ValueError
        If one of them is not a finite number > 0.

    References
    ----------
    Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?: Figure 7.
    """
    throw = BallWithWall(
        validate.number("speed", speed, above=0.0),
        validate.number("distance", distance, above=0.0),
        validate.number("height", height, above=0.0),
        validate.number("gravity", gravity, above=0.0),
    )

    def reward(p, s, a, s_next, w):
        sine, cosine = math.sin(a[0]), math.cos(a[0])
        landing = 2.0 * p.speed**2 * sine * cosine / p.gravity
        # The height at the wall times cos^2, which spares the tangent and its pole.
        drop = 0.5 * p.gravity * (p.distance / p.speed) ** 2
        clears = p.distance * sine * cosine - drop > p.height * cosine * cosine
        x = where((landing <= p.distance) | clears, landing, p.distance)
        return -x * x

    return Environment(
        states=1,
        actions=1,
        params=throw._asdict(),
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (0.0,),
        reward=reward,
        name="ball with wall",
        discontinuous=(
            "the ball clears the wall or does not, and where it ends jumps; what the jumps add to the gradient is lost; use "
            "score_function() or reward_to_go()"
        ),
        closed_form=throw,
    )
