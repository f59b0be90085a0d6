"""The network with one part of the recipe taken away; what the product does has no such switches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from btunet.networks.joints import Joints
from btunet.networks.pixels import Pixels
from btunet.recipes import FINETUNING, FinetuneRecipe

from .networks import FINETUNE, FromRandom
from .scores import Predictor
from .work import Work

ALMOST_NONE = 1e-9  # weight of the guide; with 0 there would be nothing from ImageNet


def _unjoined(_: Joints, maps: list[Tensor], *__: Any) -> list[Tensor]:
    return maps


def _silent(pixels: Pixels, features: list[Tensor], margin: int = 0) -> Tensor:
    """Return logits of 0 for all classes."""
    height, width = (2 * length - 2 * margin for length in features[0].shape[-2:])
    return torch.zeros(len(features[0]), len(pixels.bias), height, width, device=pixels.bias.device)


RECIPES: Mapping[str, Callable[[FinetuneRecipe], FinetuneRecipe]] = {
    "guide": lambda recipe: replace(recipe, guide=ALMOST_NONE),
    "classifier": lambda recipe: replace(recipe, guide=ALMOST_NONE),  # nor does it begin with that
    "average": lambda recipe: replace(recipe, memory=0.0),
    "augmentation": lambda recipe: replace(recipe, zoom=(1.0, 1.0), light=0.0),
}
PARTS = ("joints", *RECIPES)


@contextmanager
def without(part: str) -> Iterator[None]:
    """Train and predict without a part of the recipe, as long as this lasts."""
    with ExitStack() as changed:
        if part == "joints":
            changed.enter_context(patch.object(Joints, "forward", _unjoined))
        if part == "classifier":
            changed.enter_context(patch.object(Pixels, "regression", _silent))
        if part in RECIPES:
            recipe = RECIPES[part](FINETUNING[FINETUNE.recipe])
            changed.enter_context(patch.dict(FINETUNING, {FINETUNE.recipe: recipe}))
        yield


@dataclass(frozen=True)
class Ablated:
    """Fine-tune a network with random weights, without a part."""

    part: str

    def __call__(self, work: Work) -> Predictor:
        with without(self.part):
            trained = FromRandom()(work)
        return Without(trained, self.part)


@dataclass(frozen=True)
class Without:
    """Predicts with a model that was trained without a part."""

    trained: Predictor
    part: str

    def __call__(self, stack: Any, plane: int) -> Any:
        """Return class probabilities (K, Y, X) float32."""
        with without(self.part):
            return self.trained(stack, plane)


ABLATIONS = {f"without-{part}": Ablated(part) for part in PARTS}
