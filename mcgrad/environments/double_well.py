"""A particle in a double well, kicked by noise and by the action: rare events and a fork in the road."""

import math

from .. import validate
from ..problem import Environment


def double_well(
    *,
    dt: float = 0.05,
    depth: float = 1.0,
    noise_std: float = 0.5,
    target: float = 1.0,
    action_cost: float = 0.1,
    initial_mean: float = -1.0,
    initial_std: float = 0.1,
) -> Environment:
    """Return overdamped motion in the potential U(s) = depth (s^2 - 1)^2, pushed by the action.

        s_next = s + dt (a - U'(s)) + noise_std sqrt(dt) w,    w ~ N(0, 1)
        r = -dt ((s_next - target)^2 + action_cost a^2)

    The Euler-Maruyama step of ds = (a - U'(s)) dt + noise_std dW. It starts in the left well, and the reward is in the right
    one, behind a barrier of height `depth` at 0, where trajectories with nearly the same noise part: derivatives of the
    return grow there. Beyond |s| = sqrt(1 + 1 / (2 depth dt)), 3.3 by default, the step overshoots and diverges.

    Parameters
    ----------
    dt : float
        Length of a step, > 0.
    depth : float
        Height of the barrier, >= 0; 0: no wells.
    noise_std : float
        Standard deviation of the noise of one unit of time, >= 0; with 0 the environment has no process noise.
    target, action_cost : float
        Where the reward is greatest; the weight of a^2.
    initial_mean, initial_std : float
        s_0 ~ N(initial_mean, initial_std^2), initial_std >= 0.

    Raises
    ------
    ValueError
        For a number out of its range.

    References
    ----------
    Kappen (2005), Path integrals and symmetry breaking for optimal control theory, J. Stat. Mech. P11011.
    """
    params = {"dt": validate.number("dt", dt, above=0.0), "depth": validate.number("depth", depth, low=0.0)}
    for key, value in (("target", target), ("action_cost", action_cost), ("initial_mean", initial_mean)):
        params[key] = validate.number(key, value)
    params["initial_std"] = validate.number("initial_std", initial_std, low=0.0)
    noise_std = validate.number("noise_std", noise_std, low=0.0)
    noisy = noise_std > 0.0
    if noisy:
        params["kick"] = noise_std * math.sqrt(dt)

    def init(p, z):
        return (p.initial_mean + p.initial_std * z[0],)

    def step(p, s, a, w):
        drift = a[0] - 4.0 * p.depth * s[0] * (s[0] ** 2 - 1.0)
        s_next = s[0] + p.dt * drift
        return (s_next + p.kick * w[0] if noisy else s_next,)

    def reward(p, s, a, s_next, w):
        return -p.dt * ((s_next[0] - p.target) ** 2 + p.action_cost * a[0] ** 2)

    return Environment(
        states=1,
        actions=1,
        noises=1 if noisy else 0,
        initial_noises=1,
        params=params,
        init=init,
        step=step,
        reward=reward,
        name="double well",
    )
