"""Words against golden numbers, normals against the normal distribution, three machines against each other.

What the batteries of TestU01 say of the words is in tests/randomness.
"""

import math

import numpy as np
import pytest
from scipy import stats

from mcgrad.compiler import backends, noise
from mcgrad.compiler.backends import KernelText

# (seed, trajectory, time, block) -> word. The generator must never change unnoticed: whoever quotes a seed relies on it.
# tests/randomness/battery.c, written independently, prints the same.
GOLDEN = {
    (1, 2, 0, 0): 0x20C3F314491D332B,
    (1, 2, 1, 0): 0x1E4D0DF6437850D0,
    (1, 2, 2, 0): 0x51B218087B285BEC,
    (1, 2, 3, 0): 0x4C21ABBD3227FBF0,
    (1, 2, 3, 1): 0xCC607D5698F15C6A,
    (1, 2, 3, 2): 0xC4236D119B4E7AAE,
    (1, 0, 3, 0): 0xFCA2FE164CC9582B,
    (1, 1, 3, 0): 0x440F70A8B28651D7,
    (0, 2, 3, 0): 0xB65616D30A8F74F4,
    (2, 2, 3, 0): 0x3B9FF59499F85DCF,
    (1, 0, noise.INITIAL, 0): 0xDDF36DD6590A9B78,
    (1, 3 << 60, noise.INITIAL, 0): 0x98A11D50A3D7C234,
}
MASK = 2**64 - 1

TEXT = """
def draw(seed, i, t):
    z0, z1 = normal_pair(seed, i, t, 0)
    z2, z3 = normal_pair(seed, i, t, 5)
    u = uniform(seed, i, t, 0)
    return (z0, z1, z2, z3, u,)


def deliver(out, b, values):
    put(out, 0, b, values[0])
    put(out, 1, b, values[1])
    put(out, 2, b, values[2])
    put(out, 3, b, values[3])
    put(out, 4, b, values[4])


def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    for b in range(blocks):
        deliver(out, b, draw(seed, position(first, b, width), horizon))
"""
KERNEL = KernelText(TEXT, (("draw", 3, 5), ("deliver", 3, None)), 1, 5, "noise")


def draw(machine, count, seed=5, first=0, t=3, width=None):
    """Return four normals and a uniform number of each trajectory: blocks 0 and 5, and 0 again."""
    kernel = backends.compiled(KERNEL, machine, width)
    width = width or KERNEL.width(machine) or count
    out = np.empty((5, -(-count // width) * width))
    none, table = np.zeros(1), np.zeros((1, 1))
    blocks = out.shape[1] // width
    stop = np.zeros(1, dtype=np.int64)
    kernel(none, none, none, table, np.uint64(seed), np.uint64(first), blocks, width, t, table, table, out, stop)
    return out[:, :count]


def mix(x, key):
    """`noise.mix` on Python's integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK) ^ key
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def unmix(x, key):
    """Return the y with mix(y, key) = x."""

    def unshift(x, k):
        y = x
        for _ in range(64 // k):
            y = x ^ (y >> k)
        return y

    x = unshift(x, 31) * pow(0x94D049BB133111EB, -1, 2**64) & MASK
    x = (unshift(x, 27) ^ key) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK
    return unshift(x, 30)


@pytest.mark.parametrize(("address", "word"), GOLDEN.items())
def test_golden_words(address, word):
    seed, i, t, block = address
    (found,) = noise.word_numpy(seed, np.array([i], dtype=np.uint64), t, block)
    assert int(found) == word


@pytest.mark.parametrize("machine", ["simd", "scalar", "numpy"])
def test_machines_make_golden_words(machine):
    """Of a word the upper 52 bits are seen, as a uniform number."""
    for (seed, i, t, block), word in GOLDEN.items():
        if block == 0 and t < noise.INITIAL:
            u = draw(machine, 1, seed, i, t)[4, 0]
            assert int(u * 2.0**52 - 0.5) == word >> 12
            assert u == (float(word >> 12) + 0.5) * 2.0**-52


@pytest.mark.parametrize("machine", ["simd", "scalar"])
@pytest.mark.parametrize("first", [0, 2**32 - 20, 2**63 - 100])
def test_machines_draw_the_same_noise(machine, first):
    expected = draw("numpy", 64, first=first, t=noise.INITIAL)
    np.testing.assert_allclose(draw(machine, 64, first=first, t=noise.INITIAL), expected, rtol=1e-12, atol=1e-14)


def test_widths_draw_the_same_bits():
    expected = draw("simd", 96, width=8)
    for width in (1, 4, 16, 32):
        np.testing.assert_array_equal(draw("simd", 96, width=width), expected)


def test_noise_depends_on_each_part_of_its_address():
    base = draw("numpy", 8)
    others = [
        draw("numpy", 8, seed=6),
        draw("numpy", 8, seed=5 + 2**40),
        draw("numpy", 8, first=2**33),
        draw("numpy", 8, first=1 << 60),
        draw("numpy", 8, t=4),
    ]
    for other in others:
        assert not np.any(base == other)
    np.testing.assert_array_equal(draw("numpy", 8, first=3)[:, :5], base[:, 3:])


def test_no_two_numbers_of_a_trajectory_share_a_place():
    """t G_t + block G_b differs for all t < 2^33 and all blocks < 2^20: block d later, t would have to be 2^33 away."""
    d = np.arange(1, 2**20, dtype=np.uint64)
    with np.errstate(over="ignore"):
        ratio = noise.G_B * np.uint64(pow(int(noise.G_T), -1, 2**64))
        apart = (d * ratio).view(np.int64)  # t + apart at the same place, modulo 2^64
    assert np.abs(apart).min() > 2**33
    assert int(noise.G_T) % 2 == int(noise.G_B) % 2 == int(noise.G) % 2 == 1


@pytest.mark.parametrize("machine", ["simd", "scalar", "numpy"])
def test_extreme_words(machine):
    """At the time where the word is all zeros, all ones, ...: the largest normals that can come, and the smallest."""
    largest, smallest = math.sqrt(-2 * math.log(2.0**-41)), math.sqrt(-2 * math.log1p(-(2.0**-41)))
    assert 7.53 < largest < 7.54
    nearly = math.pi * 2.0**-24
    expected = {
        0: (largest * math.sin(nearly), -largest * math.cos(nearly)),
        1: (-largest * math.sin(nearly), largest * math.cos(nearly)),
        2**23: (largest * math.cos(nearly), largest * math.sin(nearly)),
        MASK: (-smallest * math.sin(nearly), -smallest * math.cos(nearly)),
    }
    y = mix(5, int(noise.FIRST)) + 77 * int(noise.G) & MASK
    x = mix(y, mix(5, int(noise.SECOND)))
    for word, pair in expected.items():
        t = (unmix(word, y) - x) * pow(int(noise.G_T), -1, 2**64) & MASK
        t = t if machine == "numpy" else int(np.uint64(t).view(np.int64))  # kernels count time in int64
        z0, z1, _, _, u = draw(machine, 1, 5, 77, t)[:, 0]
        np.testing.assert_allclose((z0, z1), pair, rtol=2e-9)
        assert u == (float(word >> 12) + 0.5) * 2.0**-52


def test_normals_are_normal():
    """4e6 normals: moments, both tails, the bulk, and correlations between components and neighbours.

    The bound of 5 standard errors sees a relative error of the variance of 0.5 %.
    """
    z = draw("simd", 1_000_000, seed=9)[:4]
    x, n = z.ravel(), z.size
    for k, mean, square in ((1, 0, 1), (2, 1, 3), (3, 0, 15), (4, 3, 105), (6, 15, 10395)):
        assert abs(np.mean(x**k) - mean) < 5 * np.sqrt((square - mean**2) / n)
    for bound in (2.0, 3.0, 4.0, 4.75):
        expected = n * stats.norm.sf(bound)
        for tail in ((x > bound).sum(), (x < -bound).sum()):
            assert abs(tail - expected) < 5 * np.sqrt(expected)
    counts, _ = np.histogram(stats.norm.cdf(x), bins=1024, range=(0, 1))
    assert stats.chisquare(counts).pvalue > 1e-6
    correlation = np.corrcoef(z)[np.triu_indices(4, 1)]
    squares = np.corrcoef(z**2)[np.triu_indices(4, 1)]
    neighbours = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in z]
    assert np.max(np.abs([*correlation, *squares, *neighbours])) < 5 / np.sqrt(z.shape[1])
