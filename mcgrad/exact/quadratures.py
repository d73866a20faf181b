"""Exact moments of smooth nonlinear problems with little noise: Gauss quadrature over all that is random.

    E f(x) = sum_k weight_k f(x_k),    x = (z, e_0, w_0, ..., e_{T-1}, w_{T-1}), d numbers

on the tensor grid of `nodes` points in each of d dimensions, Gauss-Hermite for standard normals and Gauss-Legendre for
uniform numbers: exact for polynomials of degree 2 nodes - 1 in each, and fast to converge for smooth functions. The
functions of the environment and of the policy are run as they are, on NumPy arrays of all nodes, or node by node where they
do not take arrays (`math.sin` does not, `np.sin` does). Derivatives are central differences of whole trajectories, and of
log densities, of fourth order: no derivative of anybody's is trusted.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import validate
from ..baselines import Baseline
from ..baselines import kinds as baselines
from ..estimators import Estimator
from ..estimators.kinds import Difference, Reparameterization, RewardToGo, Score, ScoreFunction
from ..printing import numbers, outline
from ..problem import Problem
from .arguments import checked_arguments
from .numpy_rollout import AtNodes, Trajectories
from .theory import Array, NoClosedForm

LIMIT = 5_000_000  # points of a grid
CHUNK = 16384  # points whose trajectories are in memory at once
STEP = 1e-3  # of central differences in theta
STENCIL = ((1, 8.0 / 12.0), (-1, -8.0 / 12.0), (2, -1.0 / 12.0), (-2, 1.0 / 12.0))


class Exact(NamedTuple):
    """The mean and the variance of one estimator, (P,) both."""

    mean: Array
    variance: Array


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Quadrature:
    """What quadrature found: `found["SF"].mean`, `.variance` and `found.covariance("SF", "PW")`, as of a measurement.

    Attributes
    ----------
    objective : float
        J(theta).
    gradient : (P,)
        dJ/dtheta, by differences of J.
    change : float
        The largest relative difference of a mean or variance from what two nodes fewer give: about the error of those, and
        far more than that of what is returned where the problem is smooth. Means are compared with sqrt(E g^2).
    """

    names: tuple[str, ...]
    objective: float
    gradient: Array
    means: Array
    seconds: Array
    change: float = np.nan

    def __repr__(self) -> str:
        title = f"Quadrature: J = {self.objective:.8g}, moments moved by {self.change:.1e}"
        means = {
            name: f"mean {numbers(self[name].mean)}, variance {numbers(self[name].variance)}" for name in self.names
        }
        return outline(title, means)

    def __getitem__(self, name: str) -> Exact:
        return Exact(self.means[self._number(name)], self.covariance(name, name))

    def covariance(self, first: str, second: str) -> Array:
        """Return the covariance of two estimators on the same trajectory, (P,)."""
        i, j = self._number(first), self._number(second)
        return self.seconds[i, j] - self.means[i] * self.means[j]

    def _number(self, name: str) -> int:
        if name not in self.names:
            raise KeyError(f"{name!r} was not asked for; what was: {', '.join(map(repr, self.names))}")
        return self.names.index(name)


@checked_arguments
def quadrature(
    problem: Problem, theta: ArrayLike, estimators: dict[str, Estimator], nodes: int = 12, tolerance: float = 1e-4
) -> Quadrature:
    """Return the exact moments of gradient estimators, for a smooth problem with few noises and a short horizon.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict
        Name -> estimator: `score_function` and `reward_to_go` (without a baseline, with a number, a number for each time or
        a function of the state), `score`, `reparameterization`, and a `difference` of two of them.
    nodes : int
        Points in each dimension, >= 3; nodes^d points in all, at most 5e6.
    tolerance : float
        Largest relative change of a moment from nodes - 2 to `nodes` that is taken for convergence (see `Quadrature`).

    Raises
    ------
    ValueError
        If the noise has too many dimensions for that many nodes, or too few nodes for the tolerance.
    NoClosedForm
        For an estimator that is not in the list, or a problem whose trajectories jump, or may end early.
    """
    theta = problem.theta(theta)
    nodes = validate.integer("nodes", nodes, 3)
    tolerance = validate.number("tolerance", tolerance, above=0.0)
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(f"estimators: expected a dict of name -> estimator, got {validate.describe(estimators)}")
    environment, policy = problem.environment, problem.policy
    ends = f"an episode of {environment.name} may end early" if environment.done else None
    for reason in (environment.discontinuous, policy.no_pathwise, ends):
        if reason:
            raise NoClosedForm(f"quadrature needs trajectories that are smooth in the noise: {reason}")
    start, action, process = _kinds(problem)
    dimensions = len(start) + problem.horizon * (len(action) + len(process))
    if nodes**dimensions > LIMIT:
        raise ValueError(
            f"nodes: expected at most {LIMIT} points in all, got {nodes} in each of {dimensions} dimensions of noise "
            f"({len(start)} of the start, and {len(action)} of the policy and {len(process)} of the process in each of "
            f"{problem.horizon} steps); shorten the horizon or take fewer nodes"
        )
    trajectories, kinds = Trajectories(problem), start + (action + process) * problem.horizon
    fewer, found = (_integrated(trajectories, theta, estimators, k, kinds) for k in (nodes - 2, nodes))
    change = _change(fewer, found)
    if not change <= tolerance:
        raise ValueError(
            f"nodes: expected enough for moments that differ by less than {tolerance:g} from those of two nodes fewer, got "
            f"{nodes} and a difference of {change:.2g}; take more nodes, or a larger tolerance"
        )
    return dataclasses.replace(found, change=change)


def _change(fewer: Quadrature, found: Quadrature) -> float:
    """Return how far two sets of moments are apart, relative to the later one, at the worst estimator and parameter."""
    change = 0.0
    for name in found.names:
        (mean, variance), (other_mean, other_variance) = found[name], fewer[name]
        square = np.maximum(variance + mean**2, 1e-300)
        change = max(change, np.max(np.abs(mean - other_mean) / np.sqrt(square)))
        change = max(change, np.max(np.abs(variance - other_variance) / np.maximum(variance, 1e-6 * square)))
    return float(change)


def _kinds(problem: Problem) -> tuple[str, str, str]:
    """Return the noises of the start, of an action and of a step, in order: N for a normal one, U for a uniform one."""
    environment, policy = problem.environment, problem.policy
    start = "N" * environment.initial_noises + "U" * environment.initial_uniforms
    return start, "N" * policy.noises + "U" * policy.uniforms, "N" * environment.noises + "U" * environment.uniforms


def _rule(kind: str, nodes: int) -> tuple[Array, Array]:
    """Return the points and the weights for a standard normal (N), or a number that is uniform on (0, 1) (U)."""
    if kind == "N":
        x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    else:
        x, weights = np.polynomial.legendre.leggauss(nodes)
        x = (1.0 + x) / 2.0
    return x, weights / weights.sum()


def _integrated(
    trajectories: Trajectories, theta: Array, estimators: Mapping[str, Estimator], nodes: int, kinds: str
) -> Quadrature:
    """Return the moments with a number of nodes in each dimension of noise."""
    rules = {kind: _rule(kind, nodes) for kind in "NU"}
    K, P = len(estimators), len(theta)
    objective, gradient, means, seconds = 0.0, np.zeros(P), np.zeros((K, P)), np.zeros((K, K, P))
    total = nodes ** len(kinds)
    for first in range(0, total, CHUNK):
        k = np.arange(first, min(first + CHUNK, total))
        digits = [(kind, (k // nodes**d) % nodes) for d, kind in enumerate(kinds)]
        weight = np.prod([np.ones(len(k)), *(rules[kind][1][x] for kind, x in digits)], axis=0)
        path = _Path(trajectories, theta, [rules[kind][0][x] for kind, x in digits], len(k))
        g = np.array([_values(path, estimator) for estimator in estimators.values()])
        objective += float(path.returns @ weight)
        gradient += path.pathwise @ weight
        means += g @ weight
        seconds += np.einsum("ipn,jpn,n->ijp", g, g, weight)
    return Quadrature(tuple(estimators), objective, gradient, means, seconds)


def _values(path: "_Path", estimator: Estimator) -> Array:
    """Return an estimator at all nodes, (P, N)."""
    match estimator:
        case Reparameterization():
            return path.pathwise
        case Score():
            return path.scores.sum(axis=0)
        case ScoreFunction(baseline=b):
            return path.weighted(path.returns - path.baseline(b)) + path.direct
        case RewardToGo(baseline=b):
            to_go = np.cumsum(path.rewards[::-1], axis=0)[::-1][:-1]
            return path.weighted(to_go - path.baseline(b)) + path.direct
        case Difference(parts=(x, y)):
            return _values(path, x) - _values(path, y)
        case _:
            raise NoClosedForm(f"quadrature does not know the estimator {type(estimator).__name__}")


class _Path:
    """Trajectories at a chunk of nodes, and the derivatives of their returns and log densities."""

    def __init__(self, trajectories: Trajectories, theta: Array, noise: Sequence[Array], count: int) -> None:
        self.trajectories, self.theta, self.noise, self.count = trajectories, theta, noise, count
        self.rewards, _, self.states, self.actions = trajectories.run(theta, noise, count)
        self.returns = self.rewards.sum(axis=0)
        if not np.isfinite(self.returns).all():
            raise ValueError("nodes: expected finite returns at all of them, got an overflow; take fewer nodes")

    @cached_property
    def pathwise(self) -> Array:
        """The derivative of the return at fixed noise, (P, N)."""
        run = self.trajectories.run
        return self._differences(lambda theta: run(theta, self.noise, self.count)[0].sum(axis=0))

    @property
    def scores(self) -> Array:
        """The derivative of log p(a_t | s_t), with the actions held fixed that have a density, (T, P, N)."""
        policy = self.trajectories.problem.policy
        if policy.no_score or policy.log_prob is None:
            raise NoClosedForm(f"no score function here: {policy.no_score or policy.name + ' has no log_prob'}")
        return self.held[:, :-1].swapaxes(0, 1)

    @property
    def direct(self) -> Array:
        """The derivative of the return, with the actions held fixed that have a density, (P, N)."""
        return self.held[:, -1]

    @cached_property
    def held(self) -> Array:
        """The derivatives of log p(a_t | s_t) and of the return with actions held fixed, (P, T + 1, N)."""

        def both(theta: Array) -> Array:
            rewards, log_probs, *_ = self.trajectories.run(theta, self.noise, self.count, self.actions)
            return np.vstack([log_probs, rewards.sum(axis=0)])

        return self._differences(both)

    def weighted(self, advantage: Array) -> Array:
        """Return sum_t z_t advantage_t, (P, N)."""
        steps, _, points = self.scores.shape
        return np.einsum("tpn,tn->pn", self.scores, np.broadcast_to(advantage, (steps, points)))

    def _differences(self, function: Callable[[Array], Array]) -> Array:
        """Return the derivatives of a function of theta, parameter by parameter."""
        columns = []
        for p, h in enumerate(STEP * np.maximum(1.0, np.abs(self.theta))):
            shift = h * (np.arange(len(self.theta)) == p)
            columns.append(sum(c / h * function(self.theta + k * shift) for k, c in STENCIL))
        return np.array(columns)

    def baseline(self, b: Baseline) -> Any:
        """Return b_t at all nodes, something that fits (T, N)."""
        match b:
            case baselines.NoBaseline():
                return 0.0
            case baselines.Constant(b=value):
                return value
            case baselines.TimeDependent(b=values):
                return validate.array("baseline", values, (len(self.states),))[:, None]
            case baselines.OfState(function=function, params=params):
                at_nodes, p = AtNodes(lambda p, s: (function(p, s),)), types.SimpleNamespace(**params)
                return np.array([at_nodes(self.count, p, s)[0] for s in self.states])
            case _:
                raise NoClosedForm(f"quadrature does not know the baseline {type(b).__name__}")
