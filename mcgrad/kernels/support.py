"""Whether actions have a density at all: a score is no derivative where the values that an action can have move with eta.

A sampled action is held fixed while its density is differentiated. So each direction in which eta moves the scored components,
da/deta, has to be one in which their noise moves them, too:

    range of da/deta within range of da/de,    at any state and noise; both are zero for a discrete choice.

An action x + eta beside the action x, a choice between two values that are learned, a draw that is cut off at a learned limit
fail: there is an action, or a combination of actions, that takes one value given the others, and that value moves.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.derive import pull_back
from ..compiler.evaluate import evaluate
from ..compiler.trace import Graph
from ..problem import Policy
from .inputs import Inputs
from .split import noise_of, scored_components

POINTS = 16
MOST = 256  # parameters of policies that are remembered as good


class Support:
    """The question for one structure and one split: traced once, asked of every policy once.

    Parameters
    ----------
    inputs : Inputs
    split : frozenset of int
        The random components of the action that are followed.
    """

    def __init__(self, inputs: Inputs, split: frozenset[int]) -> None:
        environment, policy = inputs.problem.environment, inputs.problem.policy
        self._policies: weakref.WeakSet[Policy] = weakref.WeakSet()
        self._parameters: set[bytes] = set()
        self.graph, self.start_graph = Graph(), Graph()
        x = inputs.step(self.graph)
        self.scored = scored_components(x, split)
        self.etas, free = len(x.eta), [k for k in range(len(x.e)) if k not in noise_of(x, split)]
        rows = [pull_back(self.graph, [x.sampled[i]], [1.0], [*x.eta, *(x.e[k] for k in free)]) for i in self.scored]
        self.outputs = [y for row in rows for y in row] if free else []
        self.s_0 = inputs.start(self.start_graph).s
        self.theta_names, self.s_names = inputs.theta_names, inputs.s_names
        self.p_index, self.row_index = inputs.p_index, inputs.row_index
        # Names of noise, and how many of them are normals
        self.noise = (inputs.e_names, policy.noises), (inputs.w_names, environment.noises)
        self.start_noise = (inputs.z0_names, environment.initial_noises)

    def check(
        self, policy: Policy, theta: NDArray[np.float64], p: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> None:
        """Raise a ValueError if the scored components have no density given the noise of the followed ones.

        Parameters
        ----------
        policy : Policy
        theta, p, rows : arrays
            Where to look: what the kernel will read.
        """
        if not self.outputs or policy in self._policies:
            return
        known = b"".join([x.tobytes() for x in policy.params.values()])
        if known not in self._parameters:
            self._look(policy, theta, p, rows)
            if len(self._parameters) >= MOST:
                self._parameters.clear()
            self._parameters.add(known)
        self._policies.add(policy)

    def _look(
        self, policy: Policy, theta: NDArray[np.float64], p: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> None:
        found = evaluate(self.graph, self.outputs, self._values(theta, p, rows))
        slopes = np.stack(np.broadcast_arrays(*found, np.zeros(POINTS))[:-1]).reshape(len(self.scored), -1, POINTS)
        for k in range(POINTS):
            worst = _outside(slopes[:, : self.etas, k], slopes[:, self.etas :, k])
            if worst is not None:
                i = self.scored[worst]
                raise ValueError(
                    f"no score function here: component {i} of the action of {policy.name} has values that move with eta, "
                    "where its noise does not move it (given the other components), so that no density knows of its "
                    f"derivative. Follow it: reparameterization(), or computation_graph(path=({i},)); or make it a function of "
                    "eta alone, or draw it with noise of its own"
                )

    def _values(self, theta: NDArray[np.float64], p: NDArray[np.float64], rows: NDArray[np.float64]) -> dict[str, Any]:
        """Return a number for every name that a step reads: states of the start, and random noise."""
        random = np.random.default_rng(0)

        def noise(names: Sequence[str], normals: int) -> dict[str, NDArray[np.float64]]:
            draws = (
                random.standard_normal(POINTS) if k < normals else random.random(POINTS) for k in range(len(names))
            )
            return dict(zip(names, draws, strict=True))

        values = dict(zip(self.theta_names, theta, strict=True))
        values |= {x: p[k] for x, k in self.p_index.items()}
        values |= {x: rows[0, k] for x, k in self.row_index.items()}
        for names in self.noise:
            values |= noise(*names)
        start = evaluate(self.start_graph, self.s_0, values | noise(*self.start_noise))
        return values | dict(zip(self.s_names, start, strict=True))


def _outside(of_eta: NDArray[np.float64], of_noise: NDArray[np.float64]) -> int | None:
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
