"""All estimators of a program as one reverse scan with one carry."""

import numpy as np

from .compiler.emit import function_text, live_inputs, live_nodes
from .compiler.trace import Graph, TraceError, Tracer, is_number
from .estimators.estimator import Estimator
from .scan import number
from .validate import describe


# What costs more than to write a number to memory and to read it again.
COSTLY = {"sin", "cos", "tan", "exp", "expm1", "log", "log1p", "tanh", "arctan2", "power", "sqrt", "/"}


class ReverseScan:
    """All estimators as one reverse scan with one carry.

    Two components of the carry are the same if they start equal and stay equal. That is decided as in optimistic value
    numbering (Alpern, Wegman and Zadeck, 1988): suppose that all which start equal are equal, trace a step, split those
    that become different, and repeat until nothing splits. So the return to go, the adjoint and the pulled-back scores are
    computed once, however many estimators use them.
    """

    def __init__(self, problem, inputs, estimators):
        self.problem, self.inputs, self.estimators = problem, inputs, estimators
        for e in estimators:
            if not isinstance(e, Estimator):
                raise ValueError(f"estimators: expected estimators, got {describe(e)}")
        last_graph, initial = self._trace_last()
        self.classes, self.fixed = _number_classes([_identity(x) for x in initial]), {}
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
        finish_graph, gradients = self._trace_finish()
        self._write(last_graph, graph, finish_graph, initial, values, gradients)

    def _old(self, graph, k):
        return _identity(graph.input(f"carry{k}"))

    def _take(self, graph):
        """Return a function that returns the components of the carry one after the other, constants as numbers."""
        carries = iter([self.fixed[k] if k in self.fixed else graph.input(f"carry{k}") for k in self.classes])
        return lambda: next(carries)

    # ---- tracing

    def _trace_last(self):
        graph = Graph()
        end = self.inputs.end(graph)
        flat = [_flatten(e.last(self.inputs.estimator(graph, k), end)) for k, e in enumerate(self.estimators)]
        self.structures = [structure for structure, _ in flat]
        return graph, [x for _, leaves in flat for x in leaves]

    def _trace_step(self):
        """Return the graph of one step and, for each component of the carry, its new value."""
        graph = Graph()
        self.step = x = self.inputs.step(graph)
        take = self._take(graph)
        values, self.sums, contributions = [], [], []
        for k, (e, structure) in enumerate(zip(self.estimators, self.structures, strict=True)):
            name = type(e).__name__
            result = e.step(self.inputs.estimator(graph, k), x, _fill(structure, take))
            if not isinstance(result, tuple) or len(result) != 2:
                raise TraceError(f"step of {name}: expected (carry, etabar), got {describe(result)}")
            new_structure, leaves = _flatten(result[0])
            if new_structure != structure:
                raise TraceError(f"step of {name}: it returned a carry of another shape than it took")
            values += leaves
            sums, added = _flatten_sums(_over_cotangents(result[1], lambda bar, name=name: self._pull(x, bar, name)))
            self.sums.append(sums)
            contributions += added
        known = len(self.classes) > len(values)
        return graph, values + [take() + number(y) if known else number(y) for y in contributions]

    def _pull(self, x, etabar, name):
        if len(etabar) != len(x.eta):
            raise TraceError(
                f"step of {name}: expected a cotangent of {len(x.eta)} numbers, like eta, got {len(etabar)}"
            )
        return x.theta_vjp(tuple(map(number, etabar)))

    def _trace_finish(self):
        graph = Graph()
        take = self._take(graph)
        carries = [_fill(structure, take) for structure in self.structures]
        gradients, P = [], len(self.problem.parameters)
        for k, (e, carry, sums) in enumerate(zip(self.estimators, carries, self.sums, strict=True)):
            c = self.inputs.estimator(graph, k, per_step=False)
            result = e.finish(c, _fill(sums, take), carry)
            if not isinstance(result, (tuple, list)) or len(result) != P:
                raise TraceError(f"finish of {type(e).__name__}: expected {P} numbers, one for each parameter")
            gradients += map(number, result)
        return graph, gradients

    # ---- writing

    def _write(self, last_graph, graph, finish_graph, initial, values, gradients):
        """Keep what the gradients depend on, directly or through earlier steps, and write the three functions."""
        first = {k: self.classes.index(k) for k in set(self.classes)}
        wanted, waiting = set(), _carries(finish_graph, gradients)
        while waiting:
            k = waiting.pop()
            if k not in wanted:
                wanted.add(k)
                waiting |= _carries(graph, [values[first[k]]])
        order = sorted(wanted)
        names = [f"carry{k}" for k in order]
        self.size = len(order)
        new = [values[first[k]] for k in order]
        self.known = self._known(graph, new)
        given = {index: f"known{k}" for k, index in enumerate(self.known)}
        reads = live_inputs(graph, new, given)
        inputs, arguments = self.inputs, self.inputs.arguments
        self.kept = [x for x in inputs.s_names + inputs.e_names + inputs.w_names if x in reads]
        start = [initial[first[k]] for k in order]
        last_arguments, step_arguments = arguments("p", "c", "row", "s"), arguments("theta", "p", "c", "row")
        step_arguments |= {"kept": self.kept + list(given.values()), "carry": names}
        new_names = [f"{x}_new" for x in names]
        self.last_text = function_text("last", last_arguments, last_graph, start, names)
        self.backward_text = function_text("backward", step_arguments, graph, new, new_names, given)
        finish_arguments = arguments("c") | {"carry": names}
        self.finish_text = function_text("finish", finish_arguments, finish_graph, gradients)


    def _known(self, graph, new):
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


def _carries(graph, outputs):
    return {int(x[5:]) for x in live_inputs(graph, outputs) if x.startswith("carry")}


def _identity(x):
    return ("node", x.index) if isinstance(x, Tracer) else ("number", float(x))


def _number_classes(keys):
    """Return, for each key, the number of its class in the order of first appearance."""
    numbers = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _flatten(tree):
    """Return the structure of a nested tuple of numbers, and its leaves."""
    if isinstance(tree, (tuple, list, np.ndarray)):
        parts = [_flatten(x) for x in tree]
        return tuple(structure for structure, _ in parts), [x for _, leaves in parts for x in leaves]
    if tree is None:
        return (), []
    if not isinstance(tree, Tracer) and not is_number(tree):
        raise TraceError(f"carry: expected numbers or tuples of numbers, got {describe(tree)}")
    return None, [number(tree)]


def _fill(structure, take):
    """Return a nested tuple of a given structure with leaves from `take`; lists of sums stay lists."""
    if structure is None:
        return take()
    return type(structure)(_fill(x, take) for x in structure)


def _over_cotangents(etabar, pull):
    """Apply `pull` to each cotangent in a cotangent or (nested) list of cotangents."""
    if isinstance(etabar, list):
        return [_over_cotangents(x, pull) for x in etabar]
    if not isinstance(etabar, (tuple, np.ndarray)):
        raise TraceError(f"etabar: expected a tuple like eta, or a list of such tuples, got {describe(etabar)}")
    return pull(tuple(etabar))


def _flatten_sums(pulled):
    """Return the structure of (nested lists of) P-tuples, and their elements."""
    if isinstance(pulled, list):
        parts = [_flatten_sums(x) for x in pulled]
        return [structure for structure, _ in parts], [x for _, leaves in parts for x in leaves]
    return tuple(None for _ in pulled), list(pulled)
