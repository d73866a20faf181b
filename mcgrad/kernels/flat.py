"""Components of theta that move the return through comparisons alone: their derivatives are zero on every trajectory.

A threshold in a `where`, the mean of a count, the bound at which an episode ends: each return is a step function of them,
and no derivative along the path sees what the expectation does. Such a zero is an answer only where what is compared takes
separate values.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from ..compiler.reach import RANDOM, reach
from ..compiler.trace import Graph, Number, Tracer
from .inputs import Inputs

Bits: TypeAlias = tuple[int, ...]  # what a number depends on, has a derivative in, and may jump in: see `reach`


def note_flat(inputs: Inputs, scored: bool) -> None:
    """Note the warning of components of theta that derivatives are blind to, in `inputs.flat`.

    Jumps that are declared have a warning of their own.
    """
    problem = inputs.problem
    if scored in inputs.flat or problem.environment.discontinuous or (problem.policy.no_pathwise and not scored):
        return  # it is said, or refused, by others
    inputs.flat[scored] = None
    if names := flat_parameters(inputs, scored):
        listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        inputs.flat[scored] = (
            f"no derivative sees {listed}: the returns of {problem.environment.name} depend on that through comparisons alone "
            "(`where`, floor, counts, `done`), and the gradient there is 0 on every trajectory, which is biased unless what is "
            "compared takes separate values. mcgrad.estimators.evolution_strategies and finite_differences see it"
        )


def flat_parameters(inputs: Inputs, scored: bool) -> tuple[str, ...]:
    """Return the names of these components of theta, for an estimator that scores the actions or one that follows them.

    Parameters
    ----------
    inputs : Inputs
    scored : bool
        Whether random actions have a density, whose derivative sees all that it depends on.
    """
    if not any(map(len, (inputs.e_names, inputs.w_names, inputs.z0_names))):
        return ()  # nothing is random
    parts = _parts(inputs, scored)
    depends, moves = _closed(parts)
    names = zip(inputs.problem.parameters, parts.theta, strict=True)
    return tuple(x for x, bit in names if depends & bit and not moves & bit)


def may_jump(inputs: Inputs) -> bool:
    """Tell whether a jump may lie on the way of what theta moves while the random actions are held fixed."""
    parts = _parts(inputs, scored=True)
    followed = [(bit, own) for bit, own in parts.made.items() if bit not in parts.densities]
    moved, before = sum(parts.theta), None
    while moved != before:
        before = moved
        for bit, own in followed:
            moved |= bit if own[0] & moved & ~RANDOM else 0
    return any(own[2] & moved for own in (parts.whole, *(own for _, own in followed)))


class _Parts(NamedTuple):
    """A problem in bits: those of theta; bit -> (depends, moves, jumps) of each part of a step; the same of a reward.

    The parts are the components of the state, of the action and of eta; `densities` are those actions that are scored.
    """

    theta: list
    made: dict
    whole: tuple
    densities: set


def _parts(inputs: Inputs, scored: bool) -> _Parts:
    graph = Graph()
    x, fresh = inputs.step(graph), (1 << k for k in itertools.count(1))
    states, actions, etas = ([next(fresh) for _ in part] for part in (x.s, x.a, x.eta))
    theta = [next(fresh) for _ in inputs.problem.parameters]
    design = theta[len(x._theta) :]
    seeds = _seeds(x.e + x.w, itertools.repeat(0), RANDOM) | _seeds(x._theta + x._design, theta)
    seeds |= _seeds(x.s, states, RANDOM) | _seeds(x.a, actions, RANDOM) | _seeds(x.eta, etas, RANDOM)
    found = reach(graph, seeds)
    made = dict(zip(states + actions + etas, _of(found, x.s_next + x.sampled + x._eta), strict=True))
    (whole,) = _of(found, [x.reward])
    fixed = x.fixed if scored else range(len(actions))

    graph = Graph()
    end = inputs.end(graph)
    (last,) = _of(reach(graph, _seeds(end.s, states, RANDOM) | _seeds(end._design, design)), [end.reward])

    graph = Graph()
    start, z = inputs.start(graph), inputs.many(graph, inputs.z0_names)
    first = _of(reach(graph, _seeds(z, itertools.repeat(0), RANDOM) | _seeds(start._design, design)), start.s)
    made |= {bit: _both(made[bit], own) for bit, own in zip(states, first, strict=True)}
    return _Parts(theta, made, _both(whole, last), {bit for i, bit in enumerate(actions) if i not in fixed})


def _closed(parts: _Parts) -> tuple[int, int]:
    """Return (depends, moves) of the return, from those of one reward and of what this is made of."""
    depends, moves, _ = parts.whole
    before = None
    while (depends, moves) != before:
        before = depends, moves
        for bit, (own_depends, own_moves, _) in parts.made.items():
            if depends & bit:
                depends |= own_depends
                if bit in parts.densities:  # the return is data, and the density is smooth
                    moves |= own_depends
            if moves & bit and bit not in parts.densities:
                moves |= own_moves
    return depends, moves


def _both(first: Bits, second: Bits) -> Bits:
    return tuple(x | y for x, y in zip(first, second, strict=True))


def _seeds(numbers: Iterable[Number], bits: Iterable[int], also: int = 0) -> dict[int, int]:
    return {x.index: bit | also for x, bit in zip(numbers, bits, strict=False) if isinstance(x, Tracer)}


def _of(found: tuple[list[int], list[int], list[int]], numbers: Iterable[Number]) -> list[Bits]:
    return [tuple(bits[x.index] if isinstance(x, Tracer) else 0 for bits in found) for x in numbers]
