"""The texts that draw the noise of a rollout: random numbers made on the spot, or points that are given.

A rollout draws z for its start and (e, w) at each step; each is a tuple of standard normals and of numbers that are
uniform on (0, 1). Rollouts of one trajectory that need noise of their own draw it from another stream.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from ..compiler.backends import Function
from ..compiler.noise import INITIAL, PARAMETERS
from ..problem import Problem

Kinds: TypeAlias = tuple[str, ...]  # of noise
Stream: TypeAlias = int | str  # of noise: its number, or `MEMBER`

NORMAL, UNIFORM = "normal", "uniform"
MEMBER = "member"  # the number of a member of a group in a loop over them: its stream
STREAMS = 16  # trajectory numbers leave room for so many; members from there on draw the noise of far-away times
FAR = 2**29  # steps


def kinds(normals: int, uniforms: int) -> Kinds:
    """Return the kinds of noise of a function: its normals come first."""
    return (NORMAL,) * normals + (UNIFORM,) * uniforms


def of_problem(problem: Problem) -> tuple[Kinds, Kinds, int]:
    """Return the kinds of z, the kinds of (e, w), and the number of parameters."""
    policy, environment = problem.policy, problem.environment
    start = kinds(environment.initial_noises, environment.initial_uniforms)
    step = kinds(policy.noises, policy.uniforms) + kinds(environment.noises, environment.uniforms)
    return start, step, len(problem.parameters)


@dataclasses.dataclass(frozen=True)
class Random:
    """Noise made on the spot: `start`, `step` and `direction` are the calls that draw it.

    Attributes
    ----------
    of_start, of_step : tuple
        The kinds of z and of (e, w).
    parameters : int
        P, the number of normals of a perturbation of theta.
    """

    of_start: Kinds
    of_step: Kinds
    parameters: int
    rows = 0
    kinds: ClassVar[Kinds] = ()  # of the rows

    def start(self, stream: Stream = 0) -> str:
        return f"noise_start(seed, {_number(stream)}, {INITIAL}{_far('-', stream)})"

    def step(self, stream: Stream = 0, time: str = "t") -> str:
        return f"noise_step(seed, {_number(stream)}, {time}{_far('+', stream)})"

    def direction(self) -> str:
        return f"noise_theta(seed, i, {PARAMETERS})"

    def texts(self, directions: bool) -> tuple[list[str], list[Function]]:
        """Return texts and functions; `directions`: whether some rollout perturbs theta."""
        wanted = {"noise_start": self.of_start, "noise_step": self.of_step}
        if directions:
            wanted["noise_theta"] = kinds(self.parameters, 0)
        texts = [_random_text(name, of) for name, of in wanted.items()]
        return texts, [(name, 3, len(of)) for name, of in wanted.items()]


@dataclasses.dataclass(frozen=True)
class Given(Random):
    """Noise from the rows of an array `points`: those of each stream (start, then one step after the other), then theta's.

    Attributes
    ----------
    horizon : int
    streams : tuple of int
        The streams that the rollouts of a kernel draw from.
    directions : bool
        Whether some rollout perturbs theta.
    start_only : bool
        Whether the points are for the start alone; all else is then random.
    """

    horizon: int
    streams: tuple[int, ...]
    directions: bool
    start_only: bool

    @property
    def kinds(self) -> Kinds:  # type: ignore[override]  # computed, where others keep it
        """The kind of each row."""
        of_stream = self.of_start + (() if self.start_only else self.of_step * self.horizon)
        directions = kinds(self.parameters, 0) if self.directions and not self.start_only else ()
        return of_stream * len(self.streams) + directions

    @property
    def rows(self) -> int:  # type: ignore[override]  # computed, where others keep it
        """Number of rows: the dimension of a point."""
        return len(self.kinds)

    def start(self, stream: Stream = 0) -> str:
        return f"point_start(points[{self._first(stream)} :], b)"

    def step(self, stream: Stream = 0, time: str = "t") -> str:
        if self.start_only:
            return super().step(stream, time)
        return f"point_step(points[{self._first(stream)} + {len(self.of_start)} + {time} * {len(self.of_step)} :], b)"

    def direction(self) -> str:
        if self.start_only:
            return super().direction()
        return f"point_theta(points[{first_row(str(len(self.streams)), self.of_start, self.of_step)} :], b)"

    def texts(self, directions: bool) -> tuple[list[str], list[Function]]:
        # What branches off, and directions that are drawn anew on the way, are random in any case.
        texts, functions = super().texts(directions)
        given = {"point_start": len(self.of_start), "point_step": len(self.of_step), "point_theta": self.parameters}
        texts += [_given_text(name, count) for name, count in given.items()]
        return texts, functions + [(name, 2, count) for name, count in given.items()]

    def _first(self, stream: Stream) -> str:
        """Return the first row of a stream; the text of a kernel is the same for all horizons."""
        place = MEMBER if stream == MEMBER else str(self.streams.index(int(stream)))
        return first_row(place, self.of_start, () if self.start_only else self.of_step)


def first_row(place: str, of_start: Kinds, of_step: Kinds) -> str:
    """Return the text of the first row of the stream at a place among those that points are given for."""
    return "0" if place == "0" else f"{place} * ({len(of_start)} + horizon * {len(of_step)})"


def flip_text(name: str, signs: Sequence[tuple[int, str]]) -> str:
    """Return a function that mirrors noise: -z for a normal, 1 - u for a uniform number, where the sign is negative."""
    values = [
        f"z[{k}]" if sign > 0 else (f"-z[{k}]" if kind == NORMAL else f"1.0 - z[{k}]")
        for k, (sign, kind) in enumerate(signs)
    ]
    return f"def {name}(z):\n    return ({' '.join(f'{x},' for x in values)})\n"


def _number(stream: Stream) -> str:
    if stream == MEMBER:
        return f"stream(i, {MEMBER} % {STREAMS})"
    return f"stream(i, {stream})" if stream else "i"


def _far(sign: str, stream: Stream) -> str:
    return f" {sign} {MEMBER} // {STREAMS} * {FAR}" if stream == MEMBER else ""


def _random_text(name: str, of: Kinds) -> str:
    """Return a function that makes normals from the first blocks, two from each, and uniform numbers from those after."""
    normals, uniforms = ([f"z{k}" for k, other in enumerate(of) if other == kind] for kind in (NORMAL, UNIFORM))
    pairs = zip(normals[::2], [*normals[1::2], "_"], strict=False)  # of an odd number the last one is not used
    drawn = [(f"{x}, {y}", "normal_pair") for x, y in pairs] + [(x, "uniform") for x in uniforms]
    lines = [f"    {names} = {function}(seed, i, t, {block})" for block, (names, function) in enumerate(drawn)]
    values = " ".join(f"z{k}," for k in range(len(of)))
    return f"def {name}(seed, i, t):\n" + "\n".join([*lines, f"    return ({values})"]) + "\n"


def _given_text(name: str, count: int) -> str:
    values = " ".join(f"point(points, {k}, b)," for k in range(count))
    return f"def {name}(points, b):\n    return ({values})\n"
