"""Philox against its published vectors, normals against the normal distribution, three machines against each other."""

import numpy as np
import pytest
from scipy import stats

from mcgrad.compiler import backends, noise
from mcgrad.compiler.backends import KernelText

# Known-answer vectors of the Random123 distribution (kat_vectors, philox4x32 10): counter, key, result.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]

TEXT = """
def draw(seed, i, t):
    z0, z1 = normal_pair(seed, i, t, 0)
    z2, z3 = normal_pair(seed, i, t, 5)
    return (z0, z1, z2, z3,)


def deliver(out, b, values):
    put(out, 0, b, values[0])
    put(out, 1, b, values[1])
    put(out, 2, b, values[2])
    put(out, 3, b, values[3])


def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    for b in range(blocks):
        deliver(out, b, draw(seed, position(first, b, width), horizon))
"""
KERNEL = KernelText(TEXT, (("draw", 3, 4), ("deliver", 3, None)), 1, 4, "noise")


def draw(machine, count, seed=5, first=0, t=3, width=None):
    kernel = backends.compiled(KERNEL, machine, width)
    width = width or KERNEL.width(machine) or count
    out = np.empty((4, -(-count // width) * width))
    none, table = np.zeros(1), np.zeros((1, 1))
    blocks = out.shape[1] // width
    stop = np.zeros(1, dtype=np.int64)
    kernel(none, none, none, table, np.uint64(seed), np.uint64(first), blocks, width, t, table, table, out, stop)
    return out[:, :count]


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS)
def test_philox_known_answers(counter, key, result):
    with np.errstate(over="ignore"):
        words = noise.philox(*(np.array([x], dtype=np.uint64) for x in (*counter, *key)))
    assert tuple(int(x[0]) for x in words) == result


@pytest.mark.parametrize("machine", ["simd", "scalar"])
@pytest.mark.parametrize("first", [0, 2**32 - 20, 2**63 - 100])
def test_machines_draw_the_same_noise(machine, first):
    expected = draw("numpy", 64, first=first, t=noise.INITIAL)
    np.testing.assert_allclose(draw(machine, 64, first=first, t=noise.INITIAL), expected, rtol=1e-12, atol=1e-14)


def test_widths_draw_the_same_bits():
    expected = draw("simd", 96, width=8)
    for width in (1, 4, 16):
        np.testing.assert_array_equal(draw("simd", 96, width=width), expected)


def test_noise_depends_on_each_part_of_its_address():
    base = draw("numpy", 8)
    others = [
        draw("numpy", 8, seed=6),
        draw("numpy", 8, seed=5 + 2**40),
        draw("numpy", 8, first=2**33),
        draw("numpy", 8, t=4),
    ]
    for other in others:
        assert not np.any(base == other)
    np.testing.assert_array_equal(draw("numpy", 8, first=3)[:, :5], base[:, 3:])


def test_normals_are_normal():
    """4e6 normals: moments, both tails, the bulk, and correlations between components and neighbours.

    The bound of 5 standard errors sees a relative error of the variance of 0.5 %.
    """
    z = draw("simd", 1_000_000, seed=9)
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
    neighbours = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in z]
    assert np.max(np.abs([*correlation, *neighbours])) < 5 / np.sqrt(z.shape[1])
