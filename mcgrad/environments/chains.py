"""Small Markov decision processes of the textbooks."""

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..problem import Environment
from .tabular import tabular


def short_corridor() -> Environment:
    """Return the corridor of three states that look alike, the middle one with switched actions; -1 for each step.

    Actions 0 and 1 are left and right. With `linear_softmax(corridor_features())` the policy goes right with one probability
    p in all states, and J(p) = (2 p - 4) / (p (1 - p)) for episodes without a horizon: -11.66 at p = 2 - sqrt(2), the best
    that it can do.

    References
    ----------
    Sutton and Barto (2018), Reinforcement learning: an introduction, example 13.1.
    """
    transition = np.zeros((4, 2, 4))
    for s, (left, right) in enumerate([(0, 1), (2, 0), (1, 3), (3, 3)]):
        transition[s, 0, left] = transition[s, 1, right] = 1.0
    return tabular(transition, -np.ones((4, 2)), [1, 0, 0, 0], ends=[3], name="short corridor")


def corridor_features(states: int = 4) -> NDArray[np.float64]:
    """Return features (S, 2, 2) that are the same for all states: one logit for left, one for right.

    Parameters
    ----------
    states : int
        S, the end among them.

    Raises
    ------
    ValueError
        If S is not a whole number from 1 to 10000.
    """
    return np.broadcast_to(np.eye(2), (validate.size("states", states), 2, 2)).copy()


def random_walk(states: int = 7, slip: float = 0.1) -> Environment:
    """Return a walk on a line: left or right, the other way with probability `slip`; it is over at both ends.

    A reward of 1 for arriving at the right end, 0 elsewhere; the walk starts in the middle.

    Parameters
    ----------
    states : int
        S, the two ends among them, from 3 to 10000.
    slip : float
        From 0 to 1.

    Raises
    ------
    ValueError
        For a number out of its range.

    References
    ----------
    Sutton and Barto (2018), Reinforcement learning: an introduction, example 6.2, here with actions.
    """
    S, slip = validate.size("states", states, 3), validate.number("slip", slip, 0.0, 1.0)
    transition, reward = np.zeros((S, 2, S)), np.zeros((S, 2, S))
    for s in range(S):
        left, right = max(s - 1, 0), min(s + 1, S - 1)
        for a, (intended, other) in enumerate([(left, right), (right, left)]):
            transition[s, a, intended] += 1.0 - slip
            transition[s, a, other] += slip
    reward[: S - 1, :, S - 1] = 1.0
    start = np.zeros(S)
    start[S // 2] = 1.0
    return tabular(transition, reward, start, ends=[0, S - 1], name=f"random walk S={S}")
