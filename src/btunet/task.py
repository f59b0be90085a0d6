"""A task is a generator: it yields `Progress`, takes a `Reply`, and returns its result.

The consumer's reply steers it: ``None`` goes on, ``True`` stops early and keeps what there is, a `Steer`
changes what the task works on. ``task.close()`` abandons it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from .health import Health

Result = TypeVar("Result")
Strokes: TypeAlias = Mapping[int, np.ndarray]
"""Annotated planes of one image: plane number → (Y, X) integers, 0 = not annotated."""


@dataclass(frozen=True)
class PredictedPlane:
    """One plane of one image as the model sees it now."""

    image: int  # which of the images given to the task
    plane: int
    mask: np.ndarray  # (Y, X) uint8, 0 = background, 1..K = classes
    corner: tuple[int, int] = (0, 0)  # where the mask begins if it is only a part, pixels
    doubt: np.ndarray | None = None  # (Y, X) uint8, 255 where two classes are equally likely; None says nothing


@dataclass(frozen=True)
class LearnedPlane:
    """What an encoder makes of one plane, or of a part of it: what it tells apart has different colours."""

    image: int  # which of the images given to the task
    plane: int
    colours: np.ndarray  # (Y, X, 3) uint8
    corner: tuple[int, int] = (0, 0)  # where the colours begin if they are only a part, pixels


@dataclass(frozen=True)
class Estimate:
    """Dice of a class, the interval it lies in with a probability of 95 %, and the number of strokes it rests on."""

    dice: float
    low: float
    high: float
    strokes: int


@dataclass(frozen=True)
class Spot:
    """A place where strokes would tell much, and why."""

    image: int  # which of the images given to the task
    plane: int
    y: int  # middle, pixels
    x: int
    side: int  # of the square that is meant, pixels
    reason: str


@dataclass(frozen=True)
class Progress:
    """Where a task stands."""

    stage: str
    step: int
    total: int  # steps in all; an estimate while a time budget runs, 0 when unknown
    values: Mapping[str, float] = field(default_factory=dict)
    planes: tuple[PredictedPlane, ...] = ()
    estimates: Mapping[int, Estimate] | None = None  # class → how good it is; None says nothing new
    spots: tuple[Spot, ...] | None = None  # where to paint next, the best first; None says nothing new
    doubts: tuple[Spot, ...] | None = None  # strokes that contradict the others, the surest first; None: nothing new
    learned: LearnedPlane | None = None  # the plane in sight as the encoder sees it; None says nothing new
    health: Health | None = None  # how it goes; None says nothing new


@dataclass(frozen=True)
class Steer:
    """A reply that changes what a running task works on; parts a task has no use for are ignored."""

    look_at: tuple[int, int] | None = None  # (image, plane) the user sees now: predicted first
    strokes: Mapping[int, Strokes] = field(default_factory=dict)  # image → the planes that changed


Reply: TypeAlias = bool | Steer | None
Task: TypeAlias = Generator[Progress, Reply, Result]


def run(task: Task[Result], on_progress: Callable[[Progress], Any] | None = None) -> Result:
    """Run a task to its end and return its result.

    Parameters
    ----------
    task
        Any task of this package.
    on_progress
        Called with every `Progress`; what it returns is the reply (``True`` stops early and keeps the result).

    Examples
    --------
    >>> def count() -> Task[int]:
    ...     for step in range(10):
    ...         if (yield Progress("counting", step, 10)) is True:
    ...             break
    ...     return step
    >>> run(count(), lambda progress: progress.step == 3)
    3
    """
    reply: Reply = None
    with closing(task):
        while True:
            try:
                progress = task.send(reply)
            except StopIteration as end:
                result: Result = end.value
                return result
            reply = on_progress(progress) if on_progress else None


def titled(task: Task[Result], title: str) -> Task[tuple[Result, bool]]:
    """Run a task as part of another, with a word added to its progress; return also whether it was asked to stop."""
    reply, stopped = None, False
    with closing(task):
        while True:
            try:
                progress = task.send(reply)
            except StopIteration as end:
                return end.value, stopped
            reply = yield replace(progress, stage=progress.stage + title)
            stopped |= reply is True  # it may go on for a while, in another process
