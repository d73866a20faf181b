"""The gain that maximises the objective: of all constant gains over the horizon, and over an infinite horizon.

Over a finite horizon the best control varies with time, and the best *constant* gain has no closed form: it depends on
the horizon, the start and both noises. J is a polynomial of degree 2T in K. Newton's method finds its maximum, with
the exact gradient and the Hessian H by central differences of it: along each eigenvector of H with eigenvalue -k < 0
the step is g/k, with k > 0 (not concave there) g/|k|, halved until J has risen.

Cost: 2mn + 1 gradients, O(T (n + m)^3) each, for every iteration; from the infinite-horizon gain 3 to 10 of them.
Measured on one core: n = 2, m = 1, T = 10: 15 ms; n = 4, m = 2, T = 50: 0.08 s; n = 8, m = 3, T = 100: 0.5 s.

Accuracy: K to about 1e-9 times the condition number of H, J to rounding.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...printing import outline
from ..theory import Array
from .system import System
from .values import gradient, objective

ITERATIONS = 200
STEP = 1e-5  # of the central differences
FLAT = 1e-9  # curvatures below this part of the largest count as this part
TOLERANCE = 1e-9  # of the last step, relative to 1 + |K|


@dataclass(frozen=True, eq=False, repr=False)
class Optimum:
    """A maximum of J over constant gains: K (m, n), J there, |dJ/dK| there, and the iterations it took."""

    gain: Array
    objective: float
    gradient_norm: float
    iterations: int

    def __repr__(self) -> str:
        return outline("Optimum", vars(self))


def optimum(system: System) -> Optimum:
    """Return the constant gain that maximises the objective over the system's horizon, for its L, W and start.

    The system's own K is one of the starting points; so are 0, the infinite-horizon gain, and the first and the middle
    gain of the time-varying optimum: the best of them is improved. Any maximum found is local; with costs that are
    positive semidefinite J <= 0. Where J does not depend on K in some direction, the gain is not unique.

    Raises
    ------
    ValueError
        If J is unbounded along a direction that was tried, or Newton's method did not converge.
    """
    starts = _starts(system)
    values = [_objective(system, K) for K in starts]
    K, best = starts[int(np.nanargmax(values))], np.nanmax(values)
    size = np.linalg.norm(K)
    for iteration in range(1, ITERATIONS + 1):
        slope, step = _newton_step(system, K)
        small = np.linalg.norm(step) <= TOLERANCE * (1 + np.linalg.norm(K))
        K, best, moved = _search(system, K, best, slope, step)
        if np.linalg.norm(K) > 1e8 * (1 + size):
            break
        if small or not moved:
            return _finish(system, K, best, step, iteration, small)
    raise ValueError(
        f"system: the objective has no maximum that Newton's method could reach in {iteration} iterations (|K| = "
        f"{np.linalg.norm(K):.3g}, J = {best:.6g}): it may be unbounded, as with costs that are not positive semidefinite"
    )


def infinite_horizon_gain(system: System) -> Array:
    """Return K = -(R + gamma B^T P B)^-1 gamma B^T P A, P the stabilising solution of the discounted Riccati equation: (m, n).

    P = Q + gamma A^T P A - gamma^2 A^T P B (R + gamma B^T P B)^-1 B^T P A; the best gain for sum_t gamma^t r_t without end,
    whatever the noises. ValueError where there is no such P with R + gamma B^T P B positive definite: the pair
    (sqrt(gamma) A, B) not stabilisable, a mode on the unit circle that no cost sees, or costs that reward action.
    """
    from scipy.linalg import solve_discrete_are

    gamma = system.discount
    if gamma < 0:
        raise ValueError(f"discount: expected a nonnegative number for an infinite horizon, got {gamma}")
    root = np.sqrt(gamma)
    try:
        P = solve_discrete_are(root * system.A, root * system.B, system.Q, system.R)
        U = system.R + gamma * system.B.T @ P @ system.B
        np.linalg.cholesky(U)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise ValueError(
            "system: no stabilising solution of the Riccati equation with R + gamma B'PB positive definite. Expected "
            "a stabilisable (sqrt(gamma) A, B), unstable modes that the costs see, and an R that is not negative"
        ) from error
    K = -np.linalg.solve(U, gamma * system.B.T @ P @ system.A)
    radius = root * np.abs(np.linalg.eigvals(system.A + system.B @ K)).max()
    if not radius < 1 - 1e-12:
        raise ValueError(
            f"system: the Riccati equation leaves a closed-loop spectral radius of {radius:.6g}, not below 1: expected "
            "no mode on the unit circle that the costs do not see"
        )
    return K


# ---- Newton's method ---------------------------------------------------------------------------------------------


def _newton_step(system: System, K: Array) -> tuple[Array, Array]:
    """Gradient and step at K, both (mn,)."""

    def slope(x: Array) -> Array:
        return _gradient(system, x.reshape(K.shape))

    x, size = K.ravel(), K.size
    g, h = slope(x), STEP * (1 + np.abs(K).max())
    H = np.stack([(slope(x + h * e) - slope(x - h * e)) / (2 * h) for e in np.eye(size)])
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    values = np.abs(values)
    floor = FLAT * values.max()
    if floor == 0:
        return g, g
    return g, vectors @ ((vectors.T @ g) / np.maximum(values, floor))


def _search(system: System, K: Array, best: float, slope: Array, step: Array) -> tuple[Array, float, bool]:
    """Take the step, halved until J rises by a part of what the slope promises; unmoved if it never does."""
    promise = slope @ step
    for halving in range(50):
        part = 0.5**halving
        new = K + part * step.reshape(K.shape)
        value = _objective(system, new)
        if value > best and value >= best + 1e-4 * part * promise:
            return new, value, True
    return K, best, False


def _finish(system: System, K: Array, best: float, step: Array, iteration: int, small: bool) -> Optimum:
    """Return the record, once J rises no more: the step is small, or too small to be seen in J."""
    scale = 1 + np.linalg.norm(K)
    if not small and np.linalg.norm(step) > 1e-5 * scale:
        raise ValueError(
            f"system: no step from K improves the objective although a step of {np.linalg.norm(step):.3g} should"
        )
    if not small:
        polished = K + step.reshape(K.shape)
        if np.linalg.norm(_gradient(system, polished)) < np.linalg.norm(_gradient(system, K)):
            K, best = polished, _objective(system, polished)
    _refuse_unbounded(system, K, best)
    norm = float(np.linalg.norm(_gradient(system, K)))
    return Optimum(K, float(best), norm, iteration)


def _refuse_unbounded(system: System, K: Array, best: float) -> None:
    """ValueError if J is larger far away along a coordinate or a random direction; none is, for convex costs."""
    if all(np.linalg.eigvalsh(M).min() >= -1e-12 * np.abs(M).max() for M in _costs(system)):
        return
    random = np.random.default_rng(0).normal(size=(20, *K.shape))
    directions = np.concatenate([np.eye(K.size).reshape(-1, *K.shape), random])
    for D in np.concatenate([directions, -directions]):
        for radius in (1.0, 10.0, 1e2, 1e4):
            value = _objective(system, K + radius * (1 + np.abs(K).max()) * D)
            if value > best + 1e-9 * abs(best):
                raise ValueError(
                    f"system: the objective is larger at gains far away ({value:.6g}) than at the maximum that was "
                    f"found ({best:.6g}): it is unbounded or has several maxima, with costs that are not positive "
                    "semidefinite"
                )


def _costs(system: System) -> tuple[Array, Array, Array]:
    return system.Q, system.R, system.terminal_weight * system.Qf


# ---- where to start ------------------------------------------------------------------------------------------------


def _starts(system: System) -> list[Array]:
    starts = [system.K, np.zeros_like(system.K), *_time_varying(system)]
    try:
        starts.append(infinite_horizon_gain(system))
    except ValueError:
        pass
    return starts


def _time_varying(system: System) -> list[Array]:
    """First and middle gain of the time-varying optimum, as far back from the end as it exists."""
    P = system.terminal_weight * system.Qf
    gains: list[Any] = []
    for t in reversed(range(system.horizon)):
        weight = system.discount**t
        U = weight * system.R + system.B.T @ P @ system.B
        if not np.isfinite(U).all() or np.linalg.eigvalsh(U).min() <= 1e-12 * np.abs(U).max():
            break
        gains.append(-np.linalg.solve(U, system.B.T @ P @ system.A))
        P = weight * system.Q + system.A.T @ P @ (system.A + system.B @ gains[-1])
        P = (P + P.T) / 2
    return [gains[-1], gains[len(gains) // 2]] if gains else []


def _objective(system: System, K: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(objective(replace(system, K=K)))
    return value if np.isfinite(value) else -np.inf


def _gradient(system: System, K: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        g = gradient(replace(system, K=K, learn_scale=False))
    if not np.isfinite(g).all():
        raise ValueError(f"system: the gradient of the objective overflows at |K| = {np.linalg.norm(K):.3g}")
    return g
