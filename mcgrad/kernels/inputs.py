"""The names of everything that a kernel reads: where they stand in its arrays, and as inputs of a graph."""

import functools
import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..calls import call
from ..compiler.emit import Arguments
from ..compiler.functions import where
from ..compiler.operations import FUNCTIONS
from ..compiler.table import Table
from ..compiler.trace import Graph, Number, Numbers, Tracer
from ..estimators.estimator import BehaviourPolicy
from ..per_step import PerStep
from ..problem import Policy, Problem
from .numbers import Data, Leaf, Source, is_discounted, leaf
from .split import functions_of_eta
from .step_view import End, Named, Start, Step

NameArray: TypeAlias = NDArray[np.object_]  # of the elements of a parameter
Tree: TypeAlias = dict[str, Any]  # name -> `NameArray`, or again such a dict: the data of an estimator

# What kernel texts call things of their own; see also `compiler.backends`.
RESERVED = re.compile(
    "|".join(
        [
            r"(s|z|e|w|v|theta|known|record|perturb_|init)\d+(_next|_v\d+)?",
            r"(ea|eb|ec|wa|wb|wc|r|branch|apart)\d+(_\d+)?|za|zb|zc|r|k|(branch|apart)(_\w+)?|replacements(_once)?|tau",
            r"(carry|theta|forward|backward|last|load|store|next_state|flip_start|flip_step)(_v\d+)?(_\d+)?(_new)?",
            r"p|c|row|rows|s|z|x|z_start(_v\d+)?|z_theta|z_block|kept|values|seed|first|blocks|width|horizon|work|out|stop|b|i|t",
            r"start|finish|kernel|record|record_end|deliver|deliver_end|noise_start|noise_step|noise_theta",
            r"point_start|point_step|point_theta|points|steps|unroll",
            r"where|normal_pair|uniform|position|stream|take|give|total|put|point|lookup|any_positive|running|inf|nan|range",
            r"member|clear(_v\d+)?|(begin|add|group)(_v\d+)?_\d+(_\d+)?|total(_v\d+)?_\d+_\d+|(collect|carried)(_v\d+)?|totals|tail|scatter",
            *map(re.escape, [*FUNCTIONS, *keyword.kwlist]),
        ]
    )
)


class Inputs:
    """Where a graph's inputs come from: tuples of lanes by position, arrays by index."""

    def __init__(self, problem: Problem, data: Data | None = None) -> None:
        data = Data(problem, ()) if data is None else data
        environment, policy = problem.environment, problem.policy
        self.problem = problem
        self.discounted = is_discounted(problem)
        self.taken: set[str] = set()
        self.p_index: dict[str, int] = {}
        self.c_index: dict[str, int] = {}
        self.row_index: dict[str, int] = {}
        self.row_width = 0
        self.known: dict[tuple[Any, ...], NameArray] = {}  # by the key of a leaf
        self.blocks: list[str] = []  # of the legend
        self.behaviours: dict[BehaviourPolicy, tuple[Policy, Tree, list[str]]] = {}
        self.sources: list[Source] = []
        self.flat: dict[bool, str | None] = {}  # warnings, see `flat`
        self.weight = self._per_step("weight", ()) if self.discounted else None
        self.environment_p = {
            k: self._in_p(k, v.shape) for k, v in environment.params.items() if k not in problem.design
        }
        self.policy_p = {
            k: self._in_p(f"policy_{k}" if k in environment.params else k, v.shape) for k, v in policy.params.items()
        }
        self.theta_names = [f"theta{i}" for i in range(len(problem.parameters))]
        self.theta_index = {x: i for i, x in enumerate(self.theta_names)}
        self.s_names = [f"s{i}" for i in range(environment.states)]
        self.z0_names = [f"z{i}" for i in range(environment.initial_noises + environment.initial_uniforms)]
        self.e_names = [f"e{i}" for i in range(policy.noises + policy.uniforms)]
        self.w_names = [f"w{i}" for i in range(environment.noises + environment.uniforms)]
        self.direction_names = [f"z{i}" for i in range(len(problem.parameters))]
        self.estimator_c = [self._tree(d) for d in data.trees]
        # Where the data of estimators lie: so many numbers of c, and from which to which column of the rows.
        self.data_places = len(self.c_index), int(self.discounted), self.row_width

    # Each of these returns a tree: dict -> array of input names or name, which `_named` turns into tracers.

    def _elements(self, name: str, shape: tuple[int, ...]) -> NameArray:
        """Return the names of the elements of an array; underscores are added until all of them are new."""
        validate.name("data", name)  # the last door before the text
        while True:
            names = np.array(["_".join([name, *map(str, index)]) for index in np.ndindex(*shape)], dtype=object)
            # What is reserved does not depend on the digits, and so not on the element.
            examples = [name, *names[:1]]
            if self.taken.isdisjoint([name, *names]) and not any(RESERVED.fullmatch(x) for x in examples):
                break
            name += "_"
        self.taken |= {name, *names}
        return names.reshape(shape)

    def _in_p(self, name: str, shape: tuple[int, ...]) -> NameArray:
        names = self._elements(name, shape)
        self.p_index |= self._numbered("p", name, names, len(self.p_index))
        return names

    def _in_c(self, name: str, shape: tuple[int, ...]) -> NameArray:
        names = self._elements(name, shape)
        self.c_index |= self._numbered("c", name, names, len(self.c_index))
        return names

    def _per_step(self, name: str, shape: tuple[int, ...]) -> NameArray:
        names = self._elements(name, shape)
        self.row_index |= self._numbered("row", name, names, self.row_width)
        self.row_width += names.size
        return names

    def _numbered(self, array: str, name: str, names: NameArray, start: int) -> dict[str, int]:
        """Give consecutive places in an array to the elements of a name, and note them for the legend."""
        self.blocks.append(f"{array}[{start}:{start + names.size}] {name}{list(names.shape) if names.ndim else ''}")
        return {x: start + k for k, x in enumerate(names.ravel().tolist())}

    def _tree(self, data: dict[str, Any]) -> Tree:
        """Return the names of an estimator's data; equal data share their names, and so their computations."""
        return {k: self._tree(x) if isinstance(x, dict) else self._leaf(x) for k, x in data.items()}

    def _leaf(self, x: Leaf) -> NameArray:
        if x.key not in self.known:
            shape = x.values.shape
            self.known[x.key] = self._per_step(x.name, shape[1:]) if x.per_step else self._in_c(x.name, shape)
        return self.known[x.key]

    def legend(self) -> str:
        """Return where the arrays hold what, for the header of the text."""
        return "\n".join(self.blocks)

    def arguments(self, *names: str) -> Arguments:
        """Return the contents of the arguments of a function for `emit.function_text`."""
        contents: Arguments = {
            "theta": self.theta_index,
            "p": self.p_index,
            "c": self.c_index,
            "row": self.row_index,
            "s": self.s_names,
            "z": self.e_names + self.w_names,
            "z_start": self.z0_names,
        }
        return {name: contents[name] for name in names}

    def named(self, graph: Graph, tree: Tree, owner: str, per_step: bool = True) -> Named:
        """Return a tree of names as `Named` inputs of a graph, with or without what differs from step to step."""
        values: dict[str, Any] = {}
        for name, content in tree.items():
            if isinstance(content, dict):
                values[name] = self.named(graph, content, owner, per_step)
            elif per_step or content.size == 0 or content.flat[0] not in self.row_index:
                values[name] = self._array(graph, content) if content.ndim else graph.input(content[()])
        return Named(owner, values)

    @staticmethod
    def _array(graph: Graph, names: NameArray) -> Any:
        return Table(graph, names) if names.size > 64 else np.frompyfunc(graph.element, 1, 1)(names)

    def data(self, graph: Graph, tree: Tree, per_step: bool = True) -> Named:
        """Return the data of an estimator."""
        return self.named(graph, tree, "the data of this estimator", per_step)

    def perturbation(self, kind: str | int, normal: Numbers) -> Numbers:
        """Return the direction of a perturbation of theta (see `RolloutVariant.direction`) from P standard normals."""
        if kind == "normal":
            return normal
        if kind == "sign":
            return tuple(where(z > 0.0, 1.0, -1.0) for z in normal)
        return tuple(float(k == kind) for k in range(len(normal)))

    def constant(self, name: str, value: Any, *source: int) -> str:
        """Return the name under which a kernel reads a number of its own (the length of an unroll, say)."""
        return str(self.constants(name, value, *source)[()])

    def constants(self, name: str, values: Any, *source: int) -> NameArray:
        """Return the names, an array of the shape of the values, under which a kernel reads numbers of its own.

        `source` says where the values come from: see `numbers.constant`.
        """
        before = len(self.blocks)
        names = self._leaf(leaf(name, values, self.problem.horizon))
        if len(self.blocks) > before:
            self.sources.append((name, *source))
        return names

    def time(self) -> str:
        """Return the name under which a kernel reads t, as a number that lanes can be compared with."""
        return self.constant("time", PerStep(np.arange(self.problem.horizon + 1.0)))

    def environment(self, graph: Graph, theta: Numbers | None = None) -> Named:
        """Return the parameters of the environment as inputs; those of the design are components of theta."""
        theta = self.many(graph, self.theta_names) if theta is None else theta
        named = self.named(graph, self.environment_p, self.problem.environment.name)
        named.__dict__.update(self.problem.split(theta)[1])
        return named

    def policy(self, graph: Graph) -> Named:
        """Return the parameters of the policy as inputs."""
        return self.named(graph, self.policy_p, self.problem.policy.name)

    def many(self, graph: Graph, names: Iterable[str]) -> tuple[Tracer, ...]:
        """Return a tuple of inputs."""
        return tuple(graph.element(x) if self._is_held(x) else graph.input(x) for x in names)

    def _is_held(self, name: str) -> bool:
        """Tell whether an input lies in an array, theta, p or c, and not in a tuple of lanes."""
        return name in self.p_index or name in self.c_index or name in self.theta_index

    def _weight(self, graph: Graph, discounted: bool) -> Number:
        return graph.input(str(self.weight[()])) if self.weight is not None and discounted else 1.0

    def noise_names(self, kind: str) -> tuple[list[str], list[str]]:
        """Return names for the noise of an action and of a step; `kind` is a letter that tells one pair from another."""
        return [f"e{kind}{x[1:]}" for x in self.e_names], [f"w{kind}{x[1:]}" for x in self.w_names]

    def _acting(self, graph: Graph, behaviour: BehaviourPolicy) -> tuple[Policy, Named, Numbers]:
        """Return the policy of a `BehaviourPolicy`, its parameters and theta: run-time numbers like all inputs."""
        if behaviour not in self.behaviours:
            policy, tree = behaviour.policy, self.policy_p
            if policy is not None:
                tree = {k: self._in_p(f"behaviour_{k}", v.shape) for k, v in policy.params.items()}
            theta = list(self._in_p("behaviour", (len(behaviour.theta),)))
            self.behaviours[behaviour] = policy or self.problem.policy, tree, theta
        policy, tree, theta = self.behaviours[behaviour]
        return policy, self.named(graph, tree, policy.name), self.many(graph, theta)

    def step(
        self,
        graph: Graph,
        discounted: bool = True,
        s: Numbers | None = None,
        e: Numbers | None = None,
        w: Numbers | None = None,
        behaviour: BehaviourPolicy | None = None,
    ) -> Step:
        """Return one step of the trajectory in terms of its inputs, or from another state, with other noise or behaviour."""
        theta, s = self.many(graph, self.theta_names), self.many(graph, self.s_names) if s is None else s
        e = self.many(graph, self.e_names) if e is None else e
        w = self.many(graph, self.w_names) if w is None else w
        count = len(self.problem.policy.parameters)
        # Under other identities, so that derivatives in the design do not run through the policy, where it has the same.
        design = graph.alias(theta[count:])
        p, policy = self.environment(graph, theta[:count] + design), self.policy(graph)
        acting = None if behaviour is None else self._acting(graph, behaviour)
        weight = self._weight(graph, discounted)
        return Step(graph, self.problem, p, policy, theta[:count], design, s, e, w, weight, acting)

    def end(self, graph: Graph, discounted: bool = True, s: Numbers | None = None) -> End:
        """Return the end of the trajectory in terms of its inputs."""
        s = self.many(graph, self.s_names) if s is None else s
        theta = self.many(graph, self.theta_names)
        design = theta[len(self.problem.policy.parameters) :]
        return End(graph, self.problem, self.environment(graph, theta), design, s, self._weight(graph, discounted))

    @functools.cached_property
    def functions_of_eta(self) -> frozenset[int]:
        """The components of the action that are functions of eta alone, see `split`."""
        graph, policy = Graph(), self.problem.policy
        p, s, e = self.policy(graph), self.many(graph, self.s_names), self.many(graph, self.e_names)
        theta = self.many(graph, self.theta_names[: len(policy.parameters)])
        eta = call(f"eta of {policy.name}", policy.eta, (p, theta, s), "any")
        return functions_of_eta(call(f"sample of {policy.name}", policy.sample, (p, eta, e), policy.actions), e)

    def start(self, graph: Graph, names: Sequence[str] | None = None) -> Start:
        """Return the start of the trajectory in terms of its inputs; its noise may have other names."""
        theta = self.many(graph, self.theta_names)
        design = theta[len(self.problem.policy.parameters) :]
        z = self.many(graph, self.z0_names if names is None else names)
        return Start(graph, self.problem, self.environment(graph, theta), design, z)

    def start_arguments(self, scans: Iterable[Any]) -> Arguments:
        """Return the arguments of a function that looks back at the starts of rollouts: only design parameters move them."""
        if not self.problem.design:
            return {}
        return self.arguments("theta", "p") | {f"z_start{x.suffix}": self.start_names(x.suffix) for x in scans}

    def start_names(self, suffix: str) -> list[str]:
        """Return names for the noise of a start where it is wanted at the end; `suffix` tells one rollout from another."""
        return [f"init{x[1:]}{suffix}" for x in self.z0_names]
