"""The Gaussian chain x_t that the estimators live on, and the moments of the carries that travel along it.

    x~_{t+1} = A_t x~_t + G_t xi_t,    x~ = (1, x), x centred, E[x x^T] = C without its first row and column.

x is made of one path or two: the state of a trajectory, perhaps with its sensitivity for a list of parameters. Two paths are
either one trajectory with two sensitivities, of other parameters or of other kinds (then they share the state), or two
trajectories driven by the same noise with other signs (antithetic pairs). A carry is Y_{t+1} = lam (Y_t + y_t)
with an innovation y: the eligibility of the score (y = z, from 0) and the running estimate of the return
(y = delta, from V_0(s_0) - J). Both are chaos of order at most two, so that

    N_t = E[Y x~ x~^T],      M_t = E[Y Y' x~ x~^T]

are all that is ever needed of them. With c = G linear x~, Q the quadratic part of y (c', Q' those of y') and
k = E[y y' | x], these obey linear recursions:

    N_{t+1} = lam (A N A^T + E[y x~ x~^T])                                                              (push)
        E[y x~ x~^T | x] = A x~ c^T + c x~'A' + 2 G Q G^T                       with the x~ after y on the left
    M_{t+1} = lam lam' (A M A^T + M_00 G G^T + E[Y y' x~ x~^T] + E[y Y' x~ x~^T] + E[y y' x~ x~^T])          (push2)
        E[y y' x~ x~^T | x] = k (A x~ x~^T A^T + G G^T) + sym(A x~ c3^T + c c'^T + 4 G Q Q' G^T)
        c3 = 2 G (Q linear' + Q' linear) x~,   sym(a) = a + a^T.

Cost O(T P N^3), N the size of x~, for all stages and parameters in one batch; only the recursions loop.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np

from ..theory import Array, Indices, Signs
from .gaussian import lift, transpose
from .innovations import Innovation, cumulant2
from .trajectory import Trajectory
from .values import value_forms


class Carry(NamedTuple):
    """Name of the innovation that feeds it, decay lam, and which path it belongs to."""

    name: str
    decay: float = 1.0
    path: int = 0


class Chain:
    """One path or two.

    Parameters
    ----------
    paths : list of Trajectory
        With as many parameters each: p of them, in an array over stages and parameters.
    signs : list of (initial, action, process), optional
        Signs of the noise of each path, 1 or -1.
    """

    def __init__(self, paths: list[Trajectory], signs: tuple[Signs, Signs] = ((1, 1, 1), (1, 1, 1))) -> None:
        self.paths, self.system, self.parameters = paths, paths[0].system, paths[0].parameters
        r, r0, m = self.system.noise.shape[1], self.system.initial_factor.shape[1], self.system.actions
        self.signs = [np.where(np.arange(r) < m, action, process).astype(float) for _, action, process in signs]
        self.start_signs = [np.full(r0, float(initial)) for initial, _, _ in signs]
        self._layout(shared=signs[0] == signs[-1])
        self._innovations: dict[tuple[Hashable, int], Innovation] = {}
        self._means: dict[Carry, Array] = {}
        self._seconds: dict[tuple[Carry, ...], Array] = {}
        self._move()

    def _layout(self, shared: bool) -> None:
        """Say where in x~ the state and the sensitivity of each path are."""
        n, end = self.system.states, 1
        self.columns: list[Indices] = []
        for k, path in enumerate(self.paths):
            again = k and shared
            own = np.arange(end, end + path.size - 1 - (n if again else 0))
            self.columns.append(np.append(self.columns[0][:n], own) if again else own)
            end += len(own)
        self.size = end

    def _move(self) -> None:
        N, r = self.size, self.system.noise.shape[1]
        moves = [path.transition for path in self.paths]
        lead = np.broadcast_shapes(*(x.shape[:2] for x in moves))
        self.A, self.G = np.zeros((*lead, N, N)), np.zeros((*lead, N, r))
        self.G0 = np.zeros((1, N, self.system.initial_factor.shape[1]))
        self.A[..., 0, 0] = 1.0
        for path, move, at, signs, start_signs in zip(
            self.paths, moves, self.columns, self.signs, self.start_signs, strict=False
        ):
            self.A[..., at[:, None], at] = move
            self.G[..., at, :] = path.spread * signs
            self.G0[:, at[: self.system.states]] = self.system.initial_factor * start_signs
        self.inflow = self.G @ transpose(self.G)
        transition = self.A.copy()
        transition[..., 0, 0] = 0.0
        self.C = np.empty((self.system.horizon, lead[1], N, N))
        self.C[0] = self.G0 @ transpose(self.G0)
        for t in range(self.system.horizon - 1):
            A = _at(transition, t)
            self.C[t + 1] = A @ self.C[t] @ transpose(A) + _at(self.inflow, t)
        self.second = self.C.copy()  # E[x~ x~^T]
        self.second[..., 0, 0] = 1.0

    # ---- innovations and forms of a path, in the coordinates of the chain ----

    def innovation(self, name: str, path: int = 0) -> Innovation:
        """Return the named innovation of `Trajectory` for one of the paths."""
        return self.made(name, path, lambda: getattr(self.paths[path], name))

    def made(self, key: Hashable, path: int, make: Callable[[], Innovation]) -> Innovation:
        """Return what `make()` returns, an Innovation of a path, in the coordinates of the chain; made once."""
        if (key, path) not in self._innovations:
            found, signs = make(), self.signs[path]
            linear = np.zeros(found.linear.shape[:-1] + (self.size,))
            linear[..., 0], linear[..., self.columns[path]] = found.linear[..., 0], self._known(found, path)
            moved = Innovation(signs[:, None] * linear, signs[:, None] * found.quadratic * signs)
            self._innovations[key, path] = moved
        return self._innovations[key, path]

    def _known(self, innovation: Innovation, path: int) -> Array:
        return innovation.linear[..., 1 : 1 + len(self.columns[path])]

    def start(self, form: Array, path: int = 0) -> Innovation:
        """Return the initial innovation of a form of (1, s_0) of one of the paths, whose linear part is constant."""
        found, signs = self.paths[path].start(form), self.start_signs[path]
        return Innovation(signs[:, None] * found.linear, signs[:, None] * found.quadratic * signs)

    def form(self, matrix: Array, path: int = 0) -> Array:
        """Return a form of (1, s_t), (T, p, 1 + n, 1 + n), in the chain's coordinates x~."""
        n, mean = self.system.states, self.paths[path].mean
        shift = np.zeros((self.system.horizon, 1, n + 1, self.size))
        shift[..., 0, 0] = 1.0
        shift[:, 0, 1:, 0] = mean
        shift[..., 1:, self.columns[path][:n]] = np.eye(n)
        return transpose(shift) @ matrix @ shift

    # ---- moments of the carries ----

    def carry_mean(self, carry: Carry) -> Array:
        """N_t = E[Y_t x~ x~^T], (T, P, N, N)."""
        if carry not in self._means:
            atom, start = self._feed(carry)
            first = 0.0 if start is None else self._push(start, self._origin, self.G0, np.ones((1, 1, 1)))
            source = self._push(atom, self.A, self.G, self.second)
            self._means[carry] = self._run(source, first, carry.decay)
        return self._means[carry]

    def carry_second(self, one: Carry, two: Carry) -> Array:
        """M_t = E[Y_t Y'_t x~ x~^T], (T, P, N, N)."""
        key = tuple(sorted((one, two)))
        if key not in self._seconds:
            (one, two), first = key, 0.0
            (a, start_a), (b, start_b) = self._feed(one), self._feed(two)
            if start_a is not None and start_b is not None:
                one_by_one = np.ones((1, 1, 1))
                first = self._push2(start_a, start_b, self._origin, self.G0, one_by_one, 0 * one_by_one)
            source = self._push2(a, b, self.A, self.G, self.second, self.C)
            source = source + self._push(b, self.A, self.G, self.carry_mean(one))
            source = source + self._push(a, self.A, self.G, self.carry_mean(two))
            self._seconds[key] = self._run(source, first, one.decay * two.decay, self.inflow)
        return self._seconds[key]

    @property
    def _origin(self) -> Array:
        # the initial stage has the constant 1 alone before it: x~_0 = origin 1 + G0 xi
        out = np.zeros((1, self.size, 1))
        out[:, 0] = 1.0
        return out

    def _feed(self, carry: Carry) -> tuple[Innovation, Innovation | None]:
        start = self.start(value_forms(self.paths[carry.path].system)[0], carry.path) if carry.name == "error" else None
        return self.innovation(carry.name, carry.path), start

    @staticmethod
    def _push(atom: Innovation, A: Array, G: Array, N: Array) -> Array:
        """Return E[Y y x~ x~^T] after a stage from N = E[Y x~ x~^T] before it (Y = 1: N = E[x~ x~^T])."""
        cross = A @ N @ transpose(G @ atom.linear)
        return cross + transpose(cross) + 2 * N[..., :1, :1] * (G @ atom.quadratic @ transpose(G))

    @staticmethod
    def _push2(a: Innovation, b: Innovation, A: Array, G: Array, second: Array, C: Array) -> Array:
        """Return E[y y' x~ x~^T] after a stage from E[x~ x~^T] before it and its centred part C."""
        moved = G @ transpose(G)
        lifted = lift(cumulant2(a, b), C)
        third = A @ second @ transpose(2 * G @ (a.quadratic @ b.linear + b.quadratic @ a.linear))
        both = (G @ a.linear) @ second @ transpose(G @ b.linear)
        product = a.quadratic @ b.quadratic
        cross = third + both + 4 * G @ product @ transpose(G)
        return A @ lifted @ transpose(A) + lifted[..., :1, :1] * moved + cross + transpose(cross)

    def _run(self, source: Array, first: float | Array, decay: float, inflow: Array | None = None) -> Array:
        """M_{t+1} = decay (A M A^T + M_00 inflow + source_t), M_0 = first."""
        shape = np.broadcast_shapes(source.shape[1:], self.A.shape[1:], np.shape(first)[1:])
        out = np.empty((self.system.horizon, *shape))
        out[0] = first
        for t in range(self.system.horizon - 1):
            A = _at(self.A, t)
            out[t + 1] = A @ out[t] @ transpose(A) + source[t]
            if inflow is not None:
                out[t + 1] += out[t, :, :1, :1] * _at(inflow, t)
            out[t + 1] *= decay
        return out


def _at(moves: Array, t: int) -> Array:
    """Return the map of stage t, where there may be one for all of them."""
    return moves[t if len(moves) > 1 else 0]
