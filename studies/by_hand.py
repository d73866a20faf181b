"""The same simulations in NumPy, as one would write them by hand: what the throughput study compares with.

Every function yields batches of gradients (score function with reward to go, reparameterization), each (N, P), over
trajectories that are arrays of N numbers; derivatives are worked out on paper.
"""

import numpy as np


def linear_quadratic(A, B, Q, R, K, std, noise, horizon, batch, rng):
    """Return the two gradients in K of a batch; s_0 ~ N(0, I), process noise of standard deviation `noise`."""
    n, m = B.shape
    states, scores, actions, rewards = [rng.standard_normal((n, batch))], [], [], []
    for _ in range(horizon):
        s, e = states[-1], rng.standard_normal((m, batch))
        a = K @ s + std * e
        rewards.append(-(s * (Q @ s)).sum(axis=0) - (a * (R @ a)).sum(axis=0))
        states.append(A @ s + B @ a + noise * rng.standard_normal((n, batch)))
        actions.append(a)
        scores.append(e / std)
    togo, adjoint = np.zeros(batch), np.zeros((n, batch))
    score, path = np.zeros((m, n, batch)), np.zeros((m, n, batch))
    for s, a, z, r in zip(states[-2::-1], actions[::-1], scores[::-1], rewards[::-1], strict=True):
        togo += r
        by_action = B.T @ adjoint - 2 * (R @ a)
        score += (z * togo)[:, None] * s
        path += by_action[:, None] * s
        adjoint = A.T @ adjoint + K.T @ by_action - 2 * (Q @ s)
    return score.reshape(m * n, batch), path.reshape(m * n, batch)


def pendulum(theta, std, horizon, batch, rng):
    """Return the two gradients of the pendulum of the throughput study."""
    angle, v = np.pi + 0.3 * rng.standard_normal(batch), 0.3 * rng.standard_normal(batch)
    kept = []
    for _ in range(horizon):
        e = rng.standard_normal(batch)
        sin, cos = np.sin(angle), np.cos(angle)
        a = theta[0] * sin + theta[1] * cos + theta[2] * v + std * e
        kept.append((angle, v, sin, cos, a, e / std))
        v = v + 0.05 * (15 * sin + 3 * a) + 0.05 * rng.standard_normal(batch)
        angle = angle + 0.05 * v
    togo, by_angle, by_v = np.zeros(batch), np.zeros(batch), np.zeros(batch)
    score, path = np.zeros((3, batch)), np.zeros((3, batch))
    for angle, v, sin, cos, a, z in reversed(kept):
        togo -= angle**2 + 0.1 * v**2 + 0.001 * a**2
        by_next_v = by_v + 0.05 * by_angle
        by_action = 0.15 * by_next_v - 0.002 * a
        for p, feature in enumerate((sin, cos, v)):
            score[p] += z * togo * feature
            path[p] += by_action * feature
        by_angle += 0.75 * cos * by_next_v + by_action * (theta[0] * cos - theta[1] * sin) - 2 * angle
        by_v = by_next_v + by_action * theta[2] - 0.2 * v
    return score, path


def bandit(cost, slope, mean, std, batch, rng):
    """Return the two gradients in mean and std of E cost(x), x ~ N(mean, std^2)."""
    e = rng.standard_normal(batch)
    x = mean + std * e
    f, df = cost(x), slope(x)
    return np.stack([f * e / std, f * (e**2 - 1) / std]), np.stack([df, df * e])


def moments(batches):
    """Return (count, mean, variance) over batches of samples, each (P, N), merged as by Chan, Golub and LeVeque."""
    count, mean, squares = 0, 0.0, 0.0
    for x in batches:
        n = x.shape[-1]
        here = x.mean(axis=-1)
        squares = squares + ((x - here[..., None]) ** 2).sum(axis=-1) + (here - mean) ** 2 * count * n / (count + n)
        mean = mean + (here - mean) * n / (count + n)
        count += n
    return count, mean, squares / (count - 1)
