"""What an estimator sees of a trajectory while it is traced: the end, and one step at a time, newest first."""

import warnings
import weakref

import numpy as np

from .compiler.derive import pull_back
from .compiler.rebind import rebind
from .compiler.spellings import traceable, where
from .compiler.trace import TraceError, Tracer, apply, is_number, is_users, place_of, user_line
from .validate import describe


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


# How a user's function is called, by the first word of what it is.
_SIGNATURES = {
    "init": "init(p, z)",
    "step": "step(p, s, a, w)",
    "reward": "reward(p, s, a, s_next, w)",
    "terminal": "terminal(p, s)",
    "done": "done(p, s)",
    "eta": "eta(p, theta, s)",
    "sample": "sample(p, eta, e)",
    "log_prob": "log_prob(p, eta, a)",
    "score": "score(p, eta, a, e)",
    "baseline": "baseline(p, s)",
}


def call(what, function, arguments, count):
    """Call a user's function on tracers and check its results; an error names the function and the line.

    Parameters
    ----------
    count : int, None or "any"
        How many numbers are expected, as a tuple; None: one number; "any": a tuple of any length.
    """
    result = attempt(what, function, arguments, _SIGNATURES.get(what.split()[0]))
    what += _definition(function)
    if isinstance(result, np.ndarray) and result.ndim == 0:
        result = result[()]
    if count is None:
        if not _is_scalar(result):
            hint = "; write x[0] instead of x" if isinstance(result, (tuple, list, np.ndarray)) else ""
            raise TraceError(f"{what}: expected one number, got {_describe(result)}{hint}")
        return result
    if isinstance(result, np.ndarray) and result.ndim == 1:
        result = tuple(result)
    wanted = "a tuple of numbers" if count == "any" else f"a tuple of {count} numbers"
    if not isinstance(result, tuple):
        hint = "; write `return (x,)`" if _is_scalar(result) else "; write `return (x, y, ...)` or `return tuple(...)`"
        raise TraceError(f"{what}: expected {wanted}, got {_describe(result)}{hint}")
    if count != "any" and len(result) != count:
        raise TraceError(f"{what}: expected {wanted}, got {len(result)} of them")
    for i, x in enumerate(result):
        if not _is_scalar(x):
            raise TraceError(f"{what}: expected numbers, got {_describe(x)} as number {i} of its result")
    return result


def attempt(what, function, arguments, signature=None):
    """Call a user's function on tracers; whatever goes wrong becomes a TraceError that names the function and the line.

    Parameters
    ----------
    signature : str, optional
        How the function should be written, for one that does not take these arguments.
    """
    try:
        return rebind(function)(*arguments)
    except ValueError as error:
        # Our own messages, or those of a check of the user's own, or of NumPy: the first say it all.
        if isinstance(error, TraceError) or not _where(error):
            raise
        failed = error
    except Exception as error:
        failed = error
    place = _where(failed)
    if isinstance(failed, TypeError) and not place and signature:
        hint = f"it is called as {signature}"
    else:
        hint = f"what it is given are traced values, not floats; what can be traced: {traceable()}"
    raise TraceError(f"{place}{what}: {type(failed).__name__} while tracing it: {failed}; {hint}") from failed


def _where(error):
    """Return "in name, file:line: source" for the innermost frame of the user's where an error arose, or ""."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        if is_users(trace.tb_frame):
            place = place_of(trace.tb_frame, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _definition(function):
    """Return " (name, file:line)", where a function is defined, or ""."""
    code = getattr(function, "__code__", None)
    return f" ({code.co_name}, {code.co_filename}:{code.co_firstlineno})" if code else ""


def _is_scalar(x):
    return isinstance(x, Tracer) or is_number(x)


def _describe(x):
    if x is None:
        return "None (is there a `return`?)"
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    return describe(x)


def number(x, what="result"):
    """Return a tracer that is a number: conditions count as 0 or 1; an error says what should have been one."""
    if not _is_scalar(x):
        raise TraceError(f"{what}: expected a number, got {_describe(x)}")
    return x + 0.0 if not isinstance(x, Tracer) else (x * 1.0 if x.is_boolean else x)


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
    """

    def __init__(self, graph, problem, p, s, weight):
        self.graph, self.s, self.reward = graph, s, 0.0
        if problem.environment.terminal is not None:
            what = f"terminal of {problem.environment.name}"
            reward = weight * number(call(what, problem.environment.terminal, (p, s), None))
            self.reward = where(alive(problem.environment, p, s), reward, 0.0)

    def reward_vjp(self, cotangent):
        """Return the cotangent of s_T for a cotangent of the terminal reward."""
        return pull_back(self.graph, [self.reward], [cotangent], self.s)


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

    def __init__(self, graph, problem, p, policy_p, theta, s, e, w, weight):
        environment, policy = problem.environment, problem.policy
        self.graph, self.problem, self.s, self.e, self.w = graph, problem, s, e, w
        self._p, self._theta = policy_p, theta
        self._eta = call(f"eta of {policy.name}", policy.eta, (policy_p, theta, s), "any")
        self.eta = graph.alias(self._eta)
        self._a = call(f"sample of {policy.name}", policy.sample, (policy_p, self.eta, e), policy.actions)
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
        if policy.score is not None:
            arguments = (self._p, self.eta, self.a, self.e)
            return call(f"score of {policy.name}", policy.score, arguments, len(self.eta))
        if policy.log_prob is None:
            raise ValueError(f"no score function here: {policy.name} has neither `score` nor `log_prob`")
        log_prob = call(f"log_prob of {policy.name}", policy.log_prob, (self._p, self.eta, self.a), None)
        return pull_back(self.graph, [log_prob], [1.0], self.eta + self.a)[: len(self.eta)]

    def branches(self, independent=False):
        """Return G_t^+ - G_t^- for each action i, of rollouts with u_ti = +-sigma_i W that branch off here."""
        name = "apart" if independent else "branch"
        return tuple(self.graph.input(f"{name}{i}") for i in range(len(self.a)))

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
        return pull_back(self.graph, self._a, a, self.eta)

    def policy_vjp(self, eta):
        """Return the cotangent of the state for a cotangent of eta."""
        return pull_back(self.graph, self._eta, eta, self.s)

    def theta_vjp(self, eta):
        """Return the cotangent of theta for a cotangent of eta: (d eta / d theta)^T etabar."""
        return pull_back(self.graph, self._eta, eta, self._theta)
