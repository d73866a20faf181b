"""Any split of a trajectory's random numbers: some actions by derivative (pathwise), the rest by score.

    g = sum_t (dlog p(a_t scored | eta_t, noise of a_t followed) / dtheta) (G_t - b_t(s_t)) + dR/dtheta

with total derivatives along what is followed: the components of the action in `path` at the times in `times`, components
that are functions of eta alone, process noise and design parameters. With nothing in `path` it is reward to go, with
everything reparameterization. In between:

    hybrid actions              the discrete component by score, the continuous ones by derivative
    a reward that jumps at the end   derivatives up to the last step, a score there (the vibrato of Giles): where the
                                last action is the last state, drawn around what came before
    a part of the action that acts smoothly     `path` for it alone

Unbiased where the return is continuous in what is followed, at scored actions held fixed; baselines are subtracted from what
is scored alone.

References
----------
Schulman, Heess, Weber and Abbeel (2015), Gradient estimation using stochastic computation graphs, theorem 1; Giles (2009),
Vibrato Monte Carlo sensitivities.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import validate
from ..baselines.accepted import BaselineLike, as_baseline
from ..baselines.baseline import Baseline
from ..baselines.optimal import Optimal, OptimalConstant
from ..compiler.functions import where
from ..per_step import PerStep
from ..printing import as_called
from ..problem import Problem
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Data,
    EndView,
    Path,
    StepView,
)
from .estimator import Estimator
from .reparameterization import reparameterization
from .reward_to_go import reward_to_go
from .with_baseline import with_baseline


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ComputationGraph(Estimator):
    """See the module.

    Attributes
    ----------
    baseline : Baseline
    components : tuple of int, or None
        Components of the action that are followed; None: all.
    times : tuple of int, or None
        When they are followed; None: always.
    """

    carries = ("to_go",)

    cotangents = 1
    baseline: Baseline
    components: tuple | None
    times: tuple | None
    only_data = ("times",)

    def data(self, problem: Problem, theta: NDArray[np.float64]) -> Data:
        data = {"baseline": self.baseline.data(problem, theta)}
        m, T = problem.environment.actions, problem.horizon
        for i in self.components or ():
            if i >= m:
                raise ValueError(f"path: expected components of the action from 0 to {m - 1}, got {i}")
        if self.times is None:
            return data
        for t in self.times:
            if not -T <= t < T:
                raise ValueError(f"times: expected numbers from {-T} to {T - 1}, got {t}")
        here = np.zeros(T + 1)
        here[:T][list(self.times)] = 1.0
        return data | {"followed_now": PerStep(here)}

    def last(self, c: Constants, end: EndView) -> Carry:
        return end.reward

    def _components(self, x: StepView) -> frozenset[int]:
        return frozenset(range(len(x.a)) if self.components is None else self.components)

    def step(self, c: Constants, x: StepView, later: Carry) -> tuple[Carry, Cotangents]:
        to_go = later + x.reward
        advantage = to_go - self.baseline.value(c.baseline, x)
        z = x.score_given(self._components(x))
        if self.times is not None:
            z = tuple(where(c.followed_now > 0.0, y, whole) for y, whole in zip(z, x.score, strict=True))
        return to_go, tuple(advantage * y for y in z)

    def path(self, c: Constants, x: StepView) -> Path | None:
        return dict.fromkeys(self._components(x), 1.0 if self.times is None else c.followed_now)


@as_called
def computation_graph(
    path: Sequence[int] | str = (), baseline: BaselineLike = None, *, times: Sequence[int] | None = None
) -> Estimator:
    """Return the estimator that follows some actions by derivative and scores the rest.

    Parameters
    ----------
    path : sequence of int, or "all"
        The components of the action (0, ..., m - 1) that are followed. What has a jump on the way to the return must not be
        among them.
    baseline : None, number, (T,) array, or one of mcgrad.baselines
        Subtracted from the return to go of what is scored.
    times : sequence of int, optional
        The times (0, ..., T - 1; negative ones count from the end) at which they are followed; at all others every component
        is scored. All by default: `computation_graph("all", times=range(T - 1))` has a score at the last step alone.

    Raises
    ------
    ValueError
        For an argument that is not as described; by `measure`, for a component that cannot be followed while others are
        scored, named with the reason.

    References
    ----------
    Schulman, Heess, Weber and Abbeel (2015), Gradient estimation using stochastic computation graphs, theorem 1.
    """
    if isinstance(path, str) and path == "all":
        components = None
    else:
        path = validate.sequence("path", path, 'components of the action (or "all")')
        components = tuple(sorted({validate.integer("path", i, 0) for i in path}))
    b = as_baseline(baseline)
    if components == ():
        return reward_to_go(baseline)
    if components is None and times is None:
        return reparameterization()
    if times is not None:
        times = validate.sequence("times", times, "times")
        times = tuple(sorted({validate.integer("times", t, -(2**31)) for t in times}))
    if isinstance(b, Optimal) or (isinstance(b, Baseline) and b.per_parameter):
        raise ValueError(f"baseline: expected one that is not optimal for another estimator, got {type(b).__name__}")
    if isinstance(b, OptimalConstant) and (isinstance(b.base, Optimal) or b.base.per_parameter):
        raise ValueError(
            f"baseline: expected one that is not optimal for another estimator, got {type(b.base).__name__}"
        )
    return with_baseline(lambda y: ComputationGraph(y, components, times), b)
