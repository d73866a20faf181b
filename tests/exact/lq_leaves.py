"""Leaves of linear-quadratic systems by the names of the formulas, without problems: what the referees are set against.

An estimator here is a function of the theory that returns a leaf; baselines are forms of (1, s), and add.
"""

import numpy as np
from leaf_questions import covariance, covariance_matrix, mean, theory_of, variance  # noqa: F401

from mcgrad import estimators as E
from mcgrad.exact import algebra
from mcgrad.exact.leaves import Pathwise, Rule
from mcgrad.exact.linear_quadratic import System, average, bounds, hessian, natural, optimum, values
from mcgrad.exact.linear_quadratic.baselines import naive_over_time as naive_time_baseline
from mcgrad.exact.linear_quadratic.baselines import optimal_quadratic as optimal_quadratic_baseline
from mcgrad.exact.linear_quadratic.bounds import markov_bound, stationary_bound, tree_bound
from mcgrad.exact.linear_quadratic.covariances import covariance_by_step as _by_step
from mcgrad.exact.linear_quadratic.covariances import return_variance
from mcgrad.exact.linear_quadratic.covariances import variance as _variance_of
from mcgrad.exact.linear_quadratic.increments import OfPath
from mcgrad.exact.linear_quadratic.measure_valued import measure_valued_variance
from mcgrad.exact.linear_quadratic.natural import fisher, trajectory_fisher
from mcgrad.exact.linear_quadratic.scaling import scaling as _scaling
from mcgrad.exact.linear_quadratic.theory import step_variances
from mcgrad.exact.linear_quadratic.values import gradient, mean_return_to_go, objective, value

__all__ = [
    "System",
    "average",
    "bounds",
    "fisher",
    "gradient",
    "hessian",
    "markov_bound",
    "mean_return_to_go",
    "measure_valued_variance",
    "naive_time_baseline",
    "natural",
    "objective",
    "optimal_quadratic_baseline",
    "optimum",
    "return_variance",
    "stationary_bound",
    "step_variances",
    "trajectory_fisher",
    "tree_bound",
    "value",
    "values",
]

# ---- estimators --------------------------------------------------------------------------------------------------


def ScoreFunction(b=0.0):  # noqa: N802
    """(R - b) Z; b a number or (P,)."""
    return lambda theory: Rule(trace=1.0, whole=True, score=-np.asarray(b, dtype=float))


def RewardToGo(forms=None):  # noqa: N802
    """sum_t z_t (G_t - b_t(s_t))."""
    return lambda theory: Rule(trace=1.0) if forms is None else Rule(trace=1.0, weight=-theory.forms(forms))


def GeneralizedAdvantage(decay=0.95, forms=None):  # noqa: N802
    """sum_t z_t sum_{k>=t} lam^{k-t} delta_k, of the exact value function or of forms for t < T."""

    def of(theory):
        V = theory.value_function() if forms is None else theory.forms(forms)
        return Rule(trace=float(decay), ahead=V, known=V)

    return of


def ExactAdvantage(value=False):  # noqa: N802
    """sum_t z_t A_t, or Q_t."""
    return lambda theory: _read(theory, E.q_function() if value else E.advantage())


def ActionControlVariate(first_order=False):  # noqa: N802
    """sum_t z_t (G_t - q_t) + E_a[z_t q_t | s_t]."""
    return lambda theory: _read(theory, E.action_control_variate(first_order=first_order))


def AllActions():  # noqa: N802
    """sum_t E_a[z_t Q_t | s_t]."""
    return lambda theory: _read(theory, E.all_actions())


def ValueGradient():  # noqa: N802
    """sum_t d_t^T grad_a Q_t."""
    return lambda theory: _read(theory, E.value_gradient())


def Reparameterization():  # noqa: N802
    """dR/dp."""
    return lambda theory: Pathwise()


def Score():  # noqa: N802
    """Z."""
    return lambda theory: Rule(score=1.0)


def _read(theory, estimator):
    (term,) = algebra.terms(theory, estimator)
    return term.leaf


# ---- questions ---------------------------------------------------------------------------------------------------


def covariance_by_step(system, X, Y):
    """What s_0 decides, (P,), and what each stage's noise does, (T, P)."""
    theory = theory_of(system)
    return _by_step(system, *(theory.increments(x(theory)) for x in (X, Y)))


def antithetic_variance(system, X, flip="all"):
    """(P,) of a pair; `flip`: "all" or "exploration"."""
    signs = algebra.FLIPS[{"all": "all", "exploration": "actions"}[flip]]
    leaf = X(theory_of(system))
    return np.maximum((variance(system, X) + theory_of(system).mirrored(leaf, leaf, signs)) / 2, 0.0)


def combination_variance(system, combination):
    """Of sum_k c_k X_k, (P,)."""
    parts = [(np.asarray(c), x(theory_of(system))) for c, x in combination]
    return np.maximum(sum(c * d * theory_of(system).covariance(x, y) for c, x in parts for d, y in parts), 0.0)


def weighted_variance(system, along, scored, forms=None):
    """Of sum_t k_t (da_t/dp)^T dR/da_t + sum_t l_t z_t (G_t - b_t), (P,)."""
    return _variance_of(system, OfPath(system, along, scored, forms))


def scaling(system, estimator, parameters="gain"):
    """Exponents of an estimator of `mcgrad.estimators`."""
    return _scaling(theory_of(system), estimator, parameters)


# ---- baselines ---------------------------------------------------------------------------------------------------


def value_baseline(system):
    """V_t as forms."""
    return values.value_forms(system)[:-1]


def time_baseline(system, b):
    """b_t, (T,) or (T, P), as forms."""
    n = 1 + system.states
    return theory_of(system).over_time(b)[..., :n, :n]


def constant_baseline(system, b):
    """b, a number or (P,), as forms."""
    return time_baseline(system, np.broadcast_to(b, (system.horizon, *np.shape(b))))


def _with_scores(system, X):
    theory = theory_of(system)
    return theory.by_step(X(theory)), theory.by_step(Rule(score=1.0))


def optimal_constant(system, X):
    """Cov(X, Z) / Var Z, (P,)."""
    return algebra.ratio(*(x.sum(axis=0) for x in _with_scores(system, X)))


def optimal_time_baseline(system, X):
    """Cov(X, z_t) / Var z_t, (T, P)."""
    return algebra.ratio(*_with_scores(system, X))


def total_optimal_constant(system, X, parameters=slice(None)):
    """One b for the sum of the variances of some parameters."""
    return float(algebra.ratio(*(x[:, parameters].sum() for x in _with_scores(system, X))))


def total_optimal_time_baseline(system, X, parameters=slice(None)):
    """One b_t for the sum of the variances of some parameters, (T,)."""
    return algebra.ratio(*(x[:, parameters].sum(axis=1) for x in _with_scores(system, X)))
