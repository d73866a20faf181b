"""Markov decision processes of finitely many states and actions, with rewards that may be random."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..compiler.functions import lookup, where
from ..problem import Environment
from .chances import chances


class Tabular(NamedTuple):
    """A finite Markov decision process as `mcgrad.exact` reads it: K outcomes for each state and action.

    Attributes
    ----------
    probability, next_state, reward : (S, A, K)
    start : (S,)
        Probabilities of the initial state.
    ends : (S,) of bool
        In which states an episode is over.
    terminal : (S,)
        Rewards of the last states of episodes that reach the horizon.
    """

    probability: np.ndarray
    next_state: np.ndarray
    reward: np.ndarray
    start: np.ndarray
    ends: np.ndarray
    terminal: np.ndarray


def tabular(
    transition: ArrayLike,
    reward: ArrayLike,
    start: ArrayLike,
    *,
    reward_probability: ArrayLike | None = None,
    ends: Sequence[int] = (),
    terminal: ArrayLike | None = None,
    name: str = "tabular",
) -> Environment:
    """Return the environment with transitions P(s_next | s, a) and rewards r(s, a, s_next), or with P(s_next, r | s, a).

    Parameters
    ----------
    transition : (S, A, S) array
        Probabilities of the next state.
    reward : (S, A), (S, A, S) or (S, A, S, R) array
        Rewards of the transitions; the last form has R possible ones for each.
    start : (S,) array
        Probabilities of the initial state.
    reward_probability : (S, A, S, R) array
        P(r | s, a, s_next) for rewards of the last form.
    ends : sequence of int
        States in which an episode is over.
    terminal : (S,) array, optional
        A reward for the last state of an episode that reaches the horizon, discounted by gamma^T.
    name : str
        What to call it in messages and tables.

    Returns
    -------
    Environment
        The state is one whole number from 0 to S - 1, the action one from 0 to A - 1.

    Raises
    ------
    ValueError
        For wrong shapes, and for probabilities that are negative or do not sum to one.
    """
    transition = validate.array("transition", transition, (None, None, None))
    S, A, _ = transition.shape
    transition = validate.probabilities("transition", validate.array("transition", transition, (S, A, S)))
    start = validate.probabilities("start", validate.array("start", start, (S,)))
    over = np.zeros(S, bool)
    for s in validate.sequence("ends", ends, "states"):
        over[validate.integer("ends", s, 0, S - 1)] = True
    terminal = np.zeros(S) if terminal is None else validate.array("terminal", terminal, (S,))
    rewards = validate.array("reward", reward)
    if rewards.ndim == 2:
        rewards = np.broadcast_to(validate.array("reward", rewards, (S, A))[:, :, None], (S, A, S))
    given = np.ones((S, A, S, 1))
    if rewards.ndim == 4:
        rewards = validate.array("reward", rewards, (S, A, S, None))
        if reward_probability is None:
            raise ValueError(
                "reward_probability: expected P(r | s, a, s_next) for rewards of shape (S, A, S, R), got None"
            )
        given = validate.probabilities(
            "reward_probability", validate.array("reward_probability", reward_probability, rewards.shape)
        )
    else:
        rewards = validate.array("reward", rewards, (S, A, S))[..., None]
        if reward_probability is not None:
            raise ValueError(
                f"reward_probability: expected None unless reward is (S, A, S, R), got it with reward {np.shape(reward)}"
            )
    probability = (transition[..., None] * given).reshape(S, A, -1)
    next_state = np.broadcast_to(np.arange(S)[:, None], rewards.shape).reshape(S, A, -1)
    return _environment(*_possible(probability, next_state, rewards.reshape(S, A, -1)), start, over, terminal, name)


def continued(
    environment: Environment, start: NDArray[np.float64], terminal: NDArray[np.float64] | None, steps: int
) -> Environment:
    """Return a tabular environment from another start, with another terminal reward, and rewards divided by `steps`."""
    table = environment.closed_form
    terminal = np.zeros(len(start)) if terminal is None else terminal
    rewards = table.reward / steps
    return _environment(
        table.probability, table.next_state, rewards, start, table.ends, terminal, f"continuing {environment.name}"
    )


def _possible(
    probability: NDArray[np.float64], next_state: NDArray[np.int64], reward: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the outcomes without those of probability zero, as far as the table stays rectangular."""
    order = np.argsort(probability == 0.0, axis=2, kind="stable")
    K = max(1, int((probability > 0.0).sum(axis=2).max()))
    first = order[:, :, :K]
    probability, reward = (np.take_along_axis(x, first, axis=2) for x in (probability, reward))
    return probability, np.take_along_axis(next_state, first, axis=2), reward


def _environment(
    probability: NDArray[np.float64],
    next_state: NDArray[np.int64],
    reward: NDArray[np.float64],
    start: NDArray[np.float64],
    ends: NDArray[np.bool_],
    terminal: NDArray[np.float64],
    name: str,
) -> Environment:
    S, A, K = probability.shape
    drawn, outcomes = chances(probability.reshape(S * A, K))
    begun, starts = chances(start[None, :])
    params = {f"outcome_{k}": v for k, v in outcomes.items()} | {f"start_{k}": v for k, v in starts.items()}
    by_action = bool((reward == reward[:, :, :1])[probability > 0.0].all())
    numbered = bool((next_state == np.arange(K)).all())  # outcome k leads to state k
    params["rewards"] = reward[:, :, 0].ravel() if by_action else drawn.padded(reward.reshape(S * A, K))
    if not numbered:
        params["next_state"] = drawn.padded(next_state.reshape(S * A, K))
    if ends.any():
        params["ends"] = ends.astype(float)
    if terminal.any():
        params["terminal"] = terminal

    def row(s, a):
        inside = (s >= 0.0) & (s < float(S)) & (a >= 0.0) & (a < float(A))
        return where(inside, s * float(A) + a, float("nan"))

    def outcome(p, s, a, w):
        return drawn.choose(lambda name: getattr(p, f"outcome_{name}"), row(s[0], a[0]), w)

    def init(p, z):
        return (begun.choose(lambda name: getattr(p, f"start_{name}"), 0.0, z),)

    def step(p, s, a, w):
        k = outcome(p, s, a, w)
        return (k if numbered else lookup(p.next_state, row(s[0], a[0]) * float(drawn.size) + k),)

    def paid(p, s, a, s_next, w):
        if by_action:
            return lookup(p.rewards, row(s[0], a[0]))
        return lookup(p.rewards, row(s[0], a[0]) * float(drawn.size) + outcome(p, s, a, w))

    return Environment(
        states=1,
        actions=1,
        choices=A,
        uniforms=drawn.uniforms,
        initial_uniforms=begun.uniforms,
        params=params,
        init=init,
        step=step,
        reward=paid,
        terminal=(lambda p, s: lookup(p.terminal, s[0])) if terminal.any() else None,
        done=(lambda p, s: lookup(p.ends, s[0]) > 0.5) if ends.any() else None,
        name=name,
        closed_form=Tabular(probability, next_state, reward, start, ends, terminal),
    )
