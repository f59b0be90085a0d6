"""btunet itself: fine-tuned on the strokes, from a random start or from an encoder pre-trained on the set's images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from btunet import FinetuneSettings, Model, PretrainSettings, finetune, pretrain, run
from btunet.device import settle
from btunet.images import Stack
from btunet.patches import Source
from btunet.settings import PredictSettings
from btunet.studies.plan import file_name
from btunet.tiles import predict_plane

from .scores import Predictor
from .work import Work

PRETRAIN = PretrainSettings()
FINETUNE = FinetuneSettings()


@dataclass(frozen=True)
class FromRandom:
    """Fine-tune a network with random weights; time and seed come from the work."""

    settings: FinetuneSettings = FINETUNE

    def __call__(self, work: Work) -> Predictor:
        return predictor_of(finetuned(work, self.settings))


@dataclass(frozen=True)
class FromBarlow:
    """Fine-tune a network whose encoder saw all training images without labels."""

    pretraining: PretrainSettings = PRETRAIN
    settings: FinetuneSettings = FINETUNE

    def prepare(self, work: Work) -> None:
        """Make the encoder, whose time is not that of the user who waits for masks."""
        encoder(work, self.pretraining)

    def __call__(self, work: Work) -> Predictor:
        return predictor_of(finetuned(work, self.settings, encoder(work, self.pretraining)))


def network_arms(
    pretraining: PretrainSettings = PRETRAIN, settings: FinetuneSettings = FINETUNE, suffix: str = ""
) -> dict[str, Callable[[Work], Predictor]]:
    """Return the two arms of a network and recipe."""
    return {
        f"btunet-random{suffix}": FromRandom(settings),
        f"btunet-barlow-{effort_of(pretraining)}{suffix}": FromBarlow(pretraining, settings),
    }


def effort_of(settings: PretrainSettings) -> str:
    """Say how long a pre-training is."""
    return f"{settings.steps}steps" if settings.steps else f"{settings.minutes:g}min"


def encoder(work: Work, settings: PretrainSettings) -> Model:
    """Return the pre-trained encoder of a set, network and recipe; made once if there is a folder to keep it in."""
    name = file_name(work.images.name, settings.network, settings.recipe, effort_of(settings), f"seed{settings.seed}")
    path = work.cache / f"{name}.safetensors" if work.cache else None
    if path and path.exists():
        return Model.load(path)
    model = run(pretrain(list(work.images.stacks), settings))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return model


def predictor_of(model: Model) -> Predictor:
    """Return the function that predicts planes with a model."""
    network = settle(model.build().eval())
    sources: dict[int, Source] = {}  # holds the stacks, so that their ids stay theirs

    def predict(stack: Stack, plane: int) -> np.ndarray:
        source = sources.setdefault(id(stack), Source(stack, model.normalisation))
        return predict_plane(network, source.plane(plane), PredictSettings().tile)

    return predict


def finetuned(work: Work, settings: FinetuneSettings, start: Model | None = None) -> Model:
    """Return the model that learned the work's annotations."""
    every = range(len(work.images.stacks))
    used = sorted({image for image, _ in work.labels}) if work.dense else every  # images without strokes are looked at
    labels = [{plane: v for (i, plane), v in work.labels.items() if i == image} for image in used]
    minutes = settings.minutes if work.steps else work.seconds / 60
    settings = replace(settings, minutes=minutes, steps=work.steps, seed=work.seed)
    names = ("background", *(f"class {k}" for k in range(1, work.images.classes)))
    stacks = [work.images.stacks[image] for image in used]
    return run(finetune(stacks, labels, settings, dense=work.dense, start_from=start, classes=names))
