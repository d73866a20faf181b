"""What was found about a problem before, and what was refused: nothing is looked for twice."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any

from ...kernels.memo import key_of
from ...problem import Problem

MOST = 8  # answers about a problem

_known: weakref.WeakKeyDictionary[Problem, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def remembered(problem: Problem, what: str, more: Hashable, make: Callable[[], Any]) -> Any:
    """Return what was made for a question before, `more` all that it depends on besides the problem, or `make()`."""
    # With the structure: a function may read something that has been given another value since.
    structure = key_of(what, problem)
    known, key = _known.setdefault(problem, {}), (what, more, structure)
    if key not in known or structure is None:
        while len(known) >= MOST:
            known.pop(next(iter(known)))
        known[key] = make()
    return known[key]
