"""Baselines: what is subtracted from a return before it multiplies a score.

    g = sum_t z_t (G_t - b_t(s_t))    is unbiased for every b_t(s_t), because E[z_t | s_t] = 0

A baseline may depend on the time and on the state before the action, not on the action itself.

References
----------
Williams (1992); Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in
reinforcement learning. JMLR 5, 1471.
"""

import dataclasses

import numpy as np

from . import validate


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """A baseline b_t(s_t). Derive from it: `value` is traced, `data` gives the numbers that it reads as `c.name`."""

    is_constant = False

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
class OptimalConstant:
    """The constant of least variance for each parameter, fitted on `pilot` trajectories of their own."""

    pilot: int


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
