"""What is known of values, in one form for all kinds of problems: functions to call, and the arrays they are made of."""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclasses.dataclass(frozen=True, eq=False)
class ValueFunction:
    """V_t(s) = E[G_t | s_t = s] for t = 0, ..., T, discounted from time 0; call it with t and states (N, n) or (n,).

    Attributes
    ----------
    function : callable
        function(t, states (N, n)) -> (N,).
    table : (T + 1, S) array, or None
        V_t(s) of a tabular problem, whose states are numbers 0, ..., S - 1 (n = 1).
    P, c : (T + 1, n, n) and (T + 1,) arrays, or None
        Of a linear-quadratic one, V_t(s) = -(s' P_t s + c_t).
    """

    function: Callable
    table: NDArray[np.float64] | None = None
    P: NDArray[np.float64] | None = None
    c: NDArray[np.float64] | None = None

    def __call__(self, t: int, states: ArrayLike) -> NDArray[np.float64]:
        states = np.asarray(states, dtype=float)
        found = self.function(t, np.atleast_2d(states))
        return found if states.ndim == 2 else found[0]


@dataclasses.dataclass(frozen=True, eq=False)
class ExactCritic:
    """Q_t(s, a) = E[G_t | s_t = s, a_t = a] for t < T; call it with t, states (N, n) and actions (N, m), or (n,) and (m,).

    Attributes
    ----------
    function : callable
        function(t, states, actions) -> (N,).
    value : ValueFunction
    table, policy : (T, S, A) and (S, A) arrays, or None
        Q_t(s, a) and pi(a | s) of a tabular problem.
    F, U, cov : (T, m, n), (T, m, m) and (m, m) arrays, or None
        Of a linear-quadratic one, Q_t(s, K s + u) = V_t(s) - (2 u' F_t s + u' U_t u - tr U_t cov), cov that of the actions.
    """

    function: Callable
    value: ValueFunction
    table: NDArray[np.float64] | None = None
    policy: NDArray[np.float64] | None = None
    F: NDArray[np.float64] | None = None
    U: NDArray[np.float64] | None = None
    cov: NDArray[np.float64] | None = None

    def __call__(self, t: int, states: ArrayLike, actions: ArrayLike) -> NDArray[np.float64]:
        states = np.asarray(states, dtype=float)
        found = self.function(t, np.atleast_2d(states), np.atleast_2d(np.asarray(actions, dtype=float)))
        return found if states.ndim == 2 else found[0]


def quadratic(P: NDArray[np.float64], c: NDArray[np.float64]) -> ValueFunction:
    """Return V_t(s) = -(s' P_t s + c_t)."""
    return ValueFunction(lambda t, s: -(np.einsum("ki,ij,kj->k", s, P[t], s) + c[t]), P=P, c=c)


def tabulated(table: NDArray[np.float64]) -> ValueFunction:
    """Return V_t(s) of a table (T + 1, S)."""
    return ValueFunction(lambda t, s: table[t][s[:, 0].astype(int)], table=table)
