"""The same simulations in JAX, `jit` of `vmap` of `scan`: what the throughput study compares with where JAX is installed.

One trajectory is a scan over time, its pathwise gradient is `grad` of the sum of its rewards, which hands out rewards and
scores on the way; `vmap` makes a batch of it, and all batches of a measurement are one compiled call that keeps mean and
variance. All noise of a batch is drawn at once. Larger and smaller batches, sums in place of products of small matrices, loops
unrolled and other generators of noise were no faster (JAX 0.10 on a Xeon).
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

BATCH = 256  # trajectories at once: what a cache holds
THETAS = 16  # thetas at once, of a sweep


def load():
    """Return jax and jax.numpy, for float64 too; not everybody has it, and this file is imported where studies are listed."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


class Simulation(NamedTuple):
    """One trajectory.

    Attributes
    ----------
    start : callable
        Noise of the start (s,) -> state.
    step : callable
        (theta, state, noise (d,)) -> (next state, reward, score (P,)).
    sizes : (int, int, int)
        s, T and d.
    """

    start: Callable
    step: Callable
    sizes: tuple

    def gradients(self, theta, first, noise):
        """Return score function with reward to go and pathwise gradient of one trajectory, (2, P)."""
        jax, jnp = load()

        def total(theta):
            def step(state, z):
                state, reward, score = self.step(theta, state, z)
                return state, (reward, score)

            _, (rewards, scores) = jax.lax.scan(step, self.start(first), noise)
            return rewards.sum(), (rewards, scores)

        path, (rewards, scores) = jax.grad(total, has_aux=True)(theta)
        return jnp.stack([jnp.cumsum(rewards[::-1])[::-1] @ scores, path])

    def noise(self, key, count, dtype):
        """Return the noise of some trajectories."""
        jax, _ = load()
        start, horizon, each = self.sizes
        z = jax.random.normal(key, (count, start + horizon * each), dtype)
        return z[:, :start], z[:, start:].reshape(count, horizon, each)


def simulation(name, workload):
    """Return the simulation of a workload of the study."""
    problem = workload.problem
    if problem.environment.closed_form is not None:
        return linear_quadratic(problem.environment.closed_form, problem.policy.params["std"], problem.horizon)
    if "pendulum" in name:
        return pendulum(float(problem.policy.params["std"]), problem.horizon)
    return bandit(float(problem.environment.params["k"]), "cos" in name)


def linear_quadratic(system, std, horizon):
    """Return that of a linear-quadratic workload, whose covariances are diagonal."""
    _, jnp = load()
    A, B, Q, R = (np.asarray(x) for x in (system.A, system.B, system.Q, system.R))
    noise, spread = (np.sqrt(np.diag(x)) for x in (system.process_noise, system.initial_cov))
    n, m = B.shape
    std = np.broadcast_to(np.asarray(std), (m,))

    def step(theta, s, z):
        A_, B_, Q_, R_, std_, noise_ = (jnp.asarray(x, theta.dtype) for x in (A, B, Q, R, std, noise))
        a = theta.reshape(m, n) @ s + std_ * z[:m]
        reward = -(s @ Q_ @ s) - (a @ R_ @ a)
        return A_ @ s + B_ @ a + noise_ * z[m:], reward, jnp.outer(z[:m] / std_, s).ravel()

    return Simulation(lambda z: jnp.asarray(spread, z.dtype) * z, step, (n, horizon, m + n))


def pendulum(std, horizon):
    """Return that of the pendulum."""
    _, jnp = load()

    def step(theta, s, z):
        angle, v = s
        features = jnp.stack([jnp.sin(angle), jnp.cos(angle), v])
        a = theta @ features + std * z[0]
        reward = -(angle**2 + 0.1 * v**2 + 0.001 * a**2)
        v = v + 0.05 * (15.0 * features[0] + 3.0 * a) + 0.05 * z[1]
        return (angle + 0.05 * v, v), reward, z[0] / std * features

    return Simulation(lambda z: (math.pi + 0.3 * z[0], 0.3 * z[1]), step, (2, horizon, 2))


def bandit(k, cosine):
    """Return that of a one-step workload."""
    _, jnp = load()

    def step(theta, s, z):
        e = z[0]
        x = theta[0] + theta[1] * e
        reward = jnp.cos(k * x) if cosine else (x - k) ** 2
        return s, reward, jnp.stack([e / theta[1], (e * e - 1.0) / theta[1]])

    return Simulation(lambda z: jnp.zeros((), z.dtype), step, (0, 1, 1))


def measured(name, workload, count, dtype="float64"):
    """Return a function of a seed that returns count, mean (2, P) and variance over whole batches, compiled as one call."""
    jax, jnp = load()
    simulate, theta = simulation(name, workload), jnp.asarray(workload.problem.theta(workload.theta), dtype)
    batches = max(count // BATCH, 1)

    @jax.jit
    def run(seed):
        def one(k, sums):
            first, noise = simulate.noise(jax.random.fold_in(jax.random.key(seed), k), BATCH, dtype)
            x = jax.vmap(simulate.gradients, (None, 0, 0))(theta, first, noise)
            mean, squares = sums
            here = x.mean(axis=0)
            apart, n = here - mean, k * BATCH
            squares = squares + ((x - here) ** 2).sum(axis=0) + apart**2 * (n * BATCH / (n + BATCH))
            return (mean + apart / (k + 1)).astype(dtype), squares.astype(dtype)

        zero = jnp.zeros((2, len(theta)), dtype)
        mean, squares = jax.lax.fori_loop(0, batches, one, (zero, zero))
        return mean, squares / (batches * BATCH - 1)

    return lambda seed: (batches * BATCH, *map(np.asarray, run(seed)))


def swept(name, workload, thetas, count, dtype="float64"):
    """Return a function of a seed that returns means and variances, (B, 2, P) both, at B thetas on common noise."""
    jax, jnp = load()
    simulate, thetas = simulation(name, workload), jnp.asarray(thetas, dtype)

    @jax.jit
    def run(seed):
        first, noise = simulate.noise(jax.random.key(seed), count, dtype)

        def at(theta):
            x = jax.vmap(functools.partial(simulate.gradients, theta))(first, noise)
            return x.mean(axis=0), x.var(axis=0, ddof=1)

        return jax.lax.map(at, thetas, batch_size=THETAS)

    return lambda seed: tuple(map(np.asarray, run(seed)))
