"""Carries and sums as nested tuples of numbers: their structure, and their leaves one after the other."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..calls import number
from ..compiler.trace import Number, Numbers, TraceError, Tracer, is_number
from ..scan_types import Carry, Cotangents
from ..validate import describe
from .carry_names import Structure


def flatten(tree: Carry) -> tuple[Structure, list[Number]]:
    """Return the structure of a nested tuple of numbers, and its leaves."""
    if isinstance(tree, (tuple, list, np.ndarray)):
        parts = [flatten(x) for x in tree]
        return tuple(structure for structure, _ in parts), [x for _, leaves in parts for x in leaves]
    if tree is None:
        return (), []
    if not isinstance(tree, Tracer) and not is_number(tree):
        raise TraceError(f"carry: expected numbers or tuples of numbers, got {describe(tree)}")
    return None, [number(tree)]


def fill(structure: Structure, take: Callable[[], Number]) -> Any:
    """Return a nested tuple of a given structure with leaves from `take`; lists of sums stay lists."""
    if structure is None:
        return take()
    return type(structure)(fill(x, take) for x in structure)


def over_cotangents(etabar: Cotangents, pull: Callable[[Numbers], Numbers]) -> Cotangents:
    """Apply `pull` to each cotangent in a cotangent or (nested) list of cotangents."""
    if isinstance(etabar, list):
        return [over_cotangents(x, pull) for x in etabar]
    if not isinstance(etabar, (tuple, np.ndarray)):
        raise TraceError(f"etabar: expected a tuple like eta, or a list of such tuples, got {describe(etabar)}")
    return pull(tuple(etabar))


def flatten_sums(pulled: Cotangents) -> tuple[Structure, list[Number]]:
    """Return the structure of (nested lists of) P-tuples, and their elements."""
    if isinstance(pulled, list):
        parts = [flatten_sums(x) for x in pulled]
        return [structure for structure, _ in parts], [x for _, leaves in parts for x in leaves]
    return tuple(None for _ in pulled), list(pulled)
