"""The functions of a policy on arrays: what it draws, its density and its score, at any eta."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..calls import call, number
from ..compiler import on_numpy
from ..compiler.derive import plus, pull_back
from ..compiler.emit import function_text, live_inputs
from ..compiler.trace import Graph, Number, Tracer
from ..kernels.inputs import Inputs
from ..kernels.numbers import parameters
from ..problem import Problem

Arrays: TypeAlias = tuple[NDArray[np.float64], ...]
ArrayFunction: TypeAlias = Callable[..., Arrays]


class PolicyFunctions:
    """The functions of a policy on NumPy arrays; ValueError where it has no score.

    Attributes
    ----------
    eta : callable
        eta(p, theta, s) -> K arrays, where s are n arrays.
    sample, score : callables
        sample(p, eta, e) -> m arrays; score(p, eta, a, e) -> K arrays. What the density sees of components of the action that
        are functions of eta alone is part of the score: d log p / d eta is a total derivative.
    at_fixed : callable
        The score with the whole action held fixed.
    log_prob : callable or None
        log_prob(p, eta, a) -> an array.
    random : tuple of bool
        Which components of the action are drawn: they depend on e, the others on eta alone.
    """

    def __init__(self, problem: Problem) -> None:
        policy = self.policy = problem.policy
        self.inputs = Inputs(problem)
        self.p = parameters(problem)
        self.eta, self.K = self._eta()
        self.graph = graph = Graph()
        names = {"eta": [f"known{k}" for k in range(self.K)], "a": [f"record{i}" for i in range(policy.actions)]}
        names["e"] = self.inputs.e_names
        self.arguments = self.inputs.arguments("p") | names
        eta, a, e = (self.inputs.many(graph, x) for x in names.values())
        p = self.inputs.policy(graph)
        drawn = call(f"sample of {policy.name}", policy.sample, (p, eta, e), policy.actions)
        self.sample = self._array_function(("p", "eta", "e"), drawn)
        self.random = tuple(not set(live_inputs(graph, [number(x)])).isdisjoint(names["e"]) for x in drawn)
        density, self.log_prob = None, None
        if policy.log_prob is not None:
            density = number(call(f"log_prob of {policy.name}", policy.log_prob, (p, eta, a), None))
            one = self._array_function(("p", "eta", "a"), [density])
            self.log_prob = lambda *values: one(*values)[0]
        if not any(self.random):
            z = (0.0,) * self.K
        elif policy.score is not None:
            z = call(f"score of {policy.name}", policy.score, (p, eta, a, e), self.K)
        elif density is not None:
            z = pull_back(graph, [density], [1.0], eta)
        else:
            raise ValueError(f"{policy.name} has neither `score` nor `log_prob`")
        self.at_fixed = self._array_function(("p", "eta", "a", "e"), z)
        if density is not None:
            followed = [i for i, random in enumerate(self.random) if not random and isinstance(drawn[i], Tracer)]
            seen = pull_back(graph, [density], [1.0], [a[i] for i in followed])
            more = pull_back(graph, [drawn[i] for i in followed], seen, eta)
            z = [plus(x, y) for x, y in zip(z, more, strict=True)]
        self.score = self._array_function(("p", "eta", "a", "e"), z)

    def _eta(self) -> tuple[ArrayFunction, int]:
        inputs, policy, graph = self.inputs, self.policy, Graph()
        theta = inputs.many(graph, inputs.theta_names[: len(policy.parameters)])
        arguments = inputs.policy(graph), theta, inputs.many(graph, inputs.s_names)
        eta = call(f"eta of {policy.name}", policy.eta, arguments, "any")
        return _on_arrays(_function(graph, inputs.arguments("p", "theta", "s"), eta)), len(eta)

    def _array_function(self, arguments: Sequence[str], outputs: Sequence[Number]) -> ArrayFunction:
        return _on_arrays(_function(self.graph, {x: self.arguments[x] for x in arguments}, outputs))


def _on_arrays(f: Callable[..., Any]) -> ArrayFunction:
    """Return a function whose results have the shape of its last argument's arrays and those before, constants too."""

    def call(*values: Any) -> tuple[NDArray[Any], ...]:
        shape = np.broadcast_shapes(*(np.shape(x) for argument in values[1:] for x in argument))
        return tuple(np.broadcast_to(x, shape) for x in f(*values))

    return call


def _function(graph: Graph, arguments: dict[str, Any], outputs: Sequence[Number]) -> Callable[..., Any]:
    """Return outputs of a graph as a function of NumPy arrays."""
    namespace = on_numpy.names()
    text = function_text("f", arguments, graph, [number(x) for x in outputs])
    exec(compile(text, "<policy>", "exec"), namespace)
    return namespace["f"]
