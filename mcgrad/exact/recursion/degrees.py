"""Degrees in the state of all fields, from the terms that there are: never guessed, and never too small."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from ..theory import NoClosedForm
from .ring import Monomial, Pair, Poly
from .system import System, ordered

LARGEST = 64


class Degrees(NamedTuple):
    """Attributes.

    ----------
    mean, value : dict
        a -> the degree in the state of m_a, and of mu_a, state and noise apart.
    noise : dict
        a -> the degree of mu_a in the noise.
    covariance : dict
        (a, g) -> the degree of C_ag, -1 where it is zero: what depends on no noise has no covariance.
    """

    mean: dict
    value: dict
    noise: dict
    covariance: dict


class Reach(NamedTuple):
    """Degrees of a polynomial: in the state, in the noise, and in the state of those terms that depend on the noise."""

    state: int
    noise: int
    moved: int


def reach(poly: Poly, states: Container[str]) -> Reach:
    """Return the `Reach` of a polynomial in state and noise."""
    state = noise = 0
    moved = -LARGEST * LARGEST
    for names in poly:
        of_state = sum(x in states for x in names)
        state, noise = max(state, of_state), max(noise, len(names) - of_state)
        if of_state < len(names):
            moved = max(moved, of_state)
    return Reach(state, noise, moved)


def degrees(
    system: System,
    after: Sequence[Poly],
    last: Mapping[Monomial, Poly],
    states: Sequence[str],
    steps: int,
    later: Degrees | None = None,
) -> list[Degrees]:
    """Return the `Degrees` of the fields after the last step, before it, before the one before it, and so on.

    Where they settle, one entry stands for all. With `later` there is one step, and one entry: those before it.

    Parameters
    ----------
    system : System
    after : list of Poly
        The next state.
    last : dict
        a -> its polynomial after the last step.
    states : list of names
    steps : int
    later : Degrees, optional

    Raises
    ------
    NoClosedForm
        If degrees grow from step to step beyond all use.
    """
    names = frozenset(states)
    move = [reach(x, names) for x in after]
    up, noisy = max(x.state for x in move), max(x.noise for x in move)
    moved = max(x.moved for x in move)
    terms = {a: {b: reach(c, names) for b, c in row.items()} for a, row in system.terms.items()}

    def step(
        mean: dict[Monomial, int], covariance: dict[Pair, int]
    ) -> tuple[dict[Monomial, int], dict[Monomial, int], dict[Pair, int]]:
        """Return the degrees before a step from those after it."""
        value, own, noise, found = {}, {}, {}, {}
        for a, row in terms.items():
            pairs = [(c, mean[b] if b else 0) for b, c in row.items()] or [(Reach(0, 0, -1), 0)]
            value[a] = max(c.state + up * d for c, d in pairs)
            noise[a] = max(c.noise + noisy * d for c, d in pairs)
            inside = [c.state + up * (d - 1) + moved for c, d in pairs if d > 0]
            own[a] = max([-1, *(c.moved + up * d for c, d in pairs), *inside])
        for a, g in system.pairs:
            carried = [
                terms[a][x].state + terms[g][y].state + up * covariance[ordered(x, y)]
                for x in terms[a]
                for y in terms[g]
                if x and y and covariance[ordered(x, y)] >= 0
            ]
            found[a, g] = max([own[a] + own[g] if min(own[a], own[g]) >= 0 else -1, *carried])
        return value, noise, found

    if later is not None:
        value, noise, covariance = step(later.mean, later.covariance)
        return [Degrees(value, value, noise, covariance)]
    mean = {a: reach(x, names).state for a, x in last.items()}
    covariance = dict.fromkeys(system.pairs, -1)
    by_step = [Degrees(mean, mean, dict.fromkeys(mean, 0), covariance)]
    for _ in range(steps):
        value, noise, new = step(mean, covariance)
        grown = {a: max(d, mean[a]) for a, d in value.items()}
        new = {x: max(d, covariance[x]) for x, d in new.items()}
        if max([0, *grown.values(), *new.values()]) > LARGEST:
            raise NoClosedForm("no recursion on polynomials: their degree grows from step to step")
        here = Degrees(grown, {a: max(value[a], grown[a]) for a in grown}, noise, new)
        if grown == mean and new == covariance:
            return [here]
        mean, covariance = grown, new
        by_step.append(here)
    return by_step
