"""Exact covariances of estimators, per parameter: the sum over stages of E[m_t m'_t].

`increments` has the increments m_t. Two terms f a and g b (weights f, g known before the stage, innovations a, b)
contribute E[f g k(a, b)], with the conditional cumulant k of `innovations`, a form of the state; a product
[c d] = c d - k(c, d) contributes E[f k(a, c, d)] against f a and, against another product,

    E[(a b - k(a, b)) (c d - k(c, d))] = E[k(a, b, c, d) + k(a, c) k(b, d) + k(a, d) k(b, c)].

Where two estimators see one trajectory in the same way, both are on one path of a chain. Else they have one each: for
covariances between different parameters, with mirrored noise, and for pathwise gradients of different kinds.
Chains, with the moments of their carries, are kept with a system unless they are large.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from ..theory import Array, Indices, Signs
from . import gaussian
from .chain import Carry, Chain
from .increments import Increments, OfReturn, Term, Weight
from .innovations import cumulant2, cumulant3, cumulant4
from .system import System

BLOCK = 300_000  # numbers in an array over stages and parameters; more parameters go in several blocks
PLAIN = (1, 1, 1)


def covariance(system: System, X: Increments, Y: Increments, signs: Signs = PLAIN) -> Array:
    """Covariance per parameter of two estimators: (P,).

    `signs` of the noise of the start, of the actions and of the process, 1 or -1, are those of Y's trajectory.
    """
    start, steps = covariance_by_step(system, X, Y, signs)
    return start + steps.sum(axis=0)


def variance(system: System, X: Increments) -> Array:
    """Variance per parameter of one trajectory's estimate: (P,)."""
    return np.maximum(covariance(system, X, X), 0.0)


def return_variance(system: System) -> float:
    """Variance of the return."""
    return float(variance(system, OfReturn())[0])


def covariance_by_step(system: System, X: Increments, Y: Increments, signs: Signs = PLAIN) -> tuple[Array, Array]:
    """Return the part of Cov(X, Y) decided by s_0, (P,), and by each stage's noise, (T, P)."""
    every = np.arange(X.size(system))
    return _between(system, X, Y, every, every, signs)


def covariance_matrix(system: System, X: Increments, Y: Increments) -> Array:
    """Return Cov(X_p, Y_q) for all parameters p and q of two estimators on the same trajectory: (P, P)."""
    P = system.parameters
    out = np.empty((P, P))
    p, q = np.triu_indices(P) if X is Y else np.indices((P, P)).reshape(2, -1)
    out[p, q] = covariance_between(system, X, Y, p, q)
    if X is Y:
        out[q, p] = out[p, q]
    return out


def covariance_between(system: System, X: Increments, Y: Increments, first: ArrayLike, second: ArrayLike) -> Array:
    """Return Cov(X_p, Y_q) for pairs (p, q) of parameters from two arrays of indices (K,): (K,)."""
    start, steps = _between(system, X, Y, np.asarray(first), np.asarray(second), PLAIN)
    return start + steps.sum(axis=0)


def _between(
    system: System, X: Increments, Y: Increments, first: Indices, second: Indices, signs: Signs
) -> tuple[Array, Array]:
    together = signs == PLAIN and np.array_equal(first, second) and _fit(X, Y)
    path = 0 if together else 1
    parts = [covariance_on(chain, X, Y, path) for chain in _chains(system, X, Y, first, second, signs, together)]
    starts, steps = zip(*parts, strict=True)
    return np.concatenate(starts), np.concatenate(steps, axis=1)


def _fit(X: Increments, Y: Increments) -> bool:
    """Tell whether two estimators can be on one path of a chain."""
    if X is Y or (X.plain and Y.plain):
        return True
    own, other = (Y, X) if X.plain else (X, Y)
    return other.plain and not other.with_sensitivity and own.keeps_scores


def _chains(
    system: System, X: Increments, Y: Increments, first: Indices, second: Indices, signs: Signs, together: bool
) -> Iterable[Chain]:
    """Yield a chain for each block of pairs of parameters; if one block holds all, it is kept with the system."""
    if together:
        makers, with_sensitivity = [Y if X.plain else X], [X.with_sensitivity or Y.with_sensitivity]
    else:
        makers, with_sensitivity = [X, Y], [X.with_sensitivity, Y.with_sensitivity]
    n = system.states
    states = n if together or signs == PLAIN else 2 * n
    size = (1 + states + n * sum(with_sensitivity)) ** 2
    block = max(1, BLOCK // (size * system.horizon))
    whole = len(first) <= block and all(x.plain for x in makers)
    key = ("chain", *with_sensitivity, signs, first.tobytes(), second.tobytes())
    if whole and key in system.memo:
        return [system.memo[key]]
    made = (
        Chain(
            [
                X.trajectory(system, at[k : k + block], y)
                for X, at, y in zip(makers, (first, second), with_sensitivity, strict=False)
            ],
            (PLAIN, signs),
        )
        for k in range(0, len(first), block)
    )
    if whole:
        system.memo[key] = next(made)
        return [system.memo[key]]
    return made


def chains(system: System) -> Iterable[Chain]:
    """Yield a chain of states, and of scores, for each block of parameters."""
    every = np.arange(system.parameters)
    return _chains(system, Increments(), Increments(), every, every, PLAIN, True)


def covariance_on(chain: Chain, X: Increments, Y: Increments, path: int = 0) -> tuple[Array, Array]:
    """Return covariance_by_step for one block of parameters, Y on the given path of the chain."""
    same = X is Y and path == 0
    one, two = X.terms(chain), Y.terms(chain, path)
    steps = np.zeros((chain.system.horizon, len(chain.parameters)))
    for a, term in enumerate(one):
        for b, other in enumerate(two):
            if not same or a <= b:
                steps += (2 if same and a < b else 1) * pair(chain, term, other)
    start, (s, s_other) = np.zeros(len(chain.parameters)), (X.start_on(chain, 0), Y.start_on(chain, path))
    if s is not None and s_other is not None:
        start = start + cumulant2(chain.start(s), chain.start(s_other, path))[..., 0, 0]
    return start, steps


def pair(chain: Chain, one: Term, two: Term) -> Array:
    """E[term * term] for each stage and parameter."""
    if one.factor is None and two.factor is None:
        return _expect(chain, one.weight, two.weight, cumulant2(one.innovation, two.innovation))
    if one.factor is None:
        one, two = two, one
    assert one.factor is not None
    if two.factor is None:
        return _expect(chain, one.weight, two.weight, cumulant3(one.innovation, one.factor, two.innovation))
    a, b, c, d = one.innovation, one.factor, two.innovation, two.factor
    straight = gaussian.mean2(cumulant2(a, c), cumulant2(b, d), chain.C)
    crossed = gaussian.mean2(cumulant2(a, d), cumulant2(b, c), chain.C)
    return gaussian.mean(cumulant4(a, b, c, d), chain.C) + straight + crossed


def _expect(chain: Chain, f: Weight, g: Weight, form: Array) -> Array:
    """E[f g form] for weights that are 1 (None), a form (array) or a carry."""
    weights = [w for w in (f, g) if w is not None]
    carries = [w for w in weights if isinstance(w, Carry)]
    forms = [w for w in weights if not isinstance(w, Carry)]
    if len(carries) == 2:
        return gaussian.carried(form, chain.carry_second(*carries))
    if len(carries) == 1:
        N = chain.carry_mean(carries[0])
        return gaussian.carried2(forms[0], form, chain.C, N) if forms else gaussian.carried(form, N)
    expectation: Callable[..., Array] = (gaussian.mean, gaussian.mean2, gaussian.mean3)[len(forms)]
    return expectation(*forms, form, chain.C)
