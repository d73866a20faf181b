"""The theory of problems of one step under a Gaussian policy: every estimator is a combination of three random numbers.

    f s (score function),   s (the score),   f' dx/dtheta (pathwise),    f the reward, x = mean + std e,
    s = e / std for a mean, (e^2 - 1) / std for a std

and, with `estimators.delta`, of the first and the third for the Taylor expansions of f.

Their covariances, and those with the same numbers at -e, are what `costs` and `jumps` compute; from these tables
follow baselines, control variates, mixtures, antithetic pairs and groups, parameter by parameter.
"""

import numpy as np

from .. import baselines, estimators
from ..environments.one_step import OneStepCost
from ..estimators.estimator import leaves
from . import costs, jumps
from .one_step_table import DELTA, PATHWISE, SCORE, SCORE_FUNCTION
from .several import NoClosedForm, prepared


def table(problem, theta, *needed):
    """Return the `Table` of a problem, with the rows that estimators need."""
    expanded = any(isinstance(leaf, estimators.Delta) for x in needed for leaf, _ in leaves(x))
    if isinstance(problem.environment.closed_form, OneStepCost):
        return costs.table(problem, theta, expanded)
    if expanded:
        raise NoClosedForm(
            f"no closed form is known for Delta on {problem.environment.name}: its reward has kinks or jumps"
        )
    return jumps.table(problem, theta)


# ---- what `mcgrad.exact` asks ------------------------------------------------------------------------------------


def objective(problem, theta):
    """Return J."""
    return table(problem, theta).objective


def gradient(problem, theta):
    """Return dJ/dtheta = E[f s]: exact where f jumps, too."""
    return table(problem, theta).mean[SCORE_FUNCTION].copy()


def mean(problem, theta, estimator):
    """Return the mean of an estimator: the gradient, unless a pathwise part does not see a jump."""
    t = table(problem, theta, estimator)
    match estimator:
        case estimators.Antithetic(parts=(x, _)):
            return mean(problem, theta, x)
        case estimators.Group(kind="leave one out") | estimators.MeasureValued():
            return t.mean[SCORE_FUNCTION].copy()
        case estimators.Group(kind="mean", size=size):
            return (1 - 1 / size) * t.mean[SCORE_FUNCTION]
    return (_combination(problem, theta, t, estimator) * t.mean).sum(axis=0)


def variance(problem, theta, estimator):
    """Return the variance of one sample of an estimator, (P,)."""
    t = table(problem, theta, estimator)
    match estimator:
        case estimators.Antithetic(parts=(x, _)):
            c = _combination(problem, theta, t, x)
            result = (_quadratic(c, t.cov, c) + _quadratic(c, t.mirrored, c)) / 2
        case estimators.Group(kind="leave one out", size=size):
            result = _leave_one_out(t, size)
        case estimators.Group(kind="mean", size=size):
            result = (1 - 1 / size) ** 2 * _leave_one_out(t, size)
        case estimators.MeasureValued(critic=None):
            result = t.measure_valued(coupled=True)
        case _:
            c = _combination(problem, theta, t, estimator)
            result = _quadratic(c, t.cov, c)
    return np.maximum(result, 0.0)


def covariance(problem, theta, first, second):
    """Return the covariance of two estimators on the same noise, (P,)."""
    t = table(problem, theta, first, second)
    return _quadratic(_combination(problem, theta, t, first), t.cov, _combination(problem, theta, t, second))


def coefficients(problem, theta, estimator):
    """Return the variance-optimal coefficients of a control variate, (k, P)."""
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    if estimator.full:
        raise NoClosedForm("no closed form is known for a control variate with full=True on problems of one step")
    return _optimal_coefficients(problem, theta, table(problem, theta, estimator), estimator)


def measure_valued_variance(problem, theta, coupled=True):
    """Return the variance of the measure-valued derivative, (P,).

    For a mean the difference of f at mean + std W and mean - std W', W Rayleigh; for a std that of f at mean + std M and
    mean + std N, M double-sided Maxwell, N normal. Coupled: W' = W, and N = U M with U uniform; else they are independent.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), section 6.
    """
    return table(problem, theta).measure_valued(coupled)


def value(problem, theta):
    """Return P (2, n, n) and c (2,) with V_t(s) = -(s' P_t s + c_t): the state does not matter, V_0 = J."""
    n = problem.environment.states
    return np.zeros((2, n, n)), np.array([-objective(problem, theta), 0.0])


def mean_return_to_go(problem, theta):
    """Return (J,)."""
    return np.array([objective(problem, theta)])


def optimal_over_time(problem, theta, estimator):
    """Return b_p = Cov(g_p, s_p) / Var s_p, (1, P)."""
    t = table(problem, theta, estimator)
    return ((_combination(problem, theta, t, estimator) * t.cov[:, SCORE]).sum(axis=0) / t.cov[SCORE, SCORE])[None]


def naive_optimal_over_time(problem, theta):
    """Return E[f s_p^2] / E[s_p^2], (1, P): for one step the optimum."""
    return optimal_over_time(problem, theta, estimators.score_function())


def trace_optimal_constant(problem, theta, estimator):
    """Return the b of least total variance over all parameters, a float."""
    power = table(problem, theta).cov[SCORE, SCORE]
    return float(optimal_over_time(problem, theta, estimator)[0] @ power / power.sum())


def trace_optimal_over_time(problem, theta, estimator):
    """Return the same as `trace_optimal_constant`, (1,)."""
    return np.array([trace_optimal_constant(problem, theta, estimator)])


# ---- estimators as combinations ----------------------------------------------------------------------------------


def _quadratic(c, cov, d):
    return np.einsum("ip,ijp,jp->p", c, cov, d)


def _unit(part, t):
    c = np.zeros_like(t.mean)
    c[part] = 1.0
    return c


def _combination(problem, theta, t, estimator):
    """Return the coefficients (3, P) of f s, s and f' dx/dtheta in an estimator."""
    match estimator:
        case estimators.Reparameterization():
            return _unit(PATHWISE, t)
        case estimators.Score():
            return _unit(SCORE, t)
        case estimators.Delta(order=order, pathwise=pathwise, centred=centred):
            return _unit(DELTA[order, pathwise], t) - (t.expansions[order] if centred else 0.0) * _unit(SCORE, t)
        case estimators.ScoreFunction(baseline=b) | estimators.RewardToGo(baseline=b):
            return _unit(SCORE_FUNCTION, t) - _baseline(problem, theta, t, b) * _unit(SCORE, t)
        case estimators.WeightedScore(baseline=b):
            return prepared(b).forms(problem, theta)[0, :, 0, 0] * _unit(SCORE, t)
        case estimators.Difference(parts=(x, y)):
            return _combination(problem, theta, t, x) - _combination(problem, theta, t, y)
        case estimators.ControlVariate(parts=(target, *controls), full=False):
            c = estimator.coefficients
            c = _optimal_coefficients(problem, theta, t, estimator) if c is None else c
            parts = (_combination(problem, theta, t, control) for control in controls)
            return _combination(problem, theta, t, target) - sum(k * h for k, h in zip(c, parts, strict=True))
        case _:
            raise NoClosedForm(
                f"no closed form is known for {type(estimator).__name__} on {problem.environment.name} under "
                f"{problem.policy.name}"
            )


def _baseline(problem, theta, t, b):
    """Return the number that a baseline is at the only state there is."""
    match b:
        case baselines.NoBaseline():
            return 0.0
        case baselines.MeanReturn() | baselines.MeanToGo() | baselines.Value():
            return t.objective
        case baselines.Constant(b=number):
            return number
        case baselines.TimeDependent(b=numbers):
            return numbers[0]
        case baselines.TotalOptimal(base=base):
            return _baseline(problem, theta, t, base) + trace_optimal_constant(problem, theta, b.target)
        case baselines.FittedValue():
            return prepared(b).data(problem, theta)["form"].values[0, 0, 0]
        case _:
            raise NoClosedForm(f"no closed form is known with the baseline {type(b).__name__}")


def _optimal_coefficients(problem, theta, t, estimator):
    target, *controls = (_combination(problem, theta, t, part) for part in estimator.parts)
    among = np.array([[_quadratic(a, t.cov, b) for b in controls] for a in controls])  # (k, k, P)
    onto = np.array([_quadratic(a, t.cov, target) for a in controls])  # (k, P)
    result = np.zeros_like(onto)
    for p in range(onto.shape[1]):
        scale = np.sqrt(np.maximum(np.diag(among[:, :, p]), 0.0))
        scale[scale == 0] = 1.0
        matrix = among[:, :, p] / np.outer(scale, scale)
        result[:, p] = np.linalg.lstsq(matrix, onto[:, p] / scale, rcond=1e-12)[0] / scale
    return result


def _leave_one_out(t, G):
    """Return Var(f s) / G - 2 J E[f s^2] / G + (E f^2 E s^2 + (G - 2) J^2 E s^2 + g^2) / (G (G - 1)).

    From g = 1/G sum_i f_i s_i - 1/(G (G - 1)) sum_{i != j} f_j s_i, pairs of terms in which each lone score meets itself
    or its own reward.
    """
    J, power, both = t.objective, t.cov[SCORE, SCORE], t.cov[SCORE_FUNCTION, SCORE]
    square = t.return_variance + J**2
    products = (square + (G - 2) * J**2) * power + t.mean[SCORE_FUNCTION] ** 2
    return (t.cov[SCORE_FUNCTION, SCORE_FUNCTION] - 2 * J * both) / G + products / (G * (G - 1))
