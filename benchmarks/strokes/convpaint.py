"""napari-convpaint from its own package, as it comes: its features, its normalisation, its classifier (CatBoost)."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass

import numpy as np

from btunet.images import Stack
from btunet.labels import IGNORE

from .scores import Predictor
from .work import Work

MOST = 50_000  # pixels to learn from, as for the other classifiers of pixels


@dataclass(frozen=True)
class Convpaint:
    """Learn with one of convpaint's own settings.

    ``gaussian`` is a single filter, ``ilastik`` needs ilastik-napari and fastfilters, ``vgg-m`` downloads weights.

    Raises
    ------
    ImportError
        If the package, or what these settings need, is not there.
    """

    settings: str

    def __call__(self, work: Work) -> Predictor:
        try:
            from napari_convpaint.convpaint_model import ConvpaintModel

            with redirect_stdout(io.StringIO()):
                model = ConvpaintModel(self.settings)
        except (ImportError, RuntimeError, ValueError, OSError) as error:  # the last three: weights, operators of torch
            reason = str(error).rsplit(": ", 1)[-1][:120]
            raise ImportError(f"napari-convpaint with {self.settings} cannot be used here ({reason})") from error
        gray = work.images.stacks[0].channels == 1
        planes = [_plane(work.images.stacks[image], plane) for image, plane in work.labels]
        with redirect_stdout(io.StringIO()):  # every step is printed
            model.set_params(channel_mode="single" if gray else "rgb")
            model.train(planes, _annotations(work))

        def predict(stack: Stack, plane: int) -> np.ndarray:
            with redirect_stdout(io.StringIO()):
                found = model.predict_probas(_plane(stack, plane))
            probabilities = np.zeros((work.images.classes, *stack.plane_shape), np.float32)
            for k, values in zip(np.ravel(model.classifier.classes_), found, strict=True):
                probabilities[int(k) - 1] = values
            return probabilities

        return predict


def _plane(stack: Stack, plane: int) -> np.ndarray:
    """Return a plane as convpaint takes it: (Y, X), or (C, Y, X)."""
    values = stack.read(plane).astype(np.float32)
    return values[0] if len(values) == 1 else values


def _annotations(work: Work) -> list[np.ndarray]:
    """Return strokes; of masks as many pixels as the other classifiers learn from."""
    rng, targets = np.random.default_rng([work.seed, 2]), work.targets.values()
    share = min(1.0, MOST / sum(int((t != IGNORE).sum()) for t in targets))
    return [
        np.where((t != IGNORE) & (rng.random(t.shape) < share), t.astype(np.int64) + 1, 0).astype(np.uint8)
        for t in targets
    ]
