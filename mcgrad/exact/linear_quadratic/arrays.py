"""From problems to the arrays of this room: one problem at one theta, or many at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...environments.linear_quadratic import LinearQuadratic as Matrices
from ...policies.linear_gaussian import LinearGaussian
from ...problem import Problem
from ..theory import Array, NoClosedForm
from .system import Stack


def stack_of(problems: Sequence[Problem], thetas: Array) -> Stack | None:
    """Return the systems of B problems at thetas (B, P) as one `Stack`, or None where their shapes or discounts differ."""
    number: dict[Problem, list[int]] = {}
    for b, problem in enumerate(problems):
        number.setdefault(problem, []).append(b)
    if len({(x.parameters, x.environment.states, x.horizon, x.discount_varies or x.discount) for x in number}) > 1:
        return None
    parts = [(entries, arrays_of(problem, thetas[entries])) for problem, entries in number.items()]
    found = dict(parts[0][1])
    for name, first in found.items():
        if not isinstance(first, np.ndarray):
            continue
        lead = first.shape[:-1] if name == "mean" else first.shape[:-2]
        if len(parts) == 1:
            found[name] = first if lead else first[None]
            continue
        own = first.shape[len(lead) :]
        found[name] = np.empty((len(problems), *own))
        for entries, arrays in parts:
            found[name][entries] = arrays[name]
    return Stack(**found)


def arrays_of(problem: Problem, theta: Array) -> dict[str, Any]:
    """Return the arguments of `System`; K and L have the leading axes of theta.

    Raises
    ------
    NoClosedForm
        If the problem is not linear-quadratic, its policy not linear-Gaussian, or its discount varies.
    """
    environment, policy = problem.environment.closed_form, problem.policy.closed_form
    if not isinstance(environment, Matrices):
        raise NoClosedForm(f"no closed form is known for {problem.environment.name}; it is not linear-quadratic")
    if not isinstance(policy, LinearGaussian):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; it is not linear-Gaussian")
    if problem.discount_varies:
        raise NoClosedForm("no closed form is known for a discount that differs from step to step")
    n, m = problem.environment.states, problem.environment.actions
    factors = np.exp(theta[..., m * n :]) if policy.learn_std else np.ones(m)
    return dict(
        A=environment.A,
        B=environment.B,
        K=theta[..., : m * n].reshape(*theta.shape[:-1], m, n),
        L=factors[..., None] * policy.root,
        Q=environment.Q,
        R=environment.R,
        Qf=environment.terminal_cost,
        W=environment.process_noise,
        mean=environment.initial_mean,
        cov=environment.initial_cov,
        horizon=problem.horizon,
        discount=problem.discount,
        terminal_weight=problem.discount**problem.horizon,
        learn_scale=policy.learn_std,
    )
