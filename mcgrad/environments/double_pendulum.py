"""The double pendulum: chaotic, with motors at its joints."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import validate
from ..problem import Environment

JOINTS = {"both": (0, 1), "shoulder": (0,), "elbow": (1,)}


def double_pendulum(
    *,
    joints: str = "both",
    masses: ArrayLike = (1.0, 1.0),
    lengths: ArrayLike = (1.0, 1.0),
    gravity: float = 9.8,
    dt: float = 0.05,
    noise_std: float = 0.0,
    speed_cost: float = 0.01,
    torque_cost: float = 0.001,
    initial_mean: ArrayLike = (math.pi, math.pi, 0.0, 0.0),
    initial_std: float = 0.1,
) -> Environment:
    """Return two point masses on massless rods; state (angle_1, angle_2, speed_1, speed_2), both angles 0 upright.

    Angles are those of the rods with the vertical; a_1 turns the first rod against the base, a_2 the second against the
    first. With D = angle_1 - angle_2 and M = m_1 + m_2,

        M l_1^2 acc_1 + m_2 l_1 l_2 cos(D) acc_2 = -m_2 l_1 l_2 sin(D) speed_2^2 + M g l_1 sin(angle_1) + a_1 - a_2
        m_2 l_1 l_2 cos(D) acc_1 + m_2 l_2^2 acc_2 = m_2 l_1 l_2 sin(D) speed_1^2 + m_2 g l_2 sin(angle_2) + a_2
        r = dt (l_1 (cos angle_1 - 1) + l_2 (cos angle_2 - 1) - speed_cost |speed|^2 - torque_cost |a|^2)

    A step is one of Runge and Kutta (fourth order) with constant torques; then noise_std sqrt(dt) w is added to the speeds.
    The reward is the height of the tip below its highest point, and 0 at best. Everything is smooth; without torque the
    energy is conserved, and nearby trajectories part exponentially, so that pathwise variances grow with the horizon.

    Parameters
    ----------
    joints : str
        Where the motors are: "both" (m = 2), "shoulder" (a_1 alone) or "elbow" (a_2 alone, as in the acrobot).
    masses, lengths : (2,)
        Of the points and of the rods, > 0.
    gravity : float
        g, any finite number.
    dt : float
        Length of a step, > 0.
    noise_std : float
        Standard deviation of what noise adds to each speed in one unit of time, >= 0; with 0: no process noise.
    speed_cost, torque_cost : float
        Weights in the reward.
    initial_mean : (4,)
        Mean of the first state; by default both rods hang.
    initial_std : float or (4,)
        Standard deviations of the first state, >= 0.

    Raises
    ------
    ValueError
        For a wrong shape, a number out of its range or an unknown joint.

    References
    ----------
    Parmas, Rasmussen, Peters and Doya (2018), PIPPS, and Metz, Freeman, Schoenholz and Kachman (2021), Gradients are not
    all you need, on pathwise gradients of chaotic systems.
    """
    if not isinstance(joints, str) or joints not in JOINTS:
        raise ValueError(f"joints: expected 'both', 'shoulder' or 'elbow', got {validate.describe(joints)}")
    motors = JOINTS[joints]
    params: dict[str, Any] = {
        "gravity": validate.number("gravity", gravity),
        "dt": validate.number("dt", dt, above=0.0),
    }
    for name, value in (("speed_cost", speed_cost), ("torque_cost", torque_cost)):
        params[name] = validate.number(name, value)
    for name, value in (("masses", masses), ("lengths", lengths)):
        params[name] = validate.array(name, value, (2,))
        if (params[name] <= 0.0).any():
            raise ValueError(f"{name}: expected two numbers > 0, got {params[name].tolist()}")
    params["initial_mean"] = validate.array("initial_mean", initial_mean, (4,))
    std = validate.array("initial_std", initial_std)
    std = validate.array("initial_std", np.full(4, float(std)) if std.ndim == 0 else std, (4,))
    if (std < 0.0).any():
        raise ValueError(f"initial_std: expected standard deviations >= 0, got {std.tolist()}")
    params["initial_std"] = std
    noise_std = validate.number("noise_std", noise_std, low=0.0)
    noisy = noise_std > 0.0
    if noisy:
        params["kick"] = noise_std * math.sqrt(dt)

    def init(p, z):
        return tuple(p.initial_mean[i] + p.initial_std[i] * z[i] for i in range(4))

    def rate(p, s, a):
        """Return ds/dt."""
        (m1, m2), (l1, l2) = p.masses, p.lengths
        torques = {motor: a[k] for k, motor in enumerate(motors)}
        shoulder, elbow = torques.get(0, 0.0), torques.get(1, 0.0)
        coupling, swirl = m2 * l1 * l2 * np.cos(s[0] - s[1]), m2 * l1 * l2 * np.sin(s[0] - s[1])
        first, second = (m1 + m2) * l1**2, m2 * l2**2
        f1 = (m1 + m2) * p.gravity * l1 * np.sin(s[0]) - swirl * s[3] ** 2 + shoulder - elbow
        f2 = m2 * p.gravity * l2 * np.sin(s[1]) + swirl * s[2] ** 2 + elbow
        det = first * second - coupling**2
        return s[2], s[3], (second * f1 - coupling * f2) / det, (first * f2 - coupling * f1) / det

    def step(p, s, a, w):
        def ahead(slope, time):
            return tuple(x + time * k for x, k in zip(s, slope, strict=True))

        k1 = rate(p, s, a)
        k2 = rate(p, ahead(k1, 0.5 * p.dt), a)
        k3 = rate(p, ahead(k2, 0.5 * p.dt), a)
        k4 = rate(p, ahead(k3, p.dt), a)
        mean = tuple((b + 2.0 * (c + d) + e) / 6.0 for b, c, d, e in zip(k1, k2, k3, k4, strict=True))
        x, y, u, v = ahead(mean, p.dt)
        return (x, y, u + p.kick * w[0], v + p.kick * w[1]) if noisy else (x, y, u, v)

    def reward(p, s, a, s_next, w):
        height = p.lengths[0] * (np.cos(s[0]) - 1.0) + p.lengths[1] * (np.cos(s[1]) - 1.0)
        cost = p.speed_cost * (s[2] ** 2 + s[3] ** 2) + p.torque_cost * sum(x**2 for x in a)
        return p.dt * (height - cost)

    return Environment(
        states=4,
        actions=len(motors),
        noises=2 if noisy else 0,
        initial_noises=4,
        params=params,
        init=init,
        step=step,
        reward=reward,
        name=f"double pendulum, {joints}",
    )
