"""Is the score that of the policy? Three questions to the policy's own functions, at states that it visits.

log_prob    d log p(a | eta) / d eta by finite differences, where both `score` and `log_prob` are given
mean zero   E[z_k] = 0 for each component k of eta: fails where log p is not normalised for every eta
sampler     E[f(a) z_k] = d/d eta_k E[f(a)], see `mcgrad.checks.sampler`: fails where a is not drawn from p(a | eta)

Expectations are over fresh noise at states of the trajectories.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..problem import Problem
from ..rollouts import rollout
from .findings import UNSEEN, Finding, limit, percent
from .functions import Arrays, PolicyFunctions
from .sampler import POINTS, fresh_points, sampler_test, usual_noise

TOLERANCE = 1e-5  # of finite differences, relative to the size of the score
FINE = 1e6  # times the spread of an action: where it is larger than that, rounding hides the noise
VISITED = 20_000  # steps of trajectories at whose states the policy is looked at


class PolicyFindings(NamedTuple):
    """Largest figures; None where `score` and `log_prob` are not both given.

    Attributes
    ----------
    difference : float or None
        Of `score` and finite differences of `log_prob`, relative to the size of the score, at its worst point.
    share : float or None
        The share of points where it is above the tolerance.
    component : int or None
        The component of eta where it is worst.
    mean_z, sampler_z : float or None
        In standard errors.
    means : (K,) array
        Of the score.
    visible : float
        The error of the score that the test of the sampler would have seen, as a fraction of it, for the component of eta where
        it sees least.
    least_seen : int
        That component.
    comparisons : int
        How many figures `mean_z` and `sampler_z` are the largest of.
    """

    difference: float | None
    share: float | None
    component: int | None
    mean_z: float
    sampler_z: float
    means: np.ndarray
    visible: float
    least_seen: int
    comparisons: int


def score(problem: Problem, theta: NDArray[np.float64], count: int, seed: int) -> Finding:
    """Return the Finding on the score, at states of at most `count` trajectories."""
    if not any(PolicyFunctions(problem).random):
        return Finding("score", "none", "nothing is drawn: each component of the action is a function of eta alone")
    x = questions(problem, theta, int(np.clip(VISITED // problem.horizon, 16, count)), seed)
    most, said, wrong, status = limit(x.comparisons), [], [], "ok"
    if x.difference is not None and x.share is not None:
        text = f"`score` and finite differences of `log_prob` differ by {x.difference:.2g} of its size at the worst"
        if x.share > 0:
            text += f", component {x.component} of eta"
            wrong.append(f"{text}, and at {100 * x.share:.3g}% of points by more than {TOLERANCE:g}")
        else:
            said.append(text)
    if x.mean_z <= most:
        said.append(f"its mean is zero within {x.mean_z:.1f} standard errors")
    else:
        k = int(np.argmax(np.abs(x.means)))
        wrong.append(
            f"its mean is not zero, by {x.mean_z:.1f} standard errors; largest: {x.means[k]:.3g}, component {k} of eta.\n"
            "log_prob has to be the log of a density that integrates to one for every eta, terms without a included"
        )
    if x.sampler_z > most:
        wrong.append(f"it is not that of what `sample` draws, by {x.sampler_z:.1f} standard errors")
    elif x.visible <= UNSEEN:
        said.append(
            f"it is that of what `sample` draws within {x.sampler_z:.1f} standard errors (an error of "
            f"{percent(x.visible)} would have been seen)"
        )
    else:
        status = "note"
        why = f"an error of {percent(x.visible)} of component {x.least_seen} of the score hides in the noise"
        said.append(f"not tested against what `sample` draws, because {why}")
    return Finding("score", "wrong" if wrong else status, "\n".join(wrong + said), x._asdict())


def questions(problem: Problem, theta: NDArray[np.float64], count: int, seed: int) -> PolicyFindings:
    """Return PolicyFindings at states of `count` trajectories; ValueError where there is no score."""
    f = PolicyFunctions(problem)
    states = rollout(problem, theta, count, seed, machine="numpy").states[:, :-1]
    states = states.reshape(-1, states.shape[2])
    states = states[np.isfinite(states).all(axis=1)]
    with np.errstate(all="ignore"):
        eta = f.eta(f.p, theta, tuple(states.T))
        fine = _fine(f, eta)
        eta = tuple(x[fine] for x in eta)
        points = fresh_points(f, eta, seed + 1, POINTS)
        difference = share = component = None
        if problem.policy.score is not None and f.log_prob is not None:
            by_differences = np.array([_difference(f, points.eta, points.a, k) for k in range(f.K)])
            size = np.maximum(np.abs(by_differences), np.sqrt(np.nanmean(by_differences**2, axis=1))[:, None])
            given = np.array(f.at_fixed(f.p, points.eta, points.a, points.e))
            wrong = np.abs(given - by_differences) / np.where(size > 0, size, 1.0)
            worst = np.nanmax(wrong, axis=1)
            difference, component = float(worst.max()), int(worst.argmax())
            share = float(np.mean((wrong > TOLERANCE).any(axis=0)))
        zeros = [_z(x) for x in points.z]
        test = sampler_test(f, eta, seed, limit)
    means = np.array([np.mean(x[np.isfinite(x)]) for x in points.z])
    least = int(np.argmax(np.where(np.isnan(test.visible), -1.0, test.visible)))
    visible = float(test.visible[least]) if not np.isnan(test.visible[least]) else np.inf
    z, comparisons = float(test.z.max()), f.K + test.z.size
    return PolicyFindings(difference, share, component, max(zeros), z, means, visible, least, comparisons)


def _fine(f: PolicyFunctions, eta: Arrays) -> NDArray[np.bool_]:
    """Tell at which states the noise of the action is not lost in its digits; all, if it is at all of them."""
    e = (eta[0],) * (f.policy.noises + f.policy.uniforms)
    low, high = (f.sample(f.p, eta, usual_noise(f.policy, e, x)) for x in (-1.0, 1.0))
    fine = np.ones(len(eta[0]), bool)
    for i in np.flatnonzero(f.random):
        spread = np.abs(high[i] - low[i])
        least = np.median(spread[spread > 0]) if (spread > 0).any() else 1.0
        fine &= ~(np.abs(high[i]) > FINE * np.where(spread > 0, spread, least))
    return fine if fine.any() else ~fine


def _z(x: NDArray[np.float64]) -> float:
    """Return |mean| in standard errors."""
    x = x[np.isfinite(x)]
    if len(x) < 2:
        return np.nan
    error = x.std(ddof=1) / np.sqrt(len(x))
    mean = abs(x.mean())
    return float(mean / error) if mean > 1e-12 * np.abs(x).max(initial=0.0) else 0.0


def _difference(f: PolicyFunctions, eta: Arrays, a: Arrays, k: int) -> NDArray[np.float64]:
    """Return d log p(a | eta) / d eta_k by central differences of fourth order."""
    h = 1e-3 * np.maximum(np.abs(eta[k]), 1.0)

    log_prob = f.log_prob
    assert log_prob is not None

    def at(x: float) -> Any:
        return log_prob(f.p, (*eta[:k], eta[k] + x * h, *eta[k + 1 :]), a)

    return (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h)
