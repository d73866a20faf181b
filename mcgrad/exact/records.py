"""What is known of values, in one form for all kinds of problems: functions to call, and the arrays they are made of."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from .theory import Array


@dataclasses.dataclass(frozen=True, eq=False)
class ValueFunction:
    """V_t(s) = E[G_t | s_t = s] for t = 0, ..., T, discounted from time 0: `V(t, s)` for states (N, n) -> (N,), or (n,) -> ().

    Attributes
    ----------
    function : callable
        function(t, states (N, n)) -> (N,).
    horizon, states : int
        T and n.
    objective : float
        J = E V_0(s_0).
    space : str
        What is known: a "closed form", or the functions of the state in which the recursion was run: a "table",
        "polynomials", "a grid of 100 points an axis".
    change : mapping
        By how much values moved at the last refinement of a grid, relative to their range. Empty where nothing is approximate.
    left : float
        The chance that a trajectory leaves the box of the grid.
    box : (low, high), (n,) arrays, or None
        Where pilot trajectories were; the box of a grid is larger. None of a closed form.
    table : (T + 1, S) array, or None
        V_t(s) of a closed form for a table, whose states are numbers 0, ..., S - 1 (n = 1).
    P, c : (T + 1, n, n) and (T + 1,) arrays, or None
        Of a linear-quadratic one, V_t(s) = -(s^T P_t s + c_t).
    """

    function: Callable[[int, Array], Array]
    horizon: int
    states: int
    objective: float
    space: str = "closed form"
    change: Mapping[str, float] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    left: float = 0.0
    box: tuple[Array, Array] | None = None
    table: Array | None = None
    P: Array | None = None
    c: Array | None = None

    def __call__(self, t: int, s: ArrayLike) -> Array:
        """Return V_t(s), t = 0, ..., T; NaN outside of the box of a grid."""
        found = self.function(validate.integer("t", t, 0, self.horizon), _rows("s", s, self.states))
        return found if np.ndim(s) == 2 else found[0]


@dataclasses.dataclass(frozen=True, eq=False)
class ExactCritic:
    """Q_t(s, a) = E[G_t | s_t = s, a_t = a] for t < T: `Q(t, s, a)` for (N, n), (N, m) -> (N,), or (n,), (m,) -> ().

    Attributes
    ----------
    function : callable
        function(t, states (N, n), actions (N, m)) -> (N,).
    actions : int
        m.
    value : ValueFunction
    table, policy : (T, S, A) and (S, A) arrays, or None
        Q_t(s, a) and pi(a | s) of a tabular problem.
    drawn : callable, or None
        drawn(t, states (N, n), e (N, .)) -> (N,), Q_t at the actions that the policy draws with noise e; of the recursion.
    F, U, cov : (T, m, n), (T, m, m) and (m, m) arrays, or None
        Of a linear-quadratic one, Q_t(s, K s + u) = V_t(s) - (2 u^T F_t s + u^T U_t u - tr U_t cov), cov that of the actions.
    """

    function: Callable[[int, Array, Array], Array]
    actions: int
    value: ValueFunction
    table: Array | None = None
    policy: Array | None = None
    F: Array | None = None
    U: Array | None = None
    cov: Array | None = None
    drawn: Callable[[int, Array, Array], Array] | None = None

    def __call__(self, t: int, s: ArrayLike, a: ArrayLike) -> Array:
        """Return Q_t(s, a), t = 0, ..., T - 1."""
        t = validate.integer("t", t, 0, self.value.horizon - 1)
        found = self.function(t, _rows("s", s, self.value.states), _rows("a", a, self.actions))
        return found if np.ndim(s) == 2 else found[0]


def _rows(name: str, x: ArrayLike, width: int) -> Array:
    """Return states or actions (N, width) as they are, and one (width,) as the only row."""
    x = validate.array(name, x)
    return validate.array(name, np.atleast_2d(x) if x.ndim == 1 else x, (None, width))


def quadratic(objective: float, P: Array, c: Array) -> ValueFunction:
    """Return V_t(s) = -(s^T P_t s + c_t)."""

    def function(t: int, s: Array) -> Array:
        return -(np.einsum("ki,ij,kj->k", s, P[t], s) + c[t])

    return ValueFunction(function, len(c) - 1, P.shape[-1], objective, P=P, c=c)


def tabulated(objective: float, table: Array) -> ValueFunction:
    """Return V_t(s) of a table (T + 1, S)."""

    def function(t: int, s: Array) -> Array:
        return table[t][numbers("s", s, table.shape[1])]

    return ValueFunction(function, len(table) - 1, 1, objective, space="table", table=table)


def numbers(name: str, x: Array, count: int) -> NDArray[np.intp]:
    """Return the first of the columns of states or actions (N, 1) as numbers of rows of a table.

    Raises
    ------
    ValueError
        If they are not whole numbers from 0 to count - 1.
    """
    k = np.rint(x[:, 0])
    wrong = (k != x[:, 0]) | (k < 0) | (k >= count)
    if wrong.any():
        raise ValueError(f"{name}: expected whole numbers from 0 to {count - 1}, got {x[wrong, 0][0]}")
    return k.astype(np.intp)
