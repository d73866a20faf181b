"""What an estimator asks of a kernel that lets rollouts branch off (`kernel.branches`)."""

from collections.abc import Sequence
from typing import NamedTuple

from ..scan_types import (
    Number,
)


class BranchRequest(NamedTuple):
    """Which branches an estimator asks for.

    Attributes
    ----------
    independent : bool
        Whether the futures of the branches have noise of their own.
    once : bool
        Whether they branch off at one random time only.
    scales : bool
        Whether there are pairs for the scales of the actions, too, after those for the means.
    actions : int
    """

    independent: bool
    once: bool
    scales: bool
    actions: int

    @property
    def name(self) -> str:
        """What the branches are called in a kernel."""
        return ("apart" if self.independent else "branch") + ("_once" if self.once else "")

    @property
    def pairs(self) -> tuple[int, ...]:
        """The action of each pair."""
        return (*range(self.actions), *(range(self.actions) if self.scales else ()))

    @property
    def differences(self) -> list[str]:
        """The names of G^+ - G^- for each pair."""
        return [f"{self.name}{k}" for k in range(len(self.pairs))]

    def replaced(self, r: Sequence[Number]) -> list[tuple[int, Number]]:
        """Return (action, number in place of its e) for each branch, from the replacements r."""
        m = self.actions
        of_means = [(i, sign * r[i]) for i in range(m) for sign in (1, -1)]
        return of_means + [(i, r[m + 2 * i + k]) for i in range(m if self.scales else 0) for k in (0, 1)]


def replacements_count(actions: int, scales: bool) -> int:
    """Return how many replacements there are: W for each action, then M and U M for each."""
    return actions * (3 if scales else 1)
