"""What a critic is: values of states and actions that estimators may use."""

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..baselines.baseline import Baseline, undefined
from ..problem import Problem
from ..scan_types import Constants, Data, Number, Numbers, StateView


class Wrong(Protocol):
    """In which way a critic errs, see `mcgrad.critics`."""

    @property
    def scale(self) -> float: ...
    @property
    def shift(self) -> float: ...
    @property
    def amplitude(self) -> float: ...
    @property
    def frequency(self) -> float: ...


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Critic(Baseline):
    """Values of states and actions. Derive from it: its methods are traced, `data` gives the numbers that they read."""

    def value(self, c: Constants, x: StateView) -> Number:
        """Return V_t(s_t)."""
        undefined("critic", self, "value")

    def advantage(self, c: Constants, x: StateView) -> Number:
        """Return A_t = Q_t(s_t, a_t) - V_t(s_t), whose mean over the actions of the policy is zero."""
        undefined("critic", self, "advantage")

    def action_gradient(self, c: Constants, x: StateView) -> Numbers:
        """Return dQ_t(s_t, a) / da at a = a_t."""
        undefined("critic", self, "action_gradient")

    def first_order(self, c: Constants, x: StateView) -> tuple[Number, Numbers]:
        """Return A_t of the Taylor expansion of Q_t about the mean action, u^T dQ_t/da, and E_a[score * A_t | s_t]."""
        undefined("critic", self, "first_order")

    def expected_score(self, c: Constants, x: StateView) -> Numbers:
        """Return E_a[score * Q_t(s_t, a) | s_t], a cotangent of eta."""
        undefined("critic", self, "expected_score")

    def news_data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        """Return the numbers that `gradient_news` reads."""
        undefined("critic", self, "news_data")

    def gradient_news(self, c: Constants, x: StateView) -> Numbers:
        """Return dQ_t(s_t, a_t)/dtheta - E_a[dQ_t(s_t, a)/dtheta | s_t] at a fixed action, P numbers."""
        undefined("critic", self, "gradient_news")
