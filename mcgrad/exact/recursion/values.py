"""The exact value function of any problem that the recursion can be run on: V_t(s) = E[G_t | s_t = s], discounted from 0."""

import dataclasses
import functools
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import validate
from ...estimators.estimator import custom
from ...problem import Problem
from ..arguments import checked_arguments
from .chain import Model
from .polynomials import Polynomials
from .questions import Answers
from .refine import checked_box, on_grids, pilot_box
from .refusal import NoClosedForm
from .tables import states, table

CHECKED = 25  # points of each axis at which values have to come to rest, at the first, middle and last time


@dataclasses.dataclass(frozen=True, eq=False)
class ExactValue:
    """V_t(s): `V(t, s)` for states (N, n) -> (N,).

    Attributes
    ----------
    objective : float
        J = E V_0(s_0).
    space : str
        What the functions of the state are: "table", "polynomials", "a grid of 100 points an axis".
    change : mapping
        By how much values moved at the last refinement, relative to their range. Empty where nothing is approximate.
    left : float
        The chance that a trajectory leaves the box of the grid.
    """

    objective: float
    space: str
    functions: tuple[Callable[..., Any], ...]
    box: Callable[[], Any] = None
    change: Any = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    left: float = 0.0

    def __call__(self, t: int, s: ArrayLike) -> NDArray[np.float64]:
        """Return V_t(s), (N,), for states s (N, n), t = 0, ..., T."""
        t = validate.integer("t", t, 0, len(self.functions) - 1)
        return self.functions[t](np.atleast_2d(validate.array("s", s)))

    def moved_from(self, before: "ExactValue") -> float:
        """Return the largest difference from another result in the box of pilot trajectories, relative to all values' range."""
        axes = np.meshgrid(*(np.linspace(a, b, CHECKED) for a, b in zip(*self.box(), strict=True)), indexing="ij")
        points = np.stack([x.ravel() for x in axes], axis=1)
        T = len(self.functions) - 1
        x, y = (np.array([V(t, points) for t in sorted({0, T // 2, T - 1})]) for V in (before, self))
        change = np.max(np.abs(x - y)) / (np.ptp(y) + 1e-300)
        return float(change) if np.isfinite(change) else np.inf


@checked_arguments
def value_function(
    problem: Problem,
    theta: ArrayLike,
    *,
    tolerance: float = 1e-5,
    box: tuple[ArrayLike, ArrayLike] | None = None,
    work: float = 20.0,
) -> ExactValue:
    """Return the exact value function of a problem, on tables, polynomials or grids; see `moments` for how.

    Nothing is differentiated: rewards and dynamics are all that enters.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    tolerance : float
        Largest change of a value in the box of pilot trajectories at the last refinement, relative to the range of values.
    box : pair of (n,) arrays, optional
        As of `moments`.
    work : float
        As of `moments`.

    Raises
    ------
    NoClosedForm
        Where the recursion does not apply, or does not converge.

    Examples
    --------
    >>> import mcgrad as mg
    >>> policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    >>> V = mg.exact.value_function(mg.Problem(mg.environments.double_well(), policy, horizon=20), [-0.3, 0.5])
    >>> round(V.objective, 3), V(0, [[-1.0], [1.0]]).round(3)
    (-3.541, array([-3.547, -0.049]))
    """
    P = len(problem.parameters)
    whole = custom(
        lambda c, x, later: (later + x.reward, []),
        lambda c, end: end.reward,
        lambda c, sums, carry: (carry, *(0.0 for _ in range(P - 1))),
    )
    tolerance = validate.number("tolerance", tolerance, above=0.0)
    options = {
        "tolerance": tolerance,
        "box": checked_box(box, problem),
        "work": validate.number("work", work, above=0.0),
    }
    with np.errstate(all="ignore"):  # what overflows has not converged
        model = Model(problem, theta, {"return": whole})
        asked = functools.partial(_asked, model, options["box"])
        if states(problem):
            return asked(table, "table")
        try:
            return asked(Polynomials, "polynomials")
        except NoClosedForm as error:
            return on_grids(asked, options | {"reason": error})


def _asked(model, box, make, space):
    """Return the `ExactValue` of a model in one space."""
    functions = []

    def solver(chain, first, pairs, outputs, output_pairs):
        own = make(chain, first, pairs)
        (a,) = (x for x in first if x)
        fields = own.last()
        functions.append(functools.partial(own.evaluate, fields, a))
        for t in reversed(range(own.horizon)):
            fields = own.back(t, fields)
            functions.append(functools.partial(own.evaluate, fields, a))
        return own.start(fields, outputs, output_pairs)

    found = Answers(model, {0: model.gradients[0]}, [], solver)
    ((_, chain),) = model.chains.items()
    return ExactValue(float(found.mean[0]), space, tuple(functions[::-1]), functools.partial(pilot_box, chain, box))
