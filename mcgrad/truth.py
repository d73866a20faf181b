"""What baselines and critics have to be told of a problem: exact answers, and pilot trajectories.

They know how such an answer is used and not where it comes from. `mcgrad.prepare` tells them before a run: of every part of
an estimator that has a field `truth`, that field becomes a `Truth`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Truth(NamedTuple):
    """Functions of (problem, theta) that `mcgrad.exact` has under the same names, and one that simulates.

    Attributes
    ----------
    objective, mean_return_to_go, value, critic, gradient_news, naive_optimal_over_time : callable
        Of (problem, theta).
    trace_optimal_constant, trace_optimal_over_time, optimal_over_time, optimal_quadratic : callable
        Of (problem, theta, estimator).
    pilot : callable
        Of (problem, theta, count, seed): the last `count` trajectories that there are of a seed, as `mcgrad.rollout` returns
        them, which no measurement from the first on will use.
    """

    objective: Callable[..., Any]
    mean_return_to_go: Callable[..., Any]
    value: Callable[..., Any]
    critic: Callable[..., Any]
    gradient_news: Callable[..., Any]
    naive_optimal_over_time: Callable[..., Any]
    trace_optimal_constant: Callable[..., Any]
    trace_optimal_over_time: Callable[..., Any]
    optimal_over_time: Callable[..., Any]
    optimal_quadratic: Callable[..., Any]
    pilot: Callable[..., Any]


def asked(part: Any) -> Truth:
    """Return the truth that a part of an estimator was told.

    Raises
    ------
    RuntimeError
        If it was not told: an estimator came to a kernel without `mcgrad.prepare`.
    """
    if part.truth is None:
        raise RuntimeError(f"{type(part).__name__}: expected to be prepared before its data are asked for")
    return part.truth


def told(part: T, truth: Callable[[], Truth]) -> T:
    """Return an estimator, baseline or critic in which every part that asks has been told.

    Parameters
    ----------
    part : a frozen dataclass, a tuple of such, or anything else, which is returned as it is
    truth : callable
        Returns the Truth; not called where nobody asks.
    """
    if type(part) is tuple:
        several: Any = part
        parts: Any = tuple(told(x, truth) for x in several)
        return part if all(x is y for x, y in zip(parts, several, strict=True)) else parts
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    new = {}
    for field in dataclasses.fields(part):
        old = getattr(part, field.name)
        if field.name == "truth":
            new["truth"] = truth() if old is None else old
        elif (value := told(old, truth)) is not old:
            new[field.name] = value
    return dataclasses.replace(part, **new) if any(getattr(part, k) is not x for k, x in new.items()) else part
