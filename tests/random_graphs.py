"""Random small problems whose actions have components of all kinds, and their gradients by enumeration and quadrature.

An action has, in any combination, a Gaussian component (its mean may depend on the discrete one), a discrete component of two
choices, and one that is a function of eta alone, which the state may remember. The reward may see eta or log p; a parameter of
the environment may be part of theta. Truth: the sum over choices, Gauss-Hermite quadrature over the normals, and central
differences in theta; none of it uses the library.

    python tests/random_graphs.py 200     checks so many problems and prints the largest deviations, in standard errors
"""

import itertools
import sys
from typing import NamedTuple

import numpy as np

import mcgrad as mg
from mcgrad import baselines
from mcgrad import estimators as E

HORIZON, NODES = 2, 24


class Graph(NamedTuple):
    """A problem, where its gradient is wanted, and that gradient; which components are of which kind."""

    problem: mg.Problem
    theta: np.ndarray
    gradient: np.ndarray
    gaussian: int | None
    discrete: int | None
    function: int | None
    sees: str | None
    design: bool


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def random_graph(seed, nodes=NODES):
    """Return random problem number `seed`, its gradient from so many nodes for each normal number."""
    random = np.random.default_rng(seed)
    kinds = list(itertools.product((True, False), repeat=3))[:-1][seed % 7]
    sees = (None, "eta", "log_prob")[seed // 7 % 3]
    if sees == "log_prob" and not any(kinds[:2]):
        sees = "eta"  # nothing random, no density
    design = seed // 21 % 2 == 1
    at = np.cumsum([0, *kinds])
    gaussian, discrete, function = (int(at[i]) if kinds[i] else None for i in range(3))
    # eta: mean, log std of the Gaussian; logit of the discrete; the argument of the function
    rows = 2 * kinds[0] + kinds[1] + kinds[2]
    mean, logit, inner = 0, 2 * kinds[0], 2 * kinds[0] + kinds[1]
    c = random.normal(size=(rows, 3))
    coupled = random.normal() if kinds[0] and kinds[1] else 0.0
    k = random.normal(size=12)

    def eta(p, theta, s):
        found = []
        for i in range(rows):
            found.append(theta[i % 3] * (c[i, 0] + c[i, 1] * s[0]) + c[i, 2] * np.tanh(s[1] * theta[(i + 1) % 3]))
        if gaussian is not None:
            found[1] = 0.4 * np.tanh(found[1]) - 0.5
        return tuple(found)

    def sample(p, eta, e):
        a, noise = [], iter(e)
        if gaussian is not None:
            z = next(noise)
        gear = mg.where(next(noise) < sigmoid(eta[logit]), 1.0, 0.0) if discrete is not None else 0.0
        if gaussian is not None:
            a.append(eta[mean] + coupled * gear * eta[mean] + np.exp(eta[1]) * z)
        if discrete is not None:
            a.append(gear)
        if function is not None:
            a.append(np.tanh(eta[inner]))
        return tuple(a)

    def log_prob(p, eta, a):
        total = 0.0
        gear = a[discrete] if discrete is not None else 0.0
        if gaussian is not None:
            m = eta[mean] + coupled * gear * eta[mean]
            total = total - 0.5 * ((a[gaussian] - m) * np.exp(-eta[1])) ** 2 - eta[1]
        if discrete is not None:
            q = sigmoid(eta[logit])
            total = total + np.log(q * gear + (1.0 - q) * (1.0 - gear))
        return total

    def mass(p):
        return p.mass if design else 1.0

    def init(p, z):
        return (0.5 * k[0] + 0.3 * k[1] * mass(p), 0.5 * k[2])

    def step(p, s, a, w):
        pushed = sum(k[4 + i] * x for i, x in enumerate(a))
        remembered = a[function] if function is not None else 0.5 * s[1] + 0.2 * pushed
        return (0.7 * s[0] + 0.4 * pushed / mass(p) + k[7] * 0.2 * s[1], remembered)

    def plain(p, s, a, s_next):
        cost = (s_next[0] - 0.5) ** 2 + 0.3 * np.sin(k[8] * s[1] + s_next[1])
        return -cost - 0.2 * sum(x * x * k[9] for x in a) - 0.1 * mass(p)

    rewards = {
        None: lambda p, s, a, s_next, w: plain(p, s, a, s_next),
        "eta": lambda p, s, a, s_next, w, eta: plain(p, s, a, s_next) + 0.5 * np.sin(eta[0]) * s[0] + 0.3 * eta[-1],
        "log_prob": lambda p, s, a, s_next, w, log_prob: plain(p, s, a, s_next) - 0.4 * log_prob,
    }
    environment = mg.Environment(
        states=2,
        actions=int(at[-1]),
        params={"mass": 1.3} if design else {},
        init=init,
        step=step,
        reward=rewards[sees],
        terminal=lambda p, s: -0.3 * s[0] * s[1] * mass(p),
        name=f"random graph {seed}",
    )
    policy = mg.Policy(
        states=2,
        actions=int(at[-1]),
        noises=int(kinds[0]),
        uniforms=int(kinds[1]),
        parameters=("a", "b", "c"),
        eta=eta,
        sample=sample,
        log_prob=log_prob if any(kinds[:2]) else None,
        no_score=None if any(kinds[:2]) else "nothing is random; use mcgrad.estimators.reparameterization()",
        no_pathwise="a choice is discrete" if kinds[1] else None,
        name="all kinds",
    )
    problem = mg.Problem(environment, policy, HORIZON, 0.9, design=("mass",) if design else ())
    theta = np.append(random.normal(size=3), [1.3] if design else [])

    def objective(theta):
        p = type("p", (), {"mass": theta[3] if design else None})
        x, weights = np.polynomial.hermite_e.hermegauss(nodes)
        weights = weights / weights.sum()
        s, weight, total = tuple(np.array([float(y)]) for y in init(p, ())), np.ones(1), 0.0
        for t in range(HORIZON):
            e = tuple(np.broadcast_to(y, s[0].shape) for y in eta(None, tuple(theta[:3]), s))
            branches = []
            for gear in (0.0, 1.0) if discrete is not None else (0.0,):
                q = 1.0 if discrete is None else sigmoid(e[logit]) if gear else 1.0 - sigmoid(e[logit])
                for z, v in zip(x, weights, strict=True) if gaussian is not None else ((0.0, 1.0),):
                    a = []
                    if gaussian is not None:
                        a.append(e[mean] * (1.0 + coupled * gear) + np.exp(e[1]) * z)
                    if discrete is not None:
                        a.append(np.full(s[0].shape, gear))
                    if function is not None:
                        a.append(np.tanh(e[inner]))
                    s_next = step(p, s, tuple(a), ())
                    r = plain(p, s, a, s_next)
                    if sees == "eta":
                        r = r + 0.5 * np.sin(e[0]) * s[0] + 0.3 * e[-1]
                    if sees == "log_prob":
                        r = r - 0.4 * log_prob(None, e, a)
                    here = weight * q * v
                    total += 0.9**t * np.sum(here * r)
                    branches.append(
                        (np.broadcast_to(s_next[0], here.shape), np.broadcast_to(s_next[1], here.shape), here)
                    )
            s0, s1, weight = (np.concatenate([b[i] for b in branches]) for i in range(3))
            s = (s0, s1)
        return total + 0.9**HORIZON * np.sum(weight * -0.3 * s[0] * s[1] * mass(p))

    steps = 1e-5 * np.eye(len(theta))
    gradient = np.array([objective(theta + h) - objective(theta - h) for h in steps]) / 2e-5
    return Graph(problem, theta, gradient, gaussian, discrete, function, sees, design)


def unbiased(graph):
    """Return {name: estimator}: those that have the gradient for a mean on a random problem."""
    b = baselines.of_state(lambda p, s: 0.3 * s[0] - 0.5 * s[1] * s[1])
    found = {}
    if graph.gaussian is not None or graph.discrete is not None:
        found |= {
            "score function": E.score_function(),
            "score function, of state": E.score_function(b),
            "reward to go": E.reward_to_go(),
            "reward to go, in time": E.reward_to_go(np.array([-0.4, 0.2])),
            "generalized advantage": E.generalized_advantage(1.0, b),
            "leave one out": E.leave_one_out(2),
            "scored at the end": E.computation_graph("all", b, times=[0])
            if graph.discrete is None
            else E.reward_to_go(b),
        }
        if graph.gaussian is not None:
            found["Gaussian by path"] = E.computation_graph((graph.gaussian,), b)
            found["Gaussian by path, late"] = E.computation_graph((graph.gaussian,), times=[-1])
    if graph.discrete is None:
        found |= {"pathwise": E.reparameterization(), "mirrored": E.antithetic(E.reparameterization())}
    if graph.discrete is None and graph.gaussian is not None:
        found["mixed"] = E.mixture(E.reward_to_go(), E.reparameterization())
    return found


def deviations(seed, count, machine="numpy"):
    """Return {name: (mean - gradient) / standard error, (P,)} of random problem number `seed`, and the problem."""
    graph = random_graph(seed)
    found = mg.measure(graph.problem, graph.theta, unbiased(graph), count, seed, progress=False, machine=machine)
    assert not any(found.nonfinite.values())
    # A derivative that does not vary is exact to the differences that are its witness.
    of = {x: np.maximum(found[x].stderr, 1e-8 * (1.0 + np.abs(graph.gradient))) for x in found.names}
    return {x: (found[x].mean - graph.gradient) / of[x] for x in found.names}, graph


if __name__ == "__main__":
    worst = 0.0
    for number in range(int(sys.argv[1])):
        z, _ = deviations(number, 40_000)
        name = max(z, key=lambda x: np.abs(z[x]).max())
        worst = max(worst, np.abs(z[name]).max())
        if np.abs(z[name]).max() > 4.0:
            print(number, name, z[name])
    print(f"{sys.argv[1]} problems, at most {worst:.2f} standard errors from the gradient")
