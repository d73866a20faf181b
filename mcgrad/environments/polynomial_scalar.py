"""Scalar systems with polynomial dynamics and rewards: nonlinear, and every moment of an estimator is a Gaussian integral."""

from .. import validate
from ..problem import Environment


def quadratic_scalar(*, dt: float = 0.05, action_cost: float = 1.0, initial_cov: float = 0.1) -> Environment:
    """Return s_next = s + dt (-s^2 + a) with reward -(s_next^2 + action_cost a^2), s_0 ~ N(0, initial_cov).

    The published policy is a = theta_1 s + theta_2 s^2 + std e: `linear_features(lambda s: (s[0], s[0] ** 2), 1, 1, std)`,
    its horizon T = 6. `mcgrad.exact.quadrature` has the moments of its estimators.

    Parameters
    ----------
    dt : float
        Length of a step, > 0.
    action_cost : float
        Weight of a^2, any finite number.
    initial_cov : float
        Variance of s_0, >= 0.

    Raises
    ------
    ValueError
        For a number out of its range.

    References
    ----------
    Han and Yang (2026), Non-uniform noise-to-signal ratio in the REINFORCE policy-gradient estimator, arXiv 2602.01460.
    """
    return _polynomial(2, 1.0, 2, dt, action_cost, initial_cov, "quadratic scalar")


def cubic_scalar(*, dt: float = 0.05, action_cost: float = 1.0, initial_cov: float = 0.1) -> Environment:
    """Return s_next = s + dt (-s^3 + a) with reward -(1.25 s_next^6 + action_cost a^2), s_0 ~ N(0, initial_cov).

    The published policy is a = theta_1 s + theta_2 s^3 + std e: `linear_features(lambda s: (s[0], s[0] ** 3), 1, 1, std)`,
    its horizon T = 3. In continuous time and for ever, a = -s^3 / 2 is optimal, with value -s^4 / 4.

    Parameters
    ----------
    dt, action_cost, initial_cov : float
        As of `quadratic_scalar`.

    Raises
    ------
    ValueError
        For a number out of its range.

    References
    ----------
    Han and Yang (2026), as of `quadratic_scalar`.
    """
    return _polynomial(3, 1.25, 6, dt, action_cost, initial_cov, "cubic scalar")


def _polynomial(
    power: int, state_cost: float, cost_power: int, dt: float, action_cost: float, initial_cov: float, name: str
) -> Environment:
    """Return s_next = s + dt (-s^power + a) with reward -(state_cost s_next^cost_power + action_cost a^2)."""
    cov = validate.number("initial_cov", initial_cov, low=0.0)
    params = {"dt": validate.number("dt", dt, above=0.0), "action_cost": validate.number("action_cost", action_cost)}
    params |= {"state_cost": state_cost, "initial_std": cov**0.5}

    def init(p, z):
        return (p.initial_std * z[0],)

    def step(p, s, a, w):
        return (s[0] + p.dt * (a[0] - s[0] ** power),)

    def reward(p, s, a, s_next, w):
        return -(p.state_cost * s_next[0] ** cost_power + p.action_cost * a[0] ** 2)

    return Environment(
        states=1, actions=1, initial_noises=1, params=params, init=init, step=step, reward=reward, name=name
    )
