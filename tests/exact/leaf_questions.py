"""Questions to a theory about leaves of its estimators; a leaf is a function of the theory (`lq_leaves`, `tabular_leaves`)."""

import numpy as np

from mcgrad.exact import linear_quadratic
from mcgrad.exact.linear_quadratic import LinearQuadratic
from mcgrad.exact.tabular import Tabular


def theory_of(system):
    """The theory of a system, made once."""
    if "theory" not in system.memo:
        kind = LinearQuadratic if isinstance(system, linear_quadratic.System) else Tabular
        system.memo["theory"] = kind(system)
    return system.memo["theory"]


def mean(system, X):
    """(P,)."""
    return theory_of(system).mean(X(theory_of(system)))


def variance(system, X):
    """(P,)."""
    leaf = X(theory_of(system))
    return np.maximum(theory_of(system).covariance(leaf, leaf), 0.0)


def covariance(system, X, Y):
    """(P,)."""
    return theory_of(system).covariance(X(theory_of(system)), Y(theory_of(system)))


def covariance_matrix(system, X, Y):
    """(P, P)."""
    return theory_of(system).joint(X(theory_of(system)), Y(theory_of(system)))
