"""The critic of a model of the environment that is fitted to pilot trajectories: what a user without the truth can have."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..environments.linear_quadratic import LinearQuadratic, linear_quadratic
from ..environments.tabular import Tabular, tabular
from ..problem import Environment, Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView
from ..truth import Truth, asked
from .critic import Critic
from .exact_critic import Exact


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FittedModel(Critic):
    """The exact critic of a fitted environment.

    Tables: the shares of next states and the mean rewards of each state and action. Linear-quadratic problems: A, B and the
    process noise by least squares, with the costs as they are.
    """

    pilot: int
    seed: int
    truth: Truth | None = None
    only_data = ("pilot", "seed", "truth")

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return Exact(truth=asked(self)).data(self.fitted(problem, theta), theta)

    def news_data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return Exact(truth=asked(self)).news_data(self.fitted(problem, theta), theta)

    def value(self, c: Constants, x: StateView) -> Number:
        return Exact().value(c, x)

    def advantage(self, c: Constants, x: StateView) -> Number:
        return Exact().advantage(c, x)

    def action_gradient(self, c: Constants, x: StateView) -> Numbers:
        return Exact().action_gradient(c, x)

    def first_order(self, c: Constants, x: StateView) -> tuple[Number, Numbers]:
        return Exact().first_order(c, x)

    def expected_score(self, c: Constants, x: StateView) -> Numbers:
        return Exact().expected_score(c, x)

    def gradient_news(self, c: Constants, x: StateView) -> Numbers:
        return Exact().gradient_news(c, x)

    def fitted(self, problem: Problem, theta: NDArray[np.float64]) -> Problem:
        """Return the problem with the fitted environment in place of its own."""
        kinds: dict[type, Callable[[Any, Any], Environment]] = {Tabular: _table, LinearQuadratic: _linear}
        fit = kinds.get(type(problem.environment.closed_form))
        if fit is None:
            raise ValueError(
                f"critic: expected a tabular or a linear-quadratic problem for a fitted model, got {problem.environment.name}"
            )
        path = asked(self).pilot(problem, theta, self.pilot, self.seed)
        return dataclasses.replace(problem, environment=fit(problem.environment.closed_form, path))


def _table(table: Tabular, path: Any) -> Environment:
    S, A, _ = table.probability.shape
    alive = np.arange(path.actions.shape[1])[None] < path.lengths[:, None]
    s, after = (x[..., 0].astype(int)[alive] for x in (path.states[:, :-1], path.states[:, 1:]))
    a, r = path.actions[..., 0].astype(int)[alive], path.rewards[alive]
    count, paid = np.zeros((2, S, A, S))
    np.add.at(count, (s, a, after), 1.0)
    np.add.at(paid, (s, a, after), r)
    seen = count.sum(axis=2, keepdims=True)
    staying = np.broadcast_to(np.eye(S)[:, None], count.shape)  # where nobody went, nothing happens
    transition = np.where(seen > 0, count / np.maximum(seen, 1), staying)
    return tabular(
        transition,
        paid / np.maximum(count, 1),
        table.start,
        ends=np.flatnonzero(table.ends).tolist(),
        terminal=table.terminal if table.terminal.any() else None,
        name="fitted table",
    )


def _linear(known: LinearQuadratic, path: Any) -> Environment:
    n = path.states.shape[2]
    x = np.concatenate([path.states[:, :-1], path.actions], axis=2).reshape(-1, n + path.actions.shape[2])
    y = path.states[:, 1:].reshape(-1, n)
    both, *_ = np.linalg.lstsq(x, y, rcond=None)
    left = y - x @ both
    return linear_quadratic(
        both[:n].T,
        both[n:].T,
        known.Q,
        known.R,
        terminal_cost=known.terminal_cost,
        process_noise=left.T @ left / len(y),
        initial_mean=known.initial_mean,
        initial_cov=known.initial_cov,
    )
