"""Where moments come from, so that no trajectory is counted twice and nothing is averaged with something else.

What was measured is noted as it was run: a digest of the kernel's text, in which every function of the problem and of the
estimators is spelled out, and the numbers that it read. Texts are compared letter by letter; numbers to nine digits, data of
estimators to six, because what comes from linear algebra (factors of covariances, exact values) differs in its last digits from
processor to processor. Coefficients that are fitted anew for each measurement are no part of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .version import __version__

WHOLE = 64  # numbers of an array that are noted one by one; of a larger one, some weighted sums
SUMS = 8
DIGITS, DIGITS_OF_DATA = 1e-9, 1e-6  # relative differences that may be rounding
NOISE = 1e-12  # of the largest number of an array: what is smaller may be the rounding error of a zero


class Source(NamedTuple):
    """Where moments come from: what was measured, and which trajectories of which seed.

    Of a batch, theta is (B, P), and `seed` and `start` are tuples of B; `problem` and `of` are one, or tuples of B.
    """

    problem: Any  # a Problem, or how it prints once it has been saved
    theta: Any
    seed: Any
    start: Any
    count: int  # type: ignore[assignment]  # what a tuple has by that name is not wanted
    of: Any = None  # what was run, see `facts`; None in files of versions that did not note it

    def each(self) -> list[Source]:
        """Return the source of every entry of a batch; a single one for what is no batch."""
        if np.ndim(self.seed) == 0:
            return [self]
        B = len(self.seed)
        problems, of = (list(x) if isinstance(x, (tuple, list)) else [x] * B for x in (self.problem, self.of))
        each = zip(problems, self.theta, self.seed, self.start, of, strict=True)
        return [Source(problem, theta, seed, start, self.count, what) for problem, theta, seed, start, what in each]

    def differs(self, other: Source) -> str | None:
        """Say what was measured otherwise than in another one, "theta: -0.6 and -0.1"; None where it is the same."""
        if self.of is None or other.of is None:
            return "what was measured: not noted, in a file of an earlier version; measure it again"
        if (found := _difference("theta", self.theta, other.theta, DIGITS)) is not None:
            return found
        for name in dict.fromkeys([*self.of, *other.of]):
            digits = DIGITS_OF_DATA if name.startswith(DATA) else DIGITS
            if (found := _difference(name, self.of.get(name), other.of.get(name), digits)) is not None:
                return found
        return None

    def overlaps(self, other: Source) -> bool:
        """Tell whether both, of the same, have seen some of the same trajectories."""
        return (
            self.seed == other.seed and self.start < other.start + other.count and other.start < self.start + self.count
        )

    def words(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        several = isinstance(self.problem, (tuple, list))
        problem = list(map(str, self.problem)) if several else str(self.problem)
        of = [*map(_words, self.of)] if isinstance(self.of, (tuple, list)) else _words(self.of)
        return self._asdict() | {"problem": problem, "theta": np.asarray(self.theta).tolist(), "of": of}

    def __reduce__(self) -> tuple[Any, ...]:  # functions of problems cannot be pickled; how they print can
        return Source, tuple(self.words().values())


def check_apart(mine: Sequence[Source], theirs: Sequence[Source]) -> None:
    """Raise ValueError unless both are of the same, and have no trajectories in common."""
    if bool(mine) != bool(theirs):
        raise ValueError("other: expected moments from `measure` both times, got some of samples in memory")
    pairs = [(a, b) for x in mine for y in theirs for a, b in zip(x.each(), y.each(), strict=True)]
    if (what := next(filter(None, (a.differs(b) for a, b in pairs)), None)) is not None:
        raise ValueError(f"other: expected moments of the same problem, theta and estimators; these differ in {what}")
    for a, b in pairs:
        if a.overlaps(b):
            raise ValueError(
                f"other: expected other trajectories than {a.start} to {a.start + a.count - 1} of seed {a.seed}, got "
                f"{b.start} to {b.start + b.count - 1}; measure with start="
            )


DATA = "data of the estimators"  # baselines, critics, coefficients
OVER_TIME = f"{DATA} over time"


def facts(program: Any, problem: Any, sampling: Any) -> dict[str, Any]:
    """Return what a measurement depends on but for theta and its trajectories, by what it is called in messages.

    Parameters
    ----------
    program : Program
        That is run; with stand-ins for coefficients that are fitted anew each time.
    problem : Problem
    sampling : Design or None
        The sampling design.
    """
    kernel, (_, first, last) = program.kernel, program.data
    found: dict[str, Any] = {"environment": problem.environment.name, "policy": problem.policy.name}
    found |= {"horizon": program.horizon, "discount": problem.discount}
    for owner, params in (("params", problem.environment.params), ("params of the policy", problem.policy.params)):
        found |= {f"{owner}[{name!r}]": x for name, x in params.items() if name not in problem.design}
    found["params"] = program.p
    found["precision"] = kernel.precision
    found["design"] = None if sampling is None else f"{sampling.kind} of {sampling.size}"
    found["estimators"] = kernel.label.rpartition(": ")[2]
    found["functions of the problem or of the estimators"] = f"text {kernel.digest}"
    if program.c.size:
        found[DATA] = _noted(program.c)
    if first != last:
        found[OVER_TIME] = _noted(program.rows[:, first:last])
    return found | {"version of mcgrad": __version__}


# ---- numbers as they are noted ------------------------------------------------------------------------------------


def _noted(x: Any) -> Any:
    """Return numbers as they are, or of many of them their shape and weighted sums that tell them from any others."""
    x = np.asarray(x, dtype=float)
    if x.size <= WHOLE:
        return x
    # On a scale on which small numbers next to large ones count, but not those that are but rounding errors.
    scale = np.abs(x).max() or 1.0
    levels = np.arcsinh(x.ravel() / (NOISE * 1e3 * scale))
    return {"shape": list(x.shape), "largest": float(scale), "sums": (_weights(x.size) @ levels).tolist()}


@functools.lru_cache(maxsize=16)
def _weights(size: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((SUMS, size)) / np.sqrt(size)


def _words(of: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return facts as JSON takes them."""
    return None if of is None else {name: _plain(x) for name, x in of.items()}


def _plain(x: Any) -> Any:
    x = _noted(x) if isinstance(x, np.ndarray) else x
    return x.tolist() if isinstance(x, np.ndarray) else x


def _difference(name: str, a: Any, b: Any, digits: float) -> str | None:
    """Return "NAME: A and B" where two facts are not the same, to so many digits."""
    a, b = _plain(a), _plain(b)
    if a == b or _same(a, b, digits):
        return None
    told, other = _told(a), _told(b)
    return f"{name}: {told} and {other}" if told != other else f"{name}: two that differ"


def _same(a: Any, b: Any, digits: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        largest = np.isclose(a["largest"], b["largest"], digits, 0.0)
        return a["shape"] == b["shape"] and bool(largest and np.allclose(a["sums"], b["sums"], 0.0, DIGITS_OF_DATA))
    if any(isinstance(x, (str, dict, type(None))) for x in (a, b)):
        return False
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape:
        return False
    largest = max(np.abs(x).max(initial=0.0), np.abs(y).max(initial=0.0))
    return bool((np.abs(x - y) <= digits * np.maximum(np.abs(x), np.abs(y)) + NOISE * largest).all())


def _told(x: Any) -> str:
    """Return a fact in a few words."""
    if isinstance(x, dict):
        return f"{x['shape']} numbers"
    text = "none" if x is None else " ".join(str(x).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
