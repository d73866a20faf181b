"""A problem and its estimators as Markov chains with a carry, read off the traced graphs that the kernels are written from.

Rollouts that share their noise (antithetic pairs, perturbed parameters) are one chain, whose state is all of their states.
Rollouts with noise of their own (the members of a group) are chains that are independent of one another: a moment of what
is made of several factorises.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...compiler.emit import live_inputs
from ...compiler.trace import Graph
from ...estimators.estimator import PLAIN, Estimator, RolloutVariant
from ...kernels.reverse_scan import ReverseScan
from ...kernels.tracing import remembered_trace
from ...problem import Problem
from ..theory import NoClosedForm
from .branches import Branches
from .laws import NORMAL, UNIFORM
from .ring import Array, Given, Lost, Poly, Rows, State, Value, Values, apply, lift, plus, run, variable, whole
from .work import Work

AT = "#"  # between the name of a carry and the number of its stream


@dataclasses.dataclass(frozen=True)
class Carry:
    """One component of a carry: the number of its trajectory, its graphs, and the slot and place of a sum in memory."""

    trajectory: int
    recurrence: Any = None
    scan: Any = None
    slot: Any = None
    place: int = 0


class Chain:
    """Rollouts of one stream of noise.

    Attributes
    ----------
    trajectories : list of RolloutVariant
        Those whose states differ.
    states : int
        n of each, one after the other.
    carries : dict
        Name -> `Carry`.
    branches : Branches
        What branches off, and what is drawn for it.
    """

    def __init__(self, model: Model, scans: dict[RolloutVariant, Any]) -> None:
        self.model, self.scans = model, scans
        self.problem, self.inputs = model.problem, model.inputs
        alone = [dataclasses.replace(v, members=False, stream=0) for v in scans]
        self.trajectories = list(dict.fromkeys(alone))
        self.of: dict[int, ReverseScan] = {}  # trajectory -> a scan of it, whose graph knows its next state
        self.carries: dict[str, Carry] = {}
        for v, (scan, _) in zip(alone, scans.values(), strict=True):
            k = self.trajectories.index(v)
            self.of.setdefault(k, scan)
            for name, recurrence in scan.recurrences().items():
                self.carries[name] = Carry(k, recurrence, scan)
            for slot in scan.scattered.slots.values():
                for j in range(len(slot.positions)):
                    self.carries[slot.name(scan.suffix, j)] = Carry(k, None, scan, slot, j)
        self.n = self.problem.environment.states
        self.states = self.n * len(self.trajectories)
        self.branches = Branches(self.inputs, [scan for scan, _ in scans.values()], self._of_step())

    # ---- what the graphs read

    def noises(self, start: bool = False) -> dict[str, str]:
        """Return {name: kind} of the independent numbers of a step, or of the start."""
        if start:
            return _kinds(self.inputs.z0_names, self.problem.environment.initial_noises)
        return self._of_step() | self.branches.noises

    def _of_step(self) -> dict[str, str]:
        environment, policy, x = self.problem.environment, self.problem.policy, self.inputs
        return _kinds(x.e_names, policy.noises) | _kinds(x.w_names, environment.noises)

    @property
    def problem_noises(self) -> list[str]:
        """The names of the noise of the process, those that steps and rewards read."""
        scan = self.of[0]
        reads = live_inputs(scan.step.graph, [*scan.step.s_next, scan.step.reward])
        return [x for x in self.inputs.w_names if x in reads]

    def signed(self, names: Sequence[str], sign: int, noise: Values, start: bool = False) -> Values:
        """Return the noise of these names as a trajectory has it, mirrored if its sign is negative."""
        kinds = self.noises(start)
        return {k: noise[k] if sign > 0 else _mirrored(noise[k], kinds[k]) for k in names if k in noise}

    def values(self, k: int, rows: Rows, state: State, noise: Values) -> Values:
        """Return what a step of trajectory k reads: {input name: value}."""
        return self.read(k, self.model.constants(rows, self.trajectories[k]), state, noise)

    def read(self, k: int, constants: Values, state: State, noise: Values) -> Values:
        """Return the same of constants that are known."""
        v, x = self.trajectories[k], self.inputs
        values = dict(constants)
        values |= dict(zip(x.s_names, state[k * self.n : (k + 1) * self.n], strict=True))
        values |= self.signed(x.e_names, v.action, noise) | self.signed(x.w_names, v.process, noise)
        return values | self.branches.values(noise)

    # ---- the chain

    def start(self, noise: Values) -> State:
        """Return the states at the beginning."""
        x, found, start = self.inputs, [], self.model.traced.start
        for v in self.trajectories:
            values = self.model.constants({}, v) | self.signed(x.z0_names, v.initial, noise, start=True)
            found += run(start.graph, start.s, values)
        return found

    def next_states(self, rows: Rows, state: State, noise: Values, given: Given = None) -> State:
        """Return the states after a step."""
        found = []
        for k, scan in self.of.items():
            fixed = given(k, scan) if given else {}
            values = self.values(k, rows, state, noise)
            found += run(scan.step.graph, scan.step.s_next, values, fixed)
        return found

    def step(self, rows: Rows, state: State, noise: Values, wanted: Sequence[str], given: Given = None) -> Values:
        """Return {carry: its value before a step, as a polynomial in the carries after it}."""
        new = {}
        variables = {c: variable(c) for c in self.carries} | self.branches.differences()
        for scan, mine in self._by_scan(wanted):
            k = self.carries[mine[0]].trajectory
            values = self.values(k, rows, state, noise) | variables
            outputs = []
            for c in mine:
                carry = self.carries[c]
                outputs += [carry.slot.index, carry.slot.share] if carry.slot else [carry.recurrence.new]
            found = iter(run(scan.step.graph, outputs, values, given(k, scan) if given else ()))
            for c in mine:
                carry = self.carries[c]
                new[c] = _scattered(c, carry, next(found), next(found)) if carry.slot else next(found)
        return new

    def last(self, rows: Rows, state: State, wanted: Sequence[str]) -> Values:
        """Return {carry: its value after the last step}."""
        found: Values = {}
        for _, mine in self._by_scan(wanted):
            k = self.carries[mine[0]].trajectory
            values = self.values(k, rows, state, {})
            recurrences = [self.carries[c].recurrence for c in mine]
            graph = next((r.last_graph for r in recurrences if r), Graph())
            found |= dict(zip(mine, run(graph, [r.initial if r else 0.0 for r in recurrences], values), strict=True))
        return found

    def _by_scan(self, wanted: Sequence[str]) -> list[tuple[ReverseScan, list[str]]]:
        grouped: dict[int, list[str]] = {}
        for c in wanted:
            grouped.setdefault(id(self.carries[c].scan), []).append(c)
        return [(self.carries[mine[0]].scan, mine) for mine in grouped.values()]


class Model:
    """The chains of a problem's estimators, and the gradients as polynomials in all of their carries.

    Attributes
    ----------
    gradients : list of Poly
        The P components of each estimator, one after the other, in variables `carry#stream`; coefficients may depend on the
        noise of the start, which is then among the variables, too.
    chains : dict
        Stream -> Chain; streams whose chains have the same law share one.
    """

    def __init__(
        self, problem: Problem, theta: Array, estimators: Mapping[str, Estimator], work: Work | None = None
    ) -> None:
        self.problem, self.work = problem, Work(np.inf) if work is None else work
        self.traced = remembered_trace(problem, theta, estimators)
        self.theta, self.inputs = self.traced.theta, self.traced.inputs
        self.names, self.parameters = list(estimators), len(problem.parameters)
        self.table = self.traced.rows
        for v, (scan, _) in self.traced.rollouts.items():
            _refuse(v, scan)
        self.directions = {v.direction for v in self.traced.rollouts if v.shift} & {"normal", "sign"}
        self.direction: Array | None = None
        self.branch_time: float | None = None
        if not self.directions:
            self._build()

    def along(self, direction: Array) -> Model:
        """Return the same with theta moved along a given direction, (P,), where it is random."""
        other = copy.copy(self)
        other.direction = np.asarray(direction, float)
        other._build()
        return other

    @property
    def lone(self) -> bool:
        """Whether rollouts branch off at one random time, `branch_time` once it is given."""
        return any(kind.once for scan, _ in self.traced.rollouts.values() for kind in scan.step.wanted)

    def branching_at(self, t: int) -> Model:
        """Return the same with branches at time t, where that is random."""
        other = copy.copy(self)
        other.branch_time = float(t)
        other._build()
        return other

    def _build(self) -> None:
        by_stream: dict[int, dict[RolloutVariant, Any]] = {}
        for v, found in self.traced.rollouts.items():
            loop = self.traced.loops.get(v)
            for k in range(loop.size) if loop else [v.stream]:
                by_stream.setdefault(k, {})[v] = found
        self.chains: dict[int, Chain] = {}
        alike: dict[tuple[RolloutVariant, ...], Chain] = {}
        for stream, scans in sorted(by_stream.items()):
            key = tuple(scans)
            alike[key] = self.chains[stream] = alike.get(key) or Chain(self, scans)
        self.gradients = self._gradients()

    def constants(self, rows: Rows, variant: RolloutVariant = PLAIN) -> Values:
        """Return {input name: number} of what does not vary between trajectories; rows: {input name: value} of a time."""
        x, theta = self.inputs, self.theta
        if variant.shift:
            theta = theta + variant.shift * np.asarray(variant.width) * self._direction(variant.direction)
        values = self._numbers | ({} if self.branch_time is None else {"tau": self.branch_time})
        return values | dict(zip(x.theta_names, map(float, theta), strict=True)) | rows

    @functools.cached_property
    def _numbers(self) -> Values:
        x, traced = self.inputs, self.traced
        values = {k: float(traced.p[i]) for k, i in x.p_index.items()}
        return values | {k: float(traced.c[i]) for k, i in x.c_index.items()}

    def _direction(self, kind: str | int) -> Array:
        if isinstance(kind, str):
            assert self.direction is not None  # `_build` waits for one where it is random
            return self.direction if kind == "normal" else np.where(self.direction > 0, 1.0, -1.0)
        return (np.arange(self.parameters) == kind).astype(float)

    def rows(self, t: int) -> Rows:
        """Return {input name: number} of what differs from step to step, at time t."""
        return {k: float(self.table[t, i]) for k, i in self.inputs.row_index.items()}

    def all_rows(self) -> Rows:
        """Return {input name: number, or an array over the times 0, ..., T - 1 where it changes}."""
        columns = {k: self.table[:-1, i] for k, i in self.inputs.row_index.items()}
        return {k: float(y[0]) if (y == y[0]).all() else y for k, y in columns.items()}

    def _gradients(self) -> list[Poly]:
        traced, values = self.traced, self.constants({})
        if self.direction is not None:
            values |= dict(zip(self.inputs.direction_names, map(float, self.direction), strict=True))
        for v, (scan, _) in traced.rollouts.items():
            loop = traced.loops.get(v)
            names = [
                *scan.recurrences(),
                *(s.name(scan.suffix, j) for s in scan.scattered.slots.values() for j in range(len(s.positions))),
            ]
            starts = dict(zip(self.inputs.start_names(scan.suffix), self.inputs.z0_names, strict=True))
            kinds = _kinds(self.inputs.z0_names, self.problem.environment.initial_noises)
            if not loop:
                values |= {c: variable(f"{c}{AT}{v.stream}") for c in names}
                values |= {k: _signed(z, kinds[z], v.initial) for k, z in starts.items()}
                continue
            groups = [dict(zip(own, first, strict=True)) for own, first in zip(loop.names, loop.starts, strict=True)]
            for member in range(loop.size):
                own = {c: variable(f"{c}{AT}{member}") for c in names}
                for k, group in enumerate(loop.groups):
                    if member < group.size:
                        found = run(
                            loop.graph, loop.new[k], values | own | {x: y for g in groups for x, y in g.items()}
                        )
                        groups[k] = dict(zip(loop.names[k], found, strict=True))
            values |= {x: y for g in groups for x, y in g.items()}
        return [_polynomial(g) for g in run(traced.graph, traced.gradients, values)]


def _polynomial(x: Value) -> Poly:
    """Return a gradient as a polynomial in what is carried back."""
    if isinstance(x, Lost):
        raise NoClosedForm(
            f"no recursion: a gradient is no polynomial in what is carried back: {x.why}. Moments of a ratio, or of a root of "
            "a sum over a group (standardised returns, self-normalised weights), do not follow from those of its members"
        )
    return lift(x)


def _refuse(variant: RolloutVariant, scan: ReverseScan) -> None:
    """Raise NoClosedForm for rollouts that are no chain of finitely many states."""
    if variant.unroll:
        raise NoClosedForm(
            "no recursion: a direction of theta is drawn anew in blocks, and the sum of all so far weighs what follows: a "
            "state of as many numbers more as there are parameters"
        )
    if "branches" in scan.step.used and variant != PLAIN:
        raise ValueError("measure-valued derivatives of antithetic or perturbed rollouts are not supported")


def _kinds(names: Sequence[str], normals: int) -> dict[str, str]:
    return {k: NORMAL if i < normals else UNIFORM for i, k in enumerate(names)}


def _mirrored(z: Value, kind: str) -> Value:
    if isinstance(z, Poly):
        return plus(lift(0.0 if kind == NORMAL else 1.0), z, -1.0)
    return -z if kind == NORMAL else 1.0 - z


def _signed(name: str, kind: str, sign: int) -> Value:
    z = variable(name)
    return z if sign > 0 else _mirrored(z, kind)


def _scattered(name: str, carry: Carry, index: Value, share: Value) -> Value:
    """Return a sum in memory with what a step adds to its place."""
    if isinstance(index, (Poly, Lost)):
        return Lost("a table of theta is read at a place that is no state of the chain")
    hit = apply("==", [whole(index), float(carry.place)])
    added = apply("where", [hit, share, 0.0])
    return added if isinstance(added, Lost) else plus(variable(name), lift(added))
