"""Polynomials of the state as forms (1, s)^T F (1, s), upper triangular, and their fit to returns in least squares.

How far a fit can be trusted is part of it:

- Each degree is judged by paths that it was not fitted to. A higher one is taken only where its held-out squared error is
  smaller by more than the standard error of the difference: where few paths alone move far, they decide nothing.
- Directions in which the states hardly vary are damped (a ridge of 1e-10 of each column's square), not cut off. A fit is thus
  a smooth function of the paths: rounding, which differs from processor to processor, moves it by rounding.
- Outside the box of the states that were seen it says little: see `FittedValue`.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.trace import Number, Numbers

FOLDS = 4
RIDGE = 1e-10  # of a column's sum of squares
LEAST_GAIN = 1e-12  # of the variance of the values: less than that is rounding


def fit_form(states: NDArray[np.float64], values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the form of (1, s) whose values at states (N, n) fit `values` (N,): (1 + n, 1 + n).

    The degree is at most `degree`, and less where paths that are held out do not speak for it. Paths that are not finite do
    not count; without any the form is 0.
    """
    states, values = _finite(states, values)
    N = len(states)
    if not degree or N < 2 * FOLDS:
        return least_squares_form(states, values, 0)
    columns = _Columns(states, values)
    chosen, errors = 0, columns.held_out(0)
    for d in range(1, degree + 1):
        others = columns.held_out(d)
        gain = errors - others
        if gain.mean() > max(gain.std() / np.sqrt(N), LEAST_GAIN):
            chosen, errors = d, others
    return columns.form(chosen)


def least_squares_form(states: NDArray[np.float64], values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the form of exactly this degree; see `fit_form`."""
    states, values = _finite(states, values)
    return _Columns(states, values).form(degree) if len(states) else np.zeros(2 * (1 + states.shape[1],))


def evaluate_form(form: Any, s: Numbers, degree: int) -> Number:
    """Return (1, s)^T form (1, s) for an upper triangular form of at most the given degree, traced."""
    total = form[0, 0]
    for i in range(1, len(s) + 1 if degree else 1):
        slope = form[0, i]
        if degree == 2:
            slope = slope + sum(form[i, j] * s[j - 1] for j in range(i, len(s) + 1))
        total = total + s[i - 1] * slope
    return total


def _finite(
    states: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    finite = np.isfinite(values) & np.isfinite(states).all(axis=1)
    return states[finite], values[finite]


class _Columns:
    """The products x_i x_j, i <= j, of x = (1, standardised state) as columns, and the standardised values."""

    def __init__(self, states: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        N, n = states.shape
        self.centre, self.scale = _location(states)
        self.mean, self.spread = (float(x[0]) for x in _location(values[:, None]))
        x = np.ones((N, n + 1))
        x[:, 1:] = (states - self.centre) * self.scale
        self.y = (values - self.mean) * self.spread
        rows, columns = np.triu_indices(n + 1)
        self.degrees = (rows > 0).astype(int) + (columns > 0)
        order = np.argsort(self.degrees, kind="stable")
        self.places = rows[order], columns[order]
        self.degrees = self.degrees[order]
        self.x = x[:, self.places[0]] * x[:, self.places[1]]
        # Columns of a state that does not vary (a fixed start) are zero, and have no part in the fit.
        power = np.sum(self.x**2, axis=0)
        self.norms = np.sqrt(np.where(power > 0, power, 1.0))
        self.x /= self.norms

    def coefficients(self, degree: int, gram: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients of least squares from X^T X and X^T y, 0 for columns beyond the degree."""
        used = self.degrees <= degree
        gram, moments = gram[np.ix_(used, used)], moments[used]
        damped = gram + RIDGE * np.eye(len(gram))
        c = np.linalg.solve(damped, moments)
        result = np.zeros(len(used))
        # Once more on what is left: where the states do vary, the ridge then takes 1e-20 and not 1e-10 of a coefficient.
        result[used] = c + np.linalg.solve(damped, moments - gram @ c)
        return result

    @functools.cached_property
    def folds(self) -> list[tuple[NDArray[np.float64], ...]]:
        """Every FOLDS-th path: columns X and values y, X^T X and X^T y."""
        parts = [(np.ascontiguousarray(self.x[k::FOLDS]), self.y[k::FOLDS].copy()) for k in range(FOLDS)]
        return [(x, y, x.T @ x, x.T @ y) for x, y in parts]

    def held_out(self, degree: int) -> NDArray[np.float64]:
        """Return each path's squared error under the fit to the paths of the other folds, (N,)."""
        gram, moment = (sum(fold[k] for fold in self.folds) for k in (2, 3))
        errors = np.empty(len(self.y))
        for k, (x, y, own_gram, own_moment) in enumerate(self.folds):
            c = self.coefficients(degree, gram - own_gram, moment - own_moment)
            errors[k::FOLDS] = (y - x @ c) ** 2
        return errors

    def form(self, degree: int) -> NDArray[np.float64]:
        """Return the form of least squares of this degree in the states as they are."""
        c = self.coefficients(degree, self.x.T @ self.x, self.x.T @ self.y)
        n = len(self.centre)
        form = np.zeros((n + 1, n + 1))
        form[self.places] = c / self.norms
        back = np.eye(n + 1)
        back[1:] *= self.scale[:, None]
        back[1:, 0] = -self.centre * self.scale
        form = back.T @ (form + form.T) @ back / 2 / self.spread
        form[0, 0] += self.mean
        return np.triu(form) + np.triu(form, 1)


def _location(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means (n,) of columns (N, n) and 1 / their standard deviations; a column that does not vary counts as 1."""
    size = np.abs(values).max(axis=0)
    size[size == 0] = 1.0
    values = values / size  # squares of huge numbers would overflow
    mean, std = values.mean(axis=0), values.std(axis=0)
    varies = std > 1e-12 * np.abs(mean)
    return mean * size, 1.0 / np.where(varies, std * size, 1.0)
