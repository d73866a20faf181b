"""Grids, noise, start and box, refined together until nothing moves; and if they do not come to rest, which of them it is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ... import validate
from ...problem import Problem
from ..theory import NoClosedForm
from .branched import Branched
from .cells import Cells
from .chain import Chain
from .cuts import axis_breaks
from .edges import Edge, edges
from .grids import ROUGH, Grid
from .laws import NORMAL
from .nodal import Nodal
from .noise import Quadrature
from .periods import periods
from .reachable import Reachable
from .resolution import unseen
from .ring import Array, Monomial, Pair, Values
from .work import TooMuch, Work

PILOTS, SEED = 4096, 1
# Nodes of what a noise moves besides the state, and of a noise that moves the start, where states are found one by one.
STATES = ((4, 1), (6, 2), (8, 3), (10, 4), (12, 5), (14, 6), (18, 8))
LARGEST = 60_000_000  # numbers in the matrices of a step
BUILT = 20  # operations that a number in the matrices of a step takes
# Points of the coarsest grid along an axis, their growth, and the points of a stencil, by the number of states.
START = {1: (30, 1.5, 8), 2: (12, 1.41, 8), 3: (8, 1.3, 6)}


@dataclasses.dataclass(frozen=True)
class Level:
    """How fine everything is.

    Attributes
    ----------
    counts : int
        Points along an axis of the grid.
    noise, panel, first : int
        Nodes of a noise, of a panel of a broken one, and of a noise of the start.
    reach : float
        The box, as a multiple of the range of pilot trajectories about its middle.
    """

    counts: int
    noise: int
    panel: int
    first: int
    reach: float


PARTS = {"grid": ("counts",), "noise": ("noise", "panel"), "start": ("first",), "box": ("counts", "reach")}


def level(states: int, k: int, finer: Sequence[str] = ()) -> Level:
    """Return the k-th level of refinement for a number of states, each finer in all; with some of `PARTS` from the next one."""
    points, growth, _ = START[states]
    found = Level(
        counts=round(points * growth**k),
        noise=6 + 2 * k if k < 6 else round(18 * 1.22 ** (k - 6)),
        panel=2 + k,
        first=round(8 * growth**k),
        reach=1.1 * 1.12**k,
    )
    if not finer:
        return found
    fine = level(states, k + 1)
    changes = {x: getattr(fine, x) for part in finer for x in PARTS[part]}
    if "box" in finer:  # with points as far apart as before
        changes["counts"] = int(np.ceil(found.counts * fine.reach / found.reach))
    return dataclasses.replace(found, **changes)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a recursion may cost and when it has converged.

    Attributes
    ----------
    tolerance : float
    work : Work
    box : pair of (n,) arrays, or None
    explains : bool
        Whether it is found out which of `PARTS` moves most where nothing comes to rest: that takes up to three times as long.
    reason : Exception or None
        Why there are no polynomials.
    """

    tolerance: float
    work: Work
    box: tuple[np.ndarray, np.ndarray] | None = None
    explains: bool = True
    reason: Exception | None = None


def approximate(asked: Callable[..., Any], options: Options) -> Any:
    """Return what is asked on the states that can be reached, where these are few, else on grids."""
    try:
        return on_states(asked, options)
    except NoClosedForm as no_table:
        try:
            return on_grids(asked, options)
        except NoClosedForm as no_grid:
            both = dict.fromkeys([str(no_grid), str(no_table)])
            raise NoClosedForm("; ".join(both)) from None


def on_grids(asked: Callable[..., Any], options: Options) -> Any:
    """Return what is asked on grids that have converged.

    Parameters
    ----------
    asked : callable
        asked(make, name of the space) -> a record with `moved_from(before)`, `space`, `change` and `left`; it runs the
        recursion in the spaces that make(chain, first, pairs) returns.
    options : Options
    """
    boxes: dict[Any, Any] = {}
    done: list[tuple[int, Any]] = []
    hidden = None
    try:
        for k in itertools.count():
            made: list[tuple[Nodal, Level]] = []
            done.append((k, _at(k, (), asked, boxes, options, options.work, made)))
            change = done[-1][1].moved_from(done[-2][1]) if len(done) > 1 else np.inf
            if change <= options.tolerance:
                hidden = _unseen(made)
                if not hidden:
                    change = MappingProxyType({"grid, noise, start and box": change})
                    return dataclasses.replace(done[-1][1], change=change)
    except TooMuch:
        pass
    if hidden:
        raise NoClosedForm(f"no grid within work={options.work.units:g} is fine enough: there may be {hidden}")
    raise NoClosedForm(_complaint(done, asked, boxes, options))


def on_states(asked: Callable[..., Any], options: Options) -> Any:
    """Return what is asked on all states that can be reached; where something is left to integrate, ever more finely.

    See `on_grids`.
    """
    before, change = None, np.inf

    def spend(operations: float, memory: float) -> None:
        options.work.spend(operations if memory <= LARGEST else np.inf)

    for panel, first in STATES:
        rule = Cells(panel, first, spend)
        made: list[Reachable] = []

        def make(
            chain: Chain,
            monomials: Iterable[Monomial],
            pairs: Sequence[Pair],
            rule: Cells = rule,
            made: list[Reachable] = made,
        ) -> Reachable:
            made.append(Reachable(chain, monomials, pairs, rule))
            return made[-1]

        try:
            after = asked(make, "a table")
        except TooMuch:
            raise NoClosedForm(f"no table of states is found within work={options.work.units:g}") from None
        most = max(made, key=lambda x: x.states)
        found = {"space": f"a table of {most.states} states that can be reached"}
        after = dataclasses.replace(after, **found, **({"states": most.found} if hasattr(after, "states") else {}))
        if not rule.approximate:
            return after
        if before is not None:
            change = after.moved_from(before)
            if change <= options.tolerance:
                return dataclasses.replace(
                    after, change=MappingProxyType({" and ".join(sorted(rule.approximate)): change})
                )
        before = after
    what = " and ".join(sorted(rule.approximate))
    raise NoClosedForm(
        f"no convergence to {options.tolerance:g} on a table of states: the {what} moves what is asked for by {change:.1e}"
    )


def _at(
    k: int,
    finer: Sequence[str],
    asked: Callable[..., Any],
    boxes: dict[Any, Any],
    options: Options,
    work: Work,
    made: list[tuple[Nodal, Level]] | None = None,
) -> Any:
    """Return what is asked at level k, with some parts finer; the spaces that were made are put into `made`."""
    made = [] if made is None else made

    def make(chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair]) -> Nodal:
        if chain.states not in START:
            raise NoClosedForm(f"{options.reason}; and {chain.states} states, which are too many for a grid")
        direction = chain.model.direction
        key = tuple(chain.trajectories), None if direction is None else direction.tobytes()
        if key not in boxes:
            boxes[key] = pilot_box(chain, options.box), periods(chain)
        how = level(chain.states, k, finer)
        ((low, high), turns), found = boxes[key], edges(chain, list(chain.carries))
        middle, half = (low + high) / 2, (high - low) / 2 * how.reach
        low, high, breaks = _one_turn(chain, found, middle - half, middle + half, turns)
        order = min(ROUGH if any(breaks) else START[chain.states][2], how.counts)
        mesh = Grid(low, high, [how.counts] * chain.states, breaks, order, [x is not None for x in turns])

        def spend(operations: float, memory: float) -> None:
            work.spend(operations if memory <= LARGEST else np.inf)

        of_grid = Branched if chain.branches else Nodal
        space = of_grid(chain, first, pairs, mesh, Quadrature(how.noise, how.panel, how.first, spend))
        memory, operations = space.size()
        begun = float(how.first) ** len(chain.noises(start=True)) * mesh.width
        spend(operations * space.horizon + BUILT * memory + begun, max(memory, begun))
        made.append((space, how))
        return space

    found = asked(make, "a grid")
    counts = max(how.counts for _, how in made)
    left = max(0.0, *(space.left for space, _ in made))  # interpolated: a chance of zero may come out below
    return dataclasses.replace(found, space=f"a grid of {counts} points an axis", left=left)


def _unseen(made: list[tuple[Nodal, Level]]) -> str | None:
    """Return what may be hidden between the nodes of some spaces."""
    for space, how in made:
        nodes = min(how.noise, max(how.panel, how.noise // 2))
        found = unseen(space.chain, space.mesh.low, space.mesh.high, how.counts, nodes)
        if found:
            return found
    return None


def _one_turn(
    chain: Chain, found: list[Edge], low: Array, high: Array, turns: Sequence[float | None]
) -> tuple[Array, Array, list[list[float]]]:
    """Return (low, high) with one turn of each angle, which begins where something breaks, and the breaks of all axes."""
    angles, turn = np.array([x is not None for x in turns]), np.array([x or 0.0 for x in turns])
    low, high = np.where(angles, -turn / 2, low), np.where(angles, turn / 2, high)
    breaks = axis_breaks(chain, found, low, high)
    for i in np.flatnonzero(angles):
        inner = [x for x in breaks[i] if x < high[i] - 1e-9 * turn[i]]  # its end is its beginning
        low[i] = inner[0] if inner else low[i]
        high[i], breaks[i] = low[i] + turn[i], inner
    return low, high, breaks


def _complaint(done: list[tuple[int, Any]], asked: Callable[..., Any], boxes: dict[Any, Any], options: Options) -> str:
    """Return a message that says which of grid, noise, start and box moved the moments, by refining each alone."""
    reason, work = options.reason, options.work.units
    if len(done) < 2:
        return f"{reason}; and no grid converges within work={work:g}: two levels of refinement take more"
    (k, before), (_, after) = done[-2:]
    if not options.explains:
        return f"no convergence to {options.tolerance:g} within work={work:g}"
    # Each part alone costs no more than all of them together did at the last level, which was most of the work.
    found, explaining = [], Work(3 * options.work.units)
    try:
        for what in PARTS:
            found.append((_at(k, (what,), asked, boxes, options, explaining).moved_from(before), what))
    except TooMuch:
        pass
    found.sort(reverse=True)
    alone = ", ".join(f"{what} {x:.1e}" for x, what in found)
    most = f"; refined alone: {alone}. It is the {found[0][1]} that moves most" if len(found) == len(PARTS) else ""
    grids = f"from {before.space} to {after.space}"
    return (
        f"no convergence to {options.tolerance:g} within work={work:g}: {grids} what is asked for moved by "
        f"{after.moved_from(before):.1e}{most}; allow more work, a "
        f"larger tolerance, or a shorter horizon. (No polynomials: {reason})"
    )


def pilot_box(chain: Chain, given: tuple[Array, Array] | None) -> tuple[Array, Array]:
    """Return the range of the states of pilot trajectories, or what is given, (chain.states,) each."""
    if given is not None:
        low, high = (np.tile(x, len(chain.trajectories)) for x in given)
        return low, high
    random = np.random.default_rng(SEED)

    def draw(kinds: Mapping[str, str]) -> Values:
        return {
            k: random.standard_normal(PILOTS) if kind == NORMAL else random.random(PILOTS) for k, kind in kinds.items()
        }

    state = [np.broadcast_to(x, PILOTS) for x in chain.start(draw(chain.noises(start=True)))]
    low, high = np.full(chain.states, np.inf), np.full(chain.states, -np.inf)
    for t in range(chain.problem.horizon + 1):
        for i, x in enumerate(state):
            x = np.asarray(x)[np.isfinite(x)]
            low[i], high[i] = min(low[i], x.min(initial=np.inf)), max(high[i], x.max(initial=-np.inf))
        if t < chain.problem.horizon:
            after = chain.next_states(chain.model.rows(t), state, draw(chain.noises()))
            state = [np.broadcast_to(x, PILOTS) for x in after]
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise NoClosedForm("no grid: pilot trajectories overflow")
    wide = np.maximum(high - low, 1e-6 * np.maximum(np.abs(low), np.abs(high)) + 1e-12)
    return (low + high - wide) / 2, (low + high + wide) / 2


def checked_box(box: object, problem: Problem) -> tuple[Array, Array] | None:
    """Return (low, high) as arrays (n,), or None."""
    if box is None:
        return None
    if not isinstance(box, (tuple, list)) or len(box) != 2:
        raise ValueError(f"box: expected (low, high), got {validate.describe(box)}")
    n = problem.environment.states
    low, high = (validate.array("box", x, (n,)) for x in box)
    if not (low < high).all():
        raise ValueError(f"box: expected low < high, got {low.tolist()} and {high.tolist()}")
    return low, high


def checked_options(problem: Problem, tolerance: float, box: object, work: float) -> Options:
    """Return the arguments of `moments` and of `value` that say what may be done, checked."""
    tolerance = validate.number("tolerance", tolerance, above=0.0)
    return Options(tolerance, Work(validate.number("work", work, above=0.0), shown=True), checked_box(box, problem))
