"""What the recursion may cost, counted in operations, and a word on stderr for whoever waits longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self, TypeAlias

import numpy as np

from ...progress import Progress

Spend: TypeAlias = Callable[
    [float, float], None
]  # spend(operations, numbers in memory), before they are done; it may raise

OPERATIONS = 5e8  # what is counted as a unit of work: about a second of a slow core


def free(operations: float, memory: float) -> None:
    """Count nothing."""


class TooMuch(Exception):
    """The work that is left is not enough for a level."""


class Work:
    """Counts operations, so that what is found does not depend on how fast a machine is; a context that ends its line.

    Attributes
    ----------
    units : float
        How many there may be, in units of about a second on a slow core.
    spent : float
        How many there were.
    shown : bool
        Whether whoever waits is told.
    """

    def __init__(self, units: float, shown: bool = False) -> None:
        self.units, self.spent, self.shown = units, 0.0, shown
        self._begun = self._printed = time.monotonic()
        self._wrote = False

    def spend(self, operations: float) -> None:
        """Count operations before they are done, or raise TooMuch where they would be more than there may be."""
        self.tick()
        if self.spent + operations / OPERATIONS > self.units or np.isinf(operations):
            raise TooMuch
        self.spent += operations / OPERATIONS

    def tick(self) -> None:
        """Say on stderr what is going on, if that has lasted and was not said just now."""
        now = time.monotonic()
        if self.shown and now - self._begun > Progress.PATIENCE and now - self._printed > Progress.INTERVAL:
            self._printed, self._wrote = now, True
            line = (
                f"exact recursion: {now - self._begun:.0f} s, {self.spent:.2g} of at most {self.units:g} units of work"
            )
            print(f"\rmcgrad: {line:<70}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._wrote:
            print(file=sys.stderr, flush=True)
            self._wrote = False
