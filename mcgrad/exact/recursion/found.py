"""What the recursion found: exact moments, and how far they are known to have converged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import validate
from ...printing import counted, numbers, outline
from .ring import Array


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExactEstimate:
    """The exact moments of one estimator, per parameter, (P,) each.

    Attributes
    ----------
    mean, variance : (P,)
    third, fourth : (P,) or None
        Central moments E (g - E g)^k, where they were asked for.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    third: NDArray[np.float64] | None = None
    fourth: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        return outline("Exact moments of an estimator", vars(self))

    @property
    def skewness(self) -> NDArray[np.float64]:
        """E (g - E g)^3 / Var^(3/2); NaN where nothing varies."""
        return _shape(self.third, self.variance, 1.5)

    @property
    def kurtosis(self) -> NDArray[np.float64]:
        """E (g - E g)^4 / Var^2, 3 for a normal distribution; NaN where nothing varies."""
        return _shape(self.fourth, self.variance, 2.0)

    def stderr(self, count: int) -> NDArray[np.float64]:
        """Return the standard error of a mean of `count` samples, sqrt(Var / N).

        Parameters
        ----------
        count : int
            N, from 1 to 2^63.

        Raises
        ------
        ValueError
            For a count out of its range.
        """
        count = validate.integer("count", count, 1, 2**63)
        return np.sqrt(self.variance / count)

    def variance_stderr(self, count: int) -> NDArray[np.float64]:
        """Return the standard error of a variance measured on `count` samples, exactly.

        Var(s^2) = (mu_4 - sigma^4 (N - 3) / (N - 1)) / N

        Parameters
        ----------
        count : int
            N, from 2 to 2^63.

        Raises
        ------
        ValueError
            For a count out of its range, and without fourth moments (`higher=True`).
        """
        count = validate.integer("count", count, 2, 2**63)
        if self.fourth is None:
            raise ValueError("variance_stderr: it takes the fourth moments; ask for them, moments(..., higher=True)")
        return np.sqrt(np.maximum(self.fourth - self.variance**2 * (count - 3) / (count - 1), 0.0) / count)


def _shape(moment: Array | None, variance: Array, power: float) -> Array:
    if moment is None:
        raise ValueError("skewness and kurtosis take third and fourth moments; ask for them, moments(..., higher=True)")
    return np.divide(moment, variance**power, out=np.full(len(variance), np.nan), where=variance > 0)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExactMoments:
    """Exact moments of several estimators on common noise: `found["PW"]` is an `ExactEstimate`.

    Attributes
    ----------
    names : tuple of str
    parameters : tuple of str
    mean : (E, P)
    covariances : (E, E, P), or (E, P, E, P) with `full_covariance`
    third, fourth : (E, P) or None
    space : str
        What the functions of the state were: "table", "polynomials", "a table of 11 states that can be reached",
        "a grid of 240 points an axis".
    change : mapping
        By how much the moments moved, relative to the largest of their kind, when the grid, the noise, the start and the
        box were last refined: {"all": 3e-9}. Empty where nothing is approximate.
    left : float
        The chance that a trajectory leaves the box, at whose edge it is then held.
    """

    names: tuple
    parameters: tuple
    mean: NDArray[np.float64]
    covariances: NDArray[np.float64]
    third: NDArray[np.float64] | None = None
    fourth: NDArray[np.float64] | None = None
    space: str = ""
    change: Any = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    left: float = 0.0

    def __getitem__(self, name: str) -> ExactEstimate:
        e = self._number(name)
        own = None if self.third is None else self.third[e]
        return ExactEstimate(
            self.mean[e],
            np.maximum(self.covariance(name, name), 0.0),
            own,
            None if self.fourth is None else self.fourth[e],
        )

    def covariance(self, first: str, second: str) -> NDArray[np.float64]:
        """Return the covariance of two estimators on the same trajectory, parameter by parameter, (P,).

        Parameters
        ----------
        first, second : str
            Names of estimators.

        Raises
        ------
        KeyError
            For an estimator that was not asked for.
        """
        found = self._block(first, second)
        return found.copy() if found.ndim == 1 else np.diag(found).copy()

    def covariance_matrix(self, first: str, second: str) -> NDArray[np.float64]:
        """Return the covariances of all parameters of one estimator with all of another, (P, P).

        Parameters
        ----------
        first, second : str
            Names of estimators.

        Raises
        ------
        ValueError
            Unless asked for with `full_covariance=True`.
        KeyError
            For an estimator that was not asked for.
        """
        found = self._block(first, second)
        if found.ndim == 1:
            raise ValueError("covariance_matrix: ask for all of them, moments(..., full_covariance=True)")
        return found.copy()

    def moved_from(self, before: ExactMoments) -> float:
        """Return the largest difference of a moment from another result, each on its own scale.

        Means on that of the largest mean, or of a hundredth of the largest standard deviation; variances on their own,
        covariances on that of standard deviations, third moments on that of the fourth ones, to the power 3/4.

        Parameters
        ----------
        before : ExactMoments
            Of the same estimators.
        """
        change = 0.0
        for name in self.names:
            x, y = before[name], self[name]
            scale = max(np.abs(y.mean).max(), 1e-2 * np.sqrt(y.variance.max()))
            change = max(change, _relative(x.mean - y.mean, scale))
            change = max(change, _relative(x.variance - y.variance, np.maximum(y.variance, 1e-9 * y.variance.max())))
            if not (x.third is None or x.fourth is None or y.third is None or y.fourth is None):
                change = max(change, _relative(x.fourth - y.fourth, np.abs(y.fourth)))
                change = max(change, _relative(x.third - y.third, np.abs(y.fourth) ** 0.75))
        std = np.sqrt([self[name].variance for name in self.names])
        for i, first in enumerate(self.names):
            for j, second in enumerate(self.names[:i]):
                scale = std[i] * std[j]
                difference = before.covariance(first, second) - self.covariance(first, second)
                change = max(change, _relative(difference, np.maximum(scale, 1e-9 * scale.max())))
        return change

    def _block(self, first: str, second: str) -> Array:
        i, j = self._number(first), self._number(second)
        return self.covariances[i, j] if self.covariances.ndim == 3 else self.covariances[i, :, j, :]

    def _number(self, name: str) -> int:
        if not isinstance(name, str) or name not in self.names:
            raise KeyError(f"{name!r} was not asked for; what was: {', '.join(map(repr, self.names))}")
        return self.names.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def table(self) -> Any:
        """Return a tidy pandas DataFrame: one row per estimator and parameter."""
        import pandas

        rows = []
        for name in self.names:
            x = self[name]
            columns = {"mean": x.mean, "variance": x.variance}
            columns |= {"skewness": x.skewness} if x.third is not None else {}
            columns |= {"kurtosis": x.kurtosis} if x.fourth is not None else {}
            for p, parameter in enumerate(self.parameters):
                rows.append({"estimator": name, "parameter": parameter} | {k: float(v[p]) for k, v in columns.items()})
        return pandas.DataFrame(rows)

    def _repr_html_(self) -> str:
        html: str = self.table()._repr_html_()
        return html

    def __repr__(self) -> str:
        title = f"Exact moments ({self.space}) of {counted(len(self), 'estimator')}"
        title += "".join(f", {k} moved by {x:.0e}" for k, x in self.change.items())
        title += f", the box left with probability {self.left:.1e}" if self.left else ""
        of_each = {name: (self[name].mean, self[name].variance) for name in self.names}
        return outline(title, {k: f"mean {numbers(m)}, variance {numbers(v)}" for k, (m, v) in of_each.items()})


def _relative(difference: Array, scale: Any) -> float:
    change = np.max(np.abs(difference) / (scale + 1e-300))
    return float(change) if np.isfinite(change) else np.inf
