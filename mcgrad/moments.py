"""Moments of gradient samples: means, variances and covariances, with the standard error of each."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from .sums import Sums, merge
from .validate import describe


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """What was measured of one estimator; every array is (P,). All variances are those of one trajectory's gradient.

    Attributes
    ----------
    count : int
        Trajectories behind the figures; `nonfinite` more were left out.
    mean, stderr
        Mean gradient and its standard error, sqrt(variance / count).
    variance, variance_stderr
        Unbiased sample variance and its standard error, from the fourth moment.
    skewness, kurtosis
        Standardised third and fourth central moments (0 and 3 for a normal distribution).
    rollouts : int
        Rollouts that one sample takes: compare variance * rollouts, not variances.
    """

    parameters: tuple
    count: int
    nonfinite: int
    mean: np.ndarray
    stderr: np.ndarray
    variance: np.ndarray
    variance_stderr: np.ndarray
    skewness: np.ndarray
    kurtosis: np.ndarray
    rollouts: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What was measured of several estimators on common noise: `found["PW"]` is an `Estimate`."""

    names: tuple
    parameters: tuple
    sums: Sums
    rollouts: tuple = ()

    def __getitem__(self, name):
        e = self._number(name)
        n, mean, _, m2, m3, m4 = self.sums.own[:, e, :]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mean = np.where(n > 0, mean, np.nan)
            variance = np.where(n > 1, m2 / (n - 1), np.nan)
            # Var(s^2) = (mu_4 - sigma^4 (n - 3) / (n - 1)) / n
            of_variance = np.maximum(m4 / n - variance**2 * (n - 3) / (n - 1), 0.0) / n
            spread = np.where(m2 > 0, m2, np.nan)  # a constant has no shape
            skewness, kurtosis = np.sqrt(n) * m3 / spread**1.5, n * m4 / spread**2
            stderr, variance_stderr = np.sqrt(variance / n), np.sqrt(of_variance)
        count, nonfinite = int(n[0]), int(self.sums.nonfinite[e])
        return Estimate(
            self.parameters,
            count,
            nonfinite,
            mean,
            stderr,
            variance,
            variance_stderr,
            skewness,
            kurtosis,
            self.rollouts[e] if self.rollouts else 1,
        )

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return len(self.names)

    def _number(self, name):
        if name not in self.names:
            raise KeyError(f"no estimator called {name!r} was measured; there are {', '.join(map(repr, self.names))}")
        return self.names.index(name)

    @property
    def nonfinite(self):
        """Number of trajectories left out, by estimator."""
        return {name: int(k) for name, k in zip(self.names, self.sums.nonfinite, strict=True)}

    def covariance(self, first, second):
        """Return the covariance of two estimators on common noise.

        Returns
        -------
        (P,) array, parameter by parameter; (P, P) if measured with `full_covariance=True`.
        """
        a, b = self._number(first), self._number(second)
        E, P = self.sums.joint.shape[-2:]
        n = self.sums.joint[0, 0, 0]
        cross = np.where(n > 1, self.sums.cross, np.nan)
        n = max(n, 2)
        if cross.shape == (E * P, E * P):
            return cross[a * P : (a + 1) * P, b * P : (b + 1) * P] / (n - 1)
        if a == b:
            return self[first].variance
        a, b = max(a, b), min(a, b)
        return cross[a * (a - 1) // 2 + b] / (n - 1)

    def merge(self, other):
        """Return the moments of both sets of trajectories, which must not overlap (measure with `start=`)."""
        if (self.names, self.parameters) != (other.names, other.parameters):
            raise ValueError(f"other: expected moments of {self.names}, got those of {other.names}")
        if self.sums.cross.shape != other.sums.cross.shape:
            raise ValueError("other: expected the same full_covariance in both measurements")
        return dataclasses.replace(self, sums=merge(self.sums, other.sums))

    def table(self, cost=None):
        """Return a tidy pandas DataFrame, one row for each estimator and parameter.

        Parameters
        ----------
        cost : Cost or dict, optional
            Nanoseconds of a sample by estimator, from `mcgrad.cost`: adds `nanoseconds` and `variance_x_nanoseconds`.

        Raises
        ------
        ValueError
            If the cost of an estimator is missing.
        """
        import pandas

        known = getattr(cost, "nanoseconds", cost)
        if known is not None and not (isinstance(known, Mapping) and set(self.names) <= set(known)):
            raise ValueError(f"cost: expected nanoseconds for {', '.join(self.names)}, got {describe(cost)}")
        return pandas.DataFrame([row for name in self.names for row in self.rows(name, known and known[name])])

    def rows(self, name, nanoseconds=None):
        """Return the rows of the table that belong to an estimator, as dicts; `nanoseconds` of one sample, if known."""
        found = self[name]
        price = {"rollouts": found.rollouts} | ({} if nanoseconds is None else {"nanoseconds": float(nanoseconds)})
        columns = ("mean", "stderr", "variance", "variance_stderr", "kurtosis")
        rows = []
        for i, parameter in enumerate(self.parameters):
            figures = {c: float(getattr(found, c)[i]) for c in columns}
            row = {"estimator": name, "parameter": parameter, **figures}
            row |= {"count": found.count, "nonfinite": found.nonfinite} | price
            rows.append(row | {f"variance_x_{what}": figures["variance"] * x for what, x in price.items()})
        return rows
