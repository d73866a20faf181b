"""Baselines for reward to go, and the constants, time-dependent and quadratic baselines of least variance.

A baseline is an array of forms, (T, 1 or P, 1 + n, 1 + n), with b_t(s) = (1, s)'b_t (1, s). Baselines add.
Subtracting b_t(s_t) from an estimator X means X - sum_t b_t(s_t) z_t, so by E[z_t z_k] = 0 for t != k the best is

    constant          b*   = Cov(X, Z) / Var Z,
    time-dependent    b_t* = Cov(X, z_t) / Var z_t,
    quadratic         the solution c_t of E[z_t^2 phi phi'] c_t = Cov(X, z_t phi), phi the products of (1, s),

for one parameter [the first: Greensmith, Bartlett & Baxter 2004] or for a sum of variances. The second has the
cross-time terms E[z_k G_k z_t] that the textbook's b_t = E[z_t^2 G_t] / E[z_t^2] leaves out.
"""

import numpy as np

from . import gaussian
from .atoms import cumulant2, cumulant3
from .estimators import RewardToGo, Score, Term, value_forms
from .variances import chains, covariance_by_step, pair


def time_baseline(system, b):
    """b_t(s) = b_t: an array (T,), or (T, P) for one per parameter. (T, 1 or P, 1 + n, 1 + n)."""
    b, T, P = np.asarray(b, dtype=float), system.horizon, system.parameters
    if b.shape not in ((T,), (T, P)):
        raise ValueError(f"b: expected shape ({T},) or ({T}, {P}), got {b.shape}")
    b = b[:, None] if b.ndim == 1 else b
    out = np.zeros((T, b.shape[1], system.states + 1, system.states + 1))
    out[:, :, 0, 0] = b
    return out


def constant_baseline(system, b):
    """b_t(s) = b: a number, or (P,) for one per parameter. (T, 1 or P, 1 + n, 1 + n)."""
    b, T, P = np.asarray(b, dtype=float), system.horizon, system.parameters
    if b.shape not in ((), (P,)):
        raise ValueError(f"b: expected a number or shape ({P},), got {b.shape}")
    return time_baseline(system, np.broadcast_to(b, (T, *b.shape)))


def value_baseline(system):
    """b_t(s) = V_t(s), the exact value function. (T, 1, 1 + n, 1 + n)."""
    return value_forms(system)


def quadratic_baseline(system, P, p, c):
    """b_t(s) = -(s'P_t s + 2 p_t's + c_t): P (T, n, n), p (T, n), c (T,). (T, 1, 1 + n, 1 + n)."""
    T, n = system.horizon, system.states
    out = np.zeros((T, 1, n + 1, n + 1))
    for name, array, shape in (("P", P, (T, n, n)), ("p", p, (T, n)), ("c", c, (T,))):
        if np.shape(array) != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {np.shape(array)}")
    P = np.asarray(P, dtype=float)
    out[:, 0, 1:, 1:] = -gaussian.symmetric(P)
    out[:, 0, 0, 1:] = out[:, 0, 1:, 0] = -np.asarray(p, dtype=float)
    out[:, 0, 0, 0] = -np.asarray(c, dtype=float)
    return out


def optimal_constant(system, X):
    """b* = Cov(X, Z) / Var Z, to be subtracted in addition to X's own baseline: (P,)."""
    _, cov = covariance_by_step(system, X, Score())
    return _ratio(cov.sum(0), _score_power(system).sum(0))


def trace_optimal_constant(system, X, parameters=slice(None)):
    """One b for the sum of the variances of `parameters` (an index into the parameter vector): float."""
    _, cov = covariance_by_step(system, X, Score())
    return float(_ratio(cov[:, parameters].sum(), _score_power(system)[:, parameters].sum()))


def optimal_time_baseline(system, X):
    """b_t* = Cov(X, z_t) / Var z_t, one for each parameter: (T, P)."""
    _, cov = covariance_by_step(system, X, Score())
    return _ratio(cov, _score_power(system))


def trace_optimal_time_baseline(system, X, parameters=slice(None)):
    """One b_t for the sum of the variances of `parameters`: (T,)."""
    _, cov = covariance_by_step(system, X, Score())
    return _ratio(cov[:, parameters].sum(1), _score_power(system)[:, parameters].sum(1))


def naive_time_baseline(system):
    """Return the textbook's b_t = E[z_t^2 G_t] / E[z_t^2], which is not optimal: (T, P).

    G_t = V_t(s_t) + delta_t + (later errors, of mean zero given the stage).
    """
    out = []
    for chain in chains(system, lifted=False):
        z, V = chain.atom("score"), chain.form(value_forms(system))
        power = cumulant2(z, z)
        top = gaussian.mean2(power, V, chain.C) + gaussian.mean(cumulant3(z, z, chain.atom("error")), chain.C)
        out.append(_ratio(top, gaussian.mean(power, chain.C)))
    return np.concatenate(out, axis=1)


def optimal_quadratic_baseline(system):
    """Return the quadratic baseline of least variance for reward to go: forms (T, P, 1 + n, 1 + n).

    V_t plus the solution c_t of E[z_t^2 phi phi'] c_t = Cov(X, z_t phi), X with the value baseline, phi the
    (n+1)(n+2)/2 products of the centred, scaled (1, s); least squares where the state is degenerate. The
    Gram matrices cost O(n^4) times a mean of three forms: 0.1 s at n = 4, T = 50 but 13 s at n = 8, T = 200.
    """
    value = RewardToGo(value_forms(system))
    parts = [_quadratic(chain, value) for chain in chains(system, lifted=False)]
    return value_forms(system) + np.concatenate(parts, axis=1)


def _quadratic(chain, X):
    z, n, T = chain.atom("score"), chain.system.states, chain.system.horizon
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
    back[:, 0, 1:, 0] = -chain.trajectory.mean
    return gaussian.transpose(back) @ centred @ back


def _score_power(system):
    """E[z_t^2], (T, P)."""
    score = Score()
    return covariance_by_step(system, score, score)[1]


def _ratio(top, bottom):
    """Ratio top / bottom; 0 where a score vanishes (K_ij with s_j = 0), and any baseline will do."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
