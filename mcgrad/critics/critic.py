"""What a critic is: values of states and actions that estimators may use."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..baselines import Baseline


@dataclasses.dataclass(frozen=True, eq=False)
class Critic(Baseline):
    """Values of states and actions. Derive from it: its methods are traced, `data` gives the numbers that they read."""

    def value(self, c: Any, x: Any) -> Any:
        """Return V_t(s_t)."""
        raise NotImplementedError

    def advantage(self, c: Any, x: Any) -> Any:
        """Return A_t = Q_t(s_t, a_t) - V_t(s_t), whose mean over the actions of the policy is zero."""
        raise NotImplementedError

    def action_gradient(self, c: Any, x: Any) -> Any:
        """Return dQ_t(s_t, a) / da at a = a_t."""
        raise NotImplementedError

    def first_order(self, c: Any, x: Any) -> Any:
        """Return A_t of the Taylor expansion of Q_t about the mean action, u' dQ_t/da, and E_a[score * A_t | s_t]."""
        raise NotImplementedError

    def expected_score(self, c: Any, x: Any) -> Any:
        """Return E_a[score * Q_t(s_t, a) | s_t], a cotangent of eta."""
        raise NotImplementedError

    def news_data(self, problem: Any, theta: NDArray[np.float64]) -> dict[str, Any]:
        """Return the numbers that `gradient_news` reads."""
        raise NotImplementedError

    def gradient_news(self, c: Any, x: Any) -> Any:
        """Return dQ_t(s_t, a_t)/dtheta - E_a[dQ_t(s_t, a)/dtheta | s_t] at a fixed action, P numbers."""
        raise NotImplementedError
