"""Random views of patches: what the network is told to see through."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .ranks import ALONE, Ranks


def geometry(count: int, scale: tuple[float, float], shift: float, generator: Generator) -> Tensor:
    """Return random similarities as (N, 2, 3) matrices: a flip, a quarter turn, a scale, a shift.

    Parameters
    ----------
    count
        N.
    scale
        Smallest and largest side of what is seen, relative to the whole patch.
    shift
        1 lets the view lie anywhere inside the patch, 0 keeps it central.
    generator
        Source of all randomness.
    """
    low, high = scale
    side = low + (high - low) * torch.rand(count, generator=generator)
    angle = torch.randint(4, (count,), generator=generator) * (math.pi / 2)
    flip = torch.randint(2, (count,), generator=generator) * 2 - 1
    cos, sin = angle.cos().round(), angle.sin().round()
    room = (1 - side).clamp(min=0)[:, None] * shift
    offset = (torch.rand(count, 2, generator=generator) * 2 - 1) * room  # (N, 2)
    rows = torch.stack([cos * flip, -sin, sin * flip, cos], 1).view(count, 2, 2) * side[:, None, None]
    return torch.cat([rows, offset[..., None]], 2)  # (N, 2, 3)


def look(patches: Tensor, matrices: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Return what the matrices see of (N, C, Y, X) patches: (N, C, size, size).

    What lies outside is mirrored by mode "bilinear" and 0 by mode "nearest", which keeps labels whole.
    """
    grid = F.affine_grid(matrices.to(patches), [len(patches), 1, size, size], align_corners=False)
    outside = "zeros" if mode == "nearest" else "reflection"
    return F.grid_sample(patches, grid, mode=mode, padding_mode=outside, align_corners=False)


def photometry(patches: Tensor, strength: float, generator: Generator, ranks: Ranks = ALONE) -> Tensor:
    """Return (N, C, Y, X) patches with random contrast, brightness, blur and noise, the same for all channels.

    ``strength`` 1 changes contrast by up to a factor of 1.5 and brightness by up to a quarter of the range.
    """
    count = len(patches) * ranks.size
    mine = ranks.share(count)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)[mine]).to(patches)

    contrast = torch.exp(draw(-0.4, 0.4) * strength)
    seen = patches * contrast + draw(-0.5, 0.5) * strength
    blurred = F.avg_pool2d(F.pad(seen, (1, 1, 1, 1), mode="replicate"), 3, 1)
    seen = torch.lerp(seen, blurred, draw(-1, 1).clamp(min=0) * min(1.0, strength))
    noise = torch.randn(count, *patches.shape[1:], generator=generator)[mine].to(patches)
    return seen + noise * draw(0, 0.15) * strength


def twin_views(
    patches: Tensor, size: int, crop: tuple[float, float], light: float, generator: Generator, ranks: Ranks = ALONE
) -> tuple[Tensor, Tensor]:
    """Return two views (N, C, size, size) of each patch (N, C, Y, X): crop, flip, quarter turn, light.

    Parameters
    ----------
    patches
        What both views are cut from.
    size
        Side of a view, pixels.
    crop
        Smallest and largest side of a view relative to the patch.
    light
        Strength of the changes of contrast, brightness, blur and noise. BT-Unet's code leaves them switched off;
        microscopes vary in them.
    generator
        Source of all randomness.
    ranks
        Which part of a batch the patches are: they are seen as they would be within the whole.
    """
    count = len(patches) * ranks.size

    def view() -> Tensor:
        seen = look(patches, geometry(count, crop, 1.0, generator)[ranks.share(count)], size)
        return photometry(seen, light, generator, ranks)

    return view(), view()
