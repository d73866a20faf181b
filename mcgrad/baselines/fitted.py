"""A value function fitted to pilot trajectories, and polynomials of the state as forms of (1, s)."""

import dataclasses

import numpy as np

from ..compiler.spellings import lookup
from .baseline import Baseline


@dataclasses.dataclass(frozen=True, eq=False)
class FittedValue(Baseline):
    """A polynomial in the state for each time, or a table where there are few states, fitted to pilot trajectories."""

    pilot: int
    degree: int
    seed: int

    def data(self, problem, theta):
        from ..estimators.estimator import PerStep
        from ..rollouts import rollout
        from ..run import END

        path = rollout(problem, theta, self.pilot, self.seed, start=END - self.pilot)
        weights = problem.weights()
        rewards = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
        to_go = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
        fit = fit_table if _is_table(problem) else fit_form
        detail = len(problem.environment.closed_form.start) if _is_table(problem) else self.degree
        alive = np.arange(problem.horizon)[None] < path.lengths[:, None]
        forms = [fit(path.states[i, t], to_go[i, t], detail) for t, i in enumerate(alive.T)]
        return {"form": PerStep(np.stack([*forms, np.zeros_like(forms[0])]))}

    def value(self, c, x):
        if _is_table(x.problem):
            return lookup(c.form, x.s[0])
        return evaluate_form(c.form, x.s, self.degree)


def _is_table(problem):
    from ..environments.tabular import Tabular

    return isinstance(problem.environment.closed_form, Tabular)


def fit_table(states, values, count):
    """Return the mean of `values` by state (N, 1), 0 for states that did not occur: (count,)."""
    state = states[:, 0].astype(int)
    visits = np.bincount(state, minlength=count)
    return np.bincount(state, weights=values, minlength=count) / np.maximum(visits, 1)


def fit_form(states, values, degree):
    """Return the form of (1, s), upper triangular, whose values at (N, n) states fit `values` in least squares.

    The degree is the one, up to `degree`, that predicts every other path best from the rest: where a few paths alone move far,
    a quadratic through them would be far off for others.
    """
    if degree and len(states) >= 64:
        errors = []
        for d in range(degree + 1):
            form = least_squares_form(states[::2], values[::2], d)
            x = np.column_stack([np.ones(len(states[1::2])), states[1::2]])
            errors.append(np.sum((values[1::2] - np.einsum("ni,ij,nj->n", x, form, x)) ** 2))
        degree = int(np.argmin(errors))
    return least_squares_form(states, values, degree)


def least_squares_form(states, values, degree):
    """Return the form of exactly this degree; see `fit_form`."""
    N, n = states.shape
    if N == 0:
        return np.zeros((n + 1, n + 1))
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
