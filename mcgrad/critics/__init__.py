"""Critics: what an estimator believes about values. Here those of problems with exact ones, right, or wrong on purpose.

Of a wrong one

    Q~(s, a) = scale Q(s, a) + shift + amplitude sum_i cos(frequency a_i),    V~(s) = E_a Q~(s, a),

control variates stay unbiased, and what puts Q~ in the place of a return does not. An error that oscillates in the action
is small in value and large in slope: it parts estimators that use the value of a critic from those that use its gradient.
A critic is a baseline, too: its V_t.

References
----------
Carvalho, Tateo, Muratore and Peters (2021), An empirical analysis of measure-valued derivatives for policy gradients
(errors that oscillate).
"""

from .. import validate
from ..printing import as_called
from .critic import Critic
from .exact_critic import Exact
from .fitted_model import FittedModel

__all__ = ["Critic", "exact", "fitted_model"]


def __dir__() -> list[str]:
    return sorted(__all__)


@as_called
def exact() -> Exact:
    """Return the exact critic of a problem under its policy: linear-quadratic, tabular, or one of few states and actions.

    Without a closed form it is made of the recursion's value function (`mcgrad.exact.critic`), for one or two states and one or
    two actions of a Gaussian policy with std > 0, where that is smooth; derivatives of Q in theta (`doubly_robust`) have closed
    forms alone, and so have oscillations.

    `exact().wrong(scale=1.2)`, `.wrong(shift=1.0)` and `.wrong(oscillation=(0.1, 3.0))` are wrong in a known way.
    """
    return Exact()


@as_called
def fitted_model(pilot: int = 4096, seed: int = 0) -> FittedModel:
    """Return the critic of a model that is fitted to pilot trajectories, of a linear-quadratic or a tabular problem.

    It is fitted anew for each theta; the pilot trajectories are the last that there are, so that control variates stay
    unbiased. What puts it in the place of a return (`advantage`, `all_actions`) is biased, by the luck of the pilot.

    Parameters
    ----------
    pilot : int
        Number of pilot trajectories, at least 16.
    seed : int
        Of the pilot trajectories, from 0 to 2^64 - 1.

    Raises
    ------
    ValueError
        For a number out of its range; when measured, for a problem of another kind.
    """
    return FittedModel(validate.integer("pilot", pilot, 16), validate.integer("seed", seed, 0))
