"""Tails and moments of many normals against theory: python tests/randomness/normals.py 10 (billions), half an hour or less.

One line for each: how many of the normals lie beyond a bound, how many should, and the difference in standard errors.
"""

import sys

import numpy as np
from scipy import stats

from mcgrad.compiler import backends
from mcgrad.compiler.backends import KernelText

BLOCKS = 8  # words of a trajectory
PAIRS = "\n".join(f"    z{2 * k}, z{2 * k + 1} = normal_pair(seed, i, t, {k})" for k in range(BLOCKS))
PUT = "\n".join(f"    put(out, {k}, b, values[{k}])" for k in range(2 * BLOCKS))
TEXT = f"""
def draw(seed, i, t):
{PAIRS}
    return ({" ".join(f"z{k}," for k in range(2 * BLOCKS))})


def deliver(out, b, values):
{PUT}


def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    for b in range(blocks):
        deliver(out, b, draw(seed, position(first, b, width), horizon))
"""
KERNEL = KernelText(TEXT, (("draw", 3, 2 * BLOCKS), ("deliver", 3, None)), 1, 2 * BLOCKS, "normals")
BOUNDS = (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5)
POWERS = (1, 2, 3, 4)
WIDTH, PIECE = 16, 4096


def main(billions, seed=11):
    """Count, and print."""
    kernel, none, table = backends.compiled(KERNEL, "simd", WIDTH), np.zeros(1), np.zeros((1, 1))
    z, stop = np.empty((2 * BLOCKS, PIECE)), np.zeros(1, dtype=np.int64)
    pieces = int(billions * 1e9) // z.size
    above, below, sums = np.zeros(len(BOUNDS), dtype=int), np.zeros(len(BOUNDS), dtype=int), np.zeros(len(POWERS))
    largest = 0.0
    for k in range(pieces):
        arguments = (np.uint64(seed), np.uint64(k * PIECE), PIECE // WIDTH, WIDTH, 0)
        kernel(none, none, none, table, *arguments, table, table, z, stop)
        far = z[np.abs(z) > BOUNDS[0]]
        for j, bound in enumerate(BOUNDS):
            above[j] += np.count_nonzero(far > bound)
            below[j] += np.count_nonzero(far < -bound)
        largest = max(largest, np.abs(far).max())
        square = z * z
        sums += z.sum(), square.sum(), (square * z).sum(), (square * square).sum()
    n = pieces * z.size
    print(f"{n:.3e} normals, the largest |z| {largest:.3f}")
    for j, bound in enumerate(BOUNDS):
        expected = n * stats.norm.sf(bound)
        errors = [(x - expected) / np.sqrt(expected) for x in (above[j], below[j])]
        print(
            f"beyond {bound}: {above[j]} above, {below[j]} below, expected {expected:.1f}: {errors[0]:+.2f} {errors[1]:+.2f}"
        )
    for k, mean, square, total in zip(POWERS, (0, 1, 0, 3), (1, 3, 15, 105), sums, strict=True):
        print(f"E z^{k} = {total / n:.7f}: {(total / n - mean) / np.sqrt((square - mean**2) / n):+.2f}")


if __name__ == "__main__":
    main(float(sys.argv[1]))
