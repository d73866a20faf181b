"""Dry friction, relaxed: a block on a belt that moves it by friction alone, a force that knows little but a sign."""

from .. import validate
from ..compiler.functions import where
from ..problem import Environment


def coulomb_friction(
    stiffness: float, friction: float = 0.5, gravity: float = 9.81, dt: float = 0.02, target: float = 1.0
) -> Environment:
    """Return the environment of a block (position x, velocity v) on a belt whose speed is the action a.

        v' = v + dt friction gravity clip(stiffness (a - v), -1, 1),    x' = x + dt v',    reward -dt (x' - target)^2

    Coulomb's law is the limit of an infinite stiffness. The relaxed force is continuous, so that the pathwise gradient is
    unbiased, but the action is felt by it only while |a - v| < 1 / stiffness, and then with a slope of
    dt friction gravity stiffness: its variance grows with the stiffness, and where dt friction gravity stiffness > 2, the
    explicit step overshoots and small differences grow from step to step.

    Parameters
    ----------
    stiffness : float
        Slope of the relaxed sign, in s/m, > 0; its width is 2 / stiffness.
    friction, gravity, dt : float
        Coefficient of friction, m/s^2 and s, all > 0.
    target : float
        Where the block should be, in m; it starts at rest at 0.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients?: the relaxation of
    Figures 4 and 8.
    """
    params = {
        "stiffness": validate.number("stiffness", stiffness, above=0.0),
        "friction": validate.number("friction", friction, above=0.0),
        "gravity": validate.number("gravity", gravity, above=0.0),
        "dt": validate.number("dt", dt, above=0.0),
        "target": validate.number("target", target),
    }

    def step(p, s, a, w):
        slip = p.stiffness * (a[0] - s[1])
        sign = where(slip >= 1.0, 1.0, where(slip <= -1.0, -1.0, slip))
        v = s[1] + p.dt * p.friction * p.gravity * sign
        return (s[0] + p.dt * v, v)

    def reward(p, s, a, s_next, w):
        return -p.dt * (s_next[0] - p.target) ** 2

    return Environment(
        states=2,
        actions=1,
        params=params,
        init=lambda p, z: (0.0, 0.0),
        step=step,
        reward=reward,
        name="Coulomb friction",
    )
