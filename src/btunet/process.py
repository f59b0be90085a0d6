"""Run a task in a child process of low priority; it stays a task.

The parent starts ``python -m btunet.process`` and talks to it over its standard streams: the child sends Progress, the
result or an error, the parent sends replies (`messages`). The child ends when its input does, so it never outlives its
parent.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from . import device
from .errors import BtunetError, Died, Killed
from .messages import receive, send
from .task import Progress, Reply, Task

logger = logging.getLogger(__name__)
HEARTBEAT = 0.5  # seconds
EARLY = "--early"  # tells a child to import what takes long before it has a job
PROMPT = ("answer",)  # what somebody waits for goes on at normal priority
SLOW = ("finetuning", "pretraining", "prediction", "answering", "transfer")  # modules that take long to import


class Spare:
    """Keeps a child ready that has imported everything (a few hundred megabytes), so that the next job starts at once.

    One for every window, say; `drop` it in the end. Children never outlive this process anyway.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._is_dropped = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Number of the process that waits, if one does."""
        child = self._child
        return child.pid if child else None

    def prepare(self) -> None:
        """Start a child unless one waits."""
        with self._lock:
            if not self._is_dropped:
                self._child = self._living() or _start(EARLY)

    def take(self) -> subprocess.Popen[bytes]:
        """Return the child that waits, or a new one."""
        with self._lock:
            child, self._child = self._living(), None
        return child or _start()

    def drop(self) -> None:
        """End the child that waits; there will be no other."""
        with self._lock:
            child, self._child, self._is_dropped = self._child, None, True
        if child is not None:
            _end(child)

    def _living(self) -> subprocess.Popen[bytes] | None:
        """Return the child if it lives; bury it if it was killed."""
        if self._child is not None and self._child.poll() is not None:
            _end(self._child)
            self._child = None
        return self._child


def in_child(
    verb: str,
    *args: Any,
    threads: int = 0,
    spare: Spare | None = None,
    heartbeat: float = HEARTBEAT,
    **kwargs: Any,
) -> Task[Any]:
    """Run ``btunet.<verb>(*args, **kwargs)`` in a child process, as the same task.

    Progress, replies, result and errors are those of the task itself; a Progress that the task yields twice in a row is
    sent once. While the child is silent the last one is repeated, so that whoever consumes the task can steer or stop
    it at any time. Closing the task kills the child.

    Parameters
    ----------
    verb
        A public name of btunet that makes a task, or ``"module:function"``.
    threads
        Processor threads of the child; 0 leaves one core free.
    spare
        What keeps a child ready. It is taken, and replaced as soon as it makes steps.
    heartbeat
        Seconds after which the last Progress is repeated.

    Raises
    ------
    ValueError, BtunetError
        As the task does; any other error becomes a BtunetError, with the child's traceback in the log.
    Died
        If the child ends without an answer; Killed if it was killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="btunet-"))
    messages: queue.Queue[tuple[str, Any] | None] = queue.Queue(maxsize=64)
    child, ear = spare.take() if spare else _start(), None
    remove = weakref.finalize(child, shutil.rmtree, folder, ignore_errors=True)  # also when Python itself ends
    try:
        assert child.stdin is not None and child.stdout is not None
        ear = threading.Thread(target=_receive, args=(child.stdout, folder, messages), daemon=True)
        ear.start()
        with suppress(BrokenPipeError):  # a child that is already gone is reported below
            _hand_over(child.stdin, folder, (verb, args, kwargs), threads)
        result = yield from _follow(child, folder, messages, spare, heartbeat)
        return result
    finally:
        _end(child)
        while ear is not None and ear.is_alive():  # it may wait for room in the queue
            with suppress(queue.Empty):
                messages.get(timeout=0.01)
        remove()


def _start(*options: str) -> subprocess.Popen[bytes]:
    below_normal = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # Windows only
    return subprocess.Popen(
        [sys.executable, "-m", "btunet.process", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        creationflags=below_normal,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def _hand_over(pipe: IO[bytes], folder: Path, job: tuple[str, Any, Any], threads: int) -> None:
    pipe.write(f"{folder}\n{threads}\n".encode())
    pipe.flush()
    try:
        send(pipe, folder, job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BtunetError(f"the image cannot be handed to the background process ({error}); save it first") from error


def _follow(
    child: subprocess.Popen[bytes],
    folder: Path,
    messages: queue.Queue[tuple[str, Any] | None],
    spare: Spare | None,
    heartbeat: float,
) -> Task[Any]:
    assert child.stdin is not None
    last = Progress("starting", 0, 0)
    while True:
        try:
            message = messages.get(timeout=heartbeat)
        except queue.Empty:
            message = ("progress", Progress(last.stage, last.step, last.total, last.values))
        if message is None:
            raise _end_of(child)
        kind, content = message
        if spare and (kind == "result" or (kind == "progress" and content.step)):
            spare.prepare()
        if kind == "result":
            return content
        if kind == "error":
            error, text = content
            logger.error("the background process failed:\n%s", text)
            raise error
        last = content
        reply: Reply = yield content
        if reply is not None and reply is not False:
            with suppress(BrokenPipeError):  # it ended meanwhile; its last message says how
                send(child.stdin, folder, reply)


def _end_of(child: subprocess.Popen[bytes]) -> Died:
    """Return an error that says in one sentence how a child ended that sent no answer."""
    who = "the background process"
    try:
        code = child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return Died(f"{who} sent something that could not be read; try again")
    if code == -getattr(signal, "SIGKILL", 9):
        return Killed(f"{who} was killed, most likely for lack of memory; lower the batch or the patch size")
    return Died(f"{who} ended unexpectedly (code {code}); what was saved before is safe, try again")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and wait until it is gone."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):  # unsent bytes to a child that is gone
                pipe.close()


def _receive(pipe: IO[bytes], folder: Path, messages: queue.Queue[tuple[str, Any] | None]) -> None:
    """Put the child's messages into the queue; None when there are no more."""
    try:
        while True:
            messages.put(receive(pipe, folder))
    except (EOFError, OSError, ValueError):  # the pipe was closed, or the child died in the middle of a message
        logger.debug("the background process sends no more")
    finally:
        messages.put(None)


# ---------------------------------------------------------------------------------------------- the child


def main() -> None:
    """Be the child: take one job from standard input, send what it yields to standard output."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # prints must not end up between messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    device.mind_the_machine()
    if EARLY in sys.argv:
        _import_early()
    folder, threads = Path(source.readline().decode().strip()), int(source.readline() or -1)
    if threads < 0:  # the parent is gone, or has no job
        return
    try:
        verb, args, kwargs = receive(source, folder)
        if verb not in PROMPT:
            device.lower_priority()
        replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(source, folder, replies), daemon=True).start()
        result = _work(_prepare(verb, threads)(*args, **kwargs), replies, lambda p: send(sink, folder, ("progress", p)))
        sys.stdout.flush()  # once the parent has the result, it ends us
        send(sink, folder, ("result", result))
    except (EOFError, BrokenPipeError):  # the parent is gone; the listener may not listen yet
        shutil.rmtree(folder, ignore_errors=True)
    except (ValueError, BtunetError) as error:
        send(sink, folder, ("error", (error, traceback.format_exc())))
    except BaseException as error:  # noqa: BLE001  # reported to the parent, whatever it is
        kind = BtunetError(f"the work failed: {type(error).__name__}: {error}; the log has the details")
        if isinstance(error, ModuleNotFoundError):
            kind = BtunetError(f"{error.name} is not installed; run: pip install {error.name}")
        send(sink, folder, ("error", (kind, traceback.format_exc())))
    finally:
        sys.stdout.flush()
        os._exit(0)  # the listener still reads standard input, and Python would abort over that at its own end


def _work(task: Task[Any], replies: queue.SimpleQueue[Reply], tell: Callable[[Progress], None]) -> Any:
    """Run a task that is told what the parent replied as soon as it is heard; return its result."""
    reply: Reply = None
    told = None
    while True:
        try:
            progress = task.send(reply)
        except StopIteration as end:
            return end.value
        if progress is not told:
            tell(progress)
        told = progress
        reply = None if replies.empty() else replies.get()


def _import_early() -> None:
    """Import what any job may need; what is missing is for the job to report."""
    for name in SLOW:
        with suppress(ImportError):
            import_module(f"btunet.{name}")


def _prepare(verb: str, threads: int) -> Callable[..., Task[Any]]:
    """Set the number of threads and return the function that makes the task."""
    device.use_threads(threads)
    module, _, name = verb.rpartition(":")
    made: Callable[..., Task[Any]] = getattr(import_module(module or "btunet"), name)
    return made


def _listen(source: IO[bytes], folder: Path, replies: queue.SimpleQueue[Reply]) -> None:
    """Take replies; when the parent is gone, leave nothing behind and end at once."""
    with suppress(EOFError, OSError):
        while True:
            replies.put(receive(source, folder))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
