"""Supervised training from strokes or dense masks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .ancestry import Ancestry, marks
from .comparison import PEER
from .device import settle
from .heldout import FOLD
from .images import Stack, as_stack, check_contrast
from .labels import check_classes, targets_of_masks, targets_of_strokes
from .learner import Learner
from .model import Model, beginning, check_channels
from .optimise import Clock
from .settings import FinetuneSettings
from .task import PredictedPlane, Progress, Reply, Steer, Strokes, Task

PREVIEW_EVERY = 2.0  # seconds between two looks at the visible plane, at least
UNDISTURBED = 19  # times as long as a look took until the next one, unless strokes or another plane came meanwhile
JUDGED_AT = 0.8  # part of the training after which held-out strokes are learned too


def finetune(
    images: Sequence[Stack | np.ndarray],
    labels: Sequence[np.ndarray | Strokes],
    settings: FinetuneSettings | None = None,
    *,
    dense: bool = False,
    start_from: Model | None = None,
    classes: Sequence[str] | None = None,
    look_at: tuple[int, int] | None = None,
    validation: Sequence[tuple[Stack, np.ndarray | Strokes]] = (),
    validate_every: int = 0,
    judged: bool = False,
) -> Task[Model]:
    """Train the whole network on the annotated pixels.

    Patches are centred on annotated pixels; the loss is the average of cross-entropy and Dice over those pixels. By
    default (`recipes`) classes of strokes count the same; masks show how common each is. The network begins with what a
    classifier of single pixels learned from either. With strokes, half of the patches lie anywhere, and it is asked to
    agree with the classifier there (`guide`). The model returned holds the averaged weights.

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels. Those without labels are looked at too, with strokes.
    labels
        One per image, strokes or (``dense``) masks: an integer array on its spatial axes, or {plane: (Y, X)}, which may
        be empty.
    settings
        How long, how much at once, which seed.
    dense
        Whether labels are masks (0 = background, 255 = ignore) instead of strokes (0 = not annotated).
    start_from
        A pre-trained encoder, or a model to train further.
    classes
        Names, background first; by default those of ``start_from``, or as many as are annotated.
    look_at
        (image, plane) shown to the user: predicted every few seconds and yielded in ``Progress.planes``.
    validation
        Stacks and masks that are never trained on, but predicted every ``validate_every`` steps and at the end.
    validate_every
        Steps; 0 means never.
    judged
        With strokes: whether a fifth of them, whole ones, is kept back until most of the training is done, so that the
        model can be compared with others (`compare`); not if a class has fewer than five. A model that is trained
        further is judged, before and after, by those of them that it had not learned.

    Yields
    ------
    Progress
        With ``loss``, ``cross-entropy`` and ``dice`` (1 is best) of annotated pixels, with strokes ``guide`` (the
        cross-entropy to what the classifier expects elsewhere), and ``validation dice`` when it was measured: of all
        held-out pixels, averaged over the classes but the background. The reply ``True`` stops and keeps what was
        learned; a `Steer` moves the look and replaces the strokes of planes.

    Returns
    -------
    Model
        With classes.

    Raises
    ------
    ValueError
        If images and labels do not belong together, or there is nothing to learn from.

    Examples
    --------
    >>> import numpy as np
    >>> from btunet import FinetuneSettings, finetune, run
    >>> image, strokes = np.zeros((64, 64)), np.zeros((64, 64), int)
    >>> image[:32], strokes[10, :], strokes[50, :] = 1, 2, 1
    >>> model = run(finetune([image], [strokes], FinetuneSettings(steps=1, patch_size=32)))
    >>> model.classes
    ('background', 'class 1')
    """
    settings = settings or FinetuneSettings()
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    if len(stacks) != len(labels):
        raise ValueError(f"there are {len(stacks)} images but {len(labels)} labels; give one per image")
    is_stopped = (yield Progress("reading images", 0, 0)) is True
    known = classes or (start_from.classes if start_from else None) or None
    targets = targets_of_masks(stacks, labels, known) if dense else targets_of_strokes(stacks, labels)
    check_contrast([stacks[i] for i in sorted({i for i, _ in targets})] or stacks)
    names = check_classes(targets, known, "masks" if dense else "strokes")
    model = beginning(settings.network, stacks, start_from)
    check_channels(model, [*stacks, *(stack for stack, _ in validation)])

    before = Ancestry(start_from, [stack.name for stack in stacks])
    judged = judged and not dense and before.leaves(targets, FOLD)
    learner = Learner(model, names, stacks, targets, settings, strokes=not dense, judged=judged)
    record = _judged_before(learner, before, model)
    learner.validate_on(validation)
    clock = Clock(settings.steps, settings.minutes)
    reply: Reply = None
    if look_at and (first := learner.first_look(*look_at)):
        reply = yield Progress("fine-tuning", 0, clock.total, planes=first)
    looks = _Looks()
    while not clock.done:
        is_stopped |= reply is True
        if isinstance(reply, Steer):
            learner.take(reply)
            looks.hurry(at_once=reply.look_at not in (None, look_at))
            look_at = reply.look_at or look_at
        if clock.fraction >= JUDGED_AT:
            learner.judge()
        values = learner.step(clock.fraction)
        clock.step += 1
        if validate_every and (clock.step % validate_every == 0 or clock.done):
            values["validation dice"] = learner.validate()
        planes: tuple[PredictedPlane, ...] = ()
        if look_at and looks.is_due:
            with looks.looking():
                planes = (learner.preview(*look_at),)
        reply = yield Progress(f"fine-tuning{learner.batch.note}", clock.step, clock.total, values, planes)
        if is_stopped or reply is True:
            break
    learner.judge()
    named = Model(model.network, model.channels, names, {}, model.normalisation, model.history)
    trained_on = sorted({stacks[i].name for i, _ in learner.annotations.targets})
    record |= {"steps": clock.step, "seconds": round(clock.seconds, 1), "images": trained_on, "dense": dense}
    record |= learner.batch.record | ({"held out": learner.judgement} if learner.judgement else {})
    record |= {PEER: learner.peer} if learner.peer else {}
    record |= {} if dense else {"learned": marks(learner.targets, [stack.name for stack in stacks])}
    return named.trained("finetune", learner.average.state, settings=settings.as_dict(), final=values, **record)


def _judged_before(learner: Learner, before: Ancestry, model: Model) -> dict[str, Any]:
    """Return how right a model that is trained further is about the strokes that are held out now, for the record."""
    if learner.held_out is None:
        return {}
    learner.held_out.pass_over(before)
    if not learner.held_out.is_on or len(model.classes) != len(learner.names):
        return {}
    names = [source.stack.name for source in learner.sources]
    return {"held out before": learner.held_out.judge(settle(model.build()).eval(), learner.sources, names)}


class _Looks:
    """When the plane in sight is due: every two seconds, but for no more than a twentieth of the time."""

    def __init__(self) -> None:
        self._soon = self._due = time.perf_counter() + PREVIEW_EVERY / 2

    @property
    def is_due(self) -> bool:
        return time.perf_counter() >= self._due

    def hurry(self, at_once: bool) -> None:
        """Let somebody wait no longer who painted, or went to another plane."""
        self._due = 0.0 if at_once else min(self._due, self._soon)

    @contextmanager
    def looking(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        now = time.perf_counter()
        self._soon = now + PREVIEW_EVERY
        self._due = max(self._soon, now + UNDISTURBED * (now - began))
