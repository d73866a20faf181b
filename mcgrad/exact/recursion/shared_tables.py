"""Several rollouts of a table that share their noise (antithetic pairs, perturbed parameters): their states together are one.

All of them choose by the same uniform numbers, or mirrored ones, each by bounds of its own. Between all bounds nothing changes:
one number from between each two stands for all of them, their distance is its weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import validate
from ...compiler.trace import Tracer
from ..theory import NoClosedForm
from .chain import Chain
from .laws import NORMAL, gauss
from .noise import tensor
from .ring import Array, State, Values, run

SAME, ROUNDING = 1e-9, 1e-14  # of probabilities; between bounds that are one
LARGEST = 100_000  # states of all rollouts together


class ProductTable:
    """The states of several rollouts as a mesh."""

    width = 1

    def __init__(self, states: int, rollouts: int) -> None:
        if states**rollouts > LARGEST:
            raise NoClosedForm(
                f"no recursion on tables: {rollouts} rollouts of {states} states that share noise have more than {LARGEST} "
                "states together"
            )
        axes = np.meshgrid(*[np.arange(states, dtype=float)] * rollouts, indexing="ij")
        self.nodes = np.stack([x.ravel() for x in axes], axis=1)
        self._radix = states ** np.arange(rollouts)[::-1]

    def at(self, points: Array) -> Any:
        """Return the matrix that takes values at the nodes to values at points."""
        from scipy import sparse  # scipy loads slowly, and most of mcgrad does without

        k = np.rint(points).astype(int) @ self._radix
        return sparse.csr_array((np.ones(len(k)), k, np.arange(len(k) + 1)), shape=(len(k), len(self.nodes)))

    def outside(self, points: Array) -> None:
        """Return None: all states are there."""
        return None


class SharedOutcomes:
    """Actions and outcomes of all rollouts with their joint probabilities, as a rule of `Nodal`.

    Parameters
    ----------
    chain : Chain
    states : int
        Of each rollout.
    nodes : int
        For each normal of a reward.

    Raises
    ------
    NoClosedForm
        For a policy without `log_prob`, and one whose actions do not come with these probabilities between their bounds.
    """

    def __init__(self, chain: Chain, states: int, nodes: int) -> None:
        self.chain, self.states, self.nodes = chain, states, nodes
        self.actions = validate.integer("choices", chain.problem.environment.choices, 1)
        if chain.problem.policy.log_prob is None or len(chain.inputs.e_names) != 1:
            raise NoClosedForm(
                f"no recursion on tables: {chain.problem.policy.name} has no log_prob, or draws several numbers"
            )
        params = chain.problem.environment.params
        self._of_outcome = _bounds(params, "outcome", states * self.actions)
        self._of_start = _bounds(params, "start", 1)

    def size(self, chain: Chain, wanted: Sequence[str], state: State, apart: Mapping[str, Array]) -> int:
        """Return the number of noise nodes of a state."""
        return self.step(chain, wanted, [x[:1] for x in state], apart)[1].shape[1]

    def step(
        self, chain: Chain, wanted: Sequence[str], state: State, apart: Mapping[str, Array]
    ) -> tuple[Values, Array, None]:
        """Return noise {name: (K, Q)}, weights (K, Q) and None."""
        x, K, environment = chain.inputs, len(state[0]), chain.problem.environment
        (e,), uniforms = x.e_names, x.w_names[environment.noises :]
        chances = [self._chances(k, state) for k in range(len(chain.trajectories))]
        reached = [np.concatenate([np.zeros((K, 1)), np.cumsum(p, axis=1)], axis=1) for p in chances]
        u, weights = _cells([_seen(y, v.action) for y, v in zip(reached, chain.trajectories, strict=True)])
        rest = dict.fromkeys(x.w_names, np.full((1, 1), 0.5))
        bounds = []
        for k, v in enumerate(chain.trajectories):
            scan = chain.of[k]
            values = chain.values(k, chain.model.rows(0), state, rest | {e: u})
            (action,) = run(scan.step.graph, scan.step.sampled, values)
            action = np.broadcast_to(action, u.shape)
            shares = [np.sum(weights * (action == a), axis=1) for a in range(self.actions)]
            if np.abs(np.stack(shares, axis=1) - chances[k]).max() > SAME:
                raise NoClosedForm(
                    f"no recursion on tables: {chain.problem.policy.name} draws actions in a way of its own"
                )
            row = np.rint(state[k] * self.actions + action).astype(int)
            bounds.append(_seen(self._of_outcome[row if len(self._of_outcome) > 1 else np.zeros_like(row)], v.process))
        w, shares = _cells(bounds)  # (K, actions' cells, outcomes' cells)
        normals, chance = tensor(x.w_names[: environment.noises], lambda _: gauss(NORMAL, self.nodes))
        whole = (*w.shape, chance.size)
        noise = {e: np.broadcast_to(u[:, :, None, None], whole)}
        noise |= {k: np.broadcast_to(w[..., None], whole) for k in uniforms}
        noise |= {k: np.broadcast_to(y, whole) for k, y in normals.items()}
        weights = weights[:, :, None, None] * shares[..., None] * chance.reshape(-1)
        return {k: y.reshape(K, -1) for k, y in noise.items()}, weights.reshape(K, -1), None

    def start(self, chain: Chain) -> tuple[Values, Array]:
        """Return noise and weights of the start, (1, Q)."""
        names = chain.inputs.z0_names
        if not names:
            return {}, np.ones((1, 1))
        u, weights = _cells([_seen(self._of_start, v.initial) for v in chain.trajectories])
        return dict.fromkeys(names, u), weights

    def _chances(self, k: int, state: State) -> Array:
        """Return pi(a | s) of a rollout, (K, A)."""
        chain, step = self.chain, self.chain.of[k].step
        action = np.arange(float(self.actions))[None, :]
        noise = dict.fromkeys([*chain.inputs.e_names, *chain.inputs.w_names], np.full((1, 1), 0.5))
        values = chain.values(k, chain.model.rows(0), state, noise)
        acting, p, eta = step._acting
        given = {x.index: action for x in step.a if isinstance(x, Tracer)}
        (found,) = run(step.graph, [step._log_prob(acting, p, eta)], values, given)
        return np.exp(np.broadcast_to(found, (len(state[k]), self.actions)))


def _bounds(params: Mapping[str, Array], name: str, rows: int) -> Array:
    """Return the numbers between which a uniform one chooses the same outcome, 0 and 1 among them, for each row."""
    ends = np.zeros((rows, 1)), np.ones((rows, 1))
    if f"{name}_stay" in params:
        stay = params[f"{name}_stay"].reshape(rows, -1)
        j, size = np.arange(stay.shape[1]), stay.shape[1]
        inner = np.concatenate([np.broadcast_to(j / size, stay.shape), (j + stay) / size], axis=1)
    elif f"{name}_bounds" in params:
        inner = params[f"{name}_bounds"].reshape(rows, -1)
    else:
        inner = np.zeros((rows, 0))
    return np.sort(np.clip(np.concatenate([ends[0], inner, ends[1]], axis=1), 0.0, 1.0), axis=1)


def _seen(bounds: Array, sign: int) -> Array:
    """Return bounds of a number u in terms of the shared one: u, or 1 - u."""
    return bounds if sign > 0 else 1.0 - bounds


def _cells(bounds: Sequence[Array]) -> tuple[Array, Array]:
    """Return one number from between each two of all bounds, and their distances."""
    edges = np.clip(np.sort(np.concatenate(bounds, axis=-1), axis=-1), 0.0, 1.0)
    width = np.diff(edges, axis=-1)
    there = width > ROUNDING
    return np.where(there, (edges[..., 1:] + edges[..., :-1]) / 2, 0.5), np.where(there, width, 0.0)
