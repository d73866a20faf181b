"""Moments of gradient samples: means, variances and covariances, with the standard error of each."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import archive, intervals, validate
from .estimate import Estimate, column, plain
from .power_sums import ARRAYS, Covariances, PowerSums, entry, merge, of_chunk, of_chunks
from .printing import counted
from .source import Source, check_apart
from .text import aligned

if TYPE_CHECKING:
    import pandas

WHAT = "moments of gradients"  # what a file of them says that it is
FORMED = 12  # estimators between which all covariances are formed unasked: it takes a tenth of the time


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What was measured of several estimators on common noise: `found["PW"]` is an `Estimate`.

    Of a batch (thetas of shape (B, P), or B problems) everything has a leading axis, and `found.entry(b)` is what a measurement
    of entry b alone would have found, bit for bit.
    """

    names: tuple[str, ...]
    parameters: tuple[str, ...]
    sums: PowerSums
    rollouts: tuple[int, ...] = ()
    rounding_errors: tuple[Any, ...] = ()
    knows: tuple[str, ...] = ()  # what each estimator must know, one of `estimators.knowledge.KINDS`
    sources: tuple[Source, ...] = ()  # a `Source` for each measurement that was merged; () where nobody said

    def __getitem__(self, name: str) -> Estimate:
        e = self._number(name)
        n, mean, _, m2, m3, m4 = np.moveaxis(self.sums.own[..., e, :], -2, 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mean = np.where(n > 0, mean, np.nan)
            # Sums that overflowed are infinite, or inf - inf once they were merged.
            variance = np.where(n > 1, np.where(np.isnan(m2), np.inf, m2 / (n - 1)), np.nan)
            # Var(s^2) = (mu_4 - sigma^4 (n - 3) / (n - 1)) / n
            of_variance = np.maximum(m4 / n - variance**2 * (n - 3) / (n - 1), 0.0) / n
            spread = np.where(m2 > 0, m2, np.nan)  # a constant has no shape
            skewness, kurtosis = np.sqrt(n) * m3 / spread**1.5, n * m4 / spread**2
            overflowed = (n > 1) & (np.isinf(variance) | ~np.isfinite(m4))
            of_variance = np.where(overflowed, np.inf, of_variance)
            stderr, variance_stderr = np.sqrt(variance / n), np.sqrt(of_variance)
            # Rounding may leave a little less than none.
            of_total = np.maximum(self._squares[..., e, -1], 0.0) / n[..., 0]
        count, nonfinite = n[..., 0].astype(np.int64), self.sums.nonfinite[..., e]
        return Estimate(
            self.parameters,
            plain(count, int),
            plain(nonfinite, int),
            mean,
            stderr,
            variance,
            variance_stderr,
            skewness,
            kurtosis,
            self.rollouts[e] if self.rollouts else 1,
            plain(np.sqrt(of_total)),
        )

    @property
    def batch(self) -> int | None:
        """Number of entries of a batch, or None."""
        return len(self.sums.own) if self.sums.own.ndim == 4 else None

    def entry(self, b: int) -> Moments:
        """Return what was measured of entry b of a batch, from -B to B - 1, as a measurement of its own.

        Raises
        ------
        ValueError
            For another number, and without a batch.
        """
        if self.batch is None:
            raise ValueError("entry: expected moments of a batch, got those of a single measurement")
        b = validate.integer("b", b, -self.batch, self.batch - 1)
        lost = self.rounding_errors and tuple(x[b] if np.ndim(x) else x for x in self.rounding_errors)
        sources = tuple(x.each()[b] for x in self.sources)
        return dataclasses.replace(self, sums=entry(self.sums, b), rounding_errors=lost, sources=sources)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _number(self, name: str) -> int:
        if not isinstance(name, str) or name not in self.names:
            raise KeyError(f"no estimator called {name!r} was measured; there are {', '.join(map(repr, self.names))}")
        return self.names.index(name)

    @property
    def nonfinite(self) -> dict[str, Any]:
        """Number of trajectories left out, by estimator."""
        counts = np.moveaxis(self.sums.nonfinite, -1, 0)
        return {name: plain(k, int) for name, k in zip(self.names, counts, strict=True)}

    @property
    def overflowed(self) -> dict[str, Any]:
        """Number of variances, or standard errors of variances, that are too large for a number, by estimator."""
        if np.isfinite(self.sums.own).all():
            return dict.fromkeys(self.names, 0)
        return {name: plain(np.isinf(self[name].variance_stderr).sum(axis=-1), int) for name in self.names}

    @property
    def rounding(self) -> dict[str, Any]:
        """What one rounding error makes of a gradient, in its standard deviations, by estimator: see `mcgrad.precision`."""
        return dict(zip(self.names, self.rounding_errors or (0.0,) * len(self.names), strict=True))

    def covariance(self, first: str, second: str) -> NDArray[np.float64]:
        """Return the covariance of two estimators on common noise, parameter by parameter, (P,).

        Parameters
        ----------
        first, second : str
            Names of estimators.

        Raises
        ------
        ValueError
            For a pair whose covariance was not asked for: see `covariances` of `mcgrad.measure`. KeyError for another name.
        """
        a, b = self._number(first), self._number(second)
        if a == b:
            return self[first].variance
        if self.sums.covariances.full:
            return np.diagonal(self.covariance_matrix(first, second), axis1=-2, axis2=-1).copy()
        n = self.sums.joint[..., 0, 0, 0, None]
        return np.where(n > 1, self.sums.cross[..., self._pair(a, b), :], np.nan) / np.maximum(n - 1, 1)

    def covariance_matrix(self, first: str, second: str) -> NDArray[np.float64]:
        """Return the covariances of all parameters of one estimator with all of another, (P, P), on common noise.

        Parameters
        ----------
        first, second : str
            Names of estimators.

        Raises
        ------
        ValueError
            Unless measured with `full_covariance=True`; KeyError for another name.
        """
        a, b = self._number(first), self._number(second)
        if not self.sums.covariances.full:
            raise ValueError(
                "covariance_matrix: these moments have none; ask for it, measure(..., full_covariance=True)"
            )
        P, n = self.sums.joint.shape[-1], self.sums.joint[..., 0, 0, 0, None, None]
        cross = self.sums.cross[..., a * P : (a + 1) * P, b * P : (b + 1) * P]
        return np.where(n > 1, cross, np.nan) / np.maximum(n - 1, 1)

    def _pair(self, a: int, b: int) -> int:
        """Return the number of a pair of estimators among those whose covariances were formed."""
        try:
            return self._pairs[max(a, b), min(a, b)]
        except KeyError:
            pair = (self.names[a], self.names[b])
            what = f"that of {pair[0]!r} and {pair[1]!r} was not asked for, and without being asked"
            raise ValueError(
                f"covariances: {what} measure forms none between more than {FORMED} estimators; call it with "
                f"covariances=[{pair}], or covariances='all'"
            ) from None

    @functools.cached_property
    def _pairs(self) -> dict[tuple[int, int], int]:
        return {pair: k for k, pair in enumerate(self.sums.covariances.pairs)}

    @functools.cached_property
    def _squares(self) -> NDArray[np.float64]:
        """Covariances of squared deviations on common noise, as in `PowerSums.squares`; of one trajectory."""
        sums = self.sums
        if self.batch is not None and np.isnan(sums.few).any():  # entries with samples of different numbers
            return np.stack([self.entry(b)._squares for b in range(self.batch)])
        if (sums.degrees == 0.0).all() and sums.few.shape[-1] > 2:
            sums = (of_chunk if self.batch is None else of_chunks)(sums.few, len(self.names), sums.covariances, few=3)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = sums.squares / sums.degrees[..., None]
        overflowed = np.isnan(found) & (sums.degrees[..., None] > 0.0)
        return np.where(overflowed, np.inf, found)

    def variance_ratio(self, first: str, second: str, level: float = 0.95) -> intervals.Ratio[NDArray[np.float64]]:
        """Return (ratio, low, high): the variance of one estimator over that of another, with its confidence interval.

        Both were measured on common noise, and what their variances have in common is taken off: the interval is narrower
        than that of two independent measurements. Multiply by the ratio of `rollouts` to compare at equal work.

        Parameters
        ----------
        first, second : str
        level : float
            Between 0 and 1.

        Returns
        -------
        Ratio
            Three arrays, each (P,).

        Raises
        ------
        ValueError
            For a level out of its range; for a pair whose covariance was not asked for: see `covariances` of
            `mcgrad.measure`.
        """
        a, b = self[first], self[second]
        return self._ratio(first, second, a.variance, b.variance, slice(None, -1), level)

    def total_variance_ratio(self, first: str, second: str, level: float = 0.95) -> intervals.Ratio[float]:
        """Return (ratio, low, high) of the sums of the variances of all parameters, three floats; see `variance_ratio`."""
        a, b = self[first], self[second]
        found = self._ratio(first, second, np.asarray(a.total_variance), np.asarray(b.total_variance), -1, level)
        return intervals.Ratio(*map(plain, found))

    def _ratio(
        self,
        first: str,
        second: str,
        over: NDArray[np.float64],
        under: NDArray[np.float64],
        columns: int | slice,
        level: float,
    ) -> intervals.Ratio[NDArray[np.float64]]:
        a, b = self._number(first), self._number(second)
        count = self.sums.joint[..., 0, 0, 0]
        count = column(count) if columns != -1 else count
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            both = a if a == b else len(self) + self._pair(a, b)
            found = [
                self._squares[..., k, columns] / count / x / y
                for k, x, y in ((a, over, over), (b, under, under), (both, over, under))
            ]
        return intervals.of_ratio(over, under, found, count, level)

    def save(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write everything to one .npz file, which `Moments.load` reads, with where it comes from; return its path."""
        words: dict[str, Any] = {k: getattr(self, k) for k in ("names", "parameters", "rollouts", "knows")}
        words |= {"what": WHAT, "sources": [x.words() for x in self.sources]}
        pairs, full = self.sums.covariances
        words |= {"pairs": pairs, "full_covariance": full}
        arrays = {f"sums_{name}": getattr(self.sums, name) for name in ARRAYS}
        return archive.save(path, words, arrays | {"rounding_errors": np.array(self.rounding_errors)})

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Moments:
        """Return the `Moments` that `save` has written.

        Raises
        ------
        ValueError
            For a file that holds something else; FileNotFoundError for none.

        Examples
        --------
        >>> import mcgrad as mg
        >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
        >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
        >>> import pathlib, tempfile
        >>> found = mg.measure(problem, [-0.6], {"path": mg.estimators.reparameterization()}, 20_000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mg.Moments.load(found.save(pathlib.Path(folder) / "found"))
        >>> bool((again["path"].variance == found["path"].variance).all())
        True
        """
        words, arrays = archive.load(path, WHAT)
        lost = arrays.pop("rounding_errors")
        formed = Covariances(tuple(map(tuple, words["pairs"])), words["full_covariance"])
        sums = PowerSums(**{name.removeprefix("sums_"): x for name, x in arrays.items()}, covariances=formed)
        fields = {k: tuple(words[k]) for k in ("names", "parameters", "rollouts", "knows")}
        sources = tuple(Source(**x) for x in words["sources"])
        return cls(**fields, sums=sums, rounding_errors=tuple(lost), sources=sources)

    def __repr__(self) -> str:
        lines = [f"Moments of {counted(len(self), 'estimator')}, {counted(len(self.parameters), 'parameter')}"]
        if self.batch is not None:
            return f"{lines[0]}, a batch of {self.batch}: found.entry(b) is one of them"
        rows = [("", "samples", "|mean|", "total variance", "95 %", "kurtosis", "rollouts")]
        for name in self.names:
            x = self[name]
            low, high = x.total_variance_interval()
            mean, kurtosis = np.linalg.norm(x.mean), f"{np.max(x.kurtosis):.3g}"
            figures = (f"{x.count}", f"{mean:.4g}", f"{x.total_variance:.4g}", f"{low:.4g} to {high:.4g}", kurtosis)
            rows.append((name, *figures, str(x.rollouts)))
        return "\n".join([*lines, *(f"  {line}" for line in aligned(rows))])

    def _repr_html_(self) -> str | None:
        return None if self.batch is not None else self.table()._repr_html_()

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of trajectories, which must not overlap (measure with `start=`).

        Both are of the same problem, with the same numbers in it, theta, estimators, precision, sampling design and version of
        this library: all of that is noted with a measurement and kept in its file. Seeds may differ.

        Raises
        ------
        ValueError
            For moments of something else, which says what differs; for some of the same trajectories; for a file of a version
            that did not note what was measured.
        """
        if not isinstance(other, Moments):
            raise ValueError(f"other: expected Moments, got {validate.describe(other)}")
        if self.names != other.names:
            raise ValueError(f"other: expected moments of {self.names}, got those of {other.names}")
        if self.parameters != other.parameters:
            raise ValueError(f"other: expected the parameters {self.parameters}, got {other.parameters}")
        if self.batch != other.batch:
            sizes = ("no batch" if x.batch is None else f"a batch of {x.batch}" for x in (self, other))
            raise ValueError("other: expected {}, got {}".format(*sizes))
        if self.sums.covariances != other.sums.covariances:
            raise ValueError("other: expected the same covariances and full_covariance in both measurements")
        check_apart(self.sources, other.sources)
        worst = tuple(np.maximum(self.rounding[name], other.rounding[name]) for name in self.names)
        sums, sources = merge(self.sums, other.sums), self.sources + other.sources
        return dataclasses.replace(self, sums=sums, rounding_errors=worst, sources=sources)

    def table(self, cost: Any = None) -> pandas.DataFrame:
        """Return a tidy pandas DataFrame, one row for each estimator and parameter.

        `variance_low` and `variance_high` are the 95 % confidence interval of the variance; where `rests_on_few` is true, it
        rests on few trajectories (count < 100 kurtosis): measure more. `knows` is what the estimator must know, where that is
        known: "trajectories" (the efficiency bound is a floor for it), "simulator", "oracle", ...: see `estimators.knows`.

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
            raise ValueError(f"cost: expected nanoseconds for {', '.join(self.names)}, got {validate.describe(cost)}")
        prices: Any = known or dict.fromkeys(self.names)
        if self.batch is not None:
            rows = [
                {"entry": b, **row}
                for b in range(self.batch)
                for alone in [self.entry(b)]
                for name in self.names
                for row in alone.rows(name, prices[name])
            ]
            return pandas.DataFrame(rows)
        return pandas.DataFrame([row for name in self.names for row in self.rows(name, prices[name])])

    def rows(self, name: str, nanoseconds: float | None = None) -> list[dict[str, Any]]:
        """Return the rows of the table that belong to an estimator, as dicts; `nanoseconds` of one sample, if known."""
        found = self[name]
        price: dict[str, float] = {"rollouts": found.rollouts}
        price |= {} if nanoseconds is None else {"nanoseconds": float(nanoseconds)}
        columns = ("mean", "stderr", "variance", "variance_stderr", "kurtosis")
        (low, high), few = found.variance_interval(), found.rests_on_few
        known = {"knows": self.knows[self._number(name)]} if self.knows else {}
        rows = []
        for i, parameter in enumerate(self.parameters):
            figures = {c: float(getattr(found, c)[i]) for c in columns}
            row: dict[str, Any] = {"estimator": name, "parameter": parameter} | known | figures
            row |= {"variance_low": float(low[i]), "variance_high": float(high[i]), "rests_on_few": bool(few[i])}
            row |= {"count": found.count, "nonfinite": found.nonfinite} | price
            rows.append(row | {f"variance_x_{what}": figures["variance"] * x for what, x in price.items()})
        return rows


def of_samples(samples: Mapping[str, ArrayLike], parameters: Sequence[str] | None = None) -> Moments:
    """Return the `Moments` of gradients that are in memory, such as `mcgrad.sample` returns.

    Parameters
    ----------
    samples : dict
        Name -> (N, P) array, all of the same shape; row i of each was made with the same noise.
    parameters : sequence of P str, optional
        What the parameters are called: by default "0", "1", ...

    Raises
    ------
    ValueError
        For samples of other shapes.
    """
    if not isinstance(samples, Mapping) or not samples:
        raise ValueError(f"samples: expected a dict of name -> (N, P) array, got {validate.describe(samples)}")
    try:
        arrays = [np.asarray(x, dtype=float) for x in samples.values()]
    except (TypeError, ValueError) as error:
        raise ValueError(f"samples: expected (N, P) arrays of numbers ({error})") from None
    shapes = {x.shape for x in arrays}
    if len(shapes) > 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"samples: expected (N, P) arrays of one shape, got {sorted(shapes)}")
    P = arrays[0].shape[1]
    parameters = (
        tuple(map(str, range(P))) if parameters is None else validate.sequence("parameters", parameters, "names")
    )
    if len(parameters) != P:
        raise ValueError(f"parameters: expected {P} names, got {len(parameters)}")
    columns = np.ascontiguousarray(np.concatenate(arrays, axis=1).T)
    return Moments(tuple(samples), parameters, of_chunk(columns, len(arrays)))
