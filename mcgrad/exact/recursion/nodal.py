"""The recursion on values at nodes: the states of a table, or the points of a grid that functions are interpolated on.

What a mesh has to offer: `nodes` (K, n); `at(points)`, the matrix that takes values at the nodes to values at points; and
`outside(points)`, which points it does not cover, or None. Noise comes as nodes and weights from a rule (see `noise`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..theory import NoClosedForm
from .chain import Chain
from .nodal_stage import CHUNK, NodalStage, points_of
from .ring import EXP, UNKNOWN, Array, Fields, Lost, Monomial, Pair, Poly, Rows, State, Value, Values, lift, variable
from .system import NumberTerms, Outputs, System, coefficients, last_values, ordered, system
from .work import free


class Nodal:
    """A space of functions by their values at nodes, for one chain and what is asked of it.

    Parameters
    ----------
    chain : Chain
    first, pairs
        See `system`.
    mesh, rule
        See the module.
    apart : bool
        Whether normal noises that only move the next state are integrated one by one.
    """

    def __init__(
        self, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair], mesh: Any, rule: Any, apart: bool = True
    ) -> None:
        if any(v.unroll for v in chain.trajectories):
            raise NoClosedForm("no recursion but on polynomials where theta is perturbed anew at each step")
        self.chain, self.mesh, self.rule, self.horizon = chain, mesh, rule, chain.problem.horizon
        self.carries = list(chain.carries)
        self.system = self._closed(first, pairs)
        self.wanted = sorted({c.removeprefix(EXP) for a in self.system.terms for c in a} & set(self.carries))
        self.apart = additive(chain, self.wanted) if apart else {}
        self.keys = list(self.system.terms)
        self._stages: list[NodalStage] | None = None
        self._rows: Rows = {}
        self.left = 0.0

    def _closed(self, first: Iterable[Monomial], pairs: Sequence[Pair]) -> System:
        """Return what is needed for some monomials and pairs of them."""
        return system(first, pairs, self._unknown_step(), self.chain.carries)

    def _unknown_step(self) -> Values:
        """Return {carry: its value before a step} where it is only known which terms there are."""
        chain = self.chain
        state, noise = [UNKNOWN] * chain.states, dict.fromkeys(chain.noises(), UNKNOWN)
        return chain.step(dict.fromkeys(chain.model.rows(0), UNKNOWN), state, noise, self.carries)

    def size(self) -> tuple[int, int]:
        """Return how many numbers the matrices of a step hold, and about how many operations it takes."""
        K, Q = len(self.mesh.nodes), self._noise_nodes
        terms = sum(map(len, self.system.terms.values()))
        operations = 2 * terms + 2 * len(self.system.pairs) + (1 + len(self.keys)) * self.mesh.width
        return K * Q * self.mesh.width, K * Q * operations

    def last(self) -> Fields:
        """Return the fields after the last step: means (K, monomials), covariances (K, pairs), the chance of leaving (K,)."""
        chain, K = self.chain, len(self.mesh.nodes)
        state = self._state(slice(None))
        values = last_values(self.keys, chain.last(chain.model.rows(self.horizon), state, self.wanted))
        columns = [np.broadcast_to(x.get((), 0.0), (K, 1))[:, 0] for x in values.values()]
        means = np.stack([np.zeros(K), *columns], axis=1)[:, 1:]
        return means, np.zeros((K, len(self.system.pairs))), np.zeros(K)

    def back(self, t: int, fields: Fields) -> Fields:
        """Return the fields before step t, given those after it."""
        rows = self.chain.model.rows(t)
        if self._stages is None:
            self._stages = self._blocks(rows)
            self._blurs = [self._blur(*x) for x in self.apart.items()]
        elif rows != self._rows:
            for stage in self._stages:
                stage.update(self._terms(rows, stage))
        self._rows = rows
        for stages in (*self._blurs, self._stages):
            parts = [stage(fields) for stage in stages]
            means, covariances, left = (np.concatenate(x) for x in zip(*parts, strict=True))
            fields = means, covariances, left
        return fields

    def start(
        self, fields: Fields, outputs: Outputs, pairs: Sequence[Pair]
    ) -> tuple[dict[Any, float], dict[Any, float]]:
        """Return {output: mean}, {pair: covariance} of outputs {name: {monomial: polynomial in the noise of the start}}."""
        noise, weights = self.rule.start(self.chain)
        points = points_of(self.chain.start(noise), 1, weights.shape[1])
        return self._start(fields, outputs, pairs, noise, weights, points)

    def _start(
        self,
        fields: Fields,
        outputs: Outputs,
        pairs: Sequence[Pair],
        noise: Values,
        weights: Array,
        points: NDArray[Any],
    ) -> tuple[dict[Any, float], dict[Any, float]]:
        terms = {a: {b: _evaluated(c, noise) for b, c in row.items()} for a, row in outputs.items()}
        pairs = [ordered(*x) for x in pairs]
        stage = NodalStage(terms, pairs, self.system, self.mesh, points, weights)
        means, covariances, left = stage(fields)
        self.left = float(left[0])
        return dict(zip(terms, map(float, means[0]), strict=True)), dict(
            zip(pairs, map(float, covariances[0]), strict=True)
        )

    def function(self, fields: Fields, a: Monomial) -> Callable[..., Array]:
        """Return the conditional mean of a monomial as a function of states (N, n); see `values.OnLevel` for `held`."""
        return functools.partial(self._evaluate, self.mesh, fields, a)

    def _evaluate(self, mesh: Any, fields: Fields, a: Monomial, s: Array, held: bool = False) -> Array:
        found, outside = mesh.at(s) @ fields[0][:, self.keys.index(a)], mesh.outside(s)
        return found if held or outside is None else np.where(outside > 0, np.nan, found)

    # ---- stages

    @functools.cached_property
    def _noise_nodes(self) -> int:
        return self.rule.size(self.chain, self.wanted, self._state(slice(None)), self.apart)

    def _state(self, part: slice) -> State:
        return [self.mesh.nodes[part, i : i + 1] for i in range(self.chain.states)]

    def _blocks(self, rows: Rows) -> list[NodalStage]:
        """Return the stages of the step, for some of the nodes each."""
        K = len(self.mesh.nodes)
        width = len(self.keys) + self.mesh.width + sum(len(x) for x in self.system.terms.values())
        size = max(1, CHUNK // (self._noise_nodes * width))
        found = []
        for first in range(0, K, size):
            part = slice(first, min(first + size, K))
            state = self._state(part)
            noise, weights, given = self.rule.step(self.chain, self.wanted, state, self.apart)
            noise |= {k: np.zeros((1, 1)) for k in self.apart}
            count = part.stop - part.start
            weights = np.broadcast_to(weights, (count, weights.shape[1]))
            points = points_of(self.chain.next_states(rows, state, noise, given), *weights.shape)
            source, spend = (part, noise, given), getattr(self.rule, "spend", free)
            stage = NodalStage(None, self.system.pairs, self.system, self.mesh, points, weights, source, spend)
            stage.update(self._terms(rows, stage))
            found.append(stage)
        return found

    def _terms(self, rows: Rows, stage: NodalStage) -> NumberTerms:
        part, noise, given = stage.source
        new = self.chain.step(rows, self._state(part), noise, self.wanted, given)
        found = coefficients(self.keys, new, self.chain.carries)
        return {a: {b: _number(c) for b, c in row.items()} for a, row in found.items()}

    def _blur(self, name: str, direction: Array) -> list[NodalStage]:
        """Return the stage in which one normal moves the state along a direction, and nothing else."""
        x, w = self.rule.normal(self.mesh.passed(direction))
        points = self.mesh.nodes[:, None, :] + x[:, :, None] * direction
        weights = np.broadcast_to(w, points.shape[:2])
        terms = {a: {a: 1.0} for a in self.keys}
        return [
            NodalStage(terms, self.system.pairs, self.system, self.mesh, points.reshape(-1, self.chain.states), weights)
        ]


def additive(chain: Chain, wanted: Sequence[str]) -> dict[str, Array]:
    """Return {noise: direction} of the process's normals that move the next state by a fixed vector, and nothing else."""
    found, kinds = {}, chain.noises()
    rows = dict.fromkeys(chain.model.rows(0), UNKNOWN)
    for name in chain.inputs.w_names[: chain.problem.environment.noises]:
        state = [UNKNOWN] * chain.states
        noise = dict.fromkeys(kinds, UNKNOWN) | {name: variable(name)}
        moved = [x if isinstance(x, Lost) else lift(x) for x in chain.next_states(rows, state, noise)]
        seen = chain.step(rows, state, noise, wanted).values()
        sees = any(isinstance(x, Lost) or (isinstance(x, Poly) and any(name in k for k in x)) for x in seen)
        if sees or any(isinstance(x, Lost) or any(k not in ((), (name,)) for k in x) for x in moved):
            continue
        direction = np.array([x.get((name,), 0.0) for x in moved if isinstance(x, Poly)], dtype=np.float64)
        if np.isfinite(direction).all():
            found[name] = direction
    return found


def _number(poly: Poly) -> Value:
    """Return the coefficient that a polynomial without variables is."""
    return poly.get((), 0.0)


def _evaluated(poly: Poly, values: Values) -> Value:
    total = 0.0
    for names, c in poly.items():
        for x in names:
            c = c * values[x]
        total = total + c
    return total
