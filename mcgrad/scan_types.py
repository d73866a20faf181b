"""What the parts of an estimator are given while they are traced, and what they return: the types of a reverse scan.

An estimator, a baseline and a critic see a step of the trajectory, its end and their own data by these names. Who makes them is
`mcgrad.kernels.step_view`, of which they know nothing.
"""

from typing import Any, Protocol, TypeAlias

from .compiler.trace import Graph, Number, Numbers
from .problem import Problem

Data: TypeAlias = dict[str, Any]  # name -> array, `PerStep`, or again such a dict: what `data` returns
Constants: TypeAlias = Any  # `c`: the entries of `Data` as attributes, `c.name`, of which each part has its own
Carry: TypeAlias = Any  # a number, or a (nested) tuple of numbers: what a scan hands from step to step
Cotangents: TypeAlias = (
    Any  # a cotangent of eta, or a (nested) list of several; pulled back, P numbers in place of each
)
Path: TypeAlias = dict[int, Number]  # component of the action that is followed -> its weight


class StateView(Protocol):
    """What a baseline or a critic looks at: a state, the policy there, and an action."""

    @property
    def problem(self) -> Problem: ...
    @property
    def s(self) -> Numbers: ...
    @property
    def eta(self) -> Numbers: ...
    @property
    def a(self) -> Numbers: ...


class StepView(StateView, Protocol):
    """One step of the trajectory: see `mcgrad.kernels.step_view.Step`."""

    graph: Graph
    e: Numbers
    w: Numbers
    s_next: Numbers
    sampled: Numbers
    reward: Number
    _p: Any
    _theta: Numbers
    _acting: tuple[Any, Any, Numbers]

    @property
    def fixed(self) -> frozenset[int]: ...
    @property
    def score(self) -> Numbers: ...
    @property
    def log_weight(self) -> Number: ...
    def score_given(self, path: frozenset[int]) -> Numbers: ...
    def outcome(self, a: Numbers) -> tuple[Numbers, Number]: ...
    def with_noise(self, e: Numbers) -> StateView: ...
    def replacements(self, count: int) -> Numbers: ...
    def branches(self, kind: Any) -> Numbers: ...
    def branch_time(self) -> Number: ...
    def direction(self) -> Numbers: ...
    def follow(self, adjoint: Numbers, reward: Number = 1.0, path: Path | None = None) -> tuple[Numbers, Numbers]: ...
    def sample_vjp(self, a: Numbers) -> Numbers: ...
    def policy_vjp(self, eta: Numbers) -> Numbers: ...
    def theta_vjp(self, eta: Numbers) -> Numbers: ...


class EndView(Protocol):
    """The end of the trajectory: see `mcgrad.kernels.step_view.End`."""

    problem: Problem
    s: Numbers
    reward: Number

    def reward_vjp(self, cotangent: Number) -> Numbers: ...


class StartView(Protocol):
    """The start of the trajectory: see `mcgrad.kernels.step_view.Start`."""

    s: Numbers

    def design_vjp(self, adjoint: Numbers) -> Numbers: ...
