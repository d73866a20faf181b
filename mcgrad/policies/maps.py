"""Maps: functions of the state with weights, from which the parameters of a distribution of actions follow.

    fixed     numbers that are not learned           linear    W x (+ b)
    constant  numbers that are learned               layer     activation(W x + b), h units
    features  a function of yours, no weights        each      a function of yours, number by number
    over_time a map with weights of its own for each time

x is the state, or what another map returns: `linear(layer(16, layer(16)))` is a network of two hidden layers. A map that is
used in two places is one map with one set of weights: a trunk of a network, or the memory that a recurrent policy hands on.
`joint` puts all weights into theta and gives them names.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..compiler.functions import lookup
from ..compiler.namespaces import rebind
from ..compiler.trace import Numbers
from .gaussian_head import linear as product

__all__ = ["Map", "above", "constant", "each", "features", "fixed", "layer", "linear", "over_time"]


class Built(NamedTuple):
    """A map for a known number of inputs and outputs.

    Attributes
    ----------
    outputs : int
        k, how many numbers it returns.
    names : list of str
        Of its weights.
    start : array
        Where its weights start.
    value : callable
        value(fixed, theta, x, s) -> k numbers, from numbers that are not learned, its weights, its inputs and the state.
    fixed : array, optional
        The numbers that are not learned.
    """

    outputs: int
    names: list
    start: Any
    value: Callable
    fixed: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """A function of the state, before the numbers of its inputs and outputs are known; see the module.

    Attributes
    ----------
    kind : str
        What it is called in the names of weights.
    build : callable
        build(n, k) -> Built, for n inputs and k outputs; k is None where whoever asks takes any number.
    of : Map, optional
        The map whose outputs are its inputs; without one, the state.
    """

    kind: str
    build: Callable
    of: "Map | None" = None


# What a user may pass for a map; `as_map` makes one of it.
MapLike: TypeAlias = Map | ArrayLike


def as_map(name: str, value: object) -> Map:
    """Return a map as it is, and a number or an array as one that is not learned."""
    return value if isinstance(value, Map) else fixed(value, name)


def fixed(value: Any, name: str = "value") -> Map:
    """Return the map to given numbers, which are not learned.

    Parameters
    ----------
    value : float or (k,) array
        One for all outputs, or one for each.
    name : str
        What to call it in messages.

    Raises
    ------
    ValueError
        For what is no finite number or vector of them; in a policy, for another length than is wanted.
    """
    value = validate.array(name, value)
    value = validate.array(name, value, () if value.ndim == 0 else (None,))

    def build(n, k):
        numbers = _spread(name, value, k)
        return Built(len(numbers), [], (), lambda fixed, theta, x, s: tuple(fixed), numbers)

    return Map("fixed", build)


def constant(start: ArrayLike = 0.0) -> Map:
    """Return the map to k numbers that are learned and do not depend on the state; they start at `start`.

    Parameters
    ----------
    start : float or (k,) array

    Raises
    ------
    ValueError
        For what is no finite number or vector of them; in a policy, for another length than is wanted.
    """
    start = validate.array("start", start)
    start = validate.array("start", start, () if start.ndim == 0 else (None,))

    def build(n, k):
        numbers = _spread("start", start, k)
        names = [f"[{i}]" for i in range(len(numbers))] if len(numbers) > 1 else [""]
        return Built(len(numbers), names, numbers, lambda fixed, theta, x, s: tuple(theta))

    return Map("constant", build)


def linear(of: Map | Callable[..., Any] | None = None, *, bias: bool = False, outputs: int | None = None) -> Map:
    """Return the map x -> W x, or W x + b: W (k, n) row by row, then b (k,). All weights start at 0.

    Parameters
    ----------
    of : Map, optional
        What x is; the state without one.
    bias : bool
        Whether there is a b.
    outputs : int, optional
        k, where it does not follow from where the map is used: inside of another one.

    Raises
    ------
    ValueError
        For outputs out of their range; in a policy, where k does not follow, or is another one than is wanted.
    """
    outputs = outputs if outputs is None else validate.integer("outputs", outputs, 1)

    def build(n, k):
        k = outputs if k is None else _agree("linear", outputs or k, k)
        if k is None:
            raise ValueError("linear: expected `outputs`, because any number would do for an inner map")
        names = [f"W[{i},{j}]" for i in range(k) for j in range(n)] + [f"b[{i}]" for i in range(k if bias else 0)]
        return Built(k, names, np.zeros(len(names)), lambda fixed, theta, x, s: _affine(theta, x, k, bias))

    return Map("linear", build, _inner("of", of))


def layer(
    units: int, of: Map | Callable[..., Any] | None = None, *, activation: Callable[..., Any] = np.tanh, seed: int = 0
) -> Map:
    """Return the map x -> activation(W x + b) with h = `units` outputs: one layer of a network.

    Parameters
    ----------
    units : int
        h; W is (h, n), b (h,).
    of : Map, optional
        What x is: the state, or the layer before.
    activation : callable
        From a number to a number, plain Python like all functions that are traced.
    seed : int
        Of the weights that it starts from, W ~ N(0, 1/n), b = 0.

    Raises
    ------
    ValueError
        For a number out of its range, or an activation that is no function; in a policy, where another number of outputs is
        wanted.
    """
    h, seed = validate.integer("units", units, 1), validate.integer("seed", seed, 0)
    activation = rebind(validate.function("activation", activation))

    def build(n, k):
        _agree("layer", h, k)
        names = [f"W[{i},{j}]" for i in range(h) for j in range(n)] + [f"b[{i}]" for i in range(h)]
        weights = np.random.default_rng(seed).normal(0.0, n**-0.5, h * n)
        start = np.concatenate([weights, np.zeros(h)])
        return Built(
            h, names, start, lambda fixed, theta, x, s: tuple(activation(y) for y in _affine(theta, x, h, True))
        )

    return Map("layer", build, _inner("of", of))


def features(function: Callable[..., Any], of: Map | Callable[..., Any] | None = None) -> Map:
    """Return the map x -> function(x), without weights: `lambda s: (s[0], math.sin(s[1]))`.

    Parameters
    ----------
    function : callable
        From a tuple of numbers to a tuple of numbers, traced like an environment's functions.

    of : Map, optional
        What x is; the state without one.

    Raises
    ------
    ValueError
        For what is no function; in a policy, where another number of outputs is wanted.
    """
    function = rebind(validate.function("function", function))

    def build(n, k):
        k = _agree("features", len(function(tuple(np.full(n, 0.5)))), k)
        return Built(k, [], (), lambda fixed, theta, x, s: tuple(function(x)))

    return Map("features", build, _inner("of", of))


def each(function: Callable[..., Any], of: Map) -> Map:
    """Return the map x -> (function(x_1), ..., function(x_k)), without weights: `each(math.exp, linear())`.

    Parameters
    ----------
    function : callable
        From a number to a number, traced like an environment's functions.
    of : Map
        What x is.

    Raises
    ------
    ValueError
        For what is no function, or no map.
    """
    function = rebind(validate.function("function", function))
    inner = _inner("of", of, optional=False)

    def build(n, k):
        built = inner.build(n, k)
        return built._replace(value=lambda *arguments: tuple(function(x) for x in built.value(*arguments)))

    return Map(inner.kind, build, inner.of)


def above(low: float, of: Map) -> Map:
    """Return the map x -> low + log(1 + exp(x)): numbers that stay above `low`, such as the shapes of a `beta` head.

    Parameters
    ----------
    low : float
    of : Map
        What x is.

    Raises
    ------
    ValueError
        For a bound that is no finite number, or something that is no map.
    """
    low = validate.number("low", low)

    def softplus(x):
        return low + np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))

    return each(softplus, of)


def over_time(horizon: int, of: Map, *, clock: int = -1) -> Map:
    """Return a map whose weights are others at each time t = 0, ..., T - 1, which a component of the state tells.

    theta_t is row t of a table (T, P) of the map's P weights: time-varying gains with `linear()`, an open-loop policy with
    `constant()`. What the map is a map of keeps one set of weights for all times.

    Parameters
    ----------
    horizon : int
        T. Where the clock is not one of 0, ..., T - 1, the outputs are NaN, and the trajectory is counted as not finite.
    of : Map
    clock : int
        Which component of the state is the time, as in `mcgrad.environments.with_clock`, where it is the last.

    Raises
    ------
    ValueError
        For a horizon out of 1 to 10^6, something that is no map, a clock that is no whole number; in a policy, for a map
        without weights.
    """
    T = validate.integer("horizon", horizon, 1, 10**6)
    inner, clock = _inner("of", of, optional=False), _index("clock", clock)

    def build(n, k):
        built = inner.build(n, k)
        P = len(built.names)
        if P == 0:
            raise ValueError(f"of: expected a map with weights, which can differ over time, got a {inner.kind} map")

        def value(fixed, theta, x, s):
            table = np.array(theta, dtype=object).reshape(T, P)
            return built.value(fixed, tuple(lookup(table[:, j], s[clock]) for j in range(P)), x, s)

        names = [f"{name}(t={t})" for t in range(T) for name in built.names]
        return built._replace(names=names, start=np.tile(built.start, T), value=value)

    return Map(inner.kind, build, inner.of)


def _affine(theta: Numbers, x: Numbers, k: int, bias: bool) -> Numbers:
    y = product(theta, x, k)
    return tuple(a + theta[k * len(x) + i] for i, a in enumerate(y)) if bias else y


def _inner(name: str, of: Any, optional: bool = True) -> Any:
    if not isinstance(of, Map) and not (of is None and optional):
        raise ValueError(f"{name}: expected a map, such as mcgrad.policies.maps.linear(), got {validate.describe(of)}")
    return of


def _index(name: str, value: Any) -> int:
    return validate.integer(name, value, -validate.LARGEST, validate.LARGEST)


def _agree(kind: str, has: int, wanted: int | None) -> int:
    if wanted is not None and has != wanted:
        raise ValueError(f"{kind}: expected a map that returns {wanted} numbers, got one that returns {has}")
    return has


def _spread(name: str, value: NDArray[np.float64], k: int | None) -> NDArray[np.float64]:
    """Return k numbers from one, or check that there are k."""
    numbers = np.full(1 if k is None else k, float(value)) if value.ndim == 0 else value
    _agree(name, len(numbers), k)
    return numbers
