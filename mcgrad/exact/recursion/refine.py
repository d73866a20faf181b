"""Grids, noise, start and box, refined together until nothing moves; and if they do not come to rest, which of them it is."""

import dataclasses
import itertools
from types import MappingProxyType

import numpy as np

from .refusal import NoClosedForm
from .chain import NORMAL
from .edges import axis_breaks, edges
from .grids import ROUGH, Grid
from .nodal import Nodal
from .noise import Quadrature

PILOTS, SEED = 4096, 1
OPERATIONS = 1.5e8  # what is counted as a unit of work: about a second of a slow core
# Points of the coarsest grid along an axis, their growth, and the points of a stencil, by the number of states.
START = {1: (30, 1.5, 8), 2: (12, 1.41, 8), 3: (7, 1.25, 6), 4: (4, 1.2, 6)}


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
    points : int
        At how many points breaks are looked for.
    """

    counts: int
    noise: int
    panel: int
    first: int
    reach: float
    points: int = 65


def levels(states):
    """Yield the levels of refinement for a number of states, coarse ones first, without an end."""
    points, growth, _ = START[states]
    for k in itertools.count():
        finer = 1.22**k
        yield Level(
            counts=int(round(points * growth**k)),
            noise=int(round(6 + 2 * k if k < 6 else 18 * 1.22 ** (k - 6))),
            panel=5 + k,
            first=int(round(8 * 1.3**k)),
            reach=1.1 + 0.1 * k,
            points=int(33 * finer),
        )


class TooMuch(Exception):
    """The work that is left is not enough for a level."""


class Work:
    """Counts operations, so that what is found does not depend on how fast a machine is."""

    def __init__(self, units):
        self.left = units * OPERATIONS

    def spend(self, operations):
        if operations > self.left:
            raise TooMuch
        self.left -= operations


def on_grids(model, asked, options, reason):
    """Return the `ExactMoments` on grids that have converged.

    Parameters
    ----------
    model : Model
    asked : callable
        asked(solver, space) -> ExactMoments.
    options : dict
        tolerance, box and work.
    reason : Exception
        Why there are no polynomials.
    """
    states = max(chain.states for chain in model.chains.values())
    if not all(chain.states in START for chain in model.chains.values()):
        raise NoClosedForm(f"{reason}; and {states} states, which are too many for a grid") from reason
    boxes = {chain: _box(chain, options["box"]) for chain in model.chains.values()}
    work, tolerance = Work(options["work"]), options["tolerance"]
    plan, done = levels(states), []
    try:
        for level in plan:
            done.append((level, _at(level, asked, boxes, work)))
            if len(done) > 1:
                change = moved(done[-2][1], done[-1][1])
                if change <= tolerance:
                    return dataclasses.replace(done[-1][1], change=MappingProxyType({"grid, noise, start and box": change}))
    except TooMuch:
        pass
    raise NoClosedForm(_complaint(done, asked, boxes, options, reason))


def _at(level, asked, boxes, work):
    """Return the moments at one level."""
    left = []

    def solver(chain, first, pairs, outputs, output_pairs):
        low, high = boxes[chain]
        middle, half = (low + high) / 2, (high - low) / 2 * level.reach
        rule = Quadrature(level.noise, level.panel, level.first, level.points)
        low, high = middle - half, middle + half
        breaks = _breaks(chain, low, high)
        order = min(ROUGH if any(breaks) else START[chain.states][2], level.counts)
        space = Nodal(chain, first, pairs, Grid(low, high, [level.counts] * chain.states, breaks, order), rule)
        work.spend(space.work * space.horizon)
        fields = space.last()
        for t in reversed(range(space.horizon)):
            fields = space.back(t, fields)
        answer = space.start(fields, outputs, output_pairs)
        left.append(space.left)
        return answer

    found = asked(solver, f"a grid of {level.counts} points an axis")
    return dataclasses.replace(found, left=max(left, default=0.0))


def _breaks(chain, low, high):
    return axis_breaks(chain, edges(chain, list(chain.carries)), low, high)


def moved(before, after):
    """Return the largest change of a moment: of a mean, of a variance, and of higher moments, each to its own scale."""
    names = range(len(after.names))
    change = 0.0
    for e in names:
        x, y = before[before.names[e]], after[after.names[e]]
        scale = max(np.abs(y.mean).max(), 1e-3 * np.sqrt(y.variance.max()), 1e-300)
        change = max(change, np.abs(x.mean - y.mean).max() / scale)
        own = np.maximum(y.variance, 1e-9 * y.variance.max()) + 1e-300
        change = max(change, np.max(np.abs(x.variance - y.variance) / own))
        if y.fourth is not None:
            change = max(change, np.max(np.abs(x.fourth - y.fourth) / (np.abs(y.fourth) + 1e-300)))
            change = max(change, np.max(np.abs(x.third - y.third) / (own**0.25 * (np.abs(y.fourth) + 1e-300) ** 0.625 + 1e-300)))
    for i in names:
        for j in names:
            if i < j:
                a, b = after.names[i], after.names[j]
                scale = np.sqrt(after[a].variance * after[b].variance)
                difference = np.abs(before.covariance(a, b) - after.covariance(a, b))
                change = max(change, np.max(difference / (scale + 1e-9 * scale.max() + 1e-300)))
    return float(change) if np.isfinite(change) else np.inf


def _complaint(done, asked, boxes, options, reason):
    """Return a message that says which of grid, noise, start and box moved the moments, by refining each alone."""
    if len(done) < 2:
        return f"{reason}; and no grid converges within work={options['work']:g}: two levels of refinement take more"
    (coarse, before), (fine, after) = done[-2:]
    parts = {
        "grid": {"counts": fine.counts},
        "noise": {"noise": fine.noise, "panel": fine.panel, "points": fine.points},
        "start": {"first": fine.first},
        "box": {"reach": fine.reach},
    }
    found = []
    for what, changes in parts.items():
        try:
            level = dataclasses.replace(coarse, **changes)
            if what == "box":  # a larger box with points as far apart
                level = dataclasses.replace(level, counts=int(np.ceil(coarse.counts * fine.reach / coarse.reach)))
            found.append((moved(before, _at(level, asked, boxes, Work(np.inf))), what))
        except NoClosedForm:
            continue
    said = ", ".join(f"{what} {x:.1e}" for x, what in sorted(found, reverse=True))
    worst = max(found)[1] if found else "all"
    return (
        f"no convergence to {options['tolerance']:g} within work={options['work']:g}: from {coarse.counts} to {fine.counts} points an "
        f"axis the moments moved by {moved(before, after):.1e}; refined alone: {said}. It is the {worst} that moves most; allow "
        f"more work, a larger tolerance, or a shorter horizon. (No polynomials: {reason})"
    )


def _box(chain, given):
    """Return the range of the states of pilot trajectories, or what is given, (chain.states,) each."""
    if given is not None:
        return tuple(np.tile(x, len(chain.trajectories)) for x in given)
    random = np.random.default_rng(SEED)

    def draw(kinds):
        return {k: random.standard_normal(PILOTS) if kind == NORMAL else random.random(PILOTS) for k, kind in kinds.items()}

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


