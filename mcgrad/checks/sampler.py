"""Whether the score is that of what `sample` draws.

For functions f of the random components of the action, at states that are visited,

    E[f(a) z_k] = d/d eta_k E[f(a)],      z = d log p(a | eta) / d eta

The right side is taken by differences of f on common noise (see `mcgrad.differences`): no derivative of `sample`, which has
none where a mixture, a choice or a hybrid action jumps. Both sides use the same fresh noise, and what is known of its
moments is taken out (control variates). Components of the action that are functions of eta alone are held fixed by f.

    f = tanh(u_i), tanh(u_i)^2, and cos(w u) with random w where several components are random

u_i is the action less what is drawn with the middle of the noise, in units of how far it changes with noise of its usual size;
both stay as they are when eta moves.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..differences import PILOT, PILOT_COUNT, slopes
from ..problem import Policy
from .functions import Arrays, PolicyFunctions

POINTS = 32_768  # states and noises
MORE = 4, 16  # times as many where these see too little
SEEN = 0.08  # an error of this part of the score should be seen
JOINT = 2  # functions of all random components at once


class SamplerTest(NamedTuple):
    """What was found.

    Attributes
    ----------
    z : (K, F) array
        How far the two sides are apart, in standard errors beyond the bias of the differences.
    visible : (K,) array
        The error of component k of the score that would have been seen, as a fraction of it; nan where both sides are zero.
    """

    z: np.ndarray
    visible: np.ndarray


class Points(NamedTuple):
    """eta (K arrays), noise (arrays), actions (m arrays) and scores (K arrays) at the points of a test."""

    eta: tuple
    e: tuple
    a: tuple
    z: tuple


def fresh_points(f: PolicyFunctions, eta: Arrays, seed: int, count: int) -> Points:
    """Return `count` Points with fresh noise at states that were visited, eta (K arrays); pilots' after the others."""
    policy, random = f.policy, np.random.default_rng(seed)
    at = random.integers(len(eta[0]), size=count)
    eta = tuple(x[at] for x in eta)
    e = tuple(random.normal(size=count) for _ in range(policy.noises))
    e += tuple(random.uniform(size=count) for _ in range(policy.uniforms))
    a = f.sample(f.p, eta, e)
    return Points(eta, e, a, f.score(f.p, eta, a, e))


def sampler_test(f: PolicyFunctions, eta: Arrays, seed: int, limit: Callable[[int], float]) -> SamplerTest:
    """Return a SamplerTest of PolicyFunctions with random components at visited states.

    Parameters
    ----------
    limit : callable
        limit(comparisons) -> the z that chance hardly exceeds.
    """
    test = _Test(f, eta, seed, POINTS, limit)
    K, F = range(f.K), range(test.features.number)
    z, visible = (np.array(x) for x in zip(*(test.component(k, F) for k in K), strict=True))
    best, least = visible.argmin(axis=1), visible.min(axis=1)
    for times in MORE:
        more = [k for k in K if least[k] > SEEN]
        if more and z.max() <= limit(z.size):
            test = _Test(f, eta, seed, times * POINTS, limit)
            for k in more:
                z[k, best[k]], least[k] = (x[0] for x in test.component(k, best[k : k + 1]))
    return SamplerTest(z, least)


class _Test:
    """The two sides at `count` points, and at others for the pilots of the differences."""

    def __init__(self, f: PolicyFunctions, eta: Arrays, seed: int, count: int, limit: Callable[[int], float]) -> None:
        self.f, self.count = f, count
        self.points = points = fresh_points(f, eta, seed, count + PILOT_COUNT)
        self.features = _Features(f, points, seed)
        self.known = _known(f.policy, [x[:count] for x in points.e])
        self.typical = np.array([_size(x) for x in points.eta])
        self.most = limit(f.K * (self.features.number + 1))

    def component(self, k: int, chosen: Iterable[int]) -> tuple[Any, ...]:
        """Return (z, visible) of component k of the score for some of the functions; visible nan where both sides are zero."""
        score, moved = self.points.z[k][: self.count], self._moved()
        found = []
        for j in chosen:
            slope = slopes(
                lambda *x, j=j: moved(j, *x), self.typical, np.eye(self.f.K)[k : k + 1], self.count, threads=1
            )
            left = self.features.one(j, self.points.a, slice(None))[: self.count] * score
            mean, error = _mean_without(left - slope.samples[:, 0], self.known)
            size, bias = abs(np.mean(left[np.isfinite(left)])), float(slope.bias[0])
            excess = max(abs(mean) - bias, 0.0)
            z = excess / max(error, 1e-300) if excess > 1e-9 * (size + abs(mean)) else 0.0
            if not left.any() and z == 0.0:
                found.append((z, np.nan))
            else:
                found.append((z, (self.most * error + bias) / size if size > 0 else np.inf))
        return tuple(zip(*found, strict=True))

    def _moved(self) -> Callable[..., NDArray[np.float64]]:
        """Return (j, theta, first, count) -> function j at eta + theta - typical, (count,); it keeps the actions."""
        known = {}

        def moved(j: int, theta: NDArray[np.float64], first: int, number: int) -> NDArray[np.float64]:
            first = self.count if first >= PILOT else first
            rows, key = slice(first, first + number), (theta.tobytes(), first, number)
            if key not in known:
                eta = tuple(x[rows] + d for x, d in zip(self.points.eta, theta - self.typical, strict=True))
                known[key] = self.f.sample(self.f.p, eta, tuple(x[rows] for x in self.points.e))
            return self.features.one(j, known[key], rows)

        return moved


class _Features:
    """The functions f of an action, for points whose middle and spread of the action are known."""

    def __init__(self, f: PolicyFunctions, points: Points, seed: int) -> None:
        self.random = [i for i, random in enumerate(f.random) if random]
        with np.errstate(all="ignore"):
            middle, low, high = (
                f.sample(f.p, points.eta, usual_noise(f.policy, points.e, x)) for x in (0.0, -1.0, 1.0)
            )
        self.centre, self.spread = [], []
        for i in self.random:
            a = points.a[i]
            centre = np.where(np.isfinite(middle[i]), middle[i], 0.0)
            spread = 0.5 * np.abs(high[i] - low[i])
            usual = _size(a - centre)
            self.centre.append(centre)
            self.spread.append(np.where(np.isfinite(spread) & (spread > 1e-6 * usual), spread, usual))
        random, several = np.random.default_rng(seed), len(self.random)
        self.weights = random.normal(size=(JOINT if several > 1 else 0, several))
        self.phases = random.uniform(0.0, 2.0 * np.pi, len(self.weights))
        self.number = 2 * several + len(self.weights)

    def one(self, j: int, a: Arrays, rows: slice) -> NDArray[np.float64]:
        """Return (N,) values of function j for actions at some of the points."""
        several = len(self.random)
        if j >= 2 * several:
            w = self.weights[j - 2 * several]
            return np.cos(self.phases[j - 2 * several] + sum(w[i] * self._u(i, a, rows) for i in range(several)))
        bent = np.tanh(self._u(j % several, a, rows))
        return bent if j < several else bent * bent

    def _u(self, i: int, a: Arrays, rows: slice) -> NDArray[np.float64]:
        return (a[self.random[i]] - self.centre[i][rows]) / self.spread[i][rows]


def usual_noise(policy: Policy, e: Arrays, x: float) -> Arrays:
    """Return noise that is x standard deviations from its middle: 0 for a normal, 1/2 for a uniform number."""
    return tuple(np.full_like(v, x if k < policy.noises else 0.5 + 0.34 * x) for k, v in enumerate(e))


def _size(x: NDArray[np.float64]) -> float:
    """Return the usual size of finite numbers, 1 where they are zero."""
    x = np.abs(x[np.isfinite(x)])
    size = float(np.median(x)) if len(x) else 0.0
    size = size or (float(x.mean()) if len(x) else 0.0)
    return size or 1.0


def _known(policy: Policy, e: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return functions of the noise whose means are zero, (N, .)."""
    first = [x - (0.0 if k < policy.noises else 0.5) for k, x in enumerate(e)]
    variances = [1.0 if k < policy.noises else 1.0 / 12.0 for k in range(len(e))]
    second = [x * x - v for x, v in zip(first, variances, strict=True)]
    mixed = [first[i] * first[j] for i in range(len(first)) for j in range(i)] if len(first) < 5 else []
    return np.array([*first, *second, *mixed]).T


def _mean_without(x: NDArray[np.float64], known: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and its standard error of x less what is linear in numbers whose means are zero."""
    finite = np.isfinite(x)
    x, known = x[finite], known[finite]
    if len(x) <= 2 * known.shape[1] + 2:
        return np.nan, np.inf
    centred = known - known.mean(axis=0)
    coefficients = np.linalg.lstsq(centred, x - x.mean(), rcond=None)[0]
    x = x - known @ coefficients
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))
