"""Exact covariances of estimators, per parameter: the sum over stages of E[m_t m'_t].

`estimators` has the increments m_t. Two terms f a and g b (weights f, g known before the stage, atoms a, b)
contribute E[f g k(a, b)], with the conditional cumulant k of `atoms`, a form of the state; a product
[c d] = c d - k(c, d) contributes E[f k(a, c, d)] against f a and, against another product,

    E[(a b - k(a, b)) (c d - k(c, d))] = E[k(a, b, c, d) + k(a, c) k(b, d) + k(a, d) k(b, c)].

Chains, with the moments of their carries, are kept with a system unless they are large.
"""

import numpy as np

from . import gaussian
from .atoms import cumulant2, cumulant3, cumulant4
from .chain import Carry, Chain
from .values import gradient

BLOCK = 300_000  # numbers in an array over stages and parameters; more parameters go in several blocks


def covariance(system, X, Y):
    """Covariance per parameter of two estimators on the same trajectory: (P,)."""
    start, steps = covariance_by_step(system, X, Y)
    return start + steps.sum(axis=0)


def variance(system, X):
    """Variance per parameter of one trajectory's estimate: (P,)."""
    return np.maximum(covariance(system, X, X), 0.0)


def mean(system, X):
    """Mean per parameter: the gradient, or zero for `Score`: (P,)."""
    return gradient(system) if X.start else np.zeros(system.parameters)


def covariance_by_step(system, X, Y):
    """Return the part of Cov(X, Y) decided by s_0, (P,), and by each stage's noise, (T, P)."""
    parts = [covariance_on(chain, X, Y) for chain in chains(system, X.lifted or Y.lifted)]
    starts, steps = zip(*parts, strict=True)
    return np.concatenate(starts), np.concatenate(steps, axis=1)


def chains(system, lifted, mirror=None):
    """Yield a chain for each block of parameters; if one block holds them all it is kept with the system."""
    key = ("chains", lifted, mirror)
    if key not in system.memo:
        size = (1 + system.states * (2 if lifted else 1) * (2 if mirror else 1)) ** 2
        block = max(1, BLOCK // (size * system.horizon))
        every = np.arange(system.parameters)
        parts = [every[k : k + block] for k in range(0, len(every), block)]
        if len(parts) > 1:  # too large to keep
            return (Chain(system, part, lifted, mirror) for part in parts)
        system.memo[key] = [Chain(system, every, lifted, mirror)]
    return system.memo[key]


def covariance_on(chain, X, Y, path=0):
    """Return covariance_by_step for one block of parameters, Y on the given path of the chain."""
    same = X is Y and path == 0
    one, two = X.terms(chain), Y.terms(chain, path)
    steps = np.zeros((chain.system.horizon, len(chain.parameters)))
    for a, term in enumerate(one):
        for b, other in enumerate(two):
            if not same or a <= b:
                steps += (2 if same and a < b else 1) * pair(chain, term, other)
    start = np.zeros(len(chain.parameters))
    if X.start and Y.start:
        start = start + cumulant2(chain.start(X.start), chain.start(Y.start, path))[..., 0, 0]
    return start, steps


def pair(chain, one, two):
    """E[term * term] for each stage and parameter."""
    if one.factor is None and two.factor is None:
        return _expect(chain, one.weight, two.weight, cumulant2(one.atom, two.atom))
    if one.factor is None:
        one, two = two, one
    if two.factor is None:
        return _expect(chain, one.weight, two.weight, cumulant3(one.atom, one.factor, two.atom))
    a, b, c, d = one.atom, one.factor, two.atom, two.factor
    straight = gaussian.mean2(cumulant2(a, c), cumulant2(b, d), chain.C)
    crossed = gaussian.mean2(cumulant2(a, d), cumulant2(b, c), chain.C)
    return gaussian.mean(cumulant4(a, b, c, d), chain.C) + straight + crossed


def _expect(chain, f, g, form):
    """E[f g form] for weights that are 1 (None), a form (array) or a carry."""
    weights = [w for w in (f, g) if w is not None]
    carries = [w for w in weights if isinstance(w, Carry)]
    forms = [w for w in weights if not isinstance(w, Carry)]
    if len(carries) == 2:
        return gaussian.carried(form, chain.carry_second(*carries))
    if len(carries) == 1:
        N = chain.carry_mean(carries[0])
        return gaussian.carried2(forms[0], form, chain.C, N) if forms else gaussian.carried(form, N)
    expectation = (gaussian.mean, gaussian.mean2, gaussian.mean3)[len(forms)]
    return expectation(*forms, form, chain.C)
