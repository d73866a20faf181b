"""A linear-quadratic problem with a linear Gaussian policy: the data of every function in this room.

    s_0 ~ N(mean, cov),   a_t = K s_t + L eps_t,   s_{t+1} = A s_t + B a_t + w_t,   eps_t ~ N(0, I), w_t ~
    N(0, W) r_t = -gamma^t (s_t^T Q s_t + a_t^T R a_t)  for t < T,      r_T = -terminal_weight * s_T^T Qf s_T

Parameters, in order: K.ravel() (K[i, j], row major), then, with `learn_scale`, one log scale for each row of
L, L = diag(exp ls) Lc at ls = 0, so that da/dls_i at fixed noise is e_i (L eps)_i.
"""

from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...printing import outline
from ..theory import Array, Indices

SYMMETRY_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class System:
    """The arrays of one problem, checked. Q, R and Qf are replaced by their symmetric parts.

    Shapes: A (n, n), B (n, m), K (m, n), L (m, m), Q (n, n), R (m, m), Qf (n, n), W (n, n), mean (n,), cov
    (n, n). `horizon` is T, `discount` gamma, `terminal_weight` multiplies the terminal cost (gamma**T in the
    usual contract). L, W and cov may be singular. Raises ValueError, naming the argument, for what does not
    fit.
    """

    A: Array
    B: Array
    K: Array
    L: Array
    Q: Array
    R: Array
    Qf: Array
    W: Array
    mean: Array
    cov: Array
    horizon: int
    discount: float = 1.0
    terminal_weight: float = 1.0
    learn_scale: bool = False
    memo: dict = field(init=False, repr=False, default_factory=dict)  # derived arrays, computed once

    def __post_init__(self) -> None:
        n, m = _matrix("B", self.B).shape
        shapes = dict(
            A=(n, n),
            B=(n, m),
            K=(m, n),
            L=(m, m),
            Q=(n, n),
            R=(m, m),
            Qf=(n, n),
            W=(n, n),
            mean=(n,),
            cov=(n, n),
        )
        for name, shape in shapes.items():
            array = np.array(getattr(self, name), dtype=float)
            if array.shape != shape:
                raise ValueError(f"{name}: expected shape {shape} (B has {n} states, {m} actions), got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: expected finite numbers")
            if name in ("Q", "R", "Qf"):
                array = (array + array.T) / 2
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        for name in ("W", "cov"):
            factor(getattr(self, name), name)
        if int(self.horizon) != self.horizon or self.horizon < 1:
            raise ValueError(f"horizon: expected an integer of at least 1, got {self.horizon}")
        object.__setattr__(self, "horizon", int(self.horizon))
        for name in ("discount", "terminal_weight"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: expected a finite number, got {getattr(self, name)}")

    def __repr__(self) -> str:
        names = [x.name for x in fields(self) if x.repr]
        return outline("Linear-quadratic system", {name: getattr(self, name) for name in names})

    @property
    def states(self) -> int:
        """n, the number of states."""
        return self.B.shape[-2]

    @property
    def actions(self) -> int:
        """m, the number of actions."""
        return self.B.shape[-1]

    @property
    def parameters(self) -> int:
        """P = m n, plus m log scales with `learn_scale`."""
        return self.K.size + (self.actions if self.learn_scale else 0)

    def places(self, parameters: Indices) -> tuple[NDArray[np.bool_], Indices, Indices]:
        """Return which parameters are entries K_ij, and i and j of these; of the log scale of row i, i and 0."""
        gain = parameters < self.K.size
        i, j = np.divmod(np.where(gain, parameters, 0), self.states)
        return gain, np.where(gain, i, parameters - self.K.size), j

    @cached_property
    def closed(self) -> Array:
        """Acl = A + B K, (n, n)."""
        return self.A + self.B @ self.K

    @cached_property
    def policy_cov(self) -> Array:
        """Sigma = L L^T, (m, m)."""
        return self.L @ self.L.swapaxes(-1, -2)

    @cached_property
    def spread(self) -> Array:
        """B Sigma B^T + W, the covariance of s_{t+1} given s_t, (n, n)."""
        return self.B @ self.policy_cov @ self.B.swapaxes(-1, -2) + (self.W + self.W.swapaxes(-1, -2)) / 2

    @cached_property
    def noise(self) -> Array:
        """G = [B L, W^(1/2)], (n, r): s_{t+1} = Acl s_t + G xi_t with xi_t = (eps_t, white process noise)."""
        return np.hstack([self.B @ self.L, factor(self.W, "W")])

    @cached_property
    def initial_factor(self) -> Array:
        """C with C C^T = cov, (n, rank): s_0 = mean + C xi."""
        return factor(self.cov, "cov")

    @cached_property
    def inverse_factor(self) -> Array:
        """L^-1, (m, m). Raises ValueError where L is singular: a policy without noise has no score."""
        if np.linalg.matrix_rank(self.L) < self.actions:
            raise ValueError(
                "L is singular: the policy does not explore every action, so its density and its score "
                "do not exist. Score-function estimators need an invertible L; reparameterization does not."
            )
        return np.asarray(np.linalg.inv(self.L), dtype=np.float64)


class Stack(System):
    """Systems of one shape, horizon and discount, whose arrays have a leading axis: those that differ one of B, others of 1.

    For values, the objective and its gradient (see `values`); what has parameters as an axis of its own takes one system.
    """

    def __post_init__(self) -> None:
        for name in ("Q", "R", "Qf"):
            array = getattr(self, name)
            object.__setattr__(self, name, (array + array.swapaxes(-1, -2)) / 2)


def factor(cov: Array, name: str) -> Array:
    """Return a (n, rank) factor C of a covariance, C C^T = cov, without its zero directions.

    Raises ValueError, with the name, if it is not symmetric or has a negative eigenvalue.
    """
    scale = np.abs(cov).max(initial=0.0)
    if np.abs(cov - cov.T).max(initial=0.0) > SYMMETRY_TOLERANCE * scale:
        raise ValueError(f"{name}: expected a symmetric matrix, got an asymmetry of {np.abs(cov - cov.T).max():.3g}")
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    if values.min(initial=0.0) < -SYMMETRY_TOLERANCE * scale:
        raise ValueError(f"{name}: expected a positive semidefinite matrix, got an eigenvalue {values.min():.3g}")
    keep = values > 1e-15 * scale
    return vectors[:, keep] * np.sqrt(values[keep])


def _matrix(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value, dtype=float)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected a matrix, got shape {array.shape}")
    return array
