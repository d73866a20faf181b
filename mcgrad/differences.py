"""The gradient from returns alone: central differences on common noise, at widths that a pilot chooses for each direction.

    D_h = (R(theta + h d) - R(theta - h d)) / 2h            for h, h/2, h/4
    g   = (64 D_{h/4} - 20 D_{h/2} + D_h) / 45              free of h^2 and h^4 (Richardson)

No score and no derivative of anything is used, so that this rests on less than any estimator. It is right for returns that
jump, where Var D_h grows as 1 / h: there the width is as large as the bend of J allows. What a width costs is seen in a
pilot, on trajectories of its own, at all octaves from the size of theta down to rounding:

    chance      std of g / sqrt N, paired on each trajectory
    bend        how far the extrapolations of lower order, from (h, h/2) and (h/2, h/4), are apart
    excess      how far g is from those at smaller widths, beyond chance
    unseen      jumps that lie so near to theta, or are so rare, that too few trajectories meet them: see `_unseen`

Half of the largest width whose sum of these is near the least is taken: where the width that is best would have a bias like its
standard error, half of it has a small one. The difference from the best is the bound on the bias, with bend and unseen.

References
----------
Richardson (1911), The approximate arithmetical solution by finite differences. Phil. Trans. A 210; Lepski (1991), On a problem
of adaptive estimation in Gaussian white noise. Theory Probab. Appl. 35 (excess); Glasserman (2004), Monte Carlo methods in
financial engineering, section 7.1 (the variance of differences of returns that jump).
"""

import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import estimators as e
from . import validate
from .compiler.backends import KernelText
from .kernels.program import checked, gradient_program
from .problem import Problem
from .run import END, default_chunk, run_kernel, thread_count

# returns(theta, first, count) -> the returns of single trajectories, (count,)
Returns: TypeAlias = Callable[[NDArray[np.float64], int, int], NDArray[np.float64]]

PILOT = END + 2**40  # its trajectories are no one else's
PILOT_COUNT = 1024
PILOT_TOTAL = 2**20  # rollouts of the pilots of all directions together, about
ENOUGH = 30  # trajectories that a mean, and its standard error, may rest on
ROOT = np.sqrt(3.0)  # the std of g over that of D_{h/4} - D_{h/2} where jumps make both
NEAR = 1.25  # times the least error


class ReturnKernel(Protocol):
    """`Returns`, and the kernel behind it, to be compiled ahead."""

    kernel: KernelText

    def __call__(self, theta: NDArray[np.float64], first: int, count: int, /) -> NDArray[np.float64]: ...


class Slopes(NamedTuple):
    """Derivatives of J along D directions (by default along the axes: the gradient, D = P).

    Attributes
    ----------
    estimate, stderr, bias : (D,) arrays
        `bias` bounds what is left of it; infinite where no width is of use.
    widths : (D,) array
        h, in units of the direction; nan where none is of use.
    samples : (N, D) array
        The estimates of single trajectories, for comparisons on common noise; nan where a return was not finite.
    """

    estimate: np.ndarray
    stderr: np.ndarray
    bias: np.ndarray
    widths: np.ndarray
    samples: np.ndarray

    def apart(self, value: NDArray[np.float64], stderr: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
        """Return how far a gradient (D,) is away, in standard errors, beyond what the bias explains: (D,)."""
        excess = np.maximum(np.abs(np.asarray(value) - self.estimate) - self.bias, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = excess / np.hypot(self.stderr, stderr)
        return np.where(excess > 1e-9 * np.abs(self.estimate), z, 0.0)

    def resolution(self, z: float) -> NDArray[np.float64]:
        """Return the size of an error that `apart` would see with a limit of z, (D,)."""
        return z * self.stderr + self.bias


def return_kernel(problem: Problem, theta: NDArray[np.float64], seed: int, machine: str = "simd") -> ReturnKernel:
    """Return the function returns(theta, first, count) -> (count,) of trajectories, from one kernel for every theta."""
    theta = checked(problem, theta)
    zeros = (0.0,) * (len(theta) - 1)
    whole = e.custom(
        lambda c, x, later: (later + x.reward, []),
        last=lambda c, end: end.reward,
        finish=lambda c, sums, whole_return: (whole_return, *zeros),
    )
    program = gradient_program(problem, theta, {"return": whole})
    chunk = default_chunk(program.kernel.outputs)

    def returns(theta: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
        here = dataclasses.replace(program, theta=np.ascontiguousarray(theta, dtype=float))
        out = np.empty(count)
        for k in range(0, count, chunk):
            number = min(chunk, count - k)
            out[k : k + number] = run_kernel(here, seed, first + k, number, machine)[0]
        return out

    returns.kernel = program.kernel  # type: ignore[attr-defined]  # functions have attributes
    return returns  # type: ignore[return-value]  # with the one above it is


def gradient_by_differences(
    problem: Problem,
    theta: NDArray[np.float64],
    count: int,
    seed: int = 0,
    *,
    first: int = 0,
    directions: NDArray[np.float64] | None = None,
) -> Slopes:
    """Return the derivatives of J from returns alone, at widths chosen by a pilot.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    count : int
        Trajectories; each is simulated at eight parameters for each direction.
    seed : int
    first : int
        Number of the first trajectory: that of other estimators on the same noise.
    directions : (D, P) array, optional
        By default the axes.

    Returns
    -------
    Slopes

    Raises
    ------
    ValueError
        For an argument out of its range; TraceError, which is one, for functions that cannot be traced.
    """
    theta = checked(problem, theta)
    count, first = validate.integer("count", count, 2), validate.integer("first", first, 0)
    seed = validate.integer("seed", seed, 0, 2**64 - 1)
    directions = np.eye(len(theta)) if directions is None else directions
    directions = validate.array("directions", directions, (None, len(theta)))
    return slopes(return_kernel(problem, theta, seed), theta, directions, count, first)


def slopes(
    returns: Returns,
    theta: NDArray[np.float64],
    directions: NDArray[np.float64],
    count: int,
    first: int = 0,
    threads: int | None = None,
) -> Slopes:
    """Return Slopes of a function of theta, returns(theta, first, count) -> (count,) returns of single trajectories."""

    def quiet(theta: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):  # warnings are a matter of each thread
            return returns(theta, first, count)

    found = []
    pilot_count = int(np.clip(PILOT_TOTAL // (50 * len(directions)), 256, PILOT_COUNT))
    threads = thread_count(threads)
    with np.errstate(all="ignore"), contextlib.ExitStack() as stack:
        each: Callable[..., Iterable[Any]] = map
        if threads > 1:
            each = stack.enter_context(concurrent.futures.ThreadPoolExecutor(threads)).map

        def differences(
            direction: NDArray[np.float64], widths: NDArray[np.float64], first: int, count: int
        ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            steps = [sign * h * direction for h in widths for sign in (1.0, -1.0)]
            values = np.array(list(each(lambda step: quiet(theta + step, first, count), steps)))
            return (values[::2] - values[1::2]) / (2.0 * widths[:, None]), np.abs(values[::2])

        usual = np.isfinite(quiet(theta, PILOT, pilot_count)).mean()
        for direction in directions:
            widths = octaves(theta, direction)
            pilot = _Pilot(*differences(direction, widths, PILOT, pilot_count), widths, usual)
            k = pilot.best(count)
            if k is None:
                found.append((np.nan, np.inf, np.inf, np.nan, np.full(count, np.nan)))
                continue
            chosen = widths[k] * 0.5 ** np.arange(4)
            d, size = differences(direction, chosen, first, count)
            found.append((*_measured(d, size, chosen, pilot, k), chosen[1], _extrapolated(d)[1]))
    estimate, stderr, bias, widths, samples = zip(*found, strict=True)
    return Slopes(np.array(estimate), np.array(stderr), np.array(bias), np.array(widths), np.stack(samples, axis=1))


def octaves(theta: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the widths that a pilot tries, powers of two: from the size of theta, at least 1, down to rounding.

    The scale of a parameter that is zero, or of one that is tiny, is not known: so all of them are tried.
    """
    moved = direction != 0
    if not moved.any():
        raise ValueError("directions: expected none that is zero")
    size = np.abs(theta[moved] / direction[moved])
    unit = 1.0 / np.abs(direction).max()
    low = min(1e-6 * unit, 1e-4 * size[size > 0].min(initial=unit))
    high = max(0.5 * size.max(), unit)
    return 2.0 ** np.arange(np.floor(np.log2(high)), np.floor(np.log2(low)) - 1, -1)


def _extrapolated(d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return estimates of sixth order from differences at widths that halve (K, N), one for each three: (K - 2, N)."""
    return (64.0 * d[2:] - 20.0 * d[1:-1] + d[:-2]) / 45.0


def _bend(d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far two extrapolations of fourth order are apart, over 3, for each three widths: (K - 2, N)."""
    fourth = (4.0 * d[1:] - d[:-1]) / 3.0
    return (fourth[1:] - fourth[:-1]) / 3.0


def _restless(d: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which trajectories have differences that do not settle as the width halves, (K - 2, N), and by how much.

    |D_h - D_{h/2}| falls to a quarter where the return is smooth; it doubles, or vanishes, where it jumps or has a kink. What
    is tiny against the slopes does not count: it is rounding, or all the same.
    """
    change = np.abs(np.diff(d, axis=0))
    least = 1e-4 * np.abs(d[2:]).mean(axis=1, keepdims=True)
    restless = (change[1:] > 0.6 * change[:-1]) & (change[1:] > least)
    return restless, np.where(restless, change[1:], 0.0)


def _mean(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and its standard error along the last axis."""
    return x.mean(axis=-1), x.std(axis=-1, ddof=1) / np.sqrt(x.shape[-1])


class _Pilot:
    """What each width would cost along one direction, from differences (K, n)."""

    def __init__(
        self, d: NDArray[np.float64], size: NDArray[np.float64], widths: NDArray[np.float64], usual: float
    ) -> None:
        finite = np.isfinite(d)
        usable = finite.mean(axis=1) >= usual - 1e-12  # no more is lost than at theta itself
        self.usable = usable[2:] & usable[1:-1] & usable[:-2]
        d = np.where(finite, d, 0.0)
        self.n = d.shape[1]
        estimates = _extrapolated(d)
        self.std = estimates.std(axis=1, ddof=1)
        restless, change = _restless(d)
        mean, error = _mean(change)
        spread = error * np.sqrt(self.n)
        self.met, self.unseen, spread = _unseen(restless.sum(axis=1), mean + 3.0 * error, spread, self.usable)
        self.std = np.maximum(self.std, ROOT * spread)
        bend, error = _mean(_bend(d))
        bend = np.maximum(np.abs(bend) - error, 0.0)
        self.bend = np.maximum(bend, np.append(bend[1:], 0.0)) + _rounding(size, widths)[2:]
        self.excess = _excess(estimates, self.bend + self.hidden(self.n), self.usable)

    def best(self, count: int) -> int | None:
        """Return the number of the width to be taken with `count` trajectories, None if there is none."""
        error = self.std / np.sqrt(count) + np.maximum(self.bend, self.excess) + self.hidden(count)
        error = np.where(self.usable & np.isfinite(error), error, np.inf)[:-1]  # one width below is needed
        if not np.isfinite(error).any():
            return None
        return int(np.argmax(error <= NEAR * error.min()))

    def hidden(self, count: int) -> NDArray[np.float64]:
        """Return what jumps may add without being seen on `count` trajectories, (K,)."""
        return np.where(self.met * count >= ENOUGH * self.n, 0.0, self.unseen)


def _unseen(
    met: NDArray[np.int64], part: NDArray[np.float64], spread: NDArray[np.float64], usable: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how many trajectories meet a jump at each width, what jumps may add to the slope unseen, and their std; (K,) each.

    Jumps within reach of theta add the same to the slope at each width, with twice the variance, by half as many trajectories
    as at the width before. So once too few trajectories are met for their share to be measured, what was measured last
    stands. Many that are restless by little after that are so by rounding.
    """
    counts, unseen, spreads = np.zeros(len(met), int), np.zeros(len(met)), np.zeros(len(met))
    before, last, wide = ENOUGH, 0.0, 0.0
    for k in np.flatnonzero(usable):
        measured = before >= ENOUGH or (met[k] >= ENOUGH and part[k] > 0.01 * last)
        before = met[k] if measured else min(met[k], before)
        last = part[k] if measured else max(part[k], last)
        wide = spread[k] if measured else max(spread[k], np.sqrt(2.0) * wide)
        counts[k], unseen[k], spreads[k] = before, last, wide
    return counts, unseen, spreads


def _excess(
    estimates: NDArray[np.float64], bounds: NDArray[np.float64], usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how far each estimate is from those at smaller widths beyond chance and their own bounds, (K,).

    The bend tells the bias where J is smooth on the scale of the width; this tells where it is not (Lepski 1991).
    """
    excess = np.zeros(len(estimates))
    for k in range(len(estimates) - 1):
        mean, error = _mean(estimates[k + 1 :] - estimates[k])
        apart = np.abs(mean) - 3.0 * error - bounds[k + 1 :]
        excess[k] = np.max(apart, where=usable[k + 1 :] & np.isfinite(apart), initial=0.0)
    return excess


def _measured(
    d: NDArray[np.float64], size: NDArray[np.float64], widths: NDArray[np.float64], pilot: _Pilot, k: int
) -> tuple[float, float, float]:
    """Return (estimate, stderr, bias) from differences at four widths (4, N), the second the pilot's number k."""
    finite = np.isfinite(d).all(axis=0)
    d = d[:, finite]
    count = d.shape[1]
    if count < 2:
        return np.nan, np.inf, np.inf
    wide, narrow = _extrapolated(d)
    estimate, stderr = _mean(narrow)
    # Where J is smooth, the first is 63 times the bias, the second no less than 3 times.
    bias = max(_upper(wide - narrow) / 4.0, 0.4 * _upper(_bend(d)[1]), pilot.excess[k])
    bias += _rounding(size[:, finite], widths)[3]
    restless, change = _restless(d)
    if restless[1].sum() >= ENOUGH:
        bias += pilot.hidden(count)[k]
    else:
        mean, error = _mean(change)
        bias += max(pilot.unseen[k], *(mean + 3.0 * error))
    return float(estimate), float(stderr), float(bias)


def _upper(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the size of a mean hardly exceeds."""
    mean, error = _mean(x)
    return np.abs(mean) + 2.0 * error


def _rounding(size: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1e-15 * np.where(np.isfinite(size), size, 0.0).mean(axis=1) / widths
