"""The estimators that a problem is tried on when it is not known yet which of them exist for it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import baselines as b
from .. import estimators as e
from ..estimators.fitted import is_unfitted
from ..fitting import PILOT, Range
from ..kernel.program import gradient_program, rollout_program
from ..rollouts import rollout
from ..run import END, Run

PILOT_COUNT = 4096  # trajectories that baselines and coefficients are fitted on; measurements never use them
SEED = 1
INTERPRETED = 1e8  # trajectories times steps times lines of text up to which NumPy is done before a compiler would be


class Candidate(NamedTuple):
    """An estimator to try: `make` raises ValueError where the problem has none, and its message says why.

    Attributes
    ----------
    make : callable
        make() -> Estimator.
    family : str
        "score": unbiased if the density of the policy is right. "pathwise": unbiased if nothing jumps as well.
        "other": no claim.
    pilot : bool
        Whether something has to be fitted first.
    """

    make: Callable
    family: str
    pilot: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Known(b.Baseline):
    """A baseline with its data, so that what has been fitted once is not fitted again for each kernel."""

    baseline: b.Baseline
    numbers: dict

    def data(self, problem, theta):
        return self.numbers

    def value(self, c, x):
        return self.baseline.value(c, x)


def candidates(problem, theta):
    """Return {name: Candidate}; the plain estimator of each family comes before what is derived from it."""
    theta = problem.theta(theta)
    width = smoothing(theta)

    @functools.cache
    def to_go():
        return mean_to_go(problem, theta)

    @functools.cache
    def value():
        return known_value(problem, theta)

    def mixed():
        # The pathwise part first: where there is none, nothing is fitted.
        gradient_program(problem, theta, {"": e.reparameterization()})
        return e.mixture(e.reward_to_go(value()), e.reparameterization())

    # Baselines of zero are run-time numbers as those of the next line are: the two share a kernel.
    tried = {
        "score function": (lambda: e.score_function(0.0), "score"),
        "score function, mean return": (lambda: e.score_function(to_go()[0]), "score", True),
        "score function, optimal constant": (lambda: e.score_function(b.optimal_constant(PILOT_COUNT)), "score", True),
        "score function, leave one out of 4": (lambda: e.leave_one_out(4), "score"),
        "reward to go": (lambda: e.reward_to_go(np.zeros(problem.horizon)), "score"),
        "reward to go, mean to go": (lambda: e.reward_to_go(to_go()), "score", True),
        "reward to go, optimal constant": (lambda: e.reward_to_go(b.optimal_constant(PILOT_COUNT)), "score", True),
        "reward to go, fitted value": (lambda: e.reward_to_go(value()), "score", True),
        "reward to go, exact value": (lambda: e.reward_to_go(b.value()), "score"),
        "reward to go, mirrored actions": (lambda: e.antithetic(e.reward_to_go(), "actions"), "score"),
        "pathwise": (e.reparameterization, "pathwise"),
        "pathwise, mirrored actions": (lambda: e.antithetic(e.reparameterization(), "actions"), "pathwise"),
        "pathwise mixed with reward to go": (mixed, "pathwise", True),
        "measure-valued": (e.measure_valued, "score"),
        f"evolution strategies, h = {width:g}": (lambda: e.evolution_strategies(width), "other"),
    }
    return {name: Candidate(*pair) for name, pair in tried.items()}


def known_value(problem, theta):
    """Return a value function that has been fitted, once."""
    baseline = b.fitted_value(PILOT_COUNT, 2, SEED)
    return Known(baseline, baseline.data(problem, theta))


def scale(theta):
    """Return the size of theta's components, 1 for zeros."""
    size = float(np.sqrt(np.mean(np.square(theta))))
    return size if size > 0 else 1.0


def smoothing(theta):
    """Return a width for evolution strategies: a twentieth of theta's size, to one digit."""
    return float(f"{0.05 * scale(theta):.1g}")


def mean_to_go(problem, theta):
    """Return the mean of the return to go at each time, (T,), over pilot trajectories."""
    path = rollout(problem, theta, PILOT_COUNT, SEED, start=END - PILOT_COUNT)
    weights = problem.weights()
    rewards = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
    to_go = np.cumsum(rewards[:, ::-1], axis=1)[:, :0:-1]
    return np.mean(to_go[np.isfinite(to_go).all(axis=1)], axis=0)


def fitted(problem, theta, estimators, count=PILOT_COUNT, seed=SEED):
    """Return estimators with coefficients, where they have any, that are fitted on `count` pilot trajectories.

    Those that would be cross-fitted, too: what is compared are estimators with fixed numbers. Small problems are simulated
    by NumPy, which is there at once; for large ones a kernel is compiled.
    """
    if not any(map(is_unfitted, estimators.values())):
        return dict(estimators)
    lines = rollout_program(problem, theta).kernel.text.count("\n")
    machine = "numpy" if count * lines * problem.horizon < INTERPRETED else "simd"
    pilot = Range(problem, problem.theta(theta), Run(seed, 1, None, None, machine), PILOT, count)
    return {name: x.fit(pilot) if is_unfitted(x) else x for name, x in estimators.items()}
