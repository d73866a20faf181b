"""All states that can be reached, where noise does nothing but to choose and the horizon is short: exact given the start.

The states of a time are nodes of their own, those of the next time their children. What is approximate is the quadrature
over the start alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..theory import NoClosedForm
from .chain import Chain
from .edges import flat
from .nodal import Nodal
from .nodal_stage import NodalStage, points_of
from .noise import Quadrature
from .ring import Array, Fields, Monomial, Pair

LARGEST = 300_000  # states of one time


class Leaves:
    """The states that points lead to as a mesh: those of points with the same bits are one."""

    width = 1

    def __init__(self, points: Array) -> None:
        self.nodes, inverse = np.unique(points, axis=0, return_inverse=True)
        self._node_of = inverse.reshape(-1)

    def at(self, points: Array) -> Any:
        """Return the matrix from nodes to the points that the mesh was made of."""
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        count = len(points)
        return sparse.csr_array((np.ones(count), self._node_of, np.arange(count + 1)), (count, len(self.nodes)))

    def outside(self, points: Array) -> None:
        return None


class Tree(Nodal):
    """The space of functions on the states that can be reached.

    Raises
    ------
    NoClosedForm
        If some noise moves the state by more or less, or there are too many states.
    """

    def __init__(self, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair], rule: Quadrature) -> None:
        if chain.branches or any(v.unroll for v in chain.trajectories):
            raise NoClosedForm("no tree of states where rollouts branch off, or theta is perturbed anew at each step")
        super().__init__(chain, first, pairs, None, rule, apart=False)
        if set(chain.noises()) - flat(chain, self.wanted):
            raise NoClosedForm("no tree of states: the noise of a step is continuous")
        noise, weights = rule.start(chain)
        points = points_of(chain.start(noise), 1, weights.shape[1])
        self._levels, self._steps, rows = [Leaves(points)], [], chain.model.rows(0)
        for t in range(self.horizon):
            self.mesh = self._levels[-1]
            noise, weights, given = rule.step(chain, self.wanted, self._state(slice(None)), {})
            points = points_of(chain.next_states(rows, self._state(slice(None)), noise, given), *weights.shape)
            after = Leaves(points)
            growth = max(1.0, len(after.nodes) / len(self.mesh.nodes))
            if weights.size > LARGEST or len(after.nodes) * growth ** (self.horizon - 1 - t) > LARGEST:
                raise NoClosedForm(f"no tree of states: more than {LARGEST} of one time")
            self._steps.append((noise, weights, given, points))
            self._levels.append(after)
        self.mesh = self._levels[-1]

    def back(self, t: int, fields: Fields) -> Fields:
        """Return the fields before step t, given those after it."""
        noise, weights, given, points = self._steps[t]
        stage = NodalStage(
            None, self.system.pairs, self.system, self._levels[t + 1], points, weights, (slice(None), noise, given)
        )
        self.mesh = self._levels[t]
        stage.update(self._terms(self.chain.model.rows(t), stage))
        return stage(fields)
