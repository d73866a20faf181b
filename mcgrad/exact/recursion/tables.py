"""Finite state spaces: functions are tables, and noise is enumerated, so that all is exact.

Actions come with the policy's probabilities. The uniform number that chooses an outcome does so by comparisons that are
constant between known bounds: one number from between each two stands for all of them, their distance is its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ... import validate
from ...compiler.trace import Tracer
from ...environments.bandit import Bandit
from ...environments.tabular import Tabular
from ...kernels.reverse_scan import ReverseScan
from ...problem import Problem
from ..faithful import moves_as_said
from ..theory import NoClosedForm
from .chain import Chain
from .laws import NORMAL, gauss
from .nodal import Nodal
from .noise import tensor
from .ring import Array, Monomial, Pair, State, run

NODES = 12  # for normals in rewards: exact up to the 23rd power of one


class SharedNoise(NoClosedForm):
    """A chain is made of several rollouts: its state is no state of the table."""


class Table:
    """The states themselves as a mesh."""

    width = 1

    def __init__(self, states: int) -> None:
        self.nodes = np.arange(states, dtype=float)[:, None]

    def at(self, points: Array) -> Any:
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        k = np.rint(points[:, 0]).astype(int)
        return sparse.csr_array((np.ones(len(k)), k, np.arange(len(k) + 1)), shape=(len(k), len(self.nodes)))

    def outside(self, points: Array) -> None:
        return None


def states(problem: Problem) -> int | None:
    """Return the number of states of a problem whose states are those of a table, or None."""
    known = problem.environment.closed_form
    if not isinstance(known, (Tabular, Bandit)) or not moves_as_said(problem.environment):
        return None
    return len(known.start) if isinstance(known, Tabular) else 1


def count(problem: Problem) -> int:
    """Return the number of states of a problem whose states are those of a table."""
    found = states(problem)
    if found is None:
        raise NoClosedForm(f"no recursion on tables: the states of {problem.environment.name} are none of a table")
    return found


def table(chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair]) -> Nodal:
    """Return the space of functions on the states of a table, see `nodal`."""
    if len(chain.trajectories) > 1:
        raise SharedNoise("no recursion on tables for rollouts that share noise; ask for one estimator at a time")
    problem = chain.problem
    return Nodal(chain, first, pairs, Table(count(problem)), Outcomes(problem), apart=False)


class Outcomes:
    """Actions and outcomes with their probabilities."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.states = problem, count(problem)
        self.actions = validate.integer("choices", problem.environment.choices, 1)
        if problem.policy.log_prob is None:
            raise NoClosedForm(f"no recursion on tables: {problem.policy.name} has no log_prob")
        params = problem.environment.params
        self.u, self.w = _cells(params, "outcome", self.states * self.actions, self.actions)

    def size(self, chain: Chain, wanted: Sequence[str], state: State, apart: dict[str, Array]) -> int:
        """Return the number of noise nodes of a state."""
        normals = self.problem.environment.noises
        return self.actions * self.u.shape[2] * NODES**normals

    def step(
        self, chain: Chain, wanted: Sequence[str], state: State, apart: dict[str, Array]
    ) -> tuple[dict[str, Array], Array, Callable[..., Any]]:
        """Return noise {name: (K, Q)}, weights (K, Q), and what puts the action in its place."""
        x, K, A = chain.inputs, len(state[0]), self.actions
        rows = np.rint(state[0][:, 0]).astype(int)
        u, w = (y[rows] if len(y) > 1 else np.broadcast_to(y, (K, *y.shape[1:])) for y in (self.u, self.w))
        normals, share = tensor(x.w_names[: self.problem.environment.noises], lambda _: gauss(NORMAL, NODES))
        cells, Q = u.shape[2], share.size
        shape = (K, A * cells * Q)
        noise = {k: np.full((1, 1), 0.5) for k in x.e_names}
        noise |= {k: np.broadcast_to(y, (1, A * cells, Q)).reshape(1, -1) for k, y in normals.items()}
        uniforms = x.w_names[self.problem.environment.noises :]
        noise |= {k: np.broadcast_to(u[..., None], (K, A, cells, Q)).reshape(shape) for k in uniforms}
        action = np.broadcast_to(np.arange(float(A))[:, None], (A, cells * Q)).reshape(1, -1)
        chosen = self._probabilities(chain, state)
        weights = (chosen[:, :, None, None] * w[..., None] * share.reshape(-1)).reshape(shape)
        return noise, weights, lambda k, scan: _acted(scan, action)

    def _probabilities(self, chain: Chain, state: State) -> Array:
        """Return pi(a | s), (K, A)."""
        ((k, scan),) = chain.of.items()
        step = scan.step
        action = np.arange(float(self.actions))[None, :]
        values = chain.values(k, chain.model.rows(0), state, dict.fromkeys(chain.inputs.e_names, 0.5))
        acting, p, eta = step._acting
        (found,) = run(step.graph, [step._log_prob(acting, p, eta)], values, _acted(scan, action))
        return np.exp(np.broadcast_to(found, (len(state[0]), self.actions)))

    def start(self, chain: Chain) -> tuple[dict[str, Array], Array]:
        """Return noise and weights of the start, (1, Q)."""
        names = chain.inputs.z0_names
        if not names:
            return {}, np.ones((1, 1))
        u, w = _cells(self.problem.environment.params, "start", 1, 1)
        return {k: u[0] for k in names}, w[0]


def _acted(scan: ReverseScan, action: Array) -> dict[int, Array]:
    """Return {node: value} that puts an action in the place of what the policy's noise chooses."""
    chosen = scan.step.a[0]
    assert isinstance(chosen, Tracer)
    return {chosen.index: action}


def _cells(params: Mapping[str, Array], name: str, rows: int, actions: int) -> tuple[Array, Array]:
    """Return one number from between the bounds of each outcome, and its probability: (states, actions, outcomes) both."""
    if f"{name}_stay" in params:
        stay, alias = (params[f"{name}_{x}"].reshape(rows, -1) for x in ("stay", "alias"))
        size = stay.shape[1]
        j, row, other = np.arange(size), np.arange(rows)[:, None], alias.astype(int)
        w, u = stay / size, (j + stay / 2) / size
        leaves = np.full(u.shape, 0.5)  # from where else an outcome is come to
        leaves[row, other] = (j + (1 + stay) / 2) / size
        u = np.where(stay > 0, u, leaves)
        np.add.at(w, (row, other), (1 - stay) / size)
    elif f"{name}_bounds" in params:
        bounds = np.clip(params[f"{name}_bounds"].reshape(rows, -1), 0, 1)
        edges = np.sort(np.concatenate([np.zeros((rows, 1)), bounds, np.ones((rows, 1))], axis=1), axis=1)
        u, w = (edges[:, 1:] + edges[:, :-1]) / 2, np.diff(edges, axis=1)
    else:
        u, w = np.full((rows, 1), 0.5), np.ones((rows, 1))
    possible = (w > 0).any(axis=0)
    u, w = (x[:, possible].reshape(rows // actions, actions, -1) for x in (u, w))
    return u, w
