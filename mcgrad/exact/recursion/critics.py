"""The exact critic of any problem whose value function the recursion finds: Q_t(s, a) = E[r_t + V_{t+1}(s_{t+1}) | s, a]."""

from __future__ import annotations

import numpy as np

from ...compiler.trace import Tracer
from ...problem import Problem
from ..records import ExactCritic
from ..theory import NoClosedForm
from .chain import Chain
from .laws import gauss
from .nodal_stage import points_of
from .noise import tensor
from .refine import Options
from .ring import Array, run
from .tables import states
from .values import OnLevel, found_within

COUNTS = (1, 4, 8, 16, 32, 64, 128)  # nodes of each noise of the process, until nothing moves
MOST = 4096  # of them all
CHECKED, SEED = 64, 1  # states and actions at which nothing may move, at the first and the last time


def critic_within(problem: Problem, theta: Array, options: Options) -> ExactCritic:
    """Return the exact critic for what is left of the work of `options`.

    Raises
    ------
    NoClosedForm
        For tables, where there is no value function, and where the mean over the noise of the process does not come to rest.
    """
    if states(problem):
        raise NoClosedForm("no critic by the recursion on a table: its actions are numbers of rows")
    chain, found = found_within(problem, theta, options)
    if found.states is not None:
        raise NoClosedForm("no critic by the recursion where noise only chooses the next state")
    value = found.record(problem.environment.states)
    before, change = None, np.inf
    for count in COUNTS:
        if count ** len(chain.problem_noises) > MOST:
            break
        Q = _Means(chain, found, count)
        after = Q.looked_at(found.box())
        if before is not None:
            change = float(np.max(np.abs(after - before)) / (np.ptp(after) + 1e-300))
            if change <= options.tolerance:
                return ExactCritic(Q, problem.environment.actions, value, drawn=Q.drawn)
        before = after
    raise NoClosedForm(f"no critic: the noise of the process still moves Q by {change:.1e} of its range")


class _Means:
    """Q_t(s, a) with so many nodes for each noise of the process."""

    def __init__(self, chain: Chain, found: OnLevel, count: int) -> None:
        self.chain, self.functions = chain, found.functions
        kinds = chain.noises()
        self.noise, self.weights = tensor(chain.problem_noises, lambda name: gauss(kinds[name], count))
        self.noise = self.noise | {x: np.full((1, 1), 0.5) for x in chain.inputs.e_names}  # the action is given

    def __call__(self, t: int, s: Array, a: Array) -> Array:
        chain, rows = self.chain, self.chain.model.rows(t)
        step = chain.of[0].step
        values = chain.values(0, rows, list(s.T[:, :, None]), self.noise)
        given = {x.index: a[:, i : i + 1] for i, x in enumerate(step.a) if isinstance(x, Tracer)}
        *s_next, reward = run(step.graph, [*step.s_next, step.reward], values, given)
        shape = len(s), self.weights.shape[1]
        later = self.functions[t + 1](points_of(s_next, *shape), held=True).reshape(shape)
        return (reward + later) @ self.weights[0]

    def drawn(self, t: int, s: Array, e: Array) -> Array:
        """Return Q_t at the actions that noise e (N, .) draws."""
        chain, step = self.chain, self.chain.of[0].step
        noise = self.noise | {x: e[:, i : i + 1] for i, x in enumerate(chain.inputs.e_names)}
        values = chain.values(0, chain.model.rows(t), list(s.T[:, :, None]), noise)
        actions = [np.broadcast_to(x, (len(s), 1)) for x in run(step.graph, step.sampled, values)]
        return self(t, s, np.concatenate(actions, axis=1))

    def looked_at(self, box: tuple[Array, Array]) -> Array:
        """Return some values in a box of states, under actions of the policy."""
        random, chain = np.random.default_rng(SEED), self.chain
        s = random.uniform(*box, (CHECKED, chain.n))
        kinds = chain.noises()
        e = [gauss(kinds[x], CHECKED)[0][random.permutation(CHECKED)] for x in chain.inputs.e_names]
        noise = np.stack([*e, np.zeros(CHECKED)], axis=1)
        return np.concatenate([self.drawn(t, s, noise) for t in {0, chain.problem.horizon - 1}])
