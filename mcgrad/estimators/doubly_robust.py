"""The doubly robust policy gradient (DR-PG): what the action itself decides is taken out of the return and of its gradient.

    g = sum_t [ z_t sum_{k>=t} omega_k + dV_t(s_t) - dQ_t(s_t, a_t) ],    omega_k = r_k + V_{k+1}(s_{k+1}) - Q_k(s_k, a_k)

with dV and dQ the derivatives of the critic's V and Q in theta. It is the trajectory-wise control variate less
sum_t (dQ_t(s_t, a_t) - E_a[dQ_t | s_t]), which has mean zero: unbiased for every critic. With the exact one it is the efficient
influence function of the model that assumes nothing of the environment, so that

    Var g = efficiency_bound(problem, theta, "tree"),    Cov(X, g) = the same for every X of one trajectory

that is unbiased whatever the environment: score functions with fixed baselines, control variates with fixed critics. No choice
of these goes below. (For what does, see `mcgrad.estimators.knows`.) Where Q~ = c Q is wrong by a factor,

    g = c (with the exact critic) + (1 - c) (reward to go),    Var g = (1 - c)^2 Var(reward to go) + (1 - (1 - c)^2) bound.

References
----------
Huang and Jiang (2020), From importance sampling to doubly robust policy gradient; Kallus and Uehara (2020), Statistically
efficient off-policy policy gradients.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..critics.accepted import as_critic
from ..critics.critic import Critic
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Numbers,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DoublyRobust(Estimator):
    """See the module."""

    carries = ("unexplained", "news")

    critic: Critic

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {
            "critic": self.critic.data(problem, theta),
            "news": self.critic.news_data(problem, theta),
        }

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward, (0.0,) * len(end.problem.parameters)

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        later, news = carry
        unexplained = later + x.reward - self.critic.advantage(c.critic, x)
        left = unexplained - self.critic.value(c.critic, x)
        expected = self.critic.expected_score(c.critic, x)
        now = self.critic.gradient_news(c.news, x)
        news = tuple(a + b for a, b in zip(news, now, strict=True))
        return (unexplained, news), tuple(left * z + h for z, h in zip(x.score, expected, strict=True))

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return tuple(g - n for g, n in zip(sums, carry[1], strict=True))


@as_called
def doubly_robust(critic: Critic | None = None) -> Estimator:
    """Return the doubly robust policy gradient: of all that trajectories alone can tell, without Markov states, the most.

    Parameters
    ----------
    critic : None or one of mcgrad.critics
        The exact critic by default; unbiased with any.

    Raises
    ------
    ValueError
        For a critic that is none; when measured, where the problem has no exact one.

    References
    ----------
    Huang and Jiang (2020), From importance sampling to doubly robust policy gradient.
    """
    return DoublyRobust(as_critic(critic))
