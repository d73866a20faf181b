"""The Gaussian chain x_t that the estimators live on, and the moments of the carries that travel along it.

    x~_{t+1} = A x~_t + G xi_t,    x~ = (1, x), x centred, E[x x'] = C without its first row and column.

x is the state of one trajectory, with its sensitivity if *lifted*, and, if *mirrored*, the same of a second
trajectory driven by the noise with flipped signs (antithetic pairs). A carry is Y_{t+1} = lam (Y_t + y_t)
with an atom y: the eligibility of the score (y = z, from 0) and the running estimate of the return
(y = delta, from V_0(s_0) - J). Both are chaos of order at most two, so that

    N_t = E[Y x~x~'],      M_t = E[Y Y' x~x~']

are all that is ever needed of them. With c = G linear x~, Q the quadratic part of y (c', Q' those of y') and
k = E[y y' | x], these obey linear recursions:

    N_{t+1} = lam (A N A' + E[y x~x~'])                                                              (push)
        E[y x~x~' | x] = A x~ c' + c x~'A' + 2 G Q G'                       with the x~ after y on the left
    M_{t+1} = lam lam' (A M A' + M_00 GG' + E[Y y' x~x~'] + E[y Y' x~x~'] + E[y y' x~x~'])          (push2)
        E[y y' x~x~' | x] = k (A x~x~'A' + GG') + sym(A x~ c3' + c c'' + 4 G Q Q' G')
        c3 = 2 G (Q linear' + Q' linear) x~,   sym(a) = a + a'.

Cost O(T P N^3), N the size of x~, for all stages and parameters in one batch; only the recursions loop.
"""

from typing import NamedTuple

import numpy as np

from .atoms import Atom, cumulant2
from .gaussian import lift, transpose
from .trajectory import Trajectory


class Carry(NamedTuple):
    """Name of the atom that feeds it, decay lam, and which trajectory it belongs to (1: the mirror image)."""

    name: str
    decay: float = 1.0
    path: int = 0


class Chain:
    """A trajectory, perhaps with its mirror image, for the listed parameters.

    `mirror`: None, "all" (initial deviation, exploration and process noise flipped) or "exploration".
    """

    def __init__(self, system, parameters, lifted=False, mirror=None):
        self.system, self.parameters = system, np.asarray(parameters)
        self.trajectory = Trajectory(system, parameters, lifted)
        self.paths, part = (2 if mirror else 1), self.trajectory.size - 1
        self.size = 1 + self.paths * part
        self.block = [slice(1 + k * part, 1 + (k + 1) * part) for k in range(self.paths)]
        r, r0 = system.noise.shape[1], system.initial_factor.shape[1]
        flipped = np.where(np.arange(r) < (r if mirror == "all" else system.actions), -1.0, 1.0)
        self.signs = [np.ones(r), flipped]
        self.start_signs = [np.ones(r0), np.full(r0, -1.0 if mirror == "all" else 1.0)]
        self._atoms, self._means, self._seconds = {}, {}, {}
        self._build(r, r0, part)

    def _build(self, r, r0, part):
        system, path, N = self.system, self.trajectory, self.size
        p = len(path.transition)
        self.A, self.G = np.zeros((p, N, N)), np.zeros((p, N, r))
        self.G0 = np.zeros((1, N, r0))
        self.A[:, 0, 0] = 1.0
        for block, signs, start_signs in zip(self.block, self.signs, self.start_signs, strict=False):
            self.A[:, block, block] = path.transition
            self.G[:, block] = path.spread * signs
            self.G0[:, block.start : block.start + system.states] = system.initial_factor * start_signs
        self.C = np.empty((system.horizon, p, N, N))
        self.C[0] = self.G0 @ transpose(self.G0)
        inflow, transition = self.G @ transpose(self.G), self.A.copy()
        transition[:, 0, 0] = 0.0
        for t in range(system.horizon - 1):
            self.C[t + 1] = transition @ self.C[t] @ transpose(transition) + inflow
        self.second = self.C.copy()  # E[x~x~']
        self.second[..., 0, 0] = 1.0

    # ---- atoms and forms of a path, in the coordinates of the chain ----

    def atom(self, name, path=0):
        """Return the named atom of `Trajectory` for one of the paths."""
        if (name, path) not in self._atoms:
            atom = getattr(self.trajectory, name)
            self._atoms[name, path] = self._embed(atom, self.signs[path], self.block[path])
        return self._atoms[name, path]

    def score_of(self, entry, path=0):
        """Return the score of one parameter (an index), to be set against every parameter of the chain."""
        if ("score_of", entry, path) not in self._atoms:
            score = Trajectory(self.system, [entry], self.trajectory.lifted).score
            self._atoms["score_of", entry, path] = self._embed(score, self.signs[path], self.block[path])
        return self._atoms["score_of", entry, path]

    def _embed(self, atom, signs, block):
        linear = np.zeros(atom.linear.shape[:-1] + (self.size,))
        linear[..., 0], linear[..., block] = atom.linear[..., 0], atom.linear[..., 1:]
        return Atom(signs[:, None] * linear, signs[:, None] * atom.quadratic * signs)

    def start(self, name, path=0):
        """Return the named initial atom (linear part constant) for one of the paths."""
        atom, signs = getattr(self.trajectory, "start_" + name), self.start_signs[path]
        return Atom(signs[:, None] * atom.linear, signs[:, None] * atom.quadratic * signs)

    def form(self, matrix, path=0):
        """Return a form of (1, s_t), (T, p, 1 + n, 1 + n), in the chain's coordinates x~."""
        n, mean = self.system.states, self.trajectory.mean
        shift = np.zeros((self.system.horizon, 1, n + 1, self.size))
        shift[..., 0, 0] = 1.0
        shift[:, 0, 1:, 0] = mean
        start = self.block[path].start
        shift[..., 1:, start : start + n] = np.eye(n)
        return transpose(shift) @ matrix @ shift

    # ---- moments of the carries ----

    def carry_mean(self, carry):
        """N_t = E[Y_t x~x~'], (T, P, N, N)."""
        if carry not in self._means:
            atom, start = self._feed(carry)
            first = 0.0 if start is None else self._push(start, self._origin, self.G0, np.ones((1, 1, 1)))
            source = self._push(atom, self.A, self.G, self.second)
            self._means[carry] = self._run(source, first, carry.decay, 0.0)
        return self._means[carry]

    def carry_second(self, one, two):
        """M_t = E[Y_t Y'_t x~x~'], (T, P, N, N)."""
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
            inflow = self.G @ transpose(self.G)
            self._seconds[key] = self._run(source, first, one.decay * two.decay, inflow)
        return self._seconds[key]

    @property
    def _origin(self):
        # the initial stage has the constant 1 alone before it: x~_0 = origin 1 + G0 xi
        out = np.zeros((1, self.size, 1))
        out[:, 0] = 1.0
        return out

    def _feed(self, carry):
        start = self.start("return", carry.path) if carry.name == "error" else None
        return self.atom(carry.name, carry.path), start

    @staticmethod
    def _push(atom, A, G, N):
        """Return E[Y y x~x~'] after a stage from N = E[Y x~x~'] before it (Y = 1: N = E[x~x~'])."""
        cross = A @ N @ transpose(G @ atom.linear)
        return cross + transpose(cross) + 2 * N[..., :1, :1] * (G @ atom.quadratic @ transpose(G))

    @staticmethod
    def _push2(a, b, A, G, second, C):
        """Return E[y y' x~x~'] after a stage from E[x~x~'] before it and its centred part C."""
        moved = G @ transpose(G)
        lifted = lift(cumulant2(a, b), C)
        third = A @ second @ transpose(2 * G @ (a.quadratic @ b.linear + b.quadratic @ a.linear))
        both = (G @ a.linear) @ second @ transpose(G @ b.linear)
        product = a.quadratic @ b.quadratic
        cross = third + both + 4 * G @ product @ transpose(G)
        return A @ lifted @ transpose(A) + lifted[..., :1, :1] * moved + cross + transpose(cross)

    def _run(self, source, first, decay, inflow):
        """M_{t+1} = decay (A M A' + M_00 inflow + source_t), M_0 = first."""
        shape = np.broadcast_shapes(source.shape[1:], self.A.shape, np.shape(first)[1:])
        out = np.empty((self.system.horizon, *shape))
        out[0] = first
        At = transpose(self.A)
        for t in range(self.system.horizon - 1):
            out[t + 1] = decay * (self.A @ out[t] @ At + out[t, :, :1, :1] * inflow + source[t])
        return out
