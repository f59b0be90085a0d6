"""Pictures of what an encoder has learned, as often as its training can spare the time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .colours import Palette, coloured, palette_of
from .device import channels_last, precision, send
from .patches import Source, random_place
from .task import LearnedPlane
from .windows import Windows

SHARE = 0.01  # of the training's time that pictures may take; the first comes on top, the last when it is over
SOONEST = 2.0  # seconds between two pictures
PLACES, SIDE = 16, 64  # windows that decide what the colours mean, and their side, pixels
STEP = 8  # pixels between two samples of such a window
LARGEST = 1024  # side of what is shown of a plane, pixels: the middle of a larger one


class Pictures:
    """Shows planes as an encoder sees them; the same colours mean the same in all planes, and from look to look.

    The colours are those of the main differences between samples, which are drawn once from all images.

    Parameters
    ----------
    encoder
        In training, on its device.
    sources
        The images.
    windows
        What cuts windows of them.
    stride
        What sides must be a multiple of.
    seed
        Of the choice of samples.
    """

    def __init__(self, encoder: nn.Module, sources: Sequence[Source], windows: Windows, stride: int, seed: int) -> None:
        self._encoder, self._sources, self._stride, self._device = encoder, sources, stride, windows.device
        rng = np.random.default_rng(seed)  # its own: what is learned must not depend on whether somebody looks
        self._places = windows([random_place(sources, SIDE, rng) for _ in range(PLACES)], SIDE)  # (N, C, SIDE, SIDE)
        self._palette: Palette | None = None
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the training can spare the time for another picture."""
        return time.perf_counter() >= self._next

    def take(self, image: int, plane: int) -> LearnedPlane:
        """Return the picture of one plane, of its middle if it is large."""
        start = time.perf_counter()
        shape = self._sources[image].stack.plane_shape
        y, x = (max(0, (length - LARGEST) // 2) for length in shape)
        source = self._sources[image]
        stored = source.stack.read(plane, slice(y, y + LARGEST), slice(x, x + LARGEST))
        window = source.normalisation.apply(stored, source.limits)
        self._encoder.eval()
        try:
            colours = self._colours(window)
        finally:
            self._encoder.train()
        end = time.perf_counter()
        self._next = end + max(SOONEST, (end - start) / SHARE)
        return LearnedPlane(image, plane, colours, (y, x))

    @torch.inference_mode()
    def _colours(self, window: np.ndarray) -> np.ndarray:
        """Return the colours (y, x, 3) of a window (C, y, x)."""
        samples = [_sampled(maps) for maps in self._maps(self._places)]
        # every level counts the same, however many features it has and however large they are
        weights = [1 / float(s.var(0, unbiased=False).sum().sqrt().clamp(min=1e-6)) for s in samples]
        found = torch.cat([s * w for s, w in zip(samples, weights, strict=True)], 1)  # (P, sum of widths)
        self._palette = palette_of(found.cpu().numpy(), self._palette)
        height, width = window.shape[-2:]
        pad = (0, -width % self._stride, 0, -height % self._stride)
        image = F.pad(send(np.ascontiguousarray(window), self._device)[None], pad, mode="replicate")
        mixture = torch.tensor(self._palette.mixture, dtype=torch.float32, device=self._device)
        parts = torch.split(mixture, [s.shape[1] for s in samples])
        total = torch.tensor(self._palette.offset, dtype=torch.float32, device=self._device)[:, None, None]
        for features, part, weight in zip(self._maps(image), parts, weights, strict=True):
            mixed = torch.einsum("cyx,ck->kyx", features[0], part * weight)
            # mixing first: three values per pixel are made larger, not hundreds
            total = total + F.interpolate(mixed[None], size=image.shape[-2:], mode="bilinear")[0]
        return coloured(total[:, :height, :width].cpu().numpy(), self._palette)

    def _maps(self, images: Tensor) -> list[Tensor]:
        """Return the encoder's maps of images, float32."""
        with precision(self._device):
            return [m.float() for m in self._encoder(channels_last(images))]


def _sampled(maps: Tensor) -> Tensor:
    """Return features (P, C) of maps (N, C, Y, X) of the samples' windows."""
    side = SIDE // STEP
    at = F.interpolate(maps, size=side, mode="area" if maps.shape[-1] > side else "bilinear")  # (N, C, side, side)
    return at.movedim(1, -1).flatten(0, 2)
