"""A pendulum without limits: smooth dynamics and rewards, an unstable top, and many steps."""

import numpy as np

from .. import validate
from ..problem import Environment


def plain_pendulum(
    *, gravity: float = 15.0, torque: float = 3.0, dt: float = 0.05, push_std: float = 0.05, initial_std: float = 0.3
) -> Environment:
    """Return a pendulum that starts hanging down, angle 0 upright; state (angle, speed).

        v' = v + dt (gravity sin(angle) + torque a) + push_std w,    angle' = angle + dt v',    w ~ N(0, 1)
        r = -(angle^2 + 0.1 v^2 + 0.001 a^2),    s_0 ~ N((pi, 0), initial_std^2 I)

    Neither torque nor speed is limited and the angle is not wrapped, so that everything has derivatives of all orders.

    Parameters
    ----------
    gravity, torque : float
        Angular accelerations: 3 g / (2 l), and 3 / (m l^2) for each unit of action.
    dt : float
        Length of a step, > 0.
    push_std : float
        Standard deviation of the random change of speed in a step, >= 0; with 0 the environment has no process noise.
    initial_std : float
        Standard deviation of the angle and the speed at the start, >= 0.

    Raises
    ------
    ValueError
        For a number out of its range.
    """
    params = {"gravity": validate.number("gravity", gravity), "torque": validate.number("torque", torque)}
    params["dt"] = validate.number("dt", dt, above=0.0)
    params["initial_std"] = validate.number("initial_std", initial_std, low=0.0)
    push_std = validate.number("push_std", push_std, low=0.0)
    noisy = push_std > 0.0
    if noisy:
        params["push_std"] = push_std

    def init(p, z):
        return np.pi + p.initial_std * z[0], p.initial_std * z[1]

    def step(p, s, a, w):
        speed = s[1] + p.dt * (p.gravity * np.sin(s[0]) + p.torque * a[0])
        if noisy:
            speed = speed + p.push_std * w[0]
        return s[0] + p.dt * speed, speed

    def reward(p, s, a, s_next, w):
        return -(s[0] ** 2 + 0.1 * s[1] ** 2 + 0.001 * a[0] ** 2)

    return Environment(
        states=2,
        actions=1,
        noises=1 if noisy else 0,
        initial_noises=2,
        params=params,
        init=init,
        step=step,
        reward=reward,
        name="plain pendulum",
    )
