"""Gradients from whole returns at perturbed gains: exact means and variances, for one draw of the direction.

    one point               R(K + h z) z / h                                      z ~ N(0, I), mn entries
    two points              (R(K + h z) - R(K - h z)) z / (2 h)
    SPSA                    the same with random signs z = +-1
    finite differences      (R(K + h e_p) - R(K - h e_p)) / (2 h) for each entry p of K

With a width for each entry, h z is (h_1 z_1, ...) and z / h likewise. Given z the second moment is a polynomial in z: J and
E R^2 are of degree 2T and 4T in the gain, so that

    E g_i^2 = E_z[(J^2 + Var R)(K + h z) z_i^2] / h^2

is of degree 4T + 2 in each z_p, and a tensor Gauss-Hermite rule with 2T + 2 nodes for each entry is exact. Signs take
2^(mn) nodes, finite differences mn.

A pair with *common* noise is one system of 2n states. With s = (s+ + s-)/2, d = (s+ - s-)/(2h) and the direction Z,

    s_next = Acl s + h^2 B Z d + B u + w,    d' = Acl d + B Z s,    (R+ - R-)/(2h) = -sum_t gamma^t 2 (s^T Q d + a^T R e) - ..,

a = K s + h^2 Z d + u, e = K d + Z s: no difference is ever taken, and h = 0 is the derivative along Z. (With widths h_p it is
h = max h_p, and Z_p = z_p h_p / h.) Averaged over z,

    Var g_i -> 2 E pw_i^2 + sum_j (h_j / h_i)^2 E pw_j^2 - (dJ/dp_i)^2     as h -> 0 (SPSA: without the first term),

with pw the reparameterization gradient. L may be singular.

Accuracy: variances to about 1e-12 relative, as all they sum is positive; means to 1e-15 of E|R z| / h, which the
outer nodes make large where h is: J and E R^2 at K + h z then grow like |h z|^(2T) and |h z|^(4T).

Cost: one batched recursion over the N nodes, O(T N (n + m)^3), pairs 2n and 2m for n and m. Measured on one core:
for one point and a pair, n = m = 1,
T = 50 (102 nodes) 2 and 5 ms; n = 2, m = 1, T = 10 (484 nodes) 3 and 4 ms; n = 3, m = 1, T = 10 (10,648 nodes) 60 and
130 ms. [Nesterov & Spokoiny 2017; Salimans et al. 2017; Spall 1992.]
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..theory import Array
from .system import System

BLOCK = 4096  # gains in one pass of the recursion
MOST_NODES = 1_500_000


class Perturbed(NamedTuple):
    """Mean and variance of one sample for each entry of K, as K.ravel(); each (mn,)."""

    mean: Array
    variance: Array


def evolution_strategies(system: System, width: ArrayLike, points: int = 2, noise: str = "common") -> Perturbed:
    """Return the mean and variance of evolution strategies along normal directions.

    `width` h > 0, or (mn,) of them; `points` 1 or 2; `noise` "common" or "independent" within a pair. Raises ValueError with
    log scales, which no polynomial rule integrates, and where the rule would need more than `MOST_NODES` nodes.
    """
    if points not in (1, 2):
        raise ValueError(f"points: expected 1 or 2, got {points!r}")
    h, widths = checked_widths(system, width, noise)
    nodes, size = 2 * system.horizon + 2, system.K.size
    if nodes**size > MOST_NODES:
        raise ValueError(
            f"system: the exact rule for {size} entries of K over {system.horizon} steps needs "
            f"{nodes}^{size} = {nodes**size} nodes, more than {MOST_NODES}"
        )
    z, weight = normal_rule(nodes, size)
    if points == 2:
        return _average(z * (h / widths), weight, *_pairs(system, z * (widths / h), h, noise))
    mean, var = return_moments(system, system.K + (widths * z).reshape(-1, *system.K.shape))
    return _average(z * (h / widths), weight, mean / h, var / h**2)


def spsa(system: System, width: ArrayLike, noise: str = "common") -> Perturbed:
    """Return the mean and variance of simultaneous perturbation along random signs, `noise` within the pair.

    Raises ValueError as `evolution_strategies` does; 2^(mn) nodes.
    """
    h, widths = checked_widths(system, width, noise)
    size = system.K.size
    if 2**size > MOST_NODES:
        raise ValueError(f"system: {size} entries of K have 2^{size} signs, more than {MOST_NODES}")
    z = np.array(list(product((1.0, -1.0), repeat=size)))
    return _average(z * (h / widths), np.full(len(z), 1 / len(z)), *_pairs(system, z * (widths / h), h, noise))


def finite_differences(system: System, width: ArrayLike, noise: str = "common") -> Perturbed:
    """Return the mean and variance of central differences, `noise` within each pair; ValueError with log scales."""
    h, widths = checked_widths(system, width, noise)
    mean, var = _pairs(system, np.diag(widths / h), h, noise)
    return Perturbed(mean * (h / widths), var * (h / widths) ** 2)


def return_moments(system: System, gains: ArrayLike) -> tuple[Array, Array]:
    """Mean and variance of the return at many gains (N, m, n) in one recursion: (N,), (N,); ValueError on overflow."""
    gains = np.asarray(gains, dtype=float)
    if gains.ndim != 3 or gains.shape[1:] != system.K.shape:
        raise ValueError(f"gains: expected shape (N, {system.actions}, {system.states}), got {gains.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [_constant_gains(system, gains[k : k + BLOCK]) for k in range(0, len(gains), BLOCK)]
        mean, var = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not np.isfinite(var).all():
        raise ValueError(
            f"gains: the variance of the return overflows at a gain of size {np.abs(gains).max():.3g} over "
            f"{system.horizon} steps"
        )
    return mean, var


def _constant_gains(system: System, K: Array) -> tuple[Array, Array]:
    T = system.horizon
    gains = np.broadcast_to(K[:, None], (len(K), T, *K.shape[1:]))
    return weighted_return_moments(system, gains, np.ones((len(K), T + 1)))


def weighted_return_moments(system: System, gains: Array, weights: Array) -> tuple[Array, Array]:
    """Mean and variance of sum_t weights_t r_t, r_T at the end, under gains (N, T, m, n), weights (N, T + 1): (N,), (N,).

    J as in `values`; Var(G_t | s_t) = s^T N_t s + k_t with C_t = 4 P_{t+1} W P_{t+1} + N_{t+1},

        N_t = 4 F_t^T Sigma F_t + Acl^T C_t Acl,
        k_t = k_{t+1} + 2 tr(P W P W) + tr(N W) + tr(B^T C_t B Sigma) + 2 tr(U_t Sigma U_t Sigma),     P, N at t + 1.
    """
    B, R, W, Sigma, cov, mu = system.B, system.R, system.W, system.policy_cov, system.cov, system.mean
    w = weights[..., None, None]
    P = system.terminal_weight * w[:, -1] * system.Qf
    N, k, c = np.zeros_like(P), np.zeros(len(P)), np.zeros(len(P))
    for t in reversed(range(system.horizon)):
        K, weight = gains[:, t], w[:, t] * system.discount**t
        A, Kt = system.A + B @ K, K.swapaxes(-1, -2)
        At = A.swapaxes(-1, -2)
        BP, PW = B.T @ P, P @ W
        F, U = weight * (R @ K) + BP @ A, weight * R + BP @ B
        C = 4 * PW @ P + N
        US = U @ Sigma
        k += 2 * _trace(PW, PW) + _trace(N, W) + _trace(B.T @ C @ B, Sigma) + 2 * _trace(US, US)
        c += np.trace(US, axis1=-2, axis2=-1) + np.trace(PW, axis1=-2, axis2=-1)
        N = 4 * F.swapaxes(-1, -2) @ Sigma @ F + At @ C @ A
        P = weight * (system.Q + Kt @ R @ K) + At @ P @ A
    Pmu, PC = P @ mu, P @ cov
    mean = -(_trace(P, cov) + Pmu @ mu + c)
    start = 4 * np.einsum("ti,ij,tj->t", Pmu, cov, Pmu) + 2 * _trace(PC, PC)
    return mean, start + _trace(N, cov) + (N @ mu) @ mu + k


def _pairs(system: System, z: Array, width: float, noise: str) -> tuple[Array, Array]:
    """Mean and variance of the slope (R+ - R-) / (2 h) along each direction z (N, mn): (N,), (N,)."""
    Z = z.reshape(-1, *system.K.shape)
    gains = np.block([[np.broadcast_to(system.K, Z.shape), width**2 * Z], [Z, np.broadcast_to(system.K, Z.shape)]])
    mean, var = return_moments(pair_system(system), gains)
    if noise == "independent":
        up, down = (return_moments(system, system.K + h * Z)[1] for h in (width, -width))
        var = (up + down) / (4 * width**2)
    return mean, var


def pair_system(system: System) -> System:
    """(s, d) with the actions (a, e): the return of this system is the slope."""
    n, m = system.states, system.actions
    first: dict[str, Any] = {
        name: np.pad(getattr(system, name), ((0, k), (0, k))) for name, k in (("L", m), ("W", n), ("cov", n))
    }
    twice: dict[str, Any] = {name: np.kron(np.eye(2), getattr(system, name)) for name in ("A", "B", "K")}
    cross: dict[str, Any] = {
        name: np.kron([[0.0, 1.0], [1.0, 0.0]], getattr(system, name)) for name in ("Q", "R", "Qf")
    }
    mean = np.concatenate([system.mean, np.zeros(n)])
    rest: dict[str, Any] = dict(
        horizon=system.horizon, discount=system.discount, terminal_weight=system.terminal_weight
    )
    return System(**twice, **cross, **first, mean=mean, **rest)


def _average(z: Array, weight: Array, mean: Array, var: Array) -> Perturbed:
    """Mean and variance of z times a quantity of given mean and variance, over the nodes."""
    total = (weight * mean) @ z
    second = (weight * var) @ z**2
    return Perturbed(total, second + weight @ (mean[:, None] * z - total) ** 2)


def normal_rule(nodes: int, dimensions: int) -> tuple[Array, Array]:
    """Return nodes (N, dimensions) and weights (N,) of the tensor Gauss-Hermite rule of N(0, I).

    Moments of every degree are right to 1e-12, up to 400 nodes of a dimension at least.
    """
    from scipy.special import roots_hermitenorm

    z, weight = roots_hermitenorm(nodes)
    digits = np.indices((nodes,) * dimensions).reshape(dimensions, -1)
    return z[digits].T, np.prod((weight / weight.sum())[digits], axis=0)


def checked_widths(system: System, width: ArrayLike, noise: str) -> tuple[float, Array]:
    """Return the largest of the widths, and all of them (mn,)."""
    if system.learn_scale:
        raise ValueError(
            "system: log scales are learned; the return is no polynomial in them, and no finite rule is exact. "
            "Use learn_scale=False for perturbations of K alone"
        )
    size = system.K.size
    if not (np.shape(width) in ((), (size,)) and np.isfinite(width).all() and np.min(width) > 0):
        raise ValueError(
            f"width: expected a positive number, or one for each of the {size} entries of K, got {width!r}"
        )
    if noise not in ("common", "independent"):
        raise ValueError(f'noise: expected "common" or "independent", got {noise!r}')
    widths = np.broadcast_to(np.asarray(width, dtype=float), size)
    return float(widths.max()), widths


def _trace(a: Array, b: Array) -> Array:
    return (a * b.swapaxes(-1, -2)).sum((-2, -1))
