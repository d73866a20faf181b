"""Train in a jitted loop: ten thousand steps of stochastic gradient ascent, nothing of Python between them.

    python examples/train_in_a_jitted_loop.py [STEPS]

A call of `mg.measure` checks what it is given and takes moments, for half a millisecond. A kernel (`mg.kernel`) is the machine
code alone: here it is called from a loop that Numba compiles, 64 trajectories a step.
"""

import sys
import time

import numba
import numpy as np

import mcgrad as mg

BATCH = 64

system = mg.environments.linear_quadratic(
    [[1.0, 0.1], [0.0, 1.0]], [[0.005], [0.1]], np.eye(2), [[0.1]], process_noise=0.01 * np.eye(2)
)
problem = mg.Problem(system, mg.policies.linear_gaussian(2, 1, std=0.3), horizon=30)
kernel = mg.kernel(problem, {"pathwise": mg.estimators.reparameterization()})
gradients = kernel.function  # gradients(theta, seed, first, out, work): see its docstring


@numba.njit
def train(theta, seed, steps, out, work):
    """Return theta after so many steps of length 0.02 / sqrt(k + 100)."""
    for k in range(steps):
        gradients(theta, seed, k * BATCH, out, work)  # trajectories k * 64, ... of this seed
        for p in range(theta.size):
            theta[p] += 0.02 / np.sqrt(k + 100.0) * out[p].mean()
    return theta


def main(steps=10_000, seed=0):
    """Train, and return theta at the end."""
    out, work = kernel.out(BATCH), kernel.work()
    train(np.zeros(2), seed, 1, out, work)  # compile
    began = time.perf_counter()
    theta = train(np.zeros(2), seed, steps, out, work)
    seconds = time.perf_counter() - began
    before, after = (mg.exact.objective(problem, x) for x in (np.zeros(2), theta))
    print(
        f"J = {before:.3f} at 0, {after:.3f} after {steps} steps of {1e6 * seconds / steps:.1f} us, at theta = {theta}"
    )
    return theta


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
