"""Episodes that end early: nothing counts after the end, on any machine, at any width."""

import numpy as np
import pytest
from support import stopped

import mcgrad as mg
from mcgrad.compiler import backends
from mcgrad.kernels.program import gradient_program
from mcgrad.run import run_kernel

EARLY = {"gain": 0.3, "limit": 1.5}
ESTIMATORS = {
    "SF": mg.estimators.score_function(),
    "SF - b": mg.estimators.score_function(baseline=3.0),
    "to go": mg.estimators.reward_to_go(baseline=1.5),
    "PW": mg.estimators.reparameterization(),
    "steps": mg.estimators.custom(
        last=lambda c, end: 0.0, step=lambda c, x, n: (n + 1.0, []), finish=lambda c, sums, n: (n,)
    ),
}


def by_hand(problem, theta, found):
    """The same estimators in plain NumPy, trajectory by trajectory, steps that count only."""
    out = {name: [] for name in ESTIMATORS}
    for i, length in enumerate(found.lengths):
        s, a, e = found.states[i, :, 0], found.actions[i, :, 0], found.noise.action[i, :, 0]
        weights = problem.discount ** np.arange(problem.horizon + 1)
        alive_at_end = abs(s[-1]) <= 1.5
        rewards = weights[:length] * found.rewards[i, :length]
        end = weights[-1] * 2.0 * s[-1] if alive_at_end else 0.0
        scores = e[:length] / 0.7 * s[:length]
        to_go = np.cumsum(rewards[::-1])[::-1] + end
        whole = rewards.sum() + end
        out["SF"].append(whole * scores.sum())
        out["SF - b"].append((whole - 3.0) * scores.sum())
        out["to go"].append(((to_go - 1.5) * scores).sum())
        gradient, moved = 0.0, 0.0  # ds/dtheta, forwards
        for t in range(length):
            moved_action = s[t] + theta[0] * moved
            next_moved = 1.1 * moved + 0.3 * moved_action
            gradient += weights[t] * (-0.6 * s[t] * moved - 0.1 * (next_moved * a[t] + s[t + 1] * moved_action))
            moved = next_moved
        out["PW"].append(gradient + (weights[-1] * 2.0 * moved if alive_at_end else 0.0))
        out["steps"].append(float(length))
    return out


@pytest.mark.parametrize("machine", ["simd", "scalar", "numpy"])
def test_against_plain_numpy(machine):
    problem, theta = stopped(12, **EARLY)
    found = mg.rollout(problem, theta, 300, machine=machine)
    assert 0.2 < (found.lengths < problem.horizon).mean() < 0.9
    got = mg.sample(problem, theta, ESTIMATORS, 300, machine=machine)
    for name, expected in by_hand(problem, theta, found).items():
        assert np.allclose(got[name][:, 0], expected, rtol=1e-11, atol=1e-11), name


def test_states_stay_where_they_are_and_rewards_stop():
    problem, theta = stopped(12, **EARLY)
    found = mg.rollout(problem, theta, 300)
    for i, length in enumerate(found.lengths):
        assert (found.states[i, length:] == found.states[i, length]).all()
        assert (found.rewards[i, length:] == 0.0).all()
        assert (np.abs(found.states[i, :length]) <= 1.5).all()
        assert length == problem.horizon or found.terminal[i] == 0.0


def test_neighbours_do_not_matter():
    """Blocks end with their last episode; a trajectory has the same bits at any width and in any company."""
    problem, theta = stopped(40, **EARLY)
    program = gradient_program(problem, theta, ESTIMATORS)
    expected = run_kernel(program, 3, 0, 64).copy()
    for first in (1, 5, 37):
        assert np.array_equal(run_kernel(program, 3, first, 3), expected[:, first : first + 3])
    for width in (1, 4, 8):
        kernel = backends.compiled(program.kernel, "simd", width)
        out = backends.aligned((program.kernel.outputs, 64))
        work = backends.workspace(program.kernel, problem.horizon, width)
        arrays = (program.theta, program.p, program.c, program.rows, np.uint64(3), np.uint64(0), 64 // width, width)
        kernel(*arrays, problem.horizon, np.zeros((0, 0)), work, out, np.zeros(1, dtype=np.int64))
        assert np.array_equal(out, expected)


def test_what_is_not_finite_after_the_end_does_not_matter():
    """log(s) of a state that has ended at s < 0: the rollout and all gradients stay finite."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: (s[0] - 0.6 + 0.3 * a[0],),
        reward=lambda p, s, a, s_next, w: np.log(s[0]) + np.sqrt(s[0]),
        done=lambda p, s: s[0] <= 0.0,
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.2), 8)
    found = mg.measure(problem, [0.1], {k: ESTIMATORS[k] for k in ("to go", "PW")}, 2000)
    assert found.nonfinite == {"to go": 0, "PW": 0}
    assert mg.rollout(problem, [0.1], 2000).lengths.max() < 8


def test_score_function_and_pathwise_differ_by_the_ends():
    """The end jumps with the state: pathwise is biased where it matters, the score function is not.

    Both against central differences of the mean return with common random numbers over 4e6 trajectories.
    """
    problem, theta = stopped(4, 1.0, **EARLY)
    found = mg.measure(problem, theta, {k: ESTIMATORS[k] for k in ("to go", "PW")}, 1_000_000)
    h = 0.05
    pairs = mg.measure(problem, theta, {"FD": mg.estimators.finite_differences(h, 1)}, 4_000_000)["FD"]
    spread = np.hypot(found["to go"].stderr, pairs.stderr)
    assert abs(found["to go"].mean - pairs.mean) < 5 * spread
    assert abs(found["PW"].mean - pairs.mean) > 10 * np.hypot(found["PW"].stderr, pairs.stderr)
