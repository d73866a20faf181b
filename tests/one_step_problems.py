"""One step, and how far a mean is from its truth: for tests of what is followed and what is scored."""

import numpy as np

import mcgrad as mg


def z_of(found, truth):
    """Return the largest deviation of a mean from the truth in standard errors."""
    return np.max(np.abs(found.mean - truth) / np.maximum(found.stderr, 1e-10 * (1.0 + np.abs(truth))))


def one_step(actions=1, reward=None, **options):
    """Return an environment of one step from the state 0."""
    return mg.Environment(
        states=1, actions=actions, init=lambda p, z: (0.0,), step=lambda p, s, a, w: s, reward=reward, **options
    )
