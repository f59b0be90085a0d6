"""Write a Labels layer as a mask through napari's own save dialog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import btunet

from ._layers import BACKGROUND, ROLE


def write_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one Labels layer to ``path`` (.btmask.tif): 0 = background, 1..K; read again and compared.

    Strokes and predictions of this plugin count from 1 for the background, so theirs are shifted by one; other Labels
    layers are written as they are.
    """
    mask = np.asarray(data)
    if attributes.get("metadata", {}).get(ROLE):
        mask = np.where(mask == 0, 0, mask - BACKGROUND).astype(mask.dtype)
    axes = btunet.as_stack(mask).axes
    scale = tuple(float(abs(s)) for s in attributes.get("scale", ()))
    stack = btunet.Stack(mask, axes, str(attributes.get("name", "mask")), scale if any(s != 1 for s in scale) else ())
    return [str(written) for written in btunet.write(Path(path), mask, stack)]
