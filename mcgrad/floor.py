"""The floor under a table of variances: what trajectories alone can give, and which estimators are outside, and why."""

from typing import NamedTuple

import numpy as np

from . import exact
from .estimators.estimator import rollouts
from .estimators.knowledge import ORACLE, TRAJECTORIES, knows


class Floor(NamedTuple):
    """Sums over parameters of efficiency bounds, for one trajectory; None where there is no closed form."""

    tree: float
    markov: float | None


def floor(problem, theta):
    """Return the `Floor` of a problem, or None where the bounds are not known (or there is no score)."""
    theta, found = problem.theta(theta), {}
    for model in Floor._fields:
        try:
            found[model] = float(np.sum(exact.efficiency_bound(problem, theta, model)))
        except ValueError:  # NoClosedForm among them
            found[model] = None
    return Floor(**found) if found["tree"] is not None else None


def footnotes(problem, theta, estimators, variances=None):
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
    lines = [
        f"floor of trajectories alone: {known.tree:.4g} for each rollout, the tree bound. No baseline and no control variate "
        "goes below; doubly robust with the exact critic is on it."
    ]
    if known.markov is not None:
        lines.append(
            f"{known.markov:.4g} if states are Markov: where fitting critics to many trajectories can lead, at best."
        )
    below = {}
    for name, estimator in estimators.items():
        variance = _variance(problem, theta, estimator) if variances is None else variances.get(name)
        per_rollout = None if variance is None else variance * rollouts(estimator, problem)
        if per_rollout is not None and per_rollout < known.tree * (1 - 1e-9):
            knowledge = knows(estimator)
            if knowledge.kind != TRAJECTORIES:  # else a variance that was measured, and is within its error
                what = knowledge.why if knowledge.kind != ORACLE else f"{knowledge.why}: an oracle"
                below.setdefault(what, []).append(name)
    return lines + [f"below it: {', '.join(names)} ({what})" for what, names in below.items()]


def _variance(problem, theta, estimator):
    try:
        return float(np.sum(exact.variance(problem, theta, estimator, work=0)))
    except ValueError:
        return None
