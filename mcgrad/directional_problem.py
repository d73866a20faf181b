"""The derivative of a problem along a direction v of theta, as a problem of its own.

    s -> (s, ds),    eta -> (eta, deta),    a -> (a, da),    r -> dr,        d = d/dalpha at theta + alpha v, noise held fixed

The return is the derivative of the return, so that the objective is v . dJ/dtheta, and its gradient the product of the
Hessian with v: `reparameterization()` on it is an unbiased estimate of H v, at the cost of a few gradients, for every
problem whose returns are twice differentiable.

References
----------
Pearlmutter (1994), Fast exact multiplication by the Hessian.
"""

import dataclasses
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from numpy.typing import ArrayLike

from . import validate
from .calls import call, number
from .compiler.derive import push_forward
from .compiler.trace import Number, Numbers, Tracer
from .problem import Problem


class _Functions(NamedTuple):
    """The functions of a problem, and what to call them in messages; a record, so that tracing leaves them as they are."""

    environment: str
    policy: str
    init: Callable
    step: Callable
    reward: Callable
    terminal: Callable | None
    done: Callable | None
    eta: Callable
    sample: Callable


def directional(problem: Problem, v: ArrayLike) -> Problem:
    """Return the problem whose objective is the directional derivative v . dJ/dtheta.

    Parameters
    ----------
    problem : Problem
        Differentiable: where returns jump, their derivative is not that of their mean; where they have kinks (abs, minimum,
        where), that is true of second derivatives.
    v : (P,) array
        The direction, a run-time number: another one does not compile again.

    Returns
    -------
    Problem
        With 2n states, 2m actions and the same theta. Its actions have no density: estimators that need a score refuse.

    Raises
    ------
    ValueError
        If v has another length than theta, or the policy has no pathwise gradient.

    References
    ----------
    Pearlmutter (1994), Fast exact multiplication by the Hessian.
    """
    if not isinstance(problem, Problem):
        raise ValueError(f"problem: expected a Problem, got {validate.describe(problem)}")
    v = validate.array("v", v, (len(problem.parameters),))
    environment, policy = problem.environment, problem.policy
    if policy.no_pathwise:
        raise ValueError(f"problem: no directional derivative of it here: {policy.no_pathwise}")
    if problem.design or environment.reward_sees:
        what = "design parameters" if problem.design else "rewards that see the policy"
        raise ValueError(f"problem: expected one without {what}, whose second derivatives are not known here")
    n, m = environment.states, environment.actions
    of = _Functions(
        environment.name,
        policy.name,
        environment.init,
        environment.step,
        environment.reward,
        environment.terminal,
        environment.done,
        policy.eta,
        policy.sample,
    )
    name = _new_name("direction", policy.params)

    def init(p, z):
        return call(f"init of {of.environment}", of.init, (p, z), n) + (0.0,) * n

    def step(p, s, a, w):
        s_next = tuple(map(number, call(f"step of {of.environment}", of.step, (p, s[:n], a[:m], w), n)))
        return s_next + _tangents(s_next, s[:n] + a[:m], s[n:] + a[m:])

    def reward(p, s, a, s_next, w):
        arguments = (p, s[:n], a[:m], s_next[:n], w)
        r = number(call(f"reward of {of.environment}", of.reward, arguments, None))
        return _tangents((r,), s[:n] + a[:m] + s_next[:n], s[n:] + a[m:] + s_next[n:])[0]

    def terminal(p, s):
        r = number(call(f"terminal of {of.environment}", of.terminal, (p, s[:n]), None))  # type: ignore[arg-type]  # it is there, or this is not called
        return _tangents((r,), s[:n], s[n:])[0]

    def done(p, s):
        return call(f"done of {of.environment}", of.done, (p, s[:n]), None)  # type: ignore[arg-type]  # it is there, or this is not called

    def eta(p, theta, s):
        value = call(f"eta of {of.policy}", of.eta, (p, theta, s[:n]), "any")
        return tuple(value) + _tangents(value, tuple(theta) + s[:n], tuple(getattr(p, name)) + s[n:])

    def sample(p, eta, e):
        half = len(eta) // 2
        a = call(f"sample of {of.policy}", of.sample, (p, eta[:half], e), m)
        return tuple(a) + _tangents(a, eta[:half], eta[half:])

    return Problem(
        dataclasses.replace(
            environment,
            states=2 * n,
            actions=2 * m,
            init=init,
            step=step,
            reward=reward,
            terminal=None if environment.terminal is None else terminal,
            done=None if environment.done is None else done,
            name=f"derivative of {environment.name}",
            closed_form=None,
        ),
        dataclasses.replace(
            policy,
            states=2 * n,
            actions=2 * m,
            eta=eta,
            sample=sample,
            log_prob=None,
            score=None,
            params={**policy.params, name: v},
            no_score=_NO_SCORE,
            name=f"derivative of {policy.name}",
            closed_form=None,
        ),
        problem.horizon,
        problem.discount,
    )


_NO_SCORE = (
    "the derivative of an action is a function of the action, so that the pair has no density; use "
    "mcgrad.estimators.reparameterization(), or score_hessian_vector_product(v) on the problem itself"
)


def _tangents(outputs: Sequence[Number], inputs: Sequence[Number], tangents: Sequence[Number]) -> Numbers:
    graph = next((x.graph for x in outputs if isinstance(x, Tracer)), None)
    return (0.0,) * len(outputs) if graph is None else push_forward(graph, outputs, inputs, tangents)


def _new_name(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name
