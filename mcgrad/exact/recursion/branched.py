"""The recursion on a grid where rollouts branch off: moments up to the second, from functions of one state and of two.

With Z(x) the return of a rollout from a state x, V_a(s) what is carried back of the main one, and y_i where the branches of a
step go to, a step is (c = c(s, noise), s_next, x_next the next states)

    V_a(s) = sum_b c_ab V_b(s_next) + sum_i c_ai (r_i + Z'(y_i)),    Z(x) = r + Z'(x_next).

All that is needed of what comes later are the means of V and Z at a state, their covariances at one state, and

    K_a(s, x) = Cov(V_a(s), Z(x))

of rollouts on common noise, for the branches of the step before. Its own recursion needs no more than these:

    K_a(s, x) = Cov(mu_a(s), mu_Z(x)) + E[sum_b c_ab K'_b(s_next, x_next) + sum_i c_ai K'_Z(y_i, x_next)],

mu the means given the noise of the step. Branches of another world of noise are independent of the main rollout.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...compiler.emit import live_inputs, live_nodes
from ...compiler.trace import Graph, Tracer
from ..theory import NoClosedForm
from .branched_stage import SELF, BranchedFields, BranchedStage
from .branches import MAIN, OWN, PAID, Branch, in_main, is_of_one_world
from .chain import Chain
from .edges import edges, is_edge, outputs
from .laws import gauss
from .nodal import Nodal
from .nodal_stage import points_of
from .noise import tensor
from .ring import UNKNOWN, Array, Monomial, Pair, Rows, Values, lift, plus, run, variable
from .system import NumberTerms, System, coefficients, last_values, system


class Branched(Nodal):
    """The space of functions by their values at the nodes of a grid, and at pairs of these, see `Nodal`.

    Raises
    ------
    NoClosedForm
        For third and fourth moments, for products of what branches off with what is carried, and for kinks.
    """

    def __init__(self, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair], mesh: Any, rule: Any) -> None:
        self.worlds = {x.paid: x.world for x in chain.branches.all}
        _refuse_kinks(chain)
        super().__init__(chain, [*first, SELF], [*pairs, (SELF, SELF)], mesh, rule)
        seen = live_inputs(chain.of[0].step.graph, [chain.of[0].step.reward])
        self.apart = {name: x for name, x in self.apart.items() if name not in seen}
        self._made: list[BranchedStage] = []

    def _closed(self, first: Iterable[Monomial], pairs: Sequence[Pair]) -> System:
        """Return what is needed of the main rollout; of which `crossed` with a second one."""
        new = self._unknown_step() | {OWN: plus(lift(UNKNOWN), variable(OWN))} | {x: variable(x) for x in self.worlds}
        terms, all_pairs = system(first, pairs, new, {*self.chain.carries, *new})
        if any(len(a) > 1 and any(PAID in x for x in a) for a in terms):
            raise NoClosedForm(
                "no recursion: products of the returns of rollouts that branch off, or of such a return with what is carried "
                "(third and fourth moments, say), take the law of three rollouts and more on common noise"
            )
        branches: dict[Monomial, str] = {(x,): world for x, world in self.worlds.items()}
        main = {a: row for a, row in terms.items() if a not in branches}
        crossed = {a for x in all_pairs for a, b in (x, x[::-1]) if a in main and branches.get(b) == MAIN}
        same = any(a != b and branches[a] == branches[b] for a, b in all_pairs if a in branches and b in branches)
        if same or any(branches.get(b) == MAIN for a in crossed for b in main[a]):
            crossed.add(SELF)
        self.crossed = sorted(crossed)
        return System(main, [x for x in all_pairs if x[0] in main and x[1] in main])

    def size(self) -> tuple[int, int]:
        """Return how many numbers the matrices of a step hold, and about how many operations it takes."""
        memory, operations = super().size()
        K, width, Q = len(self.mesh.nodes), self.mesh.width, self._noise_nodes
        of_branches = sum(K * width * self.rule.count ** len(self._sees(x)) for x in self.chain.branches.all)
        crossed = K * K * Q * width * (1 + len(self.worlds) + len(self.crossed)) * bool(self.crossed)
        return memory + of_branches + len(self.crossed) * K * K, operations + of_branches * (
            1 + len(self.worlds)
        ) + 2 * crossed

    def last(self) -> BranchedFields:  # type: ignore[override]
        """Return the fields after the last step, see `BranchedFields`."""
        chain, K, rows = self.chain, len(self.mesh.nodes), self.chain.model.rows(self.horizon)
        state = self._state(slice(None))
        end = chain.inputs.end(graph := Graph())
        (reward,) = run(graph, [end.reward], chain.values(0, rows, state, {}))
        values = last_values(self.keys, chain.last(rows, state, self.wanted) | {OWN: reward})
        columns = [np.broadcast_to(x.get((), 0.0), (K, 1))[:, 0] for x in values.values()]
        crossed = np.zeros((len(self.crossed), K, K))
        return np.stack(columns, axis=1), np.zeros((K, len(self.system.pairs))), np.zeros(K), crossed

    def back(self, t: int, fields: BranchedFields) -> BranchedFields:  # type: ignore[override]
        """Return the fields before step t, given those after it."""
        rows = self.chain.model.rows(t)
        if not self._made or rows != self._rows:
            self._rows, self._now = rows, (self._terms_now(rows), self._rewards(rows))
        if not self._made:
            self._made = [*(self._moved_by(*x) for x in self.apart.items()), self._step(rows)]
        *blurs, step = self._made
        for stage in blurs:
            fields = stage(fields, {a: {a: 1.0} for a in self.keys})
        return step(fields, *self._now)

    def start(self, fields: BranchedFields, outputs: Any, pairs: Sequence[Pair]) -> Any:  # type: ignore[override]
        """Return {output: mean}, {pair: covariance}, see `Nodal.start`."""
        return super().start(fields[:3], outputs, pairs)

    # ---- noise

    @functools.cached_property
    def _parts(self) -> tuple[list[str], list[str], dict[str, list[str]]]:
        """Return the names of the noise of a step: outer, inner, and those apart in each world (see `branched_stage`)."""
        chain, branches = self.chain, self.chain.branches
        outer = {x for x in chain.noises() if x not in branches.noises}
        for x in branches.all:
            outer |= branches.reads(x) if x.world == MAIN else set()
        outer |= branches.sources(live_inputs(chain.of[0].step.graph, self._outputs)) & set(chain.noises())
        left = [x for x in chain.noises() if x not in outer and in_main(x) not in self.apart]
        apart = {x.world: [y for y in left if y in branches.reads(x) and is_of_one_world(y)] for x in branches.all}
        inner = [x for x in left if not is_of_one_world(x)]
        return sorted(outer - set(self.apart)), inner, apart

    @property
    def _outputs(self) -> list[Any]:
        return [y for c in self.wanted for y in outputs(self.chain.carries[c])]

    @functools.cached_property
    def _noise_nodes(self) -> int:
        return self.rule.count ** len(self._parts[0])

    def _sees(self, x: Branch) -> list[str]:
        """Return the noises over which a branch varies at a node."""
        outer, inner, apart = self._parts
        alone = x.world != MAIN and not self.chain.branches.reads(x) & set(outer)
        return [*(() if alone else outer), *(() if x.world == MAIN else inner), *apart[x.world]]

    def _nodes(self, names: Sequence[str]) -> tuple[dict[str, Array], Array]:
        kinds = self.chain.noises()
        noise, weights = tensor(names, lambda name: gauss(kinds[name], self.rule.count))
        return {k: x[0] for k, x in noise.items()}, weights[0]

    @functools.cached_property
    def _outer(self) -> tuple[dict[str, Array], Array]:
        """Return {name: (1, Q)} of what the main rollout draws, and its weights; what moves states along is zero."""
        noise, weights = self._nodes(self._parts[0])
        return {k: x[None] for k, x in noise.items()} | dict.fromkeys(self.apart, np.zeros((1, 1))), weights

    def _of_branch(self, x: Branch) -> tuple[Values, tuple[int, ...]]:
        """Return what the graph of a branch reads at time t = 0 but for rows, and the shape that it has."""
        outer, inner, apart = self._parts
        parts = [self._outer[0], self._nodes(inner)[0], self._nodes(apart[x.world])[0]]
        if x.world == MAIN:
            parts[1:] = [{}, {}]
        noise = {k: y.reshape(1, -1, 1, 1) for k, y in parts[0].items()}
        noise |= {k: y.reshape(1, 1, -1, 1) for k, y in parts[1].items()}
        noise |= {k: y.reshape(1, 1, 1, -1) for k, y in parts[2].items()}
        noise |= {k: np.zeros((1, 1, 1, 1)) for k in self.chain.noises() if in_main(k) in self.apart}
        sizes = [self.rule.count ** len(y) for y in (outer, inner, apart[x.world])]
        if x.world == MAIN:
            sizes[1:] = [1, 1]
        elif not self.chain.branches.reads(x) & set(outer):
            sizes[0] = 1
        return noise, (len(self.mesh.nodes), *sizes)

    # ---- stages

    def _step(self, rows: Rows) -> BranchedStage:
        noise, weights = self._outer
        state, inner, apart = self._state(slice(None)), self._parts[1], self._parts[2]
        points = points_of(self.chain.next_states(rows, state, noise), len(self.mesh.nodes), len(weights))
        found = {}
        for x in self.chain.branches.all:
            noise, shape = self._of_branch(x)
            s_next = run(x.graph, x.s_next, self._values(rows, noise))
            found[x.paid] = np.stack([np.broadcast_to(y, shape) for y in s_next], axis=-1)
        widest = max(apart.values(), key=len)
        return BranchedStage(self, (weights, self._nodes(inner)[1], self._nodes(widest)[1]), points, found)

    def _values(self, rows: Rows, noise: Values) -> Values:
        return self.chain.values(0, rows, [x[:, :, None, None] for x in self._state(slice(None))], noise)

    def _rewards(self, rows: Rows) -> dict[Monomial, Array]:
        """Return the rewards of the branches."""
        found: dict[Monomial, Array] = {}
        for x in self.chain.branches.all:
            noise, shape = self._of_branch(x)
            found[(x.paid,)] = np.broadcast_to(run(x.graph, [x.reward], self._values(rows, noise))[0], shape)
        return found

    def _moved_by(self, name: str, direction: Array) -> BranchedStage:
        """Return the stage in which one normal moves the states along a direction, and nothing else."""
        x, w = gauss(self.chain.noises()[name], self.rule.count)
        points = self.mesh.nodes[:, None, :] + x[None, :, None] * direction
        return BranchedStage(self, (w, np.ones(1), np.ones(1)), points.reshape(-1, self.chain.states))

    def _terms_now(self, rows: Rows) -> NumberTerms:
        """Return {a: {b: c_ab}} at the nodes."""
        chain, (noise, _), state = self.chain, self._outer, self._state(slice(None))
        noise = noise | {k: np.zeros((1, 1)) for k in chain.noises() if k not in noise}
        scan = chain.of[0]
        (reward,) = run(scan.step.graph, [scan.step.reward], chain.values(0, rows, state, noise))
        new = chain.step(rows, state, noise, self.wanted) | {OWN: plus(lift(reward), variable(OWN))}
        found = coefficients(self.keys, new, {*chain.carries, OWN, *self.worlds})
        return {a: {b: c.get((), 0.0) for b, c in row.items()} for a, row in found.items()}


def _refuse_kinks(chain: Chain) -> None:
    """Raise where something kinks or jumps on the way of a branch: nobody looks for such places there."""
    graphs = [(x.graph, [*x.s_next, x.reward]) for x in chain.branches.all]
    scan = chain.of[0]
    end = chain.inputs.end(graph := Graph())
    graphs += [(scan.step.graph, [*scan.step.s_next, scan.step.reward]), (graph, [end.reward])]
    varying = {*chain.noises(), *chain.branches.products, *chain.inputs.s_names}
    for graph, roots in graphs:
        for i in live_nodes(graph, roots):
            operation, arguments = graph.nodes[i]
            read = live_inputs(graph, [x for x in arguments if isinstance(x, Tracer)]) if is_edge(operation) else set()
            if read & varying:
                raise NoClosedForm(
                    f"no recursion: rollouts branch off where something kinks or jumps ({operation}), which grids do not "
                    "follow on the way of a branch"
                )
    if edges(chain, list(chain.carries)):
        raise NoClosedForm("no recursion: rollouts branch off, and what is carried back kinks or jumps")
