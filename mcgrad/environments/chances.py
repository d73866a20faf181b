"""Choosing one of K outcomes by one uniform number, for many rows of probabilities.

By a binary search in the cumulative probabilities, or, for more than four outcomes, by the alias method: two look-ups,
whatever their number. The search is monotone in the uniform number, which mirrored noise can make use of.

References
----------
Walker (1977), An efficient method for generating discrete random variables with general distributions. ACM TOMS 3, 253;
Vose (1991), A linear algorithm for generating random numbers with a given distribution. IEEE TSE 17, 972.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiler.functions import lookup, where
from ..compiler.trace import Number, Numbers


class Chances(NamedTuple):
    """How an outcome is looked up, whatever the probabilities are: kernels are remembered by it.

    Attributes
    ----------
    size : int
        K rounded up to a power of two, for which u * size is exact and never size itself.
    certain : int or None
        The only possible outcome, if it is the same one in all rows.
    by_alias : bool
        By the alias method, not by a search.
    """

    size: int
    certain: int | None
    by_alias: bool

    @property
    def uniforms(self) -> int:
        """Return how many uniform numbers a choice takes: 1, or 0 if there is but one possible outcome."""
        return 1 if self.certain is None else 0

    def choose(self, table: Callable[[str], Any], row: Number, u: Numbers) -> Number:
        """Return the outcome that the first of the numbers `u` chooses in a row; table(name) are traced `params`."""
        if self.certain is not None:
            return float(self.certain)
        (u, *_), first = u, row * float(self.size)
        if self.by_alias:
            scaled = u * float(self.size)
            cell = np.floor(scaled)
            stays = scaled - cell < lookup(table("stay"), first + cell)
            return where(stays, cell, lookup(table("alias"), first + cell))
        outcome, half = 0.0, self.size // 2
        while half:
            outcome = outcome + where(
                u >= lookup(table("bounds"), first + (outcome + float(half - 1))), float(half), 0.0
            )
            half //= 2
        return outcome

    def padded(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the table of values (R, K) of the outcomes, with rows of length `size`, ravelled."""
        R, K = values.shape
        return np.concatenate([values, np.zeros((R, self.size - K))], axis=1).ravel().astype(float)


def chances(probability: NDArray[np.float64]) -> tuple[Chances, dict[str, NDArray[np.float64]]]:
    """Return how to choose among outcomes with the probabilities (R, K), and the tables for it: params of an environment."""
    R, K = probability.shape
    size = 2 ** int(np.ceil(np.log2(K)))
    likely = np.argmax(probability, axis=1)
    if (probability.max(axis=1) == 1.0).all() and (likely == likely[0]).all():
        return Chances(size, int(likely[0]), False), {}
    padded = np.concatenate([probability, np.zeros((R, size - K))], axis=1)
    if size <= 4:
        return Chances(size, None, False), {"bounds": _bounds(padded).ravel()}
    stay, alias = _alias_tables(padded)
    return Chances(size, None, True), {"stay": stay.ravel(), "alias": alias.ravel()}


def _bounds(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper bounds of the outcomes; 2, which no u reaches, where only impossible outcomes follow."""
    follow = np.cumsum(chances[:, ::-1], axis=1)[:, ::-1]
    possible = np.concatenate([follow[:, 1:] > 0.0, np.zeros((len(chances), 1), bool)], axis=1)
    return np.where(possible, np.cumsum(chances, axis=1), 2.0)


def _alias_tables(chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each cell of a row the probability of staying in it, and where to go otherwise."""
    size = chances.shape[1]
    stay, alias = np.ones(chances.shape), np.broadcast_to(np.arange(size), chances.shape).astype(float)
    for row, given in enumerate(chances):
        left = given * (size / given.sum())
        poor, rich = [k for k in range(size) if left[k] < 1.0], [k for k in range(size) if left[k] >= 1.0]
        while poor and rich:
            k, j = poor.pop(), rich[-1]
            stay[row, k], alias[row, k] = left[k], j
            left[j] -= 1.0 - left[k]
            if left[j] < 1.0:
                poor.append(rich.pop())
        for k in poor:  # left over by rounding: full, unless the outcome is impossible
            if given[k] == 0.0:
                stay[row, k], alias[row, k] = 0.0, np.argmax(given)
    return stay, alias
