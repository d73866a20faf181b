"""Estimators as linear combinations of what the theory of linear-quadratic problems knows."""

import dataclasses

import numpy as np

from .. import baselines, critics, estimators
from . import lq
from .lq.chain import Carry, Chain
from .lq.estimators import Term
from .lq.values import riccati
from .lq.variances import covariance_on
from .several import NoClosedForm, inverse_weights, prepared


def combination(problem, theta, s, estimator):
    """Return an estimator as a list of (coefficients (P,), lq estimator)."""
    one = np.ones(s.parameters)
    match estimator:
        case estimators.Reparameterization():
            return [(one, lq.Reparameterization())]
        case estimators.Score():
            return [(one, lq.Score())]
        case estimators.Delta(order=order, pathwise=pathwise, centred=centred):
            return [(one, lq.Delta(order, pathwise, centred))]
        case estimators.RewardToGo(baseline=b):
            return [(one, lq.RewardToGo(_forms(problem, theta, s, b)))]
        case estimators.ScoreFunction(baseline=baselines.NoBaseline()):
            return [(one, lq.ScoreFunction())]
        case estimators.ScoreFunction(baseline=b) if b.is_constant:
            return [(one, lq.ScoreFunction(_constant(problem, theta, b)))]
        case estimators.ScoreFunction(baseline=b):
            # sum z_t (R - b_t) = R Z + sum z_t (G_t - b_t) - sum z_t G_t
            to_go = lq.RewardToGo(_forms(problem, theta, s, b))
            return [(one, lq.ScoreFunction()), (one, to_go), (-one, lq.RewardToGo())]
        case estimators.WeightedScore(baseline=b):
            # sum z_t b_t = sum z_t (G_t - base_t) - sum z_t (G_t - base_t - b_t)
            base = b.target.baseline if isinstance(b.target, estimators.RewardToGo) else baselines.NoBaseline()
            base, own = _forms(problem, theta, s, base), prepared(b).forms(problem, theta)
            return [(one, lq.RewardToGo(base)), (-one, lq.RewardToGo(own if base is None else base + own))]
        case estimators.QFunction() | estimators.Advantage() | estimators.AllActions() | estimators.ValueGradient():
            return _of_critic(s, estimator)
        case estimators.ActionControlVariate(critic=q, first_order=first_order):
            return _controlled(s, q, lq.ActionControlVariate(first_order))
        case estimators.TrajectoryControlVariate(critic=q):
            return _controlled(s, q, _TrajectoryControlVariate())
        case estimators.DoublyRobust(critic=q):
            return _controlled(s, q, lq.DoublyRobust())
        case estimators.GeneralizedAdvantage(decay=1.0, critic=V):
            return [(one, lq.RewardToGo(_forms(problem, theta, s, V)))]
        case estimators.GeneralizedAdvantage(decay=decay, critic=V):
            if not _is_exact(V):
                raise NoClosedForm("generalized_advantage with decay < 1 has a closed variance with the exact V alone")
            return [(one, lq.GeneralizedAdvantage(decay))]
        case estimators.ShortHorizon(steps=steps) if steps >= s.horizon:
            return [(one, lq.Reparameterization())]
        case estimators.ShortHorizon():
            raise NoClosedForm("a pathwise gradient in blocks has a closed variance, but no covariance with others")
        case estimators.Difference(parts=(x, y)):
            x, y = (combination(problem, theta, s, part) for part in (x, y))
            return _merged(x + [(-c, part) for c, part in y])
        case estimators.ControlVariate():
            return _with_controls(problem, theta, s, estimator)
        case estimators.InverseVariance(parts=parts):
            return _by_inverse_variance(s, estimator, [combination(problem, theta, s, part) for part in parts])
        case estimators.AlphaOrder(alpha=None):
            raise NoClosedForm("alpha depends on its pilot; an alpha-order gradient with a fixed one has a closed form")
        case estimators.AlphaOrder(parts=(x, y), alpha=alpha):
            x, y = (combination(problem, theta, s, part) for part in (x, y))
            return _merged([(alpha * c, part) for c, part in x] + [((1.0 - alpha) * c, part) for c, part in y])
        case estimators.Group(kind=kind):
            raise NoClosedForm(f"no closed form is known for the variance of a {kind} group")
        case _:
            raise NoClosedForm(f"no closed form is known for the variance of {type(estimator).__name__}")


def _forms(problem, theta, s, baseline):
    """Return a baseline as the forms of (1, s) that the theory takes, or None."""
    match baseline:
        case baselines.NoBaseline():
            return None
        case baselines.TotalOptimal(base=base):
            b = np.broadcast_to(prepared(baseline).tuned(problem, theta), s.horizon)
            base = _forms(problem, theta, s, base)
            return lq.time_baseline(s, b) + (0.0 if base is None else base)
        case baselines.Constant() | baselines.MeanReturn():
            return lq.constant_baseline(s, _constant(problem, theta, baseline))
        case baselines.TimeDependent(b=b):
            return lq.time_baseline(s, b)
        case baselines.MeanToGo():
            return lq.time_baseline(s, lq.mean_return_to_go(s)[: s.horizon])
        case baselines.Value():
            return lq.value_baseline(s)
        case critics.Exact(scale=scale, shift=shift, amplitude=0.0):
            return scale * lq.value_baseline(s) + lq.constant_baseline(s, shift)
        case baselines.FittedValue():
            return _fitted_forms(problem, theta, s, baseline)
        case _:
            raise NoClosedForm(f"no closed form is known with the baseline {type(baseline).__name__}")


def _constant(problem, theta, baseline):
    """Return the number that a constant baseline is."""
    data = prepared(baseline).data(problem, theta)
    return float(data.get("b", 0.0))


def _fitted_forms(problem, theta, s, baseline):
    """Return what was fitted on the pilot trajectories as forms: the variance is that with this very baseline."""
    data = prepared(baseline).data(problem, theta)
    low, high = data["low"].values, data["high"].values
    mean, cov = s.mean, s.cov
    for t in range(s.horizon if baseline.degree else 0):
        # Outside its box a fit is no polynomial: the states have to be inside, but for one time in a billion.
        six = 6.0 * np.sqrt(np.maximum(np.diag(cov), 0.0))
        if np.any((six > 1e-9 * np.abs(mean)) & ((mean - six < low[t]) | (mean + six > high[t]))):
            raise NoClosedForm("pilot: too few trajectories for a closed form; they do not reach all of the states")
        mean, cov = s.closed @ mean, s.closed @ cov @ s.closed.T + s.noise @ s.noise.T
    upper = data["form"].values[: problem.horizon, None]
    return (upper + upper.swapaxes(-1, -2)) / 2


# ---- with critics, wrong ones too: everything is linear in Q~ = scale Q + shift ---------------------------------


def _is_exact(critic):
    match critic:
        case baselines.Value() | critics.Exact(scale=1.0, shift=0.0, amplitude=0.0):
            return True
    return False


def critic_scale(critic):
    """Return the factor of a scaled exact critic, 0 for none; other critics have no closed form."""
    match critic:
        case baselines.NoBaseline():
            return 0.0
        case baselines.Value():
            return 1.0
        case critics.Exact(scale=scale, amplitude=0.0):
            return scale
        case _:
            raise NoClosedForm(f"no closed form is known for this mean with {critic}")


def _of_critic(s, estimator):
    one, scale = np.ones(s.parameters), critic_scale(estimator.critic)
    match estimator:
        case estimators.QFunction(critic=q):
            return [(scale * one, lq.ExactAdvantage(value=True)), (q.shift * one, lq.Score())]
        case estimators.Advantage():
            return [(scale * one, lq.ExactAdvantage())]
        case estimators.AllActions():
            return [(scale * one, lq.AllActions())]
        case estimators.ValueGradient():
            return [(scale * one, lq.ValueGradient())]


def _controlled(s, critic, with_exact):
    """Return scale (with the exact critic) + (1 - scale) (with none) - shift sum z_t."""
    one, scale = np.ones(s.parameters), critic_scale(critic)
    return _merged(
        [(scale * one, with_exact), ((1.0 - scale) * one, lq.RewardToGo()), (-critic.shift * one, lq.Score())]
    )


@dataclasses.dataclass(frozen=True)
class _TrajectoryControlVariate(lq.AllActions):
    """sum_t z_t sum_{k>=t} omega_k + sum_t h_t, omega_k = delta_k - A_k what the process noise adds."""

    def terms(self, chain, path=0):
        surprise = chain.atom("error", path) - chain.atom("advantage", path)
        past, now = Term(Carry("score", 1.0, path), surprise), Term(None, chain.atom("score", path), surprise)
        return [past, now, *super().terms(chain, path)]


# ---- what a gradient sees of the future: a value function from the next step on, or from the next block on --------


def bootstrapped(s, weight, scale):
    """Return the system in which the action at t sees something else than P_{t+1}.

        w_{t+1} scale P_{t+1} + (1 - w_{t+1}) P'_{t+1},    P'_t = gamma^t (Q + K'R K) + Acl' (what t sees) Acl.

    Its gradient is the mean of pathwise blocks (w = 1 at their ends), and of generalized advantages (w = 1 - decay).
    """
    exact, _, F, U = riccati(s)
    P, F, U = exact.copy(), F.copy(), U.copy()
    for t in reversed(range(s.horizon)):
        discount = s.discount**t
        F[t] = discount * s.R @ s.K + s.B.T @ P[t + 1] @ s.closed
        U[t] = discount * s.R + s.B.T @ P[t + 1] @ s.B
        own = discount * (s.Q + s.K.T @ s.R @ s.K) + s.closed.T @ P[t + 1] @ s.closed
        P[t] = weight[t] * scale * exact[t] + (1.0 - weight[t]) * (own + own.T) / 2
    other = dataclasses.replace(s)
    other.memo["riccati"] = P, np.zeros(s.horizon + 1), F, U
    return other


def block_starts(s, steps):
    """Return 1 where a block of `steps` steps begins, else 0: (T + 1,); the end counts as an end of its own."""
    return (np.arange(s.horizon + 1) % steps == 0).astype(float)


class _Blocks(Chain):
    """A chain whose sensitivity D_t = ds_t/dp starts anew, at 0, with each block of `steps` steps."""

    def __init__(self, s, steps):
        super().__init__(s, np.arange(s.parameters), lifted=True)
        path, own = self.trajectory, slice(1 + s.states, None)
        transition, inflow = self.A.copy(), self.G @ self.G.swapaxes(-1, -2)
        transition[:, 0, 0] = 0.0
        average = path.mean_sensitivity.copy()
        for t in range(s.horizon - 1):
            self.C[t + 1] = transition @ self.C[t] @ transition.swapaxes(-1, -2) + inflow
            average[t + 1] = average[t] @ s.closed.T + (s.B @ path.state_sensitivity) @ path.mean[t]
            if (t + 1) % steps == 0:
                self.C[t + 1, :, own] = self.C[t + 1, :, :, own] = average[t + 1] = 0.0
        path.mean_sensitivity = average


def blocks_variance(s, estimator):
    """Return the variance of a pathwise gradient in blocks: that of its martingale increments, as for a single one."""
    other = bootstrapped(s, block_starts(s, estimator.steps), critic_scale(estimator.critic))
    start, steps = covariance_on(_Blocks(other, estimator.steps), *[lq.Reparameterization()] * 2)
    return start + steps.sum(axis=0)


# ---- combinations ------------------------------------------------------------------------------------------------


def _merged(combination):
    """Return a combination with equal parts added up; what cancels is gone, and with it its rounding."""
    total = {}
    for c, part in combination:
        known, _ = total.get(_key(part), (0.0, part))
        total[_key(part)] = known + c, part
    return [(c, part) for c, part in total.values() if np.any(c)]


def ratio(top, bottom):
    """Return top / bottom, 0 where a score vanishes and any number will do."""
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)


def _with_controls(problem, theta, s, estimator):
    target, *controls = estimator.parts
    c = estimator.coefficients
    c = optimal_coefficients(problem, theta, s, estimator) if c is None else c
    result = combination(problem, theta, s, target)
    for k, control in enumerate(controls):
        if estimator.full:
            entries = _entries(problem, s, control)
            result += [(-c[k][:, q], entry) for q, entry in enumerate(entries)]
        else:
            result += [(-c[k] * d, part) for d, part in combination(problem, theta, s, control)]
    return result


def _by_inverse_variance(s, estimator, parts):
    w = estimator.weights
    if w is None:
        w = inverse_weights(np.array([combined_covariance(s, x, x) for x in parts]), estimator.shared)
    return _merged([(w[k] * c, part) for k, x in enumerate(parts) for c, part in x])


def _entries(problem, s, control):
    if not isinstance(control, estimators.Score) or s.parameters != s.K.size:
        raise NoClosedForm("a control variate with full=True has a closed form for score() with theta = K alone")
    return [lq.Score(entry) for entry in range(s.K.size)]


def optimal_coefficients(problem, theta, s, estimator):
    """Return the coefficients of least variance of a control variate, (k, P), or (k, P, P) if it is `full`."""
    target, *controls = estimator.parts
    x = combination(problem, theta, s, target)
    if estimator.full:
        if len(controls) != 1:
            raise NoClosedForm("a control variate with full=True has a closed form for score() alone")
        entries = _entries(problem, s, controls[0])
        one = np.ones(s.parameters)
        cross = np.stack([combined_covariance(s, x, [(one, entry)]) for entry in entries], axis=1)
        return (cross @ np.linalg.pinv(lq.fisher(s), rcond=1e-14, hermitian=True))[None]
    h = [combination(problem, theta, s, control) for control in controls]
    among = np.array([[combined_covariance(s, a, b) for b in h] for a in h])  # (k, k, P)
    onto = np.array([combined_covariance(s, a, x) for a in h])  # (k, P)
    result = np.zeros_like(onto)
    for p in range(s.parameters):
        scale = np.sqrt(np.maximum(np.diag(among[:, :, p]), 0.0))
        scale[scale == 0] = 1.0
        matrix = among[:, :, p] / np.outer(scale, scale)
        result[:, p] = np.linalg.lstsq(matrix, onto[:, p] / scale, rcond=1e-12)[0] / scale
    return result


def combined_covariance(s, first, second):
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
