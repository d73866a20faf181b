"""A problem's own functions in plain NumPy: whole trajectories for an array of noises, without kernels or derivatives."""

import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..problem import Problem
from .theory import Array

Nodes: TypeAlias = tuple[Array, ...]  # the components of something, (N,) each


class Trajectories:
    """A problem's functions, in plain NumPy."""

    def __init__(self, problem: Problem) -> None:
        environment, policy = problem.environment, problem.policy
        self.problem = problem
        self.p = types.SimpleNamespace(**environment.params)
        self.policy_p = types.SimpleNamespace(**policy.params)
        self.init, self.step = AtNodes(environment.init), AtNodes(environment.step)
        self.eta, self.sample = AtNodes(policy.eta), AtNodes(policy.sample)
        seen = environment.reward_sees
        self.reward = AtNodes(
            lambda p, s, a, s_next, w, eta, *x: (environment.reward(p, s, a, s_next, w, *seen_by(eta, x)),)
        )
        terminal, log_prob = environment.terminal, None if policy.no_score else policy.log_prob
        self.terminal = None if terminal is None else AtNodes(lambda *x: (terminal(*x),))
        self.density = None if log_prob is None else AtNodes(lambda *x: (log_prob(*x),))

        def seen_by(eta: Nodes, x: Sequence[Any]) -> list[Any]:
            return [eta if name == "eta" else x[0][0] for name in seen]

    def run(
        self, theta: Array, noise: Iterable[Array], count: int, held: Sequence[Nodes] | None = None
    ) -> tuple[Array, Array, list[Nodes], list[Nodes]]:
        """Return the discounted rewards (T + 1, N), log p(a_t | s_t) (T, N), the states of all times but the last, the actions.

        Parameters
        ----------
        held : list of T actions, optional
            Actions that are held fixed, but for the components that are functions of eta alone.
        """
        environment, policy = self.problem.environment, self.problem.policy
        left, weights = iter(noise), self.problem.weights()
        own, design = self.problem.split(tuple(theta))
        p = types.SimpleNamespace(**vars(self.p) | {k: np.asarray(v, dtype=float)[()] for k, v in design.items()})

        def take(number: int) -> Nodes:
            return tuple(next(left) for _ in range(number))

        s = self.init(count, p, take(environment.initial_noises + environment.initial_uniforms))
        states, actions, rewards, log_probs = [], [], [], []
        for t, weight in enumerate(weights[:-1]):
            eta = self.eta(count, self.policy_p, own, s)
            e = take(policy.noises + policy.uniforms)
            a = self.sample(count, self.policy_p, eta, e)
            if held is not None:
                fixed = self._functions_of_eta(count, eta, e, a)
                a = tuple(x if fixed[i] else held[t][i] for i, x in enumerate(a))
            log_prob = self.density(count, self.policy_p, eta, a)[0] if self.density else np.full(count, np.nan)
            w = take(environment.noises + environment.uniforms)
            s_next = self.step(count, p, s, a, w)
            rewards.append(weight * self.reward(count, p, s, a, s_next, w, eta, (log_prob,))[0])
            states.append(s)
            actions.append(a)
            log_probs.append(log_prob)
            s = s_next
        rewards.append(weights[-1] * self.terminal(count, p, s)[0] if self.terminal else np.zeros(count))
        return np.array(rewards), np.array(log_probs), states, actions

    def _functions_of_eta(self, count: int, eta: Nodes, e: Nodes, a: Nodes) -> list[bool]:
        """Tell of each component of an action whether it is the same with other noise."""
        other = self.sample(count, self.policy_p, eta, tuple(0.5 * x[::-1] + 0.1 for x in e))
        return [bool(e) and np.array_equal(x, y) for x, y in zip(a, other, strict=True)]


class AtNodes:
    """A plain function of tuples of numbers, on tuples of arrays: at once if it takes them, else node by node."""

    def __init__(self, function: Callable[..., Sequence[Any]]) -> None:
        self.function = function
        self.takes_arrays: bool | None = None

    def __call__(self, count: int, p: Any, *arguments: Sequence[Any]) -> Nodes:
        with np.errstate(all="ignore"):
            if self.takes_arrays is None:
                self.takes_arrays = self._try(p, arguments, count)
            if self.takes_arrays:
                return self._at_once(p, arguments, count)
            rows = [self._at(p, arguments, k) for k in range(count)]
        return tuple(np.array(rows, dtype=float).T)

    def _try(self, p: Any, arguments: Sequence[Sequence[Any]], count: int) -> bool:
        """Tell whether the function takes arrays, and means by them what it means by numbers."""
        try:
            found = self._at_once(p, arguments, count)
        except (TypeError, ValueError):
            return False
        some = (0, count // 3, count - 1)
        return all(
            np.allclose([x[k] for x in found], self._at(p, arguments, k), rtol=1e-12, equal_nan=True) for k in some
        )

    def _at_once(self, p: Any, arguments: Sequence[Sequence[Any]], count: int) -> Nodes:
        return tuple(np.broadcast_to(np.asarray(x, float), (count,)) for x in self.function(p, *arguments))

    def _at(self, p: Any, arguments: Sequence[Sequence[Any]], k: int) -> tuple[float, ...]:
        def numbers(group: Sequence[Any]) -> tuple[np.float64, ...]:
            return tuple(np.float64(x if np.ndim(x) == 0 else x[k]) for x in group)  # which overflow quietly

        return tuple(map(float, self.function(p, *map(numbers, arguments))))
