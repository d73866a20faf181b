"""What an estimator is: a rule for the cotangent of the return on eta_t, as a reverse scan over one trajectory.

    carry = last(c, end)                              after the last step
    carry, etabar_t = step(c, x, carry)               for t = T-1, ..., 0: the newest step first
    g = finish(c, sums, carry),   sums = sum_t (d eta_t / d theta)^T etabar_t

These are plain Python functions on tuples of numbers, traced once and compiled together with the environment. Estimators
that are measured together share all that they have in common (the return to go, the adjoint, the pulled-back score): equal
carries are recognised, so an estimator need not know about the others.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..baselines.baseline import undefined
from ..compiler.namespaces import rebind
from ..printing import AsCalled, as_called, changed
from ..problem import Policy, Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Numbers,
    Path,
    StepView,
)

# direction(kind) -> the P components of the perturbation of theta with that `RolloutVariant.direction`
Direction: TypeAlias = Callable[[str | int], Numbers]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Estimator(AsCalled):
    """A gradient estimator. Derive from it, or pass functions to `custom`; only `step` has to be given.

    Within the methods, `c` holds the numbers that `data` returned: `c.name`, an array or a number; of `PerStep` data, the
    entry that belongs to the current time. `x` is one step of the trajectory, see `mcgrad.kernels.step_view.Step`.

    Where theta acts otherwise than through densities (components of the action that are functions of eta alone, rewards
    that see the policy, design parameters), an estimator whose `step` asks for scores and not for derivatives gets total
    derivatives of its cotangents, and the derivative of the return along what is followed (see `followed`). One that asks
    for derivatives has to see to them all.
    """

    # What the parts of the carry are called in the kernel's text.
    carries: ClassVar[tuple[str, ...]] = ()

    # How many cotangents `step` returns, of an estimator that has derivatives along paths on every problem; None: it asks for
    # what it wants, and `follows` decides.
    cotangents: ClassVar[int | None] = None

    # Attributes that nothing but `data` reads, of which the kernel depends on the type alone: new values of them do not
    # trace again. (Of attributes that are not named here it may depend on all.)
    only_data: ClassVar[tuple[str, ...]] = ()

    def extra_rollouts(self, problem: Problem) -> int:
        """Return how many rollouts a sample takes besides the one that is scanned."""
        return 0

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        """Return {name: array, PerStep or dict}, the numbers that the other methods read as `c.name`; no recompile."""
        return {}

    def last(self, c: Constants, end: EndView) -> Carry:
        """Return the carry after the last step; `end` has `s`, `reward` and `reward_vjp`."""
        return ()

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        """Return (carry, etabar): the carry for the step before, and a cotangent of eta_t, or a list of several."""
        undefined("estimator", self, "step")

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        """Return the P components of the gradient; `sums` is like the etabar of `step`, P-tuples in place of cotangents."""
        return sums

    @property
    def sums_up(self) -> bool:
        """Whether the gradient is the sum of the pulled-back cotangents, and nothing else."""
        return type(self).finish is Estimator.finish and type(self).with_direct is Estimator.with_direct

    def path(self, c: Constants, x: StepView) -> Path | None:
        """Return {component: weight} of the random components that are followed, or None for all; see `Step.follow`."""
        return {}

    def restart(self, c: Constants, x: StepView, adjoint: Numbers) -> Numbers:
        """Return the adjoint that goes on below this step, for those who cut it."""
        return adjoint

    def follows(self, used: set[str]) -> bool:
        """Tell whether the scan is to follow what theta does along paths; `used`: what `step` asked for (`Step.used`)."""
        return bool(used & {"score", "branches"}) and used <= {"score", "branches"}

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        """Return what `finish` returned together with the derivative of the return along what is followed, (P,)."""
        return tuple(g + d for g, d in zip(gradient, direct, strict=True))


@as_called
def custom(
    step: Callable[..., Any],
    last: Callable[..., Any] | None = None,
    finish: Callable[..., Any] | None = None,
    data: dict[str, Any] | None = None,
) -> Estimator:
    """Return an estimator of your own from plain functions.

    Parameters
    ----------
    step : callable
        step(c, x, carry) -> (carry, etabar).
    last : callable, optional
        last(c, end) -> the carry after the last step; empty by default.
    finish : callable, optional
        finish(c, sums, carry) -> the P components of the gradient; by default the pulled-back sum of etabar.
    data : dict, optional
        Name -> array or PerStep, read as `c.name`.

    Raises
    ------
    ValueError
        For what is no function, or data that are no dict of names that `c.name` can be written with; TraceError, which is one,
        when measured, for functions that cannot be traced.
    """
    validate.function("step", step)
    validate.function("last", last, optional=True)
    validate.function("finish", finish, optional=True)
    if not isinstance(data, (dict, type(None))):
        raise ValueError(f"data: expected a dict of name -> array or PerStep, got {validate.describe(data)}")
    return Custom(step, last, finish, _named(data or {}))


def _named(data: Data) -> Data:
    """Return data with checked names, down to the last dict."""
    return {validate.name("data", k): _named(x) if isinstance(x, dict) else x for k, x in data.items()}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Custom(Estimator):
    """An estimator made of plain functions, see `custom`."""

    own_step: Callable[..., Any]
    own_last: Callable[..., Any] | None = None
    own_finish: Callable[..., Any] | None = None
    own_data: Data = dataclasses.field(default_factory=dict)
    only_data = ("own_data",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return self.own_data

    def last(self, c: Constants, end: EndView) -> Carry:
        return rebind(self.own_last)(c, end) if self.own_last else ()

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        return rebind(self.own_step)(c, x, carry)

    def finish(self, c: Constants, sums: Cotangents, carry: Carry) -> Numbers:
        return rebind(self.own_finish)(c, sums, carry) if self.own_finish else sums

    @property
    def sums_up(self) -> bool:
        return self.own_finish is None


def checked(name: str, estimator: object) -> Estimator:
    """Return an estimator; anything else is a ValueError that names the argument."""
    if not isinstance(estimator, Estimator):
        raise ValueError(f"{name}: expected an estimator, got {validate.describe(estimator)}")
    return estimator


@dataclasses.dataclass(frozen=True, repr=False)
class BehaviourPolicy:
    """What acts in a rollout in place of the policy at theta.

    Attributes
    ----------
    theta : tuple of P floats
    policy : Policy or None
        One of the same shape as the problem's, or None for that one itself.
    """

    theta: tuple[float, ...]
    policy: Policy | None = None

    __repr__ = changed


@dataclasses.dataclass(frozen=True, repr=False)
class RolloutVariant:
    """How a rollout differs from the plain one with the same trajectory number.

    Attributes
    ----------
    initial, action, process : int
        Signs of the noise of the initial state, of the actions and of the process, 1 or -1.
    stream : int
        0 for common random numbers, 1 to 15 for noise that is independent of that of other streams.
    shift : int
        theta + shift * width * direction instead of theta, component by component.
    direction : str or int
        "normal": one standard normal vector for each trajectory number; "sign": one of random signs; a number: the
        axis of that parameter.
    width : float or tuple of P floats
        Size of the perturbation of theta, or of each of its components.
    unroll : int
        0: one perturbation for the whole rollout. Otherwise a new one every so many steps.
    behaviour : BehaviourPolicy or None
        What acts, where it is not the policy at theta; scores and pull-backs are those of the policy at theta all the same.
    members : bool
        Whether the rollout is one of a loop over the members of a group, see `Members`.
    """

    initial: int = 1
    action: int = 1
    process: int = 1
    stream: int = 0
    shift: int = 0
    direction: str | int = "normal"
    width: float | tuple[float, ...] = 0.0
    unroll: int = 0
    behaviour: BehaviourPolicy | None = None
    members: bool = False

    __repr__ = changed

    def of(self, inner: "RolloutVariant") -> "RolloutVariant":
        """Return the variation that varies an already varied rollout once more."""
        if sum(bool(x) for v in (self, inner) for x in (v.shift, v.behaviour)) > 1:
            raise ValueError(
                "a rollout at two other parameters at once (perturbed, or of a behaviour) is not supported"
            )
        shifted = self if self.shift else inner
        return RolloutVariant(
            self.initial * inner.initial,
            self.action * inner.action,
            self.process * inner.process,
            self.stream ^ inner.stream,
            shifted.shift,
            shifted.direction,
            shifted.width,
            shifted.unroll,
            self.behaviour or inner.behaviour,
            self.members or inner.members,
        )


PLAIN = RolloutVariant()


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Combined(Estimator):
    """Several estimators whose gradients are combined, on the same rollout or on variations of it.

    Attributes
    ----------
    parts : tuple of Estimator
    variations : tuple of RolloutVariant
        One for each part; () if all of them use the plain rollout.
    """

    parts: tuple[Estimator, ...]
    variations: tuple["RolloutVariant", ...] = dataclasses.field(default=(), kw_only=True)

    def varied(self) -> tuple[tuple[Estimator, RolloutVariant], ...]:
        """Return pairs (part, variation)."""
        return tuple(zip(self.parts, self.variations or (PLAIN,) * len(self.parts), strict=True))

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {f"part{i}": part.data(problem, theta) for i, part in enumerate(self.parts)}

    def combine(self, c: Constants, gradients: Sequence[Numbers], direction: Direction) -> Numbers:
        """Return the P components of the combination.

        Parameters
        ----------
        c : data
        gradients : list
            What the parts return from `finish`.
        direction : callable
            direction(kind) -> the P components of the perturbation of theta with that `RolloutVariant.direction`.
        """
        undefined("estimator", self, "combine")


MOST_MEMBERS = 64


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Members(Estimator):
    """One sample from the rollouts of a group, each with noise of its own, that are taken up one after the other.

        carry = begin(P);  carry = add(c, carry, outcome) for each member;  g = result(c, carry)

    An outcome is what `finish` of the part returns. The kernel loops over the members, so that its text is no longer for 64
    of them than for 2.

    Attributes
    ----------
    part : Estimator
        One that scans a single rollout.
    size : int
        G, the number of members: 2 to 64. Member k draws the noise of stream k; that of member 0 is the plain rollout's.
    variation : RolloutVariant
        What else the members' rollouts are; of stream 0.
    """

    part: Estimator
    size: int
    variation: RolloutVariant = dataclasses.field(default=PLAIN, kw_only=True)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        return {"part": self.part.data(problem, theta)}

    def begin(self, parameters: int) -> Carry:
        """Return the carry before the first member, for P parameters."""
        undefined("estimator", self, "begin")

    def add(self, c: Constants, carry: Carry, outcome: Carry) -> Carry:
        """Return the carry after one more member."""
        undefined("estimator", self, "add")

    def result(self, c: Constants, carry: Carry) -> Numbers:
        """Return the P components of the gradient."""
        undefined("estimator", self, "result")


def scans(estimator: Estimator, variation: RolloutVariant = PLAIN) -> list[tuple[Estimator, RolloutVariant]]:
    """Return (estimator, variation) for each scan over a trajectory that an estimator consists of."""
    return [(leaf.part if isinstance(leaf, Members) else leaf, where) for leaf, where in leaves(estimator, variation)]


def leaves(estimator: Estimator, variation: RolloutVariant = PLAIN) -> list[tuple[Estimator, RolloutVariant]]:
    """Return (leaf, variation) for each part that is no combination itself: a scan, or the members of a group."""
    if isinstance(estimator, Members):
        if variation.stream:
            raise ValueError("a group inside of an estimator that draws independent noise is not supported")
        inner = variation.of(estimator.variation)
        return [(estimator, dataclasses.replace(inner, members=True))]
    if not isinstance(estimator, Combined):
        return [(estimator, variation)]
    return [leaf for part, inner in estimator.varied() for leaf in leaves(part, variation.of(inner))]


def rollouts(estimator: Estimator, problem: Problem) -> int:
    """Return how many rollouts one sample of an estimator takes."""
    parts, different = leaves(estimator), set()
    if parts == [(estimator, PLAIN)]:
        return 1 + estimator.extra_rollouts(problem)
    for leaf, variation in parts:
        alone = dataclasses.replace(variation, members=False)
        size = leaf.size if isinstance(leaf, Members) else 1
        different |= {dataclasses.replace(alone, stream=k ^ alone.stream) for k in range(size)}
    return len(different) + max(leaf.extra_rollouts(problem) for leaf, _ in parts)
