"""Exact moments of any estimator that can be traced: what users call."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import validate
from ...estimators.estimator import Estimator
from ...estimators.fitted import is_unfitted
from ...problem import Problem
from ...truth import told
from ..arguments import checked_arguments
from ..theory import NoClosedForm
from .chain import Chain, Model
from .directions import over_directions
from .found import ExactMoments
from .nodal import Nodal
from .polynomials import Polynomials
from .questions import Answers, Make, central_powers
from .refine import Options, TooMuch, Work, approximate, checked_options, on_states
from .ring import Array, Monomial, Pair
from .system import Outputs
from .tables import SharedNoise, states, table
from .truth import TRUTH

WORK = 20.0


@checked_arguments
def moments(
    problem: Problem,
    theta: ArrayLike,
    estimators: Mapping[str, Estimator],
    *,
    higher: bool = False,
    full_covariance: bool = False,
    tolerance: float = 1e-5,
    box: tuple[ArrayLike, ArrayLike] | None = None,
    work: float = WORK,
) -> ExactMoments:
    """Return the exact moments of gradient estimators on one trajectory, by a backward recursion over the state.

    The carry V of a reverse scan is affine in what comes later, V = a(x) + L(x) V', x = (s, noise). So m = E[V | s] and
    C = Cov[V | s] obey

        m_t(s) = E[a + L m_{t+1}(s_next)],    C_t(s) = Cov(a + L m_{t+1}(s_next) | s) + E[L C_{t+1}(s_next) L^T],

    s_next the next state, whatever the estimator is: your own as well as the library's. Functions of the state are tables where
    states are finite, polynomials where dynamics are linear in the state and rewards and scores polynomial (both exact), and
    else interpolated on a grid, for n <= 3, that is refined together with the noise, the start and the box until nothing
    moves by more than `tolerance`. Where noise does nothing to the state but to choose, as with finite states that nobody has
    declared to be a table, all that can be reached are found instead, and the recursion is exact on them. Rollouts that branch
    off (`estimators.measure_valued`) have functions of two states besides: moments up to the second, on grids without kinks. It
    shares traced derivatives and estimators with the kernels: a truth for a measurement, but no witness of these.

    Parameters
    ----------
    problem : Problem
    theta : (P,) array
    estimators : dict
        Name -> estimator, E of them. Coefficients that are still to be fitted are the optimal ones.
    higher : bool
        Whether third and fourth moments are wanted, and with them the exact standard error of a measured variance.
    full_covariance : bool
        Whether the covariances of all parameters with one another are wanted.
    tolerance : float
        Largest change of a moment at the last refinement, relative to the largest of its kind, on grids.
    box : pair of (n,) arrays, optional
        (low, high) of the grid to begin with; that of pilot trajectories by default. It grows with the refinement. An angle,
        a component of the state that only sin, cos, tan and % see, has one turn for its box.
    work : float
        When to give up, in units of about a second on a slow core; it counts operations, not time.

    Returns
    -------
    ExactMoments

    Raises
    ------
    NoClosedForm
        Where the recursion does not apply, or does not converge; the message says what is in the way, or which of grid,
        noise, start and box still moves the moments.

    Examples
    --------
    >>> import mcgrad as mg
    >>> lq = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(lq, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> found = mg.exact.moments(problem, [-0.6], {"to go": mg.estimators.reward_to_go()}, higher=True)
    >>> found["to go"].mean.round(3), found["to go"].variance.round(1), found["to go"].kurtosis.round(1)
    (array([-2.236]), array([367.6]), array([92.8]))

    References
    ----------
    Sobel (1982), The variance of discounted Markov decision processes, J. Appl. Prob. 19, 794, has the recursion for returns.
    """
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(f"estimators: expected a dict of name -> estimator, got {validate.describe(estimators)}")
    for name, e in estimators.items():
        if not isinstance(e, Estimator):
            raise ValueError(f"estimators: expected estimators, got {validate.describe(e)} for {name!r}")
    estimators = {name: told(e, lambda: TRUTH) for name, e in estimators.items()}
    higher, full_covariance = validate.flag("higher", higher), validate.flag("full_covariance", full_covariance)
    options = checked_options(problem, tolerance, box, work)
    return moments_within(problem, problem.theta(theta), estimators, options, higher, full_covariance)


def moments_within(
    problem: Problem,
    theta: Array,
    estimators: Mapping[str, Estimator],
    options: Options,
    higher: bool = False,
    full_covariance: bool = False,
) -> ExactMoments:
    """Return `moments` of estimators that have been told their truth, for what is left of the work of `options`."""
    fitted = {k: e.fit(_Exactly(problem, theta, options)) if is_unfitted(e) else e for k, e in estimators.items()}
    with np.errstate(all="ignore"):  # what overflows is no answer, see _checked
        model = Model(problem, theta, fitted)
        asked = functools.partial(_asked, model, higher, full_covariance)
        if states(problem):
            try:
                found = asked(functools.partial(_table, options.work), "table")
            except SharedNoise:  # no table of one state
                found = on_states(asked, options)
        else:
            try:
                found = asked(Polynomials, "polynomials")
            except NoClosedForm as error:
                found = approximate(asked, dataclasses.replace(options, reason=error))
    return _checked(found, problem)


def _table(work: Work, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair]) -> Nodal:
    """Return the space of a table if that is not too much work."""
    space = table(chain, first, pairs)
    try:
        work.spend(space.size()[1] * space.horizon)
    except TooMuch:
        raise NoClosedForm(f"no recursion on so large a table within work={work.units:g}; allow more") from None
    return space


def solve(
    make: Make,
    chain: Chain,
    first: Iterable[Monomial],
    pairs: Sequence[Pair],
    outputs: Outputs,
    output_pairs: Sequence[Any],
) -> tuple[dict[Any, float], dict[Any, float]]:
    """Return means and covariances of outputs of a chain in the space that make(chain, first, pairs) returns."""
    space = make(chain, first, pairs)
    fields = space.last()
    for t in reversed(range(space.horizon)):
        fields = space.back(t, fields)
    return space.start(fields, outputs, output_pairs)


def _asked(model: Model, higher: bool, full: bool, make: Make, space: str) -> ExactMoments:
    """Return the `ExactMoments` of a model in the spaces that make(chain, first, pairs) returns."""
    solver = functools.partial(solve, make)
    E, P = len(model.names), model.parameters
    if full:
        pairs = [(j, k) for j in range(E * P) for k in range(j, E * P)]
    else:
        pairs = [(i * P + p, k * P + p) for i in range(E) for k in range(i, E) for p in range(P)]

    def first_two(model: Model) -> tuple[list[float], list[float]]:
        answers = Answers(model, dict(enumerate(model.gradients)), pairs, solver)
        return [answers.mean[j] for j in range(E * P)], [answers.covariance[x] for x in pairs]

    def next_two(model: Model, mean: Array) -> list[list[float]]:
        answers = Answers(model, central_powers(model.gradients, mean, (3, 4)), [], solver)
        return [[answers.mean[j, k] for j in range(E * P)] for k in (3, 4)]

    mean, covariance, central = over_directions(model, pairs, first_two, next_two if higher else None)
    covariances = np.zeros((E * P, E * P))
    for (j, k), x in zip(pairs, covariance, strict=True):
        covariances[j, k] = covariances[k, j] = x
    covariances = covariances.reshape(E, P, E, P)
    if not full:
        covariances = np.einsum("ipjp->ijp", covariances).copy()
    third, fourth = (None, None) if central is None else (np.reshape(x, (E, P)) for x in central)
    parameters = tuple(model.problem.parameters)
    return ExactMoments(tuple(model.names), parameters, np.reshape(mean, (E, P)), covariances, third, fourth, space)


def _checked(found: ExactMoments, problem: Problem) -> ExactMoments:
    parts = [found.mean, found.covariances, *(x for x in (found.third, found.fourth) if x is not None)]
    if not all(np.isfinite(x).all() for x in parts):
        raise NoClosedForm(
            f"moments of {problem.environment.name} over {problem.horizon} steps: numbers beyond 1e308, or none at all; "
            "shorten the horizon, or count rewards in a larger unit"
        )
    return found


class _Exactly:
    """Exact moments where a fit expects those of trajectories: coefficients are then the optimal ones."""

    def __init__(self, problem: Problem, theta: Array, options: Options) -> None:
        self.problem, self.theta, self._options = problem, theta, options

    def moments(self, estimators: Mapping[str, Estimator], full: bool = False) -> ExactMoments:
        """Return the moments of named estimators."""
        told_all = {name: told(e, lambda: TRUTH) for name, e in estimators.items()}
        return moments_within(self.problem, self.theta, told_all, self._options, full_covariance=full)

    def moments_of_each(self, variants: Iterable[Mapping[str, Estimator]]) -> Iterator[ExactMoments]:
        """Yield the moments of each of several dicts of estimators."""
        for estimators in variants:
            yield self.moments(estimators)
