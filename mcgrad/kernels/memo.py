"""Kernels that were written before, found by the structure of what they are for.

To trace a problem and to write its kernel takes a hundred times as long as a thousand trajectories. So what was written is
remembered by all that the text depends on (`compiler.structure`): the functions of the environment and of the policy, by
their code and by whatever they can reach; names, shapes and numbers of states; the estimators by their classes and
attributes, those left out that nothing but `data` reads (`only_data`), and by the shapes of their data. Numbers are no part
of it: theta, params, matrices, discounts, horizons, coefficients, widths of perturbations, parameters of behaviour policies.

Where a structure is `Unknown`, nothing is remembered, and the problem is traced anew each time.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..compiler.structure import Unknown, Walk
from ..estimators.estimator import BehaviourPolicy, Estimator, RolloutVariant
from ..problem import Environment, Policy, Problem
from .numbers import is_discounted

T = TypeVar("T")
Key: TypeAlias = Hashable  # the structure of what is remembered

MOST = 256  # as many as there are kernels loaded at once, see `compiler.backends`
MOST_GRAPHS = 32  # they are larger than what is written from them

_known: OrderedDict[Key, Any] = OrderedDict()
_graphs: OrderedDict[Key, Any] = OrderedDict()
_lock = threading.Lock()
# Environment or policy -> what of it never changes.
_static: weakref.WeakKeyDictionary[Environment | Policy, Hashable] = weakref.WeakKeyDictionary()


def remembered(key: Key | None, make: Callable[[], T]) -> T:
    """Return what was made for a key before, or `make()`; for the key None always the latter."""
    return _remembered(_known, MOST, key, make)


def remembered_graphs(key: Key | None, make: Callable[[], T]) -> T:
    """Return the same of graphs, which are remembered apart, and for each thread: who reads them may add nodes."""
    return _remembered(_graphs, MOST_GRAPHS, None if key is None else (threading.get_ident(), key), make)


def _remembered(known: OrderedDict[Key, Any], most: int, key: Key | None, make: Callable[[], T]) -> T:
    if key is None:
        return make()
    with _lock:
        if key in known:
            known.move_to_end(key)
            return known[key]
    made = make()
    with _lock:
        known[key] = made
        if len(known) > most:
            known.popitem(last=False)
    return made


def forget() -> None:
    """Forget all kernels and graphs, of the memory alone: kernels on disk stay."""
    with _lock:
        _known.clear()
        _graphs.clear()


def size() -> int:
    """Return how many kernels are remembered."""
    return len(_known)


def key_of(what: str, problem: Problem, estimators: Iterable[Estimator] = (), *more: Hashable) -> Key | None:
    """Return the structure of a problem and of its estimators, or None where it is not known."""
    walk = _Structures()
    try:
        return what, walk.problem(problem), tuple([walk.of(e) for e in estimators]), *more
    except (Unknown, RecursionError):
        return None


class _Structures(Walk):
    """The structures of problems and of estimators, without their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._labels: dict[Hashable, int] = {0.0: 0}

    def problem(self, problem: Problem) -> Hashable:
        """Return the structure of a problem."""
        environment, policy = problem.environment, problem.policy
        if type(problem) is not Problem or type(environment) is not Environment:
            raise Unknown
        functions = environment.init, environment.step, environment.reward, environment.terminal, environment.done
        of_functions = tuple([self.of(f) for f in functions])
        return _of_environment(environment), of_functions, self.policy(policy), problem.design, is_discounted(problem)

    def policy(self, policy: Policy) -> Hashable:
        """Return the structure of a policy."""
        if type(policy) is not Policy:
            raise Unknown
        functions = policy.eta, policy.sample, policy.log_prob, policy.score
        return _of_policy(policy), tuple([self.of(f) for f in functions])

    def _label(self, number: Hashable) -> int:
        """Return which of the numbers met so far are equal to a number, in place of the number."""
        return self._labels.setdefault(number, len(self._labels))

    def _instance(self, x: Any, kind: type) -> Hashable:
        if kind is RolloutVariant:
            signs = x.initial, x.action, x.process, x.stream, x.shift, x.direction, x.members, bool(x.unroll)
            return kind, signs, type(x.width), self._label(x.width), self._label(x.unroll), self.of(x.behaviour)
        if kind is BehaviourPolicy:
            return kind, self._label(x), None if x.policy is None else self.policy(x.policy)
        fields = getattr(kind, "__dataclass_fields__", None)
        if fields is None or not kind.__module__.startswith("mcgrad."):
            return super()._instance(x, kind)
        left_out = getattr(kind, "only_data", ())
        # Of what is left out, whether it is there, and whether it is one number or several.
        values = [type(getattr(x, k)) if k in left_out else self.of(getattr(x, k)) for k in fields]
        return "object", self._class(kind), tuple(values)


def _of_environment(x: Environment) -> Hashable:
    found = _static.get(x)
    if found is None:
        found = _static[x] = (
            *(x.states, x.actions, x.noises, x.initial_noises, x.uniforms, x.initial_uniforms, x.choices, x.name),
            *(_shapes(x.params), x.reward_sees, x.discontinuous, type(x.closed_form)),
        )
    return found


def _of_policy(x: Policy) -> Hashable:
    found = _static.get(x)
    if found is None:
        found = _static[x] = (
            *(x.states, x.actions, x.noises, x.uniforms, x.choices, x.name, x.parameters),
            *(_shapes(x.params), x.no_score, x.no_pathwise, _form(x.closed_form)),
        )
    return found


def _shapes(params: Mapping[str, NDArray[np.float64]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple([(k, v.shape) for k, v in params.items()])


def _form(x: object) -> Hashable:
    """Return what a traced function may ask of the closed form of a policy: which numbers there are, and flags."""
    if not (isinstance(x, tuple) and hasattr(x, "_fields")):
        return type(x)  # type: ignore[return-value]  # a class is hashable
    return type(x), tuple([y.shape if isinstance(y, np.ndarray) else repr(y) for y in x])
