"""Estimators with coefficients that are fitted on other trajectories than those that they are used on.

Coefficients fitted on the very trajectories that they are used on would bias the estimate. `measure` and `sample` fit them
on a pilot range of its own, or by cross-fitting: each half of the trajectories with the coefficients of the other half.

References
----------
Avramidis and Wilson (1993), A splitting scheme for control variates (cross-fitting).
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..baselines.baseline import undefined
from ..problem import Problem
from .estimator import Estimator, checked


class Trajectories(Protocol):
    """A range of trajectories that coefficients are fitted on."""

    @property
    def problem(self) -> Problem: ...
    @property
    def theta(self) -> NDArray[np.float64]: ...
    def moments(self, estimators: dict[str, Estimator], full: bool = False) -> Any: ...
    def moments_of_each(self, variants: Iterable[dict[str, Estimator]]) -> Iterator[Any]: ...


class Fitted:
    """What an estimator with coefficients adds to `Estimator`.

    Attributes
    ----------
    pilot : int or None
        Number of pilot trajectories to fit on; None: cross-fitting.
    what : str
        What it is, for messages, with its article.
    """

    pilot: int | None = None
    what: ClassVar[str] = "an estimator with coefficients"

    @property
    def unfitted(self) -> bool:
        """Whether coefficients are still to be fitted."""
        undefined("estimator", self, "unfitted")

    def fit(self, trajectories: Trajectories) -> Estimator:
        """Return this estimator with its coefficients.

        Parameters
        ----------
        trajectories
            `problem` and `theta`; `moments({name: estimator}, full=False)`, the `Moments` over a range of trajectories; and
            `moments_of_each(variants)`, those of several such dicts that differ in the data of their estimators alone.
        """
        undefined("estimator", self, "fit")


def is_unfitted(estimator: object) -> TypeGuard[Fitted]:
    """Tell whether an estimator has coefficients that are still to be fitted."""
    return isinstance(estimator, Fitted) and estimator.unfitted


def checked_part(name: str, part: object, whole: str) -> Estimator:
    """Return a part of `whole` (a word for it): an estimator with nothing left to fit."""
    estimator = checked(name, part)
    for scan in _parts(estimator):
        if is_unfitted(scan):
            raise ValueError(f"{name}: {scan.what} inside of {whole} needs fixed coefficients")
    return estimator


def checked_pilot(pilot: Any) -> int | None:
    """Return a number of pilot trajectories, or None."""
    return None if pilot is None else validate.integer("pilot", pilot, 16)


def _parts(estimator: Any) -> Iterator[Any]:
    yield estimator
    for part in getattr(estimator, "parts", ()):
        yield from _parts(part)
