"""A problem and its estimators as graphs: traced, before anything is written."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..calls import number
from ..compiler.trace import Graph, Number, TraceError
from ..estimators.estimator import Combined, Estimator, Members, RolloutVariant, leaves, scans
from ..problem import Problem
from ..validate import describe
from .inputs import Inputs, Tree
from .members import MembersLoop
from .memo import key_of, remembered_graphs
from .numbers import Data, arrays, variations
from .reverse_scan import ReverseScan
from .step_view import Start
from .support import Support

Rollouts: TypeAlias = dict[RolloutVariant, tuple[ReverseScan, list[int]]]


class Traced(NamedTuple):
    """A problem and its estimators as graphs, before anything is written: what a kernel and the exact recursion read.

    Attributes
    ----------
    theta : (P,) array
    p, c, rows : arrays
        The numbers that its inputs stand for, as of `Program`.
    inputs : Inputs
    rollouts : dict
        RolloutVariant -> (ReverseScan, numbers of its estimators).
    loops : dict
        RolloutVariant -> MembersLoop, of those that are members of groups.
    graph : Graph
        Of what is made of the carries at the beginning of the trajectories.
    gradients : list
        The P components of each estimator, one after the other, in that graph.
    supports : tuple of Support
        What was asked of the policy.
    start : Start
        The start of a trajectory, in a graph of its own.
    """

    theta: np.ndarray
    p: np.ndarray
    c: np.ndarray
    rows: np.ndarray
    inputs: Inputs
    rollouts: dict
    loops: dict
    graph: Graph
    gradients: list
    supports: tuple
    start: Start

    @property
    def follows(self) -> bool:
        """Whether jumps of the environment would spoil it."""
        return any(scan.step.followed for scan, _ in self.rollouts.values())


def traced(
    problem: Problem, theta: NDArray[np.float64], estimators: Mapping[str, Estimator], data: Data | None = None
) -> Traced:
    """Return named estimators of a problem as graphs; a score where there is no density is refused."""
    theta = checked(problem, theta)
    data = data_of(problem, theta, estimators) if data is None else data
    inputs = Inputs(problem, data)
    rollouts = _rollouts(problem, inputs, estimators)
    graph = Graph()
    loops = _loops(inputs, estimators, rollouts)
    gradients = _combined(problem, inputs, estimators, rollouts, loops, graph)
    p, c, rows = arrays(problem, data, inputs.sources, list(rollouts))
    splits = sorted({split for scan, _ in rollouts.values() for split in scan.step.splits}, key=sorted)
    supports = tuple(Support(inputs, split) for split in splits)
    for support in supports:
        support.check(problem.policy, theta, p, rows)
    return Traced(theta, p, c, rows, inputs, rollouts, loops, graph, gradients, supports, inputs.start(Graph()))


def remembered_trace(problem: Problem, theta: NDArray[np.float64], estimators: Mapping[str, Estimator]) -> Traced:
    """Return what `traced` returns, with the graphs of a problem and estimators of the same structure where there are some."""
    theta = checked(problem, theta)
    data, varied = data_of(problem, theta, estimators), variations(estimators.values())
    key = key_of("graphs", problem, estimators.values(), data.structure, data.shared(problem, varied))
    found = remembered_graphs(key, lambda: traced(problem, theta, estimators, data))
    p, c, rows = arrays(problem, data, found.inputs.sources, varied)
    for support in found.supports:
        support.check(problem.policy, theta, p, rows)
    now = dict(zip(found.rollouts, varied, strict=True))  # widths of perturbations are numbers
    rollouts, loops = ({now[v]: x for v, x in old.items()} for old in (found.rollouts, found.loops))
    return found._replace(theta=theta, p=p, c=c, rows=rows, rollouts=rollouts, loops=loops)


def data_of(problem: Problem, theta: NDArray[np.float64], estimators: Mapping[str, Estimator]) -> Data:
    """Return the data of estimators, which are checked to be some."""
    for e in estimators.values():
        if not isinstance(e, Estimator):
            raise ValueError(f"estimators: expected estimators, got {describe(e)}")
    return Data(problem, [e.data(problem, theta) for e in estimators.values()])


def _rollouts(problem: Problem, inputs: Inputs, estimators: Mapping[str, Estimator]) -> Rollouts:
    """Return {variation: (ReverseScan, numbers of its estimators)}; the numbers count all scans of all estimators."""
    grouped: dict[RolloutVariant, list[tuple[Estimator, int]]] = {}
    number_of_scan = 0
    for e in estimators.values():
        for scan, variation in scans(e):
            grouped.setdefault(variation, []).append((scan, number_of_scan))
            number_of_scan += 1
    found = [leaf for e in estimators.values() for leaf, _ in leaves(e)]
    trees = [t for e, tree in zip(estimators.values(), inputs.estimator_c, strict=True) for t in _leaf_trees(e, tree)]
    trees = [tree["part"] if isinstance(leaf, Members) else tree for leaf, tree in zip(found, trees, strict=True)]
    result = {}
    for k, (variation, members) in enumerate(grouped.items()):
        pairs = [(scan, trees[n]) for scan, n in members]
        scan = ReverseScan(problem, inputs, pairs, f"_v{k}" if k else "", variation.behaviour)
        result[variation] = (scan, [n for _, n in members])
    return result


def _loops(
    inputs: Inputs, estimators: Mapping[str, Estimator], rollouts: Rollouts
) -> dict[RolloutVariant, MembersLoop]:
    """Return {variation: MembersLoop} for the rollouts that are those of groups."""
    found = [leaf for e in estimators.values() for leaf, _ in leaves(e)]
    trees = [t for e, tree in zip(estimators.values(), inputs.estimator_c, strict=True) for t in _leaf_trees(e, tree)]

    def members(n: int) -> Members:
        leaf = found[n]
        assert isinstance(leaf, Members)
        return leaf

    return {
        variation: MembersLoop(inputs, scan, [(members(n), trees[n]) for n in numbers])
        for variation, (scan, numbers) in rollouts.items()
        if variation.members
    }


def _leaf_trees(estimator: Estimator, tree: Tree) -> list[Tree]:
    """Return the data of each leaf of an estimator, in the order of `leaves`."""
    if not isinstance(estimator, Combined):
        return [tree]
    return [t for i, part in enumerate(estimator.parts) for t in _leaf_trees(part, tree[f"part{i}"])]


def _combined(
    problem: Problem,
    inputs: Inputs,
    estimators: Mapping[str, Estimator],
    rollouts: Rollouts,
    loops: dict[RolloutVariant, MembersLoop],
    graph: Graph,
) -> list[Number]:
    """Return the P components of each estimator, one after the other, traced in the graph of `finish`."""
    finished: dict[int, Any] = {}
    for variation, (scan, members) in rollouts.items():
        loop = loops.get(variation)
        found = [loop.carry(graph, k) for k in range(len(members))] if loop else scan.finish(graph)
        finished |= dict(zip(members, found, strict=True))
    results = iter([finished[n] for n in sorted(finished)])

    def direction(kind: Any) -> Any:
        normal = inputs.many(graph, inputs.direction_names)
        return inputs.perturbation(kind, normal)

    def value(e: Estimator, tree: Tree) -> Any:
        if isinstance(e, Members):
            return e.result(inputs.data(graph, tree, per_step=False), next(results))
        if not isinstance(e, Combined):
            return next(results)
        parts = [value(part, tree[f"part{i}"]) for i, part in enumerate(e.parts)]
        return e.combine(inputs.data(graph, tree, per_step=False), parts, direction)

    P = len(problem.parameters)
    gradients: list[Number] = []
    for e, tree in zip(estimators.values(), inputs.estimator_c, strict=True):
        gradient = value(e, tree)
        if len(gradient) != P:
            raise TraceError(
                f"finish of {type(e).__name__}: expected {P} numbers, one for each parameter, got {len(gradient)}"
            )
        gradients += map(number, gradient)
    return gradients


def checked(problem: object, theta: ArrayLike) -> NDArray[np.float64]:
    """Return theta as an array for a problem, both checked."""
    if not isinstance(problem, Problem):
        raise ValueError(f"problem: expected a Problem, got {describe(problem)}")
    return problem.theta(theta)
