"""Baselines that depend on the state: the quadratic one of least variance, and the textbook's optimum over time.

Subtracting b_t(s_t) from an estimator X means X - sum_t b_t(s_t) z_t, and E[z_t z_k] = 0 for t != k: so the best quadratic is
the solution c_t of E[z_t^2 phi phi^T] c_t = Cov(X, z_t phi), phi the products of (1, s).
"""

import numpy as np

from ..leaves import Rule
from ..theory import Array
from . import gaussian
from .chain import Chain
from .covariances import chains, pair
from .increments import Increments, OfRule, Term
from .innovations import cumulant2, cumulant3
from .system import System
from .values import value_forms


def naive_over_time(system: System) -> Array:
    """Return the textbook's b_t = E[z_t^2 G_t] / E[z_t^2], which is not optimal: (T, P).

    It leaves out the terms E[z_k G_k z_t], k != t, of Cov(X, z_t). G_t = V_t(s_t) + delta_t + (later errors, of mean zero).
    """
    out = []
    for chain in chains(system):
        z, V = chain.innovation("score"), chain.form(value_forms(system)[:-1])
        power = cumulant2(z, z)
        top = gaussian.mean2(power, V, chain.C) + gaussian.mean(cumulant3(z, z, chain.innovation("error")), chain.C)
        bottom = gaussian.mean(power, chain.C)
        out.append(np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0))
    return np.concatenate(out, axis=1)


def optimal_quadratic(system: System) -> Array:
    """Return the quadratic baseline of least variance for reward to go: forms (T, P, 1 + n, 1 + n).

    V_t plus the solution c_t, with the (n+1)(n+2)/2 products of the centred, scaled (1, s), for X with the value baseline;
    least squares where the state is degenerate. The Gram matrices cost O(n^4) times a mean of three forms: 0.1 s at n = 4,
    T = 50 but 13 s at n = 8, T = 200.
    """
    V = value_forms(system)[:-1]
    X = OfRule(system, Rule(trace=1.0, weight=-V))
    return V + np.concatenate([_quadratic(chain, X) for chain in chains(system)], axis=1)


def _quadratic(chain: Chain, X: Increments) -> Array:
    z, n, T = chain.innovation("score"), chain.system.states, chain.system.horizon
    std = np.sqrt(np.einsum("tii->ti", chain.C[:, 0]))
    scale = np.where(std > 0, 1 / np.where(std > 0, std, 1.0), 1.0)
    scale[:, 0] = 1.0
    basis = []
    for a, b in zip(*np.triu_indices(n + 1), strict=True):
        form = np.zeros((T, 1, n + 1, n + 1))
        form[:, 0, a, b] += scale[:, a] * scale[:, b] / 2
        form[:, 0, b, a] += scale[:, a] * scale[:, b] / 2
        basis.append(form)
    power, terms = cumulant2(z, z), X.terms(chain)
    gram = np.empty((T, len(chain.parameters), len(basis), len(basis)))
    moment = np.empty(gram.shape[:-1])
    for a, phi in enumerate(basis):
        moment[..., a] = sum(pair(chain, term, Term(phi, z)) for term in terms)
        for b in range(a + 1):
            gram[..., a, b] = gram[..., b, a] = gaussian.mean3(phi, basis[b], power, chain.C)
    solution = np.linalg.pinv(gram, rcond=1e-13, hermitian=True) @ moment[..., None]
    centred = sum(solution[..., a, :, None] * phi for a, phi in enumerate(basis))
    back = np.zeros((T, 1, n + 1, n + 1))  # x~ = back (1, s)
    back[:] = np.eye(n + 1)
    back[:, 0, 1:, 0] = -chain.paths[0].mean
    return gaussian.transpose(back) @ centred @ back
