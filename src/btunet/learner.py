"""What a supervised training keeps while it runs: the network, what it is shown, and the average that is kept of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .device import channels_last, pick_device, precision, send, settle
from .featuremaps import BORDER, FeatureMaps
from .guide import Guide
from .heldout import HeldOut
from .images import Stack
from .labels import IGNORE, Targets, target_of_strokes, targets_of_masks
from .losses import expected_loss, masked_loss
from .memory import Batch, kept
from .metrics import Counts, count
from .model import Model
from .networks import Network
from .networks.pixels import Pixels
from .optimise import Average, Trainer, explained, numbers, seeded
from .patches import Annotations, Source
from .recipes import FINETUNING
from .settings import FinetuneSettings, PredictSettings
from .task import PredictedPlane, Steer, Strokes
from .tiles import doubt, most_likely, predict_plane
from .views import geometry, look, photometry
from .windows import Place, Windows

MARGIN = 64  # pixels around a patch that the trunk sees where it sees patches alone
LARGEST_FIRST_LOOK = 2**21  # pixels; more would hold up the training for long


class Learner:
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
        judged: bool = False,
    ) -> None:
        self.names = names
        self.settings = settings
        self.device = pick_device()
        self.sources = [Source(s, model.normalisation) for s in stacks]
        self.windows = Windows(self.sources, self.device)
        self.annotations = Annotations()
        self.held_out = HeldOut(targets) if judged else None
        self.judgement: list[dict[str, Any]] = []
        self.peer: list[dict[str, Any]] = []  # the same of the instant classifier
        self.targets = dict(targets)
        for key, target in targets.items():
            self._put(key, target)
        self.rng = np.random.default_rng(settings.seed)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.recipe = FINETUNING[settings.recipe]
        self.balanced = self.recipe.balanced and strokes
        network = model.build(len(names), settings.seed)
        self.guide: Guide | None = None
        is_new = len(model.classes) != len(names)
        if self.recipe.guide:
            self.guide = Guide(
                self.sources,
                self.annotations,
                len(names),
                settings.patch_size,
                settings.seed,
                balanced=strokes,
                pixels=None if model.learned_masks and strokes else network.pixels,  # strokes say less than masks did
            )
            if is_new:
                network.begin_with(self.guide.pixels)
        self.is_guided = strokes and self.guide is not None  # masks leave nothing to be told
        self.network = settle(network).train()
        self.maps: FeatureMaps | None = None  # with masks the trunk sees patches as they are turned and lit
        if network.pixels and self.guide and self.is_guided:
            is_same = network.pixels is self.guide.pixels
            own = FeatureMaps(network.pixels, self.sources, self.annotations)
            self.maps = self.guide.maps if is_same else own
        self.margin = BORDER if self.maps else MARGIN if network.pixels else 0
        self.shown = deepcopy(self.network).eval()
        self.at_first = self.shown.pixels if is_new else self.shown  # the rest knows nothing yet
        self.trainer = Trainer(self.network, self.recipe.descent, settings.learning_rate)
        self.average = Average(self.network, self.recipe.memory)
        self.batch = Batch(settings.batch, 1)
        images = torch.zeros(2, model.channels, settings.patch_size, settings.patch_size, device=self.device)
        with explained("patch size"):
            both = kept(self.network, images, lambda logits: masked_loss(logits, torch.zeros_like(logits[:, 0])))
            self.batch.fit(both / 2, self.device)

    def _put(self, key: tuple[int, int], target: np.ndarray) -> None:
        """Learn what is known about a plane from now on, but for what is held out."""
        self.targets[key] = target
        self.annotations.put(*key, self.held_out.learned(*key, target) if self.held_out else target)

    def judge(self) -> None:
        """Be judged by the strokes that are held out, then learn them too."""
        if self.held_out is None:
            return
        if self.held_out.is_on:
            stacks = [source.stack.name for source in self.sources]
            self.judgement = self.held_out.judge(self.averaged(), self.sources, stacks)
            self.peer = self.held_out.judge(self.guide.pixels, self.sources, stacks) if self.guide else []
        self.held_out = None
        for key, target in self.targets.items():
            self._put(key, target)
        if self.guide and self.judgement:
            self.guide.learn()
            self.average.follow(self.network)

    def step(self, fraction: float) -> dict[str, float]:
        """Make one gradient step and return its values."""
        values = self.batch.attempt(lambda: self._step(fraction))
        self.average.update(self.network)
        return values

    def _step(self, fraction: float) -> dict[str, float]:
        size, recipe = self.settings.patch_size, self.recipe
        wide = size + 2 * self.margin
        with seeded(self.generator):
            places, guided = self._places()
            matrices = geometry(len(places), recipe.zoom, 0.0, self.generator)
            patches, target = self._draw(places, guided)
            patches = photometry(look(patches, matrices, wide), recipe.light, self.generator)
            known = (target.float() + 1) % (IGNORE + 1)  # outside becomes 0, so 0 must mean unknown
            target = (look(known[:, None], matrices, size, "nearest")[:, 0] - 1) % (IGNORE + 1)  # (N, Y, X)
            features = self.maps(places, size, matrices) if self.maps else None
            expected = self.guide.expect(places[-guided:], matrices[-guided:]) if self.guide and guided else None
            values = self._losses(patches, features, target, expected)
            self.trainer.step(values["loss"], fraction)
        return numbers(values)

    def _losses(
        self, patches: Tensor, features: list[Tensor] | None, target: Tensor, expected: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the loss of patches and its parts, given what to expect (M, K, Y, X) in the last M."""
        with precision(self.device):
            logits = self.network(channels_last(patches), self.margin, features)  # (N, K, Y, X)
        # what is learned while classes count the same does not know how common they are, and must not unlearn it
        prior = torch.from_numpy(self.guide.prior).to(logits)[:, None, None] if self.guide else 0
        cross_entropy, dice_loss = masked_loss(logits - prior, target, self.balanced)
        loss = (cross_entropy + dice_loss) / 2
        values = {"cross-entropy": cross_entropy, "dice": 1 - dice_loss}
        if expected is not None:
            values["guide"] = expected_loss(logits[-len(expected) :], expected)
            loss = loss + self.recipe.guide * values["guide"]
        return {"loss": loss, **values}

    def _places(self) -> tuple[list[Place], int]:
        """Return where patches lie, and how many of the last ones are guided."""
        guided = self.batch.size // 2 if self.guide and self.is_guided else 0
        size, recipe = self.settings.patch_size, self.recipe
        places = self.annotations.places(self.batch.size - guided, size, self.rng, recipe.balanced)
        return places + (self.guide.places(guided, self.rng) if self.guide and guided else []), guided

    def _draw(self, places: Sequence[Place], guided: int) -> tuple[Tensor, Tensor]:
        """Return patches with a margin, (N, C, Y + 2·margin, X + 2·margin), and what is annotated inside, (N, Y, X)."""
        size, margin = self.settings.patch_size, self.margin
        images = self.windows([(i, plane, y - margin, x - margin) for i, plane, y, x in places], size + 2 * margin)
        target = send(self.annotations.known(places[: len(places) - guided], size), self.device)
        return images, torch.cat([target, torch.full_like(target[:1], IGNORE).expand(guided, -1, -1)])

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
        return PredictedPlane(image, plane, most_likely(probabilities), doubt=doubt(probabilities))

    def validate_on(self, validation: Sequence[tuple[Stack, np.ndarray | Strokes]]) -> None:
        """Keep what is predicted and scored, but never trained on."""
        stacks = [stack for stack, _ in validation]
        self.validation = [Source(stack, self.sources[0].normalisation) for stack in stacks]
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
            found = predict_plane(network, self.validation[image].plane(plane), PredictSettings().tile).argmax(0)
            totals = [a + b for a, b in zip(totals, count(found, truth, classes), strict=True)]
        dice = [c.scores["dice"] for c in totals[1:]]
        known = [d for d in dice if d is not None]
        return sum(known) / max(1, len(known))

    def take(self, reply: Steer) -> None:
        """Learn from strokes painted meanwhile; a class the model has no name for waits for the next training."""
        before = dict(self.targets)
        for image, planes in reply.strokes.items():
            for plane, values in planes.items():
                target = target_of_strokes(values)
                target[target >= len(self.names)] = IGNORE
                self._put((image, plane), target)
        if not self.annotations.classes:  # everything was erased: go on with what there was
            for key, target in before.items():
                self._put(key, target)
        elif self.guide and reply.strokes:
            self.guide.learn()
