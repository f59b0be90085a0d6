"""Images to try the plugin on: one drawn here, one from scikit-image's own files."""

from __future__ import annotations

from typing import Any

import numpy as np

Layer = tuple[np.ndarray, dict[str, Any], str]


def nuclei() -> list[Layer]:
    """Return a stack of drawn nuclei: (30, 256, 256) uint8, voxels of 1 × 0.5 × 0.5 µm."""
    stack, _ = draw_nuclei()
    calibration = {"scale": (1.0, 0.5, 0.5), "units": ("µm",) * 3, "axis_labels": ("z", "y", "x")}
    return [(stack, {"name": "nuclei", **calibration}, "image")]


def coins() -> list[Layer]:
    """Return scikit-image's photograph of coins: (303, 384) uint8."""
    from skimage.data import coins as photograph

    return [(photograph(), {"name": "coins"}, "image")]


def draw_nuclei(planes: int = 30, side: int = 256, count: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack of ellipsoids with texture among fine debris, and where they are.

    Brightness alone does not tell them apart: nuclei differ in brightness, the ground is uneven, and the debris is as
    bright as they are.

    Returns
    -------
    stack, mask
        (planes, side, side) uint8; the mask holds 1 inside nuclei.
    """
    from skimage.filters import gaussian

    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:planes, :side, :side]
    light, mask = np.zeros((planes, side, side), np.float32), np.zeros((planes, side, side), np.uint8)
    for _ in range(count):
        centre = rng.uniform(0, (planes, side, side))
        radius = rng.uniform((3, 9, 9), (6, 16, 16))
        inside = sum(((a - c) / r) ** 2 for a, c, r in zip((z, y, x), centre, radius, strict=True)) < 1
        light[inside] = rng.uniform(0.25, 0.7)
        mask[inside] = 1
    texture = gaussian(rng.normal(size=light.shape).astype(np.float32), (0.5, 1.5, 1.5)) * 2.5
    debris = gaussian((rng.random(light.shape) < 0.002).astype(np.float32), (0.3, 1, 1)) * 5
    ground = 0.12 + 0.2 * (x / side) * (y / side)
    seen = gaussian(light, (0.4, 1.2, 1.2)) * (1 + 0.5 * texture) + debris + ground
    seen += rng.normal(0, 0.03, light.shape)
    return (np.clip(seen, 0, 1.2) / 1.2 * 255).astype(np.uint8), mask
