"""Give estimators their truth and their pilots before a run: the seam between what estimates and what is known."""

import functools

from . import validate
from .estimators.estimator import Estimator
from .truth import Truth, told


def prepare(estimators: dict[str, Estimator]) -> dict[str, Estimator]:
    """Return named estimators, checked, of which every baseline and every critic can ask for what it has to know.

    Raises
    ------
    ValueError
        If it is not a dict of estimators.
    """
    return {name: told(e, known_truth) for name, e in checked_estimators(estimators).items()}


def checked_estimators(estimators: object) -> dict[str, Estimator]:
    """Return a dict of named estimators, checked."""
    if isinstance(estimators, Estimator):
        raise ValueError('estimators: expected a dict such as {"SF": score_function()}, got one estimator')
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(f"estimators: expected a dict of name -> estimator, got {validate.describe(estimators)}")
    for name, e in estimators.items():
        if not isinstance(name, str) or not isinstance(e, Estimator):
            raise ValueError(f"estimators: expected name -> estimator, got {name!r} -> {validate.describe(e)}")
    return estimators


@functools.cache
def known_truth() -> Truth:
    """Return the truth that `mcgrad.exact` knows."""
    from .exact.answers import WORK, truth_within  # heavy: only where somebody asks

    return truth_within(WORK)
