"""The instant classifier as a model, so that what strokes alone say is predicted, kept and compared as any model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .ancestry import marks
from .guide import Guide
from .heldout import HeldOut
from .images import Stack, as_stack
from .labels import check_classes, targets_of_strokes
from .model import CLASSIFY, DEFAULT_NETWORK, Model, beginning
from .patches import Annotations, Source
from .task import Progress, Strokes, Task

STAGE = "learning the strokes"
WINDOW = 128  # pixels, side of what is looked at


def classify(
    images: Sequence[Stack | np.ndarray],
    strokes: Sequence[np.ndarray | Strokes],
    classes: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Task[Model]:
    """Return a model that says what the instant classifier says: a network that begins with it and learns no more.

    Where every class has five strokes or more, a fifth of them, whole ones, judges it before it learns these too, as
    `finetune` does, so that the two can be compared (`compare`).

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels.
    strokes
        One per image: an integer array on its spatial axes, or {plane: (Y, X)}, which may be empty.
    classes
        Names, background first; by default as many as are painted.
    seed
        Of all random choices.

    Yields
    ------
    Progress
        Of a second or two in all.

    Raises
    ------
    ValueError
        If images and strokes do not belong together, or there is nothing to learn from.
    """
    yield Progress(STAGE, 0, 0)
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    targets = targets_of_strokes(stacks, strokes)
    names = check_classes(targets, classes, "strokes")
    model = beginning(DEFAULT_NETWORK, stacks, None)
    sources, called = [Source(stack, model.normalisation) for stack in stacks], [stack.name for stack in stacks]
    held_out, annotations = HeldOut(targets), Annotations()
    for key, target in targets.items():
        annotations.put(*key, held_out.learned(*key, target))
    guide = Guide(sources, annotations, len(names), WINDOW, seed)
    record = {}
    if held_out.is_on:
        yield Progress(STAGE, 1, 2)
        record["held out"] = held_out.judge(guide.pixels, sources, called)
        for key, target in targets.items():
            annotations.put(*key, target)
        guide.learn()
    network = model.build(len(names), seed)
    network.begin_with(guide.pixels)
    learned = marks(targets, called)
    named = replace(model, classes=names)
    return named.trained(CLASSIFY, network.state_dict(), learned=learned, images=sorted(set(called)), **record)
