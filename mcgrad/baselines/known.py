"""Baselines that are exact where `mcgrad.exact` knows the problem: means and the value function."""

import dataclasses

import numpy as np

from ..compiler.functions import lookup
from .baseline import Baseline, over_time


@dataclasses.dataclass(frozen=True, eq=False)
class MeanReturn(Baseline):
    """J, the exact mean of the return."""

    is_constant = True

    def data(self, problem, theta):
        from ..exact import objective

        return {"b": objective(problem, theta)}

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class MeanToGo(Baseline):
    """b_t = E G_t, the exact mean of the return to go."""

    def data(self, problem, theta):
        from ..exact import mean_return_to_go

        return over_time(mean_return_to_go(problem, theta))

    def value(self, c, x):
        return c.b


@dataclasses.dataclass(frozen=True, eq=False)
class Value(Baseline):
    """The exact value function V_t(s) = E[G_t | s_t = s]: -(s' P_t s + c_t) or, of a tabular problem, a table."""

    def data(self, problem, theta):
        from ..estimators.estimator import PerStep
        from ..exact import value

        V = value(problem, theta)
        if V.table is not None:
            return {"V": PerStep(V.table)}
        upper = np.triu(V.P) + np.triu(V.P, 1)
        return {"P": PerStep(upper), "c": PerStep(V.c)}

    def value(self, c, x):
        if x.problem.environment.choices:
            return lookup(c.V, x.s[0])
        n = len(x.s)
        return -(sum(x.s[i] * sum(c.P[i, j] * x.s[j] for j in range(i, n)) for i in range(n)) + c.c)
