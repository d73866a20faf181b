"""Exact moments of several estimators at once, the third and fourth among them: what users call."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import ArrayLike

from .. import validate
from ..estimators import Estimator
from ..problem import Problem
from ..truth import told
from .answers import WORK, truth_within
from .arguments import checked_arguments
from .recursion import ExactMoments
from .recursion.moments import moments_within
from .recursion.refine import checked_options


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
    work: float = 20.0,
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
        Largest change of a moment at the last refinement, relative to the largest of its kind, on grids; of a mean, to a
        hundredth of a standard deviation at least. Where that is not reached, the error says by how much each kind moved.
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
    truth = truth_within(min(WORK, validate.number("work", work, above=0.0)))
    estimators = {name: told(e, lambda: truth) for name, e in estimators.items()}
    higher, full_covariance = validate.flag("higher", higher), validate.flag("full_covariance", full_covariance)
    options = checked_options(problem, tolerance, box, work)
    with options.work:
        return moments_within(problem, problem.theta(theta), estimators, options, higher, full_covariance)
