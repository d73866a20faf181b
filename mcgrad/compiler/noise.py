"""Noise as a pure function of (seed; trajectory, time, component): Philox4x32-10 and Box-Muller.

Standard normal number `component` of time `t` in trajectory `i` is made from one Philox block with the counter
(low and high word of i, t, component // 2) and the key (low and high word of the seed). Numbers that are uniform on
(0, 1) come two from a block, too; they are the midpoints of 2^52 equal intervals. Nothing is remembered between
calls, so any trajectory can be replayed alone and any range of them can be computed anywhere.

The functions are plain Python on 64-bit words and serve all three machines: NumPy arrays, SIMD lanes, numbers.

References
----------
Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC'11.
Box and Muller (1958), A note on the generation of random normal deviates. Ann. Math. Statist. 29, 610.
"""

import numpy as np

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
TOP52 = np.uint64(12)
LOWEST, SIGN = np.uint64(1), np.uint64(63)

# "Times" at which other noise than that of a step is drawn.
INITIAL = 0xFFFFFFFF  # the initial state
PARAMETERS = 0xFFFFFFFE  # a perturbation of the parameters

STREAM = np.uint64(60)  # independent noise for the same trajectory: number i + stream * 2^60


def stream(i, k):
    """Return the trajectory number under which trajectory i draws its k-th independent noise."""
    return i + (np.uint64(k) << STREAM)


def philox(c0, c1, c2, c3, k0, k1):
    """Return the four 32-bit words of Philox4x32-10, each held in 64 bits, for a counter and a key.

    Between rounds the upper halves hold rubbish. They are masked where a word is multiplied, which costs nothing: the
    instruction for 32 x 32 -> 64 bits ignores upper halves.
    """
    for _ in range(10):
        p0 = (c0 & WORD) * M0
        p1 = (c2 & WORD) * M1
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1, (p0 >> HALF) ^ c3 ^ k1, p0
        k0 = (k0 + W0) & WORD
        k1 = (k1 + W1) & WORD
    return c0 & WORD, c1 & WORD, c2 & WORD, c3 & WORD


def uniform_words(seed, i, t, block):
    """Return two words of 64 random bits for trajectory i, time t and a block of two components."""
    x0, x1, x2, x3 = philox(i & WORD, i >> HALF, t, block, seed & WORD, seed >> HALF)
    return (x0 << HALF) | x1, (x2 << HALF) | x3


# Box-Muller. The radius sqrt(-2 log u) takes u = (v + 1/2) / 2^52 from the upper 52 bits v of the first word: never 0
# nor 1, and |z| <= 8.57. The angle pi f takes f = (v + 1/2) / 2^52 - 1/2 from the second word, which covers the right
# half of the circle; the lowest bit of that word chooses the half.


def uniform_pair_numpy(seed, i, t, block):
    """Return two arrays of uniform numbers for an array `i` of trajectories (the NumPy machine)."""
    with np.errstate(over="ignore"):
        a, b = uniform_words(np.uint64(seed), i, np.uint64(t), np.uint64(block))
    return ((a >> TOP52).astype(np.float64) + 0.5) * 2.0**-52, ((b >> TOP52).astype(np.float64) + 0.5) * 2.0**-52


def uniform_pair_lanes(width):
    """Return the function that makes two uniform numbers on SIMD lanes; `i` is the first of `width` trajectories."""
    from .simd import Value, consecutive, floats

    def uniform_pair(seed, i, t, block):
        words = uniform_words(seed, consecutive(i, width), t, Value(t.builder, t.ir.type(block)))
        one = 0x3FF0000000000000  # see normal_pair_lanes
        return tuple(floats((x >> TOP52) | one) - (1.0 - 2.0**-53) for x in words)

    return uniform_pair


def uniform_pair_scalar(seed, i, t, block):
    """Return two uniform numbers of one trajectory (the scalar machine; compiled by Numba)."""
    a, b = uniform_words(seed, i, np.uint64(t), np.uint64(block))
    return (float(a >> TOP52) + 0.5) * 2.0**-52, (float(b >> TOP52) + 0.5) * 2.0**-52


def normal_pair_numpy(seed, i, t, block):
    """Return two arrays of standard normals for an array `i` of trajectories (the NumPy machine)."""
    seed = np.uint64(seed)
    with np.errstate(over="ignore"):
        a, b = uniform_words(seed, i, np.uint64(t), np.uint64(block))
    u = ((a >> TOP52).astype(np.float64) + 0.5) * 2.0**-52
    f = ((b >> TOP52).astype(np.float64) + 0.5) * 2.0**-52 - 0.5
    r = np.where(b & LOWEST, -1.0, 1.0) * np.sqrt(-2.0 * np.log(u))
    return r * np.cos(np.pi * f), r * np.sin(np.pi * f)


def normal_pair_lanes(width):
    """Return the function that makes two standard normals on SIMD lanes; `i` is the first of `width` trajectories."""
    from . import elementary
    from .simd import Value, bits, consecutive, floats, sqrt

    def normal_pair(seed, i, t, block):
        lanes = consecutive(i, width)
        block = Value(t.builder, t.ir.type(block))
        a, b = uniform_words(seed, lanes, t, block)
        one = 0x3FF0000000000000  # the exponent of [1, 2): 52 random bits below it make 1 + v / 2^52
        u = floats((a >> TOP52) | one) - (1.0 - 2.0**-53)
        f = floats((b >> TOP52) | one) - 1.5 + 2.0**-53
        r = sqrt(-2.0 * elementary.log_unit(u))
        r = floats(bits(r) ^ ((b & LOWEST) << SIGN))
        sine, cosine = elementary.sincospi_half(f)
        return r * cosine, r * sine

    return normal_pair


def normal_pair_scalar(seed, i, t, block):
    """Return two standard normals of one trajectory (the scalar machine; compiled by Numba)."""
    a, b = uniform_words(seed, i, np.uint64(t), np.uint64(block))
    u = (float(a >> TOP52) + 0.5) * 2.0**-52
    f = (float(b >> TOP52) + 0.5) * 2.0**-52 - 0.5
    r = np.sqrt(-2.0 * np.log(u))
    if b & LOWEST:
        r = -r
    return r * np.cos(np.pi * f), r * np.sin(np.pi * f)
