"""Responses of classic filters at several scales: what a pixel looks like before anything is learned.

The same kinds as ilastik (Berg et al. 2019) and Labkit (Arzt et al. 2022) offer: the smoothed value, the magnitude of
its gradient, both eigenvalues of its Hessian, and the local standard deviation. Each coarser scale is computed on an
image of half the size, so that all of them together cost little more than the finest one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 5  # sigma 1, 2, 4, 8, 16 pixels
REACH = 3 * 2 ** (SCALES - 1)  # pixels, three sigma of the coarsest
TAPS = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)  # a Gaussian of sigma 1


def filter_responses(images: Tensor) -> Tensor:
    """Return (N, F, Y, X) responses for images (N, C, Y, X), float32; F = C · 26, or fewer in very small images.

    The value itself comes first. Borders are repeated.
    """
    size = images.shape[-2:]
    found, values, squares = [images], images, images * images
    for scale in range(SCALES):
        if scale:
            if min(values.shape[-2:]) < 2:
                break
            values, squares = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (values, squares))
        smooth = blur(values)
        deviation = (blur(squares) - smooth * smooth).clamp(min=1e-6).sqrt()
        maps = torch.cat([*_derivatives(smooth), deviation], 1)  # (N, 5·C, Y / 2^scale, X / 2^scale)
        if scale:
            maps = F.interpolate(maps, scale_factor=2**scale, mode="bilinear")
        found.append(maps[..., : size[0], : size[1]])
    return torch.cat(found, 1)


def blur(images: Tensor) -> Tensor:
    """Return (N, C, Y, X) images smoothed with a Gaussian of sigma 1 pixel."""
    channels = images.shape[1]
    taps = (TAPS / TAPS.sum()).to(images)
    rows = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = F.pad(images, (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(padded, rows, groups=channels), rows.mT, groups=channels)


def _derivatives(smooth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the value, the gradient's magnitude, and the larger and the smaller eigenvalue of the Hessian."""
    padded = F.pad(smooth, (1, 1, 1, 1), mode="replicate")

    def at(y: int, x: int) -> Tensor:
        return padded[..., 1 + y : 1 + y + smooth.shape[-2], 1 + x : 1 + x + smooth.shape[-1]]

    gradient = torch.hypot(at(0, 1) - at(0, -1), at(1, 0) - at(-1, 0)) / 2
    yy, xx = (at(1, 0) - 2 * smooth + at(-1, 0), at(0, 1) - 2 * smooth + at(0, -1))
    xy = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    middle, spread = (yy + xx) / 2, torch.hypot((yy - xx) / 2, xy)
    return smooth, gradient, middle + spread, middle - spread
