"""Baselines: what is subtracted from a return before it multiplies a score.

    g = sum_t z_t (G_t - b_t(s_t))    is unbiased for every b_t(s_t), because E[z_t | s_t] = 0

A baseline may depend on the time and on the state before the action, not on the action itself. It may be another one for
each parameter: then it is weighed after the pull-back (see `mcgrad.estimators.weighted_score`).

The ladder, each rung with its exact variance on linear-quadratic problems:

    mean_return                    b = J
    mean_to_go                     b_t = E G_t
    optimal_constant               b = E[g Z] / E[Z^2], g the estimator, Z = sum_t z_t
    naive_optimal_over_time        b_t = E[z_t^2 G_t] / E[z_t^2], the textbook's: it forgets E[z_k G_k z_t], k != t
    optimal_over_time              b_t = E[g z_t] / E[z_t^2]
    value, fitted_value            b_t(s) = V_t(s) = E[G_t | s_t = s], exact or fitted
    optimal_quadratic              b_t(s) quadratic, of least variance

References
----------
Williams (1992); Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in
reinforcement learning. JMLR 5, 1471; Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement
learning; Peters and Schaal (2008), Reinforcement learning of motor skills with policy gradients.
"""

import dataclasses

import numpy as np

from . import validate


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """A baseline b_t(s_t). Derive from it: `value` is traced, `data` gives the numbers that it reads as `c.name`."""

    is_constant = False  # one number for all times
    per_parameter = False  # `value` is a tuple, a number for each parameter

    def data(self, problem, theta):
        """Return {name: array or PerStep}."""
        return {}

    def value(self, c, x):
        """Return b_t(s_t) for a step x (see `mcgrad.scan.Step`)."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class NoBaseline(Baseline):
    """b = 0."""

    is_constant = True

    def value(self, c, x):
        return 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Baseline):
    """The same number at every time."""

    b: float
    is_constant = True

    def data(self, problem, theta):
        return {"b": self.b}

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class TimeDependent(Baseline):
    """A number for each time, b_0, ..., b_{T-1}."""

    b: np.ndarray

    def data(self, problem, theta):
        return _over_time(validate.array("baseline", self.b, (problem.horizon,)))

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class MeanReturn(Baseline):
    """J, the exact mean of the return (linear-quadratic problems)."""

    is_constant = True

    def data(self, problem, theta):
        from .exact import objective

        return {"b": objective(problem, theta)}

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class MeanToGo(Baseline):
    """b_t = E G_t, the exact mean of the return to go (linear-quadratic problems)."""

    def data(self, problem, theta):
        from .exact import mean_return_to_go

        return _over_time(mean_return_to_go(problem, theta))

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class Value(Baseline):
    """The exact value function of a linear-quadratic problem, V_t(s) = -(s' P_t s + c_t) = E[G_t | s_t = s]."""

    def data(self, problem, theta):
        from .estimators.estimator import PerStep
        from .exact import value

        P, c = value(problem, theta)
        upper = np.triu(P) + np.triu(P, 1)
        return {"P": PerStep(upper), "c": PerStep(c)}

    def value(self, c, x):
        n = len(x.s)
        return -(sum(x.s[i] * sum(c.P[i, j] * x.s[j] for j in range(i, n)) for i in range(n)) + c.c)


@dataclasses.dataclass(frozen=True, eq=False)
class OfState(Baseline):
    """A function of the state given by the user."""

    function: object
    params: dict

    def data(self, problem, theta):
        return self.params

    def value(self, c, x):
        from .scan import call

        return call("baseline", self.function, (c, x.s), None)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedValue(Baseline):
    """A polynomial in the state for each time, fitted to the returns to go of pilot trajectories."""

    pilot: int
    degree: int
    seed: int

    def data(self, problem, theta):
        from .estimators.estimator import PerStep
        from .measure import END, rollout

        path = rollout(problem, theta, self.pilot, self.seed, start=END - self.pilot)
        weights = problem.weights()
        rewards = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
        to_go = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
        forms = [fit_form(path.states[:, t], to_go[:, t], self.degree) for t in range(problem.horizon)]
        return {"form": PerStep(np.stack([*forms, np.zeros_like(forms[0])]))}

    def value(self, c, x):
        return evaluate_form(c.form, x.s, self.degree)


@dataclasses.dataclass(frozen=True, eq=False)
class OptimalConstant:
    """The constant of least variance for each parameter, fitted on `pilot` trajectories of their own."""

    pilot: int
    base: Baseline = NoBaseline()


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned(Baseline):
    """Derive from it: a baseline of least variance for a certain estimator, exact (linear-quadratic problems).

    Attributes
    ----------
    base : Baseline
        What it is added to.
    target : Estimator
        The estimator with `base`, that it is for; `with_baseline` fills it in.
    """

    base: Baseline = NoBaseline()
    target: object = None


@dataclasses.dataclass(frozen=True, eq=False)
class TraceOptimal(Tuned):
    """One number, or one for each time, of least variance summed over the gain K: the same for all parameters."""

    over_time: bool = False

    @property
    def is_constant(self):
        return not self.over_time and self.base.is_constant

    def tuned(self, problem, theta):
        """Return b, or b_t (T,), to be subtracted in addition to `base`."""
        from .exact import trace_optimal_constant, trace_optimal_over_time

        return (trace_optimal_over_time if self.over_time else trace_optimal_constant)(problem, theta, self.target)

    def data(self, problem, theta):
        b = self.tuned(problem, theta)
        return {"base": self.base.data(problem, theta), **(_over_time(b) if self.over_time else {"b": b})}

    def value(self, c, x):
        return self.base.value(c.base, x) + c.b


@dataclasses.dataclass(frozen=True, eq=False)
class ForEachParameter(Tuned):
    """A polynomial in the state for each parameter. Derive from it and define `forms`."""

    per_parameter = True
    degree = 0

    def forms(self, problem, theta):
        """Return b_tp(s) = (1, s)' form_tp (1, s), to be subtracted in addition to `base`: (T, P, 1 + n, 1 + n)."""
        raise NotImplementedError

    def data(self, problem, theta):
        from .estimators.estimator import PerStep

        size = 1 + problem.environment.states if self.degree else 1
        forms = self.forms(problem, theta)[..., :size, :size]
        upper = np.triu(forms) + np.triu(forms, 1)
        return {"b": PerStep(np.concatenate([upper, np.zeros_like(upper[:1])]))}

    def value(self, c, x):
        return tuple(evaluate_form(form, x.s, self.degree) for form in c.b)


@dataclasses.dataclass(frozen=True, eq=False)
class OptimalOverTime(ForEachParameter):
    """b_tp = E[g_p z_tp] / E[z_tp^2]."""

    def forms(self, problem, theta):
        from .exact import optimal_over_time

        return constant_forms(problem, optimal_over_time(problem, theta, self.target))


@dataclasses.dataclass(frozen=True, eq=False)
class NaiveOptimalOverTime(ForEachParameter):
    """b_tp = E[z_tp^2 G_t] / E[z_tp^2]."""

    def forms(self, problem, theta):
        from .exact import naive_optimal_over_time

        return constant_forms(problem, naive_optimal_over_time(problem, theta))


@dataclasses.dataclass(frozen=True, eq=False)
class OptimalQuadratic(ForEachParameter):
    """The quadratic function of the state of least variance."""

    degree = 2

    def forms(self, problem, theta):
        from .exact import optimal_quadratic

        return optimal_quadratic(problem, theta, self.target)


def mean_return():
    """Return b = J, the exact mean of the return (linear-quadratic problems)."""
    return MeanReturn()


def mean_to_go():
    """Return b_t = E G_t, the exact mean of the return to go (linear-quadratic problems)."""
    return MeanToGo()


def value():
    """Return the exact value function as a baseline (linear-quadratic problems)."""
    return Value()


def of_state(function, **params):
    """Return function(p, s) as a baseline; `params` (numbers and arrays) are read as `p.name`."""
    validate.function("function", function)
    return OfState(function, {k: validate.array(k, v) for k, v in params.items()})


def fitted_value(pilot=4096, degree=2, seed=0):
    """Return a value function that is fitted to the returns to go of pilot trajectories, by least squares for each time.

    It works on every problem. It is fitted anew for each theta; the pilot trajectories are the last that there are, with a
    seed of their own, so that a measurement never uses them and the estimate stays unbiased.

    Parameters
    ----------
    pilot : int
        Number of pilot trajectories.
    degree : int
        Of the polynomial in the state: 0 is the mean return to go, 2 can hold the value of a linear-quadratic problem.
    seed : int
        Of the pilot trajectories: measurements with other seeds use the same baseline.
    """
    return FittedValue(
        validate.integer("pilot", pilot, 16, 2**24),
        validate.integer("degree", degree, 0, 2),
        validate.integer("seed", seed, 0, 2**64 - 1),
    )


def optimal_constant(pilot=16384, base=None):
    """Return the constant of least variance, b_p = E[g_p Z_p] / E[Z_p^2] for each parameter p, Z = sum_t z_t.

    It is fitted on a pilot range of trajectories that the measurement never uses, so that the estimate stays unbiased.

    Parameters
    ----------
    pilot : int
        Number of pilot trajectories. An error of relative size e in b costs about e^2 of what the baseline gains.
    base : None or a baseline
        What it is added to, `value()` for instance.

    References
    ----------
    Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement learning.
    """
    return OptimalConstant(validate.integer("pilot", pilot, 16), _as_base(base))


def trace_optimal_constant(base=None):
    """Return the exact constant of least total variance over the gain K, E[sum_p g_p Z_p] / E[sum_p Z_p^2]."""
    return TraceOptimal(_as_base(base))


def naive_optimal_over_time():
    """Return the textbook's optimum for each time and parameter, E[z_t^2 G_t] / E[z_t^2], exact.

    It is optimal for each term of sum_t z_t (G_t - b_t) alone, not for their sum; there are systems on which the plain mean
    E G_t is better.
    """
    return NaiveOptimalOverTime()


def optimal_over_time(base=None):
    """Return the number of least variance for each time and parameter, b_t = E[g z_t] / E[z_t^2], exact.

    Parameters
    ----------
    base : None or a baseline
        What it is added to, `value()` for instance: the value function alone is often not the best.
    """
    return OptimalOverTime(_as_base(base))


def trace_optimal_over_time(base=None):
    """Return the exact number for each time of least total variance over the gain K, the same for all parameters."""
    return TraceOptimal(_as_base(base), over_time=True)


def optimal_quadratic():
    """Return the quadratic function of the state of least variance for each parameter, exact; for reward to go.

    It is not the value function: it also sees E[sum_{k != t} z_k G_k z_t | s_t].
    """
    return OptimalQuadratic()


def _as_base(base):
    base = as_baseline(base)
    if isinstance(base, (OptimalConstant, Tuned)):
        raise ValueError(f"base: expected a baseline that is not tuned itself, got {type(base).__name__}")
    return base


# ---- polynomials of the state, as forms of (1, s) ----------------------------------------------------------------


def fit_form(states, values, degree):
    """Return the form of (1, s), upper triangular, whose values at (N, n) states are the least-squares fit to `values`."""
    N, n = states.shape
    mean, std = states.mean(axis=0), states.std(axis=0)
    # A state that does not vary (a fixed start) has no part in the fit.
    varies = std > 1e-12 * np.abs(mean)
    x = np.ones((N, n + 1))
    x[:, 1:] = np.where(varies, (states - mean) / np.where(varies, std, 1.0), 0.0)
    rows, columns = np.triu_indices(n + 1)
    chosen = (rows > 0).astype(int) + (columns > 0) <= degree
    rows, columns = rows[chosen], columns[chosen]
    coefficients, *_ = np.linalg.lstsq(x[:, rows] * x[:, columns], values, rcond=1e-10)
    form = np.zeros((n + 1, n + 1))
    form[rows, columns] = coefficients
    back = np.eye(n + 1)
    back[1:] *= np.where(varies, 1.0 / np.where(varies, std, 1.0), 0.0)[:, None]
    back[1:, 0] = -mean * np.diag(back)[1:]
    form = back.T @ (form + form.T) @ back / 2
    return np.triu(form) + np.triu(form, 1)


def evaluate_form(form, s, degree):
    """Return (1, s)' form (1, s) for an upper triangular form of at most the given degree, traced."""
    total = form[0, 0]
    for i in range(1, len(s) + 1 if degree else 1):
        slope = form[0, i]
        if degree == 2:
            slope = slope + sum(form[i, j] * s[j - 1] for j in range(i, len(s) + 1))
        total = total + s[i - 1] * slope
    return total


def constant_forms(problem, b):
    """Return b (T, P) as forms of (1, s) that do not depend on s, (T, P, 1 + n, 1 + n)."""
    forms = np.zeros((*np.shape(b), problem.environment.states + 1, problem.environment.states + 1))
    forms[:, :, 0, 0] = b
    return forms


def _over_time(b):
    from .estimators.estimator import PerStep

    return {"b": PerStep(np.append(b, 0.0))}


def as_baseline(b):
    """Return a baseline for what a user passes: None, a number, a vector over time, or a baseline."""
    if b is None:
        return NoBaseline()
    if isinstance(b, (Baseline, OptimalConstant)):
        return b
    if isinstance(b, type) or callable(b):
        raise ValueError(
            f"baseline: expected a baseline, got {validate.describe(b)}; write value(), of_state(function)"
        )
    b = validate.array("baseline", b)
    if b.ndim > 1:
        raise ValueError(f"baseline: expected a number or one number for each time step, got shape {b.shape}")
    return Constant(float(b)) if b.ndim == 0 else TimeDependent(b)


def with_baseline(kind, baseline):
    """Return the estimator `kind(baseline)`; what is one number per parameter is subtracted by a second estimator."""
    if isinstance(baseline, OptimalConstant):
        from .estimators.control_variate import ControlVariate
        from .estimators.score_function import Score

        return ControlVariate((kind(baseline.base), Score()), pilot=baseline.pilot)
    if isinstance(baseline, Tuned):
        baseline = dataclasses.replace(baseline, target=kind(baseline.base))
    if baseline.per_parameter:
        from .estimators.control_variate import Difference
        from .estimators.weighted_score import WeightedScore

        return Difference((baseline.target, WeightedScore(baseline)))
    return kind(baseline)
