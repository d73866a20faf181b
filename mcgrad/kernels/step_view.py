"""What an estimator sees of a trajectory while it is traced: the end, and one step at a time, newest first."""

import functools
import warnings
import weakref
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..calls import call, number
from ..compiler.derive import LookedUp, pull_back
from ..compiler.functions import where
from ..compiler.trace import Graph, Number, Numbers, TraceError, Tracer, apply, same, user_line
from ..estimators.branch_request import BranchRequest
from ..problem import Environment, Policy, Problem
from ..scan_types import Path
from .split import action_vjp, functions_of_eta, is_zero, score


class DiscontinuityWarning(UserWarning):
    """A pathwise gradient was asked for where the environment jumps: it is biased."""


_warned: weakref.WeakSet[Environment] = weakref.WeakSet()  # the environments that have warned already


class Named:
    """Parameters by name: `p.A` is an array of tracers, `p.g` a single one."""

    def __init__(self, owner: str, values: dict[str, Any]) -> None:
        for value in values.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(values)
        self.__dict__["_owner"] = owner

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TraceError(f"{user_line()}the parameters of {self._owner} cannot be changed: p.{name} = ... ")

    def __getattr__(self, name: str) -> Any:
        names = ", ".join(x for x in self.__dict__ if not x.startswith("_")) or "none"
        raise TraceError(f"{user_line()}{self._owner} has no parameter {name!r}; it has: {names}")


def alive(environment: Environment, p: Named, s: Numbers) -> Number:
    """Return the condition that an episode goes on at s: True where episodes cannot end."""
    if environment.done is None:
        return True
    done = call(f"done of {environment.name}", environment.done, (p, s), None)
    if isinstance(done, Tracer):
        return apply("~", done if done.is_boolean else done != 0.0)
    return not done


class Start:
    """The start of a trajectory.

    Attributes
    ----------
    s : tuple of n
        s_0.
    """

    def __init__(self, graph: Graph, problem: Problem, p: Named, design: Numbers, z: Numbers) -> None:
        self.graph, self._design = graph, design
        what = f"init of {problem.environment.name}"
        self.s = tuple(map(number, call(what, problem.environment.init, (p, z), problem.environment.states)))

    def design_vjp(self, adjoint: Numbers) -> Numbers:
        """Return the cotangents of the design parameters for an adjoint at time 0 (see `Step.follow`)."""
        n = len(self.s)
        through = pull_back(self.graph, self.s, adjoint[:n], self._design)
        return tuple(x + y for x, y in zip(adjoint[n:], through, strict=True))


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

    def __init__(self, graph: Graph, problem: Problem, p: Named, design: Numbers, s: Numbers, weight: Number) -> None:
        self.graph, self.problem, self.s, self.reward, self._design = graph, problem, s, 0.0, design
        if problem.environment.terminal is not None:
            what = f"terminal of {problem.environment.name}"
            reward = weight * number(call(what, problem.environment.terminal, (p, s), None))
            self.reward = where(alive(problem.environment, p, s), reward, 0.0)

    def reward_vjp(self, cotangent: Number) -> Numbers:
        """Return the adjoint at time T for a cotangent of the terminal reward: of s_T, then of the design parameters."""
        return pull_back(self.graph, [self.reward], [cotangent], self.s + self._design)


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
    sampled : tuple of m
        The action as a function of (eta, e): a, but for its identity.
    used, splits : sets
        What has been asked for: "score", "path", "theta" (a pull-back to theta), "branches"; and with which components
        followed scores have been asked for.
    followed : bool
        Whether anything has been followed that jumps of the environment would spoil.
    reward : number
        r_t, discounted by gamma^t.
    alive : condition
        Whether the episode goes on at s_t; True where it cannot end. A step after the end changes no carry and adds nothing
        to the sums, so that estimators need not look.
    """

    def __init__(
        self,
        graph: Graph,
        problem: Problem,
        p: Named,
        policy_p: Named,
        theta: Numbers,
        design: Numbers,
        s: Numbers,
        e: Numbers,
        w: Numbers,
        weight: Number,
        acting: tuple[Policy, Named, Numbers] | None = None,
    ) -> None:
        environment, policy = problem.environment, problem.policy
        self.graph, self.problem, self.s, self.e, self.w = graph, problem, s, e, w
        self._p, self._theta, self._design = policy_p, theta, design
        self.wanted: list[BranchRequest] = []
        self._environment_p, self._weight = p, weight
        self.used: set[str] = set()
        self.splits: set[frozenset[int]] = set()
        self.followed = False
        self._eta = call(f"eta of {policy.name}", policy.eta, (policy_p, theta, s), "any")
        self.eta = graph.alias(self._eta)
        self._acting = policy, policy_p, self.eta
        if acting is not None:
            behaviour, behaviour_p, behaviour_theta = acting
            eta = call(f"eta of {behaviour.name}", behaviour.eta, (behaviour_p, behaviour_theta, s), "any")
            self._acting = behaviour, behaviour_p, eta
        self.sampled = self._sampled(e)
        self.a = graph.alias(self.sampled)
        s_next, reward = self.outcome(self.a)
        self.alive = alive(environment, p, s)
        self.s_next = tuple(where(self.alive, new, old) for new, old in zip(s_next, s, strict=True))
        self.reward = where(self.alive, reward, 0.0)

    @property
    def aliases(self) -> dict[int, str]:
        """What a reader calls nodes of the step's graph: `eta0`, `a0`, ..."""
        named = [("eta", self._eta), ("a", self.sampled)]
        return {x.index: f"{name}{i}" for name, values in named for i, x in enumerate(values) if isinstance(x, Tracer)}

    @functools.cached_property
    def fixed(self) -> frozenset[int]:
        """The components of the action that are functions of eta alone."""
        return functions_of_eta(self.sampled, self.e)

    def outcome(self, a: Numbers) -> tuple[Numbers, Number]:
        """Return the next state and the discounted reward of an action here, an episode that is over or not, at the same w."""
        environment, policy, p = self.problem.environment, self.problem.policy, self._environment_p
        what = environment.name
        arguments = (p, self.s, a, self.w)
        s_next = tuple(map(number, call(f"step of {what}", environment.step, arguments, environment.states)))
        seen = {"eta": lambda: self.eta, "log_prob": lambda: self._log_prob(policy, self._p, self.eta, a)}
        arguments = (p, self.s, a, s_next, self.w, *(seen[x]() for x in environment.reward_sees))
        return s_next, self._weight * number(call(f"reward of {what}", environment.reward, arguments, None))

    @property
    def score(self) -> Numbers:
        """The score, d log p(a | eta) / d eta: the cotangent that makes a score function.

        Components of the action that are functions of eta alone move with eta; they have no density.
        """
        return self.score_given(frozenset())

    def score_given(self, path: frozenset[int]) -> Numbers:
        """Return the score of the other random components of the action, given the noise of those in `path`."""
        self.used.add("score")
        self.splits.add(path)
        return score(self, path)

    @property
    def log_weight(self) -> Number:
        """What the action adds to the log of an importance weight: log p(a | eta) - log p(a | eta of the behaviour)."""
        if self.fixed or self._design:
            raise ValueError(
                "no importance weights here: what is a function of theta alone (a component of the action, a design "
                "parameter) has other values under the behaviour policy, and no density to weigh them with"
            )
        policy = self.problem.policy
        return self._log_prob(policy, self._p, self.eta) - self._log_prob(*self._acting)

    def _log_prob(self, policy: Policy, p: Named, eta: Numbers, a: Numbers | None = None) -> Number:
        if policy.log_prob is None or policy.no_score:
            raise ValueError(f"no density here: {policy.no_score or policy.name + ' has no `log_prob`'}")
        return call(f"log_prob of {policy.name}", policy.log_prob, (p, eta, self.a if a is None else a), None)

    def _sampled(self, e: Numbers) -> Numbers:
        policy, p, eta = self._acting
        return call(f"sample of {policy.name}", policy.sample, (p, eta, e), policy.actions)

    def with_noise(self, e: Numbers) -> Elsewhere:
        """Return the same state with the action that other noise e would have drawn, for a critic to look at."""
        return Elsewhere(self.problem, self.s, self.eta, self._sampled(e))

    def replacements(self, count: int) -> Numbers:
        """Return `count` numbers that stand in for components of e in measure-valued derivatives, see `branches`."""
        self.used.add("branches")
        return tuple(self.graph.input(f"r{k}") for k in range(count))

    def branches(self, kind: BranchRequest) -> Numbers:
        """Return G_t^+ - G_t^- for each pair of rollouts that branch off here: a `BranchRequest` says which."""
        self.used.add("branches")
        self.wanted.append(kind)
        return tuple(self.graph.input(x) for x in kind.differences)

    def branch_time(self) -> Number:
        """Return the one random time at which rollouts branch off."""
        return self.graph.input("tau")

    def direction(self) -> Numbers:
        """Return the P standard normals along which theta is perturbed at this step, where it is perturbed anew in blocks."""
        return tuple(self.graph.input(f"z{p}") for p in range(len(self.problem.parameters)))

    def follow(self, adjoint: Numbers, reward: Number = 1.0, path: Path | None = None) -> tuple[Numbers, Numbers]:
        """Go back one step along what is followed: differentiated with the noise and all other actions held fixed.

            etabar = dr/deta + (da/deta)^T abar,    abar = dr/da + (ds_{t+1}/da)^T lambda_{t+1} over what is followed
            lambda = dr/ds + (ds_{t+1}/ds)^T lambda_{t+1}

        Parameters
        ----------
        adjoint : tuple of n + D
            lambda_{t+1}: cotangents of s_{t+1}, then those of the design parameters, of which there are D, so far.
        reward : number
            The cotangent of the discounted reward; 0.0 for none.
        path : {component: weight}, optional
            Which random components of the action are followed, each with a weight, 1.0 or 0.0; all by default. What is a
            function of eta alone is followed in any case.

        Returns
        -------
        adjoint : tuple of n + D
            lambda_t, still without what comes through the policy: `policy_vjp(etabar)` is to be added to its first n.
        etabar : tuple
            The cotangent of eta.
        """
        self.used.add("path")
        n, m, k = len(self.s), len(self.a), len(self.eta)
        fixed = self.fixed
        if path is None:
            if self.problem.policy.no_pathwise:
                raise ValueError(f"no pathwise gradient here: {self.problem.policy.no_pathwise}")
            path = dict.fromkeys(range(m), 1.0)
        weights = dict.fromkeys(fixed, 1.0) | {i: x for i, x in path.items() if i not in fixed}
        if weights and self._acting[2] is not self.eta:
            raise ValueError("no pathwise gradient here: the actions are those of another policy, at other parameters")
        self.followed = self.followed or bool(weights or self._design)
        outputs, cotangents = list(self.s_next), list(adjoint[:n])
        if not is_zero(reward):
            outputs, cotangents = [*outputs, self.reward], [*cotangents, reward]
        bars = pull_back(self.graph, outputs, cotangents, self.s + self.a + self.eta + self._design)
        actions = {i: bars[n + i] if same(x, 1.0) else x * bars[n + i] for i, x in weights.items()}
        through = action_vjp(self, actions)
        etabar = tuple(x + y for x, y in zip(bars[n + m : n + m + k], through, strict=True))
        design = tuple(x + y for x, y in zip(adjoint[n:], bars[n + m + k :], strict=True))
        return bars[:n] + design, etabar

    def sample_vjp(self, a: Numbers) -> Numbers:
        """Return the cotangent of eta for a cotangent of the action, with the noise of the action held fixed."""
        self.used.add("path")
        if self.problem.policy.no_pathwise:
            raise ValueError(f"no pathwise gradient here: {self.problem.policy.no_pathwise}")
        if self._acting[2] is not self.eta:
            raise ValueError("no pathwise gradient here: the actions are those of another policy, at other parameters")
        return pull_back(self.graph, self.sampled, a, self.eta)

    def policy_vjp(self, eta: Numbers) -> Numbers:
        """Return the cotangent of the state for a cotangent of eta."""
        return pull_back(self.graph, self._eta, eta, self.s)

    def theta_vjp(self, eta: Numbers, looked_up: list[LookedUp] | None = None) -> Numbers:
        """Return the cotangent of theta for a cotangent of eta, (d eta / d theta)^T etabar: P numbers; see `pull_back`.

        Those of the design parameters are zero: eta does not depend on them.
        """
        self.used.add("theta")
        pulled = pull_back(self.graph, self._eta, eta, self._theta, looked_up=looked_up)
        return pulled + (0.0,) * len(self._design)


def warn_of_jumps(environment: Environment) -> None:
    """Let an environment that says that it jumps warn, once, that derivatives do not see jumps."""
    if environment.discontinuous and environment not in _warned:
        _warned.add(environment)
        warnings.warn(
            f"pathwise gradients of {environment.name} are biased: {environment.discontinuous}",
            DiscontinuityWarning,
            stacklevel=2,
        )
