"""A word on stderr for whoever waits longer than two seconds."""

import sys
import time


class Progress:
    """Report how far a measurement is, on one line of stderr that is rewritten; silent for the first two seconds.

    Parameters
    ----------
    total : int
        Number of trajectories.
    show : None, bool or callable
        None and True: stderr. False: nothing. A callable gets (done, total) after each piece of work.
    """

    PATIENCE, INTERVAL = 2.0, 0.5

    def __init__(self, total, show=None):
        self.total, self.show, self.done = total, show, 0
        self.started = self.printed = time.monotonic()
        self.wrote = False

    def add(self, count):
        """Count trajectories as done."""
        self.done += count
        if callable(self.show):
            self.show(self.done, self.total)
        elif self.show is not False:
            now = time.monotonic()
            if now - self.started > self.PATIENCE and now - self.printed > self.INTERVAL:
                self.printed = now
                self._print(now)

    def pause(self, seconds):
        """Leave out a while in which nothing was simulated, for a compilation that said so itself."""
        self.started += seconds
        self.printed += seconds

    def _print(self, now):
        rate = self.done / (now - self.started)
        left = (self.total - self.done) / rate
        line = f"{self.done / self.total:4.0%} of {self.total:.3g} trajectories, {rate:.2g}/s, {left:.0f} s left"
        print(f"\rmcgrad: {line:<70}", end="", file=sys.stderr, flush=True)
        self.wrote = True

    def close(self):
        """End the line."""
        if self.wrote:
            print(file=sys.stderr, flush=True)
