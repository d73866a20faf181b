"""All states that can be reached, where noise does nothing to the state but to choose: a table that nobody has declared.

They are found from the start on, step by step, states with the same bits being one; the recursion is then run on them as on
any table, at each time on those that can be reached by then. Exact, where noise does nothing but to choose; else a quadrature
remains, over the start or over what moves rewards and scores, that has to come to rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...compiler.emit import live_inputs
from ..theory import NoClosedForm
from .cells import Cells, moving
from .chain import Chain
from .laws import NORMAL
from .nodal import Nodal
from .nodal_stage import CHUNK, NodalStage, points_of
from .ring import Array, Fields, Monomial, Pair, State
from .system import Outputs

LARGEST = 50_000  # states in all
BLOCK = 512  # states whose cells are found at once
FEW = 300  # states from which on it is asked whether there will be too many
PILOTS, STEPS, SEED = 2048, 64, 1  # trajectories whose states are counted beforehand

Numbers: TypeAlias = NDArray[np.int64]


class Mesh:
    """Some of the states as a mesh: points are their numbers among these, or states."""

    width = 1

    def __init__(self, states: Array, among: Numbers) -> None:
        self.among, self.nodes = among, states[among]

    def at(self, points: Array) -> Any:
        """Return the matrix from nodes to points (N, n), all zeros where a point is none of the nodes."""
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        k = points if points.ndim == 1 else Found(self.nodes).numbers(points)
        there = k >= 0
        rows = np.concatenate([[0], np.cumsum(there)])
        return sparse.csr_array((np.ones(there.sum()), k[there], rows), shape=(len(k), len(self.nodes)))

    def outside(self, points: Array) -> Array | None:
        """Return 1 for points that are none of the nodes, or None."""
        if points.ndim == 1:
            return None
        return (Found(self.nodes).numbers(points) < 0).astype(float)


class Found:
    """States in the order in which they were found, and their numbers."""

    def __init__(self, states: Array) -> None:
        self.states = states
        self._of = {x.tobytes(): i for i, x in enumerate(states)}

    def numbers(self, points: Array) -> Numbers:
        """Return the numbers of points, -1 for those that are no states."""
        unique, inverse = np.unique(points + 0.0, axis=0, return_inverse=True)
        return np.array([self._of.get(x.tobytes(), -1) for x in unique], dtype=np.int64)[inverse.reshape(-1)]

    def add(self, points: Array) -> None:
        """Add the states among points that are new."""
        unique = np.unique(points + 0.0, axis=0)
        new = [x for x in unique if x.tobytes() not in self._of]
        if new:
            self._of |= {x.tobytes(): i for i, x in enumerate(new, len(self.states))}
            self.states = np.concatenate([self.states, new])


class Reachable(Nodal):
    """The space of functions on the states that can be reached.

    Raises
    ------
    NoClosedForm
        If some noise moves the state by more or less, or there are too many states.
    """

    def __init__(self, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair], rule: Cells) -> None:
        if chain.branches:
            raise NoClosedForm("no table of states where rollouts branch off")
        super().__init__(chain, first, pairs, None, rule, apart=False)
        _refuse(chain)
        begin, _ = rule.start(chain)
        points = _finite(_started(chain, begin))
        self._found = Found(np.zeros((0, chain.states)))
        self._found.add(points)
        self._explore()
        self._sets: dict[bytes, Mesh] = {}
        self._levels = [self._mesh(np.unique(self._found.numbers(points)))]
        for _ in range(self.horizon):
            self._levels.append(self._mesh(np.unique(self._to[self._places(self._levels[-1].among).ravel()])))
        self.mesh = self._levels[-1]
        self._made: dict[Any, tuple[list[NodalStage], Any]] = {}
        terms = sum(map(len, self.system.terms.values()))
        nodes = sum(self._places(level.among).size for level in self._levels[:-1])
        rule.spend(nodes * (2.0 * terms + 2.0 * len(self.system.pairs) + 2.0 * len(self.keys)), 0.0)

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self._found.states)

    @property
    def found(self) -> Array:
        """The states, (S, n)."""
        return self._found.states

    def _mesh(self, among: Numbers) -> Mesh:
        return self._sets.setdefault(among.tobytes(), Mesh(self._found.states, among))

    def _explore(self) -> None:
        """Find the cells, and what comes next, of all states but those that the last step alone leads to."""
        chain, rows, last = self.chain, self.chain.model.rows(0), 0
        to, weights, noises, counts = [], [], [], []
        for _ in range(self.horizon):
            new, last = range(last, self.states, BLOCK), self.states
            for begin in new:
                states = self._found.states[begin : min(begin + BLOCK, last)]
                state: State = [states[:, i : i + 1] for i in range(chain.states)]
                noise, w = self.rule.step(chain, self.wanted, state)
                points = _finite(points_of(chain.next_states(rows, state, noise), *w.shape))
                few = self.states <= FEW
                self._found.add(points)
                if few and self.states > FEW:
                    _refuse_crowd(chain, self.rule)
                if self.states > LARGEST:
                    raise NoClosedForm(f"no table of states: more than {LARGEST} can be reached")
                there = w > 0.0
                to.append(self._found.numbers(points)[there.ravel()])
                weights.append(w[there])
                noises.append({k: np.broadcast_to(x, w.shape)[there] for k, x in noise.items()})
                counts.append(there.sum(axis=1))
        self._to, self._weights = np.concatenate(to), np.concatenate(weights)
        self._noise = {k: np.concatenate([x[k] for x in noises]) for k in noises[0]}
        self._counts = np.concatenate(counts)
        self._starts = np.cumsum(self._counts) - self._counts

    def _places(self, among: Numbers) -> Numbers:
        """Return where the cells of some states are, (K, Q); what is added to make them as many is the first."""
        counts, at = self._counts[among], np.arange(self._counts[among].max(initial=0))
        return self._starts[among][:, None] + np.where(at < counts[:, None], at, 0)

    def back(self, t: int, fields: Fields) -> Fields:
        """Return the fields before step t, given those after it."""
        now, after = self._levels[t], self._levels[t + 1]
        rows, key = self.chain.model.rows(t), (id(now), id(after))
        self.mesh = now
        stages, before = self._made.get(key) or (list(self._between(now, after)), None)
        if before != rows:
            for stage in stages:
                stage.update(self._terms(rows, stage))
        self._made[key] = stages, dict(rows)
        parts = [stage(fields) for stage in stages]
        means, covariances, left = (np.concatenate(x) for x in zip(*parts, strict=True))
        return means, covariances, left

    def _between(self, now: Mesh, after: Mesh) -> Iterator[NodalStage]:
        """Yield the stages from some states to those after them."""
        size = max(1, CHUNK // (int(self._counts[now.among].max()) * (len(self.keys) + 1)))
        for first in range(0, len(now.among), size):
            part = slice(first, min(first + size, len(now.among)))
            at = self._places(now.among[part])
            real = np.arange(at.shape[1]) < self._counts[now.among[part]][:, None]
            weights = np.where(real, self._weights[at], 0.0)
            noise = {k: x[at] for k, x in self._noise.items()}
            points = np.searchsorted(after.among, self._to[at]).ravel()
            source = part, noise, None
            yield NodalStage(None, self.system.pairs, self.system, after, points, weights, source)

    def start(
        self, fields: Fields, outputs: Outputs, pairs: Sequence[Pair]
    ) -> tuple[dict[Any, float], dict[Any, float]]:
        """Return means and covariances of outputs, see `Nodal`."""
        self.mesh = self._levels[0]
        seen = {x for row in outputs.values() for c in row.values() for names in c for x in names}
        noise, weights = self.rule.start(self.chain, seen)
        numbers = self._found.numbers(_started(self.chain, noise))
        return self._start(fields, outputs, pairs, noise, weights, np.searchsorted(self.mesh.among, numbers))


def _started(chain: Chain, noise: dict[str, Array]) -> Array:
    """Return the states (Q, n) at the beginning."""
    return points_of(chain.start(noise), 1, next(iter(noise.values()), np.zeros((1, 1))).shape[1])


def _finite(points: Array) -> Array:
    if np.isnan(points).any():
        raise NoClosedForm("no table of states: a state is no number")
    return points


def _refuse(chain: Chain) -> None:
    """Raise NoClosedForm if there is no table."""
    if moving(chain):
        raise NoClosedForm("no table of states: the noise of a step moves the state by more or less")
    rows = {k for k, x in chain.model.all_rows().items() if np.ndim(x)}
    if any(rows & live_inputs(scan.step.graph, list(scan.step.s_next)) for scan in chain.of.values()):
        raise NoClosedForm("no table of states: the dynamics differ from step to step")


def _refuse_crowd(chain: Chain, rule: Cells) -> None:
    """Raise NoClosedForm if a few trajectories show that there are too many states."""
    random = np.random.default_rng(SEED)
    begin, weights = rule.start(chain)
    chosen = random.choice(weights.shape[1], PILOTS, p=weights[0] / weights.sum())
    state = list(_started(chain, begin)[chosen].T)
    for t in range(min(chain.problem.horizon, STEPS)):
        noise = {
            k: random.standard_normal(PILOTS) if kind == NORMAL else random.random(PILOTS)
            for k, kind in chain.noises().items()
        }
        rule.spend(PILOTS * 100.0, 0.0)
        state = [np.broadcast_to(x, PILOTS) for x in chain.next_states(chain.model.rows(t), state, noise)]
        met = PILOTS - len(np.unique(np.stack(state, axis=1), axis=0))
        # Of S states that are as likely as one another, PILOTS^2 / 2 S pairs meet; and more of others.
        if PILOTS**2 / 2 / (met + 3 * np.sqrt(met) + 10) > LARGEST:
            raise NoClosedForm(f"no table of states: more than {LARGEST} can be reached after {t + 1} steps")
