"""Smooth nonlinear environments: against their published formulas, finite differences, and each other's estimators."""

import types

import numpy as np
import pytest
from refusals import refused
from smooth_problems import BOTH, problems
from test_pathwise import by_differences

import mcgrad as mg

environments = mg.environments
NAMES = list(problems())
KINKS = {"pendulum": 0.98}  # a clip within h of a trajectory spoils its difference, not its derivative


def plain(environment):
    """Return the parameters of an environment as its functions read them outside of a kernel."""
    return types.SimpleNamespace(**environment.params)


@pytest.mark.parametrize("name", NAMES)
def test_pathwise_equals_finite_differences(name):
    problem, theta = problems()[name]
    expected = by_differences(problem, theta, 100)
    for machine in ("numpy", "simd"):
        found = mg.sample(problem, theta, BOTH, 100, seed=4, machine=machine)["PW"]
        error = np.abs(found - expected) / np.abs(expected).max(axis=0)
        assert np.quantile(error, KINKS.get(name, 1.0)) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_machines_agree(name):
    problem, theta = problems()[name]
    simd, by_numpy = (mg.sample(problem, theta, BOTH, 50, seed=9, machine=x) for x in ("simd", "numpy"))
    for estimator in BOTH:
        assert relative(simd[estimator], by_numpy[estimator]) < 1e-12


def test_the_scalar_machine_agrees():
    """On one with clips, remainders and a network; Numba takes seconds for each kernel."""
    problem, theta = problems()["pendulum"]
    scalar, by_numpy = (mg.sample(problem, theta, BOTH, 50, seed=9, machine=x) for x in ("scalar", "numpy"))
    for estimator in BOTH:
        assert relative(scalar[estimator], by_numpy[estimator]) < 1e-12


def test_the_scalar_machine_agrees_on_double_pendulums():
    scalar, by_numpy = (mg.rollout(*problems()["double pendulum"], 50, machine=x) for x in ("scalar", "numpy"))
    for x, y in zip(scalar[:3], by_numpy[:3], strict=True):
        assert relative(x, y) < 1e-12


def relative(x, y):
    """Return the largest difference relative to the largest number of each component."""
    return np.max(np.abs(x - y) / np.abs(y).max(axis=0))


@pytest.mark.parametrize("name", NAMES)
def test_score_function_and_pathwise_have_one_mean(name, seed):
    problem, theta = problems()[name]
    count = 300_000
    found = mg.measure(problem, theta, BOTH, count, seed)
    variance = found["SF"].variance + found["PW"].variance - 2 * found.covariance("SF", "PW")
    assert np.max(np.abs(found["SF"].mean - found["PW"].mean) / np.sqrt(variance / count)) < 5
    assert np.max(np.abs(found["PW"].mean) / found["PW"].stderr) > 20  # not by both being zero


# ---- the pendulum of Gymnasium ---------------------------------------------------------------------------------


def pendulum_v1(theta, speed, action):
    """Return the next angle, speed and the reward of Pendulum-v1, as published."""
    g, m, length, dt = 10.0, 1.0, 1.0, 0.05
    u = np.clip(action, -2.0, 2.0)
    normalised = ((theta + np.pi) % (2 * np.pi)) - np.pi
    cost = normalised**2 + 0.1 * speed**2 + 0.001 * u**2
    speed = speed + (3 * g / (2 * length) * np.sin(theta) + 3.0 / (m * length**2) * u) * dt
    speed = np.clip(speed, -8.0, 8.0)
    return theta + speed * dt, speed, -cost


def test_pendulum_is_that_of_gymnasium():
    """Within a rollout, so that it is the compiled one that is looked at: limits of torque and speed reached, turns made."""
    policy = mg.policies.linear_features(lambda s: (s[0], s[1]), 2, 1, std=2.0)
    path = mg.rollout(mg.Problem(environments.pendulum(), policy, 200), [0.1, 0.5], 200)
    angle, speed = path.states[:, :-1, 0], path.states[:, :-1, 1]
    action = path.actions[:, :, 0]
    assert (np.abs(action) > 2.0).mean() > 0.1 and (np.abs(speed) == 8.0).any() and np.abs(angle).max() > 3 * np.pi
    next_angle, next_speed, reward = pendulum_v1(angle, speed, action)
    np.testing.assert_allclose(path.states[:, 1:, 0], next_angle, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(path.states[:, 1:, 1], next_speed, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(path.rewards, reward, rtol=1e-12, atol=1e-12)


def test_pendulum_starts_uniformly(seed):
    """Each cell of a 10 x 10 grid over [-pi, pi] x [-1, 1] is as likely: chi-squared with 99 degrees of freedom."""
    problem, theta = problems()["pendulum"]
    one_step = mg.Problem(problem.environment, problem.policy, 1)
    angle, speed = mg.rollout(one_step, theta, 200_000, seed, machine="numpy").states[:, 0].T
    counts, *_ = np.histogram2d(angle, speed, bins=10, range=[[-np.pi, np.pi], [-1.0, 1.0]])
    assert counts.sum() == 200_000
    chi2 = ((counts - 2000.0) ** 2 / 2000.0).sum()
    assert abs(chi2 - 99.0) < 5 * np.sqrt(2 * 99.0)


def test_the_plain_pendulum_is_that_of_the_throughput_study():
    from studies.workloads import pendulum

    workload = pendulum()
    ours = mg.Problem(environments.plain_pendulum(), workload.problem.policy, workload.problem.horizon)
    paths = [mg.rollout(x, workload.theta, 50, machine="numpy") for x in (workload.problem, ours)]
    np.testing.assert_allclose(paths[0].states, paths[1].states, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(paths[0].rewards, paths[1].rewards, rtol=1e-10, atol=1e-10)


# ---- formulas written out --------------------------------------------------------------------------------------


def test_polynomial_systems_are_as_published():
    for name, power, cost in (("quadratic", 2, lambda s: s**2), ("cubic", 3, lambda s: 1.25 * s**6)):
        path = mg.rollout(*problems()[name], 50, machine="numpy")
        s, a = path.states[:, :, 0], path.actions[:, :, 0]
        np.testing.assert_allclose(s[:, 1:], s[:, :-1] + 0.05 * (a - s[:, :-1] ** power), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(path.rewards, -cost(s[:, 1:]) - a**2, rtol=1e-12)
        features = np.stack([s[:, :-1], s[:, :-1] ** power])
        mean = np.tensordot(problems()[name][1][:2], features, 1)
        np.testing.assert_allclose(a, mean + 0.3 * path.noise.action[:, :, 0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(s[:, 0], np.sqrt(0.1) * path.noise.initial[:, 0])


def test_double_well_relaxes_into_its_wells():
    """The drift is -U', and the noise in a well is that of a linearised Ornstein-Uhlenbeck process."""
    environment = environments.double_well(depth=2.0, dt=0.01, noise_std=0.2, action_cost=0.3, target=0.5)
    s, a = np.linspace(-1.5, 1.5, 31), np.linspace(-2, 2, 31)
    (moved,) = environment.step(plain(environment), (s,), (a,), (np.zeros(31),))
    h = 1e-5
    slope = (2.0 * ((s + h) ** 2 - 1) ** 2 - 2.0 * ((s - h) ** 2 - 1) ** 2) / (2 * h)
    np.testing.assert_allclose((moved - s) / 0.01, a - slope, atol=1e-8)
    found = environment.reward(plain(environment), (s,), (a,), (moved,), ())
    np.testing.assert_allclose(found, -0.01 * ((moved - 0.5) ** 2 + 0.3 * a**2))

    policy = mg.policies.linear_features(lambda s: (s[0],), 1, 1, std=0.0)
    path = mg.rollout(mg.Problem(environment, policy, 400), [0.0], 4000, machine="numpy")
    last = path.states[:, -1, 0]
    assert abs(last.mean() + 1.0) < 0.01
    # U''(-1) = 8 depth = 16: variance noise_std^2 / (2 * 16); 15 % for the anharmonic part and the sample
    assert last.var() == pytest.approx(0.2**2 / 32, rel=0.15)


# ---- the double pendulum ---------------------------------------------------------------------------------------

MASSES, LENGTHS, GRAVITY = (1.3, 0.7), (0.8, 1.1), 9.8


def lagrangian(q, v):
    """T - V of two point masses in Cartesian coordinates, angles from the upward vertical."""
    (m1, m2), (l1, l2) = MASSES, LENGTHS
    v1 = np.array([l1 * np.cos(q[0]) * v[0], -l1 * np.sin(q[0]) * v[0]])
    v2 = v1 + np.array([l2 * np.cos(q[1]) * v[1], -l2 * np.sin(q[1]) * v[1]])
    y1 = l1 * np.cos(q[0])
    potential = GRAVITY * (m1 * y1 + m2 * (y1 + l2 * np.cos(q[1])))
    kinetic = (m1 * (v1**2).sum(axis=0) + m2 * (v2**2).sum(axis=0)) / 2
    return kinetic - potential, kinetic + potential


def slopes(function, x, h=1e-3):
    """Return the two partial derivatives of a function of a pair, to fourth order."""
    found = []
    for i in range(2):
        e = h * np.eye(2)[i][:, None]
        near, far = (function(x + k * e)[0] - function(x - k * e)[0] for k in (1, 2))
        found.append((8 * near - far) / (12 * h))
    return np.array(found)


def free(dt):
    return environments.double_pendulum(masses=MASSES, lengths=LENGTHS, gravity=GRAVITY, dt=dt)


def test_double_pendulum_obeys_lagrange(seed):
    """d/dt dL/dv = dL/dq + the torques, which do work a_1 on angle_1 and a_2 on angle_2 - angle_1."""
    rng = np.random.default_rng(seed)
    state, action = rng.normal(size=(4, 200)), rng.normal(size=(2, 200))
    environment = free(1e-4)

    def momentum(s):
        return slopes(lambda v: lagrangian(s[:2], v), s[2:])

    ahead, behind = plain(environment), plain(environment)
    behind.dt = -1e-4
    after, before = (np.array(environment.step(p, state, action, ())) for p in (ahead, behind))
    of_momentum = (momentum(after) - momentum(before)) / 2e-4
    force = slopes(lambda q: lagrangian(q, state[2:]), state[:2])
    force += np.array([action[0] - action[1], action[1]])
    np.testing.assert_allclose(of_momentum, force, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose((after - before)[:2] / 2e-4, state[2:], rtol=1e-6, atol=1e-6)


def test_double_pendulum_conserves_energy(seed):
    """Without torque, for a second from random starts; the drift falls as dt^4 or faster."""
    drift = []
    for dt in (2e-3, 1e-3):
        environment = free(dt)
        state = np.array([2.0, 2.0, 1.0, 1.0])[:, None] * np.random.default_rng(seed).normal(size=(4, 50))
        _, energy = lagrangian(state[:2], state[2:])
        for _ in range(round(1 / dt)):
            state = np.array(environment.step(plain(environment), state, np.zeros((2, 50)), ()))
        _, later = lagrangian(state[:2], state[2:])
        drift.append(np.abs(later - energy).max())
    assert drift[1] < 1e-7 and drift[1] < drift[0] / 14


def test_double_pendulum_rewards_height(seed):
    environment = environments.double_pendulum(joints="elbow", lengths=(1.0, 2.0), torque_cost=0.1, speed_cost=0.2)
    assert environment.actions == 1
    s, a = np.random.default_rng(seed).normal(size=(4, 9)), np.full((1, 9), 3.0)
    tip = np.cos(s[0]) + 2.0 * np.cos(s[1])
    expected = 0.05 * (tip - 3.0 - 0.2 * (s[2] ** 2 + s[3] ** 2) - 0.1 * 9.0)
    np.testing.assert_allclose(environment.reward(plain(environment), s, a, s, ()), expected, rtol=1e-12)


@pytest.mark.parametrize("joints", ["shoulder", "elbow"])
def test_one_motor_is_two_of_which_one_rests(joints):
    one, both = (environments.double_pendulum(joints=x) for x in (joints, "both"))
    s, a = np.array([0.3, -0.4, 1.0, 2.0]), 1.7
    torques = (a, 0.0) if joints == "shoulder" else (0.0, a)
    np.testing.assert_allclose(one.step(plain(one), s, (a,), ()), both.step(plain(both), s, torques, ()), rtol=1e-14)


def test_nearby_double_pendulums_part(seed):
    """Chaos: with rods let go at a right angle, the pathwise variance grows exponentially with the horizon."""
    problem, theta = problems()["double pendulum"]
    environment = environments.double_pendulum(noise_std=0.1, initial_mean=(1.5, 1.5, 0.0, 0.0))
    variance = [
        mg.measure(mg.Problem(environment, problem.policy, T), 0 * theta, BOTH, 2000, seed)["PW"].variance.max()
        for T in (40, 80, 120)
    ]
    assert variance[1] > 100 * variance[0] and variance[2] > 100 * variance[1]


# ---- wrong input -----------------------------------------------------------------------------------------------

POSITIVE, NOT_NEGATIVE = "expected a number > 0", "expected a number >= 0"
WRONG = [
    *(
        (environments.pendulum, {x: 0.0}, f"{x}: {POSITIVE}")
        for x in ("mass", "length", "dt", "max_speed", "max_torque")
    ),
    *((environments.pendulum, {x: -1.0}, f"{x}: {NOT_NEGATIVE}") for x in ("initial_angle", "initial_speed")),
    (environments.pendulum, {"gravity": np.inf}, "gravity: expected finite"),
    (environments.plain_pendulum, {"dt": 0.0}, f"dt: {POSITIVE}"),
    *((environments.plain_pendulum, {x: -1.0}, f"{x}: {NOT_NEGATIVE}") for x in ("push_std", "initial_std")),
    *((environments.plain_pendulum, {x: "g"}, f"{x}: expected real numbers") for x in ("gravity", "torque")),
    *((f, {"dt": -0.1}, f"dt: {POSITIVE}") for f in (environments.quadratic_scalar, environments.cubic_scalar)),
    (environments.quadratic_scalar, {"initial_cov": -0.1}, f"initial_cov: {NOT_NEGATIVE}"),
    (environments.cubic_scalar, {"action_cost": None}, "action_cost: expected real numbers, got NoneType"),
    (environments.double_well, {"dt": 0.0}, f"dt: {POSITIVE}"),
    *((environments.double_well, {x: -1.0}, f"{x}: {NOT_NEGATIVE}") for x in ("depth", "noise_std", "initial_std")),
    *((environments.double_well, {x: np.nan}, f"{x}: expected fin") for x in ("target", "action_cost", "initial_mean")),
    (
        environments.double_pendulum,
        {"joints": "knee"},
        "joints: expected 'both', 'shoulder' or 'elbow', got str 'knee'",
    ),
    (environments.double_pendulum, {"joints": ["both"]}, "joints: expected 'both', 'shoulder' or 'elbow', got list"),
    *((environments.double_pendulum, {x: (1.0, 0.0)}, f"{x}: expected two numbers > 0") for x in ("masses", "lengths")),
    (environments.double_pendulum, {"masses": 1.0}, r"masses: expected shape \(2,\), got \(\)"),
    (environments.double_pendulum, {"dt": 0.0}, f"dt: {POSITIVE}"),
    (environments.double_pendulum, {"noise_std": -1.0}, f"noise_std: {NOT_NEGATIVE}"),
    *(
        (environments.double_pendulum, {x: np.inf}, f"{x}: expected finite")
        for x in ("gravity", "speed_cost", "torque_cost")
    ),
    (environments.double_pendulum, {"initial_mean": (0.0, 0.0)}, r"initial_mean: expected shape \(4,\), got \(2,\)"),
    (environments.double_pendulum, {"initial_std": (1.0, 0.0)}, r"initial_std: expected shape \(4,\), got \(2,\)"),
    (environments.double_pendulum, {"initial_std": -0.1}, "initial_std: expected standard deviations >= 0"),
]


@pytest.mark.parametrize(("environment", "changes", "message"), WRONG)
def test_wrong_input(environment, changes, message):
    refused("^" + message, environment, **changes)


def test_new_numbers_do_not_make_a_new_kernel():
    from mcgrad.kernels.program import gradient_program

    def text(environment):
        problem = mg.Problem(environment, problems()["double pendulum"][0].policy, 6)
        return gradient_program(problem, problems()["double pendulum"][1], BOTH).kernel.text

    one = text(environments.double_pendulum(noise_std=0.1))
    other = text(environments.double_pendulum(noise_std=0.2, masses=(2.0, 3.0), gravity=1.6, dt=0.01, initial_std=0.5))
    assert one == other
