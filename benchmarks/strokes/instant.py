"""The instant classifier alone: what the first overlay shows, before any network is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from btunet import instant
from btunet.guide import Guide
from btunet.images import Stack
from btunet.networks.trunk import Trunk
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source
from btunet.settings import FinetuneSettings, PredictSettings
from btunet.tiles import predict_plane

from .scores import Predictor
from .work import Work


@dataclass(frozen=True)
class Instant:
    """Learn the annotations with features of a trunk that learned ImageNet, or whose weights are random."""

    is_trained: bool = True

    def __call__(self, work: Work) -> Predictor:
        pixels = self._learned(work).pixels
        sources: dict[int, Source] = {}  # holds the stacks, so that their ids stay theirs

        def predict(stack: Stack, plane: int) -> np.ndarray:
            source = sources.setdefault(id(stack), Source(stack, Normalisation()))
            return predict_plane(pixels, source.plane(plane), PredictSettings().tile)

        return predict

    def _learned(self, work: Work) -> Guide:
        sources, annotations = [Source(stack, Normalisation()) for stack in work.images.stacks], Annotations()
        for (image, plane), target in work.targets.items():
            annotations.put(image, plane, target)
        size, trained = FinetuneSettings().patch_size, instant.trained_trunk
        try:
            if not self.is_trained:
                torch.manual_seed(work.seed)
                instant.trained_trunk = Trunk
            return Guide(sources, annotations, work.images.classes, size, work.seed)
        finally:
            instant.trained_trunk = trained
