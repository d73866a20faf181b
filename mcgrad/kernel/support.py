"""Whether actions have a density at all: a score is no derivative where the values that an action can have move with eta.

A sampled action is held fixed while its density is differentiated. So each direction in which eta moves the scored components,
da/deta, has to be one in which their noise moves them, too:

    range of da/deta within range of da/de,    at any state and noise; both are zero for a discrete choice.

An action x + eta beside the action x, a choice between two values that are learned, a draw that is cut off at a learned limit
fail: there is an action, or a combination of actions, that takes one value given the others, and that value moves.
"""

import weakref

import numpy as np

from ..compiler.derive import pull_back
from ..compiler.evaluate import evaluate
from ..compiler.trace import Graph
from .split import noise_of, scored_components

POINTS = 16
_seen = weakref.WeakKeyDictionary()  # policy -> the splits that have been looked at


def check_support(inputs, theta, split):
    """Raise a ValueError if the scored components have no density given the noise of the followed ones.

    Parameters
    ----------
    inputs : Inputs
    theta : (P,) array
        Where to look.
    split : frozenset of int
        The random components of the action that are followed.
    """
    policy = inputs.problem.policy
    looked_at = _seen.setdefault(policy, set())
    if split in looked_at:
        return
    graph = Graph()
    x = inputs.step(graph)
    scored = scored_components(x, split)
    free = [k for k in range(len(x.e)) if k not in noise_of(x, split)]
    rows = [pull_back(graph, [x.sampled[i]], [1.0], [*x.eta, *(x.e[k] for k in free)]) for i in scored]
    if not rows or not free:
        return
    found = evaluate(graph, [y for row in rows for y in row], _values(inputs, theta))
    slopes = np.stack(np.broadcast_arrays(*found, np.zeros(POINTS))[:-1]).reshape(len(rows), -1, POINTS)
    for k in range(POINTS):
        worst = _outside(slopes[:, : len(x.eta), k], slopes[:, len(x.eta) :, k])
        if worst is not None:
            i = scored[worst]
            raise ValueError(
                f"no score function here: component {i} of the action of {policy.name} has values that move with eta, where "
                "its noise does not move it (given the other components), so that no density knows of its derivative. Follow "
                f"it: reparameterization(), or computation_graph(path=({i},)); or make it a function of eta alone, or draw it "
                "with noise of its own"
            )
    looked_at.add(split)


def _outside(of_eta, of_noise):
    """Return the row in which da/deta leaves the range of da/de the most, or None if it does not leave it."""
    if not (np.isfinite(of_eta).all() and np.isfinite(of_noise).all()):
        return None  # nothing can be said at this point
    # Rows and columns have units of their own.
    scale = np.abs(np.hstack([of_eta, of_noise])).max(axis=1, keepdims=True)
    of_eta, of_noise = (x / np.where(scale > 0.0, scale, 1.0) for x in (of_eta, of_noise))
    size = np.linalg.norm(of_noise, axis=0)
    of_noise = of_noise / np.where(size > 0.0, size, 1.0)
    basis, values, _ = np.linalg.svd(of_noise, full_matrices=False)
    basis = basis[:, values > 1e-12]
    left = of_eta - basis @ (basis.T @ of_eta)
    allowed = 1e-6 * np.maximum(np.linalg.norm(of_eta, axis=0), 1e-290)
    if (np.linalg.norm(left, axis=0) <= allowed).all():
        return None
    return int(np.argmax(np.abs(left).max(axis=1)))


def _values(inputs, theta):
    """Return a number for every name that a step reads: states of the start, and random noise."""
    problem = inputs.problem
    random = np.random.default_rng(0)
    policy, environment = problem.policy, problem.environment

    def noise(names, normals):
        draws = (random.standard_normal(POINTS) if k < normals else random.random(POINTS) for k in range(len(names)))
        return dict(zip(names, draws, strict=True))

    values = dict(zip(inputs.theta_names, theta, strict=True))
    values |= {x: inputs.p[k] for x, k in inputs.p_index.items()}
    values |= {x: inputs.rows(problem)[0, k] for x, k in inputs.row_index.items()}
    values |= noise(inputs.e_names, policy.noises) | noise(inputs.w_names, environment.noises)
    graph = Graph()
    start = evaluate(graph, inputs.start(graph).s, values | noise(inputs.z0_names, environment.initial_noises))
    return values | dict(zip(inputs.s_names, start, strict=True))
