"""What is said while a command runs, and how it is interrupted."""

from __future__ import annotations

import signal
import sys
import time

from ..device import place
from ..task import Progress

INTERRUPTED = 130  # exit status


class Console:
    """Shows progress on stderr; the first Ctrl-C asks the task to stop and keep what there is, the second ends it.

    SIGTERM, by which clusters announce that time is up, is like the first, however often it comes.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._shown = 0.0
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Console:
        self._before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._terminal:
            sys.stderr.write("\n")

    def _interrupt(self, number: int, _: object) -> None:
        if self.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.interrupted:
            say("stopping; what is done is kept (press Ctrl-C again to drop it)")
        self.interrupted = True

    def show(self, progress: Progress) -> bool:
        """Draw a line at most ten times a second on a terminal, once in five seconds elsewhere."""
        now, last = time.monotonic(), progress.step == progress.total and "/" not in progress.stage  # of several files
        if now - self._shown >= (0.1 if self._terminal else 5) or last:
            self._shown = now
            values = "  ".join(f"{name} {value:.3f}" for name, value in progress.values.items())
            values += f"  ({progress.health.word})" if progress.health else ""
            line = f"{progress.stage} {progress.step}/{progress.total}  {now - self._started:.0f} s  {values}"
            sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
            sys.stderr.flush()
        return self.interrupted


def say(sentence: str) -> None:
    if place()[0] == 0:  # of several processes the first speaks for all
        sys.stderr.write(f"{sentence}\n")


def blame(error: Exception) -> None:
    """Say what went wrong, in a line of its own even where several processes do."""
    rank, size = place()
    sys.stderr.write(f"btunet{f', process {rank + 1} of {size}' * (size > 1)}: {plain(str(error))}\n")


def plain(text: str) -> str:
    """Return one line without what would steer a terminal: names of files and classes may hold anything."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
