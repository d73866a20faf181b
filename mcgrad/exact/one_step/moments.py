"""What the theory of one step asks of a reward: the moments of a few random numbers, for each parameter."""

import dataclasses
from collections.abc import Callable

from ...policies.gaussian import Gaussian
from ...problem import Problem
from ..theory import Array, NoClosedForm

SCORE_FUNCTION, SCORE, PATHWISE = range(3)
DELTA = {(1, False): 3, (1, True): 4, (2, False): 5, (2, True): 6}  # (order, pathwise) -> row, of a table that has them


@dataclasses.dataclass(frozen=True)
class Table:
    """Moments of f s, s and f' dx/dtheta, for each parameter; and, if expanded, of the same with f's expansions.

    Attributes
    ----------
    objective, return_variance : float
        J = E f and Var f.
    mean : (3, P), or (7, P)
    cov, mirrored : (3, 3, P), or (7, 7, P)
        Covariances of these at e, and of these at e with these at -e. Rows of expansions (`DELTA`) have their means taken off.
    measure_valued : callable
        measure_valued(coupled) -> variance of the measure-valued derivative, (P,).
    expansions : dict
        Order -> the mean of the expansion, if expanded.
    """

    objective: float
    return_variance: float
    mean: Array
    cov: Array
    mirrored: Array
    measure_valued: Callable[[bool], Array]
    expansions: dict[int, float] = dataclasses.field(default_factory=dict)


def law(problem: Problem, theta: Array) -> tuple[Array, Array, list[tuple[str, int]]]:
    """Return the mean and the std of the action, (m,) both, and the (kind, dimension) of each parameter.

    Raises
    ------
    NoClosedForm
        If the problem has more than one step, or another policy than `mcgrad.policies.gaussian`.
    ValueError
        If a standard deviation is not positive.
    """
    theta, policy = problem.theta(theta), problem.policy.closed_form
    if not isinstance(policy, Gaussian):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; expected mcgrad.policies.gaussian")
    if problem.horizon != 1:
        raise NoClosedForm(f"no closed form is known for a horizon of {problem.horizon}; expected 1")
    m = problem.environment.actions
    std = theta[m:] if policy.std is None else policy.std
    if policy.std is not None and (std == 0).any():
        raise NoClosedForm(f"no closed form is known for {problem.policy.name} with a standard deviation of 0")
    if (std <= 0).any():
        raise ValueError(f"theta: expected standard deviations > 0, got {std.tolist()}")
    kinds = [("mean", d) for d in range(m)] + [("std", d) for d in range(m) if policy.std is None]
    return theta[:m], std, kinds
