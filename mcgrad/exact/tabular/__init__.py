"""Exact truth for tabular problems: values, gradients, and the moments of every estimator of a single trajectory.

How: an estimator is a sum of martingale differences over the stages (`martingale_differences`), linear in a few carries of
the past (`traces`); their second moments, state by state, obey linear recursions, and `covariances` adds up products.
`theory` answers what `mcgrad.exact.algebra` asks.

    from mcgrad import estimators
    from mcgrad.exact import algebra
    from mcgrad.exact.tabular import System, Tabular, softmax
    theory = Tabular(System(P, reward, start, softmax(logits), horizon=20, discount=0.9))
    algebra.variance(theory, estimators.reward_to_go())

Episodes that end by themselves need no horizon (None): sums over time are linear solves. For problems without end see
`average`.

Cost: time O(T S^2 A P), memory O(T S P): a second for S = 100, A = 4, P = 400, T = 50 on one core, 0.1 s without a horizon.

Accuracy: 1e-13 relative or so, since the differences of a martingale do not cancel. Within a stage, what a carry and its
factor cancel is lost: 8 digits are left where 1e6 is added to every reward of order 1 and a baseline takes it away
again. Optimal mixtures and control variates subtract, and lose what they gain.
"""

from .system import System, softmax
from .theory import Tabular, of_problem

__all__ = ["System", "Tabular", "of_problem", "softmax"]
