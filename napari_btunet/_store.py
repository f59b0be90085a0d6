"""Writes to a disk in a thread of its own, so that a slow or full one never holds up the window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import btunet
from btunet.journal import Block, Journal


class Store:
    """What waits to be written: strokes in the order they came, and everything else after them.

    What fails stays and is tried again, so that a model too large for the disk keeps no stroke from it.
    """

    def __init__(self) -> None:
        self._strokes: deque[tuple[Journal, list[Block]]] = deque()
        self._acts: deque[Callable[[], Any]] = deque()  # in any order
        self._writer = ThreadPoolExecutor(1, "btunet writer")
        self._work: Future[str] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything waits or is being written, or was and `hear` has not told yet."""
        return bool(self._strokes or self._acts or self._work)

    def put(self, journal: Journal, blocks: list[Block]) -> None:
        """Have strokes written."""
        self._strokes.append((journal, blocks))

    def act(self, act: Callable[[], Any]) -> None:
        """Have something else done; it is called again if it raises a BtunetError."""
        self._acts.append(act)

    def send(self) -> None:
        """Begin to write what waits."""
        if self._work is None and self.is_busy:
            with suppress(RuntimeError):  # Python itself is ending and takes no more work; `close` writes what is left
                self._work = self._writer.submit(self._write)

    def hear(self) -> str | None:
        """Return why something could not be written, "" if everything was, None if nothing is known yet."""
        if self._work is None or not self._work.done():
            return None
        why, self._work = self._work.result(), None
        return why

    def wait(self) -> str:
        """Write what waits, and return when that is done why something could not be written, or ""."""
        if self._work is not None:
            self._work.result()
            self._work = None
        self.send()
        work, self._work = self._work, None
        return work.result() if work is not None else ""

    def _write(self) -> str:
        why = ""
        try:
            while self._strokes:
                journal, blocks = self._strokes[0]
                journal.append(blocks)
                self._strokes.popleft()
        except btunet.BtunetError as error:
            why = str(error)
        for _ in range(len(self._acts)):
            act = self._acts.popleft()
            try:
                act()
            except btunet.BtunetError as error:
                self._acts.append(act)
                why = why or str(error)
        return why

    def close(self) -> None:
        """Write what waits, and return when it is written."""
        self._writer.shutdown(wait=True)
        if self._strokes or self._acts:
            self._write()
