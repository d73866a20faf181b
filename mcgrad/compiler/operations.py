"""The operations of a graph, by name: what each means on NumPy numbers, and what may be assumed of it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import special

COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
COMPARISONS |= {"==": np.equal, "!=": np.not_equal}
LOGIC = {"&": np.logical_and, "|": np.logical_or, "~": np.logical_not}
ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "neg": np.negative}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "arctan2": np.arctan2,
    "power": np.power,
    "floor": np.floor,
    "absolute": np.absolute,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "rint": np.rint,
    "trunc": np.trunc,
    "copysign": np.copysign,
    "fmod": np.fmod,
}
FUNCTIONS |= special.FUNCTIONS
CONSTANTS = {"inf": np.inf, "nan": np.nan}  # what the text of a kernel calls them
# One entry per operation of a graph: its meaning on NumPy numbers, which also folds constants.
OPERATIONS: dict[str, Callable[..., Any]] = {
    **COMPARISONS,
    **LOGIC,
    **ARITHMETIC,
    **FUNCTIONS,
    "where": np.where,
    "alias": np.positive,
}
# Operations whose value is that of their first argument: they are there for what `derive` makes of them.
SAME_VALUE = {"alias", "given_slopes"}
BOOLEAN = set(COMPARISONS) | set(LOGIC)
# What raises no exception in Python, whatever the numbers are
HARMLESS = BOOLEAN | {
    "+",
    "-",
    "*",
    "neg",
    "where",
    "minimum",
    "maximum",
    "absolute",
    "alias",
    "copysign",
    "given_slopes",
}
COMMUTATIVE = {"+", "*", "&", "|", "==", "!="}
