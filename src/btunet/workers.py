"""Other processes that do part of the work: of this machine, or of a dask.distributed cluster.

Both are executors as the standard library defines them; several processes of one machine need nothing installed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from .device import cores, mind_the_machine, use_threads
from .errors import BtunetError

PATIENCE = 10  # seconds a scheduler has to answer


@contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """Give an executor and the number of its workers; what still runs at the end is ended or forgotten."""
    if scheduler:
        with _cluster(scheduler) as client:
            yield client.get_executor(pure=False), max(1, len(client.ncores()))
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch may hang
    pool = ProcessPoolExecutor(jobs, context, _begin, (max(1, cores() // jobs),))
    try:
        yield pool, jobs
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()  # what it has done is on the disk
        pool.shutdown(cancel_futures=True)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise BtunetError(
            'a scheduler needs dask.distributed; install it with: pip install "napari-btunet[cluster]"'
        ) from error
    try:
        client = Client(address, timeout=PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise BtunetError(f"the scheduler {address} cannot be reached: {error}") from error
    with client:
        yield client


def _begin(threads: int) -> None:
    """Set up a process of our own: Ctrl-C is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    mind_the_machine()
    use_threads(threads)
