"""Supervised training from strokes or dense masks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from .device import channels_last, pick_device, precision, send, settle
from .guide import Guide
from .images import Stack, as_stack, check_contrast
from .labels import IGNORE, Targets, check_classes, target_of_strokes, targets_of_masks, targets_of_strokes
from .losses import expected_loss, masked_loss
from .memory import Batch, kept
from .metrics import Counts, count
from .model import Model, beginning, check_channels
from .networks import Network
from .networks.pixels import Pixels
from .optimise import Average, Clock, Trainer, explained, numbers, seeded
from .patches import Annotations, Source
from .recipes import FINETUNING
from .settings import FinetuneSettings, PredictSettings
from .task import PredictedPlane, Progress, Reply, Steer, Strokes, Task
from .tiles import predict_plane
from .views import geometry, look, photometry

PREVIEW_EVERY = 2.0  # seconds between two looks at the visible plane
LARGEST_FIRST_LOOK = 2**21  # pixels; more would hold up the training for long


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
) -> Task[Model]:
    """Train the whole network on the annotated pixels.

    Patches are centred on annotated pixels; the loss is the average of cross-entropy and Dice over those pixels. By
    default (`recipes`) classes of strokes count the same; masks show how common each is. With strokes, the network
    begins with what a classifier of single pixels learned from them, half of the patches lie anywhere, and it is asked
    to agree with the classifier there (`guide`). The model returned holds the averaged weights.

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
        (image, plane) shown to the user: predicted every two seconds and yielded in ``Progress.planes``.
    validation
        Stacks and masks that are never trained on, but predicted every ``validate_every`` steps and at the end.
    validate_every
        Steps; 0 means never.

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

    learner = _Learner(model, names, stacks, targets, settings, strokes=not dense)
    learner.hold_out(validation)
    clock = Clock(settings.steps, settings.minutes)
    reply: Reply = None
    if look_at and (first := learner.first_look(*look_at)):
        reply = yield Progress("fine-tuning", 0, clock.total, planes=first)
    next_preview = time.perf_counter() + PREVIEW_EVERY / 2
    while not clock.done:
        is_stopped |= reply is True
        if isinstance(reply, Steer):
            learner.take(reply)
            if reply.look_at and reply.look_at != look_at:
                look_at, next_preview = reply.look_at, 0.0
        values = learner.step(clock.fraction)
        clock.step += 1
        if validate_every and (clock.step % validate_every == 0 or clock.done):
            values["validation dice"] = learner.validate()
        planes: tuple[PredictedPlane, ...] = ()
        if look_at and time.perf_counter() >= next_preview:
            planes = (learner.preview(*look_at),)
            next_preview = time.perf_counter() + PREVIEW_EVERY
        reply = yield Progress(f"fine-tuning{learner.batch.note}", clock.step, clock.total, values, planes)
        if is_stopped or reply is True:
            break
    named = Model(model.network, model.channels, names, {}, model.normalisation, model.history)
    trained_on = sorted({stacks[i].name for i, _ in learner.annotations.targets})
    record = {"steps": clock.step, "seconds": round(clock.seconds, 1), "images": trained_on, "dense": dense}
    record |= learner.batch.record
    return named.trained("finetune", learner.average.state, settings=settings.as_dict(), final=values, **record)


class _Learner:
    """The network, what it is shown, and the average that is kept of it."""

    def __init__(
        self,
        model: Model,
        names: Sequence[str],
        stacks: Sequence[Stack],
        targets: Targets,
        settings: FinetuneSettings,
        *,
        strokes: bool = False,
    ) -> None:
        self.names = names
        self.settings = settings
        self.device = pick_device()
        self.sources = [Source(s, model.normalisation) for s in stacks]
        self.annotations = Annotations()
        for (image, plane), target in targets.items():
            self.annotations.put(image, plane, target)
        self.rng = np.random.default_rng(settings.seed)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.recipe = FINETUNING[settings.recipe]
        self.balanced = self.recipe.balanced and strokes
        network = model.build(len(names), settings.seed)
        self.guide: Guide | None = None
        is_new = len(model.classes) != len(names)
        if strokes and self.recipe.guide:
            seed, size = settings.seed, settings.patch_size
            self.guide = Guide(self.sources, self.annotations, len(names), size, seed, self.device)
            if is_new:
                network.begin_with(self.guide.pixels)
            elif network.pixels is not None:  # a model that learned masks has none
                network.pixels = self.guide.pixels
        self.network = settle(network).train()
        self.shown = deepcopy(self.network).eval()
        self.at_first = self.shown.pixels if is_new else self.shown  # the rest knows nothing yet
        self.trainer = Trainer(self.network, self.recipe.descent, settings.learning_rate)
        self.average = Average(self.network, self.recipe.memory)
        self.batch = Batch(settings.batch, 1)
        images = torch.zeros(2, model.channels, settings.patch_size, settings.patch_size, device=self.device)
        with explained("patch size"):
            both = kept(self.network, images, lambda logits: masked_loss(logits, torch.zeros_like(logits[:, 0])))
            self.batch.fit(both / 2, self.device)

    def step(self, fraction: float) -> dict[str, float]:
        """Make one gradient step and return its values."""
        values = self.batch.attempt(lambda: self._step(fraction))
        self.average.update(self.network)
        return values

    def _step(self, fraction: float) -> dict[str, float]:
        size, recipe = self.settings.patch_size, self.recipe
        with seeded(self.generator):
            patches, target, expected = self._draw()
            matrices = geometry(len(patches), recipe.zoom, 0.0, self.generator)
            patches = photometry(look(patches, matrices, size), recipe.light, self.generator)  # (N, C, Y, X)
            known = (target.float() + 1) % (IGNORE + 1)  # outside becomes 0, so 0 must mean unknown
            target = (look(known[:, None], matrices, size, "nearest")[:, 0] - 1) % (IGNORE + 1)  # (N, Y, X)
            expected = look(expected, matrices[len(target) - len(expected) :], size) if len(expected) else expected
            values = self._losses(patches, target, expected)
            self.trainer.step(values["loss"], fraction)
        return numbers(values)

    def _losses(self, patches: Tensor, target: Tensor, expected: Tensor) -> dict[str, Tensor]:
        """Return the loss of patches (N, C, Y, X) and its parts, given what to expect (M, K, Y, X) in the last M."""
        with precision(self.device):
            logits = self.network(channels_last(patches))  # (N, K, Y, X)
        cross_entropy, dice_loss = masked_loss(logits, target, self.balanced)
        loss = (cross_entropy + dice_loss) / 2
        values = {"cross-entropy": cross_entropy, "dice": 1 - dice_loss}
        if guided := len(expected):
            values["guide"] = expected_loss(logits[-guided:], expected)
            loss = loss + self.recipe.guide * values["guide"]
        return {"loss": loss, **values}

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches (N, C, Y, X), what is annotated there (N, Y, X), and what to expect in the last M of them."""
        size, guided = self.settings.patch_size, self.batch.size // 2 if self.guide else 0
        count = self.batch.size - guided
        drawn = self.annotations.patches(self.sources, count, size, self.rng, self.recipe.balanced)
        images, target = (send(values, self.device) for values in drawn)
        if self.guide is None or not guided:
            return images, target, torch.empty(0, 1, 1, 1)
        more, expected = self.guide.draw(guided, self.rng)  # (M, C, Y, X), (M, K, Y, X)
        unknown = torch.full_like(target[:1], IGNORE).expand(guided, -1, -1)
        return torch.cat([images, more]), torch.cat([target, unknown]), expected

    def first_look(self, image: int, plane: int) -> tuple[PredictedPlane, ...]:
        """Return what is known of a plane before the first step, if anything is and it is soon predicted."""
        soon = math.prod(self.sources[image].stack.plane_shape) <= LARGEST_FIRST_LOOK
        return (self._look(self.at_first, image, plane),) if self.guide and self.at_first and soon else ()

    def averaged(self) -> Network:
        """Return the network that is shown and kept."""
        self.shown.load_state_dict(self.average.state)
        return self.shown

    def preview(self, image: int, plane: int) -> PredictedPlane:
        """Return what the averaged weights make of one plane."""
        return self._look(self.averaged(), image, plane)

    def _look(self, network: Network | Pixels, image: int, plane: int) -> PredictedPlane:
        with explained("the tile size"):
            probabilities = predict_plane(network, self.sources[image].plane(plane), PredictSettings().tile)
        return PredictedPlane(image, plane, probabilities.argmax(0).astype(np.uint8))

    def hold_out(self, validation: Sequence[tuple[Stack, np.ndarray | Strokes]]) -> None:
        """Keep what is predicted and scored, but never trained on."""
        stacks = [stack for stack, _ in validation]
        self.held_out = [Source(stack, self.sources[0].normalisation) for stack in stacks]
        self.truths = targets_of_masks(stacks, [mask for _, mask in validation], self.names)
        most = max((int(t[t != IGNORE].max(initial=0)) for t in self.truths.values()), default=0)
        if most >= len(self.names):
            known = f"there are {len(self.names)} classes: {', '.join(self.names)}"
            raise ValueError(f"the held-out masks hold {most} but {known}; add a class")

    def validate(self) -> float:
        """Return Dice of the averaged weights over all held-out pixels, the mean of the classes but the background."""
        network, classes = self.averaged(), len(self.names)
        totals = [Counts()] * classes
        for (image, plane), truth in self.truths.items():
            found = predict_plane(network, self.held_out[image].plane(plane), PredictSettings().tile).argmax(0)
            totals = [a + b for a, b in zip(totals, count(found, truth, classes), strict=True)]
        dice = [c.scores["dice"] for c in totals[1:]]
        known = [d for d in dice if d is not None]
        return sum(known) / max(1, len(known))

    def take(self, reply: Steer) -> None:
        """Learn from strokes painted meanwhile; a class the model has no name for waits for the next training."""
        before = dict(self.annotations.targets)
        for image, planes in reply.strokes.items():
            for plane, values in planes.items():
                target = target_of_strokes(values)
                target[target >= len(self.names)] = IGNORE
                self.annotations.put(image, plane, target)
        if not self.annotations.classes:  # everything was erased: go on with what there was
            for (image, plane), target in before.items():
                self.annotations.put(image, plane, target)
        elif self.guide and reply.strokes:
            self.guide.learn()
