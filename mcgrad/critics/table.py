"""The critic of a tabular problem: tables V_t(s) and Q_t(s, a), in error in the way that `wrong` says."""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ..compiler.functions import lookup
from ..per_step import PerStep
from ..policies.categorical import probabilities
from ..problem import Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView
from ..truth import Truth
from .critic import Wrong

NO_DERIVATIVE = (
    "the actions of this problem are discrete: there is no derivative of Q in the action; use advantage(), all_actions() or "
    "action_control_variate()"
)


def data(wrong: Wrong, problem: Problem, theta: NDArray[np.float64], truth: Truth) -> Data:
    """Return the numbers that the functions below read."""
    exact = truth.critic(problem, theta)
    Q, policy = exact.Q, exact.policy
    oscillation = wrong.amplitude * np.cos(wrong.frequency * np.arange(Q.shape[2]))
    Q = np.concatenate([wrong.scale * Q + wrong.shift + oscillation, np.zeros_like(Q[:1])])  # no action at the end
    return {"V": PerStep(np.sum(policy * Q, axis=2)), "Q": PerStep(Q)}


def value(wrong: Wrong, c: Constants, x: StateView) -> Number:
    """Return V_t(s_t)."""
    return lookup(c.V, x.s[0])


def advantage(wrong: Wrong, c: Constants, x: StateView) -> Number:
    """Return A_t(s_t, a_t)."""
    return lookup(c.Q, x.s[0], x.a[0]) - lookup(c.V, x.s[0])


def expected_score(wrong: Wrong, c: Constants, x: StateView) -> Numbers:
    """Return pi_k (Q_k - V) for each action k, the sum over actions of pi Q times the score."""
    V = lookup(c.V, x.s[0])
    return tuple(pi * (lookup(c.Q[:, k], x.s[0]) - V) for k, pi in enumerate(probabilities(x.eta)))


def news_data(wrong: Wrong, problem: Problem, theta: NDArray[np.float64], truth: Truth) -> Data:
    """Return the numbers that `gradient_news` reads."""
    news = wrong.scale * truth.gradient_news(problem, theta).N
    return {"news": PerStep(np.concatenate([news, np.zeros_like(news[:1])]))}


def gradient_news(c: Constants, x: StateView) -> Numbers:
    """Return dQ_t(s_t, a_t) - E_a[dQ_t | s_t], a number for each parameter."""
    return tuple(lookup(c.news[:, :, p], x.s[0], x.a[0]) for p in range(c.news.shape[2]))


def action_gradient(wrong: Wrong, c: Constants, x: StateView) -> NoReturn:
    """Say that there is none."""
    raise ValueError(NO_DERIVATIVE)


def first_order(wrong: Wrong, c: Constants, x: StateView) -> NoReturn:
    """Say that there is none."""
    raise ValueError(NO_DERIVATIVE)
