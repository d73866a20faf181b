"""The torque-limited pendulum of Gymnasium's Pendulum-v1, step for step."""

import numpy as np

from .. import validate
from ..problem import Environment


def pendulum(
    *,
    gravity: float = 10.0,
    mass: float = 1.0,
    length: float = 1.0,
    dt: float = 0.05,
    max_speed: float = 8.0,
    max_torque: float = 2.0,
    initial_angle: float = np.pi,
    initial_speed: float = 1.0,
) -> Environment:
    """Return the swing-up of a rod whose motor is too weak to lift it; state (angle, speed), angle 0 is upright.

        u = clip(a, -max_torque, max_torque)
        v' = clip(v + dt (3 g / (2 l) sin(angle) + 3 / (m l^2) u), -max_speed, max_speed),    angle' = angle + dt v'
        r = -(wrapped(angle)^2 + 0.1 v^2 + 0.001 u^2),    wrapped into [-pi, pi)

    All of this is continuous: the clips and the wrapping (of a square) only make kinks, so that pathwise gradients are
    unbiased. They are blind where a clip is active: no action beyond max_torque has a derivative. The angle of the state is
    not wrapped; a policy that should not see whole turns takes sin and cos of it, as Gymnasium's observations do.

    Parameters
    ----------
    gravity, mass, length, dt, max_speed, max_torque : float
        In SI units, with Gymnasium's values as defaults; gravity may be 0 or negative, the others are > 0.
    initial_angle, initial_speed : float
        The start is uniform in [-initial_angle, initial_angle] x [-initial_speed, initial_speed], both >= 0.

    Raises
    ------
    ValueError
        For a number out of its range.

    References
    ----------
    Towers et al. (2024), Gymnasium: a standard interface for reinforcement learning environments, arXiv 2407.17032.
    """
    params = {"gravity": validate.number("gravity", gravity)}
    for name, value in (("mass", mass), ("length", length), ("dt", dt)):
        params[name] = validate.number(name, value, above=0.0)
    for name, value in (("max_speed", max_speed), ("max_torque", max_torque)):
        params[name] = validate.number(name, value, above=0.0)
    for name, value in (("initial_angle", initial_angle), ("initial_speed", initial_speed)):
        params[name] = validate.number(name, value, low=0.0)

    def init(p, z):
        return p.initial_angle * (2.0 * z[0] - 1.0), p.initial_speed * (2.0 * z[1] - 1.0)

    def step(p, s, a, w):
        angle, speed = s
        push = 3.0 * p.gravity / (2.0 * p.length) * np.sin(angle) + 3.0 / (p.mass * p.length**2) * torque(p, a)
        speed = np.clip(speed + push * p.dt, -p.max_speed, p.max_speed)
        return angle + speed * p.dt, speed

    def reward(p, s, a, s_next, w):
        wrapped = (s[0] + np.pi) % (2.0 * np.pi) - np.pi
        return -(wrapped**2 + 0.1 * s[1] ** 2 + 0.001 * torque(p, a) ** 2)

    def torque(p, a):
        return np.clip(a[0], -p.max_torque, p.max_torque)

    return Environment(
        states=2,
        actions=1,
        initial_uniforms=2,
        params=params,
        init=init,
        step=step,
        reward=reward,
        name="pendulum",
        action_bounds=(-params["max_torque"], params["max_torque"]),
    )
