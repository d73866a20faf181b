"""Two functions to compile, and what one of them returns."""

import numpy as np


def add(x, out):
    """Add one."""
    for i in range(len(x)):
        out[i] = x[i] + 1.0


def subtract(x, out):
    """Do something else."""
    for i in range(len(x)):
        out[i] = x[i] - 1.0


ARGUMENTS = ("in1", "out1")


def result(function):
    out = np.zeros(3)
    function(np.arange(3.0), out)
    return out.tolist()
