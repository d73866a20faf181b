"""Samples of estimators in one pass: moments and means of batches; and how far two means are apart.

Two means are apart by t = difference / standard error. Where a mean hangs on rare trajectories, and few of them were seen,
the standard error is as much too small as the mean, and t is large by chance. With g the skewness of the difference, on
the side where that happens (t g < 0), u = |t g|,

    z = 3 / (2 |g|) ((1 + u)^(1/2) - (1 + u)^(-1/6)) = |t| - |g| t^2 / 3 + ...

and z = |t| on the other. To first order that is the normal score of any studentised mean (Hall 1992, equation 2.3); it is
the Anscombe residual of a count k = 1 / g^2 of rare events where k - t k^(1/2) were expected, so that it stays right far
from there.

References
----------
Hall (1992), On the removal of skewness by transformation. J. R. Statist. Soc. B 54, 221-228; McCullagh and Nelder (1989),
Generalized linear models, section 2.4.2 (Anscombe residuals).
"""

import concurrent.futures
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..differences import Slopes
from ..estimate import Estimate
from ..estimators.estimator import Estimator, rollouts
from ..estimators.knowledge import knows
from ..kernels.program import Program
from ..moments import Moments
from ..power_sums import Accumulator, PowerSums, of_chunk
from ..problem import Problem
from ..run import default_chunk, run_kernel, thread_count

BATCHES = 30  # from so many batches on the skewness of a difference is taken from them


class Samples(NamedTuple):
    """Moments of some estimators, and means of batches of their samples (E, P, batches)."""

    moments: Moments
    batches: NDArray[np.float64]

    def batches_of(self, name: str) -> NDArray[np.float64]:
        """Return the batch means of an estimator, (P, batches)."""
        return self.batches[self.moments.names.index(name)]


class Apart(NamedTuple):
    """How far two means are apart, component by component.

    Attributes
    ----------
    z : array
        In standard errors beyond `bias`, corrected for skewness; nothing known counts as nothing apart.
    error : array
        The standard error of the difference.
    bias : array
        A bound on what of it is the fault of what is compared with.
    """

    z: NDArray[np.float64]
    error: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def worst(self) -> float:
        """The largest z."""
        return float(self.z.max())

    def visible(self, limit: float, size: float) -> float:
        """Return the difference that would just be seen, as a fraction of a gradient of that size."""
        return float(np.linalg.norm(limit * self.error + self.bias) / size) if size > 0 else np.inf


def measure(
    program: Program,
    problem: Problem,
    found: Mapping[str, Estimator],
    first: int,
    count: int,
    batch: int,
    seed: int,
    machine: str = "simd",
) -> dict[str, Samples]:
    """Return {name: Samples}; the same numbers for any number of threads."""
    names, P = program.names, len(problem.parameters)
    E = len(names)
    size = max(default_chunk(program.kernel.outputs) // batch, 1) * batch

    def piece(k: int) -> tuple[PowerSums, NDArray[np.float64]]:
        out = run_kernel(program, seed, k, min(size, first + count - k), machine)
        sums = of_chunk(out, E)
        samples = out.reshape(E, P, -1)
        whole = samples[:, :, : samples.shape[2] // batch * batch]
        with np.errstate(all="ignore"):
            return sums, whole.reshape(E, P, -1, batch).mean(axis=3)

    merged = Accumulator()
    batches: list[NDArray[np.float64]] = []
    with concurrent.futures.ThreadPoolExecutor(thread_count(None)) as pool:
        for sums, means in pool.map(piece, range(first, first + count, size)):
            merged.add(sums)
            batches.append(means)
    moments = Moments(
        names,
        problem.parameters,
        merged.result(),
        tuple(rollouts(found[x], problem) for x in names),
        knows=tuple(knows(found[x]).kind for x in names),
    )
    return dict.fromkeys(names, Samples(moments, np.concatenate(batches, axis=2)))


def from_exact(samples: Samples, name: str, gradient: NDArray[np.float64], tolerance: float = 0.0) -> Apart:
    """Return how far the mean of an estimator is from a gradient known to a tolerance of its largest component, (P,)."""
    x = samples.moments[name]
    return _apart(x.mean - gradient, x.stderr, _third(x), gradient, tolerance * np.abs(gradient).max())


def from_another(samples: Samples, name: str, others: Samples, other: str) -> Apart:
    """Return how far the means of two estimators are apart, on common noise where they were measured on the same."""
    x, y = samples.moments[name], others.moments[other]
    if samples.moments is not others.moments:
        return _apart(x.mean - y.mean, np.hypot(x.stderr, y.stderr), _third(x) - _third(y), y.mean)
    covariance = samples.moments.covariance(name, other)
    square = x.stderr**2 + y.stderr**2 - 2.0 * covariance / max(x.count, 1)
    difference = _finite(samples.batches_of(name) - others.batches_of(other))
    third = _third(x) - _third(y) if difference.shape[1] < BATCHES else _cumulants(difference)[2]
    return _apart(x.mean - y.mean, np.sqrt(np.maximum(square, 0.0)), third, y.mean)


def from_slopes(
    samples: Samples, name: str, slopes: Slopes, directions: NDArray[np.float64], batch: int, common: bool
) -> Apart:
    """Return how far the mean of an estimator is from differences of returns, along directions (D, P): (D,).

    `common`: both began with the same trajectory, so that a batch of the one is a batch of the other.
    """
    ours = directions @ samples.batches_of(name)
    whole = len(slopes.samples) // batch
    theirs = slopes.samples[: whole * batch].reshape(whole, batch, -1).mean(axis=1).T
    estimate, bias = slopes.estimate, slopes.bias
    if common and min(whole, ours.shape[1]) >= BATCHES:
        number = min(whole, ours.shape[1])
        mean, error, third = _cumulants(_finite(ours[:, :number] - theirs[:, :number]))
        return _apart(mean, error, third, estimate, bias)
    mean, error, third = _cumulants(_finite(ours))
    # On common noise of which there are too few batches, the two errors may add up.
    error = error + slopes.stderr if common else np.hypot(error, slopes.stderr)
    return _apart(mean - estimate, error, third, estimate, bias)


def _finite(batches: NDArray[np.float64]) -> NDArray[np.float64]:
    return batches[:, np.isfinite(batches).all(axis=0)]


def _third(x: Estimate) -> NDArray[np.float64]:
    """Return the third cumulant of a mean."""
    return np.where(np.isfinite(x.skewness), x.skewness, 0.0) * x.stderr**3 / np.sqrt(max(x.count, 1))


def _cumulants(
    batches: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of batches (D, number), its standard error and its third cumulant."""
    number = batches.shape[1]
    if number < 2:
        nothing = np.full(len(batches), np.nan)
        return nothing, np.full(len(batches), np.inf), nothing
    mean = batches.mean(axis=1)
    third = ((batches - mean[:, None]) ** 3).mean(axis=1) / number**2
    return mean, batches.std(axis=1, ddof=1) / np.sqrt(number), third


def _apart(
    difference: NDArray[np.float64],
    error: NDArray[np.float64],
    third: NDArray[np.float64],
    size: NDArray[np.float64],
    bias: NDArray[np.float64] | float = 0.0,
) -> Apart:
    """Return Apart from a difference, of which `bias` may be no fault of the estimator's."""
    beyond = np.maximum(np.abs(difference) - bias, 0.0)
    rounding = 1e-9 * np.abs(size)  # two that do not vary agree to rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.sign(difference) * np.where(beyond <= rounding, 0.0, beyond / error)
        g = np.where((error > 0) & np.isfinite(error), third / error**3, 0.0)
    z = np.where(np.isfinite(t), unskewed(np.where(np.isfinite(t), t, 0.0), g), np.inf)
    return Apart(np.where(np.isnan(t), 0.0, z), error, np.broadcast_to(bias, error.shape))


def unskewed(t: NDArray[np.float64], g: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal score |z| of a studentised mean t of skewness g, see the module."""
    u, size = np.maximum(-t * g, 0.0), np.maximum(np.abs(g), 1e-6)  # less skewness makes no difference
    with np.errstate(over="ignore"):
        heavy = 1.5 / size * (np.sqrt(1.0 + u) - (1.0 + u) ** (-1.0 / 6.0))
    return np.where(t * g < -1e-9, np.minimum(heavy, np.abs(t)), np.abs(t))
