"""The floor under a table of variances: what trajectories alone can give, and which estimators are outside, and why."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import exact
from .estimators import all_actions, knowledge, knows, trajectory_control_variate
from .estimators.estimator import Estimator, rollouts
from .problem import Problem

WHY = {  # what one has to know that is not in trajectories
    knowledge.SIMULATOR: "derivatives of the simulator",
    knowledge.ORACLE: "an exact critic in place of the return: an oracle",
    knowledge.FITTED: "at the critic that was fitted, whose own error is not in it",
    knowledge.OTHER_DATA: "other rollouts than those of the policy: mirrored or common noise, branches, another behaviour",
    knowledge.ANOTHER_QUANTITY: "it estimates something else",
    knowledge.UNKNOWN: "your own functions, which may look at anything",
}


class Floor(NamedTuple):
    """Sums over parameters of efficiency bounds, for one rollout.

    Attributes
    ----------
    tree : float
        No estimator that is unbiased whatever the environment is below.
    markov : float or None
        The same if states are known to be Markov; None where there is no closed form.
    oracle, fitted : float or None
        All actions with the exact critic, and N Var of the same for N to infinity where the critic is fitted to the same N
        trajectories: markov + sum_t E Cov(dQ_t(s_t, a_t) | s_t).
    """

    tree: float
    markov: float | None
    oracle: float | None
    fitted: float | None

    def lines(self, kinds: dict[str, str], variances: Mapping[str, float | None]) -> list[str]:
        """Return lines to print under a table.

        Parameters
        ----------
        kinds : dict
            Name -> what an estimator knows, one of `estimators.knowledge.KINDS`.
        variances : dict
            Name -> variance of one sample times its rollouts, summed over parameters; None if it is not known. Of measured
            ones the upper end of the interval, so that nothing is called below the floor by chance.
        """
        found = [
            f"floor of trajectories alone: {self.tree:.4g} for each rollout, the tree bound. No baseline and no control "
            "variate goes below; doubly robust with the exact critic is on it."
        ]
        if self.markov is not None:
            found.append(
                f"{self.markov:.4g} if states are Markov: where fitting critics to many trajectories can lead, at best."
            )
        below: dict[str, list[str]] = {}
        for name, kind in kinds.items():
            variance = variances.get(name)
            if kind in WHY and variance is not None and variance < self.tree * (1 - 1e-9):
                below.setdefault(kind, []).append(name)
        found += [f"below it: {'; '.join(names)} ({WHY[kind]})" for kind, names in below.items()]
        if self.fitted is not None and {knowledge.ORACLE, knowledge.FITTED} & set(kinds.values()):
            found.append(
                f"critics in place of returns: all actions has {self.oracle:.4g} with the exact one. With one that is fitted "
                f"to the same N trajectories, N times the variance comes back to {self.fitted:.4g} as N grows."
            )
        return found


def floor(problem: Problem, theta: ArrayLike) -> Floor | None:
    """Return the `Floor` of a problem, or None where the bounds are not known (or there is no score)."""
    theta = problem.theta(theta)
    tree, markov = (_sum(exact.efficiency_bound, problem, theta, model) for model in ("tree", "markov"))
    if tree is None:
        return None
    # What the action decides of the gradient to go: the trajectory-wise control variate leaves it, doubly robust does not.
    oracle, controlled = (_sum(_variance, problem, theta, e) for e in (all_actions(), trajectory_control_variate()))
    known = oracle is not None and markov is not None and controlled is not None
    return Floor(tree, markov, oracle, markov + max(controlled - tree, 0.0) if known else None)


def footnotes(
    problem: Problem, theta: ArrayLike, estimators: dict[str, Estimator], variances: dict[str, float] | None = None
) -> list[str]:
    """Return lines to print under a table of variances; none where no floor is known.

    Parameters
    ----------
    estimators : dict
        Name -> Estimator, as in the table.
    variances : dict, optional
        Name -> variance of one sample, summed over parameters; exact ones where they are known by default.
    """
    known = floor(problem, theta)
    if known is None:
        return []
    if variances is None:
        variances = {name: _sum(_variance, problem, theta, e) for name, e in estimators.items()}
    each = {
        name: None if variances.get(name) is None else variances[name] * rollouts(e, problem)
        for name, e in estimators.items()
    }
    return known.lines({name: knows(e).kind for name, e in estimators.items()}, each)


def _variance(problem: Problem, theta: NDArray[np.float64], estimator: Estimator) -> Any:
    """Return the variance where it has a closed form, which costs nothing."""
    return exact.variance(problem, theta, estimator, work=0)


def _sum(function: Callable[..., Any], problem: Problem, theta: ArrayLike, what: Any) -> Any:
    """Return the sum over parameters of an exact answer, None where there is none."""
    try:
        return float(np.sum(function(problem, theta, what)))
    except ValueError:  # NoClosedForm among them
        return None
