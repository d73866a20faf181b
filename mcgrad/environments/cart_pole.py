"""A pole on a cart that is pushed to the left or to the right: the environment of the REINFORCE tutorials.

State (x, x', angle, angle'), angle 0 upright; Euler steps of 0.02 s; a reward of 1 for each step, the last one too; the
episode is over when |x| > 2.4 m or |angle| > 12 degrees. The dynamics are those of Gymnasium's CartPole-v1, which cuts
episodes at 500 steps: choose the horizon accordingly.

References
----------
Barto, Sutton and Anderson (1983), Neuronlike adaptive elements that can solve difficult learning control problems. IEEE
Trans. SMC 13, 834; Florian (2007), Correct equations for the dynamics of the cart-pole system.
"""

import math
from typing import Any

from ..compiler.functions import where
from ..compiler.trace import Number, Numbers
from ..problem import Environment


def cart_pole(
    *,
    gravity: float = 9.8,
    cart_mass: float = 1.0,
    pole_mass: float = 0.1,
    half_length: float = 0.5,
    force: float = 10.0,
    time_step: float = 0.02,
    start_width: float = 0.05,
) -> Environment:
    """Return the cart-pole with two actions, 0 and 1: `force` newtons to the left and to the right.

    Parameters
    ----------
    gravity, cart_mass, pole_mass, half_length, force, time_step : float
        In SI units, meant to be > 0; `half_length` is the distance from the joint to the middle of the pole.
    start_width : float
        Each component of the initial state is uniform in [-start_width, start_width], in m, m/s, rad and rad/s.

    Raises
    ------
    ValueError
        For a number that is not finite.

    References
    ----------
    Barto, Sutton and Anderson (1983), Neuronlike adaptive elements that can solve difficult learning control problems.
    """
    params = {"gravity": gravity, "cart_mass": cart_mass, "pole_mass": pole_mass, "half_length": half_length}
    params |= {"force": force, "time_step": time_step, "start_width": start_width}
    return Environment(
        states=4,
        actions=1,
        choices=2,
        initial_uniforms=4,
        params=params,
        init=_init,
        step=_step,
        reward=lambda p, s, a, s_next, w: 1.0,
        done=_done,
        name="cart-pole",
    )


def _init(p: Any, z: Numbers) -> Numbers:
    return tuple(p.start_width * (2.0 * u - 1.0) for u in z)


def _step(p: Any, s: Numbers, a: Numbers, w: Numbers) -> Numbers:
    x, x_dot, angle, angle_dot = s
    force = where(a[0] > 0.5, p.force, -p.force)
    sine, cosine = math.sin(angle), math.cos(angle)
    mass, moment = p.cart_mass + p.pole_mass, p.pole_mass * p.half_length
    push = (force + moment * angle_dot * angle_dot * sine) / mass
    inertia = p.half_length * (4.0 / 3.0 - p.pole_mass * cosine * cosine / mass)
    angle_acceleration = (p.gravity * sine - cosine * push) / inertia
    acceleration = push - moment * angle_acceleration * cosine / mass
    h = p.time_step
    return (x + h * x_dot, x_dot + h * acceleration, angle + h * angle_dot, angle_dot + h * angle_acceleration)


def _done(p: Any, s: Numbers) -> Number:
    x, _, angle, _ = s
    limit = 12.0 * 2.0 * math.pi / 360.0
    return (x < -2.4) | (x > 2.4) | (angle < -limit) | (angle > limit)
