"""A policy put together from heads, which say how actions are drawn, and maps, which say how that depends on the state."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..compiler.trace import Numbers
from ..problem import Policy
from .heads.head import Head
from .maps import Built, Map


def joint(states: int, *heads: Head, name: str | None = None, **named_heads: Head) -> Policy:
    """Return the policy whose action is drawn by heads, one after the other, each on noise of its own.

    log p(a | s) = sum_h log p_h(a_h | values_h(s)),    score = the scores of the heads side by side

    over the heads that are random; heads that are `deterministic` have no density, their derivative is followed.
    eta holds the parameters of all heads, those that are fixed numbers left out. theta holds the weights of all maps in the
    order in which heads name them, a map that is used twice once. `policy.start` (P,) is where they start: zeros for
    `linear`, random for `layer`.

    Parameters
    ----------
    states : int
        n.
    heads, named_heads : Head
        From `mcgrad.policies.heads`; their names begin those of the parameters: `joint(2, gear=discrete(...), force=...)`.
    name : str, optional
        What to call the policy.

    Raises
    ------
    ValueError
        For no head at all, something that is not a head, or maps that do not fit.
    """
    n, name = validate.size("states", states), validate.text("name", name)
    for key, head in [*(("heads", head) for head in heads), *named_heads.items()]:
        if not isinstance(head, Head):
            raise ValueError(f"{key}: expected one of mcgrad.policies.heads, got {validate.describe(head)}")
    every = _named(heads) | named_heads
    if not every:
        raise ValueError("heads: expected at least one of mcgrad.policies.heads, got none")
    single = len(every) == 1 and not named_heads
    weights = _Weights(n)
    parts, learned, noises, uniforms = [], 0, 0, 0
    for key, head in every.items():
        values = []
        for x in head.parameters:
            role = x.name if single else f"{key}.{x.name}"
            count = weights.add(x.map, x.count, role)
            is_fixed = weights.is_fixed(x.map)
            values.append((x.map, None if is_fixed else slice(learned, learned + count)))
            learned += 0 if is_fixed else count
        actions = head.actions or count
        parts.append((head, values, actions, noises, uniforms))
        noises, uniforms = noises + head.noises, uniforms + head.uniforms
    if not weights.names:
        raise ValueError("heads: expected at least one map with weights, so that there is something to learn")
    ends = np.cumsum([0] + [actions for _, _, actions, _, _ in parts])

    def values_of(p, eta, part):
        return tuple(weights.fixed_values(p, of) if at is None else tuple(eta[at]) for of, at in part[1])

    def noise_of(e, part):
        head, _, _, first, first_uniform = part
        normal = e[first : first + head.noises]
        return (*normal, *e[noises + first_uniform : noises + first_uniform + head.uniforms])

    def each(a):
        return [(part, a[i:j]) for part, i, j in zip(parts, ends[:-1], ends[1:], strict=True)]

    def eta(p, theta, s):
        values = weights.values(p, theta, s)
        return tuple(y for _, used, _, _, _ in parts for of, at in used if at is not None for y in values(of))

    def sample(p, eta, e):
        return tuple(x for part in parts for x in part[0].sample(values_of(p, eta, part), noise_of(e, part)))

    def log_prob(p, eta, a):
        own = [(part, b) for part, b in each(a) if part[0].log_prob is not None]
        return sum(part[0].log_prob(values_of(p, eta, part), b) for part, b in own)

    def score(p, eta, a, e):
        result = []
        for part, b in each(a):
            head, used, *_ = part
            values = values_of(p, eta, part)
            none = tuple((0.0,) * len(x) for x in values)
            z = none if head.log_prob is None else head.score(values, b, noise_of(e, part))
            result += [y for x, (_, at) in zip(z, used, strict=True) if at is not None for y in x]
        return tuple(result)

    random = [head for head in every.values() if head.log_prob is not None]
    kinds = ", ".join(head.kind for head in every.values())
    return Policy(
        states=n,
        actions=int(ends[-1]),
        noises=noises,
        uniforms=uniforms,
        choices=_choices(parts),
        parameters=tuple(weights.names),
        eta=eta,
        sample=sample,
        log_prob=log_prob if random else None,
        score=score if random and all(head.score for head in random) else None,
        params=weights.params,
        no_score=_reason(every, "no_score") or (None if random else _NOTHING_RANDOM),
        no_pathwise=_reason(every, "no_pathwise"),
        start=weights.start,
        name=name or kinds,
    )


def _named(heads: Sequence[Head]) -> dict[str, Head]:
    """Return {kind: head}, with a number after the kind where there are several of it."""
    kinds = [head.kind for head in heads]
    places = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return {
        f"{head.kind} {place}" if kinds.count(head.kind) > 1 else head.kind: head
        for head, place in zip(heads, places, strict=True)
    }


class _Weights:
    """Where the weights of maps stand in theta, and how the maps are evaluated."""

    def __init__(self, states: int) -> None:
        self.states, self.start = states, np.zeros(0)
        self.names: list[str] = []
        self.params: dict[str, NDArray[np.float64]] = {}
        self._built: dict[Map, Built] = {}
        self._at: dict[Map, slice] = {}
        self._fixed: dict[Map, str] = {}

    def add(self, of: Map, k: int | None, role: str) -> int:
        """Give a map, and those that it is a map of, their places in theta; return how many numbers it returns."""
        if of in self._built:
            built = self._built[of]
            if k is not None and built.outputs != k:
                raise ValueError(f"{role}: expected a map that returns {k} numbers, got one of {built.outputs}")
            return built.outputs
        n = self.states if of.of is None else self.add(of.of, None, f"{role}.{of.of.kind}")
        try:
            built = of.build(n, k)
        except ValueError as error:
            raise ValueError(f"{role}: {error}") from None
        self._built[of] = built
        self._at[of] = slice(len(self.names), len(self.names) + len(built.names))
        self.names += [f"{role}.{x}" if x[:1].isalpha() else f"{role}{x}" for x in built.names]
        self.start = np.concatenate([self.start, built.start])
        if built.fixed is not None:
            self._fixed[of] = f"fixed{len(self.params)}"
            self.params[self._fixed[of]] = built.fixed
        return built.outputs

    def is_fixed(self, of: Map) -> bool:
        """Tell whether a map returns numbers that are not learned."""
        return of in self._fixed

    def fixed_values(self, p: Any, of: Map) -> Numbers:
        """Return the numbers of a map that are not learned."""
        return tuple(getattr(p, self._fixed[of]))

    def values(self, p: Any, theta: Numbers, s: Numbers) -> Callable[[Map], Numbers]:
        """Return a function that evaluates maps at a state, each of them once."""
        known = {}

        def value(of):
            if of not in known:
                x = s if of.of is None else value(of.of)
                fixed = self.fixed_values(p, of) if of in self._fixed else ()
                known[of] = self._built[of].value(fixed, theta[self._at[of]], x, s)
            return known[of]

        return value


def _choices(parts: Sequence[Any]) -> tuple[int | None, ...]:
    """Return how many choices each component of the action has, None for those that are continuous."""
    result = []
    for head, _, actions, _, _ in parts:
        result += list(head.choices) if isinstance(head.choices, tuple) else [head.choices] * actions
    return tuple(result)


def _reason(heads: dict[str, Head], what: str) -> str | None:
    """Return why there is no score, or no pathwise gradient, from the first head that says so."""
    for key, head in heads.items():
        if getattr(head, what):
            return f"{key}: {getattr(head, what)}" if len(heads) > 1 else getattr(head, what)
    return None


_NOTHING_RANDOM = (
    "no component of the action is random, so that it has no density; use mcgrad.estimators.reparameterization(), or "
    "add a head that draws, such as heads.gaussian"
)
