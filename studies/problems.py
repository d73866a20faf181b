"""The problems of the study `lessons`: those of the literature where it has them, at their published parameters."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import mcgrad as mg
from mcgrad import environments as env
from mcgrad import policies
from studies import workloads
from studies.ladder import scalar


class Case(NamedTuple):
    """A problem of the overview.

    Attributes
    ----------
    problem, detail : str
        What it is called, and what tells it from others of that name.
    make : callable
        make() -> (problem, theta).
    count : int
        Trajectories in a full run.
    kind : str
        "linear-quadratic", "smooth", "kinks", "jumps" or "choice", as in the table of environments.
    degree : int
        Of a baseline that has to be fitted.
    quick : bool
        Whether a quick run has it.
    """

    problem: str
    detail: str
    make: Callable
    count: int = 1_000_000
    kind: str = "smooth"
    degree: int = 2
    quick: bool = False


def of(environment, policy, theta, horizon=1):
    """Return (problem, theta)."""
    return mg.Problem(environment, policy, horizon), policy.theta(theta)


def cost(environment):
    """Return a one-step cost where the literature has it: mean and std are 1, and both are learned."""
    return of(environment, policies.gaussian(1), [1.0, 1.0])


def ripples(frequency):
    """Return the sinusoid on a parabola where the parabola is steepest, under the published smoothing."""
    return of(env.sinusoid_on_parabola(frequency), policies.gaussian(1, std=0.3), [10.0])


def ramp(width):
    """Return the ramp, or with width 0 the step, half a standard deviation from its middle."""
    environment = env.linear_ramp(width) if width else env.step_reward()
    return of(environment, policies.gaussian(1, std=0.2), [0.1])


def chaos(horizon):
    """Return the chaotic map with one unknown push."""
    return of(env.chaotic_map(), policies.gaussian(1, std=0.3), [0.1], horizon)


def swing_up(horizon):
    """Return Pendulum-v1 under a push towards the upright position."""
    policy = policies.linear_features(lambda s: (np.sin(s[0]), s[1]), 2, 1, std=0.3)
    return of(env.pendulum(), policy, [-4.0, 0.0], horizon)


def two_rods(angle, horizon):
    """Return the double pendulum, damped a little, from rest with both rods at an angle."""
    environment = env.double_pendulum(noise_std=0.1, initial_mean=(angle, angle, 0.0, 0.0))
    K = [[0.0, 0.0, -0.1, 0.0], [0.0, 0.0, 0.0, -0.1]]
    return of(environment, policies.linear_gaussian(4, 2, std=0.3), np.ravel(K), horizon)


def friction(stiffness):
    """Return dry friction, relaxed."""
    return of(env.coulomb_friction(stiffness), policies.gaussian(1, std=0.5, states=2), [0.8], 60)


def polynomial(environment, power, horizon):
    """Return a scalar system under its published features."""
    policy = policies.linear_features(lambda s: (s[0], s[0] ** power), 1, 1, std=0.3)
    return of(environment, policy, [-0.5, 0.3], horizon)


def two_double_integrators():
    """Return the workload W1."""
    workload = workloads.lq_4x2()
    return workload.problem, workload.theta


def plain_pendulum():
    """Return the swing-up without limits."""
    policy = policies.linear_features(lambda s: (np.sin(s[0]), s[1]), 2, 1, std=0.3)
    return of(env.plain_pendulum(), policy, [1.0, -1.2], 100)


def cart_pole():
    """Return the cart-pole under a policy that pushes towards where the pole falls."""
    policy = policies.softmax_of_state(lambda s: s, 4, 2)
    return of(env.cart_pole(), policy, [0.0, 0.0, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0], 100)


def corridor():
    """Return the corridor under a policy that does not prefer either side."""
    return of(env.short_corridor(), policies.linear_softmax(env.corridor_features()), [0.0, 0.0], 50)


CASES = (
    Case("scalar LQ", "T = 10", scalar, kind="linear-quadratic", quick=True),
    Case("two double integrators", "T = 50", two_double_integrators, 200_000, "linear-quadratic"),
    Case(
        "influence balancing",
        "T = 60",
        lambda: of(env.influence_balancing(), policies.gaussian(1, std=0.1, states=23), [0.5], 60),
        100_000,
        "linear-quadratic",
        degree=1,
    ),
    Case("quadratic cost", "k = -1", lambda: cost(env.quadratic_cost(-1.0)), kind="linear-quadratic"),
    Case("exponential cost", "k = 1", lambda: cost(env.exponential_cost(1.0))),
    Case("cosine cost", "k = 1.58", lambda: cost(env.cosine_cost(1.58))),
    Case("quadratic system", "T = 6", lambda: polynomial(env.quadratic_scalar(), 2, 6)),
    Case("cubic system", "T = 3", lambda: polynomial(env.cubic_scalar(), 3, 3)),
    Case("swing-up, no limits", "T = 100", plain_pendulum, 100_000),
    Case("Pendulum-v1", "T = 50", lambda: swing_up(50), 200_000, "kinks"),
    Case("Pendulum-v1", "T = 200", lambda: swing_up(200), 200_000, "kinks"),
    Case(
        "double well",
        "T = 50",
        lambda: of(env.double_well(), policies.linear_gaussian(1, 1, std=0.5), [-1.0], 50),
    ),
    Case("double pendulum, hanging", "T = 100", lambda: two_rods(math.pi, 100), 40_000),
    Case("double pendulum, upright", "T = 100", lambda: two_rods(0.0, 100), 40_000),
    Case("chaotic map", "T = 2", lambda: chaos(2), quick=True),
    Case("chaotic map", "T = 10", lambda: chaos(10), quick=True),
    Case("ripples on a valley", "w = 3", lambda: ripples(3.0), quick=True),
    Case("ripples on a valley", "w = 100", lambda: ripples(100.0), quick=True),
    Case("ramp", "width 0.4", lambda: ramp(0.4), kind="kinks", quick=True),
    Case("ramp", "width 0.1", lambda: ramp(0.1), kind="kinks", quick=True),
    Case("ramp", "width 0.01", lambda: ramp(0.01), kind="kinks", quick=True),
    Case("step reward", "width 0", lambda: ramp(0.0), kind="jumps", quick=True),
    Case(
        "ball with wall",
        "angle 0.69",
        lambda: of(env.ball_with_wall(), policies.gaussian(1, std=0.05), [0.6932]),
        kind="jumps",
    ),
    Case("dry friction", "stiffness 10", lambda: friction(10.0), 200_000, "kinks", degree=1),
    Case("dry friction", "stiffness 30", lambda: friction(30.0), 200_000, "kinks", degree=1),
    Case("cart-pole", "T = 100", cart_pole, 100_000, "choice"),
    Case("corridor", "T = 50", corridor, 200_000, "choice", quick=True),
    Case(
        "random walk", "T = 50", lambda: of(env.random_walk(), policies.softmax(7, 2), np.zeros(14), 50), kind="choice"
    ),
)
