"""What is drawn once for a trajectory: conditional moments given each value, put together by an outer quadrature.

That is a random direction of theta, or the one random time at which rollouts branch off (a sum over all of them).

    E g = E E[g | z],    Cov(g, h) = E Cov(g, h | z) + Cov(E[g | z], E[h | z])
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..theory import NoClosedForm
from .chain import Model
from .laws import NORMAL, gauss
from .noise import tensor
from .ring import Array
from .work import TooMuch

COUNTS = (8, 12, 18, 27, 40, 60, 90)  # nodes of a component, until nothing moves
MOST = 2000  # directions
# Operations of one direction that no space of functions counts, and of each of its steps.
OWN, OF_STEP = 1e7, 1e6


def over_directions(
    model: Model,
    pairs: Sequence[tuple[int, int]],
    first_two: Callable[..., Any],
    next_two: Callable[..., Any] | None = None,
    tolerance: float = 1e-9,
) -> tuple[Array, Array, Array | None]:
    """Return means, covariances of pairs, and third and fourth central moments or None.

    Parameters
    ----------
    first_two : callable
        first_two(model) -> means, covariances.
    next_two : callable, optional
        next_two(model, means) -> third and fourth moments about given means.
    tolerance : float
        Largest change of a moment, relative to the largest of its kind, from one quadrature to the next.

    Raises
    ------
    NoClosedForm
        If so many directions are too much work, or not enough.
    """
    if model.lone:
        if model.directions or next_two is not None:
            raise NoClosedForm("no recursion: rollouts that branch off have moments up to the second, at one theta")
        models = [model.branching_at(t) for t in range(model.problem.horizon)]
        return *_mixed(np.full(len(models), 1.0 / len(models)), models, pairs, first_two), None
    if not model.directions:
        mean, covariance = map(np.array, first_two(model))
        return mean, covariance, None if next_two is None else np.array(next_two(model, mean))
    if len(model.directions) > 1:
        raise NoClosedForm("no recursion: directions of random signs and normal ones at once")
    before = None
    (kind,) = model.directions
    change = np.inf
    for weights, points in _rules(kind, model.parameters):
        _spend(model, len(points) * (1 if next_two is None else 2), change, tolerance)
        models = [model.along(z) for z in points]
        total, joint = _mixed(weights, models, pairs, first_two)
        change = 0.0 if kind == "sign" else _moved(before, (total, joint))  # of signs these are all
        if change <= tolerance:
            central = None
            if next_two is not None:
                each = np.array([next_two(x, total) for x in models])
                central = np.einsum("q,qkj->kj", weights, each)
            return total, joint, central
        before = total, joint
    few = COUNTS[0] ** model.parameters > MOST
    raise NoClosedForm(
        f"no recursion: the moments are means over directions of theta, and {model.parameters} parameters take more than "
        f"{MOST} of them" + ("" if few else f": they still move by {change:.1e} of the largest")
    )


def _spend(model: Model, directions: int, change: float, tolerance: float) -> None:
    work = model.work
    try:
        work.spend(directions * len(model.traced.rollouts) * (OWN + OF_STEP * model.problem.horizon))
    except TooMuch:
        moved = f"; with fewer, moments moved by {change:.1e}, not {tolerance:.0e}" if change < np.inf else ""
        raise NoClosedForm(
            f"no recursion: {directions} directions of theta are more than work={work.units:g}{moved}; allow more work"
        ) from None


def _mixed(
    weights: Array, models: list[Model], pairs: Sequence[tuple[int, int]], first_two: Callable[..., Any]
) -> tuple[Array, Array]:
    """Return means and covariances of pairs from those of each model."""
    mean, covariance = (np.array(x) for x in zip(*map(first_two, models), strict=True))
    total = weights @ mean
    apart = mean - total
    i, j = np.array(pairs).T
    return total, weights @ (covariance + apart[:, i] * apart[:, j])


def _moved(before: tuple[Array, Array] | None, after: tuple[Array, Array]) -> float:
    if before is None:
        return np.inf
    return max(float(np.abs(x - y).max() / (np.abs(y).max() + 1e-300)) for x, y in zip(before, after, strict=True))


def _rules(kind: str, parameters: int) -> Iterator[tuple[Array, Array]]:
    """Yield weights (Q,) and directions (Q, P): all signs, or Gauss-Hermite quadratures with more and more nodes."""
    if kind == "sign":
        if 2**parameters > MOST:
            raise NoClosedForm(f"no recursion: 2^{parameters} directions of signs")
        points = np.array(list(itertools.product((-1.0, 1.0), repeat=parameters)))
        yield np.full(len(points), 1.0 / len(points)), points
        return
    for count in COUNTS:
        if count**parameters > MOST:
            return

        def rule(_: int, count: int = count) -> tuple[Array, Array]:
            return gauss(NORMAL, count)

        nodes, weights = tensor(range(parameters), rule)
        yield weights[0], np.stack([x[0] for x in nodes.values()], axis=1)
