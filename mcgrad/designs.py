"""Sampling designs: points that fill the unit cube more evenly than random ones do, in place of random noise.

A replicate is a set of `size` points, one trajectory for each. A point has one coordinate for every number that a trajectory
draws: the start, then step after step, the same again for every further rollout with noise of its own, then a direction in
parameter space. Coordinates u become standard normals by the inverse of their distribution function, or stay uniform.

    sobol               u = scrambled Sobol points: every box of volume 2^-k of certain shapes gets its share of points
    latin hypercube     each coordinate on its own is stratified: one point in each of `size` equal intervals
    stratified start    a Latin hypercube on the noise of the start alone; all else stays random

Each replicate is randomised on its own. Every single point is then uniform on the cube, the mean over a replicate is one
unbiased sample, and replicates are independent, so that variances and standard errors mean what they always do. For random
points the variance of a replicate's mean is Var g / size; a Latin hypercube takes away what is a sum of functions of single
coordinates (Stein 1987); Sobol points reach O(size^-3 log^(d - 1) size) for smooth g (Owen 1997). All that is nested in
estimators (mirrored noise, groups, perturbations) happens on top.

Points lie strictly inside of the cube. Coordinates of Sobol points are midpoints of 2^52 equal intervals, those of a Latin
hypercube midpoints of 2^32 equal parts of a stratum: normals are no further out than 8.3.

References
----------
McKay, Beckman and Conover (1979), A comparison of three methods for selecting values of input variables (Latin hypercube);
Stein (1987), Large sample properties of simulations using Latin hypercube sampling; Joe and Kuo (2008), Constructing Sobol
sequences with better two-dimensional projections; Matousek (1998), On the L2-discrepancy for anchored boxes (the scrambling);
Owen (1997), Scrambled net variance for integrals of smooth functions.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import validate
from .kernels.draws import NORMAL

__all__ = ["Design", "latin_hypercube", "sobol", "stratified_start"]


def __dir__() -> list[str]:
    return sorted(__all__)


LARGEST = 2**20  # points of a replicate
MEMORY = 2**27  # numbers of a replicate: 1 GiB in each thread
DIMENSIONS = 21201  # of Joe and Kuo's direction numbers
BITS = 52  # of a coordinate of a Sobol point
BLOCK = 2**17  # numbers that are made at once, while they fit into a cache

SOBOL, LATIN, START = "sobol", "latin hypercube", "stratified start"


@dataclasses.dataclass(frozen=True)
class Design:
    """A sampling design, see the module.

    Attributes
    ----------
    kind : str
        "sobol", "latin hypercube" or "stratified start".
    size : int
        Points, and trajectories, of a replicate.
    """

    kind: str
    size: int

    @property
    def given(self) -> str:
        """Which noise of a trajectory is read from points, see `program.gradient_program`."""
        return "start" if self.kind == START else "all"

    def check(self, rows: int) -> None:
        """Raise a ValueError if there are no such points with this many coordinates."""
        if self.kind == SOBOL and rows > DIMENSIONS:
            raise ValueError(
                f"design: expected trajectories that draw at most {DIMENSIONS} numbers, which is as many dimensions as Sobol "
                f"points have, got {rows}; use latin_hypercube or stratified_start, or a shorter horizon"
            )
        if self.kind == START and rows == 0:
            raise ValueError("design: expected a start that draws noise to be stratified, got one that draws none")
        if rows * self.size > MEMORY:
            raise ValueError(
                f"design: expected size x dimension <= 2^27 (1 GiB), got {self.size} x {rows}; use more, smaller replicates"
            )

    def noise(self, kinds: Sequence[str], seed: int, first: int, count: int = 1) -> NDArray[np.float64]:
        """Return the noise of replicates first, ..., first + count - 1, each of which depends on (seed, its number) alone.

        Row k does not depend on how many rows there are: estimators with more rollouts can join those that are measured
        without changing the points of the others.

        Parameters
        ----------
        kinds : sequence of str
            What each coordinate becomes: "normal" or "uniform".
        seed, first, count : int

        Returns
        -------
        (len(kinds), count * size) array
        """
        from scipy.special import ndtri

        d, at_once = len(kinds), max(BLOCK // (count * self.size), 1)
        normal = np.array([kind == NORMAL for kind in kinds], dtype=bool)[:, None, None]
        rngs = [
            _generators(seed, replicate, 1 if self.kind == SOBOL else 2) for replicate in range(first, first + count)
        ]
        out = np.empty((d, count, self.size))
        for k in range(0, d, at_once):
            rows = out[k : k + at_once]
            if self.kind == SOBOL:
                _sobol(_directions(d, self.size)[:, k : k + at_once], rngs, rows)
            else:
                _latin_hypercube(rngs, rows)
            ndtri(rows, out=rows, where=normal[k : k + at_once])
        return out.reshape(d, count * self.size)


def sobol(size: int) -> Design:
    """Return replicates of `size` scrambled Sobol points.

    They help where a gradient is a smooth function of its noise, all the more where few of the coordinates matter.

    Parameters
    ----------
    size : int
        Points, and trajectories, of a replicate: a power of two from 1 to 2^20.

    Raises
    ------
    ValueError
        If the size is no power of two; by `measure`, if trajectories draw more than 21201 numbers, or size x dimension > 2^27.

    References
    ----------
    Joe and Kuo (2008), Constructing Sobol sequences with better two-dimensional projections; Matousek (1998), On the
    L2-discrepancy for anchored boxes; Owen (1997), Scrambled net variance for integrals of smooth functions.
    """
    size = validate.integer("size", size, 1, LARGEST)
    if size & (size - 1):
        raise ValueError(f"size: expected a power of two, for which Sobol points are balanced, got {size}")
    return Design(SOBOL, size)


def latin_hypercube(size: int) -> Design:
    """Return replicates of a Latin hypercube of `size` points, in any dimension.

    Parameters
    ----------
    size : int
        Points, and trajectories, of a replicate, from 1 to 2^20.

    Raises
    ------
    ValueError
        For a size out of its range; by `measure`, for size x dimension > 2^27.

    References
    ----------
    McKay, Beckman and Conover (1979), A comparison of three methods for selecting values of input variables; Stein (1987),
    Large sample properties of simulations using Latin hypercube sampling.
    """
    return Design(LATIN, validate.integer("size", size, 1, LARGEST))


def stratified_start(size: int) -> Design:
    """Return replicates of `size` initial states from a Latin hypercube; later noise stays random.

    With one number drawn at the start it takes away the variance of E[g | s_0], up to O(size^-3) of it.

    Parameters
    ----------
    size : int
        Initial states, and trajectories, of a replicate, from 1 to 2^20.

    Raises
    ------
    ValueError
        For a size out of its range; by `measure`, for a start that draws no noise.
    """
    return Design(START, validate.integer("size", size, 1, LARGEST))


def _generators(seed: int, replicate: int, number: int) -> list[np.random.Generator]:
    """Return generators for a replicate.

    It is their key rather than part of the seed: [seed, replicate] would not tell the first replicate of seed 2^32 + 5 from
    the second of seed 5.
    """
    keys = [np.random.SeedSequence(seed, spawn_key=(replicate, k)) for k in range(number)]
    return [np.random.default_rng(key) for key in keys]


def _latin_hypercube(rngs: Sequence[list[np.random.Generator]], out: NDArray[np.float64]) -> None:
    """Write uniform numbers with one in each of N equal intervals, in random order, to each row of a (d, count, N) array."""
    d, _, size = out.shape
    stairs = np.broadcast_to(np.arange(float(size)), (d, size))
    for k, (orders, places) in enumerate(rngs):
        out[:, k] = orders.permuted(stairs, axis=1)
        out[:, k] += places.integers(2**32, size=(d, size), dtype=np.uint32) * 2.0**-32 + 2.0**-33
    out /= size


def _sobol(directions: NDArray[np.uint64], rngs: Sequence[list[np.random.Generator]], out: NDArray[np.float64]) -> None:
    """Write scrambled Sobol points to a (d, count, 2^m) array.

    A point x is an exclusive or of direction numbers, which is a product of matrices over bits. Random lower triangular
    matrices with ones on the diagonal, from the left, scramble the direction numbers; a random shift makes points uniform.
    Only the first m bits of a direction number can be ones, so that only m columns of a matrix are needed.
    """
    m, d = directions.shape
    words = np.array([rng.integers(2**BITS, size=(d, m + 1), dtype=np.uint64) for (rng,) in rngs])  # (count, d, m + 1)
    scrambled = np.zeros((len(rngs), m, d), dtype=np.uint64)
    for k in range(m):
        bit = np.uint64(BITS - 1 - k)
        column = words[:, None, :, k] & ((np.uint64(1) << bit) - np.uint64(1)) | (np.uint64(1) << bit)
        scrambled ^= (directions >> bit & np.uint64(1)) * column
    x = np.empty(out.shape, dtype=np.uint64)
    x[:, :, 0] = words[:, :, m].T
    for k in range(m):
        np.bitwise_xor(x[:, :, : 2**k], scrambled[:, k, :, None].swapaxes(0, 1), out=x[:, :, 2**k : 2 ** (k + 1)])
    np.add(x, 0.5, out=out)
    out *= 2.0**-BITS


@functools.lru_cache(maxsize=8)
def _directions(d: int, size: int) -> NDArray[np.uint64]:
    """Return the direction numbers of 2^m Sobol points, an (m, d) array of integers of 52 bits.

    Point number 2^k in the order of Gray codes, which is SciPy's, is the exclusive or of the direction numbers k and k - 1.
    """
    from scipy.stats import qmc

    m = size.bit_length() - 1
    engine = qmc.Sobol(d, scramble=False)
    found = np.zeros((m, d), dtype=np.uint64)
    for k in range(m):
        engine.reset()
        engine.fast_forward(2**k)
        found[k] = (engine.random(1)[0] * 2.0**BITS).astype(np.uint64)
        if k:
            found[k] ^= found[k - 1]
    return found
