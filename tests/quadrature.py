"""A referee: exact moments of smooth problems with little noise, by Gauss quadrature over all that is random.

    E f(x) = sum_k weight_k f(x_k),    x = (z, e_0, w_0, ..., e_{T-1}, w_{T-1}), d numbers

on the tensor grid of `nodes` points in each of d dimensions, Gauss-Hermite for standard normals and Gauss-Legendre for
uniform numbers: exact for polynomials of degree 2 nodes - 1 in each, and fast to converge for smooth functions. The
functions of the environment and of the policy are run as they are, on NumPy arrays of all nodes, or node by node where they
do not take arrays (`math.sin` does not, `np.sin` does). Derivatives are central differences of whole trajectories, and of
log densities, of fourth order: no derivative of anybody's is trusted, and no kernel is run.
"""

import dataclasses
import types
from typing import NamedTuple

import numpy as np

from mcgrad import baselines
from mcgrad.estimators import Difference, Reparameterization, RewardToGo, Score, ScoreFunction

LIMIT = 5_000_000  # points of a grid
CHUNK = 16384  # points whose trajectories are in memory at once
STEP = 1e-3  # of central differences in theta
STENCIL = ((1, 8.0 / 12.0), (-1, -8.0 / 12.0), (2, -1.0 / 12.0), (-2, 1.0 / 12.0))


class Exact(NamedTuple):
    """The mean and the variance of one estimator, (P,) both."""

    mean: np.ndarray
    variance: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
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

    names: tuple
    objective: float
    gradient: np.ndarray
    means: np.ndarray
    seconds: np.ndarray
    change: float = np.nan

    def __getitem__(self, name):
        return Exact(self.means[self.names.index(name)], self.covariance(name, name))

    def covariance(self, first, second):
        """Return the covariance of two estimators on the same trajectory, (P,)."""
        i, j = self.names.index(first), self.names.index(second)
        return self.seconds[i, j] - self.means[i] * self.means[j]


def quadrature(problem, theta, estimators, nodes=12, tolerance=1e-4):
    """Return the `Quadrature` of gradient estimators, for a problem that is smooth in few noises, over a short horizon.

    estimators: name -> `score_function` or `reward_to_go` (without a baseline, with a number, a number for each time or a
    function of the state), `score`, `reparameterization`, or a `difference` of two of them. Two nodes fewer in each
    dimension have to change moments by less than `tolerance`, see `Quadrature.change`.
    """
    theta, environment, policy = problem.theta(theta), problem.environment, problem.policy
    assert not (environment.done or environment.discontinuous or policy.no_pathwise), "not smooth in the noise"
    start, action, process = _kinds(problem)
    trajectories, kinds = Trajectories(problem), start + (action + process) * problem.horizon
    assert nodes ** len(kinds) <= LIMIT, f"{nodes} nodes in each of {len(kinds)} dimensions"
    fewer, found = (_integrated(trajectories, theta, estimators, k, kinds) for k in (nodes - 2, nodes))
    change = _change(fewer, found)
    assert change <= tolerance, f"two nodes fewer than {nodes} change moments by {change:.2g}"
    return dataclasses.replace(found, change=change)


def _change(fewer, found):
    """Return how far two sets of moments are apart, relative to the later one, at the worst estimator and parameter."""
    change = 0.0
    for name in found.names:
        (mean, variance), (other_mean, other_variance) = found[name], fewer[name]
        square = np.maximum(variance + mean**2, 1e-300)
        change = max(change, np.max(np.abs(mean - other_mean) / np.sqrt(square)))
        change = max(change, np.max(np.abs(variance - other_variance) / np.maximum(variance, 1e-6 * square)))
    return float(change)


def _kinds(problem):
    """Return the noises of the start, of an action and of a step, in order: N for a normal one, U for a uniform one."""
    environment, policy = problem.environment, problem.policy
    start = "N" * environment.initial_noises + "U" * environment.initial_uniforms
    return start, "N" * policy.noises + "U" * policy.uniforms, "N" * environment.noises + "U" * environment.uniforms


def _rule(kind, nodes):
    """Return the points and the weights for a standard normal (N), or a number that is uniform on (0, 1) (U)."""
    if kind == "N":
        x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    else:
        x, weights = np.polynomial.legendre.leggauss(nodes)
        x = (1.0 + x) / 2.0
    return x, weights / weights.sum()


def _integrated(trajectories, theta, estimators, nodes, kinds):
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


def _values(path, estimator):
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
    raise NotImplementedError(estimator)


class _Path:
    """Trajectories at a chunk of nodes, and the derivatives of their returns and log densities."""

    def __init__(self, trajectories, theta, noise, count):
        self.trajectories, self.theta, self.noise, self.count = trajectories, theta, noise, count
        self.rewards, _, self.states, self.actions = trajectories.run(theta, noise, count)
        self.returns = self.rewards.sum(axis=0)
        assert np.isfinite(self.returns).all()
        self._pathwise = self._held = None

    @property
    def pathwise(self):
        """The derivative of the return at fixed noise, (P, N)."""
        if self._pathwise is None:
            run = self.trajectories.run
            self._pathwise = self._differences(lambda theta: run(theta, self.noise, self.count)[0].sum(axis=0))
        return self._pathwise

    @property
    def scores(self):
        """The derivative of log p(a_t | s_t), with the actions held fixed that have a density, (T, P, N)."""
        return self.held[:, :-1].swapaxes(0, 1)

    @property
    def direct(self):
        """The derivative of the return, with the actions held fixed that have a density, (P, N)."""
        return self.held[:, -1]

    @property
    def held(self):
        """The derivatives of log p(a_t | s_t) and of the return with actions held fixed, (P, T + 1, N)."""
        if self._held is None:

            def both(theta):
                rewards, log_probs, *_ = self.trajectories.run(theta, self.noise, self.count, self.actions)
                return np.vstack([log_probs, rewards.sum(axis=0)])

            self._held = self._differences(both)
        return self._held

    def weighted(self, advantage):
        """Return sum_t z_t advantage_t, (P, N)."""
        steps, _, points = self.scores.shape
        return np.einsum("tpn,tn->pn", self.scores, np.broadcast_to(advantage, (steps, points)))

    def _differences(self, function):
        """Return the derivatives of a function of theta, parameter by parameter."""
        columns = []
        for p, h in enumerate(STEP * np.maximum(1.0, np.abs(self.theta))):
            shift = h * (np.arange(len(self.theta)) == p)
            columns.append(sum(c / h * function(self.theta + k * shift) for k, c in STENCIL))
        return np.array(columns)

    def baseline(self, b):
        """Return b_t at all nodes, something that fits (T, N)."""
        match b:
            case baselines.NoBaseline():
                return 0.0
            case baselines.Constant(b=value):
                return value
            case baselines.TimeDependent(b=values):
                return np.asarray(values)[:, None]
            case baselines.OfState(function=function, params=params):
                at_nodes, p = AtNodes(lambda p, s: (function(p, s),)), types.SimpleNamespace(**params)
                return np.array([at_nodes(self.count, p, s)[0] for s in self.states])
        raise NotImplementedError(b)


class Trajectories:
    """A problem's functions, in plain NumPy."""

    def __init__(self, problem):
        environment, policy = problem.environment, problem.policy
        self.problem = problem
        self.p = types.SimpleNamespace(**environment.params)
        self.policy_p = types.SimpleNamespace(**policy.params)
        self.init, self.step = AtNodes(environment.init), AtNodes(environment.step)
        self.eta, self.sample = AtNodes(policy.eta), AtNodes(policy.sample)
        seen = environment.reward_sees
        self.reward = AtNodes(
            lambda p, s, a, s_next, w, eta, *x: (environment.reward(p, s, a, s_next, w, *seen_by(eta, x)),)
        )
        self.terminal = AtNodes(lambda *x: (environment.terminal(*x),))
        self.density = AtNodes(lambda *x: (policy.log_prob(*x),))

        def seen_by(eta, x):
            return [eta if name == "eta" else x[0][0] for name in seen]

    def run(self, theta, noise, count, held=None):
        """Return the discounted rewards (T + 1, N), log p(a_t | s_t) (T, N), the states of all times but the last, the actions.

        Parameters
        ----------
        held : list of T actions, optional
            Actions that are held fixed, but for the components that are functions of eta alone.
        """
        environment, policy = self.problem.environment, self.problem.policy
        noise, weights = iter(noise), self.problem.weights()
        theta, design = self.problem.split(tuple(theta))
        p = types.SimpleNamespace(**vars(self.p) | {k: np.asarray(v, dtype=float)[()] for k, v in design.items()})
        has_density = policy.log_prob is not None and not policy.no_score

        def take(number):
            return tuple(next(noise) for _ in range(number))

        s = self.init(count, p, take(environment.initial_noises + environment.initial_uniforms))
        states, actions, rewards, log_probs = [], [], [], []
        for t, weight in enumerate(weights[:-1]):
            eta = self.eta(count, self.policy_p, theta, s)
            e = take(policy.noises + policy.uniforms)
            a = self.sample(count, self.policy_p, eta, e)
            if held is not None:
                fixed = self._functions_of_eta(count, eta, e, a)
                a = tuple(x if fixed[i] else held[t][i] for i, x in enumerate(a))
            log_prob = self.density(count, self.policy_p, eta, a)[0] if has_density else np.full(count, np.nan)
            w = take(environment.noises + environment.uniforms)
            s_next = self.step(count, p, s, a, w)
            rewards.append(weight * self.reward(count, p, s, a, s_next, w, eta, (log_prob,))[0])
            states.append(s)
            actions.append(a)
            log_probs.append(log_prob)
            s = s_next
        rewards.append(weights[-1] * self.terminal(count, p, s)[0] if environment.terminal else np.zeros(count))
        return np.array(rewards), np.array(log_probs), states, actions

    def _functions_of_eta(self, count, eta, e, a):
        """Tell of each component of an action whether it is the same with other noise."""
        other = self.sample(count, self.policy_p, eta, tuple(0.5 * x[::-1] + 0.1 for x in e))
        return [bool(e) and np.array_equal(x, y) for x, y in zip(a, other, strict=True)]


class AtNodes:
    """A plain function of tuples of numbers, on tuples of arrays: at once if it takes them, else node by node."""

    def __init__(self, function):
        self.function = function
        self.takes_arrays = None

    def __call__(self, count, p, *arguments):
        with np.errstate(all="ignore"):
            if self.takes_arrays is None:
                self.takes_arrays = self._try(p, arguments, count)
            if self.takes_arrays:
                return self._at_once(p, arguments, count)
            rows = [self._at(p, arguments, k) for k in range(count)]
        return tuple(np.array(rows, dtype=float).T)

    def _try(self, p, arguments, count):
        """Tell whether the function takes arrays, and means by them what it means by numbers."""
        try:
            found = self._at_once(p, arguments, count)
        except (TypeError, ValueError):
            return False
        some = (0, count // 3, count - 1)
        return all(
            np.allclose([x[k] for x in found], self._at(p, arguments, k), rtol=1e-12, equal_nan=True) for k in some
        )

    def _at_once(self, p, arguments, count):
        return tuple(np.broadcast_to(np.asarray(x, float), (count,)) for x in self.function(p, *arguments))

    def _at(self, p, arguments, k):
        def numbers(group):
            return tuple(np.float64(x if np.ndim(x) == 0 else x[k]) for x in group)  # which overflow quietly

        return tuple(map(float, self.function(p, *map(numbers, arguments))))
