"""The answer to every stroke while nothing trains: a task of its own beside the session's job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import btunet
from btunet.honest import ENOUGH

from ._job import Job
from ._ledger import PATIENCE, Ledger

if TYPE_CHECKING:
    from napari.layers import Image

MODES = ("live", "once", "off")
PROMPT = 0.05  # seconds that a stroke may wait for an idle process to be asked


class Trail:
    """Suggested places, the best first, and those the user was taken to."""

    def __init__(self) -> None:
        self._best: list[tuple[Image, btunet.Spot]] = []
        self._seen: list[tuple[Image, btunet.Spot]] = []
        self._at = -1

    def renew(self, best: list[tuple[Image, btunet.Spot]]) -> None:
        """Take in new suggestions; those that were visited are not made again."""
        self._best = best

    def step(self, forward: bool) -> tuple[Image, btunet.Spot] | None:
        """Return the next place, or the one before; None if there is none."""
        if not forward:
            self._at = max(self._at - 1, 0)
        elif self._at + 1 < len(self._seen):
            self._at += 1
        else:
            new = (found for found in self._best if all(not _same(found, old) for old in self._seen))
            found = next(new, None)
            if found is None:
                return None
            self._seen.append(found)
            self._at = len(self._seen) - 1
        return self._seen[self._at] if self._seen else None

    def forget(self, image: Image) -> None:
        """Let go of the places in an image that is not open any more."""
        self._best = [found for found in self._best if found[0] is not image]
        self._seen = [found for found in self._seen if found[0] is not image]
        self._at = min(self._at, len(self._seen) - 1)


def _same(one: tuple[Image, btunet.Spot], other: tuple[Image, btunet.Spot]) -> bool:
    """Return whether two places overlap by more than half."""
    a, b = one[1], other[1]
    near = abs(a.y - b.y) + abs(a.x - b.x) < a.side / 2
    return one[0] is other[0] and a.plane == b.plane and near


class Live:
    """Answers strokes in a background process, which waits for the next one.

    Parameters
    ----------
    spare
        Keeps a process ready.
    show
        Called with an image and a part of a plane as it is understood now.
    react
        Called when there is a new score, or a new place to paint.
    complain
        Called with a sentence if there can be no answer.
    """

    def __init__(
        self,
        spare: btunet.Spare,
        show: Callable[[Image, btunet.PredictedPlane], None],
        react: Callable[[], None],
        complain: Callable[[str], None],
    ) -> None:
        self.mode = MODES[0]
        self.estimates: Mapping[int, btunet.Estimate] | None = None  # None: nothing was judged yet
        self.answers = 0  # so far
        self.trail = Trail()
        self.doubts: list[tuple[Image, btunet.Spot]] | None = None  # strokes that contradict the others; None as above
        self._doubted = -1  # the one the user was taken to
        self._spare, self._show, self._react, self._complain = spare, show, react, complain
        self._job: Job | None = None
        self._about: tuple[Any, ...] = ()

    @property
    def is_working(self) -> bool:
        """Whether there is a process that answers."""
        return self._job is not None

    def ask(
        self,
        images: Sequence[tuple[Image, btunet.Stack]],
        ledgers: Mapping[int, Ledger],
        classes: Sequence[str],
        look_at: tuple[int, int],
        model: btunet.Model | None,
    ) -> bool:
        """Have the strokes answered; those that are new since the last time if the question is the same otherwise.

        Return whether all were told: undone ones are looked for a moment only, so ask again if not.

        Parameters
        ----------
        images
            To answer for, with their stacks.
        ledgers
            Which of them is painted → its strokes.
        classes
            Their names, background first.
        look_at
            Image and plane in sight.
        model
            The present one, if there is one.
        """
        about = (*(id(image) for image, _ in images), len(classes), id(model))
        if self._job is not None and about == self._about:
            changed = {number: planes for number, ledger in ledgers.items() if (planes := ledger.take(PATIENCE))}
            self._job.steer(btunet.Steer(look_at, changed))
            return all(ledger.is_taken for ledger in ledgers.values())
        self.rest()
        task = btunet.in_child(
            "answer",
            [stack for _, stack in images],
            [ledgers[n].all() if n in ledgers else {} for n in range(len(images))],
            tuple(classes),
            look_at,
            model=model,
            spare=self._spare,
            heartbeat=PROMPT,
        )
        self._about, job = about, Job(task, "answer")
        self._job = job

        def on_progressed(news: list[btunet.Progress]) -> None:
            if job is not self._job:  # what an older one still has to say
                return
            for progress in news:
                self.answers = max(self.answers, progress.step)
                for part in progress.planes:
                    self._show(images[part.image][0], part)
                if progress.estimates is not None:
                    self.estimates = progress.estimates
                    self._react()
                if progress.doubts is not None:
                    self.doubts, self._doubted = [(images[spot.image][0], spot) for spot in progress.doubts], -1
                    self._react()
                if progress.spots is not None:
                    self.trail.renew([(images[spot.image][0], spot) for spot in progress.spots])
                    self._react()

        job.progressed.connect(on_progressed)
        job.ended.connect(lambda how, result: self._on_ended(job, how, result))
        job.start()
        return True

    def next_doubt(self) -> tuple[Image, btunet.Spot] | None:
        """Return the next stroke that contradicts the others, from the surest on and round again; None if none does."""
        if not self.doubts:
            return None
        self._doubted = (self._doubted + 1) % len(self.doubts)
        return self.doubts[self._doubted]

    def look(self, image: Image, plane: int) -> None:
        """Answer for another plane."""
        if self._job is not None and id(image) in self._about:
            self._job.steer(btunet.Steer((self._about.index(id(image)), plane)))

    def forget(self, image: Image) -> None:
        """Let go of an image that is not open any more."""
        self.trail.forget(image)
        self.doubts = None if self.doubts is None else [found for found in self.doubts if found[0] is not image]

    def rest(self) -> None:
        """End the process: something else shows predictions now, or the window is gone."""
        if self._job is not None:
            job, self._job = self._job, None
            job.abandon()

    def _on_ended(self, job: Job, how: str, result: Any) -> None:
        if job is self._job:
            self._job = None
            if how == "failed":
                self._complain(f"Strokes are not answered: {result}")

    def sentence(self, classes: Sequence[str]) -> str:
        """Say how good the answer is, given the names of the classes, background first."""
        if self.estimates:
            found = [
                f"{classes[k]}: Dice {e.dice:.2f} ({e.low:.2f} to {e.high:.2f}) on {e.strokes} held-out strokes"
                for k, e in self.estimates.items()
                if k < len(classes)
            ]
            count = len(self.doubts or ())
            doubted = [f"{count} stroke{'s' * (count > 1)} may be wrong: press C"] if count else []
            return "; ".join(found + doubted)
        return f"Paint {ENOUGH} strokes of every class for a first score." if self.estimates is not None else ""
