"""Where moments come from, so that no trajectory is counted twice and saved results say what they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Source(NamedTuple):
    """Where moments come from: what was measured, and which trajectories of which seed.

    Of a batch, theta is (B, P), and `seed` and `start` are tuples of B; `problem` is one, or a tuple of B.
    """

    problem: Any  # a Problem, or how it prints once it has been saved
    theta: Any
    seed: Any
    start: Any
    count: int  # type: ignore[assignment]  # what a tuple has by that name is not wanted

    def each(self) -> list[Source]:
        """Return the source of every entry of a batch; a single one for what is no batch."""
        if np.ndim(self.seed) == 0:
            return [self]
        several = isinstance(self.problem, (tuple, list))
        problems = self.problem if several else [self.problem] * len(self.seed)
        each = zip(problems, self.theta, self.seed, self.start, strict=True)
        return [Source(*entry, self.count) for entry in each]

    def overlaps(self, other: Source) -> bool:
        """Tell whether both have seen some of the same trajectories."""
        return (
            self.seed == other.seed
            and np.array_equal(self.theta, other.theta)
            and str(self.problem) == str(other.problem)
            and self.start < other.start + other.count
            and other.start < self.start + self.count
        )

    def words(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        several = isinstance(self.problem, (tuple, list))
        problem = list(map(str, self.problem)) if several else str(self.problem)
        return self._asdict() | {"problem": problem, "theta": np.asarray(self.theta).tolist()}

    def __reduce__(self) -> tuple[Any, ...]:  # functions of problems cannot be pickled; how they print can
        return Source, tuple(self.words().values())
