"""A problem's own functions in plain NumPy: whole trajectories for an array of noises, without kernels or derivatives."""

import types

import numpy as np

from .several import NoClosedForm


class Trajectories:
    """A problem's functions, in plain NumPy."""

    def __init__(self, problem):
        environment, policy = problem.environment, problem.policy
        self.problem = problem
        self.p = types.SimpleNamespace(**environment.params)
        self.policy_p = types.SimpleNamespace(**policy.params)
        self.init, self.step = AtNodes(environment.init), AtNodes(environment.step)
        self.eta, self.sample = AtNodes(policy.eta), AtNodes(policy.sample)
        self.reward = AtNodes(lambda *x: (environment.reward(*x),))
        self.terminal = AtNodes(lambda *x: (environment.terminal(*x),))
        self.density = AtNodes(lambda *x: (policy.log_prob(*x),))

    def run(self, theta, noise, count):
        """Return the discounted rewards (T + 1, N), the states of all times but the last, and the actions."""
        environment, policy = self.problem.environment, self.problem.policy
        noise, weights = iter(noise), self.problem.weights()

        def take(number):
            return tuple(next(noise) for _ in range(number))

        s = self.init(count, self.p, take(environment.initial_noises + environment.initial_uniforms))
        states, actions, rewards = [], [], []
        for weight in weights[:-1]:
            eta = self.eta(count, self.policy_p, tuple(theta), s)
            a = self.sample(count, self.policy_p, eta, take(policy.noises + policy.uniforms))
            w = take(environment.noises + environment.uniforms)
            s_next = self.step(count, self.p, s, a, w)
            rewards.append(weight * self.reward(count, self.p, s, a, s_next, w)[0])
            states.append(s)
            actions.append(a)
            s = s_next
        rewards.append(weights[-1] * self.terminal(count, self.p, s)[0] if environment.terminal else np.zeros(count))
        return np.array(rewards), states, actions

    def log_prob(self, theta, states, actions, count):
        """Return log p(a_t | s_t) for given states and actions, (T, N)."""
        policy = self.problem.policy
        if policy.no_score or policy.log_prob is None:
            raise NoClosedForm(f"no score function here: {policy.no_score or policy.name + ' has no log_prob'}")
        eta = [self.eta(count, self.policy_p, tuple(theta), s) for s in states]
        return np.array([self.density(count, self.policy_p, x, a)[0] for x, a in zip(eta, actions, strict=True)])


class AtNodes:
    """A plain function of tuples of numbers, on tuples of arrays: at once if it takes them, else node by node."""

    def __init__(self, function):
        self.function = function
        self.takes_arrays = None

    def __call__(self, count, p, *arguments):
        with np.errstate(all="ignore"):
            if self.takes_arrays is None:
                self.takes_arrays = self._try(p, arguments, count)
            if self.takes_arrays:
                return self._at_once(p, arguments, count)
            rows = [self._at(p, arguments, k) for k in range(count)]
        return tuple(np.array(rows, dtype=float).T)

    def _try(self, p, arguments, count):
        """Tell whether the function takes arrays, and means by them what it means by numbers."""
        try:
            found = self._at_once(p, arguments, count)
        except (TypeError, ValueError):
            return False
        some = (0, count // 3, count - 1)
        return all(
            np.allclose([x[k] for x in found], self._at(p, arguments, k), rtol=1e-12, equal_nan=True) for k in some
        )

    def _at_once(self, p, arguments, count):
        return tuple(np.broadcast_to(np.asarray(x, float), (count,)) for x in self.function(p, *arguments))

    def _at(self, p, arguments, k):
        def numbers(group):
            return tuple(np.float64(x if np.ndim(x) == 0 else x[k]) for x in group)  # which overflow quietly

        return tuple(map(float, self.function(p, *map(numbers, arguments))))
