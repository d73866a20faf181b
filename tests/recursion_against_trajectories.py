"""The recursion's moments of nonlinear problems, against four million trajectories: mean, variance and kurtosis.

    python tests/recursion_against_trajectories.py [COUNT]     prints the deviations of each, in standard errors

The standard error of a measured kurtosis is the jackknife's over forty ranges of trajectories. "seen from" is five standard
errors, relative to the exact number: a larger error would have been seen.
"""

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import mcgrad as mg

e, env, policies = mg.estimators, mg.environments, mg.policies
features = policies.linear_features
RANGES = 40
WORST = 5.0


class Case(NamedTuple):
    """A problem, where, estimators, how precise the exact numbers are to be, and for how much work."""

    problem: mg.Problem
    theta: Any
    estimators: dict[str, mg.estimators.Estimator]
    tolerance: float
    work: float = 20.0
    higher: bool = True


BOTH = {"pathwise": e.reparameterization(), "to go": e.reward_to_go(-1.0)}


def double_well() -> Case:
    policy = features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return Case(mg.Problem(env.double_well(), policy, horizon=50), [-0.3, 0.5], BOTH, 1e-4)


def kinked() -> Case:
    """A user's own: a dead zone in the reward and a limit on the action, no process noise to smooth them."""

    def step(p, s, a, w):
        return (0.9 * s[0] + 0.5 * np.clip(a[0], -1.0, 1.0),)

    def reward(p, s, a, s_next, w):
        return -(np.maximum(abs(a[0] - s[0]) - 0.2, 0.0) ** 2)

    mine = mg.Environment(states=1, actions=1, initial_noises=1, step=step, reward=reward,
                          init=lambda p, z: (0.3 * z[0],), name="kinked reward")  # fmt: skip
    return Case(mg.Problem(mine, policies.linear_gaussian(1, 1, std=0.6), horizon=5), [-0.7], BOTH, 1e-4)


def coulomb() -> Case:
    policy = features(lambda s: (1.0 - s[0], s[1]), 2, 1, std=0.3)
    return Case(mg.Problem(env.coulomb_friction(5.0), policy, horizon=8), [1.0, 0.3], BOTH, 1e-3)


def plain_pendulum() -> Case:
    policy = features(lambda s: (np.sin(s[0]), s[1]), 2, 1, std=0.3)
    return Case(mg.Problem(env.plain_pendulum(), policy, horizon=20), [0.5, -0.5], BOTH, 1e-3)


def cart_pole(horizon: int, start_width: float = 0.05) -> Callable[[], Case]:
    """Discrete actions on a continuous state of four numbers; an episode may end early."""

    def case() -> Case:
        policy = policies.softmax_of_state(lambda s: (*s, 1.0), 4, 2)
        problem = mg.Problem(env.cart_pole(start_width=start_width), policy, horizon=horizon)
        return Case(problem, 0.5 * np.sin(np.arange(10.0)), {"to go": e.reward_to_go()}, 1e-3, higher=False)

    return case


CASES = (double_well, kinked, coulomb, plain_pendulum, cart_pole(4), cart_pole(14, 0.0))


def deviations(case: Case, count: int, seed: int = 0) -> dict[tuple[str, str], tuple[float, float]]:
    """Return {(estimator, moment): (deviation, seen)}, of the worst parameter.

    The deviation is in standard errors; an error of `seen`, relative to the exact numbers, would be five of them.
    """
    how = {"higher": case.higher, "tolerance": case.tolerance, "work": case.work}
    exact = mg.exact.moments(case.problem, case.theta, case.estimators, **how)
    size = count // RANGES
    parts = [mg.measure(case.problem, case.theta, case.estimators, size, seed, start=k * size) for k in range(RANGES)]
    up, down = ([*itertools.accumulate(x, mg.Moments.merge)] for x in (parts, parts[::-1]))
    without = [down[-2], *(a.merge(b) for a, b in zip(up, down[-3::-1], strict=False)), up[-2]]
    found = {}
    for name in case.estimators:
        x, y = exact[name], up[-1][name]
        of_variance = x.variance_stderr(count) if case.higher else y.variance_stderr
        pairs = {"mean": (y.mean, x.mean, x.stderr(count)), "variance": (y.variance, x.variance, of_variance)}
        if case.higher:
            spread = np.std([m[name].kurtosis for m in without], axis=0)
            pairs["kurtosis"] = y.kurtosis, x.kurtosis, np.sqrt(RANGES - 1) * spread
        for moment, (measured, true, error) in pairs.items():
            found[name, moment] = (
                float(np.abs((measured - true) / error).max()),
                float(WORST * np.linalg.norm(error) / np.linalg.norm(true)),
            )
    return found


def main(count: int = 4_000_000) -> int:
    """Print the deviations of all cases; return how many are beyond five standard errors."""
    wrong = 0
    for make in CASES:
        case, began = make(), time.process_time()
        name = f"{case.problem.environment.name}, T = {case.problem.horizon}"
        for (estimator, moment), (z, seen) in deviations(case, count).items():
            wrong += not z < WORST
            said = f"seen from {100 * seen:.2g} %" if seen < 1 else "no bound"
            print(f"{name:24} {estimator:10} {moment:9} {z:6.2f}   {said}", flush=True)
        print(f"{name:24} {time.process_time() - began:.0f} s", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
