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
    per_parameter = False  # `value` is a tuple, a number for each parameter; `data` also takes the estimator it is for

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
        from .estimators.estimator import PerStep

        b = validate.array("baseline", self.b, (problem.horizon,))
        return {"b": PerStep(np.append(b, 0.0))}

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
class ForEachParameter(Baseline):
    """A baseline with a number for each parameter, added to one that all of them share (linear-quadratic problems)."""

    base: Baseline = NoBaseline()
    per_parameter = True
    degree = 0  # in the state

    def forms(self, problem, theta, target):
        """Return b_t(s) = (1, s)' form_tp (1, s) as (T, P, 1 + n, 1 + n); `target` is the estimator that it is for."""
        raise NotImplementedError

    def data(self, problem, theta, target):
        from .estimators.estimator import PerStep

        forms = self.forms(problem, theta, target)
        size = forms.shape[-1] if self.degree else 1
        upper = (np.triu(forms) + np.triu(forms.swapaxes(-1, -2), 1))[..., :size, :size]
        return {"b": PerStep(np.concatenate([upper, np.zeros_like(upper[:1])]))}

    def value(self, c, x):
        return tuple(evaluate_form(form, x.s, self.degree) for form in c.b)


@dataclasses.dataclass(frozen=True, eq=False)
class OptimalOverTime(ForEachParameter):
    """b_tp = E[g_p z_tp] / E[z_tp^2], exact, in addition to `base`."""

    def forms(self, problem, theta, target):
        from .exact import optimal_over_time

        return _constant_forms(problem, optimal_over_time(problem, theta, target))


@dataclasses.dataclass(frozen=True, eq=False)
class NaiveOptimalOverTime(ForEachParameter):
    """b_tp = E[z_tp^2 G_t] / E[z_tp^2], exact."""

    def forms(self, problem, theta, target):
        from .exact import naive_optimal_over_time

        return _constant_forms(problem, naive_optimal_over_time(problem, theta))


@dataclasses.dataclass(frozen=True, eq=False)
class OptimalQuadratic(ForEachParameter):
    """The quadratic function of the state of least variance for reward to go, exact."""

    degree = 2

    def forms(self, problem, theta, target):
        from .exact import optimal_quadratic

        return optimal_quadratic(problem, theta, target)


@dataclasses.dataclass(frozen=True, eq=False)
class TraceOptimal(Baseline):
    """One number (for each time), shared by all parameters, of least total variance over those of the gain K."""

    over_time: bool
    base: Baseline = NoBaseline()
    shared_by = "K"

    @property
    def is_constant(self):
        return not self.over_time and self.base.is_constant

    def tuned(self, problem, theta, target):
        """Return b, or b_t (T,), to be subtracted in addition to `base`; `target` is the estimator with `base`."""
        from .exact import trace_optimal_constant, trace_optimal_over_time

        return (trace_optimal_over_time if self.over_time else trace_optimal_constant)(problem, theta, target)


def value():
    """Return the exact value function as a baseline (linear-quadratic problems)."""
    return Value()


def of_state(function, **params):
    """Return function(p, s) as a baseline; `params` (numbers and arrays) are read as `p.name`."""
    validate.function("function", function)
    return OfState(function, {k: validate.array(k, v) for k, v in params.items()})


def optimal_constant(pilot=16384):
    """Return the constant of least variance, b_p = E[g_p z_p] / E[z_p^2] for each parameter p.

    It is fitted on a pilot range of trajectories that the measurement never uses, so that the estimate stays unbiased.

    Parameters
    ----------
    pilot : int
        Number of pilot trajectories. An error of relative size e in b costs about e^2 of what the baseline gains.

    References
    ----------
    Weaver and Tao (2001), The optimal reward baseline for gradient-based reinforcement learning.
    """
    return OptimalConstant(validate.integer("pilot", pilot, 16))


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
    """Return the estimator `kind(baseline)`; a fitted constant is a control variate of the one without a baseline."""
    if isinstance(baseline, OptimalConstant):
        from .estimators.control_variate import ControlVariate
        from .estimators.score_function import Score

        return ControlVariate((kind(NoBaseline()), Score()), pilot=baseline.pilot)
    return kind(baseline)
