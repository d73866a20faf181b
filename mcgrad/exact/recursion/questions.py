"""What is asked of each chain, and how the moments of gradients follow from the answers.

A gradient is a polynomial in the carries of its chains. Of one chain, its components are asked for themselves. Of several
chains, which are independent, the factors of each term are: E X_1 Y_2 = E X_1 E Y_2, and

    Cov(X_1 X_2, Y_1 Y_2) = prod_i (C_i + E X_i E Y_i) - prod_i E X_i E Y_i,    C_i = Cov(X_i, Y_i).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..theory import NoClosedForm
from .chain import AT, Chain, Model
from .ring import EXP, Monomial, Pair, Poly, lift, plus, times
from .system import Outputs, ordered, split

MOST_TERMS = 20_000
Make: TypeAlias = Callable[..., Any]  # make(chain, first, pairs) -> a space of functions
Solve: TypeAlias = Callable[..., Any]  # solve(chain, first, pairs, outputs, output_pairs) -> means, covariances


class Answers:
    """Moments of polynomials in the carries of a model's chains.

    Parameters
    ----------
    model : Model
    targets : dict
        Name -> polynomial.
    pairs : sequence of pairs of names
        Whose covariances are asked for.
    solve : callable
        solve(chain, first, pairs, outputs, output_pairs) -> means {output: float}, covariances {pair: float}.

    Attributes
    ----------
    mean, covariance : dict
    """

    mean: dict[Any, Any]
    covariance: dict[Any, Any]

    def __init__(self, model: Model, targets: Mapping[Any, Poly], pairs: Sequence[Any], solve: Solve) -> None:
        pairs = [ordered(*x) for x in pairs]
        if len(model.chains) == 1:
            ((stream, chain),) = model.chains.items()
            outputs = {k: split(_own(g, stream), chain.carries) for k, g in targets.items()}
            self.mean, self.covariance = {}, {}
            for part, mine, own in _apart(chain, outputs, pairs):
                mean_of, covariance_of = ask(part, mine, own, solve)
                self.mean |= mean_of
                self.covariance |= covariance_of
            return
        factors = {k: [(_factors(names, model), c) for names, c in g.items()] for k, g in targets.items()}
        if sum(len(factors[a]) * len(factors[g]) for a, g in pairs) > MOST_TERMS:
            raise NoClosedForm("no recursion: too many terms in what is made of so many independent rollouts")
        wanted: dict[Chain, dict[Any, dict[Monomial, Poly]]] = {}
        among: dict[Chain, dict[Pair, bool]] = {}
        for terms in factors.values():
            for term, _ in terms:
                for stream, mono in term.items():
                    wanted.setdefault(model.chains[stream], {})[mono] = {mono: lift(1.0)}
        for a, g in pairs:
            for (x, _), (y, _) in itertools.product(factors[a], factors[g]):
                for stream in x.keys() & y.keys():
                    among.setdefault(model.chains[stream], {})[ordered(x[stream], y[stream])] = True
        found = {c: ask(c, outputs, list(among.get(c, {})), solve) for c, outputs in wanted.items()}

        def mean(stream: int, mono: Monomial) -> float:
            return found[model.chains[stream]][0][mono] if mono else 1.0

        def of_term(x: dict[int, Monomial], y: dict[int, Monomial]) -> float:
            both = apart = 1.0
            for stream in x.keys() | y.keys():
                one, other = x.get(stream, ()), y.get(stream, ())
                product = mean(stream, one) * mean(stream, other)
                own = found[model.chains[stream]][1][ordered(one, other)] if one and other else 0.0
                both, apart = both * (own + product), apart * product
            return both - apart

        self.mean = {
            k: sum(c * np.prod([mean(*x) for x in term.items()]) for term, c in terms) for k, terms in factors.items()
        }
        self.covariance = {
            (a, g): sum(c * d * of_term(x, y) for (x, c), (y, d) in itertools.product(factors[a], factors[g]))
            for a, g in pairs
        }


def ask(
    chain: Chain, outputs: Outputs, pairs: Sequence[Any], solve: Solve
) -> tuple[dict[Any, float], dict[Any, float]]:
    """Return means and covariances of outputs {name: {monomial: polynomial in the noise of the start}} of one chain."""
    first = {b for row in outputs.values() for b in row}
    own = {ordered(x, y) for a, g in pairs for x in outputs[a] if x for y in outputs[g] if y}
    return solve(chain, first, own, outputs, pairs)


def _apart(chain: Chain, outputs: Outputs, pairs: Sequence[Any]) -> list[tuple[Chain, Outputs, list[Any]]]:
    """Return chains of no more rollouts than are asked about together, each with its outputs and pairs of them.

    A difference in one parameter is made of two rollouts, those in several parameters of as many pairs: the state of all of
    them is that of two, one pair after the other, where no covariance between pairs is asked for.
    """
    if len(chain.trajectories) == 1:
        return [(chain, outputs, list(pairs))]
    scan_of = {name: id(carry.scan) for name, carry in chain.carries.items()}
    group_of = {k: {k} for k in outputs}
    for a, g in pairs:
        if group_of[a] is not group_of[g]:
            joined = group_of[a] | group_of[g]
            group_of |= dict.fromkeys(joined, joined)
    by_scans: dict[frozenset[int], list[Any]] = {}
    for group in {id(x): x for x in group_of.values()}.values():
        names = (name.removeprefix(EXP) for k in group for monomial in outputs[k] for name in monomial)
        by_scans.setdefault(frozenset(scan_of[name] for name in names), []).extend(group)
    found: list[tuple[Chain, Outputs, list[Any]]] = []
    for scans, members in by_scans.items():
        mine = {v: x for v, x in chain.scans.items() if id(x[0]) in scans} or chain.scans
        part = chain if len(mine) == len(chain.scans) else Chain(chain.model, mine)
        of_part = {k: x for k, x in outputs.items() if k in set(members)}
        found.append((part, of_part, [x for x in pairs if x[0] in of_part]))
    return found


def _own(poly: Poly, stream: int) -> Poly:
    """Return a polynomial of one chain in the names of its own carries."""
    end = f"{AT}{stream}"
    return Poly({tuple(sorted(c.removesuffix(end) for c in names)): x for names, x in poly.items()})


def _factors(names: Monomial, model: Model) -> dict[int, Monomial]:
    """Return {stream: monomial of its own carries}."""
    found: dict[int, list[str]] = {}
    for name in names:
        carry, at, stream = name.rpartition(AT)
        if not at:
            raise NoClosedForm("no recursion: design parameters that move the start of several independent rollouts")
        found.setdefault(int(stream), []).append(carry)
    return {stream: tuple(sorted(mono)) for stream, mono in found.items()}


def central_powers(gradients: Sequence[Poly], means: Any, powers: Sequence[int]) -> dict[tuple[int, int], Poly]:
    """Return {(j, k): (g_j - E g_j)^k} for the components of gradients."""
    found = {}
    for j, g in enumerate(gradients):
        centred = plus(g, lift(-float(means[j])))
        power = centred
        for k in range(2, max(powers) + 1):
            power = times(power, centred)
            if k in powers:
                found[j, k] = power
    return found
