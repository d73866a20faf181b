"""Exact truth for a `Problem`: reads its matrices, and what its estimators are, and asks the theory of its kind."""

import dataclasses

import numpy as np

from .. import baselines, estimators
from ..environments.linear_quadratic import LinearQuadratic
from ..policies.linear_gaussian import LinearGaussian
from . import lq, several


class NoClosedForm(ValueError):
    """There is no closed form for this problem or estimator; the message says why."""


def system(problem, theta):
    """Return the `lq.System` of a linear-quadratic problem with a linear-Gaussian policy.

    Raises
    ------
    NoClosedForm
        If the problem is of another kind.
    """
    theta = problem.theta(theta)
    environment, policy = problem.environment.closed_form, problem.policy.closed_form
    if not isinstance(environment, LinearQuadratic):
        raise NoClosedForm(f"no closed form is known for {problem.environment.name}; it is not linear-quadratic")
    if not isinstance(policy, LinearGaussian):
        raise NoClosedForm(f"no closed form is known for {problem.policy.name}; it is not linear-Gaussian")
    n, m = problem.environment.states, problem.environment.actions
    scales = np.exp(theta[m * n :]) if policy.learn_std else np.ones(m)
    return lq.System(
        A=environment.A,
        B=environment.B,
        K=theta[: m * n].reshape(m, n),
        L=scales[:, None] * policy.root,
        Q=environment.Q,
        R=environment.R,
        Qf=environment.terminal_cost,
        W=environment.process_noise,
        mean=environment.initial_mean,
        cov=environment.initial_cov,
        horizon=problem.horizon,
        discount=problem.discount,
        terminal_weight=problem.discount**problem.horizon,
        learn_scale=policy.learn_std,
    )


def objective(problem, theta):
    """Return J(theta) = E[sum_t gamma^t r_t + gamma^T r_T], a float."""
    return lq.objective(system(problem, theta))


def gradient(problem, theta):
    """Return dJ/dtheta, (P,)."""
    return lq.gradient(system(problem, theta))


def value(problem, theta):
    """Return P (T + 1, n, n) and c (T + 1,) with V_t(s) = E[G_t | s_t = s] = -(s' P_t s + c_t), discount from time 0."""
    return lq.value(system(problem, theta))


def mean_return_to_go(problem, theta):
    """Return E[G_t] for t = 0, ..., T - 1: the time-dependent mean as a baseline, (T,)."""
    return lq.mean_return_to_go(system(problem, theta))[: problem.horizon]


def variance(problem, theta, estimator):
    """Return the variance of one trajectory's gradient under an estimator, (P,).

    A control variate whose coefficients are still to be fitted counts with the optimal ones.

    Raises
    ------
    NoClosedForm
        If there is none for the problem or the estimator.
    """
    s = system(problem, theta)
    of_several = several.variance(s, estimator, lambda x: _combination(problem, theta, s, x))
    if of_several is not None:
        return np.maximum(of_several, 0.0)
    return np.maximum(_covariance(s, *[_combination(problem, theta, s, estimator)] * 2), 0.0)


def covariance(problem, theta, first, second):
    """Return the covariance of two estimators on the same trajectory, parameter by parameter, (P,)."""
    s = system(problem, theta)
    return _covariance(s, _combination(problem, theta, s, first), _combination(problem, theta, s, second))


def coefficients(problem, theta, estimator):
    """Return the variance-optimal coefficients of a control variate, (k, P), or (k, P, P) if it is `full`."""
    if not isinstance(estimator, estimators.ControlVariate):
        raise ValueError("estimator: expected a control variate")
    s = system(problem, theta)
    return _optimal(problem, theta, s, estimator)


# ---- estimators as linear combinations of what the theory knows ------------------------------------------------


def _combination(problem, theta, s, estimator):
    """Return an estimator as a list of (coefficients (P,), lq estimator)."""
    one = np.ones(s.parameters)
    match estimator:
        case estimators.Reparameterization():
            return [(one, lq.Reparameterization())]
        case estimators.Score():
            return [(one, lq.Score())]
        case estimators.RewardToGo(baseline=b):
            return [(one, lq.RewardToGo(_forms(problem, theta, s, b)))]
        case estimators.ScoreFunction(baseline=baselines.NoBaseline()):
            return [(one, lq.ScoreFunction())]
        case estimators.ScoreFunction(baseline=baselines.Constant(b=b)):
            return [(one, lq.ScoreFunction(b))]
        case estimators.ScoreFunction(baseline=b):
            # sum z_t (R - b_t) = R Z + sum z_t (G_t - b_t) - sum z_t G_t
            to_go = lq.RewardToGo(_forms(problem, theta, s, b))
            return [(one, lq.ScoreFunction()), (one, to_go), (-one, lq.RewardToGo())]
        case estimators.Difference(parts=(x, y)):
            x, y = (_combination(problem, theta, s, part) for part in (x, y))
            return x + [(-c, part) for c, part in y]
        case estimators.ControlVariate():
            return _with_controls(problem, theta, s, estimator)
        case estimators.Group(kind=kind):
            raise NoClosedForm(f"no closed form is known for the variance of a {kind} group")
        case _:
            raise NoClosedForm(f"no closed form is known for the variance of {type(estimator).__name__}")


def _forms(problem, theta, s, baseline):
    """Return a baseline as the forms of (1, s) that the theory takes, or None."""
    match baseline:
        case baselines.NoBaseline():
            return None
        case baselines.Constant(b=b):
            return lq.constant_baseline(s, b)
        case baselines.TimeDependent(b=b):
            return lq.time_baseline(s, b)
        case baselines.Value():
            return lq.value_baseline(s)
        case _:
            raise NoClosedForm(f"no closed form is known with the baseline {type(baseline).__name__}")


def _with_controls(problem, theta, s, estimator):
    target, *controls = estimator.parts
    c = estimator.coefficients
    c = _optimal(problem, theta, s, estimator) if c is None else c
    result = _combination(problem, theta, s, target)
    for k, control in enumerate(controls):
        if estimator.full:
            entries = _entries(problem, s, control)
            result += [(-c[k][:, q], entry) for q, entry in enumerate(entries)]
        else:
            result += [(-c[k] * d, part) for d, part in _combination(problem, theta, s, control)]
    return result


def _entries(problem, s, control):
    if not isinstance(control, estimators.Score) or s.parameters != s.K.size:
        raise NoClosedForm("a control variate with full=True has a closed form for score() with theta = K alone")
    return [lq.Score(entry) for entry in range(s.K.size)]


def _optimal(problem, theta, s, estimator):
    target, *controls = estimator.parts
    x = _combination(problem, theta, s, target)
    if estimator.full:
        if len(controls) != 1:
            raise NoClosedForm("a control variate with full=True has a closed form for score() alone")
        entries = _entries(problem, s, controls[0])
        one = np.ones(s.parameters)
        cross = np.stack([_covariance(s, x, [(one, entry)]) for entry in entries], axis=1)
        return (cross @ np.linalg.pinv(lq.fisher(s), rcond=1e-14, hermitian=True))[None]
    h = [_combination(problem, theta, s, control) for control in controls]
    among = np.array([[_covariance(s, a, b) for b in h] for a in h])  # (k, k, P)
    onto = np.array([_covariance(s, a, x) for a in h])  # (k, P)
    result = np.zeros_like(onto)
    for p in range(s.parameters):
        scale = np.sqrt(np.maximum(np.diag(among[:, :, p]), 0.0))
        scale[scale == 0] = 1.0
        matrix = among[:, :, p] / np.outer(scale, scale)
        result[:, p] = np.linalg.lstsq(matrix, onto[:, p] / scale, rcond=1e-12)[0] / scale
    return result


def _covariance(s, first, second):
    """Return Cov(sum_a c_a X_a, sum_b d_b Y_b), the covariances of equal parts computed once."""
    known = {}
    total = np.zeros(s.parameters)
    for c, x in first:
        for d, y in second:
            key = frozenset((_key(x), _key(y)))
            if key not in known:
                known[key] = lq.covariance(s, x, y)
            total = total + c * d * known[key]
    return total


def _key(part):
    """Return what tells two lq estimators apart."""
    fields = [getattr(part, f.name) for f in dataclasses.fields(part)]
    return (type(part).__name__, *(x.tobytes() if isinstance(x, np.ndarray) else x for x in fields))
