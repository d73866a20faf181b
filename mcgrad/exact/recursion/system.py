"""Which monomials of the carry a question needs, which pairs of them, and what a step makes of each.

    V_a(x) = sum_b c_ab(x) V_b(x'),    a, b monomials of the carry, () among the b

Conditional means m and covariances C of the V_a then obey (x = (s, noise), s_next the next state, c = c(x))

    mu_a(x) = sum_b c_ab m_b(s_next),   m_a(s) = E mu_a,   C_ag(s) = Cov(mu_a, mu_g | s) + E sum_bb' c_ab c_gb' C_bb'(s_next)

which is the law of total covariance, a sum of what is positive, and not E g^2 - (E g)^2.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..theory import NoClosedForm
from .ring import EXP, Lost, Monomial, Pair, Poly, Values, apply, lift, times

Terms: TypeAlias = dict[Monomial, dict[Monomial, Poly]]  # a -> {b: c_ab}
NumberTerms: TypeAlias = dict[Monomial, dict[Monomial, Any]]  # the same with numbers and arrays
Outputs: TypeAlias = dict[Any, dict[Monomial, Poly]]


class System(NamedTuple):
    """Attributes.

    ----------
    terms : dict
        a -> {b: c_ab}, the coefficients polynomials in whatever is no carry; closed: each b but () is an a.
    pairs : list
        Pairs (a, g), a <= g, whose covariances are needed, closed under a step.
    """

    terms: dict[Monomial, dict[Monomial, Poly]]
    pairs: Sequence[Pair]

    @property
    def monomials(self) -> list[Monomial]:
        """All a but ()."""
        return list(self.terms)


def ordered(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the pair with its smaller monomial first."""
    return (a, b) if a <= b else (b, a)


def system(first: Iterable[Monomial], pairs: Iterable[Pair], new: Values, carries: Container[str]) -> System:
    """Return the `System` that is needed for some monomials and pairs of them.

    Parameters
    ----------
    first : iterable of monomials
    pairs : iterable of pairs of monomials
    new : dict
        Carry -> its value before a step, in terms of the carries after it.
    carries : container of names
    """
    value = _Products(new)
    terms: dict[Monomial, dict[Monomial, Poly]] = {}
    todo = [a for a in first if a]
    while todo:
        a = todo.pop()
        if a in terms:
            continue
        terms[a] = split(value(a), carries)
        for b in terms[a]:
            if len(b) > len(a):
                raise NoClosedForm("no recursion: the carry is not affine in what comes later, its powers grow")
            if b:
                todo.append(b)
    terms = {a: terms[a] for a in sorted(terms, key=lambda a: (len(a), a))}
    needed: set[Pair] = set()
    waiting = [ordered(*x) for x in pairs]
    while waiting:
        pair = waiting.pop()
        if pair not in needed:
            needed.add(pair)
            a, g = pair
            waiting += [ordered(x, y) for x in terms[a] if x for y in terms[g] if y]
    return System(terms, sorted(needed))


def coefficients(monomials: Iterable[Monomial], new: Values, carries: Container[str]) -> Terms:
    """Return {a: {b: c_ab}} of monomials, from the values of the carries before a step."""
    value = _Products(new)
    return {a: split(value(a), carries) for a in monomials}


def split(poly: Poly, carries: Container[str]) -> dict[Monomial, Poly]:
    """Return {monomial of carries: polynomial in the other variables}."""
    found: dict[Monomial, Poly] = {}
    for k, x in poly.items():
        mine = tuple(c for c in k if c in carries or c.startswith(EXP))
        found.setdefault(mine, Poly())[tuple(c for c in k if c not in mine)] = x
    return found


class _Products:
    """Values of monomials of the carry from those of the carries: products are formed once."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.known: dict[Monomial, Poly] = {(): lift(1.0)}

    def __call__(self, key: Monomial) -> Poly:
        if key not in self.known:
            self.known[key] = times(self(key[:-1]), self._of(key[-1]))
        return self.known[key]

    def _of(self, name: str) -> Poly:
        y = apply("exp", [self.values[name[len(EXP) :]]]) if name.startswith(EXP) else self.values[name]
        if isinstance(y, Lost):
            raise NoClosedForm(f"no recursion: a carry is not affine in what comes later: {y.why}")
        return lift(y)


def last_values(keys: Iterable[Monomial], values: Values) -> dict[Monomial, Poly]:
    """Return {monomial: its value after the last step, a polynomial or number}."""
    value = _Products(values)
    return {a: value(a) for a in keys}
