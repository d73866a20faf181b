"""Covariances between different parameters: Cov(X_p, Y_q), not for p = q alone.

Both estimators live on one trajectory, with a sensitivity of the state for p on one path of the chain and for q on the
other; the paths share all noise (in an antithetic pair, which is built the same way, they see mirror images of it).
"""

import numpy as np

from .chain import Chain
from .gaussian import transpose
from .trajectory import Trajectory
from .variances import BLOCK, covariance_on


def covariance_matrix(system, X, Y):
    """Return Cov(X_p, Y_q) for all parameters p and q of two estimators on the same trajectory: (P, P)."""
    P = system.parameters
    out = np.empty((P, P))
    p, q = np.triu_indices(P) if X is Y else np.indices((P, P)).reshape(2, -1)
    out[p, q] = covariance_between(system, X, Y, p, q)
    if X is Y:
        out[q, p] = out[p, q]
    return out


def covariance_between(system, X, Y, first, second):
    """Return Cov(X_p, Y_q) for pairs (p, q) of parameters from two arrays of indices (K,): (K,)."""
    first, second = np.asarray(first), np.asarray(second)
    lifted = X.lifted or Y.lifted
    size = 1 + system.states * (4 if lifted else 1)
    block = max(1, BLOCK // (size**2 * system.horizon))
    parts = [slice(k, k + block) for k in range(0, len(first), block)]
    return np.concatenate([_covariance(_Pairs(system, first[k], second[k], lifted), X, Y) for k in parts])


def _covariance(chain, X, Y):
    start, steps = covariance_on(chain, X, _Other(Y), path=1)
    return start + steps.sum(axis=0)


class _Other:
    """An estimator whose parameters are those of the second path."""

    def __init__(self, Y):
        self.Y, self.start = Y, Y.start

    def terms(self, chain, path):
        """Return the summands of m_t."""
        chain.look_at(1)
        terms = self.Y.terms(chain, path)
        chain.look_at(0)
        return terms


class _Pairs(Chain):
    """A chain whose two paths are one trajectory, with sensitivities for other parameters."""

    def __init__(self, system, first, second, lifted):
        self._lists = first, second
        super().__init__(system, first, lifted, mirror="all")

    def _build(self, r, r0, part):
        system, lifted = self.system, self.trajectory.lifted
        self.signs, self.start_signs = [np.ones(r)] * 2, [np.ones(r0)] * 2
        self._paths = [Trajectory(system, parameters, lifted) for parameters in self._lists]
        if not lifted:  # both are the state itself
            self.size, self.block = 1 + part, [slice(1, 1 + part)] * 2
        p = len(self._paths[0].transition)
        self.A, self.G = np.zeros((p, self.size, self.size)), np.zeros((p, self.size, r))
        self.G0 = np.zeros((1, self.size, r0))
        self.A[:, 0, 0] = 1.0
        for path, block in zip(self._paths, self.block, strict=True):
            self.A[:, block, block] = path.transition
            self.G[:, block] = path.spread
            self.G0[:, block.start : block.start + system.states] = system.initial_factor
        self.C = np.empty((system.horizon, p, self.size, self.size))
        self.C[0] = self.G0 @ transpose(self.G0)
        inflow, transition = self.G @ transpose(self.G), self.A.copy()
        transition[:, 0, 0] = 0.0
        for t in range(system.horizon - 1):
            self.C[t + 1] = transition @ self.C[t] @ transpose(transition) + inflow
        self.second = self.C.copy()
        self.second[..., 0, 0] = 1.0

    def look_at(self, path):
        """Make one path's parameters those of the chain."""
        self.trajectory, self.parameters = self._paths[path], self._lists[path]

    def atom(self, name, path=0):
        """Return the named atom of a path, for its own parameters."""
        before, self.trajectory = self.trajectory, self._paths[path]
        atom = super().atom(name, path)
        self.trajectory = before
        return atom

    def start(self, name, path=0):
        """Return the named initial atom of a path, for its own parameters."""
        before, self.trajectory = self.trajectory, self._paths[path]
        atom = super().start(name, path)
        self.trajectory = before
        return atom
