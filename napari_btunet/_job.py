"""Run a task in a napari worker and hand its progress to the window, never faster than the window can draw."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from psygnal import Signal

import btunet

from ._heap import give_back

logger = logging.getLogger(__name__)
REDRAW = 0.1  # seconds between two redraws
SILENCE = 20.0  # seconds without a step after which the user is told

ABANDON = object()
Ending = tuple[str, Any]  # "done" with the result, "failed" with the error, or "abandoned"


class Job:
    """One task in a napari worker, until it ends, fails, or is abandoned.

    The worker may be starved of the event loop or outlive the window, so the task is steered through a queue and looks
    at it at every progress; a task in a child process makes progress at least twice a second.
    """

    progressed = Signal(list)  # of btunet.Progress, oldest first
    ended = Signal(str, object)  # how, and the result or the error

    def __init__(self, task: btunet.Task[Any], title: str) -> None:
        self.title = title
        self.is_stopping = False
        self.pace = Pace()
        self._task = task
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._drawn = threading.Event()
        self._drawn.set()

    def start(self) -> None:
        """Start the worker; signals come in the main thread."""
        from napari.qt.threading import create_worker

        worker = create_worker(_consume, self._task, self._orders, self._drawn, _start_thread=False)
        self._worker = worker  # its signals must live until the last of them is delivered
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.aborted.connect(self._on_aborted)
        worker.start()

    def steer(self, steer: btunet.Steer) -> None:
        """Send a change to the task; the latest look and all strokes arrive."""
        self._orders.put(steer)

    def stop(self) -> None:
        """Ask the task to stop and keep what it has."""
        self.is_stopping = True
        self._orders.put(True)

    def abandon(self) -> None:
        """End the task without a result."""
        self.is_stopping = True
        self._orders.put(ABANDON)

    def _on_yielded(self, waiting: list[btunet.Progress] | None) -> None:
        if waiting:
            self.pace.note(waiting[-1])
            self.progressed.emit(waiting)
            self._drawn.set()

    def _on_returned(self, ending: Ending) -> None:
        self.ended.emit(*ending)

    def _on_aborted(self) -> None:
        """Napari itself quit the worker (its window closes): the task hangs at a yield and must be closed here."""
        self._task.close()
        self.ended.emit("abandoned", None)


def _consume(
    task: btunet.Task[Any], orders: queue.SimpleQueue[Any], drawn: threading.Event
) -> Generator[list[btunet.Progress] | None, None, Ending]:
    """Run a task in the worker's thread; yields what happened since the last redraw, or None to stay interruptible."""
    waiting: list[btunet.Progress] = []
    last, reply = 0.0, None
    ending: Ending
    try:
        while True:
            waiting.append(task.send(reply))
            reply = _next_order(orders)
            if reply is ABANDON:
                ending = ("abandoned", None)
                break
            now = time.perf_counter()
            if now - last >= REDRAW:
                last = now
                if drawn.is_set():
                    drawn.clear()
                    yield waiting
                    waiting = []
                else:
                    yield None
    except StopIteration as end:
        ending = ("done", end.value)
    except Exception as error:  # a RuntimeError that leaves this frame is swallowed by the worker
        logger.debug("a task failed", exc_info=True)
        ending = ("failed", error)
    finally:
        task.close()
        give_back()
    if ending[0] == "done":
        drawn.wait(timeout=1)  # not for ever: the window may be gone
        drawn.clear()
        yield waiting
    return ending


def _next_order(orders: queue.SimpleQueue[Any]) -> Any:
    """Return one reply that stands for all waiting orders; abandoning beats stopping beats steering."""
    steer: btunet.Steer | None = None
    while not orders.empty():
        order = orders.get()
        if order is ABANDON or order is True:
            return order
        strokes = dict(steer.strokes) if steer else {}
        for image, planes in order.strokes.items():
            strokes[image] = {**strokes.get(image, {}), **planes}
        look_at = order.look_at or (steer.look_at if steer else None)
        steer = replace(order, look_at=look_at, strokes=strokes)
    return steer


class Pace:
    """Turns progress into a sentence with rate and time left."""

    def __init__(self) -> None:
        now = time.monotonic()
        self._latest = btunet.Progress("starting", 0, 0)
        self._news = now
        self._first: tuple[float, int] | None = None

    def note(self, progress: btunet.Progress) -> None:
        """Take in the newest progress."""
        now = time.monotonic()
        if (progress.stage, progress.step) != (self._latest.stage, self._latest.step):
            self._news = now
        if self._first is None or progress.stage != self._latest.stage:
            self._first = (now, progress.step)
        self._latest = progress

    @property
    def fraction(self) -> float:
        """Part that is done, 0..1; 0 while unknown."""
        return min(1.0, self._latest.step / self._latest.total) if self._latest.total else 0.0

    def sentence(self) -> str:
        """Say stage, steps, rate, time left, and after a long silence what is waited for."""
        latest, now = self._latest, time.monotonic()
        parts = [latest.stage.capitalize()]
        if latest.total:
            parts[0] += f": {latest.step} of {latest.total}"
        since, step = self._first or (now, latest.step)
        rate = (latest.step - step) / (now - since) if now > since else 0.0
        if rate > 0:
            parts.append(f"{rate:.1f} per second" if rate >= 1 else f"{1 / rate:.1f} seconds each")
            parts.append(_time_left((latest.total - latest.step) / rate))
        if now - self._news > SILENCE:
            parts.append(f"no news for {now - self._news:.0f} s, waiting for the background process")
        return ", ".join(parts)


def _time_left(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left"
