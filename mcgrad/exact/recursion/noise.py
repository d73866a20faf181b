"""Noise as nodes and weights: Gauss quadrature, broken into panels where the graphs say that something kinks or jumps."""

import numpy as np

from .chain import NORMAL


def gauss(kind, count):
    """Return nodes and weights for a standard normal, or a number that is uniform on (0, 1)."""
    if kind == NORMAL:
        x, w = np.polynomial.hermite_e.hermegauss(count)
    else:
        x, w = np.polynomial.legendre.leggauss(count)
        x = (1 + x) / 2
    return x, w / w.sum()


def tensor(names, rule):
    """Return {name: (1, Q)} and weights (1, Q) of the tensor product of a rule, rule(name) -> nodes, weights."""
    parts = [rule(name) for name in names]
    grids = np.meshgrid(*(x for x, _ in parts), indexing="ij") if parts else []
    weights = np.ones(())
    for _, w in parts:
        weights = np.multiply.outer(weights, w)
    return {name: x.ravel()[None, :] for name, x in zip(names, grids, strict=True)}, weights.ravel()[None, :]
