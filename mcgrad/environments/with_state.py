"""Environments whose state holds one thing more: the time, an observation, or the memory of a policy.

What is added comes after the state, and the environment's own functions do not see it. Each of them may be given an
environment that another one has extended: `with_memory(with_observation(...), 2)`.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from .. import validate
from ..problem import Environment


def with_clock(environment: Environment) -> Environment:
    """Return the environment with the time t = 0, 1, ... as the last component of its state.

    For what differs from step to step: time-varying gains (`mcgrad.policies.maps.over_time`), rewards, dynamics.

    Parameters
    ----------
    environment : Environment
        Any, one that was extended before, too.

    Raises
    ------
    ValueError
        For something that is no environment.
    """
    return _extended(
        environment, lambda p, s, z: (0.0,), lambda p, s_next, own, a, w: (own[0] + 1.0,), "a clock", states=1
    )


def with_memory(environment: Environment, size: int) -> Environment:
    """Return the environment with `size` numbers that a policy hands on to itself: the state is (s, h), the action (a, h').

    h' is what the next state holds; h starts at 0. A recurrent policy draws a and returns h' = f(s, h):

        memory = maps.layer(size)
        joint(n + size, heads.gaussian(maps.linear(memory), std=0.3), heads.deterministic(memory))

    Parameters
    ----------
    environment : Environment
        Any, one that was extended before, too.

    size : int
        How many numbers, from 1 to 10000.

    Raises
    ------
    ValueError
        For something that is no environment, or a size out of its range.
    """
    size = validate.size("size", size)
    return _extended(
        environment,
        lambda p, s, z: (0.0,) * size,
        lambda p, s_next, own, a, w: tuple(a),
        f"a memory of {size}",
        states=size,
        actions=size,
    )


def with_observation(environment: Environment, observe: Callable[..., Any], size: int, noises: int = 0) -> Environment:
    """Return the environment with an observation o_t = observe(p, s_t, v_t), of `size` numbers: the state is (s, o).

    A policy that looks at o alone (`maps.features(lambda s: s[n:])`) acts under partial observability: what it sees of the
    state is noisy.

    Parameters
    ----------
    environment : Environment
        Any, one that was extended before, too.

    observe : callable
        observe(p, s, v) -> the numbers of o; p are the parameters of the environment.
    size : int
        How many numbers o has, from 1 to 10000.
    noises : int
        How many standard normals `observe` gets as v, fresh at each time; 0 by default.

    Raises
    ------
    ValueError
        For something that is no environment or no function, or a number out of its range; TraceError, which is one, in a
        problem, for an observation of another size.
    """
    validate.function("observe", observe)
    size, noises = validate.size("size", size), validate.size("noises", noises, 0)

    def start(p, s, v):
        return observe(p, s, v)

    def step(p, s_next, own, a, v):
        return observe(p, s_next, v)

    return _extended(environment, start, step, f"{size} observed", states=size, noises=noises)


def _extended(
    environment: Environment,
    start: Callable[..., Any],
    step: Callable[..., Any],
    what: str,
    *,
    states: int,
    actions: int = 0,
    noises: int = 0,
) -> Environment:
    """Return an environment whose state has `states` more components, its action `actions` and each noise `noises` more.

    start(p, s_0, v) and step(p, s_next, own, own components of the action, v) return them, v fresh standard normals.
    """
    if not isinstance(environment, Environment):
        raise ValueError(f"environment: expected an Environment, got {validate.describe(environment)}")
    inner = environment
    n, m = inner.states, inner.actions

    def noise(w, normals):
        """Return (the environment's noise, ours): its normals come first, then ours, then its uniform numbers."""
        return (*w[:normals], *w[normals + noises :]), w[normals : normals + noises]

    def init(p, z):
        theirs, ours = noise(z, inner.initial_noises)
        s = tuple(inner.init(p, theirs))
        return (*s, *start(p, s, ours))

    def step_both(p, s, a, w):
        theirs, ours = noise(w, inner.noises)
        s_next = tuple(inner.step(p, s[:n], a[:m], theirs))
        return (*s_next, *step(p, s_next, s[n:], a[m:], ours))

    def reward(p, s, a, s_next, w, *of_policy):
        return inner.reward(p, s[:n], a[:m], s_next[:n], noise(w, inner.noises)[0], *of_policy)

    reward.__signature__ = inspect.signature(inner.reward)  # type: ignore[attr-defined]  # it sees as much of the policy
    choices = inner.choices if isinstance(inner.choices, tuple) else (inner.choices,) * m
    if actions and getattr(inner, "action_bounds", None) is not None:
        inner = dataclasses.replace(inner, action_bounds=None)  # what is handed on has no limits
    return dataclasses.replace(
        inner,
        states=n + states,
        actions=m + actions,
        noises=inner.noises + noises,
        initial_noises=inner.initial_noises + noises,
        choices=(*choices, *(None,) * actions),
        init=init,
        step=step_both,
        reward=reward,
        terminal=inner.terminal and (lambda p, s: inner.terminal(p, s[:n])),  # type: ignore[misc]  # it is there, or this is not made
        done=inner.done and (lambda p, s: inner.done(p, s[:n])),  # type: ignore[misc]  # it is there, or this is not made
        name=f"{inner.name} with {what}",
        closed_form=None,
    )
