"""All estimators of a program as one reverse scan with one carry."""

import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..calls import attempt, number
from ..compiler.backends import Function
from ..compiler.derive import LookedUp
from ..compiler.emit import function_text, live_inputs, live_nodes
from ..compiler.functions import where
from ..compiler.trace import Graph, Number, Numbers, TraceError, Tracer, is_number, same
from ..estimators.estimator import BehaviourPolicy, Estimator
from ..estimators.followed import Followed, count
from ..estimators.reparameterization import Reparameterization
from ..problem import Problem
from ..validate import describe
from .branches import Branching
from .carry_names import Structure, distinct, leaf_names, snake, sum_names, word
from .flat import note_flat
from .inputs import Inputs, Tree
from .scatter_add import Scattered
from .step_view import Step
from .trees import fill, flatten, flatten_sums, over_cotangents

Identity: TypeAlias = tuple[str, float]  # of a number: two that are equal have the same

# What costs more than to write a number to memory and to read it again.
COSTLY = {"sin", "cos", "tan", "exp", "expm1", "log", "log1p", "tanh", "arctan2", "power", "sqrt", "/", "lookup"}


class Recurrence(NamedTuple):
    """One component of a carry: its value after the last step, and its new value in terms of the later carry."""

    last_graph: Graph
    initial: object
    graph: Graph
    new: object


class ReverseScan:
    """Estimators that scan the same rollout, as one reverse scan with one carry.

    Two components of the carry are the same if they start equal and stay equal. That is decided as in optimistic value
    numbering (Alpern, Wegman and Zadeck, 1988): suppose that all which start equal are equal, trace a step, split those
    that become different, and repeat until nothing splits. So the return to go, the adjoint and the pulled-back scores are
    computed once, however many estimators use them.

    Parameters
    ----------
    problem : Problem
    inputs : Inputs
    estimators : list of (Estimator, tree of names)
        Each with its data.
    suffix : str
        Tells the names of this scan from those of others in the same kernel.
    behaviour : BehaviourPolicy, optional
        What acts, where it is not the problem's policy.
    """

    def __init__(
        self,
        problem: Problem,
        inputs: Inputs,
        estimators: Sequence[tuple[Estimator, Tree]],
        suffix: str = "",
        behaviour: BehaviourPolicy | None = None,
    ) -> None:
        self.problem, self.inputs, self.suffix, self.behaviour = problem, inputs, suffix, behaviour
        self._final: dict[int, str] = {}
        estimators, self.trees = zip(*estimators, strict=True)
        self.moves = bool(inputs.functions_of_eta or problem.environment.reward_sees or problem.design)
        self.estimators = [self._followed(e, tree) for e, tree in zip(estimators, self.trees, strict=True)]
        last_graph, initial = self._trace_last()
        self.classes = _number_classes([_identity(x) for x in initial])
        self.fixed: dict[int, Number] = {}  # class -> the number that it is
        while True:
            graph, values = self._trace_step()
            if len(initial) < len(values):  # the first pass shows how many pulled-back sums there are
                new = len(values) - len(initial)
                initial += [0.0] * new
                # Sums all start at zero; they are told apart by what they add.
                self.classes = _number_classes([*self.classes, *(("sum", _identity(x)) for x in values[-new:])])
                continue
            refined = _number_classes([(k, _identity(x)) for k, x in zip(self.classes, values, strict=True)])
            constant = {
                k: x
                for k, x, new in zip(self.classes, initial, values, strict=True)
                if k not in self.fixed and is_number(x) and _identity(new) in (_identity(x), self._old(graph, k))
            }
            if refined == self.classes and not constant:
                break
            self.classes, self.fixed = (refined, {}) if refined != self.classes else (refined, self.fixed | constant)
        self._last_graph, self._graph, self._initial, self._values = last_graph, graph, initial, values

    def _old(self, graph: Graph, k: int) -> Identity:
        return _identity(graph.input(self._name(k)))

    def _name(self, k: int) -> str:
        return self._final.get(k, f"carry{self.suffix}_{k}")

    def recurrences(self) -> dict[str, Recurrence]:
        """Return {name: Recurrence} of all components of the carry that differ, sums in memory apart (`scattered`)."""
        found: dict[str, Recurrence] = {}
        for c, start, new in zip(self.classes, self._initial, self._values, strict=True):
            if c not in self.fixed:
                found.setdefault(self._name(c), Recurrence(self._last_graph, start, self._graph, new))
        return found

    def _take(self, graph: Graph) -> Callable[[], Number]:
        """Return a function that returns the components of the carry one after the other, constants as numbers."""
        carries = iter([self.fixed[k] if k in self.fixed else graph.input(self._name(k)) for k in self.classes])
        return lambda: next(carries)

    # ---- tracing

    def _followed(self, e: Estimator, tree: Tree) -> Estimator:
        """Return an estimator, with its derivatives along paths where these are not zero (see `estimators.followed`)."""
        if e.cotangents is not None:
            return self._with_path(e, e.cotangents)
        if not self.moves:
            return e
        graph = Graph()
        x, data = self.inputs.step(graph, behaviour=self.behaviour), self.inputs.data(graph, tree)
        start, _ = flatten(attempt(_what("last", e), e.last, (data, self.inputs.end(graph))))
        names = (graph.input(f"carry{self.suffix}_{k}") for k in itertools.count())
        result = attempt(_what("step", e), e.step, (data, x, fill(start, lambda: next(names))))
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], (tuple, list, np.ndarray)):
            return e  # an error, which is raised when it is traced in earnest
        if e.follows(x.used):
            return self._with_path(e, count(result[1]))
        if x.used and self.moves:
            _refuse(e, x)
        return e

    def _with_path(self, e: Estimator, cotangents: int) -> Followed:
        note_flat(self.inputs, scored=not isinstance(e, Reparameterization))
        return Followed(e, cotangents)

    def _trace_last(self) -> tuple[Graph, list[Number]]:
        graph = Graph()
        end = self.inputs.end(graph)
        flat = [
            flatten(attempt(_what("last", e), e.last, (self.inputs.data(graph, tree), end))) for e, tree in self._each()
        ]
        self.structures = [structure for structure, _ in flat]
        return graph, [x for _, leaves in flat for x in leaves]

    def _trace_step(self) -> tuple[Graph, list[Number]]:
        """Return the graph of one step and, for each component of the carry, its new value."""
        graph = Graph()
        self.step = x = self.inputs.step(graph, behaviour=self.behaviour)
        take = self._take(graph)
        values, self.sums, contributions = [], [], []
        self.scattered = Scattered(len(self.inputs.theta_names), self.suffix)
        for (e, tree), structure in zip(self._each(), self.structures, strict=True):
            name = _name_of(e)
            carry = fill(structure, take)
            result = attempt(_what("step", e), e.step, (self.inputs.data(graph, tree), x, carry))
            if not isinstance(result, tuple) or len(result) != 2:
                raise TraceError(f"step of {name}: expected (carry, etabar), got {describe(result)}")
            new_structure, leaves = flatten(result[0])
            if new_structure != structure:
                raise TraceError(f"step of {name}: it returned a carry of another shape than it took")
            old = flatten(carry)[1]
            values += [where(x.alive, new, kept) for new, kept in zip(leaves, old, strict=True)]
            pull = functools.partial(self._pull, x, name=name)
            sums, added = flatten_sums(over_cotangents(result[1], pull))
            self.sums.append(sums)
            contributions += [where(x.alive, number(y), 0.0) for y in added]
        known = len(self.classes) > len(values)
        return graph, values + [_sum(take(), y) if known else y for y in contributions]

    def _pull(self, x: Step, etabar: Numbers, name: str) -> Numbers:
        if len(etabar) != len(x.eta):
            raise TraceError(
                f"step of {name}: expected a cotangent of {len(x.eta)} numbers, like eta, got {len(etabar)}"
            )
        looked_up: list[LookedUp] = []
        pulled = x.theta_vjp(tuple(number(bar, f"etabar of {name}") for bar in etabar), looked_up)
        self.scattered.add(x.graph, looked_up, x.alive)
        return pulled

    def finish(self, graph: Graph) -> list[Numbers]:
        """Return what each estimator makes of the carry at the beginning of the trajectory, traced in a graph."""
        take = self._take(graph)
        carries = [fill(structure, take) for structure in self.structures]
        take = self.scattered.taken(graph, take)
        results = []
        for (e, tree), carry, sums in zip(self._each(), carries, self.sums, strict=True):
            what = _what("finish", e)
            c = self.inputs.data(graph, tree, per_step=False)
            start = (self.inputs.start(graph, self.inputs.start_names(self.suffix)),) if isinstance(e, Followed) else ()
            result = attempt(what, e.finish, (c, fill(sums, take), carry, *start))
            if not isinstance(result, (tuple, list)):
                raise TraceError(f"{what}: expected a tuple of numbers, got {describe(result)}")
            results.append(tuple(number(x, what) for x in result))
        return results

    def _each(self) -> Iterator[tuple[Estimator, Tree]]:
        return zip(self.estimators, self.trees, strict=True)

    # ---- writing

    def write(self, finish_graph: Graph, gradients: Sequence[Number], first_total: int = 0) -> None:
        """Keep what the gradients depend on, directly or through earlier steps, and write `last` and `backward`.

        Sums in memory lie from place `first_total` on.
        """
        graph, values = self._graph, self._values
        first = {k: self.classes.index(k) for k in set(self.classes)}
        self.scattered.choose(finish_graph, gradients, first_total)
        wanted, waiting = set(), self._carries(finish_graph, gradients) | self._carries(graph, self.scattered.outputs)
        while waiting:
            k = waiting.pop()
            if k not in wanted:
                wanted.add(k)
                waiting |= self._carries(graph, [values[first[k]]])
        order = sorted(wanted)
        self.names = [self._name(k) for k in order]
        new = [values[first[k]] for k in order] + self.scattered.outputs
        self.known = self._known(graph, new)
        given = {index: f"known{k}" for k, index in enumerate(self.known)}
        reads = live_inputs(graph, new, given)
        inputs, arguments = self.inputs, self.inputs.arguments
        kinds = [x for x in dict.fromkeys(self.step.wanted) if not reads.isdisjoint(x.differences)]
        reads |= set(inputs.s_names) if any(not x.once for x in kinds) else set()  # where branches start
        self.kept = [x for x in inputs.s_names + inputs.e_names + inputs.w_names if x in reads]
        start = [self._initial[first[k]] for k in order]
        last_arguments, step_arguments = arguments("theta", "p", "c", "row", "s"), arguments("theta", "p", "c", "row")
        step_arguments |= {"kept": self.kept + list(given.values()), "carry": self.names}
        self.branching = Branching(self.problem, inputs, kinds, reads, self.kept)
        step_arguments |= self.branching.arguments
        if not reads.isdisjoint(inputs.direction_names):
            step_arguments["z_block"] = inputs.direction_names
        self.extra = list(step_arguments)[6:]  # what `backward` takes after the carry
        new_names = [f"{x}_new" for x in self.names]
        backward = f"backward{self.suffix}"
        self.texts = [
            function_text(f"last{self.suffix}", last_arguments, self._last_graph, start, self.names),
            function_text(backward, step_arguments, graph, new, new_names, given, self.step.aliases),
        ]
        self.functions: list[Function] = [
            (f"last{self.suffix}", 5, len(order)),
            (backward, len(step_arguments), len(new)),
        ]
        texts, functions = self.scattered.texts(len(order))
        self.texts += texts
        self.functions += functions

    def _carries(self, graph: Graph, outputs: Sequence[Number]) -> set[int]:
        numbers = {name: k for k, name in self._final.items()}
        return {numbers[x] for x in live_inputs(graph, outputs) if x in numbers}

    def name_carry(self, finish_graph: Graph) -> None:
        """Give names that a reader knows to the components of the carry, in all graphs; what is shared is the first one's."""
        parameters = [word(x) for x in self.problem.parameters]
        names = [x for e, tree in zip(self.estimators, self.structures, strict=True) for x in _carry_names(e, tree)]
        for e, tree in zip(self.estimators, self.sums, strict=True):
            names += sum_names(tree, f"sum_{_short(e)}_", parameters)
        wanted: dict[int, str] = {}
        for k, name in zip(self.classes, names, strict=True):
            wanted.setdefault(k, name)
        final = distinct(wanted, self.inputs.taken, self.suffix)
        for graph in (self._graph, finish_graph):
            graph.rename({self._name(k): name for k, name in final.items()})
        self._final = final

    def _known(self, graph: Graph, new: Sequence[Number]) -> list[int]:
        """Return the nodes that are cheaper to keep than to compute again on the way back.

        They are costly functions of the state and the noise that the simulation has to evaluate, too.
        """
        inputs = self.inputs
        varying = set(inputs.s_names + inputs.e_names + inputs.w_names)
        candidates = set()
        for index in live_nodes(graph, self.step.s_next):
            node = Tracer(graph, index)
            if graph.nodes[index][0] in COSTLY and varying & live_inputs(graph, [node]):
                candidates.add(index)
        return [index for index in live_nodes(graph, new, candidates) if index in candidates]


def _sum(total: Number, y: Number) -> Number:
    """Return total + y; where y is zero but for a condition, the sum is formed under it: one masked instruction."""
    operation, arguments = y.graph.nodes[y.index] if isinstance(y, Tracer) else ("", ())
    if operation == "where" and same(arguments[2], 0.0):
        return where(arguments[0], total + arguments[1], total)
    return total + y


def _name_of(estimator: Estimator) -> str:
    return type(getattr(estimator, "inner", estimator)).__name__


def _carry_names(estimator: Estimator, structure: Structure) -> list[str]:
    """Return a name for each leaf of an estimator's carry."""
    if not isinstance(estimator, Followed):
        return leaf_names(structure, estimator.carries, snake(_name_of(estimator)))
    assert structure is not None
    inner, adjoints = structure
    assert adjoints is not None
    names = ["adjoint", *(f"adjoint_of_cotangent{k}_" for k in range(len(adjoints) - 1))]
    return _carry_names(estimator.inner, inner) + leaf_names(adjoints, names, "adjoint")


def _short(estimator: Estimator) -> str:
    name = snake(_name_of(estimator))
    return "pathwise" if name == "reparameterization" else name


def _what(method: str, estimator: Estimator) -> str:
    return f"{method} of {_name_of(estimator)}"


def _refuse(estimator: Estimator, x: Step) -> None:
    """Raise where an estimator's own derivatives, or a score that it weighs after the pull-back, would miss a part."""
    environment, fixed = x.problem.environment, sorted(x.fixed)
    if x.problem.design:
        what = f"the design parameters {', '.join(x.problem.design)} move the trajectory"
    elif environment.reward_sees:
        what = f"the reward of {environment.name} sees {' and '.join(environment.reward_sees)}"
    else:
        what = f"component {fixed[0]} of the action of {x.problem.policy.name} is a function of eta alone"
    if "path" in x.used and "theta" not in x.used and not x.problem.design:
        return  # it follows the action itself
    raise ValueError(
        f"{_name_of(estimator)}: expected a problem whose theta acts through densities alone, but {what}, and its derivative "
        "would be missing here; use mcgrad.estimators.reward_to_go(), reparameterization() or computation_graph()"
    )


def _identity(x: Number) -> Identity:
    return ("node", x.index) if isinstance(x, Tracer) else ("number", float(x))


def _number_classes(keys: Iterable[Hashable]) -> list[int]:
    """Return, for each key, the number of its class in the order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]
