"""Tasks that misbehave on purpose, for test_process.py to run in a child process."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from btunet import BtunetError, Progress, Task


def count(steps: int, pause: float = 0.0) -> Task[int]:
    done = 0
    for done in range(1, steps + 1):
        time.sleep(pause)
        if (yield Progress("counting", done, steps, {"half": done / 2})) is True:
            break
    return done


def echo(thing: Any) -> Task[Any]:
    yield Progress("thinking", 0, 1)
    return thing


def replies(steps: int) -> Task[list[Any]]:
    heard: list[Any] = []
    for step in range(steps):
        heard.append((yield Progress("listening", step, steps)))
        time.sleep(0.05)
    return [h for h in heard if h is not None]


def fail(kind: str) -> Task[None]:
    yield Progress("failing", 0, 1)
    raise {
        "value": ValueError("strokes are wrong"),
        "btunet": BtunetError("the disk is gone"),
        "runtime": RuntimeError("deep inside"),
    }[kind]


def die(number: int) -> Task[None]:
    yield Progress("dying", 1, 2)
    os.kill(os.getpid(), number)
    time.sleep(30)


def facts() -> Task[dict[str, Any]]:
    """Say what the child is like, and print, which must not disturb the messages."""
    imported = "btunet.finetuning" in sys.modules
    import torch

    print("printed by python")  # noqa: T201 (what is tested)
    os.write(1, b"written to the file descriptor\n")
    yield Progress("looking", 0, 1)
    return {"pid": os.getpid(), "nice": os.nice(0), "threads": torch.get_num_threads(), "imported": imported}


def memory_of(array: np.ndarray) -> Task[dict[str, Any]]:
    """Say how an array arrived."""
    yield Progress("looking", 0, 1)
    return {
        "memmap": isinstance(array, np.memmap),
        "file": str(getattr(array, "filename", "")),
        "writeable": array.flags.writeable,
        "sum": int(array.sum(dtype=np.int64)),
    }


def unpicklable() -> Task[Any]:
    yield Progress("making", 0, 1)
    return (i for i in range(3))
