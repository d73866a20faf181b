"""What turns a gradient into the next theta: plain rules of gradient *ascent*, for `mcgrad.ascend`.

    theta, state = rule(theta, gradient, state)        state is None at the first step

Any callable of that kind is an optimizer. theta and the gradient are (S, P), a row for each seed: a rule treats each row as if
it were alone (elementwise, or along the last axis). The ones here are frozen records, so that a result can say what made it.
A rate is a number > 0, or a function of the step 0, 1, 2, ... that returns one.

Rules of optax descend; this is one of them that climbs (elementwise rules as they are, others under `jax.vmap`):

    rule = optax.adam(1e-2)

    def climb(theta, gradient, state):
        state = rule.init(theta) if state is None else state
        updates, state = rule.update(-gradient, state, theta)
        return optax.apply_updates(theta, updates), state

References
----------
Robbins and Monro (1951), A stochastic approximation method; Polyak (1964), Some methods of speeding up the convergence of
iteration methods; Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import validate

__all__ = ["Adam", "Clipped", "Decaying", "Projected", "SGD", "adam", "clipped", "decaying", "projected", "sgd"]

TAKES = ("theta", "gradient", "state")  # arguments of an optimizer


@dataclasses.dataclass(frozen=True)
class Decaying:
    """rate / (1 + step / offset)^power, see `decaying`."""

    rate: float
    power: float
    offset: float

    def __call__(self, step: int) -> float:
        return self.rate / (1.0 + step / self.offset) ** self.power


@dataclasses.dataclass(frozen=True)
class SGD:
    """theta + rate v,    v = momentum v + g, see `sgd`."""

    rate: float | Callable
    momentum: float = 0.0

    def __call__(
        self, theta: NDArray[np.float64], gradient: NDArray[np.float64], state: Any
    ) -> tuple[NDArray[np.float64], Any]:
        step, velocity = (0, 0.0) if state is None else state
        velocity = self.momentum * velocity + gradient
        return theta + _at(self.rate, step) * velocity, (step + 1, velocity)


@dataclasses.dataclass(frozen=True)
class Adam:
    """theta + rate m^ / (sqrt(v^) + epsilon), see `adam`."""

    rate: float | Callable
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8

    def __call__(
        self, theta: NDArray[np.float64], gradient: NDArray[np.float64], state: Any
    ) -> tuple[NDArray[np.float64], Any]:
        step, m, v = (0, 0.0, 0.0) if state is None else state
        m = self.first * m + (1.0 - self.first) * gradient
        v = self.second * v + (1.0 - self.second) * gradient**2
        unbiased_m, unbiased_v = m / (1.0 - self.first ** (step + 1)), v / (1.0 - self.second ** (step + 1))
        return theta + _at(self.rate, step) * unbiased_m / (np.sqrt(unbiased_v) + self.epsilon), (step + 1, m, v)


@dataclasses.dataclass(frozen=True)
class Clipped:
    """A rule that sees gradients of norm `norm` at most, see `clipped`."""

    rule: Callable
    norm: float

    def __call__(
        self, theta: NDArray[np.float64], gradient: NDArray[np.float64], state: Any
    ) -> tuple[NDArray[np.float64], Any]:
        length = np.linalg.norm(gradient, axis=-1, keepdims=True)
        return self.rule(theta, gradient * np.minimum(1.0, self.norm / np.maximum(length, 1e-300)), state)


@dataclasses.dataclass(frozen=True)
class Projected:
    """A rule whose iterates are put back into a box, see `projected`."""

    rule: Callable
    low: float
    high: float

    def __call__(
        self, theta: NDArray[np.float64], gradient: NDArray[np.float64], state: Any
    ) -> tuple[NDArray[np.float64], Any]:
        theta, state = self.rule(theta, gradient, state)
        return np.clip(theta, self.low, self.high), state


def decaying(rate: float, power: float = 1.0, offset: float = 1.0) -> Decaying:
    """Return the schedule rate / (1 + step / offset)^power.

    With 1/2 < power <= 1 it is one of Robbins and Monro: sum of rates infinite, sum of their squares finite.

    Parameters
    ----------
    rate : float
        At step 0, > 0.
    power : float
        >= 0; 0 is a constant rate.
    offset : float
        Steps until the rate is 2^-power of what it was, > 0.

    Raises
    ------
    ValueError
        For a number out of its range.

    References
    ----------
    Robbins and Monro (1951), A stochastic approximation method.
    """
    numbers = {"rate": (rate, {"above": 0.0}), "power": (power, {"low": 0.0}), "offset": (offset, {"above": 0.0})}
    return Decaying(*(validate.number(name, value, **bounds) for name, (value, bounds) in numbers.items()))


def sgd(rate: float | Callable[[int], float], momentum: float = 0.0) -> SGD:
    """Return stochastic gradient ascent, theta + rate v with v = momentum v + g (Polyak 1964).

    Parameters
    ----------
    rate : float or callable
        A number > 0 or a function of the step.
    momentum : float
        From 0 to 1, without 1; steps are 1 / (1 - momentum) times as long in the end.

    Raises
    ------
    ValueError
        For a rate that is no number > 0 and no function of one argument, or a momentum out of its range; at a step, for a rate
        that is no number there.

    References
    ----------
    Robbins and Monro (1951), A stochastic approximation method; Polyak (1964), Some methods of speeding up the convergence of
    iteration methods.
    """
    return SGD(_rate(rate), _share("momentum", momentum))


def adam(
    rate: float | Callable[[int], float], first: float = 0.9, second: float = 0.999, epsilon: float = 1e-8
) -> Adam:
    """Return Adam (Kingma and Ba 2015, algorithm 1), climbing.

    m = first m + (1 - first) g,    v = second v + (1 - second) g^2,    both over their weights: m^, v^
    theta + rate m^ / (sqrt(v^) + epsilon)

    Parameters
    ----------
    rate : float or callable
        A number > 0 or a function of the step: about how far a component of theta moves in a step.
    first, second : float
        How much of the mean of g and of g^2 is kept in a step, from 0 to 1, without 1.
    epsilon : float
        >= 0, in units of the gradient: components much smaller than it hardly move.

    Raises
    ------
    ValueError
        For a number out of its range, and for a rate as of `sgd`.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1.
    """
    moments = _share("first", first), _share("second", second)
    return Adam(_rate(rate), *moments, validate.number("epsilon", epsilon, low=0.0))


def clipped(rule: Callable, norm: float) -> Clipped:
    """Return a rule that sees gradients shortened to a norm: biased, and steady where a score function is not.

        rule(theta, g min(1, norm / |g|), state)

    Parameters
    ----------
    rule : callable
        rule(theta, gradient, state) -> (theta, state), one of this module or your own.
    norm : float
        Largest Euclidean norm of a gradient (a row of (S, P)), > 0.

    Raises
    ------
    ValueError
        For a rule that takes other arguments, or a norm that is not > 0.
    """
    return Clipped(_rule(rule), validate.number("norm", norm, above=0.0))


def projected(rule: Callable, low: float, high: float) -> Projected:
    """Return a rule whose iterates are put back into the box low <= theta <= high after each step.

    Parameters
    ----------
    rule : callable
        rule(theta, gradient, state) -> (theta, state), one of this module or your own.
    low, high : float
        Ends of the box, the same for all components of theta; low <= high, both finite.

    Raises
    ------
    ValueError
        For a rule that takes other arguments, or an empty box.
    """
    low = validate.number("low", low)
    return Projected(_rule(rule), low, validate.number("high", high, low=low))


def _at(rate: Any, step: int) -> float:
    if not callable(rate):
        return rate
    here = rate(step)
    if validate.shape(here) != ():
        raise ValueError(f"rate: expected a function that returns a number, got {validate.describe(here)}")
    return here


def _rate(rate: Any) -> Any:
    if callable(rate):
        return validate.function("rate", rate, takes=("step",))
    return validate.number("rate", rate, above=0.0)


def _rule(rule: Any) -> Any:
    validate.function("rule", rule, takes=TAKES)
    return rule


def _share(name: str, value: Any) -> float:
    value = validate.number(name, value, low=0.0)
    if value >= 1.0:
        raise ValueError(f"{name}: expected a number below 1, got {value!r}")
    return value
