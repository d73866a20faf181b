"""What is known of values, in one form for all kinds of problems: functions to call, and the arrays they are made of."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..printing import counted, outline
from .theory import Array


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
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
        "polynomials", "a table of 11 states that can be reached", "a grid of 100 points an axis".
    change : mapping
        By how much values moved at the last refinement of a grid, relative to their range. Empty where nothing is approximate.
    left : float
        The chance that a trajectory leaves the box of the grid.
    box : (low, high), (n,) arrays, or None
        Where pilot trajectories were; the box of a grid is larger. None where there is no grid.
    V : (T + 1, S) array, or None
        V_t(s) of a table, whose states are numbers 0, ..., S - 1 (n = 1); NaN where a state cannot be reached by then.
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
    V: Array | None = None
    P: Array | None = None
    c: Array | None = None

    def __repr__(self) -> str:
        title = f"Values ({self.space}) of {counted(self.states, 'state variable')}, t = 0 to {self.horizon}"
        return outline(title, _known(self))

    def __call__(self, t: int, s: ArrayLike) -> Array:
        """Return V_t(s).

        Parameters
        ----------
        t : int
            0, ..., T.
        s : (N, n) or (n,) array
            States; of a table, whole numbers from 0 to S - 1.

        Returns
        -------
        (N,) or () array
            NaN outside of the box of a grid, and of the states that can be reached.

        Raises
        ------
        ValueError
            For a time out of its range, another shape, or a state that is not in the table.
        """
        found = self.function(validate.integer("t", t, 0, self.horizon), _rows("s", s, self.states))
        return found if np.ndim(s) == 2 else found[0]

    def table(self, states: ArrayLike | None = None) -> Any:
        """Return a tidy pandas DataFrame of V_t(s): a row for each time t = 0, ..., T and each state.

        Parameters
        ----------
        states : (N, n) array, optional
            By default all states, of a table.

        Raises
        ------
        ValueError
            Without states, where the states are no table.
        """
        s = _all("states", states, self.V, 1, self.states)
        t, k = _times(self.horizon + 1, len(s))
        values = np.concatenate([self(i, s) for i in range(self.horizon + 1)])
        return _frame({"t": t} | _columns("s", s[k]) | {"value": values})


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExactCritic:
    """Q_t(s, a) = E[G_t | s_t = s, a_t = a] for t < T: `Q(t, s, a)` for (N, n), (N, m) -> (N,), or (n,), (m,) -> ().

    Attributes
    ----------
    function : callable
        function(t, states (N, n), actions (N, m)) -> (N,).
    actions : int
        m.
    value : ValueFunction
    Q, policy : (T, S, A) and (S, A) arrays, or None
        Q_t(s, a) and pi(a | s) of a tabular problem.
    drawn : callable, or None
        drawn(t, states (N, n), e (N, .)) -> (N,), Q_t at the actions that the policy draws with noise e; of the recursion.
    F, U, cov : (T, m, n), (T, m, m) and (m, m) arrays, or None
        Of a linear-quadratic one, Q_t(s, K s + u) = V_t(s) - (2 u^T F_t s + u^T U_t u - tr U_t cov), cov that of the actions.
    """

    function: Callable[[int, Array, Array], Array]
    actions: int
    value: ValueFunction
    Q: Array | None = None
    policy: Array | None = None
    F: Array | None = None
    U: Array | None = None
    cov: Array | None = None
    drawn: Callable[[int, Array, Array], Array] | None = None

    def __repr__(self) -> str:
        V = self.value
        title = f"Critic ({V.space}) of {counted(V.states, 'state variable')}"
        return outline(
            f"{title} and {counted(self.actions, 'action')}, t = 0 to {V.horizon - 1}",
            {"J": V.objective} | _known(self),
        )

    def __call__(self, t: int, s: ArrayLike, a: ArrayLike) -> Array:
        """Return Q_t(s, a).

        Parameters
        ----------
        t : int
            0, ..., T - 1.
        s, a : (N, n) and (N, m), or (n,) and (m,) arrays
            An action for each state; of a table, whole numbers.

        Returns
        -------
        (N,) or () array

        Raises
        ------
        ValueError
            For a time out of its range, other shapes, or what is not in the table.
        """
        t = validate.integer("t", t, 0, self.value.horizon - 1)
        states, actions = _rows("s", s, self.value.states), _rows("a", a, self.actions)
        if np.ndim(s) != np.ndim(a) or len(states) != len(actions):
            wanted = f"(N, {self.actions}) for (N, {self.value.states}), or one for one"
            got = f"shape {np.shape(a)} for states of shape {np.shape(s)}"
            raise ValueError(f"a: expected an action for each state, {wanted}, got {got}")
        found = self.function(t, states, actions)
        return found if np.ndim(s) == 2 else found[0]

    def table(self, states: ArrayLike | None = None, actions: ArrayLike | None = None) -> Any:
        """Return a tidy pandas DataFrame of Q_t(s, a): a row for each time t = 0, ..., T - 1, each state and each action.

        Parameters
        ----------
        states, actions : (N, n) and (M, m) arrays, optional
            By default all of them, of a table.

        Raises
        ------
        ValueError
            Without them, where they are no table.
        """
        s = _all("states", states, self.Q, 1, self.value.states)
        a = _all("actions", actions, self.Q, 2, self.actions)
        t, k = _times(self.value.horizon, len(s) * len(a))
        every = s[k // len(a)], a[k % len(a)]
        size = len(s) * len(a)
        values = np.concatenate([self(i, every[0][:size], every[1][:size]) for i in range(self.value.horizon)])
        return _frame({"t": t} | _columns("s", every[0]) | _columns("a", every[1]) | {"value": values})


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DifferentialValue:
    """V(s) = E[sum_t (r_t - J) | s_0 = s] of a problem without end: `V(s)` for states (N, n) -> (N,), or (n,) -> ().

    Attributes
    ----------
    function : callable
        function(states (N, n)) -> (N,).
    states : int
        n.
    V : (S,) array, or None
        Of a table.
    P, c : (n, n) array and float, or None
        Of a linear-quadratic problem, V(s) = -(s^T P s + c).
    """

    function: Callable[[Array], Array]
    states: int
    V: Array | None = None
    P: Array | None = None
    c: float | None = None

    def __repr__(self) -> str:
        return outline(f"Differential value of {counted(self.states, 'state variable')}", _known(self))

    def __call__(self, s: ArrayLike) -> Array:
        """Return V(s)."""
        found = self.function(_rows("s", s, self.states))
        return found if np.ndim(s) == 2 else found[0]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GradientNews:
    """What an action decides of the gradient to go, N_t(s, a) = dQ_t(s, a)/dtheta - E_a[dQ_t(s, a)/dtheta | s].

    `N(t, s, a)` for states (N, n) and actions (N, m) -> (N, P), or (n,), (m,) -> (P,).

    Attributes
    ----------
    function : callable
        function(t, states (N, n), actions (N, m)) -> (N, P).
    horizon, states, actions : int
        T, n and m.
    N : (T, S, A, P) array, or None
        Of a tabular problem or a bandit.
    linear, quadratic, level : (T, P, m, n), (T, P, m, m) and (T, P) arrays, or None
        Of a linear-quadratic one: u^T linear_p s + u^T quadratic_p u - level_p, u = a - K s.
    """

    function: Callable[[int, Array, Array], Array]
    horizon: int
    states: int
    actions: int
    N: Array | None = None
    linear: Array | None = None
    quadratic: Array | None = None
    level: Array | None = None

    def __repr__(self) -> str:
        return outline(f"Gradient news, t = 0 to {self.horizon - 1}", _known(self))

    def __call__(self, t: int, s: ArrayLike, a: ArrayLike) -> Array:
        """Return N_t(s, a), t = 0, ..., T - 1."""
        t = validate.integer("t", t, 0, self.horizon - 1)
        found = self.function(t, _rows("s", s, self.states), _rows("a", a, self.actions))
        return found if np.ndim(s) == 2 else found[0]


def _known(record: Any) -> dict[str, Any]:
    """Return what of a record is to be printed: its numbers and arrays, where there are any."""
    hidden = ("horizon", "states", "actions", "space", "box")
    values = {x.name: getattr(record, x.name) for x in dataclasses.fields(record) if x.name not in hidden}
    values = {name: x for name, x in values.items() if not callable(x)}
    values |= {"change": dict(values["change"]) or None, "left": values["left"] or None} if "change" in values else {}
    return {"J" if name == "objective" else name: x for name, x in values.items()}


def _all(name: str, given: ArrayLike | None, table: Array | None, axis: int, width: int) -> Array:
    """Return states or actions (N, width), all of a table by default."""
    if given is not None:
        return _rows(name, given, width)
    if table is None:
        raise ValueError(f"{name}: expected an array (N, {width}), as this is no table that has all of them, got None")
    return np.arange(float(table.shape[axis]))[:, None]


def _times(times: int, size: int) -> tuple[Array, NDArray[np.intp]]:
    """Return the time and the number of the entry, for each row of a table."""
    return np.repeat(np.arange(times), size), np.tile(np.arange(size), times)


def _columns(name: str, x: Array) -> dict[str, Array]:
    """Return the columns of states or actions (rows, width); whole numbers as such."""
    whole = np.all(x == np.rint(x))
    names = [name] if x.shape[1] == 1 else [f"{name}[{i}]" for i in range(x.shape[1])]
    return {k: x[:, i].astype(int) if whole else x[:, i] for i, k in enumerate(names)}


def _frame(columns: dict[str, Array]) -> Any:
    import pandas  # heavy: only where somebody asks

    return pandas.DataFrame(columns)


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

    return ValueFunction(function, len(table) - 1, 1, objective, space="table", V=table)


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
