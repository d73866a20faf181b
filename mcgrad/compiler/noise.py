"""Noise as a pure function of (seed; trajectory, time, block): three levels of one keyed hash, and Box-Muller.

    seed             A, B = mix(seed, FIRST), mix(seed, SECOND)
    trajectory i     Y = A + i G,  X = mix(Y, B)
    block of time t  word = mix(X + t G_t + block G_b, Y)

A word of 64 bits makes two standard normals, or one number that is uniform on (0, 1). Nothing is remembered between calls, so
any trajectory can be replayed alone, at any time, and any range of them can be computed anywhere. What depends on the
trajectory alone is computed once for it, outside of the loop over time; a word then costs two multiplications.

`mix(., 0)` is the finaliser of SplitMix64: along time, the words of a trajectory are a SplitMix64 sequence (with an
increment of their own) into whose middle the key Y is mixed. Two trajectories differ in 128 bits (X, Y), and so do two
seeds (A, B): none repeats a part of another. tests/randomness has what TestU01 says of it.

The functions are plain Python on 64-bit words and serve all three machines: NumPy arrays, SIMD lanes, numbers.

References
----------
Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators. OOPSLA'14, 453-472 (SplitMix64; its multipliers
are variant 13 of D. Stafford's). Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC'11
(numbers that are functions of their address). Box and Muller (1958), A note on the generation of random normal deviates. Ann.
Math. Statist. 29, 610.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Of 64 bits: a NumPy array, SIMD lanes, or a number
Word: TypeAlias = Any

# Multipliers and shifts of SplitMix64, and its increment, 2^64 / the golden ratio.
M1, M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S1, S2, S3 = np.uint64(30), np.uint64(27), np.uint64(31)
G = np.uint64(0x9E3779B97F4A7C15)
# 2^64 / x and 2^64 / x^2 for the plastic ratio x: t G_t + block G_b differ for all t < 2^33, block < 2^26.
G_T, G_B = np.uint64(0xC13FA9A902A6328F), np.uint64(0x91E10DA5C79E7B1D)
FIRST, SECOND = np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344)  # digits of pi

# "Times" at which other noise than that of a step is drawn.
INITIAL = 0xFFFFFFFF  # the initial state
PARAMETERS = 0xFFFFFFFE  # a perturbation of the parameters

STREAM = np.uint64(60)  # independent noise for the same trajectory: number i + stream * 2^60


def stream(i: Word, k: Word) -> Word:
    """Return the trajectory number under which trajectory i draws its k-th independent noise."""
    return i + (np.uint64(k) << STREAM)


def mix(x: Word, key: Word) -> Word:
    """Return 64 bits that depend on x and the key; a bijection of x."""
    x = (x ^ (x >> S1)) * M1 ^ key
    x = (x ^ (x >> S2)) * M2
    return x ^ (x >> S3)


def word(seed: Word, i: Word, t: Word, block: Word) -> Word:
    """Return 64 random bits for trajectory i, time t and a block."""
    y = mix(seed, FIRST) + i * G
    return mix(mix(y, mix(seed, SECOND)) + (t * G_T + block * G_B), y)


# Box-Muller: a word makes the radius sqrt(-2 log u) and the angle pi f of two normals. u = (v + 1/2) / 2^40 takes the upper
# 40 bits v: never 0 nor 1, and |z| <= 7.54, beyond which lies one normal of 2e13. f = (v + 1/2) / 2^23 - 1/2 takes the next
# 23 bits and covers the right half of the circle; the lowest bit chooses the half. All moments of the 2^24 angles below
# the 2^24th are those of the whole circle, and those of the radius differ from the true ones by less than 2^-39.
# A uniform number is the midpoint of one of 2^52 equal intervals.
RADIUS, ANGLE, UNIFORM = np.uint64(24), np.uint64(1), np.uint64(12)
BITS23 = np.uint64(2**23 - 1)
LOWEST, SIGN = np.uint64(1), np.uint64(63)
ONE = 0x3FF0000000000000  # the exponent of [1, 2): bits below it make a fraction


def uniform_numpy(seed: Word, i: Word, t: Word, block: Word) -> NDArray[np.float64]:
    """Return an array of uniform numbers for an array `i` of trajectories (the NumPy machine)."""
    return ((word_numpy(seed, i, t, block) >> UNIFORM).astype(np.float64) + 0.5) * 2.0**-52


def word_numpy(seed: Word, i: Word, t: Word, block: Word) -> Word:
    """Return the words of an array `i` of trajectories."""
    with np.errstate(over="ignore"):
        return word(np.uint64(seed), i, np.uint64(t), np.uint64(block))


def normal_pair_numpy(seed: Word, i: Word, t: Word, block: Word) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two arrays of standard normals for an array `i` of trajectories (the NumPy machine)."""
    w = word_numpy(seed, i, t, block)
    u = ((w >> RADIUS).astype(np.float64) + 0.5) * 2.0**-40
    f = ((w >> ANGLE & BITS23).astype(np.float64) + 0.5) * 2.0**-23 - 0.5
    r = np.where(w & LOWEST, -1.0, 1.0) * np.sqrt(-2.0 * np.log(u))
    return r * np.cos(np.pi * f), r * np.sin(np.pi * f)


def word_lanes(width: int) -> Callable[..., Word]:
    """Return the function that makes words on SIMD lanes; `i` is the first of `width` trajectories."""
    from .simd import Value, consecutive  # LLVM is heavy

    def words(seed, i, t, block):
        return word(seed, consecutive(i, width), t, Value(t.builder, t.ir.type(block)))

    return words


def from_word() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the functions of a word, of SIMD lanes, that make two standard normals and a uniform number."""
    from . import elementary  # LLVM is heavy
    from .simd import bits, floats, rounded, sqrt  # LLVM is heavy

    def normal_pair(w):
        u = floats((w >> 12) & 0x000FFFFFFFFFF000 | ONE) - (1.0 - 2.0**-41)
        f = floats((w << 28) & 0x000FFFFFE0000000 | ONE) - (1.5 - 2.0**-24)
        r = sqrt(-2.0 * elementary.log_unit(u))
        r = floats(bits(r) ^ (w << SIGN))
        sine, cosine = elementary.sincospi_half(f)
        return rounded(r * cosine), rounded(r * sine)  # as they are where they are drawn once and read

    return normal_pair, lambda w: floats((w >> UNIFORM) | ONE) - (1.0 - 2.0**-53)


def uniform_scalar(seed: Word, i: Word, t: Word, block: Word) -> float:
    """Return a uniform number of one trajectory (the scalar machine; compiled by Numba)."""
    return (float(word(seed, i, np.uint64(t), np.uint64(block)) >> UNIFORM) + 0.5) * 2.0**-52


def normal_pair_scalar(seed: Word, i: Word, t: Word, block: Word) -> tuple[float, float]:
    """Return two standard normals of one trajectory (the scalar machine; compiled by Numba)."""
    w = word(seed, i, np.uint64(t), np.uint64(block))
    u = (float(w >> RADIUS) + 0.5) * 2.0**-40
    f = (float(w >> ANGLE & BITS23) + 0.5) * 2.0**-23 - 0.5
    r = np.sqrt(-2.0 * np.log(u))
    if w & LOWEST:
        r = -r
    return r * np.cos(np.pi * f), r * np.sin(np.pi * f)
