"""Random views of patches: what the network is told to see through."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .ranks import ALONE, Ranks
from .recipes import PretrainRecipe
from .settings import ViewSettings


def as_told(recipe: PretrainRecipe, told: ViewSettings) -> PretrainRecipe:
    """Return a recipe whose views do not differ in what must not be ignored; their position always does."""
    middle = sum(recipe.crop) / 2  # leaves room to move, which the largest would not
    return replace(
        recipe,
        light=recipe.light if told.ignore_brightness else 0.0,
        turned=recipe.turned and told.ignore_orientation,
        crop=recipe.crop if told.ignore_size else (middle, middle),
    )


def geometry(
    count: int, scale: tuple[float, float], shift: float, generator: Generator, *, turned: bool = True
) -> Tensor:
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
    turned
        False leaves out flips and turns; the rest stays as it would be with them.
    """
    low, high = scale
    side = low + (high - low) * torch.rand(count, generator=generator)
    angle = torch.randint(4, (count,), generator=generator) * (math.pi / 2)
    flip = torch.randint(2, (count,), generator=generator) * 2 - 1
    if not turned:
        angle, flip = torch.zeros(count), torch.ones(count)
    cos, sin = angle.cos().round(), angle.sin().round()
    room = (1 - side).clamp(min=0)[:, None] * shift
    offset = (torch.rand(count, 2, generator=generator) * 2 - 1) * room  # (N, 2)
    rows = torch.stack([cos * flip, -sin, sin * flip, cos], 1).view(count, 2, 2) * side[:, None, None]
    return torch.cat([rows, offset[..., None]], 2)  # (N, 2, 3)


def look(patches: Tensor, matrices: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Return what the matrices see of (N, C, Y, X) patches: (N, C, size, size).

    What lies outside is mirrored by mode "bilinear" and 0 by mode "nearest", which keeps labels whole.
    """
    grid = _places(matrices.to(patches), size)
    outside = "zeros" if mode == "nearest" else "reflection"
    return F.grid_sample(patches, grid, mode=mode, padding_mode=outside, align_corners=False)


def _places(matrices: Tensor, size: int) -> Tensor:
    """Return where the pixels of a view lie in the patch, (N, size, size, 2) from -1 to 1.

    What `F.affine_grid` does, which multiplies matrices two values wide and takes as long as the whole rest of `look`.
    """
    at = (torch.arange(size, device=matrices.device) * 2 + 1) / size - 1
    across, down, shift = matrices[..., None].unbind(2)  # (N, 2, 1) each
    rows, columns = down * at + shift, across * at  # (N, 2, size) each
    return torch.stack([rows[:, i, :, None] + columns[:, i, None] for i in range(2)], -1)


def _blurred(x: Tensor) -> Tensor:
    """Return the mean of 3×3 pixels; sums of slices take a tenth of the time of torch's average pooling."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 9


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
    seen = torch.lerp(seen, _blurred(seen), draw(-1, 1).clamp(min=0) * min(1.0, strength))
    noise = torch.randn(count, *patches.shape[1:], generator=generator)[mine].to(patches)
    return seen + noise * draw(0, 0.15) * strength


def twin_views(
    patches: Tensor,
    size: int,
    crop: tuple[float, float],
    light: float,
    generator: Generator,
    ranks: Ranks = ALONE,
    turned: bool = True,
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
    turned
        Whether views are flipped and turned.
    """
    count = len(patches) * ranks.size

    def view() -> Tensor:
        seen = look(patches, geometry(count, crop, 1.0, generator, turned=turned)[ranks.share(count)], size)
        return photometry(seen, light, generator, ranks)

    return view(), view()
