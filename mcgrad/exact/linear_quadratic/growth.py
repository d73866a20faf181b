"""How fast the variance of an estimator grows with the horizon.

With T -> infinity the variance goes as T^p rho^(q T), rho the spectral radius of A + B K. Without a discount

    K                              rho < 1     rho = 1     rho > 1          log scales: <, =, > 1
    returns, constant baselines    T^3         T^6         rho^6T           T^3   T^5   T rho^4T
    centred returns                T^2         T^6         rho^6T           T^2   T^5   T rho^4T
    errors of the value function   T^2         T^6         T^2 rho^4T       T^2   T^5   rho^4T
    exact critics, derivatives     T           T^6         T^2 rho^4T       T     T^4   rho^4T

and with a discount < 1, rho < 1, all stay bounded but the score function and returns to go less a given constant, of
order T. Centred: R minus its mean or the best constant, returns to go minus their means or the best b_t. Errors: a value
baseline, lambda = 1, action control variates. lambda < 1 counts with the exact critics.
"""

import numpy as np

from ...estimators import kinds as estimators
from .exponents import CLOSE, KINDS, Exponent, Known
from .system import System

_GROWTH = {
    "returns": ((3, 6, (6, 0)), (3, 5, (4, 1))),
    "centred returns": ((2, 6, (6, 0)), (2, 5, (4, 1))),
    "errors of the value function": ((2, 6, (4, 2)), (2, 5, (4, 0))),
    "exact critics and derivatives": ((1, 6, (4, 2)), (1, 4, (4, 0))),
    "the score": ((1, 2, (2, 0)), (1, 1, (0, 1))),
}
_REASONS = {
    "returns": "the scores, of variance T, multiply returns with a mean of order T",
    "centred returns": "the scores, of variance T, multiply deviations of the return of variance T",
    "errors of the value function": "the sum of all past scores multiplies each error of the value function",
    "exact critics and derivatives": "noise of a bounded memory adds up, step by step",
    "the score": "independent increments",
}


def horizon_exponent(system: System, known: Known, scale: bool) -> Exponent:
    """Return the exponent in the horizon, of the entries of K or (`scale`) of the log scales."""
    kind, baseline, family = known.kind, known.baseline, _family(known)
    if family is None:
        detail = f" with {KINDS[baseline]} as its baseline" if baseline else ""
        return Exponent(None, f"no prediction is known for {kind.__name__}{detail}")
    if scale and kind is estimators.AllActions:
        return Exponent(None, "the variance is zero for every horizon")
    rho = np.abs(np.linalg.eigvals(system.closed)).max()
    gamma, score = system.discount, family == "the score"
    if gamma != 1 and not score:
        if not (0 < gamma < 1 and rho < 1 - CLOSE):
            return Exponent(None, "with a discount, predictions are known for a spectral radius below 1 only")
        if kind is estimators.ScoreFunction:
            return Exponent(1.0, "the scores go on adding up after the discounted return has come to rest")
        if baseline in ("number", "level"):
            return Exponent(1.0, "the baseline goes on adding up after the discounted returns to go have gone")
        return Exponent(0.0, "the discount ends all later contributions")
    if rho < 1 - CLOSE:
        return _stable(system, family, scale)
    refusal = _not_generic(system, rho)
    if refusal:
        return Exponent(None, refusal)
    _, critical, unstable = _GROWTH[family][scale]
    if rho <= 1 + CLOSE:
        return Exponent(float(critical), "at spectral radius 1 the state's variance grows as T")
    rate, power = unstable
    reason = "the state grows as rho^t: costs as its square, scores of K and derivatives along it"
    return Exponent(float(power), reason, float(rate))


def _family(known: Known) -> str | None:
    E, kind, baseline = estimators, known.kind, known.baseline or ""
    if kind in (E.ScoreFunction, E.RewardToGo):
        centred = {"mean": "centred returns", "optimum": "centred returns", "value": "errors of the value function"}
        return (dict.fromkeys(("none", "number", "level", "best level"), "returns") | centred).get(baseline)
    if kind in (E.GeneralizedAdvantage, E.Advantage, E.AllActions, E.ValueGradient, E.Reparameterization):
        return "exact critics and derivatives"
    return {E.QFunction: "returns", E.ActionControlVariate: "errors of the value function", E.Score: "the score"}.get(
        kind
    )


def _stable(system: System, family: str, scale: bool) -> Exponent:
    from scipy.linalg import solve_discrete_lyapunov

    cov = solve_discrete_lyapunov(system.closed, system.noise @ system.noise.T)
    stage = system.Q + system.K.T @ system.R @ system.K
    costs = np.array([np.sum(stage * cov), np.sum(system.R * system.policy_cov)])
    if family != "the score" and not (np.any(stage) or np.any(system.R)):
        return Exponent(None, "there are no costs but at the end")
    if not np.any(cov):
        if family == "exact critics and derivatives":
            return Exponent(0.0, "without lasting noise the state comes to rest")
        return Exponent(None, "there is no lasting noise in the state")
    if family == "returns" and abs(costs.sum()) <= CLOSE * np.abs(costs).sum():
        family = "centred returns"
    return Exponent(float(_GROWTH[family][scale][0]), _REASONS[family])


def _not_generic(system: System, rho: float) -> str | None:
    """Why the modes of the spectral radius are not as the predictions assume, or None."""
    stage = system.Q + system.K.T @ system.R @ system.K
    start = system.cov + np.outer(system.mean, system.mean) if rho > 1 + CLOSE else 0.0
    drive = system.noise @ system.noise.T + start
    values, right = np.linalg.eig(system.closed)
    near = np.abs(values) > rho * (1 - 1e-6)
    if np.linalg.matrix_rank(right[:, near], tol=1e-5) < near.sum():
        return "the spectral radius belongs to a Jordan block; further powers of T enter"
    values, left = np.linalg.eig(system.closed.T)
    left = left[:, np.abs(values) > rho * (1 - 1e-6)].T  # rows y*, y*A = value y*
    small = 1e-10
    if np.any(np.linalg.norm(left @ system.B, axis=1) <= small * np.abs(system.B).max()):
        return "no action reaches a mode of the spectral radius"
    if np.any(np.abs(np.einsum("ki,ij,kj->k", left, drive, left.conj())) <= small * np.abs(drive).max()):
        return "no noise reaches a mode of the spectral radius"
    modes = right[:, near].T
    if np.any(np.abs(np.einsum("ki,ij,kj->k", modes.conj(), stage, modes)) <= small * np.abs(stage).max()):
        return "no cost sees a mode of the spectral radius"
    return None
