"""The box that a grid begins with: where pilot trajectories are, or what a user gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import validate
from ...problem import Problem
from ..theory import NoClosedForm
from .chain import Chain
from .laws import NORMAL
from .ring import Array, Values

PILOTS, SEED = 4096, 1


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
