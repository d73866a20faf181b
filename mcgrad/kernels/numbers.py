"""The numbers that a kernel reads, laid out in its arrays: all that differs between problems of one structure.

    p       parameters of the environment, those of the policy, then those of behaviour policies
    c       data of the estimators, then constants of the kernel's own
    rows    what differs from step to step: the discount, data of the estimators, the time

Equal data of estimators share a place, and so their computations: which of them are equal is part of a structure.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..estimators.estimator import Estimator, RolloutVariant, scans
from ..per_step import PerStep
from ..problem import Problem

Source: TypeAlias = tuple[Any, ...]  # where a constant of the kernel's own comes from: its name, and which rollout

# Constants that a kernel may add to the data of its estimators.
OWN = ("width", "unroll", "steps", "time")


class Leaf(NamedTuple):
    """An array of an estimator's data: its name, whether it has an entry for each time, and its values."""

    name: str
    per_step: bool
    values: np.ndarray

    @property
    def key(self) -> tuple[str, bool, tuple[int, ...], bytes]:
        """What equal leaves have in common."""
        return self.name, self.per_step, self.values.shape, self.values.tobytes()


def leaf(name: str, value: Any, horizon: int) -> Leaf:
    """Return an entry of an estimator's data as a Leaf, checked."""
    per_step = isinstance(value, PerStep)
    array = validate.array(name, value.values if per_step else value)
    if per_step and array.shape[:1] != (horizon + 1,):
        got = len(array) if array.ndim else "a single number"
        raise ValueError(f"{name}: expected data for {horizon + 1} times (0 to T), got {got}")
    return Leaf(name, per_step, array)


class Data:
    """The data of all estimators of a program.

    Attributes
    ----------
    trees : list of dict
        The data of each estimator, with a `Leaf` for every array.
    unique : list of Leaf
        Equal arrays once, in the order in which they first occur.
    structure : tuple
        Names and shapes, and which arrays are equal; the number of steps is no part of it.
    """

    def __init__(self, problem: Problem, data: Iterable[dict[str, Any]]) -> None:
        self.trees: list[dict[str, Any]] = []
        self.unique: list[Leaf] = []
        self._numbers: dict[tuple[Any, ...], int] = {}  # by the key of a leaf
        self.structure = tuple([self._take(problem, x) for x in data])

    def _take(self, problem: Problem, data: dict[str, Any]) -> tuple[Any, ...]:
        tree: dict[str, Any] = {}
        self.trees.append(tree)
        return self._branch(problem, data, tree)

    def _branch(self, problem: Problem, data: dict[str, Any], tree: dict[str, Any]) -> tuple[Any, ...]:
        found: list[tuple[Any, ...]] = []
        for name, value in data.items():
            if isinstance(value, dict):
                tree[name] = {}
                found.append((name, self._branch(problem, value, tree[name])))
                continue
            x = tree[name] = leaf(name, value, problem.horizon)
            number = self._numbers.setdefault(x.key, len(self.unique))
            if number == len(self.unique):
                self.unique.append(x)
            found.append((name, x.per_step, x.values.shape[1:] if x.per_step else x.values.shape, number))
        return tuple(found)

    def shared(self, problem: Problem, variations: Sequence[RolloutVariant]) -> tuple[int | None, ...]:
        """Return which data are equal to a constant that the kernel may add: they then share its place, too."""
        if not any(x.name in OWN for x in self.unique):
            return ()
        sources = [("steps",), ("time",)] + [(name, k) for k in range(len(variations)) for name in ("width", "unroll")]
        return tuple(
            [self._numbers.get(leaf(s[0], constant(s, problem, variations), problem.horizon).key) for s in sources]
        )


def constant(source: Source, problem: Problem, variations: Sequence[RolloutVariant]) -> Any:
    """Return a constant of a kernel's own by where it comes from: its name and, where that matters, the rollout."""
    name = source[0]
    if name in ("width", "unroll"):
        return getattr(variations[source[1]], name)
    return problem.horizon if name == "steps" else PerStep(np.arange(problem.horizon + 1.0))


def variations(estimators: Iterable[Estimator]) -> list[RolloutVariant]:
    """Return the different variations of rollouts of estimators, in the order in which they first occur."""
    return list(dict.fromkeys(variation for e in estimators for _, variation in scans(e)))


def is_discounted(problem: Problem) -> bool:
    """Tell whether rewards have weights."""
    return problem.discount_varies or problem.discount != 1.0


def arrays(
    problem: Problem, data: Data, sources: Sequence[Source], varied: Sequence[RolloutVariant]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return p, c and rows as a kernel reads them.

    Parameters
    ----------
    data : Data
    sources : sequence of tuple
        Where the kernel's own constants come from, in their order; see `constant`.
    varied : list of RolloutVariant
    """
    T = problem.horizon
    leaves = data.unique + [leaf(x[0], constant(x, problem, varied), T) for x in sources]
    rows = [problem.weights()[:, None]] if is_discounted(problem) else []
    rows += [x.values.reshape(T + 1, -1) for x in leaves if x.per_step]
    c = [x.values.ravel() for x in leaves if not x.per_step]
    return (
        parameters(problem, varied),
        _joined(c),
        np.ascontiguousarray(np.hstack(rows)) if rows else np.zeros((T + 1, 0)),
    )


def parameters(problem: Problem, varied: Sequence[RolloutVariant] = ()) -> NDArray[np.float64]:
    """Return p, see `arrays`."""
    p = [x.ravel() for k, x in problem.environment.params.items() if k not in problem.design]
    p += [x.ravel() for x in problem.policy.params.values()]
    for behaviour in dict.fromkeys(x.behaviour for x in varied if x.behaviour is not None):
        if behaviour.policy is not None:
            p += [x.ravel() for x in behaviour.policy.params.values()]
        p.append(np.array(behaviour.theta))
    return _joined(p)


def _joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.zeros(0)
