"""Is the score that of the policy? Three questions to the policy's own functions, at states that it visits.

log_prob    d log p(a | eta) / d eta by finite differences, where both `score` and `log_prob` are given
mean zero   E[z_k] = 0 for each component k of eta: fails where log p is not normalised for every eta
sampler     E[z_k h(a)] = d/d eta_k E[h(a)] for h = u_i, u_i^2, with u = a less the action at zero noise; the right side
            from the derivative of `sample` at fixed noise. Fails where a is not drawn from p(a | eta).

Expectations are over all steps of all trajectories: given the state, what is averaged has mean zero at every step.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.derive import pull_back
from ..compiler.emit import function_text
from ..compiler.machines import _numpy_names
from ..compiler.trace import Graph
from ..kernel.inputs import Inputs
from ..kernel.scan import call, number
from ..rollouts import rollout
from .findings import Finding, limit

TOLERANCE = 1e-5  # of finite differences, relative to the size of the score
VISITED = 200_000  # states at which the policy is looked at


class PolicyFindings(NamedTuple):
    """Largest figures; None where a question could not be asked.

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
    means : (K,) array or None
        Of the score.
    comparisons : int
        How many figures `mean_z` and `sampler_z` are the largest of.
    """

    difference: float | None
    share: float | None
    component: int | None
    mean_z: float | None
    sampler_z: float | None
    means: np.ndarray | None
    comparisons: int


def score(problem, theta, count, seed):
    """Return the Finding on the score, from at most `count` trajectories."""
    x = questions(problem, theta, int(np.clip(VISITED // problem.horizon, 16, count)), seed)
    most, said, wrong = limit(x.comparisons), [], []
    if x.difference is not None:
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
    if x.sampler_z is not None and x.sampler_z <= most:
        said.append(f"it is that of what `sample` draws within {x.sampler_z:.1f} standard errors")
    elif x.sampler_z is not None:
        wrong.append(f"it is not that of what `sample` draws, by {x.sampler_z:.1f} standard errors")
    return Finding("score", "wrong" if wrong else "ok", "\n".join(wrong + said), x._asdict())


def questions(problem, theta, count, seed):
    """Return PolicyFindings from `count` trajectories; ValueError where there is no score."""
    policy = problem.policy
    s, e = _visited(problem, theta, count, seed)
    inputs = Inputs(problem, [])
    eta = _eta(problem, inputs, theta, s)
    K = len(eta)
    f = _Functions(problem, inputs, K)
    with np.errstate(all="ignore"):
        a = f.sample(inputs.p, eta, e)
        z = f.score(inputs.p, eta, a, e)
        difference = share = component = None
        if policy.score is not None and policy.log_prob is not None:
            by_differences = np.array([_difference(f, inputs.p, eta, a, k) for k in range(K)])
            size = np.maximum(np.abs(by_differences), np.sqrt(np.nanmean(by_differences**2, axis=1))[:, None])
            wrong = np.abs(np.array(z) - by_differences) / np.where(size > 0, size, 1.0)
            worst = np.nanmax(wrong, axis=1)
            difference, component = float(worst.max()), int(worst.argmax())
            share = float(np.mean((wrong > TOLERANCE).any(axis=0)))
        zeros, tests = [_z(x) for x in z], []
        if policy.no_pathwise is None:
            centre = f.sample(inputs.p, eta, _no_noise(policy, e))
            for i in range(len(a)):
                u, slopes = a[i] - centre[i], f.slopes(inputs.p, eta, e, i)
                tests += [_z(z[k] * u - slopes[k]) for k in range(K)]
                tests += [_z(z[k] * u**2 - 2.0 * u * slopes[k]) for k in range(K)]
    means = np.array([np.mean(x[np.isfinite(x)]) for x in z])
    sampler = max(tests) if tests else None
    return PolicyFindings(difference, share, component, max(zeros), sampler, means, K + len(tests))


def _visited(problem, theta, count, seed):
    """Return states and the policy's noise at all steps of some trajectories, one array for each component."""
    path = rollout(problem, theta, count, seed, machine="numpy")
    s = np.moveaxis(path.states[:, :-1], 2, 0).reshape(problem.environment.states, -1)
    e = np.moveaxis(path.noise.action, 2, 0)
    e = e.reshape(len(e), s.shape[1])
    finite = np.isfinite(s).all(axis=0)
    return tuple(s[:, finite]), tuple(e[:, finite])


def _no_noise(policy, e):
    """Return the middle of the noise: 0 for a normal, 1/2 for a uniform number."""
    return tuple(np.full_like(x, 0.0 if k < policy.noises else 0.5) for k, x in enumerate(e))


def _z(x):
    """Return |mean| in standard errors; steps are martingale differences, so that they do not correlate."""
    x = x[np.isfinite(x)]
    if len(x) < 2:
        return np.nan
    error = x.std(ddof=1) / np.sqrt(len(x))
    mean = abs(x.mean())
    return float(mean / error) if mean > 1e-12 * np.abs(x).max(initial=0.0) else 0.0


def _difference(f, p, eta, a, k):
    """Return d log p(a | eta) / d eta_k by central differences of fourth order."""
    h = 1e-3 * np.maximum(np.abs(eta[k]), 1.0)

    def at(x):
        return f.log_prob(p, (*eta[:k], eta[k] + x * h, *eta[k + 1 :]), a)

    return (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h)


def _eta(problem, inputs, theta, s):
    graph = Graph()
    policy = problem.policy
    arguments = inputs.policy(graph), inputs.many(graph, inputs.theta_names), inputs.many(graph, inputs.s_names)
    eta = call(f"eta of {policy.name}", policy.eta, arguments, "any")
    f = _function(graph, inputs.arguments("p", "theta", "s"), [number(x) for x in eta])
    return tuple(np.broadcast_to(x, s[0].shape) for x in f(inputs.p, theta, s))


class _Functions:
    """The functions of a policy on arrays, in terms of eta, a and e."""

    def __init__(self, problem, inputs, K):
        policy = problem.policy
        self.inputs, self.graph = inputs, Graph()
        names = {"eta": [f"known{k}" for k in range(K)], "a": [f"record{i}" for i in range(policy.actions)]}
        names["e"] = inputs.e_names
        self.arguments = inputs.arguments("p") | names
        eta, a, e = (inputs.many(self.graph, x) for x in names.values())
        p = inputs.policy(self.graph)
        drawn = call(f"sample of {policy.name}", policy.sample, (p, eta, e), policy.actions)
        self.sample = self._array_function(("p", "eta", "e"), drawn)
        density = None
        if policy.log_prob is not None:
            density = number(call(f"log_prob of {policy.name}", policy.log_prob, (p, eta, a), None))
            (self.log_prob,) = (self._one(("p", "eta", "a"), density),)
        if policy.score is not None:
            z = call(f"score of {policy.name}", policy.score, (p, eta, a, e), K)
        elif density is not None:
            z = pull_back(self.graph, [density], [1.0], eta)
        else:
            raise ValueError(f"{policy.name} has neither `score` nor `log_prob`")
        self.score = self._array_function(("p", "eta", "a", "e"), z)
        slopes = [pull_back(self.graph, [x], [1.0], eta) for x in drawn]
        by_action = [self._array_function(("p", "eta", "e"), x) for x in slopes]
        self.slopes = lambda p, eta, e, i: by_action[i](p, eta, e)

    def _array_function(self, arguments, outputs):
        f = _function(self.graph, {x: self.arguments[x] for x in arguments}, [number(x) for x in outputs])

        def call(*values):
            shape = np.broadcast_shapes(*(np.shape(x) for x in values[1]))
            return tuple(np.broadcast_to(x, shape) for x in f(*values))

        return call

    def _one(self, arguments, output):
        f = self._array_function(arguments, [output])
        return lambda *values: f(*values)[0]


def _function(graph, arguments, outputs):
    """Return outputs of a graph as a function of NumPy arrays."""
    namespace = _numpy_names()
    exec(compile(function_text("f", arguments, graph, outputs), "<policy>", "exec"), namespace)
    return namespace["f"]
