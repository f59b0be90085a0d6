"""Did pre-training help on these images? The same strokes, steps and random numbers, with it and without it.

Whole strokes are dealt into folds. For each fold, two trainings learn the others: one from random weights, one from the
pre-trained encoder; then both are judged by the strokes that neither learned, nor anything within a gap of them. Both
draw the same patches and begin with the same decoder, so what differs is the encoder. Every pair has another seed: what
two trainings differ by from chance alone is part of the interval (`verdict`).

The score is the share of a stroke's pixels that is right, classes counting the same, as where two models are compared
(`comparison`): one number for every stroke, so that differences are paired. Dice from strokes (`honest`) also needs to
know how common the classes are, and its intervals are several times wider than what pre-training makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from .device import settle
from .finetuning import finetune
from .folds import Folds, Stroke, dealt
from .heldout import rights
from .honest import ENOUGH
from .images import Stack, as_stack
from .labels import IGNORE, Targets, check_classes, targets_of_strokes
from .model import Model, check_channels
from .patches import Source
from .settings import FinetuneSettings, TrialSettings
from .task import Progress, Reply, Strokes, Task
from .verdict import Judged, Verdict, verdict_of

SIDES = ("random weights", "the encoder")


def trial(
    images: Sequence[Stack | np.ndarray],
    strokes: Sequence[np.ndarray | Strokes],
    encoder: Model,
    settings: TrialSettings | None = None,
    *,
    classes: Sequence[str] | None = None,
) -> Task[Verdict]:
    """Train with and without a pre-trained encoder, and tell by held-out strokes which is better.

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels. Those without strokes are looked at too.
    strokes
        One per image: an integer array on its spatial axes, or {plane: (Y, X)}, which may be empty.
    encoder
        What was pre-trained, on these images or others; it must not have seen strokes.
    settings
        How many trainings, how long.
    classes
        Names, background first; by default as many as are annotated.

    Yields
    ------
    Progress
        ``step`` counts the steps of all trainings; the values of each, and ``difference`` of the strokes judged so far.
        The reply ``True`` stops: folds with two finished pairs of trainings count.

    Raises
    ------
    ValueError
        If images, strokes and encoder do not belong together, or there are too few strokes to hold some out.

    Examples
    --------
    >>> import numpy as np
    >>> from btunet import PretrainSettings, TrialSettings, pretrain, run, trial
    >>> image, strokes = np.zeros((64, 64)), np.zeros((64, 64), int)
    >>> image[:, 32:], strokes[4::17, 4:20], strokes[4::17, 44:60] = 1, 1, 2
    >>> encoder = run(pretrain([image], PretrainSettings(steps=1, batch=4, patch_size=32)))
    >>> settings = TrialSettings(steps=1, folds=2, batch=2, patch_size=32, recipe="paper")
    >>> run(trial([image], [strokes], encoder, settings)).strokes
    8
    """
    settings = settings or TrialSettings()
    if not encoder.is_encoder:
        raise ValueError(
            "the model to try has learned strokes, so none could be held out; choose a pre-trained encoder"
        )
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    if len(stacks) != len(strokes):
        raise ValueError(f"there are {len(stacks)} images but strokes for {len(strokes)}; give one per image")
    check_channels(encoder, stacks)
    targets = targets_of_strokes(stacks, strokes)
    names = check_classes(targets, classes, "strokes")
    folds = dealt(targets, settings.folds, ENOUGH, names)
    trainer = _Trainings(stacks, targets, folds, names, (replace(encoder, weights={}, history=()), encoder), settings)
    judged: list[Judged] = []
    for fold in range(folds.count):
        held = [_unjudged(stroke, stacks) for stroke in folds.of(fold)]
        for turn in range(settings.seeds):
            values = {"difference": verdict_of(judged, names).difference} if judged else {}
            shares = yield from trainer.pair(fold, turn, values)
            if shares is None:
                return verdict_of([*judged, *held], names, settings.seed)
            held = [
                replace(stroke, without=(*stroke.without, a), pretrained=(*stroke.pretrained, b))
                for stroke, a, b in zip(held, *shares, strict=True)
            ]
        judged += held
    return verdict_of(judged, names, settings.seed)


@dataclass(frozen=True)
class _Trainings:
    """What all trainings of a trial share."""

    stacks: Sequence[Stack]
    targets: Targets
    folds: Folds
    names: Sequence[str]
    starts: tuple[Model, Model]
    settings: TrialSettings

    def pair(self, fold: int, turn: int, values: Mapping[str, float]) -> Task[list[list[float]] | None]:
        """Return what each start makes of the strokes of a fold, which it does not learn; None if it was stopped."""
        learned, steps = self.folds.without(fold, self.targets), self.settings.steps
        number, pairs = fold * self.settings.seeds + turn, self.folds.count * self.settings.seeds
        shares = []
        for side, start in enumerate(self.starts):
            before = (2 * number + side) * steps
            at = Progress(f"trying {SIDES[side]}, fold {fold + 1}", before, 2 * pairs * steps, values)
            model = yield from self._trained(learned, self.settings.seed * pairs + number, start, at)
            if model is None:
                return None
            shares.append(_judge(model, self.stacks, self.folds.of(fold)))
        return shares

    def _trained(self, targets: Targets, seed: int, start: Model, at: Progress) -> Task[Model | None]:
        """Return the model that learned targets, or None if it was stopped; its steps are counted from ``at`` on."""
        s = self.settings
        how = FinetuneSettings(steps=s.steps, seed=seed, recipe=s.recipe, batch=s.batch, patch_size=s.patch_size)
        strokes: list[Strokes] = [
            {plane: _strokes_of(target) for (i, plane), target in targets.items() if i == image}
            for image in range(len(self.stacks))
        ]
        reply: Reply = yield replace(at, values={})
        with closing(finetune(self.stacks, strokes, how, start_from=start, classes=self.names)) as task:
            while reply is not True:
                try:
                    progress = next(task)
                except StopIteration as end:
                    model: Model = end.value
                    return model
                values = {**progress.values, **at.values} if progress.values else {}
                reply = yield replace(at, step=at.step + progress.step, values=values)
        return None


def _strokes_of(target: np.ndarray) -> np.ndarray:
    """Return the strokes of a target: (Y, X) uint8, 0 where nothing is known."""
    return np.where(target == IGNORE, 0, target + np.uint8(1)).astype(np.uint8)


def _judge(model: Model, stacks: Sequence[Stack], strokes: Sequence[Stroke]) -> list[float]:
    """Return the share of each stroke that a model is right about."""
    sources = [Source(stack, model.normalisation) for stack in stacks]
    return list(rights(settle(model.build()).eval(), sources, strokes))


def _unjudged(stroke: Stroke, stacks: Sequence[Stack]) -> Judged:
    stack = stacks[stroke.image]
    y, x = divmod(int(stroke.pixels[0]), stack.plane_shape[1])
    return Judged(stack.name, stroke.plane, y, x, stroke.kind, stroke.fold, (), ())
