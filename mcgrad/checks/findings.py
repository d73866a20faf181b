"""Answers to the questions of `mcgrad.check`, for a person to read and for a program."""

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

CHANCE = 1e-4  # of a false alarm by a z, comparisons counted
MARKS = {"ok": "ok", "wrong": "WRONG", "note": "note", "none": "-"}
UNSEEN = 0.1  # what would have hidden an error of more than this part has not been tested


@dataclasses.dataclass(frozen=True, repr=False)
class Finding:
    """The answer to one question.

    Attributes
    ----------
    name : str
    status : str
        "ok", "wrong", "note" (worth knowing) or "none" (the question could not be asked).
    text : str
        What was found, for a person.
    values : dict
        The figures behind it, for a program.
    """

    name: str
    status: str
    text: str
    values: Mapping[Any, Any] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        mark = MARKS[self.status]
        first, *more = self.text.splitlines()
        return "\n".join([f"{self.name:<9} {mark:<6} {first}", *(f"{'':16} {line}" for line in more)])


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What `mcgrad.check` found: `report["score"]` is a Finding, `print(report)` tells all of them."""

    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Finding:
        found = next((x for x in self.findings if x.name == name), None)
        if found is None:
            raise KeyError(
                f"nothing called {name!r} was looked at; there are {', '.join(x.name for x in self.findings)}"
            )
        return found

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    @property
    def wrong(self) -> list[str]:
        """The names of what is wrong."""
        return [x.name for x in self.findings if x.status == "wrong"]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.findings))


def limit(comparisons: int) -> float:
    """Return the z that chance exceeds in one of 10^4 such checks."""
    return statistics.NormalDist().inv_cdf(1.0 - CHANCE / (2 * max(comparisons, 1)))


def reason(text: object) -> str:
    """Return the first part of a message, on one line: why something is not there."""
    return " ".join(str(text).split()).split("; ")[0]


def percent(x: float) -> str:
    """Return a fraction as text: 3.2%, 250%, "any part" where it is not finite."""
    if not x < float("inf"):
        return "any part"
    return f"{100 * x:.2g}%" if x < 1 else f"{100 * x:,.0f}%"
