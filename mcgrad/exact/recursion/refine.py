"""Grids, noise, start and box, refined together until nothing moves; and if they do not come to rest, which of them it is."""

import dataclasses
import itertools
from types import MappingProxyType

import numpy as np

from .chain import NORMAL
from .edges import axis_breaks, edges
from .grids import ROUGH, Grid
from .nodal import Nodal
from .noise import Quadrature
from .refusal import NoClosedForm

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


PARTS = {"grid": ("counts",), "noise": ("noise", "panel", "points"), "start": ("first",), "box": ("counts", "reach")}


def level(states, k, finer=()):
    """Return the k-th level of refinement for a number of states, with some of `PARTS` from the next one."""
    points, growth, _ = START[states]
    found = Level(
        counts=round(points * growth**k),
        noise=6 + 2 * k if k < 6 else round(18 * 1.22 ** (k - 6)),
        panel=5 + k,
        first=round(8 * 1.3**k),
        reach=1.1 + 0.1 * k,
        points=int(33 * 1.22**k),
    )
    if not finer:
        return found
    fine = level(states, k + 1)
    changes = {x: getattr(fine, x) for part in finer for x in PARTS[part]}
    if "box" in finer:  # with points as far apart as before
        changes["counts"] = int(np.ceil(found.counts * fine.reach / found.reach))
    return dataclasses.replace(found, **changes)


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


def on_grids(asked, options):
    """Return the `ExactMoments` on grids that have converged.

    Parameters
    ----------
    asked : callable
        asked(solver, space) -> ExactMoments.
    options : dict
        tolerance, box and work; and the reason why there are no polynomials.
    """
    boxes = {}
    work, tolerance = Work(options["work"]), options["tolerance"]
    done = []
    try:
        for k in itertools.count():
            done.append((k, _at(k, {}, asked, boxes, options, work)))
            if len(done) > 1:
                change = moved(done[-2][1], done[-1][1])
                if change <= tolerance:
                    return dataclasses.replace(
                        done[-1][1], change=MappingProxyType({"grid, noise, start and box": change})
                    )
    except TooMuch:
        pass
    raise NoClosedForm(_complaint(done, asked, boxes, options))


def _at(k, finer, asked, boxes, options, work):
    """Return the moments at level k, with some parts finer."""
    left = []

    def solver(chain, first, pairs, outputs, output_pairs):
        if chain.states not in START:
            raise NoClosedForm(f"{options['reason']}; and {chain.states} states, which are too many for a grid")
        key = tuple(chain.trajectories)
        if key not in boxes:
            boxes[key] = _box(chain, options["box"])
        how = level(chain.states, k, finer)
        low, high = boxes[key]
        middle, half = (low + high) / 2, (high - low) / 2 * how.reach
        rule = Quadrature(how.noise, how.panel, how.first, how.points)
        low, high = middle - half, middle + half
        breaks = _breaks(chain, low, high)
        order = min(ROUGH if any(breaks) else START[chain.states][2], how.counts)
        space = Nodal(chain, first, pairs, Grid(low, high, [how.counts] * chain.states, breaks, order), rule)
        work.spend(space.work * space.horizon)
        fields = space.last()
        for t in reversed(range(space.horizon)):
            fields = space.back(t, fields)
        answer = space.start(fields, outputs, output_pairs)
        left.append(space.left)
        counts.append(how.counts)
        return answer

    counts = []
    found = asked(solver, "a grid")
    return dataclasses.replace(found, space=f"a grid of {max(counts)} points an axis", left=max(left))


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
            scale = np.abs(y.fourth) + 1e-300
            change = max(change, np.max(np.abs(x.fourth - y.fourth) / scale))
            change = max(change, np.max(np.abs(x.third - y.third) / scale**0.75))
    for i in names:
        for j in names:
            if i < j:
                a, b = after.names[i], after.names[j]
                scale = np.sqrt(after[a].variance * after[b].variance)
                difference = np.abs(before.covariance(a, b) - after.covariance(a, b))
                change = max(change, np.max(difference / (scale + 1e-9 * scale.max() + 1e-300)))
    return float(change) if np.isfinite(change) else np.inf


def _complaint(done, asked, boxes, options):
    """Return a message that says which of grid, noise, start and box moved the moments, by refining each alone."""
    reason, work = options["reason"], options["work"]
    if len(done) < 2:
        return f"{reason}; and no grid converges within work={work:g}: two levels of refinement take more"
    (k, before), (_, after) = done[-2:]
    found = sorted(
        ((moved(before, _at(k, (what,), asked, boxes, options, Work(np.inf))), what) for what in PARTS), reverse=True
    )
    return (
        f"no convergence to {options['tolerance']:g} within work={work:g}: from {before.space} to {after.space} the moments "
        f"moved by {moved(before, after):.1e}; refined alone: {', '.join(f'{what} {x:.1e}' for x, what in found)}. It is the "
        f"{found[0][1]} that moves most; allow more work, a larger tolerance, or a shorter horizon. (No polynomials: {reason})"
    )


def _box(chain, given):
    """Return the range of the states of pilot trajectories, or what is given, (chain.states,) each."""
    if given is not None:
        return tuple(np.tile(x, len(chain.trajectories)) for x in given)
    random = np.random.default_rng(SEED)

    def draw(kinds):
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
