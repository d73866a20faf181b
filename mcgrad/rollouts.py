"""Trajectories to be looked at: the same that estimators see."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate
from .kernels.program import rollout_program
from .printing import counted, outline
from .problem import Problem
from .run import CHUNK, END, check_range, run_kernel


class Noise(NamedTuple):
    """The noise behind a rollout, normals before uniform numbers: initial (N, .), action (N, T, .), process (N, T, k)."""

    initial: NDArray[np.float64]
    action: NDArray[np.float64]
    process: NDArray[np.float64]

    def __repr__(self) -> str:
        return outline("Noise", self._asdict())


class Rollout(NamedTuple):
    """Trajectories: states (N, T + 1, n), actions (N, T, m), rewards (N, T) and terminal reward (N,), not discounted.

    `lengths` (N,) counts the steps until an episode ended: T where it did not. States stay where they were from then on.
    """

    states: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    terminal: NDArray[np.float64]
    lengths: NDArray[np.int64]
    noise: Noise

    def __repr__(self) -> str:
        N, T, _ = self.actions.shape
        things: dict[str, Any] = self._asdict()
        noise = ", ".join(f"{name} {x.shape}" for name, x in things.pop("noise")._asdict().items() if x.size)
        return outline(
            f"Rollout: {counted(N, 'trajectory')} of {counted(T, 'step')}", things | {"noise": noise or None}
        )


def rollout(
    problem: Problem, theta: ArrayLike, count: int, seed: int = 0, *, start: int = 0, machine: str = "simd"
) -> Rollout:
    """Return trajectories `start`, ..., `start + count - 1`, to be looked at: the same that estimators see.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    count : int
        N, how many trajectories.
    seed : int
        From 0 to 2^64 - 1.
    start : int
        First trajectory.
    machine : str
        As in `measure`.

    Returns
    -------
    Rollout
        `states` (N, T + 1, n), `actions` (N, T, m), `rewards` (N, T), `terminal` and `lengths` (N,), `noise`; rewards are not
        discounted.

    Raises
    ------
    ValueError
        For an argument out of its range, named; TraceError, which is one, for functions that cannot be traced.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> paths = mg.rollout(problem, [-0.6], count=4)
    >>> paths.states.shape, paths.actions.shape, paths.rewards.shape
    ((4, 11, 1), (4, 10, 1), (4, 10))
    >>> bool(abs(paths.actions + 0.6 * paths.states[:, :-1] - 0.5 * paths.noise.action).max() < 1e-12)
    True
    """
    count, start = validate.integer("count", count, 1), validate.integer("start", start, 0)
    check_range(start, count)
    return trajectories(problem, theta, count, validate.integer("seed", seed, 0, 2**64 - 1), start, machine)


def trajectories(problem: Problem, theta: ArrayLike, count: int, seed: int, start: int, machine: str) -> Rollout:
    """Return trajectories of any numbers, those beyond the end of measurements too."""
    program = rollout_program(problem, theta)
    environment, policy, T = problem.environment, problem.policy, problem.horizon
    n = environment.states
    noises = (policy.noises + policy.uniforms, environment.noises + environment.uniforms)
    at = np.cumsum((0, n, environment.actions, 1, *noises, 1))
    size = max(1, min(CHUNK, 2**23 // program.kernel.outputs))
    steps, ends = np.empty((count, T, at[-1])), np.empty((count, program.kernel.outputs - T * at[-1]))
    for k in range(0, count, size):
        number = min(size, count - k)
        rows = run_kernel(program, seed, start + k, number, machine).T
        steps[k : k + number] = rows[:, : T * at[-1]].reshape(number, T, at[-1])
        ends[k : k + number] = rows[:, T * at[-1] :]
    s, a, r, e, w, alive = (steps[:, :, i:j] for i, j in zip(at[:-1], at[1:], strict=True))
    states = np.concatenate([s, ends[:, None, :n]], axis=1)
    noise = Noise(ends[:, n + 1 :].copy(), e.copy(), w.copy())
    lengths = alive[:, :, 0].sum(axis=1).astype(int)
    return Rollout(states, a.copy(), r[:, :, 0].copy(), ends[:, n].copy(), lengths, noise)


def pilot(problem: Problem, theta: ArrayLike, count: int, seed: int) -> Rollout:
    """Return the last trajectories that there are, to be fitted on: measurements begin with the first."""
    return rollout(problem, theta, count, seed, start=END - count)
