"""A word on stderr for whoever waits longer than two seconds."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

from .compiler.cache import compiling as compiling
from .validate import describe

# What a user may give as `progress`: see `Progress`.
Show: TypeAlias = "bool | Callable[[float, float], object] | Any | None"


class Progress:
    """Report how far a measurement is, on one line of stderr that is rewritten; silent for the first two seconds.

    Parameters
    ----------
    total : int
        Number of trajectories.
    show : None, bool, callable or tqdm
        None and True: stderr. False: nothing. A callable gets (done, total) after each piece of work. tqdm, the class, makes a
        bar for this measurement; a bar of tqdm's that is there already is moved on, and left open.
    unit : str
        What is counted.
    say : callable, optional
        say(seconds left) in place of the line on stderr.
    """

    PATIENCE, INTERVAL = 2.0, 0.5

    def __init__(
        self, total: float, show: Show = None, unit: str = "trajectories", say: Callable[[float], object] | None = None
    ) -> None:
        self.total, self.show, self.unit, self.say = total, show, unit, say
        self.done: float = 0
        self.bar: Any
        self.bar, self.own = (show, False) if _is_bar(show) else (None, True)
        if isinstance(show, type) and self.bar is not None:
            self.bar, self.own = show(total=total, unit=f" {unit}", unit_scale=True), True
        self.started = self.printed = time.monotonic()
        self.wrote = False

    def add(self, count: float) -> None:
        """Count trajectories as done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif callable(self.show):
            self.show(self.done, self.total)
        elif self.show is not False:
            now = time.monotonic()
            if now - self.started > self.PATIENCE and now - self.printed > self.INTERVAL:
                self.printed = now
                self._print(now)

    def pause(self, seconds: float) -> None:
        """Leave out a while in which nothing was simulated, for a compilation that said so itself."""
        self.started += seconds
        self.printed += seconds
        if hasattr(self.bar, "start_t"):  # what tqdm's rate and time left are counted from
            self.bar.start_t += seconds
            self.bar.last_print_t += seconds

    def _print(self, now: float) -> None:
        rate = self.done / (now - self.started)
        left = (self.total - self.done) / rate
        if self.say is not None:
            self.say(left)
            return
        line = f"{self.done / self.total:4.0%} of {self.total:.3g} {self.unit}, {rate:.2g}/s, {left:.0f} s left"
        print(f"\rmcgrad: {line:<70}", end="", file=sys.stderr, flush=True)
        self.wrote = True

    def close(self) -> None:
        """End the line."""
        if self.bar is not None and self.own:
            self.bar.close()
        if self.wrote:
            print(file=sys.stderr, flush=True)


class StudyProgress:
    """Say how far a study is: a line on stderr now and then, ever more seldom; a context.

    Parameters
    ----------
    name : str
    work : list of float
        How long each setting takes, relative to the others.
    known : list of bool
        Which are done already: they cost no time.
    show
        As for `Progress`; settings count by their work.
    """

    SELDOM = 0.05  # a line when so much more time has gone by

    def __init__(self, name: str, work: Sequence[float], known: Sequence[bool], show: Show = None) -> None:
        self.name, self.work, self.number, self.next = name, work, sum(known), 0.0
        total = sum(w for w, done in zip(work, known, strict=True) if not done)
        self.bar = Progress(total, checked(show), "settings, weighed", self._say)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.bar.close()

    def finished(self, number: int, compiled: float) -> None:
        """Count a setting as done, of whose time so many seconds went to the compiler."""
        self.number += 1
        self.bar.pause(compiled)
        self.bar.add(self.work[number])

    def _say(self, left: float) -> None:
        now = time.monotonic()
        if now < self.next and self.number < len(self.work):
            return
        self.next = now + max(Progress.PATIENCE, self.SELDOM * (now - self.bar.started))
        rest = f", {duration(left)} left" if self.number < len(self.work) else ""
        print(f"{self.name}: {self.number} of {len(self.work)} settings{rest}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a time in words, as exactly as it is known."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def checked(progress: object) -> Show:
    """Return what a user gave as `progress`."""
    if progress is None or isinstance(progress, bool) or callable(progress) or _is_bar(progress):
        return progress
    raise ValueError(f"progress: expected None, a bool, a function or tqdm, got {describe(progress)}")


def _is_bar(show: object) -> bool:
    """Tell whether something is tqdm, or a bar of it; it need not be installed to tell."""
    return all(callable(getattr(show, name, None)) for name in ("update", "close"))
