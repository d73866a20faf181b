"""What an estimator is: a rule for the cotangent of the return on eta_t, as a reverse scan over one trajectory.

    carry = last(c, end)                              after the last step
    carry, etabar_t = step(c, x, carry)               for t = T-1, ..., 0: the newest step first
    g = finish(c, sums, carry),   sums = sum_t (d eta_t / d theta)^T etabar_t

These are plain Python functions on tuples of numbers, traced once and compiled together with the environment. Estimators
that are measured together share all that they have in common (the return to go, the adjoint, the pulled-back score): equal
carries are recognised, so an estimator need not know about the others.
"""

import dataclasses
from typing import NamedTuple

import numpy as np


class PerStep(NamedTuple):
    """Data of an estimator with one entry for each time: step t reads entry t (the end of the trajectory, entry T)."""

    values: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Estimator:
    """A gradient estimator. Derive from it, or pass functions to `custom`; only `step` has to be given.

    Within the methods, `c` holds the numbers that `data` returned: `c.name`, an array or a number; of `PerStep` data, the
    entry that belongs to the current time. `x` is one step of the trajectory, see `mcgrad.scan.Step`.
    """

    def data(self, problem, theta):
        """Return {name: array, PerStep or dict}, the numbers that the other methods read as `c.name`; no recompile."""
        return {}

    def last(self, c, end):
        """Return the carry after the last step; `end` has `s`, `reward` and `reward_vjp`."""
        return ()

    def step(self, c, x, carry):
        """Return (carry, etabar): the carry for the step before, and a cotangent of eta_t, or a list of several."""
        raise NotImplementedError

    def finish(self, c, sums, carry):
        """Return the P components of the gradient; `sums` is like the etabar of `step`, P-tuples in place of cotangents."""
        return sums


def custom(step, last=None, finish=None, data=None):
    """Return an estimator of your own from plain functions.

    Parameters
    ----------
    step : callable
        step(c, x, carry) -> (carry, etabar).
    last : callable, optional
        last(c, end) -> the carry after the last step; empty by default.
    finish : callable, optional
        finish(c, sums, carry) -> the P components of the gradient; by default the pulled-back sum of etabar.
    data : dict, optional
        Name -> array or PerStep, read as `c.name`.
    """
    return _Custom(step, last, finish, dict(data or {}))


@dataclasses.dataclass(frozen=True, eq=False)
class _Custom(Estimator):
    own_step: object
    own_last: object = None
    own_finish: object = None
    own_data: dict = dataclasses.field(default_factory=dict)

    def data(self, problem, theta):
        return self.own_data

    def last(self, c, end):
        return self.own_last(c, end) if self.own_last else ()

    def step(self, c, x, carry):
        return self.own_step(c, x, carry)

    def finish(self, c, sums, carry):
        return self.own_finish(c, sums, carry) if self.own_finish else sums


@dataclasses.dataclass(frozen=True, eq=False)
class Together(Estimator):
    """Several estimators that run side by side; derived classes combine their gradients in `combine`."""

    parts: tuple

    def data(self, problem, theta):
        return {f"part{i}": part.data(problem, theta) for i, part in enumerate(self.parts)}

    def last(self, c, end):
        return tuple(part.last(getattr(c, f"part{i}"), end) for i, part in enumerate(self.parts))

    def step(self, c, x, carry):
        results = [part.step(getattr(c, f"part{i}"), x, carry[i]) for i, part in enumerate(self.parts)]
        return tuple(new for new, _ in results), [etabar for _, etabar in results]

    def finish(self, c, sums, carry):
        gradients = [part.finish(getattr(c, f"part{i}"), sums[i], carry[i]) for i, part in enumerate(self.parts)]
        return self.combine(c, gradients)

    def combine(self, c, gradients):
        """Return the P components of the combination from those of the parts."""
        raise NotImplementedError
