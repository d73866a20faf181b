"""What an estimator sees of a trajectory while it is traced: the end, and one step at a time, newest first."""

import warnings
import weakref
from typing import NamedTuple

import numpy as np

from ..compiler.derive import pull_back
from ..compiler.spellings import where
from ..compiler.trace import TraceError, Tracer, apply, user_line
from ..problem import Problem
from .calls import call, number


class DiscontinuityWarning(UserWarning):
    """A pathwise gradient was asked for where the environment jumps: it is biased."""


_warned = weakref.WeakSet()  # the environments that have warned already


class Named:
    """Parameters by name: `p.A` is an array of tracers, `p.g` a single one."""

    def __init__(self, owner, values):
        for value in values.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(values)
        self.__dict__["_owner"] = owner

    def __setattr__(self, name, value):
        raise TraceError(f"{user_line()}the parameters of {self._owner} cannot be changed: p.{name} = ... ")

    def __getattr__(self, name):
        names = ", ".join(x for x in self.__dict__ if not x.startswith("_")) or "none"
        raise TraceError(f"{user_line()}{self._owner} has no parameter {name!r}; it has: {names}")


def alive(environment, p, s):
    """Return the condition that an episode goes on at s: True where episodes cannot end."""
    if environment.done is None:
        return True
    done = call(f"done of {environment.name}", environment.done, (p, s), None)
    if isinstance(done, Tracer):
        return apply("~", done if done.is_boolean else done != 0.0)
    return not done


class End:
    """The end of a trajectory, as `Estimator.last` sees it.

    Attributes
    ----------
    s : tuple of n
        The last state s_T.
    reward : number
        The terminal reward, discounted; 0.0 if there is none.
    problem : Problem
    """

    def __init__(self, graph, problem, p, s, weight):
        self.graph, self.problem, self.s, self.reward = graph, problem, s, 0.0
        if problem.environment.terminal is not None:
            what = f"terminal of {problem.environment.name}"
            reward = weight * number(call(what, problem.environment.terminal, (p, s), None))
            self.reward = where(alive(problem.environment, p, s), reward, 0.0)

    def reward_vjp(self, cotangent):
        """Return the cotangent of s_T for a cotangent of the terminal reward."""
        return pull_back(self.graph, [self.reward], [cotangent], self.s)


class Elsewhere(NamedTuple):
    """The same state with another action: all that a critic looks at."""

    problem: Problem
    s: tuple
    eta: tuple
    a: tuple


class Step:
    """One step t of a trajectory, as `Estimator.step` sees it.

    Attributes
    ----------
    s, a, w, s_next : tuples of n, m, k, n
        State, action, process noise (standard normals), next state.
    eta : tuple
        The parameters of the action's distribution; `e` the standard normals that the action was drawn with.
    reward : number
        r_t, discounted by gamma^t.
    alive : condition
        Whether the episode goes on at s_t; True where it cannot end. A step after the end changes no carry and adds nothing
        to the sums, so that estimators need not look.
    """

    def __init__(self, graph, problem, p, policy_p, theta, s, e, w, weight, acting=None):
        environment, policy = problem.environment, problem.policy
        self.graph, self.problem, self.s, self.e, self.w = graph, problem, s, e, w
        self._p, self._theta, self.wanted = policy_p, theta, []
        self._eta = call(f"eta of {policy.name}", policy.eta, (policy_p, theta, s), "any")
        self.eta = graph.alias(self._eta)
        self._acting = policy, policy_p, self.eta
        if acting is not None:
            behaviour, behaviour_p, behaviour_theta = acting
            eta = call(f"eta of {behaviour.name}", behaviour.eta, (behaviour_p, behaviour_theta, s), "any")
            self._acting = behaviour, behaviour_p, eta
        self._a = self._sampled(e)
        self.a = graph.alias(self._a)
        what = environment.name
        s_next = tuple(map(number, call(f"step of {what}", environment.step, (p, s, self.a, w), environment.states)))
        reward = weight * number(call(f"reward of {what}", environment.reward, (p, s, self.a, s_next, w), None))
        self.alive = alive(environment, p, s)
        self.s_next = tuple(where(self.alive, new, old) for new, old in zip(s_next, s, strict=True))
        self.reward = where(self.alive, reward, 0.0)

    @property
    def score(self):
        """The score, d log p(a | eta) / d eta: the cotangent that makes a score function."""
        policy = self.problem.policy
        if policy.no_score:
            raise ValueError(f"no score function here: {policy.no_score}")
        # Off the policy e is not the noise that would have drawn the action: only the density knows the score.
        if policy.score is not None and self._acting[0] is policy and self._acting[2] is self.eta:
            arguments = (self._p, self.eta, self.a, self.e)
            return call(f"score of {policy.name}", policy.score, arguments, len(self.eta))
        if policy.log_prob is None:
            raise ValueError(f"no score function here: {policy.name} has neither `score` nor `log_prob`")
        log_prob = self._log_prob(policy, self._p, self.eta)
        return pull_back(self.graph, [log_prob], [1.0], self.eta + self.a)[: len(self.eta)]

    @property
    def log_weight(self):
        """What the action adds to the log of an importance weight: log p(a | eta) - log p(a | eta of the behaviour)."""
        policy = self.problem.policy
        return self._log_prob(policy, self._p, self.eta) - self._log_prob(*self._acting)

    def _log_prob(self, policy, p, eta):
        if policy.log_prob is None:
            raise ValueError(f"no density here: {policy.no_score or policy.name + ' has no `log_prob`'}")
        return call(f"log_prob of {policy.name}", policy.log_prob, (p, eta, self.a), None)

    def _sampled(self, e):
        policy, p, eta = self._acting
        return call(f"sample of {policy.name}", policy.sample, (p, eta, e), policy.actions)

    def with_noise(self, e):
        """Return the same state with the action that other noise e would have drawn, for a critic to look at."""
        return Elsewhere(self.problem, self.s, self.eta, self._sampled(e))

    def replacements(self, count):
        """Return `count` numbers that stand in for components of e in measure-valued derivatives, see `branches`."""
        return tuple(self.graph.input(f"r{k}") for k in range(count))

    def branches(self, kind):
        """Return G_t^+ - G_t^- for each pair of rollouts that branch off here: a `branches.Kind` says which."""
        self.wanted.append(kind)
        return tuple(self.graph.input(x) for x in kind.differences)

    def branch_time(self):
        """Return the one random time at which rollouts branch off."""
        return self.graph.input("tau")

    def direction(self):
        """Return the P standard normals along which theta is perturbed at this step, where it is perturbed anew in blocks."""
        return tuple(self.graph.input(f"z{p}") for p in range(len(self._theta)))

    def step_vjp(self, s_next, reward):
        """Return the cotangents of (s, a) for cotangents of the next state and of the discounted reward.

        An environment that says that it jumps warns, once, that derivatives do not see jumps.
        """
        environment = self.problem.environment
        if environment.discontinuous and environment not in _warned:
            _warned.add(environment)
            warnings.warn(
                f"pathwise gradients of {environment.name} are biased: {environment.discontinuous}",
                DiscontinuityWarning,
                stacklevel=2,
            )
        bars = pull_back(self.graph, [*self.s_next, self.reward], [*s_next, reward], self.s + self.a)
        return bars[: len(self.s)], bars[len(self.s) :]

    def sample_vjp(self, a):
        """Return the cotangent of eta for a cotangent of the action, with the noise of the action held fixed."""
        if self.problem.policy.no_pathwise:
            raise ValueError(f"no pathwise gradient here: {self.problem.policy.no_pathwise}")
        if self._acting[2] is not self.eta:
            raise ValueError("no pathwise gradient here: the actions are those of another policy, at other parameters")
        return pull_back(self.graph, self._a, a, self.eta)

    def policy_vjp(self, eta):
        """Return the cotangent of the state for a cotangent of eta."""
        return pull_back(self.graph, self._eta, eta, self.s)

    def theta_vjp(self, eta, looked_up=None):
        """Return the cotangent of theta for a cotangent of eta: (d eta / d theta)^T etabar; see `pull_back`."""
        return pull_back(self.graph, self._eta, eta, self._theta, looked_up=looked_up)
